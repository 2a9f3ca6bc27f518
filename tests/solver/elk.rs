//! ELK and quasi-ELK: their step against dense least squares, their convergence, and what they say where there is none.

use crate::common::reference::{Allowance, check_honest, difference, plain_loop, residual, step};
use crate::maps::{Kind, Map, Noise};
use deer_solver::cells::{DiagonalGru, Gru, Lstm};
use deer_solver::{Cpu, Dynamics, Method, Problem, Real, Solver, Termination};
use ndarray::{Array1, Array2, Array3, s};

/// The states that one step of Levenberg–Marquardt moves `guess` to, by the normal equations of all of time at once: the minimiser of
/// `½ Σ ‖δ_t − A_t δ_{t−1} + r_t‖² + (λ/2) Σ ‖δ_t‖²` over the states before the last, which is that of the step after them.
fn dense_step(
    problem: &Problem<'_, Map<f64>>,
    guess: &Array3<f64>,
    lambda: f64,
    diagonal: bool,
) -> Array3<f64> {
    let (map, n, steps) = (problem.dynamics(), problem.state_dim(), problem.steps(0));
    let before = |t: usize| match t {
        0 => problem.initial_state().row(0).to_vec(),
        _ => guess.slice(s![0, t - 1, ..]).to_vec(),
    };
    let f = |t: usize, x: &[f64]| step(map, &map.params, x, &problem.inputs(0)[t..t + 1]);
    let size = (steps - 1) * n;
    let mut matrix = vec![vec![0.0; size + 1]; size];
    for t in 0..steps - 1 {
        let x = before(t);
        let y = f(t, &x);
        for i in 0..n {
            let mut row = vec![(t * n + i, 1.0)];
            if t > 0 {
                for j in (0..n).filter(|&j| !diagonal || i == j) {
                    // Of tanh(W x + …).
                    let slope = (1.0 - y[i] * y[i]) * map.params[i * n + j];
                    row.push(((t - 1) * n + j, -slope));
                }
            }
            let jump = y[i] - guess[[0, t, i]];
            for &(a, p) in &row {
                for &(b, q) in &row {
                    matrix[a][b] += p * q;
                }
                matrix[a][size] += p * jump;
            }
            matrix[t * n + i][t * n + i] += lambda;
        }
    }
    let change = eliminate(matrix);
    let mut moved = guess.clone();
    for t in 0..steps - 1 {
        for i in 0..n {
            moved[[0, t, i]] += change[t * n + i];
        }
    }
    let last = moved.slice(s![0, steps - 2, ..]).to_vec();
    for (i, y) in f(steps - 1, &last).into_iter().enumerate() {
        moved[[0, steps - 1, i]] = y;
    }
    moved
}

/// Elimination of a positive definite `[matrix, right]`.
fn eliminate(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    for j in 0..rows.len() {
        let above = rows[j].clone();
        for (i, row) in rows.iter_mut().enumerate() {
            if i != j && row[j] != 0.0 {
                let factor = row[j] / above[j];
                row.iter_mut().zip(&above).for_each(|(x, a)| *x -= factor * a);
            }
        }
    }
    rows.iter().enumerate().map(|(i, row)| row[row.len() - 1] / row[i]).collect()
}

fn merit(problem: &Problem<'_, Map<f64>>, states: &Array3<f64>) -> f64 {
    let (map, steps) = (problem.dynamics(), problem.steps(0));
    let mut x = problem.initial_state().row(0).to_vec();
    (0..steps)
        .map(|t| {
            let y = step(map, &map.params, &x, &problem.inputs(0)[t..t + 1]);
            x = states.slice(s![0, t, ..]).to_vec();
            y.iter().zip(&x).map(|(y, x)| 0.5 * (y - x) * (y - x)).sum::<f64>()
        })
        .sum()
}

