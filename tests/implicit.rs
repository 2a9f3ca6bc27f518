//! Implicit recurrences, by every method, against a plain loop with Newton's method in each step.

#![cfg(feature = "cpu")]

#[allow(dead_code, reason = "a device solves the others, too")]
#[path = "common/equations.rs"]
mod equations;

use deer_solver::dynamics::Residual;
use deer_solver::{Cpu, Dual, Implicit, Problem, Solver, Termination};
use equations::Equation::{Pendulum, Saturating, Switched, VanDerPol, Vanishing};
use equations::{Cubic, jumps};
use ndarray::{Array2, ArrayView1, array};
use std::marker::PhantomData;

/// The loop: Newton in each step until nothing moves.
fn oracle<F: Residual<Real = f64>>(
    residual: &F,
    x0: ArrayView1<'_, f64>,
    inputs: &Array2<f64>,
) -> Array2<f64> {
    let n = x0.len();
    let mut x = x0.to_vec();
    let mut states = Array2::zeros((inputs.nrows(), n));
    for (u, mut state) in inputs.rows().into_iter().zip(states.rows_mut()) {
        let u: Vec<_> = u.iter().map(|&u| Dual::<f64, 1>::new(u, [0.0])).collect();
        let before: Vec<_> = x.iter().map(|&x| Dual::<f64, 1>::new(x, [0.0])).collect();
        for _ in 0..50 {
            let mut matrix = vec![0.0; n * n];
            let mut right = vec![0.0; n];
            for column in 0..n {
                let mut z: Vec<_> = x.iter().map(|&x| Dual::<f64, 1>::new(x, [0.0])).collect();
                z[column].tangents[0] = 1.0;
                let mut r = vec![Dual::new(0.0, [0.0]); n];
                residual.residual(&[], &z, &before, &u, &mut r);
                for row in 0..n {
                    matrix[row * n + column] = r[row].tangents[0];
                    right[row] = r[row].value;
                }
            }
            let delta = solve(matrix, right);
            x.iter_mut().zip(&delta).for_each(|(x, d)| *x -= d);
            if delta.iter().all(|d| d.abs() < 1e-15) {
                break;
            }
        }
        state.iter_mut().zip(&x).for_each(|(state, &x)| *state = x);
    }
    states
}

/// Solves a system of equations, `matrix` row-major, by elimination with pivots.
fn solve(mut matrix: Vec<f64>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for c in 0..n {
        let size = |row: &usize| matrix[row * n + c].abs();
        let pivot = (c..n).max_by(|i, j| size(i).total_cmp(&size(j))).unwrap();
        (0..n).for_each(|j| matrix.swap(c * n + j, pivot * n + j));
        b.swap(c, pivot);
        for row in c + 1..n {
            let factor = matrix[row * n + c] / matrix[c * n + c];
            (c..n).for_each(|j| matrix[row * n + j] -= factor * matrix[c * n + j]);
            b[row] -= factor * b[c];
        }
    }
    for c in (0..n).rev() {
        let known: f64 = (c + 1..n).map(|j| matrix[c * n + j] * b[j]).sum();
        b[c] = (b[c] - known) / matrix[c * n + c];
    }
    b
}

fn every_method() -> Vec<Solver> {
    vec![
        Solver::sequential(),
        Solver::jacobi(),
        Solver::jacobi().block(7),
        Solver::picard(),
        Solver::quasi_deer(),
        Solver::deer(),
        Solver::deer().block(5),
        Solver::auto(),
    ]
}

fn largest_difference(a: &Array2<f64>, b: ndarray::ArrayView2<'_, f64>) -> f64 {
    a.iter().zip(b).fold(0.0, |largest, (a, b)| f64::max(largest, (a - b).abs()))
}

