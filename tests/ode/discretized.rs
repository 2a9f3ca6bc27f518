//! Equations on a grid.

use crate::systems::{Driven, Kepler, Lorenz, Tangent, VanDerPol};
use deer_solver::ode::{Discretized, ImplicitDiscretized, Interpolation, Ode, Scheme};
use deer_solver::{Cpu, Damping, Error, Problem, Solver};
use ndarray::{Array1, Array2, Array3, array, s};

const EXPLICIT: [Scheme; 4] = [Scheme::ForwardEuler, Scheme::Midpoint, Scheme::Rk4, Scheme::Tsit5];

/// A grid whose steps differ by up to a factor of three, halved `halvings` times.
fn uneven(end: f64, halvings: u32) -> Array1<f64> {
    let steps = 16 << halvings;
    Array1::from_shape_fn(steps + 1, |k| {
        let s = k as f64 / steps as f64;
        end * (s + 0.08 * (2.0 * std::f64::consts::PI * s).sin())
    })
}

/// The largest error over all times on the grid `uneven(end, halvings)`.
fn error<O: Ode<Real = f64>>(
    ode: &O,
    scheme: Scheme,
    [end, halvings]: [u32; 2],
    u: impl Fn(f64) -> Vec<f64>,
    exact: impl Fn(f64) -> Vec<f64>,
) -> f64 {
    let times = uneven(f64::from(end), halvings);
    let u = Array2::from_shape_fn((times.len(), ode.input_dim()), |(k, j)| u(times[k])[j]);
    let discretized = Discretized::new(ode, &times, scheme);
    let problem = discretized.problem(Array1::from(exact(0.0)).view(), u.view()).unwrap();
    let solution = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    let states = solution.trajectory(0);
    states.indexed_iter().map(|((k, j), y)| (y - exact(times[k + 1])[j]).abs()).fold(0.0, f64::max)
}

#[test]
fn each_scheme_has_its_order() {
    for (scheme, [end, halvings]) in EXPLICIT.into_iter().zip([[2, 6], [2, 4], [2, 3], [20, 6]]) {
        let order = f64::from(scheme.order());
        let kepler = |halvings| {
            let exact = |t: f64| vec![t.cos(), t.sin(), -t.sin(), t.cos()];
            error(&Kepler, scheme, [end, halvings], |_| vec![], exact)
        };
        let slope = (kepler(halvings) / kepler(halvings + 1)).log2();
        assert!((slope - order).abs() < 0.1, "{scheme}, Kepler: {slope}");
    }
    for (scheme, halvings) in EXPLICIT.into_iter().zip([6, 4, 3, 2]) {
        let order = f64::from(scheme.order());
        // An input that is linear in time costs no order. Tsit5 is at rounding before it falls to 5.
        let driven = |halvings| {
            let exact = |t: f64| vec![t - 1.0 + (-t).exp()];
            error(&Driven, scheme, [2, halvings], |t| vec![t], exact)
        };
        let slope = (driven(halvings) / driven(halvings + 1)).log2();
        let above = if scheme == Scheme::Tsit5 { 0.2 } else { 0.1 };
        assert!(slope > order - 0.1 && slope < order + above, "{scheme}, driven: {slope}");
        if scheme != Scheme::Tsit5 {
            let tangent = |halvings| {
                error(&Tangent, scheme, [1, halvings], |_| vec![], |t| Tangent::exact(t).to_vec())
            };
            let slope = (tangent(halvings) / tangent(halvings + 1)).log2();
            assert!((slope - order).abs() < 0.1, "{scheme}, tangent: {slope}");
        }
    }
}

#[test]
fn runge_kutta_is_the_textbook_loop() {
    let times = Array1::linspace(0.0, 10.0, 1001);
    let ode = VanDerPol([2.0]);
    let discretized = Discretized::new(&ode, times.view(), Scheme::Rk4);
    let problem =
        discretized.problem(array![2.0, 0.0].view(), Array2::zeros((1001, 0)).view()).unwrap();
    let g = |y: [f64; 2]| [y[1], (1.0 - y[0] * y[0]) * y[1] * 2.0 - y[0]];
    let along = |y: [f64; 2], h: f64, k: [f64; 2]| [y[0] + h * k[0], y[1] + h * k[1]];
    let mut y = [2.0, 0.0];
    let mut expected = Array2::zeros((1000, 2));
    for k in 0..1000 {
        let h = times[k + 1] - times[k];
        let k1 = g(y);
        let k2 = g(along(y, h / 2.0, k1));
        let k3 = g(along(y, h / 2.0, k2));
        let k4 = g(along(y, h, k3));
        for j in 0..2 {
            y[j] += h / 6.0 * (k1[j] + 2.0 * k2[j] + 2.0 * k3[j] + k4[j]);
            expected[[k, j]] = y[j];
        }
    }
    for solver in [Solver::sequential(), Solver::auto(), Solver::deer(), Solver::jacobi()] {
        let solution = solver.solve(&problem, &Cpu::new()).unwrap();
        assert!(solution.converged());
        let error =
            (&solution.trajectory(0) - &expected).mapv(f64::abs).fold(0.0, |a, &b| b.max(a));
        assert!(error < 1e-9, "{solver:?}: {error}");
    }
}