/// Sequences of one chunk of borders, of several, and of a part of one, in any mixture of dense and diagonal.
#[test]
fn one_step_is_the_dense_least_squares_step() {
    let mut taken = 0;
    for n in 1..=4 {
        for steps in [2, 3, 9, 64, 65, 66, 130, 150] {
            for (lambda, diagonal) in [(0.05, false), (1.0, false), (1.0, true), (30.0, true)] {
                let map = Map::<f64>::tanh(n, 1.2, (10 * n + steps) as u64);
                let mut noise = Noise::new(steps as u64);
                let x0 = Array1::from(noise.vec::<f64>(n, 1.0));
                let inputs = Array2::from_shape_vec((steps, 1), noise.vec(steps, 1.0)).unwrap();
                let guess =
                    Array3::from_shape_vec((1, steps, n), noise.vec(steps * n, 0.9)).unwrap();
                let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
                let problem = problem.with_guess(guess.view()).unwrap();
                let solver = if diagonal { Solver::quasi_elk(lambda) } else { Solver::elk(lambda) };
                let solution = solver.block(1).max_sweeps(2).solve(&problem, &Cpu::new()).unwrap();
                let expected = dense_step(&problem, &guess, lambda, diagonal);
                // A step that does not lower the merit is not taken.
                if merit(&problem, &expected) > 0.9 * merit(&problem, &guess) {
                    continue;
                }
                taken += 1;
                let apart = difference(solution.states(), expected.view());
                assert!(
                    apart < 1e-12,
                    "n = {n}, T = {steps}, λ = {lambda}, diagonal {diagonal}: off by {apart:e}\n{}",
                    solution.report()
                );
            }
        }
    }
    assert!(taken > 100, "{taken} steps were taken");
}

/// A step that makes things worse is refused, and λ grows until one does not.
#[test]
fn the_merit_falls() {
    let map = Map::<f64>::tanh(3, 4.0, 1);
    let mut noise = Noise::new(1);
    let x0 = Array1::from(noise.vec::<f64>(3, 1.0));
    let inputs = Array2::from_shape_vec((200, 1), noise.vec(200, 0.1)).unwrap();
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    let mut before = f64::INFINITY;
    let mut refused = 0;
    for sweeps in 1..30 {
        let solver = Solver::elk(1e-3).max_sweeps(sweeps);
        let solution = solver.solve(&problem, &Cpu::new()).unwrap();
        let now = merit(&problem, &solution.states().to_owned());
        assert!(now <= before * (1.0 + 1e-9), "sweep {sweeps}: {now} after {before}");
        refused += usize::from(now == before);
        before = now;
    }
    assert!(refused > 0);
}

/// A step that is not taken leaves nothing behind, and neither does Newton where it was to finish and overshot.
#[test]
fn more_sweeps_never_leave_a_larger_merit() {
    for (n, gain, steps) in [(2, 3.0, 60), (3, 2.0, 120), (3, 3.0, 60), (4, 1.2, 60)] {
        for seed in 0..8 {
            let solver = if seed % 2 == 0 { Solver::elk(1.0) } else { Solver::quasi_elk(1.0) };
            let map = Map::<f64>::tanh(n, gain, seed);
            let mut noise = Noise::new(seed + 100);
            let x0 = Array1::from(noise.vec::<f64>(n, 1.0));
            let inputs = Array2::from_shape_vec((steps, 1), noise.vec(steps, 1.0)).unwrap();
            let guess = Array3::from_shape_vec((1, steps, n), noise.vec(steps * n, 0.9)).unwrap();
            let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
            let problem = problem.with_guess(guess.view()).unwrap();
            let mut before = f64::INFINITY;
            for sweeps in 1..50 {
                let solution =
                    solver.clone().max_sweeps(sweeps).solve(&problem, &Cpu::new()).unwrap();
                let now = merit(&problem, &solution.states().to_owned());
                assert!(
                    now <= before * (1.0 + 1e-9) + 1e-20,
                    "n = {n}, gain {gain}, seed {seed}, {sweeps} sweeps: {before:e}, then {now:e}"
                );
                before = now;
                if solution.converged() {
                    break;
                }
            }
        }
    }
}