#[test]
fn every_method_agrees_with_the_loop() {
    let inputs = Array2::from_shape_fn((3000, 1), |(t, _)| 5.0 * (0.02 * t as f64).sin());
    let cubic = Implicit::new(Cubic(PhantomData));
    let expected = oracle(cubic.residual(), array![1.0].view(), &inputs);
    let problem = Problem::new(&cubic, array![1.0].view(), inputs.view()).unwrap();
    for solver in every_method() {
        let solution = solver.solve(&problem, &Cpu::new()).unwrap();
        assert!(solution.converged(), "{solver:?}");
        let difference = largest_difference(&expected, solution.trajectory(0));
        assert!(difference < 1e-12, "{solver:?}: {difference:e}");
    }
}

#[test]
fn stiff_oscillator() {
    let inputs = Array2::zeros((4000, 0));
    let x0 = array![2.0, 0.0];
    let dynamics = Implicit::new(VanDerPol);
    let expected = oracle(&VanDerPol, x0.view(), &inputs);
    let problem = Problem::autonomous(&dynamics, x0.view(), 4000).unwrap();
    for solver in [Solver::sequential(), Solver::jacobi(), Solver::deer(), Solver::auto()] {
        let solution = solver.solve(&problem, &Cpu::new()).unwrap();
        assert!(solution.converged(), "{solver:?}");
        let difference = largest_difference(&expected, solution.trajectory(0));
        assert!(difference < 1e-7, "{solver:?}: {difference:e}\n{}", solution.report());
    }
}

#[test]
fn constrained_pendulum() {
    let inputs = Array2::zeros((1000, 0));
    let x0 = array![1.0, 0.0, 0.0, 0.0, 0.0];
    let dynamics = Implicit::new(Pendulum);
    let expected = oracle(&Pendulum, x0.view(), &inputs);
    let problem = Problem::autonomous(&dynamics, x0.view(), 1000).unwrap();
    for solver in [Solver::sequential(), Solver::deer(), Solver::auto()] {
        let solution = solver.solve(&problem, &Cpu::new()).unwrap();
        assert!(solution.converged(), "{solver:?}");
        let difference = largest_difference(&expected, solution.trajectory(0));
        assert!(difference < 1e-9, "{solver:?}: {difference:e}\n{}", solution.report());
        for state in solution.trajectory(0).rows() {
            assert!((state[0] * state[0] + state[1] * state[1] - 1.0).abs() < 1e-12);
        }
    }
}

#[test]
fn single_precision_and_batches() {
    let (batch, steps) = (5, 700);
    let inputs = ndarray::Array3::from_shape_fn((batch, steps, 1), |(b, t, _)| {
        2.0 * (0.02 * t as f32 + b as f32).sin()
    });
    let x0 = Array2::from_shape_fn((batch, 1), |(b, _)| b as f32 - 2.0);
    let cubic = Implicit::new(Cubic(PhantomData));
    let problem = Problem::batch(&cubic, x0.view(), inputs.view()).unwrap();
    let expected = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    for solver in every_method() {
        let solution = solver.solve(&problem, &Cpu::new()).unwrap();
        assert!(solution.converged(), "{solver:?}");
        for (a, b) in expected.states().iter().zip(solution.states()) {
            assert!((a - b).abs() < 4e-6, "{solver:?}: {a} {b}");
        }
    }
    for b in 0..batch {
        let double = Implicit::new(Cubic(PhantomData));
        let own = inputs.index_axis(ndarray::Axis(0), b).mapv(f64::from);
        let exact = oracle(double.residual(), array![f64::from(x0[[b, 0]])].view(), &own);
        for (a, e) in expected.trajectory(b).iter().zip(&exact) {
            assert!((f64::from(*a) - e).abs() < 2e-6, "{a} {e}");
        }
    }
}

#[test]
fn a_step_without_a_solution_is_no_success() {
    let vanishing = Implicit::new(Vanishing);
    let problem = Problem::autonomous(&vanishing, array![1.005].view(), 500).unwrap();
    // x² falls by 0.01 a step: the 102nd would be below zero.
    for solver in [Solver::sequential(), Solver::jacobi(), Solver::auto()] {
        let solution = solver.solve(&problem, &Cpu::new()).unwrap();
        assert_eq!(solution.termination(), Termination::NonFinite { batch: 0, t: 101 });
        assert!(!solution.converged());
    }
}

