//! Initial value problems within a tolerance.

use crate::detest::PROBLEMS;
use crate::systems::{Driven, Lorenz, Tangent, VanDerPol};
use deer_solver::ode::{self, Ode, Options, Scheme, solve_ivp};
use deer_solver::scalar::{Param, Scalar};
use deer_solver::{Cpu, Error, Solver, Termination};
use ndarray::{Array1, array};

#[test]
fn non_stiff_problems_are_within_the_tolerance() {
    for problem in PROBLEMS {
        let times = Array1::linspace(0.0, 20.0, 9);
        let y0 = Array1::from(problem.exact(0.0));
        for scheme in [Scheme::Rk4, Scheme::Tsit5] {
            for tolerance in [1e-3, 1e-6, 1e-9] {
                let options = Options::default().scheme(scheme).tolerance(tolerance, tolerance);
                let solution =
                    solve_ivp(&problem, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
                let what = format!("{problem:?} {scheme} {tolerance:e}");
                assert!(solution.converged(), "{what}: {:?}", solution.termination());
                assert_eq!(solution.states().dim(), (9, y0.len()));
                let (mut largest, mut size) = (0.0f64, 0.0f64);
                for (k, &t) in times.iter().enumerate() {
                    for (j, exact) in problem.exact(t).into_iter().enumerate() {
                        let error = (solution.states()[[k, j]] - exact).abs();
                        let allowed = tolerance * (1.0 + exact.abs());
                        assert!(error <= allowed, "{what}: {error:e} at {t} in component {j}");
                        (largest, size) = (largest.max(error), size.max(exact.abs()));
                    }
                }
                // The estimate is of the same solution: neither far below its error nor above what was asked for.
                let estimate = solution.error_estimate().unwrap();
                let rounding = 1e-12 * (1.0 + size);
                assert!(largest <= 10.0 * estimate + rounding, "{what}: {largest:e}, {estimate:e}");
                let most = solution.states().iter().fold(size, |size, y| size.max(y.abs()));
                assert!(estimate <= 10.0 * tolerance * (1.0 + most), "{what}: {estimate:e}");
            }
        }
    }
}

/// Steps are short where the solution moves, and become longer again.
#[test]
fn grids_are_coarse_where_little_happens() {
    /// ẏ = −(y − cos t) · 30 e^(−t).
    struct Settling;
    impl Ode for Settling {
        type Real = f64;
        fn state_dim(&self) -> usize {
            1
        }
        #[inline(always)]
        fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], t: S, y: &[S], _: &[S], dy: &mut [S]) {
            dy[0] = (t.cos() - y[0]) * (-t).exp() * 30.0;
        }
    }
    for scheme in [Scheme::Rk4, Scheme::Tsit5] {
        let options = Options::default().scheme(scheme).tolerance(1e-8, 1e-8);
        let (y0, times) = (array![0.0], array![0.0, 12.0]);
        let solution =
            solve_ivp(&Settling, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
        assert!(solution.converged(), "{scheme}");
        let grid = solution.grid();
        let steps: Vec<f64> = grid.windows(2).into_iter().map(|t| t[1] - t[0]).collect();
        let shortest = steps.iter().copied().fold(f64::INFINITY, f64::min);
        let last = steps[steps.len() - 2];
        assert!(last > 10.0 * shortest, "{scheme}: {last} and {shortest} of {}", steps.len());
        // Nothing like what steps as short as the shortest would take.
        assert!((steps.len() as f64) < 0.4 * 12.0 / shortest, "{scheme}: {}", steps.len());
    }
}