/// One step by each scheme of ẏ = u − y, by hand.
#[test]
fn inputs_are_held_or_linear() {
    let u = array![[1.0], [3.0], [2.0]];
    let times = array![0.0, 0.5, 0.75];
    let step = |y: f64, h: f64, [from, to]: [f64; 2], scheme| {
        let middle = 0.5 * (from + to);
        match scheme {
            Scheme::ForwardEuler => y + h * (from - y),
            Scheme::Midpoint => y + h * (middle - (y + 0.5 * h * (from - y))),
            Scheme::Rk4 => {
                let k1 = from - y;
                let k2 = middle - (y + 0.5 * h * k1);
                let k3 = middle - (y + 0.5 * h * k2);
                let k4 = to - (y + h * k3);
                y + h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
            }
            _ => unreachable!(),
        }
    };
    for scheme in [Scheme::ForwardEuler, Scheme::Midpoint, Scheme::Rk4] {
        for interpolation in [Interpolation::Held, Interpolation::Linear] {
            let discretized =
                Discretized::new(&Driven, times.clone(), scheme).interpolation(interpolation);
            let problem = discretized.problem(array![0.25].view(), u.view()).unwrap();
            let states = Solver::sequential().solve(&problem, &Cpu::new()).unwrap().into_states();
            let mut y = 0.25;
            for k in 0..2 {
                let to = if interpolation == Interpolation::Held { k } else { k + 1 };
                y = step(y, times[k + 1] - times[k], [u[[k, 0]], u[[to, 0]]], scheme);
                let got = states[[0, k, 0]];
                assert!((got - y).abs() < 1e-15, "{scheme} {interpolation:?}: {got} {y}");
            }
        }
    }
}

#[test]
fn a_batch_is_its_sequences() {
    let times = uneven(3.0, 2);
    let y0 = array![[0.0], [1.0], [-2.0]];
    let u = Array3::from_shape_fn((3, times.len(), 1), |(b, k, _)| (b as f64 + times[k]).sin());
    let discretized = Discretized::new(&Driven, &times, Scheme::Rk4);
    let problem = discretized.problem_batch(y0.view(), u.view()).unwrap();
    let batch = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    for b in 0..3 {
        let problem = discretized.problem(y0.row(b), u.slice(s![b, .., ..])).unwrap();
        let single = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
        let error = (&batch.trajectory(b) - &single.trajectory(0)).mapv(f64::abs);
        assert!(error.iter().all(|&e| e < 1e-15));
    }
}

#[test]
fn one_time_makes_no_steps() {
    let discretized = Discretized::new(&Tangent, array![1.0], Scheme::Rk4);
    let problem =
        discretized.problem(array![0.0, 0.0].view(), Array2::zeros((1, 0)).view()).unwrap();
    assert_eq!(problem.steps(0), 0);
    assert!(Solver::auto().solve(&problem, &Cpu::new()).unwrap().converged());
}