/// A matrix of an earlier step is no good after a jump, and the step must notice, whatever the other lanes do.
#[test]
fn matrices_do_not_outlive_what_they_are_of() {
    let (sequences, steps) = (19, 600);
    let inputs: Vec<_> = (0..sequences)
        .map(|b| Array2::from_shape_vec((steps, 1), jumps(b, steps)).unwrap())
        .collect();
    let starts = Array2::from_shape_fn((sequences, 3), |(b, i)| 0.1 * (b + i) as f64);
    let implicit = Implicit::new(Switched);
    let views: Vec<_> = inputs.iter().map(|u| u.view()).collect();
    let problem = Problem::ragged(&implicit, starts.view(), &views).unwrap();
    for solver in [Solver::sequential(), Solver::jacobi(), Solver::auto()] {
        let solution = solver.tolerance(1e-14, 1e-13).solve(&problem, &Cpu::new()).unwrap();
        assert!(solution.converged(), "{solution:?}");
        for (b, inputs) in inputs.iter().enumerate() {
            let wanted = oracle(implicit.residual(), starts.row(b), inputs);
            let difference = largest_difference(&wanted, solution.trajectory(b));
            assert!(difference < 1e-11, "{b}: {difference:.1e}");
        }
    }
}

/// Nearly at rest nothing is left to correct, and with a step so short that the guess is exact nothing can be learned from corrections.
#[test]
fn at_rest() {
    let implicit = Implicit::new(Switched);
    let inputs = Array2::from_elem((30_000, 1), 1.0);
    let start = array![0.9, 0.5, 0.2];
    let problem = Problem::new(&implicit, start.view(), inputs.view()).unwrap();
    let solution = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    let wanted = oracle(implicit.residual(), start.view(), &inputs);
    assert!(largest_difference(&wanted, solution.trajectory(0)) < 1e-13);
}

/// Inputs that leave a step almost where it was, or bring it far off, must not make a step end early: each solves its equation to rounding.
#[test]
fn no_step_ends_early() {
    // A linear congruence, of which the upper bits are random.
    let mut state = 12_345u64;
    let mut random = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    for size in [1.0, 5.0] {
        let inputs = Array2::from_shape_fn((700_000, 1), |_| size * random());
        let implicit = Implicit::new(Cubic(PhantomData));
        let problem = Problem::new(&implicit, array![0.1].view(), inputs.view()).unwrap();
        let solution = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
        assert!(solution.converged());
        let mut before = 0.1;
        for (&u, &z) in inputs.iter().zip(solution.trajectory(0)) {
            let correction = (z - before + 0.1 * (z * z * z - u)) / (1.0 + 0.3 * z * z);
            assert!(correction.abs() < 1e-14 * z.abs().max(1.0), "{before} {u}: {correction:e}");
            before = z;
        }
    }
}

/// Whole corrections overshoot, and parts of them lead there.
#[test]
fn damped_corrections() {
    let inputs = Array2::from_shape_fn((200, 1), |(t, _)| ((t * t) as f64).sin());
    let implicit = Implicit::new(Saturating);
    let problem = Problem::new(&implicit, array![0.0].view(), inputs.view()).unwrap();
    for solver in [Solver::sequential(), Solver::jacobi(), Solver::auto()] {
        let solution = solver.solve(&problem, &Cpu::new()).unwrap();
        assert!(solution.converged(), "{}", solution.report());
        let mut before = 0.0;
        for (&u, &z) in inputs.iter().zip(solution.trajectory(0)) {
            let r = (z - 20.0 * u).atan() + (z - before) * 1e-3;
            assert!(r.abs() < 1e-13, "{before} {u} {z}: {r:e}");
            before = z;
        }
    }
}
