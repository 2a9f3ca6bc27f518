//! Steps that are defined by an equation, against the CPU's.

use crate::common::equations::Equation::{
    Pendulum, Ring, Saturating, Switched, VanDerPol, Vanishing,
};
use crate::common::equations::{Cubic, Uncoupled, jumps};
use crate::common::reference::difference;
use crate::cuda;
use crate::maps::Noise;
use deer_solver::dynamics::Residual;
use deer_solver::ode::{Dae, ImplicitDiscretized, Ode, Options, Scheme, solve_dae, solve_ivp};
use deer_solver::scalar::{Constant, Param, Scalar};
use deer_solver::{
    Cpu, Cuda, Implicit, Linearization, Method, Problem, Real, Solver, Tangents, Termination,
};
use ndarray::{Array1, Array2, Array3, ArrayView2, array};
use std::marker::PhantomData;

/// Those that close in on what contracts, and those that do on any of these.
fn methods(contracting: bool) -> Vec<Solver> {
    let mut methods = vec![
        Solver::sequential(),
        Solver::jacobi(),
        Solver::deer(),
        Solver::deer().block(5),
        Solver::shooting(),
        Solver::auto(),
    ];
    if contracting {
        methods.extend([Solver::picard(), Solver::quasi_deer()]);
    }
    methods
}

/// Every method on the device against the loop on the CPU.
fn every_method<F: Residual>(
    what: &str,
    problem: &Problem<'_, Implicit<F>>,
    contracting: bool,
    tolerance: f64,
) {
    let expected = Solver::sequential().solve(problem, &Cpu::new()).unwrap();
    assert!(expected.converged(), "{what}: {}", expected.report());
    for solver in methods(contracting) {
        let solution = solver.solve(problem, &cuda().with_chunk_steps(20)).unwrap();
        let report = solution.report();
        assert!(solution.converged(), "{what}, {}: {report}", solver.method);
        let apart = difference(solution.states(), expected.states());
        assert!(apart <= tolerance, "{what}, {}: off by {apart:e}\n{report}", solver.method);
    }
}

fn cubic<R: Real>(tolerance: f64) {
    let noise = &mut Noise::new(2);
    let inputs: Vec<Array2<R>> = [300usize, 1, 517]
        .map(|steps| Array2::from_shape_vec((steps, 1), noise.vec(steps, 2.0)).unwrap())
        .into();
    let views: Vec<ArrayView2<R>> = inputs.iter().map(|inputs| inputs.view()).collect();
    let x0 = Array2::from_shape_vec((3, 1), noise.vec(3, 1.0)).unwrap();
    let implicit = Implicit::new(Cubic::<R>(PhantomData));
    let problem = Problem::ragged(&implicit, x0.view(), &views).unwrap();
    every_method("cubic", &problem, true, tolerance);
}

#[test]
fn one_unknown_in_a_batch() {
    cubic::<f64>(1e-13);
    cubic::<f32>(2e-6);
}

#[test]
fn stiff_and_constrained_steps() {
    let implicit = Implicit::new(VanDerPol);
    let x0 = array![2.0, 0.0];
    every_method("stiff", &Problem::autonomous(&implicit, x0.view(), 700).unwrap(), true, 1e-10);
    let implicit = Implicit::new(Pendulum);
    let x0 = array![1.0, 0.0, 0.0, 0.0, 0.0];
    let problem = Problem::autonomous(&implicit, x0.view(), 120).unwrap();
    let expected = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    let solution = Solver::sequential().solve(&problem, &cuda()).unwrap();
    let apart = difference(solution.states(), expected.states());
    assert!(solution.converged() && apart < 1e-10, "off by {apart:e}");
}

/// Maps of such steps fall into blocks, what solves them does not.
#[test]
fn unknowns_that_do_not_depend_on_each_other() {
    let steps = 150;
    let inputs = Array2::from_shape_vec((steps, 1), Noise::new(5).vec(steps, 1.0)).unwrap();
    for (oscillators, filters) in [(2, 0), (4, 3)] {
        let implicit = Implicit::new(Uncoupled { oscillators, filters });
        let x0 = Array1::from_elem(oscillators * (2 + filters), 0.4);
        let problem = Problem::new(&implicit, x0.view(), inputs.view()).unwrap();
        every_method(&format!("{oscillators} oscillators"), &problem, true, 1e-11);
    }
}