/// Dense, diagonal and block structures, both precisions, several lengths at once and blocks of any length.
#[test]
fn converges_where_dynamics_contract() {
    converges("gru", &Gru::<f64>::random(2, 3, 1), &[150, 67, 0, 1]);
    converges("gru, f32", &Gru::<f32>::random(1, 5, 2), &[297]);
    converges("lstm", &Lstm::<f64>::random(2, 2, 4), &[83, 83]);
    converges("diagonal gru", &DiagonalGru::<f64>::random(2, 5, 6), &[129]);
    converges("tanh 4", &Map::<f64>::tanh(4, 0.8, 8), &[127, 0, 64, 1]);
    converges("pairs", &Map::<f64>::new(Kind::Pairs, &[0.6, 0.5]), &[131]);
    let cycles = Kind::Cycles([3, 5, 2, 4, 0, 1]);
    converges("cycles", &Map::<f64>::new(cycles, &[0.6, 0.5]), &[131]);
    converges("gru 18", &Gru::<f64>::random(1, 18, 1), &[140]);
}

fn converges<D: Dynamics>(what: &str, dynamics: &D, lengths: &[usize]) {
    let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
    let mut noise = Noise::new(11);
    let x0 = Array2::from_shape_vec((lengths.len(), n), noise.vec(lengths.len() * n, 0.9)).unwrap();
    let inputs: Vec<Array2<D::Real>> = lengths
        .iter()
        .map(|&steps| Array2::from_shape_vec((steps, m), noise.vec(steps * m, 1.0)).unwrap())
        .collect();
    let views: Vec<_> = inputs.iter().map(|inputs| inputs.view()).collect();
    let problem = Problem::ragged(dynamics, x0.view(), &views).unwrap();
    let expected = plain_loop(&problem);
    let single = <D::Real as Real>::SINGLE;
    let mut quasi = (0, 0);
    for solver in [Solver::elk(1.0), Solver::quasi_elk(1.0), Solver::elk(0.0), Solver::elk(1e6)] {
        for block in [None, Some(3), Some(17), Some(1000)] {
            let mut solver = solver.clone();
            solver.block = block;
            let solution = solver.solve(&problem, &Cpu::with_threads(2).unwrap()).unwrap();
            let report = solution.report();
            let what = format!("{what}, {}, λ {}, block {block:?}", solver.method, solver.lambda);
            if solver.method == Method::QuasiElk && !solution.converged() {
                // Of dense Jacobians the diagonal may be too little.
                check_honest(&what, &problem, &solution, Allowance::of::<D::Real>(1.0));
                quasi.1 += 1;
                continue;
            }
            quasi.0 += usize::from(solver.method == Method::QuasiElk);
            assert!(solution.converged(), "{what}: {:?}\n{report}", solution.terminations());
            let apart = difference(solution.states(), expected.view());
            assert!(apart <= if single { 1e-5 } else { 1e-12 }, "{what}: {apart:e}\n{report}");
            assert_eq!(report.method, solver.method);
            let bound = report.error_bound.unwrap();
            assert!(
                apart <= bound && bound < if single { 1e-4 } else { 1e-11 },
                "{what}: {bound:e}"
            );
        }
    }
    assert!(quasi.0 >= 3, "{what}: quasi-elk converged in {} cases, not in {}", quasi.0, quasi.1);
}

/// Where Newton needs hundreds of sweeps, until its exact prefix has come far enough.
#[test]
fn few_sweeps_where_newton_overshoots() {
    let map = Map::<f64>::tanh(3, 2.5, 2);
    let mut noise = Noise::new(2);
    let x0 = Array1::from(noise.vec::<f64>(3, 0.5));
    let inputs = Array2::from_shape_vec((1000, 1), noise.vec(1000, 1.0)).unwrap();
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    let newton = Solver::deer().block(1).solve(&problem, &Cpu::new()).unwrap();
    let elk = Solver::elk(1.0).solve(&problem, &Cpu::new()).unwrap();
    assert!(newton.report().sweeps > 300, "{}", newton.report());
    assert!(elk.converged() && elk.report().sweeps < 15, "{}", elk.report());
    assert!(difference(elk.states(), plain_loop(&problem).view()) < 1e-12);
}

