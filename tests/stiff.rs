//! Stiff and differential-algebraic equations against published end values (F. Mazzia and C. Magherini, *Test Set for
//! Initial Value Problem Solvers*, 2008) and exact properties.

#![cfg(feature = "cpu")]

use deer_solver::ode::{self, Dae, Ode, Options, Scheme, solve_dae, solve_ivp};
use deer_solver::scalar::{Constant, Param, Scalar};
use deer_solver::{Cpu, Solver, Termination};
use ndarray::{Array1, array};
use std::time::Instant;

/// The stiff problems, as one type, so that they are compiled once.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stiff {
    /// Robertson's reaction.
    Rober,
    /// Van der Pol's oscillator, μ = 1000.
    VanDerPol,
    /// High irradiance responses of photomorphogenesis.
    Hires,
    /// The Oregonator.
    Orego,
    /// ẏ = y², infinite at t = 1.
    Pole,
}

impl Ode for Stiff {
    type Real = f64;
    fn state_dim(&self) -> usize {
        match self {
            Stiff::Rober | Stiff::Orego => 3,
            Stiff::VanDerPol => 2,
            Stiff::Hires => 8,
            Stiff::Pole => 1,
        }
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
        let one = Constant(1.0);
        match self {
            Stiff::Rober => {
                dy[0] = y[1] * y[2] * 1e4 - y[0] * 0.04;
                dy[2] = y[1] * y[1] * 3e7;
                dy[1] = -dy[0] - dy[2];
            }
            Stiff::VanDerPol => {
                dy[0] = y[1];
                dy[1] = (one - y[0] * y[0]) * y[1] * 1e3 - y[0];
            }
            Stiff::Hires => {
                dy[0] = y[0] * -1.71 + y[1] * 0.43 + y[2] * 8.32 + 0.0007;
                dy[1] = y[0] * 1.71 - y[1] * 8.75;
                dy[2] = y[2] * -10.03 + y[3] * 0.43 + y[4] * 0.035;
                dy[3] = y[1] * 8.32 + y[2] * 1.71 - y[3] * 1.12;
                dy[4] = y[4] * -1.745 + (y[5] + y[6]) * 0.43;
                dy[6] = y[5] * y[7] * 280.0 - y[6] * 1.81;
                dy[5] = y[3] * 0.69 + y[4] * 1.71 - y[5] * 0.43 + y[6] * 0.69 - y[5] * y[7] * 280.0;
                dy[7] = -dy[6];
            }
            Stiff::Orego => {
                dy[0] = (y[1] + y[0] * (one - y[0] * 8.375e-6 - y[1])) * 77.27;
                dy[1] = (y[2] - (one + y[0]) * y[1]) * (1.0 / 77.27);
                dy[2] = (y[0] - y[2]) * 0.161;
            }
            Stiff::Pole => dy[0] = y[0] * y[0],
        }
    }
}

impl Stiff {
    fn start(self) -> Vec<f64> {
        match self {
            Stiff::Rober => vec![1.0, 0.0, 0.0],
            Stiff::VanDerPol => vec![2.0, 0.0],
            Stiff::Hires => vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057],
            Stiff::Orego => vec![1.0, 2.0, 3.0],
            Stiff::Pole => vec![1.0],
        }
    }

    /// The time at the end, and the published state.
    fn end(self) -> (f64, Vec<f64>) {
        match self {
            Stiff::Rober => {
                (1e11, vec![0.2083340149701255e-7, 0.8333360770334713e-13, 0.999999979166505])
            }
            Stiff::VanDerPol => (2000.0, vec![0.1706167732170469e1, -0.8928097010248125e-3]),
            Stiff::Hires => (
                321.8122,
                vec![
                    0.7371312573325668e-3,
                    0.1442485726316185e-3,
                    0.5888729740967575e-4,
                    0.1175651343283149e-2,
                    0.2386356198831331e-2,
                    0.6238968252742796e-2,
                    0.2849998395185769e-2,
                    0.2850001604814231e-2,
                ],
            ),
            Stiff::Orego => {
                (360.0, vec![0.1000814870318523e1, 0.1228178521549917e4, 0.1320554942846706e3])
            }
            Stiff::Pole => (2.0, vec![f64::NAN]),
        }
    }
}

/// What it was like, for those who look.
fn summary(what: &str, solution: &ode::Solution<f64>, started: Instant) -> String {
    format!(
        "{what}: {:?} after {} grids, {} points, {:.1?}, estimate {:?}",
        solution.termination(),
        solution.grids(),
        solution.grid().len(),
        started.elapsed(),
        solution.error_estimate()
    )
}