#[test]
fn conductances_that_jump() {
    let inputs = Array2::from_shape_vec((400, 1), jumps(3, 400)).unwrap();
    let implicit = Implicit::new(Switched);
    let x0 = array![0.9, 0.5, 0.2];
    let problem = Problem::new(&implicit, x0.view(), inputs.view()).unwrap();
    let expected = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    for solver in [Solver::sequential(), Solver::jacobi()] {
        let solution = solver.tolerance(1e-14, 1e-13).solve(&problem, &cuda()).unwrap();
        let apart = difference(solution.states(), expected.states());
        assert!(solution.converged() && apart < 1e-11, "off by {apart:e}");
    }
}

/// Whole corrections do not get there, so that parts are taken.
#[test]
fn damped_corrections() {
    let noise = &mut Noise::new(5);
    let inputs = Array2::from_shape_vec((60, 1), noise.vec(60, 1.0)).unwrap();
    let implicit = Implicit::new(Saturating);
    let problem = Problem::new(&implicit, array![0.0].view(), inputs.view()).unwrap();
    let expected = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    assert!(expected.converged());
    let solution = Solver::sequential().solve(&problem, &cuda()).unwrap();
    assert!(solution.converged(), "{}", solution.report());
    let apart = difference(solution.states(), expected.states());
    assert!(apart < 1e-11, "off by {apart:e}");
}

#[test]
fn a_step_without_a_solution_is_said() {
    let vanishing = Implicit::new(Vanishing);
    let problem = Problem::autonomous(&vanishing, array![1.005].view(), 500).unwrap();
    for solver in [Solver::sequential(), Solver::jacobi(), Solver::auto()] {
        let solution = solver.solve(&problem, &cuda()).unwrap();
        assert_eq!(solution.termination(), Termination::NonFinite { batch: 0, t: 101 });
    }
}

/// Van der Pol's oscillator.
struct Oscillator {
    mu: [f64; 1],
}

impl Ode for Oscillator {
    type Real = f64;
    fn state_dim(&self) -> usize {
        2
    }
    fn params(&self) -> &[f64] {
        &self.mu
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, mu: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
        dy[0] = y[1];
        dy[1] = (Constant(1.0) - y[0] * y[0]) * y[1] * mu[0] - y[0];
    }
}

const SCHEMES: [Scheme; 5] = [
    Scheme::BackwardEuler,
    Scheme::Trapezoidal,
    Scheme::ImplicitMidpoint,
    Scheme::Bdf2,
    Scheme::RadauIIA5,
];

#[test]
fn implicit_schemes() {
    let oscillator = Oscillator { mu: [5.0] };
    let times = Array1::linspace(0.0, 6.0, 401);
    for scheme in SCHEMES {
        let steps = ImplicitDiscretized::new(&oscillator, times.view(), scheme);
        let nothing = Array2::zeros((401, 0));
        let problem = steps.problem(array![2.0, 0.0].view(), nothing.view()).unwrap();
        every_method(&format!("{scheme:?}"), &problem, false, 1e-9);
    }
}

/// Long enough for coarser grids, of explicit steps and of implicit ones.
#[test]
fn shooting_from_coarser_grids() {
    for (mu, end, steps) in [(1.0, 30.0, 20_000), (100.0, 40.0, 20_000)] {
        let oscillator = Oscillator { mu: [mu] };
        let times = Array1::linspace(0.0, end, steps + 1);
        for scheme in [Scheme::Trapezoidal, Scheme::BackwardEuler] {
            let steps = ImplicitDiscretized::new(&oscillator, times.view(), scheme);
            let nothing = Array2::zeros((times.len(), 0));
            let problem = steps.problem(array![2.0, 0.0].view(), nothing.view()).unwrap();
            let expected = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
            let solution = Solver::shooting().solve(&problem, &cuda()).unwrap();
            let report = solution.report();
            assert!(solution.converged() && report.sweeps < 12, "{report}");
            assert_eq!(report.method, Method::Shooting, "{report}");
            let apart = difference(solution.states(), expected.states());
            assert!(apart < 1e-7, "μ = {mu}, {scheme:?}: off by {apart:e}\n{report}");
        }
    }
}