#[test]
fn bits_do_not_depend_on_threads() {
    let map = Map::<f64>::tanh(3, 1.3, 2);
    let mut noise = Noise::new(3);
    let x0 = Array1::zeros(3);
    let inputs = Array2::from_shape_vec((3000, 1), noise.vec(3000, 1.0)).unwrap();
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    let solve = |threads| {
        let cpu = Cpu::with_threads(threads).unwrap();
        let solution = Solver::elk(0.1).block(2).max_sweeps(6).solve(&problem, &cpu).unwrap();
        solution.states().iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(solve(1), solve(3));
}

/// A trajectory of Hénon's map whose residuals are at rounding, and which is not the loop's: chaos has many.
#[test]
fn a_shadow_is_not_taken_for_the_solution() {
    let map = Map::<f64>::new(Kind::Henon, &[]);
    let x0 = Array1::from(vec![0.1, 0.1]);
    let problem = Problem::autonomous(&map, x0.view(), 150).unwrap();
    let solution = Solver::elk(1.0).solve(&problem, &Cpu::new()).unwrap();
    let allowance = Allowance::of::<f64>(1.0);
    assert!(residual(&problem, solution.states(), allowance) <= 1.0, "{}", solution.report());
    assert!(difference(solution.states(), plain_loop(&problem).view()) > 0.1);
    assert_eq!(solution.termination(), Termination::Undetermined);
    assert!(solution.report().error_bound.unwrap() > 0.1);
}

/// The recurrence itself leaves the finite numbers, or every guess does.
#[test]
fn infinities() {
    let map = Map::<f64>::new(Kind::Affine, &[]);
    let x0 = Array1::from_elem(1, 1.0);
    let inputs = Array2::from_shape_fn((400, 2), |(_, i)| if i == 0 { 10.0 } else { 0.0 });
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    for solver in [Solver::elk(1.0), Solver::quasi_elk(1e-3)] {
        let solution = solver.solve(&problem, &Cpu::new()).unwrap();
        assert!(!solution.converged());
        check_honest("overflow", &problem, &solution, Allowance::of::<f64>(0.0));
    }
}

/// Each sequence has its own λ, and stops by itself.
#[test]
fn sequences_stop_by_themselves() {
    let map = Map::<f64>::new(Kind::Gain, &[]);
    let x0 = Array2::from_elem((3, 1), 0.5);
    let mut inputs = Array3::from_elem((3, 300, 2), 0.3);
    // One that is bistable, and pushed over.
    inputs.slice_mut(s![1, .., 0]).fill(4.0);
    inputs.slice_mut(s![1, .., 1]).fill(0.0);
    inputs[[1, 20, 1]] = -9.0;
    let problem = Problem::batch(&map, x0.view(), inputs.view()).unwrap();
    let solution = Solver::elk(1.0).max_sweeps(20).solve(&problem, &Cpu::new()).unwrap();
    let terminations = solution.terminations();
    assert_eq!(
        (terminations[0], terminations[2]),
        (Termination::Converged, Termination::Converged)
    );
    assert_ne!(terminations[1], Termination::Converged);
    let alone = inputs.slice(s![0..1, .., ..]);
    let problem = Problem::batch(&map, x0.slice(s![0..1, ..]), alone).unwrap();
    let single = Solver::elk(1.0).max_sweeps(20).solve(&problem, &Cpu::new()).unwrap();
    let apart = difference(single.states(), solution.states().slice(s![0..1, .., ..]));
    assert!(apart < 1e-13, "{apart:e}");
}

#[test]
fn settings_are_checked() {
    let map = Map::<f64>::tanh(2, 0.5, 1);
    let x0 = Array1::zeros(2);
    let inputs = Array2::zeros((10, 1));
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    for lambda in [-1.0, f64::NAN, f64::INFINITY] {
        let error = Solver::elk(lambda).solve(&problem, &Cpu::new()).unwrap_err();
        assert!(error.to_string().starts_with("lambda: expected a finite number"), "{error}");
    }
    assert_eq!(Method::Elk.to_string(), "elk");
    assert_eq!(Method::QuasiElk.to_string(), "quasi-elk");
}