/// That it converged, and its last row is within the tolerance.
fn check(
    what: &str,
    solution: &ode::Solution<f64>,
    expected: &[f64],
    (atol, rtol): (f64, f64),
    started: Instant,
) {
    let what = summary(what, solution, started);
    let last = solution.states().nrows() - 1;
    let shares = solution
        .states()
        .row(last)
        .iter()
        .zip(expected)
        .map(|(y, expected)| (y - expected).abs() / (atol + rtol * expected.abs()))
        .collect::<Vec<_>>();
    println!("{what}, error {:.1e} of the tolerance", shares.iter().fold(0.0f64, |a, &b| a.max(b)));
    assert!(solution.converged(), "{what}");
    assert!(shares.iter().all(|&share| share <= 1.0), "{what}: {shares:?}");
}

/// Relative tolerances by scheme, and absolute ones as shares of them.
fn against_published(problem: Stiff, schemes: &[(Scheme, f64)], share: f64) {
    let (end, expected) = problem.end();
    for &(scheme, rtol) in schemes {
        let options = Options::default().scheme(scheme).tolerance(share * rtol, rtol);
        let started = Instant::now();
        let y0 = Array1::from(problem.start());
        let solution =
            solve_ivp(&problem, y0.view(), array![0.0, end].view(), &options, &Cpu::new()).unwrap();
        check(
            &format!("{problem:?} {scheme} {rtol:e}"),
            &solution,
            &expected,
            (share * rtol, rtol),
            started,
        );
    }
}

#[test]
fn rober() {
    let schemes = [(Scheme::RadauIIA5, 1e-6), (Scheme::Bdf2, 1e-3), (Scheme::BackwardEuler, 1e-2)];
    // Far below the least component, 8e-14.
    against_published(Stiff::Rober, &schemes, 1e-13);
}

#[test]
fn van_der_pol() {
    // Second order would need far more steps for the times of its jumps.
    against_published(
        Stiff::VanDerPol,
        &[(Scheme::RadauIIA5, 1e-3), (Scheme::RadauIIA5, 1e-6)],
        1e-3,
    );
}

#[test]
fn hires() {
    let schemes = [
        (Scheme::RadauIIA5, 1e-6),
        (Scheme::Bdf2, 1e-3),
        (Scheme::BackwardEuler, 1e-2),
        (Scheme::Trapezoidal, 1e-3),
        (Scheme::ImplicitMidpoint, 1e-3),
    ];
    against_published(Stiff::Hires, &schemes, 1e-3);
}

#[test]
fn orego() {
    against_published(Stiff::Orego, &[(Scheme::RadauIIA5, 1e-3), (Scheme::RadauIIA5, 1e-6)], 1e-3);
}

#[test]
fn grid_as_given_and_dense_output() {
    let times = Array1::from_shape_fn(401, |k| f64::from(k as u32) * 0.5);
    let y0 = Array1::from(Stiff::VanDerPol.start());
    let on = |scheme, times: &Array1<f64>| {
        let options = Options::default().scheme(scheme);
        solve_ivp(&Stiff::VanDerPol, y0.view(), times.view(), &options, &Cpu::new()).unwrap()
    };
    let fine = on(Scheme::RadauIIA5, &Array1::from_shape_fn(4001, |k| f64::from(k as u32) * 0.05));
    // After the first, which lands on the slow manifold from beside it.
    for (scheme, error) in
        [(Scheme::BackwardEuler, 1e-3), (Scheme::Bdf2, 1e-5), (Scheme::RadauIIA5, 1e-9)]
    {
        let solution = on(scheme, &times);
        assert!(solution.converged());
        assert_eq!(solution.states().dim(), (401, 2));
        assert_eq!(solution.states().row(0), y0);
        for t in [100.0, 100.25, 199.9] {
            let difference = (solution.at(t).unwrap()[0] - fine.at(t).unwrap()[0]).abs();
            assert!(difference < error, "{scheme} at {t}: {difference:e}");
        }
    }
}