#[test]
fn low_orders_meet_loose_tolerances() {
    let times = array![0.0, 0.3, 2.0];
    let y0 = Array1::from(Tangent::exact(0.0).to_vec());
    for scheme in [Scheme::ForwardEuler, Scheme::Midpoint] {
        let options = Options::default().scheme(scheme).rtol(1e-3).atol(1e-4);
        let solution = solve_ivp(&Tangent, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
        assert!(solution.converged());
        for (&t, y) in times.iter().zip(solution.states().outer_iter()) {
            for (y, exact) in y.iter().zip(Tangent::exact(t)) {
                assert!((y - exact).abs() <= 1e-4 + 1e-3 * exact.abs(), "{scheme} at {t}");
            }
        }
    }
}

#[test]
fn without_a_tolerance_the_grid_is_the_one_given() {
    let times = Array1::linspace(0.0, 2.0, 401);
    let y0 = Array1::from(Tangent::exact(0.0).to_vec());
    let solution =
        solve_ivp(&Tangent, y0.view(), times.view(), &Options::default(), &Cpu::new()).unwrap();
    assert!(solution.converged());
    assert_eq!(solution.grid(), times);
    assert_eq!(solution.times(), times);
    assert_eq!(solution.trajectory(0), solution.states());
    assert_eq!(solution.states().row(0), y0);
    assert_eq!(solution.error_estimate(), None);
    let exact = Tangent::exact(2.0);
    assert!((solution.states()[[400, 1]] - exact[1]).abs() < 1e-8);
    // Dense output is of fourth order.
    for t in [0.0, 0.0024, 1.0, 1.23456, 2.0] {
        let y = solution.at(t).unwrap();
        for (y, exact) in y.iter().zip(Tangent::exact(t)) {
            assert!((y - exact).abs() < 1e-8, "{t}: {y} {exact}");
        }
    }
    let dense_error = |points: usize| {
        let times = Array1::linspace(0.0, 2.0, points);
        let options = Options::default().scheme(Scheme::Tsit5);
        let solution = solve_ivp(&Tangent, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
        let t = 1.7 + 0.5 / (points - 1) as f64;
        (solution.at(t).unwrap()[0] - Tangent::exact(t)[0]).abs()
    };
    let slope = (dense_error(41) / dense_error(81)).log2();
    assert!((slope - 4.0).abs() < 0.3, "{slope}");
}

#[test]
fn one_time_is_the_initial_state() {
    for options in [Options::default(), Options::default().rtol(1e-6)] {
        let (y0, times) = (array![1.0, 2.0], array![3.0]);
        let solution = solve_ivp(&Tangent, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
        assert!(solution.converged());
        assert_eq!(solution.states(), array![[1.0, 2.0]]);
        assert_eq!(solution.at(3.0).unwrap(), y0);
    }
}

#[test]
fn every_solver_gives_the_same() {
    let times = Array1::linspace(0.0, 10.0, 501);
    let (ode, y0) = (VanDerPol([2.0]), array![2.0, 0.0]);
    let solve = |solver| {
        let options = Options::default().solver(solver).tolerance(1e-8, 1e-8);
        solve_ivp(&ode, y0.view(), times.view(), &options, &Cpu::new()).unwrap()
    };
    let by_loop = solve(Solver::sequential());
    for solver in [Solver::auto(), Solver::deer(), Solver::jacobi(), Solver::quasi_deer()] {
        let solution = solve(solver.clone());
        assert!(solution.converged());
        let difference = (&solution.states() - &by_loop.states()).mapv(f64::abs);
        assert!(difference.iter().all(|&d| d < 2e-8), "{solver:?}");
    }
}

/// y' = y², which is infinite at t = 1.
struct BlowUp;

impl Ode for BlowUp {
    type Real = f64;
    fn state_dim(&self) -> usize {
        1
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
        dy[0] = y[0] * y[0];
    }
}

#[test]
fn what_cannot_be_met_is_said() {
    // A pole on the way.
    let times = Array1::linspace(0.0, 2.0, 11);
    let options = Options::default().rtol(1e-6);
    let solution =
        solve_ivp(&BlowUp, array![1.0].view(), times.view(), &options, &Cpu::new()).unwrap();
    assert!(!solution.converged());

    // On the grid as given it is passed over or overflows: then the row is named.
    let solution =
        solve_ivp(&BlowUp, array![1e200].view(), times.view(), &Options::default(), &Cpu::new())
            .unwrap();
    assert_eq!(solution.termination(), Termination::NonFinite { batch: 0, t: 1 });

    // Too few points.
    let (ode, y0, times) = (VanDerPol([5.0]), array![2.0, 0.0], array![0.0, 50.0]);
    let options = Options::default().rtol(1e-9).max_points(2000);
    let solution = solve_ivp(&ode, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
    assert_eq!(solution.termination(), Termination::RefinementLimit);
    assert!(solution.grid().len() <= 2000);

    // A tolerance below rounding.
    let times = array![0.0, 2.0];
    let y0 = Array1::from(Tangent::exact(0.0).to_vec());
    let options = Options::default().atol(1e-19).max_points(20_000);
    let solution = solve_ivp(&Tangent, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
    assert_eq!(solution.termination(), Termination::RefinementLimit);
}

/// Chaos: either the tolerance is met, against a much better trajectory, or the solution says that it is not.
#[test]
fn chaos_is_right_or_not_converged() {
    let y0 = array![1.0, 1.0, 20.0];
    let reference = |end: f64| {
        let times = Array1::linspace(0.0, end, 400_001);
        let options = Options::default().scheme(Scheme::Tsit5).solver(Solver::sequential());
        let solution = solve_ivp(&Lorenz, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
        solution.states().row(400_000).to_owned()
    };
    for (end, reachable) in [(5.0, true), (15.0, true), (60.0, false)] {
        let expected = reference(end);
        for solver in [Solver::auto(), Solver::deer(), Solver::jacobi()] {
            let options =
                Options::default().scheme(Scheme::Tsit5).rtol(1e-6).solver(solver.clone());
            let options = options.max_points(40_000);
            let times = array![0.0, end];
            let solution =
                solve_ivp(&Lorenz, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
            let error = (&solution.states().row(1) - &expected).mapv(f64::abs);
            let right = error.iter().zip(&expected).all(|(e, y)| *e <= 1e-6 * (1.0 + y.abs()));
            assert!(right || !solution.converged(), "{end} {solver:?}: {error}");
            assert_eq!(solution.converged(), reachable, "{end} {solver:?}");
        }
    }
}

#[test]
fn misuse_is_named() {
    let cpu = Cpu::new();
    let y0 = array![0.0, 0.0];
    let message = |y0: &Array1<f64>, times: Array1<f64>, options: &Options| {
        solve_ivp(&Tangent, y0.view(), times.view(), options, &cpu).unwrap_err().to_string()
    };
    let plain = Options::default();
    let unit = array![0.0, 1.0];
    assert_eq!(message(&y0, array![], &plain), "times: expected shape [at least 1], got [0]");
    assert_eq!(
        message(&y0, array![0.0, f64::NAN], &plain),
        "times[1]: expected a finite number, got NaN"
    );
    assert_eq!(
        message(&y0, array![1.0, 0.0], &plain),
        "times: expected strictly increasing times, got times[0] = 1, times[1] = 0"
    );
    assert_eq!(message(&array![0.0], unit.clone(), &plain), "y0: expected shape [n = 2], got [1]");
    assert_eq!(
        message(&array![0.0, f64::NAN], unit.clone(), &plain),
        "y0[1]: expected a finite number, got NaN"
    );
    assert_eq!(
        message(&y0, unit.clone(), &plain.clone().rtol(-1.0)),
        "rtol: expected a finite number, at least 0, got -1"
    );
    assert_eq!(
        message(&y0, unit.clone(), &plain.clone().atol(f64::NAN)),
        "atol: expected a finite number, at least 0, got NaN"
    );
    assert_eq!(
        message(&y0, unit.clone(), &plain.clone().tolerance(0.0, 0.0)),
        "rtol: expected rtol or atol above 0, got 0"
    );
    let error = solve_ivp(&Driven, array![0.0].view(), unit.view(), &plain, &cpu).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ode: expected an equation without inputs (use ode::Discretized for one with inputs), got input_dim() = 1"
    );
    let solution = solve_ivp(&Tangent, y0.view(), unit.view(), &plain, &cpu).unwrap();
    for t in [-0.1, 1.1, f64::NAN] {
        let error = solution.at(t).unwrap_err();
        assert!(matches!(error, Error::Setting { setting: "t", .. }), "{error}");
    }
    let _: &ode::Solution<f64> = &solution;
}
