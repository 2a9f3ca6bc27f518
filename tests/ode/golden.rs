//! Equations of the reference data: states, energy, and gradients.

use deer_solver::ode::{Discretized, Energy, Hamiltonian, Ode, Options, Scheme, solve_ivp};
use deer_solver::scalar::{Param, Scalar};
use deer_solver::{Cpu, Problem, Solver};
use ndarray::{Array, Array1, Array2, Array3, ArrayView2, Axis, Dimension, s};
use ndarray_npy::{NpzReader, ReadableElement};
use std::fs::File;
use std::path::Path;

fn read<A: ReadableElement, D: Dimension>(file: &str, name: &str) -> Array<A, D> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let mut archive = NpzReader::new(File::open(path).unwrap()).unwrap();
    archive.by_name::<ndarray::OwnedRepr<A>, D>(&format!("{name}.npy")).unwrap()
}

fn largest(difference: impl IntoIterator<Item = f64>) -> f64 {
    difference.into_iter().map(f64::abs).fold(0.0, f64::max)
}

/// ẏ = −6 tanh(A₁ relu(A₀ y)) − 10 y³ + 30 sin 6t + 3; the parameters are A₀, then A₁.
struct NeuralOde {
    matrices: Vec<f64>,
}

impl Ode for NeuralOde {
    type Real = f64;
    fn state_dim(&self) -> usize {
        4
    }
    fn params(&self) -> &[f64] {
        &self.matrices
    }
    fn scratch_dim(&self) -> usize {
        4
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, p: &[Param<S>], t: S, y: &[S], _: &[S], dy: &mut [S]) {
        let (dy, hidden) = dy.split_at_mut(4);
        for i in 0..4 {
            let mut sum = y[0] * p[4 * i];
            for j in 1..4 {
                sum = y[j].mul_add_param(p[4 * i + j], sum);
            }
            hidden[i] = sum.relu();
        }
        let force = (t * 6.0).sin() * 30.0 + 3.0;
        for i in 0..4 {
            let mut sum = hidden[0] * p[16 + 4 * i];
            for j in 1..4 {
                sum = hidden[j].mul_add_param(p[16 + 4 * i + j], sum);
            }
            dy[i] = force - sum.tanh() * 6.0 - y[i] * y[i] * y[i] * 10.0;
        }
    }
}

impl NeuralOde {
    fn golden() -> Self {
        let a0: Array2<f64> = read(NEURAL, "A0");
        let a1: Array2<f64> = read(NEURAL, "A1");
        Self { matrices: a0.into_iter().chain(a1).collect() }
    }
}

const NEURAL: &str = "neural_ode_test_solve_ivp.npz";
const TWO_BODY: &str = "two_body.npz";

/// The rows of `states` `[T, n]` at `places` that count the initial state too, held against `expected`.
fn compare(states: ArrayView2<'_, f64>, places: &Array1<i64>, expected: &Array2<f64>) -> f64 {
    largest(
        places
            .iter()
            .zip(expected.outer_iter())
            .filter(|(place, _)| **place > 0)
            .flat_map(|(&place, expected)| (&states.row(place as usize - 1) - &expected).to_vec()),
    )
}

