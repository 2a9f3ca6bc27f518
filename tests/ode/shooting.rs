//! Shooting from coarser grids against the loop.

use crate::systems::{Driven, Kepler, VanDerPol};
use deer_solver::ode::{Discretized, ImplicitDiscretized, Interpolation, Ode, Scheme};
use deer_solver::scalar::{Constant, Param, Scalar};
use deer_solver::{
    Cpu, Method, Problem, Recurrence, Solution, Solver, Termination, backend::Sweep,
};
use ndarray::{Array1, Array2, Array3, Axis, array};

fn nothing() -> Array2<f64> {
    Array2::zeros((0, 0))
}

fn solve<D: Recurrence<Real = f64>>(solver: &Solver, problem: &Problem<'_, D>) -> Solution<f64>
where
    Cpu: Sweep<D>,
{
    let solution = solver.solve(problem, &Cpu::with_threads(2).unwrap()).unwrap();
    assert!(solution.converged(), "{solver:?}: {:?}", solution.termination());
    solution
}

/// That `solver` delivers the loop's states to `bound` of each component's largest magnitude, by shooting.
fn is_the_loop<D: Recurrence<Real = f64>>(solver: &Solver, problem: &Problem<'_, D>, bound: f64)
where
    Cpu: Sweep<D>,
{
    let expected = solve(&Solver::sequential(), problem);
    let solution = solve(solver, problem);
    let report = solution.report();
    assert_eq!(report.method, Method::Shooting, "{report}");
    // A scheme of low order is another map than the coarse grid's by its own error.
    assert!(report.work < 8.0, "{report}");
    for i in 0..problem.state_dim() {
        let (states, expected) = (solution.states(), expected.states());
        let states = states.index_axis(Axis(2), i);
        let expected = expected.index_axis(Axis(2), i);
        let largest = expected.iter().fold(0.0, |largest, x| f64::max(largest, x.abs()));
        for (a, b) in states.iter().zip(&expected) {
            assert!((a - b).abs() <= bound * largest, "{a} {b} of {largest}\n{report}");
        }
    }
}

/// Where nothing changes there is nothing that a finer grid could tell, whatever is allowed.
#[test]
fn equilibria() {
    let times = Array1::linspace(0.0, 20.0, 50_001);
    let oscillator = VanDerPol([1.5]);
    for scheme in [Scheme::Trapezoidal, Scheme::BackwardEuler] {
        let discretized = ImplicitDiscretized::new(&oscillator, &times, scheme);
        let problem = discretized.problem(array![0.0, 0.0].view(), nothing().view()).unwrap();
        for (atol, rtol) in [(0.0, 0.0), (1e-12, 0.0), (0.0, 1e-13)] {
            for solver in [Solver::shooting(), Solver::auto()] {
                let solution = solve(&solver.tolerance(atol, rtol), &problem);
                assert!(solution.states().iter().all(|&y| y == 0.0));
            }
        }
    }
}

#[test]
fn oscillators_by_every_explicit_scheme() {
    let times = Array1::linspace(0.0, 20.0, 50_001);
    for scheme in [Scheme::ForwardEuler, Scheme::Midpoint, Scheme::Rk4, Scheme::Tsit5] {
        let oscillator = VanDerPol([1.5]);
        let discretized = Discretized::new(&oscillator, &times, scheme);
        let problem = discretized.problem(array![2.0, 0.0].view(), nothing().view()).unwrap();
        is_the_loop(&Solver::shooting(), &problem, 1e-10);
    }
    let discretized = Discretized::new(&Kepler, &times, Scheme::Rk4);
    let problem = discretized.problem(array![0.8, 0.0, 0.0, 1.1].view(), nothing().view()).unwrap();
    is_the_loop(&Solver::shooting(), &problem, 1e-10);
}

#[test]
fn auto_shoots_where_grids_agree() {
    let oscillator = VanDerPol([1.5]);
    let times = Array1::linspace(0.0, 20.0, 50_001);
    let discretized = Discretized::new(&oscillator, &times, Scheme::Rk4);
    let problem = discretized.problem(array![2.0, 0.0].view(), nothing().view()).unwrap();
    is_the_loop(&Solver::auto(), &problem, 1e-10);
    let implicit = ImplicitDiscretized::new(&oscillator, &times, Scheme::Trapezoidal);
    let problem = implicit.problem(array![2.0, 0.0].view(), nothing().view()).unwrap();
    is_the_loop(&Solver::auto(), &problem, 1e-10);
}

/// Where their grids are not stiff, coarse steps are explicit and stand for the short ones to rounding: a sweep is enough, also with inputs.
#[test]
fn implicit_schemes_take_about_a_sweep() {
    let times = Array1::linspace(0.0, 20.0, 50_001);
    let u = Array2::from_shape_fn((50_001, 1), |(k, _)| (times[k] * 1.5).sin());
    for scheme in [Scheme::BackwardEuler, Scheme::Trapezoidal, Scheme::ImplicitMidpoint] {
        for interpolation in [Interpolation::Held, Interpolation::Linear] {
            let driven =
                ImplicitDiscretized::new(&Driven, &times, scheme).interpolation(interpolation);
            let problem = driven.problem(array![0.5].view(), u.view()).unwrap();
            is_the_loop(&Solver::shooting(), &problem, 1e-11);
        }
        let fine = Array1::linspace(0.0, 20.0, 200_001);
        let kepler = ImplicitDiscretized::new(&Kepler, &fine, scheme);
        let problem = kepler.problem(array![0.8, 0.0, 0.0, 1.1].view(), nothing().view()).unwrap();
        is_the_loop(&Solver::shooting(), &problem, 1e-10);
        let work = solve(&Solver::shooting(), &problem).report().work;
        // What a step of the midpoint rule is off by has larger terms of higher order.
        let most = if scheme == Scheme::ImplicitMidpoint { 2.5 } else { 1.5 };
        assert!(work < most, "{scheme}: {work}");
    }
}

/// Fades a thousand times as fast as a coarse step allows for to be explicit, behind a component that does not.
struct Stiff;

impl Ode for Stiff {
    type Real = f64;
    fn state_dim(&self) -> usize {
        3
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
        dy[0] = y[1];
        dy[1] = -y[0];
        dy[2] = (y[0] * y[0] - y[2]) * 1e5;
    }
}

#[test]
fn stiff_equations_have_implicit_coarse_grids() {
    let times = Array1::linspace(0.0, 20.0, 50_001);
    for scheme in [Scheme::BackwardEuler, Scheme::Trapezoidal, Scheme::RadauIIA5] {
        let stiff = ImplicitDiscretized::new(&Stiff, &times, scheme);
        let problem = stiff.problem(array![1.0, 0.0, 1.0].view(), nothing().view()).unwrap();
        is_the_loop(&Solver::shooting(), &problem, 1e-10);
    }
}

#[test]
fn a_guess_that_solves_the_equation_is_taken() {
    let oscillator = VanDerPol([1.5]);
    let times = Array1::linspace(0.0, 20.0, 50_001);
    let implicit = ImplicitDiscretized::new(&oscillator, &times, Scheme::Trapezoidal);
    let problem = implicit.problem(array![2.0, 0.0].view(), nothing().view()).unwrap();
    let first = solve(&Solver::shooting(), &problem);
    assert!(first.report().sweeps > 1, "{}", first.report());
    let problem = problem.with_guess(first.states()).unwrap();
    let again = solve(&Solver::shooting(), &problem);
    assert_eq!((again.report().sweeps, again.report().work), (1, 1.0), "{}", again.report());
    // One that does not is no worse than none.
    let wrong = first.states().mapv(|x| x + 1e-3);
    let problem = problem.with_guess(wrong.view()).unwrap();
    assert_eq!(solve(&Solver::shooting(), &problem).report().sweeps, first.report().sweeps);
}

#[test]
fn batches_of_driven_equations() {
    let times = Array1::linspace(0.0, 30.0, 10_001);
    let u = Array3::from_shape_fn((3, 10_001, 1), |(b, k, _)| (times[k] * (1.0 + b as f64)).sin());
    for interpolation in [Interpolation::Held, Interpolation::Linear] {
        let discretized =
            Discretized::new(&Driven, &times, Scheme::Rk4).interpolation(interpolation);
        let y0 = array![[0.5], [-1.0], [2.0]];
        let problem = discretized.problem_batch(y0.view(), u.view()).unwrap();
        is_the_loop(&Solver::shooting(), &problem, 1e-11);
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let times = Array1::linspace(0.0, 20.0, 20_001);
    let discretized = Discretized::new(&Kepler, &times, Scheme::Rk4);
    let problem = discretized.problem(array![0.8, 0.0, 0.0, 1.1].view(), nothing().view()).unwrap();
    let states = |threads| {
        let cpu = Cpu::with_threads(threads).unwrap();
        Solver::auto().solve(&problem, &cpu).unwrap().into_states()
    };
    assert_eq!(states(1), states(2));
    assert_eq!(states(1), states(5));
}

/// Lorenz' attractor.
struct Lorenz;

impl Ode for Lorenz {
    type Real = f64;
    fn state_dim(&self) -> usize {
        3
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
        dy[0] = (y[1] - y[0]) * 10.0;
        dy[1] = y[0] * (Constant(28.0) - y[2]) - y[1];
        dy[2] = y[0] * y[1] - y[2] * (8.0 / 3.0);
    }
}

#[test]
fn chaos_is_left_to_the_loop() {
    let times = Array1::linspace(0.0, 30.0, 30_001);
    let discretized = Discretized::new(&Lorenz, &times, Scheme::Rk4);
    let problem = discretized.problem(array![1.0, 1.0, 1.0].view(), nothing().view()).unwrap();
    let solution = solve(&Solver::auto(), &problem);
    assert_eq!(solution.report().method, Method::Sequential, "{}", solution.report());
    assert_eq!(solution.states(), solve(&Solver::sequential(), &problem).states());
}

#[test]
fn too_few_sweeps_are_no_success() {
    let oscillator = VanDerPol([1.5]);
    let times = Array1::linspace(0.0, 200.0, 20_001);
    let discretized = Discretized::new(&oscillator, &times, Scheme::Rk4);
    let problem = discretized.problem(array![2.0, 0.0].view(), nothing().view()).unwrap();
    let solution = Solver::shooting().max_sweeps(1).solve(&problem, &Cpu::new()).unwrap();
    assert_eq!(solution.termination(), Termination::SweepLimit);
}
