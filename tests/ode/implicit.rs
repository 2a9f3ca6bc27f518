//! Implicit schemes and differential-algebraic equations.

use crate::common::golden::Archive;
use crate::systems::{Driven, Tangent, VanDerPol};
use deer_solver::ode::{Dae, ImplicitDiscretized, Interpolation, Ode, Scheme};
use deer_solver::scalar::{Constant, Param, Scalar};
use deer_solver::{Cpu, Problem, Recurrence, Solution, Solver, Tangents, backend::Sweep};
use ndarray::{Array1, Array2, Array3, ArrayView1, Axis, array, s};

const SCHEMES: [Scheme; 6] = [
    Scheme::BackwardEuler,
    Scheme::Trapezoidal,
    Scheme::ImplicitMidpoint,
    Scheme::Bdf2,
    Scheme::RadauIIA5,
    Scheme::ExponentialMidpoint,
];

fn nothing() -> Array2<f64> {
    Array2::zeros((0, 0))
}

fn solve<D: Recurrence<Real = f64>>(solver: &Solver, problem: &Problem<'_, D>) -> Solution<f64>
where
    Cpu: Sweep<D>,
{
    let solution = solver.solve(problem, &Cpu::new()).unwrap();
    assert!(solution.converged(), "{solver:?}: {:?}", solution.termination());
    solution
}

/// A grid whose steps are of three lengths, finer by `halvings`.
fn uneven(end: f64, steps: usize, halvings: u32) -> Array1<f64> {
    let mut times = vec![0.0];
    for k in 0..steps {
        times.push(times[k] + [0.5, 1.0, 1.5][k % 3] * end / steps as f64);
    }
    for _ in 0..halvings {
        let mut finer = vec![times[0]];
        for pair in times.windows(2) {
            finer.extend([0.5 * (pair[0] + pair[1]), pair[1]]);
        }
        times = finer;
    }
    Array1::from(times)
}

#[test]
fn order_of_accuracy() {
    for scheme in SCHEMES {
        let error = |halvings: u32| {
            let times = uneven(2.0, 30, halvings);
            let discretized = ImplicitDiscretized::new(&Tangent, &times, scheme);
            let y0 = Array1::from(Tangent::exact(0.0).to_vec());
            let problem = discretized.problem(y0.view(), nothing().view()).unwrap();
            let solution = solve(&Solver::sequential(), &problem);
            let last = solution.trajectory(0).nrows() - 1;
            let exact = Tangent::exact(times[times.len() - 1]);
            (solution.states()[[0, last, 1]] - exact[1]).abs()
        };
        // The fifth order meets rounding soon.
        let finest = if scheme == Scheme::RadauIIA5 { 2 } else { 5 };
        let order = (error(finest - 1) / error(finest)).log2();
        assert!((order - f64::from(scheme.order())).abs() < 0.1, "{scheme}: {order}");
    }
}

#[test]
fn all_methods_agree_on_a_stiff_oscillator() {
    let oscillator = VanDerPol([30.0]);
    let times = Array1::linspace(0.0, 100.0, 4001);
    let y0 = array![2.0, 0.0];
    for scheme in SCHEMES {
        let discretized = ImplicitDiscretized::new(&oscillator, &times, scheme);
        let problem = discretized.problem(y0.view(), nothing().view()).unwrap();
        let expected = solve(&Solver::sequential(), &problem);
        for solver in [Solver::jacobi(), Solver::deer(), Solver::auto()] {
            let solution = solve(&solver, &problem);
            for (a, b) in expected.states().iter().zip(solution.states()) {
                assert!((a - b).abs() < 1e-8 * (1.0 + b.abs()), "{scheme} {solver:?}: {a} {b}");
            }
        }
    }
}

#[test]
fn inputs_are_held_or_linear() {
    let times = array![0.0, 0.1, 0.3];
    let u = array![[1.0], [2.0], [4.0]];
    for (interpolation, expected) in [
        // y⁺ = (y + Δt u) / (1 + Δt), u at the step's start where it is held, at its end where it is linear.
        (Interpolation::Held, [0.1 / 1.1, (0.1 / 1.1 + 0.4) / 1.2]),
        (Interpolation::Linear, [0.2 / 1.1, (0.2 / 1.1 + 0.8) / 1.2]),
    ] {
        let discretized = ImplicitDiscretized::new(&Driven, &times, Scheme::BackwardEuler)
            .interpolation(interpolation);
        let problem = discretized.problem(array![0.0].view(), u.view()).unwrap();
        let solution = solve(&Solver::sequential(), &problem);
        for (y, expected) in solution.states().iter().zip(expected) {
            assert!((y - expected).abs() < 1e-14, "{interpolation:?}: {y} {expected}");
        }
    }
}

/// ẏ₀ = −y₁, where y₁ + y₁³ = 2 y₀.
struct Decay;

impl Decay {
    /// The algebraic variable.
    fn rate(y: f64) -> f64 {
        (0..60).fold(y, |z, _| z - (z + z * z * z - 2.0 * y) / (1.0 + 3.0 * z * z))
    }
}

impl Dae for Decay {
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
fn order_of_accuracy_for_equations_with_a_constraint() {
    // With z = y₁: dt = −(1 + 3 z²) / (2 z) dz, so that t = [ln z + 3/2 z²]/2 from z to z₀.
    let start = Decay::rate(1.0);
    let time = |z: f64| 0.5 * ((start / z).ln() + 1.5 * (start * start - z * z));
    for scheme in [Scheme::BackwardEuler, Scheme::Bdf2, Scheme::RadauIIA5] {
        let error = |halvings: u32| {
            let times = uneven(3.0, 12, halvings);
            let discretized = ImplicitDiscretized::of_dae(&Decay, &times, scheme);
            let problem = discretized.problem(array![1.0, start].view(), nothing().view()).unwrap();
            let solution = solve(&Solver::auto(), &problem);
            let last = solution.states()[[0, times.len() - 2, 1]];
            (time(last) - times[times.len() - 1]).abs()
        };
        let finest = if scheme == Scheme::RadauIIA5 { 2 } else { 6 };
        let order = (error(finest - 1) / error(finest)).log2();
        assert!((order - f64::from(scheme.order())).abs() < 0.1, "{scheme}: {order}");
    }
}

/// A pendulum by its position, velocity and tension: an index of 3.
struct Pendulum([f64; 1]);

impl Dae for Pendulum {
    type Real = f64;
    fn state_dim(&self) -> usize {
        5
    }
    fn params(&self) -> &[f64] {
        &self.0
    }
    #[inline(always)]
    fn residual<S: Scalar<Real = f64>>(
        &self,
        g: &[Param<S>],
        _: S,
        dy: &[S],
        y: &[S],
        _: &[S],
        r: &mut [S],
    ) {
        r[0] = dy[0] - y[2];
        r[1] = dy[1] - y[3];
        r[2] = dy[2] + y[4] * y[0];
        r[3] = dy[3] + y[4] * y[1] + g[0];
        r[4] = y[0] * y[0] + y[1] * y[1] - 1.0;
    }
}

#[test]
fn golden_pendulum() {
    let file = Archive::open("pendulum_dae_index3_1000");
    let (times, y0): (Array1<f64>, Array1<f64>) = (file.get("t"), file.get("y0"));
    let expected: Array2<f64> = file.get("y");
    let pendulum = Pendulum([10.0]);
    let discretized = ImplicitDiscretized::of_dae(&pendulum, &times, Scheme::BackwardEuler);
    let problem = discretized.problem(y0.view(), nothing().view()).unwrap();
    for solver in [Solver::sequential(), Solver::deer(), Solver::auto()] {
        let solution = solve(&solver, &problem);
        for (state, expected) in
            solution.trajectory(0).rows().into_iter().zip(expected.rows().into_iter().skip(1))
        {
            for (a, b) in state.iter().zip(expected) {
                assert!((a - b).abs() < 1e-9, "{solver:?}: {a} {b}");
            }
            assert!((state[0] * state[0] + state[1] * state[1] - 1.0).abs() < 1e-12);
        }
    }
}

#[test]
fn golden_gradient_of_the_pendulum() {
    let file = Archive::open("pendulum_dae_index3_1000");
    let (times, y0): (Array1<f64>, Array1<f64>) = (file.get("t"), file.get("y0"));
    let weights: Array2<f64> = file.get("w");
    let pendulum = Pendulum([10.0]);
    let discretized = ImplicitDiscretized::of_dae(&pendulum, &times, Scheme::BackwardEuler);
    let problem = discretized.problem(y0.view(), nothing().view()).unwrap();
    let solution = solve(&Solver::auto(), &problem);
    let cotangent = weights.slice(s![1.., ..]).insert_axis(Axis(0));
    let gradient = solution.vjp(&problem, cotangent, &Cpu::new()).unwrap();

    // The loss holds y(0) too, and the inputs are t_k and t_{k+1} − t_k.
    let of_y0 = &gradient.initial_state.row(0) + &weights.row(0);
    let mut of_times = Array1::zeros(times.len());
    for (k, input) in gradient.inputs.index_axis(Axis(0), 0).rows().into_iter().enumerate() {
        of_times[k] += input[0] - input[1];
        of_times[k + 1] += input[1];
    }
    close(of_y0.view(), file.get("grad_y0"), 1e-9);
    close(of_times.view(), file.get("grad_t"), 1e-9);
    let of_gravity: ndarray::Array0<f64> = file.get("grad_g");
    close(gradient.params.view(), array![of_gravity[()]], 1e-9);
}

/// Equal to `bound` of the largest entry.
fn close(a: ArrayView1<'_, f64>, b: Array1<f64>, bound: f64) {
    let largest = b.iter().fold(0.0, |largest, b| f64::max(largest, b.abs()));
    for (a, b) in a.iter().zip(&b) {
        assert!((a - b).abs() <= bound * largest, "{a} {b} of {largest}");
    }
}

/// Van der Pol's equation pushed by an input.
struct Pushed([f64; 2]);

impl Ode for Pushed {
    type Real = f64;
    fn state_dim(&self) -> usize {
        2
    }
    fn input_dim(&self) -> usize {
        1
    }
    fn params(&self) -> &[f64] {
        &self.0
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, p: &[Param<S>], t: S, y: &[S], u: &[S], dy: &mut [S]) {
        dy[0] = y[1];
        dy[1] = (Constant(1.0) - y[0] * y[0]) * y[1] * p[0] - y[0] + u[0] * t.sin() * p[1];
    }
}

#[test]
fn derivatives_of_every_scheme() {
    let times = uneven(3.0, 60, 0);
    let u = Array2::from_shape_fn((times.len(), 1), |(k, _)| (0.3 * k as f64).cos());
    let y0 = array![1.0, 0.5];
    for scheme in SCHEMES {
        let pushed = Pushed([5.0, 0.7]);
        let discretized = ImplicitDiscretized::new(&pushed, &times, scheme);
        let problem = discretized.problem(y0.view(), u.view()).unwrap();
        let solution = solve(&Solver::auto(), &problem);
        let cotangent = Array3::from_shape_fn(solution.states().raw_dim(), |(_, t, i)| {
            ((3 * t + 7 * i) as f64).sin()
        });
        let gradient = solution.vjp(&problem, cotangent.view(), &Cpu::new()).unwrap();
        let mut direction = Tangents::zeros(&problem);
        direction.params.assign(&array![0.3, -0.8]);
        direction.initial_state.fill(0.4);
        let copies = direction.initial_state.ncols() / 2;
        direction.inputs.slice_mut(s![.., .., -1]).fill(0.1);
        let tangents = solution.jvp(&problem, &direction, &Cpu::new()).unwrap();

        // Reverse is the transpose of forward.
        let forward = (&tangents * &cotangent).sum();
        let reverse = (&gradient.params * &direction.params).sum()
            + (&gradient.initial_state * &direction.initial_state).sum()
            + (&gradient.inputs * &direction.inputs).sum();
        assert!((forward - reverse).abs() < 1e-10 * forward.abs(), "{scheme}: {forward} {reverse}");

        // Forward is what differences say.
        let moved = |h: f64| {
            let pushed = Pushed([5.0 + 0.3 * h, 0.7 - 0.8 * h]);
            let discretized = ImplicitDiscretized::new(&pushed, &times, scheme);
            let mut inputs = discretized.inputs(u.view()).unwrap();
            inputs.slice_mut(s![.., -1]).mapv_inplace(|u| u + 0.1 * h);
            let x0: Array1<f64> = (0..2 * copies).map(|i| y0[i % 2] + 0.4 * h).collect();
            let problem = Problem::new(discretized.recurrence(), x0.view(), inputs.view()).unwrap();
            solve(&Solver::sequential(), &problem).into_states()
        };
        let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
        for (tangent, difference) in tangents.iter().zip(&difference) {
            let bound = 1e-6 * (1.0 + difference.abs());
            assert!((tangent - difference).abs() < bound, "{scheme}: {tangent} {difference}");
        }
    }
}

#[test]
fn misuse_is_named() {
    let fault = |times: Array1<f64>, scheme, y0: Array1<f64>| {
        ImplicitDiscretized::new(&VanDerPol([1.0]), times, scheme)
            .problem(y0.view(), nothing().view())
            .unwrap_err()
            .to_string()
    };
    let (times, y0) = (array![0.0, 1.0], array![1.0, 0.0]);
    let explicit = fault(times.clone(), Scheme::Rk4, y0.clone());
    assert!(explicit.contains("use Discretized") && explicit.contains("Rk4"), "{explicit}");
    assert!(fault(array![0.0, 0.0], Scheme::Bdf2, y0.clone()).starts_with("times: "));
    assert!(fault(array![0.0, f64::NAN], Scheme::Bdf2, y0).starts_with("times[1]: "));
    assert!(fault(times.clone(), Scheme::Bdf2, array![1.0]).starts_with("y0: "));
    assert!(fault(times.clone(), Scheme::Bdf2, array![1.0, f64::INFINITY]).starts_with("y0[1]: "));
    let decay = ImplicitDiscretized::of_dae(&Decay, &times, Scheme::Trapezoidal);
    let fault = decay.problem(array![1.0, 1.0].view(), nothing().view()).unwrap_err();
    assert!(fault.to_string().contains("RadauIIA5"), "{fault}");
}