#[test]
fn steps_without_a_solution_are_no_success() {
    let y0 = array![1.0];
    // On the way to the pole backward Euler has no real solution.
    for options in [
        Options::default().scheme(Scheme::BackwardEuler),
        Options::default().scheme(Scheme::BackwardEuler).rtol(1e-3).max_points(20_000),
        Options::default().scheme(Scheme::RadauIIA5).rtol(1e-6).max_points(20_000),
    ] {
        let times = Array1::linspace(0.0, 2.0, 21);
        let solution =
            solve_ivp(&Stiff::Pole, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
        assert!(!solution.converged(), "{options:?}");
    }
    let times = Array1::linspace(0.0, 2.0, 21);
    let options = Options::default().scheme(Scheme::BackwardEuler);
    let solution = solve_ivp(&Stiff::Pole, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
    let Termination::NonFinite { t, .. } = solution.termination() else {
        panic!("{:?}", solution.termination())
    };
    assert!(solution.states().row(t - 1)[0].is_finite() && solution.states().row(t)[0].is_nan());
}

/// The differential-algebraic ones, likewise.
#[derive(Clone, Copy, Debug)]
enum Implicit {
    /// Robertson's reaction with its sum for the last equation: index 1.
    Rober,
    /// ẏ₀ = −y₁, y₁ + y₁³ = 2 y₀: index 1.
    Decay,
    /// A pendulum by its position, velocity and tension: index 3.
    Pendulum,
    /// y₀ + y₁ = 1, twice.
    Redundant,
    /// ẏ₀ = −1, y₁² = y₀: no solution after t = 1.
    Vanishing,
    /// ẏ₀ = −y₀, (1 − t) y₁ = y₀: singular at t = 1.
    Losing,
    /// ẏ = u
    Driven,
}

impl Dae for Implicit {
    type Real = f64;
    fn state_dim(&self) -> usize {
        match self {
            Implicit::Rober => 3,
            Implicit::Decay | Implicit::Redundant | Implicit::Vanishing | Implicit::Losing => 2,
            Implicit::Pendulum => 5,
            Implicit::Driven => 1,
        }
    }
    fn input_dim(&self) -> usize {
        usize::from(matches!(self, Implicit::Driven))
    }
    #[inline(always)]
    fn residual<S: Scalar<Real = f64>>(
        &self,
        _: &[Param<S>],
        t: S,
        dy: &[S],
        y: &[S],
        u: &[S],
        r: &mut [S],
    ) {
        match self {
            Implicit::Rober => {
                let (first, second) = (y[1] * y[2] * 1e4 - y[0] * 0.04, y[1] * y[1] * 3e7);
                r[0] = dy[0] - first;
                r[1] = dy[1] + first + second;
                r[2] = y[0] + y[1] + y[2] - 1.0;
            }
            Implicit::Decay => {
                r[0] = dy[0] + y[1];
                r[1] = y[1] * (Constant(1.0) + y[1] * y[1]) - y[0] * 2.0;
            }
            Implicit::Pendulum => {
                r[0] = dy[0] - y[2];
                r[1] = dy[1] - y[3];
                r[2] = dy[2] + y[4] * y[0];
                r[3] = dy[3] + y[4] * y[1] + 10.0;
                r[4] = y[0] * y[0] + y[1] * y[1] - 1.0;
            }
            Implicit::Redundant => {
                r[0] = y[0] + y[1] - 1.0;
                r[1] = (y[0] + y[1]) * 3.0 - 3.0;
            }
            Implicit::Vanishing => {
                r[0] = dy[0] + 1.0;
                r[1] = y[1] * y[1] - y[0];
            }
            Implicit::Losing => {
                r[0] = dy[0] + y[0];
                r[1] = (Constant(1.0) - t) * y[1] - y[0];
            }
            Implicit::Driven => r[0] = dy[0] - u[0],
        }
    }
}

#[test]
fn rober_with_a_constraint() {
    let (end, expected) = Stiff::Rober.end();
    // The second component is 8e-14, which backward differences of the sum do not resolve.
    for (scheme, rtol, atol) in [(Scheme::RadauIIA5, 1e-6, 1e-19), (Scheme::Bdf2, 1e-3, 1e-9)] {
        let options = Options::default().scheme(scheme).tolerance(atol, rtol);
        let started = Instant::now();
        // The last component is algebraic, and found.
        let (y0, times) = (array![1.0, 0.0, 0.3], array![0.0, end]);
        let solution =
            solve_dae(&Implicit::Rober, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
        assert!(solution.states()[[0, 0]] == 1.0 && solution.states()[[0, 2]].abs() < 1e-15);
        check(&format!("DAE {scheme}"), &solution, &expected, (atol, rtol), started);
    }
}

#[test]
fn algebraic_components_are_made_consistent() {
    let times = Array1::linspace(0.0, 1.0, 11);
    let solve = |dae: &Implicit, y0: &Array1<f64>| {
        solve_dae(dae, y0.view(), times.view(), &Options::default(), &Cpu::new())
    };
    let solution = solve(&Implicit::Decay, &array![1.0, 50.0]).unwrap();
    let start = solution.states().row(0).to_owned();
    assert_eq!(start[0], 1.0);
    assert!((start[1] - 1.0).abs() < 1e-14, "{start}");
    // What is consistent already keeps its bits.
    let again = solve(&Implicit::Decay, &start).unwrap();
    assert_eq!(again.states(), solution.states());
    // Between the times.
    let middle = solution.at(0.25).unwrap();
    let neighbours = [solution.states()[[2, 0]], solution.states()[[3, 0]]];
    assert!(neighbours[1] < middle[0] && middle[0] < neighbours[0]);

    let message =
        solve(&Implicit::Pendulum, &array![1.0, 0.5, 0.0, 0.0, 0.0]).unwrap_err().to_string();
    assert!(message.starts_with("y0: expected a state that meets F(t, ẏ, y) = 0"), "{message}");
    assert!(
        message.contains("[4]") && message.ends_with("a residual of 2.5e-1 in F[4]"),
        "{message}"
    );
}

#[test]
fn pendulum_keeps_its_constraint() {
    let times = Array1::linspace(0.0, 4.0, 2001);
    let y0 = array![1.0, 0.0, 0.0, 0.0, 0.0];
    for solver in [Solver::auto(), Solver::sequential()] {
        let options = Options::default().solver(solver);
        let solution =
            solve_dae(&Implicit::Pendulum, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
        assert!(solution.converged());
        assert_eq!(solution.states().row(0), y0);
        for y in solution.states().rows() {
            assert!((y[0] * y[0] + y[1] * y[1] - 1.0).abs() < 1e-12);
        }
    }
    // What it loses of its energy goes with the step.
    let loss = |steps: usize| {
        let times = Array1::linspace(0.0, 1.0, steps + 1);
        let options = Options::default();
        let solution =
            solve_dae(&Implicit::Pendulum, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
        let y = solution.states().row(steps).to_owned();
        -(0.5 * (y[2] * y[2] + y[3] * y[3]) + 10.0 * y[1])
    };
    let ratio = loss(1000) / loss(2000);
    assert!((ratio - 2.0).abs() < 0.1, "{ratio}");
}

#[test]
fn singular_equations_are_named() {
    let fault = |dae: Implicit, y0: Array1<f64>, times: Array1<f64>, options: Options| {
        solve_dae(&dae, y0.view(), times.view(), &options, &Cpu::new()).unwrap_err().to_string()
    };
    let (unit, plain) = (array![0.0, 1.0], Options::default());
    let message = fault(Implicit::Redundant, array![0.25, 0.75], unit.clone(), plain.clone());
    assert!(message.starts_with("dae: expected an equation whose ∂F/∂y"), "{message}");
    assert!(
        message.contains("at t = 0") && message.contains("follows from the others"),
        "{message}"
    );

    let message = fault(Implicit::Driven, array![0.0], unit.clone(), plain.clone());
    assert!(message.contains("of_dae") && message.contains("input_dim() = 1"), "{message}");
    let explicit = plain.clone().scheme(Scheme::Rk4);
    let message = fault(Implicit::Decay, array![1.0, 1.0], unit.clone(), explicit);
    assert!(message.starts_with("scheme: ") && message.ends_with("got Rk4"), "{message}");
    let message = fault(Implicit::Decay, array![1.0], unit.clone(), plain.clone());
    assert_eq!(message, "y0: expected shape [n = 2], got [1]");
    let message = fault(Implicit::Decay, array![1.0, 1.0], array![1.0, 1.0], plain.clone());
    assert!(message.starts_with("times: "), "{message}");

    // On the way: t − 1 is what y₁ is multiplied by.
    let (y0, times) = (array![1.0, 1.0], Array1::linspace(0.0, 2.0, 21));
    let message = fault(Implicit::Losing, y0.clone(), times.clone(), plain.clone());
    assert!(message.contains("a singular one at t = 1,"), "{message}");
    let options = plain.clone().rtol(1e-4).max_points(20_000);
    match solve_dae(&Implicit::Losing, y0.view(), times.view(), &options, &Cpu::new()) {
        Ok(solution) => assert!(!solution.converged(), "{:?}", solution.termination()),
        Err(error) => assert!(error.to_string().contains("a singular one at t = "), "{error}"),
    }

    // The end of the solutions, passed over or met.
    let (y0, times) = (array![1.0, 1.0], Array1::linspace(0.0, 2.0, 21));
    let solution = solve_dae(&Implicit::Vanishing, y0.view(), times.view(), &plain, &Cpu::new());
    match solution {
        Ok(solution) => {
            let Termination::NonFinite { t, .. } = solution.termination() else {
                panic!("{:?}", solution.termination())
            };
            assert!((10..=11).contains(&t), "{t}");
        }
        Err(error) => assert!(error.to_string().contains("at t = 1"), "{error}"),
    }
}