#[test]
fn derivatives_of_implicit_steps() {
    let oscillator = Oscillator { mu: [2.0] };
    let times = Array1::linspace(0.0, 3.0, 201);
    let (cpu, cuda) = (Cpu::new(), cuda());
    for scheme in SCHEMES {
        let steps = ImplicitDiscretized::new(&oscillator, times.view(), scheme);
        let nothing = Array2::zeros((201, 0));
        let problem = steps.problem(array![2.0, 0.0].view(), nothing.view()).unwrap();
        let solution = Solver::deer().solve(&problem, &cuda).unwrap();
        let (n, steps) = (problem.state_dim(), problem.max_steps());
        let cotangent =
            Array3::from_shape_vec((1, steps, n), Noise::new(3).vec(steps * n, 1.0)).unwrap();
        let here = solution.vjp(&problem, cotangent.view(), &cuda).unwrap();
        let there = solution.vjp(&problem, cotangent.view(), &cpu).unwrap();
        let same = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + b.abs());
        assert!(same(here.params[0], there.params[0]), "{scheme:?}: {here:?} {there:?}");
        assert!(here.initial_state.iter().zip(&there.initial_state).all(|(&a, &b)| same(a, b)));
        let tangents = Tangents {
            params: array![1.0],
            inputs: Array3::zeros((1, steps, problem.input_dim())),
            initial_state: Array2::zeros((1, n)),
        };
        let here = solution.jvp(&problem, &tangents, &cuda).unwrap();
        let there = solution.jvp(&problem, &tangents, &cpu).unwrap();
        assert!(here.iter().zip(&there).all(|(&a, &b)| same(a, b)), "{scheme:?}");
    }
}

/// y' = −z, z (1 + z²) = 2 y.
struct Constrained;

impl Dae for Constrained {
    type Real = f64;
    fn state_dim(&self) -> usize {
        2
    }
    #[inline(always)]
    fn residual<S: Scalar<Real = f64>>(
        &self,
        _: &[Param<S>],
        _: S,
        dy: &[S],
        y: &[S],
        _: &[S],
        r: &mut [S],
    ) {
        r[0] = dy[0] + y[1];
        r[1] = y[1] * (Constant(1.0) + y[1] * y[1]) - y[0] * 2.0;
    }
}

#[test]
fn solve_ivp_and_solve_dae() {
    let oscillator = Oscillator { mu: [20.0] };
    let times = Array1::linspace(0.0, 10.0, 31);
    let options = Options::default().scheme(Scheme::RadauIIA5);
    let y0 = array![2.0, 0.0];
    let here = solve_ivp(&oscillator, y0.view(), times.view(), &options, &cuda()).unwrap();
    let there = solve_ivp(&oscillator, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
    assert!(here.states().iter().zip(there.states()).all(|(a, b)| (a - b).abs() < 1e-9));
    let y0 = array![1.0, 1.0];
    let here = solve_dae(&Constrained, y0.view(), times.view(), &options, &cuda()).unwrap();
    let there = solve_dae(&Constrained, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
    assert!(here.states().iter().zip(there.states()).all(|(a, b)| (a - b).abs() < 1e-9));
}

#[test]
fn many_unknowns() {
    let ring = Implicit::new(Ring(9));
    let x0 = Array1::linspace(-0.5, 0.9, 9);
    every_method("nine", &Problem::autonomous(&ring, x0.view(), 90).unwrap(), true, 1e-12);
    let ring = Implicit::new(Ring(17));
    let x0 = Array1::zeros(17);
    let problem = Problem::autonomous(&ring, x0.view(), 300).unwrap();
    let message = Solver::jacobi().solve(&problem, &cuda()).unwrap_err().to_string();
    assert!(message.starts_with("problem: unknown_dim: expected at most 16"), "{message}");
    assert!(Cuda::ptx(&problem, Some(Linearization::Full)).is_err());
}
