//! Shooting from coarser grids against the loop.

use crate::systems::{Driven, Kepler, VanDerPol};
use deer_solver::ode::{Discretized, ImplicitDiscretized, Interpolation, Ode, Scheme};
use deer_solver::scalar::{Constant, Param, Scalar};
use deer_solver::{
    Cpu, Damping, Method, Problem, Recurrence, Solution, Solver, Termination, backend::Sweep,
    diagnostics,
};
use ndarray::{Array1, Array2, Array3, ArrayView3, Axis, array, s};

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
        let oscillator = VanDerPol([1.5]);
        let oscillator = ImplicitDiscretized::new(&oscillator, &fine, scheme);
        let problem = oscillator.problem(array![2.0, 0.0].view(), nothing().view()).unwrap();
        is_the_loop(&Solver::shooting(), &problem, 1e-10);
        let work = solve(&Solver::shooting(), &problem).report().work;
        assert!(work < 1.5, "{scheme}: {work}");
    }
}

#[test]
fn stiff_equations_have_implicit_coarse_grids() {
    let times = Array1::linspace(0.0, 20.0, 50_001);
    let stiff = VanDerPol([1000.0]);
    for scheme in [Scheme::BackwardEuler, Scheme::Trapezoidal, Scheme::RadauIIA5] {
        let discretized = ImplicitDiscretized::new(&stiff, &times, scheme);
        let problem = discretized.problem(array![2.0, -6.7e-4].view(), nothing().view()).unwrap();
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

/// ẏ = u₀ y − y³ + u₁: two wells for u₀ > 0, one for u₀ < 0.
struct Wells;

impl Ode for Wells {
    type Real = f64;
    fn state_dim(&self) -> usize {
        1
    }
    fn input_dim(&self) -> usize {
        2
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], u: &[S], dy: &mut [S]) {
        dy[0] = u[0] * y[0] - y[0] * y[0] * y[0] + u[1];
    }
}

/// That every method delivers the loop's states, or says that it has not.
fn is_the_loop_or_says_so<D: Recurrence<Real = f64>>(what: &str, problem: &Problem<'_, D>)
where
    Cpu: Sweep<D>,
{
    let expected = solve(&Solver::sequential(), problem);
    let methods = [
        Solver::auto(),
        Solver::shooting(),
        Solver::shooting().block(100),
        Solver::jacobi(),
        Solver::picard(),
        Solver::quasi_deer(),
        Solver::deer(),
        Solver::deer().damping(Damping::Adaptive),
        Solver::elk(1.0),
        Solver::quasi_elk(1.0),
    ];
    for solver in methods {
        let solution = solver.solve(problem, &Cpu::new()).unwrap();
        if !solution.converged() {
            assert!(!always_delivers(&solver), "{what}, {solver:?}: {}", solution.report());
            continue;
        }
        for (a, b) in solution.states().iter().zip(expected.states()) {
            assert!((a - b).abs() < 1e-8, "{what}, {solver:?}: {a} {b}\n{}", solution.report());
        }
    }
}

/// Those that end with every block right, if need be by their number.
fn always_delivers(solver: &Solver) -> bool {
    matches!(solver.method, Method::Auto | Method::Shooting)
}

#[test]
fn wells_by_every_method() {
    let points = 20_001;
    let times = Array1::linspace(0.0, 20.0, points);
    type Inputs = fn(f64) -> [f64; 2];
    let courses: [(&str, f64, Inputs); 4] = [
        ("pushed over", -1.0, |t| [1.0, if (t - 10.0).abs() < 1.0 { 2.0 } else { 0.0 }]),
        ("pushed, but not over", -1.0, |t| [1.0, if (t - 10.0).abs() < 1.0 { 0.3 } else { 0.0 }]),
        ("on the ridge", 1e-9, |_| [1.0, 0.0]),
        ("expanding, then contracting", 1e-6, |t| [if t < 5.0 { 3.0 } else { -1.0 }, 0.0]),
    ];
    for (what, y0, inputs) in courses {
        let u = Array2::from_shape_fn((points, 2), |(k, i)| inputs(times[k])[i]);
        let y0 = array![y0];
        let explicit = Discretized::new(&Wells, &times, Scheme::Rk4);
        is_the_loop_or_says_so(what, &explicit.problem(y0.view(), u.view()).unwrap());
        for scheme in [Scheme::Trapezoidal, Scheme::BackwardEuler] {
            let implicit = ImplicitDiscretized::new(&Wells, &times, scheme);
            let problem = implicit.problem(y0.view(), u.view()).unwrap();
            is_the_loop_or_says_so(&format!("{what}, {scheme}"), &problem);
        }
    }
}

#[test]
fn batches_of_implicit_steps() {
    let times = Array1::linspace(0.0, 30.0, 10_001);
    let u = Array3::from_shape_fn((3, 10_001, 1), |(b, k, _)| (times[k] * (1.0 + b as f64)).sin());
    let y0 = array![[0.5], [-1.0], [2.0]];
    for scheme in [Scheme::BackwardEuler, Scheme::Bdf2] {
        let discretized = ImplicitDiscretized::new(&Driven, &times, scheme);
        let batch = discretized.problem_batch(y0.view(), u.view()).unwrap();
        let together = solve(&Solver::auto(), &batch);
        for b in 0..3 {
            let own = discretized.problem(y0.row(b), u.index_axis(Axis(0), b)).unwrap();
            let alone = solve(&Solver::sequential(), &own);
            for (a, b) in together.trajectory(b).iter().zip(alone.trajectory(0)) {
                assert!((a - b).abs() < 1e-11, "{scheme}: {a} {b}");
            }
        }
        let error = discretized.problem_batch(y0.view(), u.slice(s![..2, .., ..])).unwrap_err();
        let expected = "u: expected shape [B = 3, times = 10001, m = 1], got [2, 10001, 1]";
        assert_eq!(error.to_string(), expected);
    }
}

/// The bound of the error against the loop, where shooting was stopped early by a loose tolerance.
#[test]
fn bounds_hold_for_equations() {
    let cpu = Cpu::with_threads(1).unwrap();
    let times = Array1::linspace(0.0, 8.0, 4001);
    let mut ratios = Vec::new();
    let mut case = |what: &str, bound: f64, a: ArrayView3<'_, f64>, b: ArrayView3<'_, f64>| {
        let error = a.iter().zip(b).fold(0.0f64, |most, (a, b)| most.max((a - b).abs()));
        assert!(error <= bound, "{what}: {error:e} and {bound:e}");
        if error > 0.0 {
            ratios.push(bound / error);
        }
    };
    for k in 0..60 {
        let oscillator = VanDerPol([0.2 + 0.03 * f64::from(k)]);
        let y0 = array![2.0 - 0.05 * f64::from(k), 0.1 * f64::from(k % 7)];
        let rtol = 10f64.powf(-5.0 - 0.12 * f64::from(k));
        let solver = Solver::shooting().block(100 + 10 * k as usize).tolerance(0.0, rtol);
        let explicit = Discretized::new(&oscillator, &times, Scheme::ForwardEuler);
        let problem = explicit.problem(y0.view(), nothing().view()).unwrap();
        let solution = solve(&solver, &problem);
        let bound = diagnostics::error_bound(&problem, &solution, &cpu).unwrap().total();
        let by_loop = solve(&Solver::sequential(), &problem);
        case(&format!("explicit {k}"), bound, solution.states(), by_loop.states());
        let implicit = ImplicitDiscretized::new(&oscillator, &times, Scheme::Trapezoidal);
        let problem = implicit.problem(y0.view(), nothing().view()).unwrap();
        let solution = solve(&solver, &problem);
        let bound = diagnostics::error_bound(&problem, &solution, &cpu).unwrap().total();
        let by_loop = solve(&Solver::sequential(), &problem);
        case(&format!("implicit {k}"), bound, solution.states(), by_loop.states());
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    assert!(ratios.len() > 60 && median < 100.0, "{} with an error, {median}", ratios.len());
}