#[test]
fn misuse_is_named() {
    let none = Array2::zeros((0, 0));
    let y0 = array![0.0, 0.0];
    let message = |times: Array1<f64>, scheme| {
        let discretized = Discretized::new(&Tangent, times, scheme);
        let inputs = discretized.inputs(none.view()).unwrap_err().to_string();
        assert_eq!(inputs, discretized.problem(y0.view(), none.view()).unwrap_err().to_string());
        inputs
    };
    assert_eq!(message(array![], Scheme::Rk4), "times: expected shape [at least 1], got [0]");
    assert_eq!(
        message(array![0.0, f64::NAN], Scheme::Rk4),
        "times[1]: expected a finite number, got NaN"
    );
    assert_eq!(
        message(array![0.0, 1.0, 1.0], Scheme::Rk4),
        "times: expected strictly increasing times, got times[1] = 1, times[2] = 1"
    );
    let implicit = message(array![0.0, 1.0], Scheme::RadauIIA5);
    assert!(implicit.starts_with("scheme: expected an explicit one (ForwardEuler"), "{implicit}");
    assert!(implicit.ends_with("got RadauIIA5"), "{implicit}");

    let times = array![0.0, 1.0];
    let discretized = Discretized::new(&Tangent, &times, Scheme::Rk4);
    let error = discretized.problem(array![0.0].view(), none.view()).unwrap_err();
    assert_eq!(error.to_string(), "y0: expected shape [n = 2], got [1]");
    let error = discretized.problem(array![0.0, f64::INFINITY].view(), none.view()).unwrap_err();
    assert_eq!(error.to_string(), "y0[1]: expected a finite number, got inf");

    let driven = Discretized::new(&Driven, &times, Scheme::Rk4);
    let error = driven.problem(array![0.0].view(), Array2::zeros((1, 1)).view()).unwrap_err();
    assert_eq!(error.to_string(), "u: expected shape [times = 2, m = 1], got [1, 1]");
    let error = driven.problem(array![0.0].view(), array![[0.0], [f64::NAN]].view()).unwrap_err();
    assert_eq!(error.to_string(), "u[1, 0]: expected a finite number, got NaN");
    let u = Array3::zeros((1, 2, 1));
    let error = driven.problem_batch(Array2::zeros((2, 1)).view(), u.view()).unwrap_err();
    assert!(matches!(error, Error::Shape { argument: "u", .. }), "{error}");

    // Past the checks: an implicit scheme has no step, and says so by its states.
    let implicit = Discretized::new(&Tangent, &times, Scheme::BackwardEuler);
    let inputs = discretized.inputs(none.view()).unwrap();
    let problem = Problem::new(&implicit, y0.view(), inputs.view()).unwrap();
    assert!(!Solver::auto().solve(&problem, &Cpu::new()).unwrap().converged());
    assert_eq!(implicit.ode().state_dim(), 2);
}

/// Chaos on a fixed grid: every method ends with the loop's trajectory, or says that it has not.
#[test]
fn lorenz_by_every_method() {
    let times = Array1::linspace(0.0, 30.0, 12_001);
    let discretized = Discretized::new(&Lorenz, &times, Scheme::Rk4);
    let (y0, none) = (array![1.0, 1.0, 20.0], Array2::zeros((0, 0)));
    let problem = discretized.problem(y0.view(), none.view()).unwrap();
    let by_loop = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    assert!(by_loop.converged());
    // Rounding grows by e^(0.9 t): the loop itself is known to 1e-16 of that.
    let allowed = |t: f64| 1e-12 * (1.0 * t).exp().max(1.0);
    let methods = [
        Solver::auto(),
        Solver::jacobi(),
        Solver::picard(),
        Solver::quasi_deer(),
        Solver::deer(),
        Solver::shooting(),
        Solver::deer().damping(Damping::Adaptive),
        Solver::elk(1.0).max_sweeps(60),
        Solver::quasi_elk(1.0).max_sweeps(60),
        Solver::deer().block(1).max_sweeps(30),
        Solver::jacobi().max_sweeps(3),
        Solver::picard().block(16).max_sweeps(3),
    ];
    for (i, solver) in methods.into_iter().enumerate() {
        let solution = solver.solve(&problem, &Cpu::new()).unwrap();
        if i >= 10 {
            assert!(!solution.converged(), "{solver:?}");
        }
        if !solution.converged() {
            continue;
        }
        let pairs = solution.trajectory(0).into_iter().zip(by_loop.trajectory(0)).enumerate();
        for (entry, (a, b)) in pairs {
            let t = times[entry / 3 + 1];
            assert!((a - b).abs() <= allowed(t), "{solver:?}: {a} {b} at {t}");
        }
    }
}

