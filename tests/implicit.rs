//! Implicit recurrences, by every method, against a plain loop with Newton's method in each step.

#![cfg(feature = "cpu")]

use deer_solver::dynamics::Residual;
use deer_solver::scalar::{Constant, Param, Scalar};
use deer_solver::{Cpu, Dual, Implicit, Problem, Real, Solver, Termination};
use ndarray::{Array2, ArrayView1, array};
use std::marker::PhantomData;

/// Backward Euler for y' = u − y³.
struct Cubic<R>(PhantomData<R>);

impl<R: Real> Residual for Cubic<R> {
    type Real = R;
    fn state_dim(&self) -> usize {
        1
    }
    fn input_dim(&self) -> usize {
        1
    }
    #[inline(always)]
    fn residual<S: Scalar<Real = R>>(
        &self,
        _: &[Param<S>],
        z: &[S],
        x: &[S],
        u: &[S],
        r: &mut [S],
    ) {
        r[0] = z[0] - x[0] + (z[0].powi(3) - u[0]) * R::from_f64(0.1);
    }
}

/// The trapezoidal rule for Van der Pol's equation, μ = 50.
struct VanDerPol;

impl Residual for VanDerPol {
    type Real = f64;
    fn state_dim(&self) -> usize {
        2
    }
    #[inline(always)]
    fn residual<S: Scalar<Real = f64>>(
        &self,
        _: &[Param<S>],
        z: &[S],
        x: &[S],
        _: &[S],
        r: &mut [S],
    ) {
        let h = 0.005;
        let slope = |y: &[S]| (Constant(1.0) - y[0] * y[0]) * y[1] * 50.0 - y[0];
        r[0] = z[0] - x[0] - (z[1] + x[1]) * (0.5 * h);
        r[1] = z[1] - x[1] - (slope(z) + slope(x)) * (0.5 * h);
    }
}

/// Backward Euler for the pendulum as a DAE of index 3: position, velocity, tension.
struct Pendulum;

impl Residual for Pendulum {
    type Real = f64;
    fn state_dim(&self) -> usize {
        5
    }
    #[inline(always)]
    fn residual<S: Scalar<Real = f64>>(
        &self,
        _: &[Param<S>],
        z: &[S],
        x: &[S],
        _: &[S],
        r: &mut [S],
    ) {
        let rate = 500.0;
        r[0] = (z[0] - x[0]) * rate - z[2];
        r[1] = (z[1] - x[1]) * rate - z[3];
        r[2] = (z[2] - x[2]) * rate + z[4] * z[0];
        r[3] = (z[3] - x[3]) * rate + z[4] * z[1] + 10.0;
        r[4] = z[0] * z[0] + z[1] * z[1] - 1.0;
    }
}

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

/// z² = x² − 0.01: no solution once x is below 0.1.
struct Vanishing;

impl Residual for Vanishing {
    type Real = f64;
    fn state_dim(&self) -> usize {
        1
    }
    #[inline(always)]
    fn residual<S: Scalar<Real = f64>>(
        &self,
        _: &[Param<S>],
        z: &[S],
        x: &[S],
        _: &[S],
        r: &mut [S],
    ) {
        r[0] = z[0] * z[0] - x[0] * x[0] + 0.01;
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

/// Backward Euler for a chain of three, charge leaking through a conductance `u` that may change by orders of magnitude from step to step.
struct Switched;

impl Residual for Switched {
    type Real = f64;
    fn state_dim(&self) -> usize {
        3
    }
    fn input_dim(&self) -> usize {
        1
    }
    #[inline(always)]
    fn residual<S: Scalar<Real = f64>>(
        &self,
        _: &[Param<S>],
        z: &[S],
        x: &[S],
        u: &[S],
        r: &mut [S],
    ) {
        let h = 1e-3;
        let (first, second) = (z[0] - z[1], z[1] - z[2]);
        r[0] = z[0] - x[0] + (first * u[0] - (Constant(1.0) - z[0])) * h;
        r[1] = z[1] - x[1] + (second + second.powi(3) - first * u[0]) * h;
        r[2] = z[2] - x[2] + (z[2].powi(3) - second - second.powi(3)) * h;
    }
}

/// Conductances that jump by up to 1e8, up and down, at times of their own for each sequence; between them conductances stay, so that
/// matrices are kept.
fn jumps(sequence: usize, steps: usize) -> Vec<f64> {
    let period = 37 + 11 * sequence;
    (0..steps).map(|t| [1.0, 1e8, 1e-4, 1e5, 1.0][t / period % 5]).collect()
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