#[test]
fn neural_ode() {
    let ode = NeuralOde::golden();
    let times = Array1::linspace(0.0, 1.0, 10_000);
    let y0: Array1<f64> = read(NEURAL, "y0");
    let places: Array1<i64> = read(NEURAL, "idx");
    let expected: Array2<f64> = read(NEURAL, "y");

    for solver in [Solver::auto(), Solver::sequential(), Solver::deer()] {
        let options = Options::default().scheme(Scheme::Rk4).solver(solver);
        let solution = solve_ivp(&ode, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
        assert!(solution.converged());
        let states = solution.states();
        let error = compare(states.slice(s![1.., ..]), &places, &expected);
        assert!(error < 1e-12, "{error:e}");
    }

    // Within a tolerance, from a coarse grid, against SciPy's.
    let few = Array1::linspace(0.0, 1.0, 11);
    let scipy: Array2<f64> = read(NEURAL, "y_scipy");
    let options = Options::default().scheme(Scheme::Tsit5).tolerance(1e-6, 1e-6);
    let solution = solve_ivp(&ode, y0.view(), few.view(), &options, &Cpu::new()).unwrap();
    assert!(solution.converged());
    let last = &solution.states().row(10) - &scipy.row(500);
    assert!(largest(last.to_vec()) < 2e-6, "{last}");

    // Every scheme, to the error of its order.
    let size = largest(scipy.iter().copied());
    for (scheme, most) in [
        (Scheme::ForwardEuler, 2e-3),
        (Scheme::BackwardEuler, 2e-3),
        (Scheme::Midpoint, 2e-6),
        (Scheme::Trapezoidal, 2e-6),
        (Scheme::ImplicitMidpoint, 2e-6),
        (Scheme::Bdf2, 2e-6),
        (Scheme::ExponentialMidpoint, 2e-6),
        (Scheme::Rk4, 1e-8),
        (Scheme::Tsit5, 1e-8),
        (Scheme::RadauIIA5, 1e-8),
    ] {
        let options = Options::default().scheme(scheme);
        let solution = solve_ivp(&ode, y0.view(), times.view(), &options, &Cpu::new()).unwrap();
        assert!(solution.converged(), "{scheme}");
        let off = compare(solution.states().slice(s![1.., ..]), &places, &scipy) / size;
        assert!(off < most, "{scheme}: {off:e}");
    }

    // On steps for which upstream's exponential by a short series overflows.
    let few = Array1::linspace(0.0, 1.0, 1_000);
    let options = Options::default().scheme(Scheme::ExponentialMidpoint);
    let solution = solve_ivp(&ode, y0.view(), few.view(), &options, &Cpu::new()).unwrap();
    assert!(solution.converged());
    let off = largest(&solution.states().row(999) - &scipy.row(500)) / size;
    assert!(off < 2e-4, "{off:e}");

    // Gradients by A₀, A₁ and y₀.
    let weights: Array2<f64> = read(NEURAL, "w");
    let discretized = Discretized::new(&ode, &times, Scheme::Rk4);
    let problem = discretized.problem(y0.view(), Array2::zeros((0, 0)).view()).unwrap();
    let solution = Solver::auto().solve(&problem, &Cpu::new()).unwrap();
    let mut cotangent = Array3::zeros((1, 9_999, 4));
    for (&place, w) in places.iter().zip(weights.outer_iter()).skip(1) {
        cotangent.slice_mut(s![0, place as usize - 1, ..]).assign(&w);
    }
    let gradient = solution.vjp(&problem, cotangent.view(), &Cpu::new()).unwrap();
    let a0: Array2<f64> = read(NEURAL, "grad_A0");
    let a1: Array2<f64> = read(NEURAL, "grad_A1");
    let expected: Array1<f64> = a0.into_iter().chain(a1).collect();
    let scale = largest(expected.iter().copied());
    let error = largest((&gradient.params - &expected).to_vec());
    assert!(error < 1e-10 * scale, "parameters: {error:e} of {scale:e}");
    let expected: Array1<f64> = read(NEURAL, "grad_y0");
    // The initial state itself has a weight.
    let got = &gradient.initial_state.row(0) + &weights.row(0);
    let error = largest((&got - &expected).to_vec());
    assert!(error < 1e-10 * largest(expected.to_vec()), "initial state: {error:e}");
}

/// Two bodies of unit mass in the plane: positions, then velocities.
struct TwoBody;

impl Ode for TwoBody {
    type Real = f64;
    fn state_dim(&self) -> usize {
        8
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
        let (dx, dz) = (y[2] - y[0], y[3] - y[1]);
        let square = dx * dx + dz * dz;
        let pull = (square * square.sqrt()).recip();
        dy[..4].copy_from_slice(&y[4..8]);
        (dy[4], dy[5]) = (dx * pull, dz * pull);
        (dy[6], dy[7]) = (-(dx * pull), -(dz * pull));
    }
}

impl Energy for TwoBody {
    type Real = f64;
    fn dim(&self) -> usize {
        4
    }
    #[inline(always)]
    fn energy<S: Scalar<Real = f64>>(&self, _: &[Param<S>], q: &[S], p: &[S]) -> S {
        let (dx, dz) = (q[2] - q[0], q[3] - q[1]);
        let kinetic: S = p.iter().map(|&p| p * p * 0.5).sum();
        kinetic - (dx * dx + dz * dz).sqrt().recip()
    }
}

/// States, energy and gradients of the four systems by a right-hand side.
fn check_two_bodies<O: Ode<Real = f64>>(ode: &O) {
    let times = Array1::linspace(0.0, 10.0, 10_000);
    let places: Array1<i64> = read(TWO_BODY, "idx");
    let y0: Array2<f64> = read(TWO_BODY, "y0");
    let expected: Array3<f64> = read(TWO_BODY, "y");
    let energy: Array2<f64> = read(TWO_BODY, "energy");
    let weights: Array3<f64> = read(TWO_BODY, "w");
    let discretized = Discretized::new(ode, &times, Scheme::Rk4);
    let problem = discretized.problem_batch(y0.view(), Array3::zeros((4, 0, 0)).view()).unwrap();
    let solution = Solver::auto().solve(&problem, &Cpu::new()).unwrap();
    assert!(solution.converged());
    let motion = Hamiltonian::new(TwoBody);
    for b in 0..4 {
        let states = solution.trajectory(b);
        let error = compare(states, &places, &expected.index_axis(Axis(0), b).to_owned());
        assert!(error < 1e-10, "{b}: {error:e}");
        for (&place, &energy) in places.iter().zip(energy.row(b)).skip(1) {
            let got = motion.energy(&states.row(place as usize - 1).to_vec());
            assert!((got - energy).abs() < 1e-11 * (1.0 + energy.abs()), "{b}: {got} {energy}");
        }
    }
    let mut cotangent = Array3::zeros((4, 9_999, 8));
    for (k, &place) in places.iter().enumerate().skip(1) {
        let mut row = cotangent.slice_mut(s![.., place as usize - 1, ..]);
        row.assign(&weights.slice(s![.., k, ..]));
    }
    let gradient = solution.vjp(&problem, cotangent.view(), &Cpu::new()).unwrap();
    let expected: Array2<f64> = read(TWO_BODY, "grad_y0");
    let got = &gradient.initial_state + &weights.slice(s![.., 0, ..]);
    let error = largest(got.iter().zip(&expected).map(|(got, expected)| got - expected));
    let scale = largest(expected.iter().copied());
    assert!(error < 1e-8 * scale, "{error:e} of {scale:e}");
}

#[test]
fn two_bodies() {
    check_two_bodies(&TwoBody);
}

#[test]
fn two_bodies_by_their_energy() {
    check_two_bodies(&Hamiltonian::new(TwoBody));
}

/// `n` masses in a row with springs whose stiffness is the parameter.
struct Chain([f64; 1], usize);

impl Energy for Chain {
    type Real = f64;
    fn dim(&self) -> usize {
        self.1
    }
    fn params(&self) -> &[f64] {
        &self.0
    }
    #[inline(always)]
    fn energy<S: Scalar<Real = f64>>(&self, stiffness: &[Param<S>], q: &[S], p: &[S]) -> S {
        let mut sum: S = p.iter().map(|&p| p * p * 0.5).sum();
        for pair in q.windows(2) {
            let stretch = pair[1] - pair[0];
            sum += stretch * stretch * 0.5 * stiffness[0];
        }
        sum
    }
}

/// Energies of one, a few and many coordinates: the field against the one by hand, and the derivative by the parameter.
#[test]
fn fields_of_energies() {
    for n in [1, 2, 3, 9, 11] {
        let motion = Hamiltonian::new(Chain([1.5], n));
        let y: Vec<f64> = (0..2 * n).map(|i| (0.7 * i as f64).sin()).collect();
        let params = deer_solver::Parameter::from_slice(motion.params());
        let mut dy = vec![f64::NAN; 2 * n];
        motion.rhs::<f64>(params, 0.0, &y, &[], &mut dy);
        for i in 0..n {
            let mut force = 0.0;
            if i > 0 {
                force += 1.5 * (y[i - 1] - y[i]);
            }
            if i + 1 < n {
                force += 1.5 * (y[i + 1] - y[i]);
            }
            assert_eq!(dy[i], y[n + i]);
            assert!((dy[n + i] - force).abs() < 1e-14);
        }
        let times = Array1::linspace(0.0, 2.0, 101);
        let discretized = Discretized::new(&motion, &times, Scheme::Rk4);
        let y0 = Array1::from(y);
        let problem = discretized.problem(y0.view(), Array2::zeros((0, 0)).view()).unwrap();
        let last = |problem: &Problem<'_, _>| {
            let solution = Solver::sequential().solve(problem, &Cpu::new()).unwrap();
            (solution.trajectory(0).row(99).sum(), solution)
        };
        let (_, solution) = last(&problem);
        let ones = Array2::ones((1, 2 * n));
        let gradient = solution.vjp_last(&problem, ones.view(), &Cpu::new()).unwrap();
        let at = |stiffness| {
            let problem = discretized.problem(y0.view(), Array2::zeros((0, 0)).view()).unwrap();
            last(&problem.with_params(&[stiffness]).unwrap()).0
        };
        let difference = (at(1.5 + 1e-5) - at(1.5 - 1e-5)) / 2e-5;
        assert!((gradient.params[0] - difference).abs() < 1e-8, "{n}: {}", gradient.params[0]);
    }
}