/// Every scheme on ẏ = u − y with inputs that are straight, or constant, between points that lie unevenly: its solution is known.
#[test]
fn driven_equations_by_every_scheme() {
    let orders = [
        (Scheme::ForwardEuler, 1),
        (Scheme::Midpoint, 2),
        (Scheme::Rk4, 4),
        (Scheme::Tsit5, 5),
        (Scheme::BackwardEuler, 1),
        (Scheme::Trapezoidal, 2),
        (Scheme::ImplicitMidpoint, 2),
        (Scheme::Bdf2, 2),
        (Scheme::RadauIIA5, 5),
        (Scheme::ExponentialMidpoint, 2),
    ];
    for interpolation in [Interpolation::Held, Interpolation::Linear] {
        for (scheme, order) in orders {
            let error = |points: usize| {
                let times = Array1::from_shape_fn(points, |k| {
                    let s = k as f64 / (points - 1) as f64;
                    4.0 * s + 0.3 * (3.0 * s).sin()
                });
                let u = Array2::from_shape_fn((points, 1), |(k, _)| (2.0 * times[k]).sin());
                let y0 = array![0.5];
                let mut exact = y0[0];
                let exact: Vec<f64> = (1..points)
                    .map(|k| {
                        let h = times[k] - times[k - 1];
                        let slope = match interpolation {
                            Interpolation::Linear => (u[[k, 0]] - u[[k - 1, 0]]) / h,
                            _ => 0.0,
                        };
                        let u = u[[k - 1, 0]];
                        exact = (exact - u + slope) * (-h).exp() + u - slope + slope * h;
                        exact
                    })
                    .collect();
                let cpu = Cpu::new();
                let solution = if scheme.is_implicit() {
                    let own = ImplicitDiscretized::new(&Driven, &times, scheme)
                        .interpolation(interpolation);
                    let problem = own.problem(y0.view(), u.view()).unwrap();
                    Solver::auto().solve(&problem, &cpu).unwrap()
                } else {
                    let own =
                        Discretized::new(&Driven, &times, scheme).interpolation(interpolation);
                    let problem = own.problem(y0.view(), u.view()).unwrap();
                    Solver::auto().solve(&problem, &cpu).unwrap()
                };
                // Of two steps the second column is the state before.
                let states = solution.trajectory(0);
                let pairs = states.column(0).into_iter().zip(exact);
                pairs.fold(0.0f64, |most, (y, exact)| most.max((y - exact).abs()))
            };
            // Backward differences reach over the jumps of what is held.
            let reaches = scheme == Scheme::Bdf2 && interpolation == Interpolation::Held;
            let order = if reaches { 1 } else { order };
            let coarse = error(81);
            let h = 4.0f64 / 80.0;
            assert!(coarse < 3.0 * h.powi(order), "{scheme} {interpolation:?}: {coarse:e}");
            let slope = (coarse / error(161)).log2();
            let exact = coarse < 1e-13;
            assert!(
                exact || slope > f64::from(order) - 0.25,
                "{scheme} {interpolation:?}: {slope}"
            );
        }
    }
}

/// The embedded scheme's estimate against the error that steps make, by twice as many from the same states.
#[test]
fn local_errors_are_those_of_the_embedded_scheme() {
    let y0 = Array1::from(Tangent::exact(0.0).to_vec());
    let none = Array2::zeros((0, 0));
    let cpu = Cpu::new();
    let largest = |steps: usize| {
        let times = Array1::linspace(0.0, 2.0, steps + 1);
        let discretized = Discretized::new(&Tangent, &times, Scheme::Tsit5);
        let problem = discretized.problem(y0.view(), none.view()).unwrap();
        let solution = Solver::sequential().solve(&problem, &cpu).unwrap();
        let states = solution.trajectory(0);
        let errors = discretized.local_errors(y0.view(), none.view(), states, &cpu).unwrap();
        assert_eq!(errors.dim(), (steps, 2));
        errors.iter().fold(0.0f64, |most, e| most.max(e.abs()))
    };
    // The embedded scheme is of fourth order: its error in a step goes with the fifth power.
    let slope = (largest(40) / largest(80)).log2();
    assert!((slope - 5.0).abs() < 0.4, "{slope}");
    let times = Array1::linspace(0.0, 2.0, 11);
    let rk4 = Discretized::new(&Tangent, &times, Scheme::Rk4);
    let states = Array2::zeros((10, 2));
    let error = rk4.local_errors(y0.view(), none.view(), states.view(), &cpu).unwrap_err();
    let expected = "scheme: expected one with an embedded scheme (Tsit5), got Rk4";
    assert_eq!(error.to_string(), expected);
    let tsit5 = Discretized::new(&Tangent, &times, Scheme::Tsit5);
    let few = states.slice(s![..9, ..]);
    let error = tsit5.local_errors(y0.view(), none.view(), few, &cpu).unwrap_err();
    assert_eq!(error.to_string(), "states: expected shape [T = 10, n = 2], got [9, 2]");
}
