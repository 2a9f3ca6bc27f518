//! Derivatives of solutions: against reference data, differences, dual numbers and each other.

use crate::common::golden::{self, Case, Check};
use crate::maps::{Kind, Map, Noise, methods, with_block};
use deer_solver::scalar::{Parameter, Scalar};
use deer_solver::{Cotangents, Cpu, Dual, Dynamics, Problem, Real, Solver, Tangents};
use ndarray::{Array, Array1, Array2, Array3, ArrayView, ArrayView2, ArrayView3, Dimension, s};
use proptest::prelude::*;

fn dot<R: Real, D: Dimension>(a: ArrayView<'_, R, D>, b: ArrayView<'_, R, D>) -> f64 {
    a.iter().zip(&b).map(|(a, b)| a.to_f64() * b.to_f64()).sum()
}

/// Largest difference, where `expected` is a number, as a share of the largest entry (at least `least`).
fn apart<R: Real, D: Dimension>(got: &Array<R, D>, expected: &Array<R, D>, least: f64) -> f64 {
    assert_eq!(got.shape(), expected.shape());
    let known = || got.iter().zip(expected).filter(|(_, e)| !e.to_f64().is_nan());
    let size = known().fold(least, |size, (_, e)| size.max(e.to_f64().abs()));
    known().fold(0.0, |worst, (g, e)| {
        let apart = (g.to_f64() - e.to_f64()).abs() / size;
        if apart <= worst { worst } else { apart }
    })
}

struct Gradients;

impl<R: Real> Check<R> for Gradients {
    fn check<D: Dynamics<Real = R>>(&mut self, case: &Case<D>) {
        let problem = Problem::new(&case.dynamics, case.x0.view(), case.inputs.view()).unwrap();
        let weights = case.weights.view().insert_axis(ndarray::Axis(0));
        let tight = |solver: &Solver| solver.clone().tolerance(0.0, R::EPSILON.to_f64());
        let mut first: Option<Cotangents<R>> = None;
        for solver in methods() {
            for threads in [1, 2] {
                let cpu = Cpu::with_threads(threads).unwrap();
                let solution = tight(&solver).solve(&problem, &cpu).unwrap();
                let gradient = solution.vjp(&problem, weights, &cpu).unwrap();
                let what = format!("{}, {}, {threads} threads", case.name, solver.method);
                let (tolerance, least) = if R::SINGLE { (1e-4, 1.0) } else { (1e-10, 0.0) };
                let inputs = gradient.inputs.slice(s![0, .., ..]).to_owned();
                let x0 = gradient.initial_state.row(0).to_owned();
                for (name, off) in [
                    ("params", apart(&gradient.params, &case.grad_params, least)),
                    ("inputs", apart(&inputs, &case.grad_inputs, least)),
                    ("x0", apart(&x0, &case.grad_x0, least)),
                ] {
                    assert!(off <= tolerance, "{what}: gradient of {name} off by {off:e}");
                }
                let first = first.get_or_insert_with(|| gradient.clone());
                let off = apart(&gradient.params, &first.params, least);
                assert!(off <= tolerance, "{what}: {off:e} from the first method's");
            }
        }
    }
}

#[test]
fn double_precision_gradients_equal_the_reference() {
    golden::each::<f64>(&mut Gradients);
}

#[test]
fn single_precision_gradients_equal_the_reference() {
    golden::each::<f32>(&mut Gradients);
}

/// Tangents of the states by dual numbers in the plain loop; parameters stand still.
fn dual_loop(problem: &Problem<'_, Map<f64>>, tangents: &Tangents<f64>) -> Array3<f64> {
    let (map, n, m) = (problem.dynamics(), problem.state_dim(), problem.input_dim());
    let mut result = Array3::zeros((problem.batch_size(), problem.max_steps(), n));
    for b in 0..problem.batch_size() {
        let initial = problem.initial_state();
        let zip = |a: &[f64], b: &[f64]| -> Vec<Dual<f64, 1>> {
            a.iter().zip(b).map(|(&a, &b)| Dual::new(a, [b])).collect()
        };
        let mut x = zip(&initial.row(b).to_vec(), &tangents.initial_state.row(b).to_vec());
        for t in 0..problem.steps(b) {
            let u = &problem.inputs(b)[t * m..(t + 1) * m];
            let u = zip(u, &tangents.inputs.slice(s![b, t, ..]).to_vec());
            let mut next = vec![Dual::from_f64(0.0); n + map.scratch_dim()];
            map.step::<Dual<f64, 1>>(Parameter::from_slice(problem.params()), &x, &u, &mut next);
            x = next[..n].to_vec();
            for i in 0..n {
                result[[b, t, i]] = x[i].tangents[0];
            }
        }
    }
    result
}

fn direction(problem: &Problem<'_, Map<f64>>, seed: u64) -> Tangents<f64> {
    let mut noise = Noise::new(seed);
    let mut tangents = Tangents::zeros(problem);
    tangents.params.mapv_inplace(|_| noise.next());
    tangents.inputs.mapv_inplace(|_| noise.next());
    tangents.initial_state.mapv_inplace(|_| noise.next());
    tangents
}

fn random_cotangent(problem: &Problem<'_, Map<f64>>, seed: u64) -> Array3<f64> {
    let mut noise = Noise::new(seed);
    let shape = (problem.batch_size(), problem.max_steps(), problem.state_dim());
    Array3::from_shape_simple_fn(shape, || noise.next())
}

/// Entries of sequences that are over count for nothing.
fn without_ends(problem: &Problem<'_, Map<f64>>, mut all: Array3<f64>) -> Array3<f64> {
    for b in 0..problem.batch_size() {
        all.slice_mut(s![b, problem.steps(b).., ..]).fill(0.0);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn forward_and_reverse_are_adjoint(
        n in 1..7usize,
        gain in 0.1..1.6f64,
        lengths in prop::collection::vec(0..400usize, 1..5),
        seed in any::<u64>(),
        method in 0..6usize,
        block in prop::option::of(1..90usize),
        threads in 1..4usize,
    ) {
        let map = Map::<f64>::tanh(n, gain, seed);
        let mut noise = Noise::new(seed);
        let inputs: Vec<Array2<f64>> = lengths
            .iter()
            .map(|&t| Array2::from_shape_vec((t, 1), noise.vec(t, 1.0)).unwrap())
            .collect();
        let views: Vec<ArrayView2<'_, f64>> = inputs.iter().map(|u| u.view()).collect();
        let x0 = Array2::from_shape_vec((lengths.len(), n), noise.vec(lengths.len() * n, 1.0)).unwrap();
        let problem = Problem::ragged(&map, x0.view(), &views).unwrap();
        let cpu = Cpu::with_threads(threads).unwrap();
        let solution = with_block(&methods()[method], block).solve(&problem, &cpu).unwrap();
        prop_assume!(solution.converged());

        let tangents = direction(&problem, seed ^ 1);
        let cotangent = random_cotangent(&problem, seed ^ 2);
        let pushed = solution.jvp(&problem, &tangents, &cpu).unwrap();
        let pulled = solution.vjp(&problem, cotangent.view(), &cpu).unwrap();
        let left = dot(without_ends(&problem, cotangent).view(), pushed.view());
        let ends = without_inputs_after(&problem, &tangents.inputs);
        let parts = [
            dot(pulled.params.view(), tangents.params.view()),
            dot(pulled.inputs.view(), ends.view()),
            dot(pulled.initial_state.view(), tangents.initial_state.view()),
        ];
        let size = parts.iter().fold(left.abs(), |size, part| size.max(part.abs()));
        let size = size.max(pushed.iter().fold(0.0f64, |size, x| size.max(x.abs())));
        prop_assert!((left - parts.iter().sum::<f64>()).abs() <= 1e-10 * size, "{left} {parts:?}");

        let still = Tangents { params: Array1::zeros(problem.params().len()), ..tangents };
        let pushed = solution.jvp(&problem, &still, &cpu).unwrap();
        let expected = dual_loop(&problem, &still);
        prop_assert!(apart(&pushed, &expected, 1e-300) <= 1e-10, "{}", apart(&pushed, &expected, 1e-300));
    }
}

fn without_inputs_after(problem: &Problem<'_, Map<f64>>, inputs: &Array3<f64>) -> Array3<f64> {
    let mut inputs = inputs.clone();
    for b in 0..problem.batch_size() {
        inputs.slice_mut(s![b, problem.steps(b).., ..]).fill(0.0);
    }
    inputs
}

/// A direction of all that there is against a central difference of solutions.
fn check_difference(problem: &Problem<'_, Map<f64>>, by: f64, tolerance: f64) {
    let cpu = Cpu::with_threads(2).unwrap();
    let map = problem.dynamics();
    let tangents = direction(problem, 5);
    let solution = Solver::auto().solve(problem, &cpu).unwrap();
    assert!(solution.converged());
    let pushed = solution.jvp(problem, &tangents, &cpu).unwrap();
    let moved = |by: f64| {
        let params: Vec<f64> =
            problem.params().iter().zip(&tangents.params).map(|(p, t)| p + by * t).collect();
        let x0 = &problem.initial_state() + &(&tangents.initial_state * by);
        let shape = (problem.batch_size(), problem.max_steps(), problem.input_dim());
        let flat: Vec<f64> = (0..shape.0).flat_map(|b| problem.inputs(b).to_vec()).collect();
        let inputs = Array3::from_shape_vec(shape, flat).unwrap() + &tangents.inputs * by;
        let problem = Problem::batch(map, x0.view(), inputs.view()).unwrap();
        let problem = problem.with_params(&params).unwrap();
        Solver::auto().solve(&problem, &cpu).unwrap().into_states()
    };
    let expected = (moved(by) - moved(-by)) / (2.0 * by);
    let off = apart(&pushed, &expected, 0.0);
    assert!(off <= tolerance, "{:?}: off by {off:e}", map.kind);
}

#[test]
fn tangents_equal_differences_for_many_maps() {
    let mut noise = Noise::new(4);
    let inputs = Array3::from_shape_vec((2, 600, 1), noise.vec(1200, 0.5)).unwrap();
    let x0 = |n| Array2::from_elem((2, n), 0.3);
    for map in [
        Map::<f64>::tanh(3, 0.8, 1),
        Map::new(Kind::Clip, &[0.7]),
        Map::new(Kind::Workspace, &[0.4, 0.3]),
        Map::new(Kind::Bistable, &[]),
    ] {
        let x0 = x0(map.n);
        check_difference(&Problem::batch(&map, x0.view(), inputs.view()).unwrap(), 1e-6, 1e-6);
    }
    // Neither forgets nor grows.
    let rotation = Map::new(Kind::Rotation, &[0.6, 0.8]);
    let (x0, none) = (x0(2), Array3::zeros((2, 3000, 0)));
    check_difference(&Problem::batch(&rotation, x0.view(), none.view()).unwrap(), 1e-8, 1e-4);
}

/// Dynamics that neither forget nor grow, with few components, whose blocks' maps are composed, and with more.
#[test]
fn lasting_differences() {
    let cpu = Cpu::with_threads(2).unwrap();
    for pairs in [1, 2, 3, 4, 5] {
        // Rotations of pairs of components, which no sweep forgets.
        let mut weights = vec![0.0; 4 * pairs * pairs + 2 * pairs];
        for pair in 0..pairs {
            let (i, n) = (2 * pair, 2 * pairs);
            let angle = 0.1 + 0.2 * pair as f64;
            weights[i * n + i] = angle.cos();
            weights[i * n + i + 1] = -angle.sin();
            weights[(i + 1) * n + i] = angle.sin();
            weights[(i + 1) * n + i + 1] = angle.cos();
        }
        let map = Map { kind: Kind::Linear, n: 2 * pairs, params: weights };
        let mut noise = Noise::new(6);
        let lengths = [6000, 2500];
        let inputs: Vec<Array2<f64>> = lengths
            .iter()
            .map(|&t| Array2::from_shape_vec((t, 1), noise.vec(t, 1.0)).unwrap())
            .collect();
        let views: Vec<ArrayView2<'_, f64>> = inputs.iter().map(|u| u.view()).collect();
        let x0 = Array2::from_elem((2, map.n), 0.3);
        let problem = Problem::ragged(&map, x0.view(), &views).unwrap();
        let solution = Solver::sequential().solve(&problem, &cpu).unwrap();
        let mut tangents = direction(&problem, 8);
        let cotangent = without_ends(&problem, random_cotangent(&problem, 9));
        let pulled = solution.vjp(&problem, cotangent.view(), &cpu).unwrap();
        let pushed = solution.jvp(&problem, &tangents, &cpu).unwrap();
        tangents.inputs = without_inputs_after(&problem, &tangents.inputs);
        let left = dot(cotangent.view(), pushed.view());
        let right = dot(pulled.params.view(), tangents.params.view())
            + dot(pulled.inputs.view(), tangents.inputs.view())
            + dot(pulled.initial_state.view(), tangents.initial_state.view());
        let size: f64 = cotangent.iter().zip(&pushed).map(|(a, b)| (a * b).abs()).sum();
        assert!((left - right).abs() < 1e-12 * size, "{pairs} pairs: {left} {right}");
        tangents.params.fill(0.0);
        let pushed = solution.jvp(&problem, &tangents, &cpu).unwrap();
        let off = apart(&pushed, &dual_loop(&problem, &tangents), 0.0);
        assert!(off < 1e-11, "{pairs} pairs: off by {off:e}");
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let map = Map::<f32>::tanh(4, 0.9, 3);
    let mut noise = Noise::new(9);
    let inputs = Array2::from_shape_vec((20_000, 1), noise.vec(20_000, 1.0)).unwrap();
    let x0 = Array1::zeros(4);
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    let mut first = None;
    for threads in [1, 2, 5] {
        let cpu = Cpu::with_threads(threads).unwrap();
        let solution = Solver::auto().solve(&problem, &cpu).unwrap();
        let gradient = solution.vjp(&problem, solution.states(), &cpu).unwrap();
        let tangents = Tangents { params: gradient.params.clone(), ..Tangents::zeros(&problem) };
        let pushed = solution.jvp(&problem, &tangents, &cpu).unwrap();
        let first = first.get_or_insert_with(|| (gradient.clone(), pushed.clone()));
        assert_eq!(first, &(gradient, pushed), "{threads} threads");
    }
}

#[test]
fn a_loss_of_the_last_state() {
    let map = Map::<f64>::tanh(3, 0.9, 3);
    let mut noise = Noise::new(9);
    let inputs: Vec<Array2<f64>> = [0, 1, 700]
        .iter()
        .map(|&t| Array2::from_shape_vec((t, 1), noise.vec(t, 1.0)).unwrap())
        .collect();
    let views: Vec<ArrayView2<'_, f64>> = inputs.iter().map(|u| u.view()).collect();
    let x0 = Array2::from_elem((3, 3), 0.2);
    let problem = Problem::ragged(&map, x0.view(), &views).unwrap();
    let cpu = Cpu::new();
    let solution = Solver::auto().solve(&problem, &cpu).unwrap();
    let last = Array2::from_shape_vec((3, 3), noise.vec(9, 1.0)).unwrap();
    let gradient = solution.vjp_last(&problem, last.view(), &cpu).unwrap();
    let mut all = Array3::zeros((3, 700, 3));
    all.slice_mut(s![1, 0, ..]).assign(&last.row(1));
    all.slice_mut(s![2, 699, ..]).assign(&last.row(2));
    let expected = solution.vjp(&problem, all.view(), &cpu).unwrap();
    assert_eq!(gradient.params, expected.params);
    assert_eq!(gradient.inputs, expected.inputs);
    assert_eq!(gradient.initial_state.row(0), last.row(0));
    assert_eq!(
        gradient.initial_state.slice(s![1.., ..]),
        expected.initial_state.slice(s![1.., ..])
    );
}

/// A view that repeats one step's cotangents is the same as all of them.
#[test]
fn the_same_cotangent_at_every_step() {
    let map = Map::<f64>::tanh(3, 0.9, 3);
    let mut noise = Noise::new(9);
    let inputs: Vec<Array2<f64>> = [1000, 0, 1, 37, 640]
        .iter()
        .map(|&t| Array2::from_shape_vec((t, 1), noise.vec(t, 1.0)).unwrap())
        .collect();
    let views: Vec<ArrayView2<'_, f64>> = inputs.iter().map(|u| u.view()).collect();
    let x0 = Array2::from_elem((5, 3), 0.2);
    let problem = Problem::ragged(&map, x0.view(), &views).unwrap();
    let cpu = Cpu::new();
    let solution = Solver::auto().solve(&problem, &cpu).unwrap();
    let rows = Array3::from_shape_vec((5, 1, 3), noise.vec(15, 1.0)).unwrap();
    let repeated = rows.broadcast((5, 1000, 3)).unwrap();
    let gradient = solution.vjp(&problem, repeated, &cpu).unwrap();
    let expected = solution.vjp(&problem, repeated.to_owned().view(), &cpu).unwrap();
    assert_eq!(gradient, expected);
    let mut nan = rows.clone();
    nan[[3, 0, 1]] = f64::NAN;
    let repeated = nan.broadcast((5, 1000, 3)).unwrap();
    let wrong = solution.vjp(&problem, repeated, &cpu).unwrap_err().to_string();
    assert_eq!(wrong, "cotangent[3, 0, 1]: expected a finite number, got NaN");
}

#[test]
fn nothing_to_differentiate() {
    let map = Map::<f64>::tanh(2, 0.9, 3);
    let cpu = Cpu::new();
    for (batch, steps) in [(0, 5), (2, 0)] {
        let (x0, inputs) = (Array2::zeros((batch, 2)), Array3::zeros((batch, steps, 1)));
        let problem = Problem::batch(&map, x0.view(), inputs.view()).unwrap();
        let solution = Solver::auto().solve(&problem, &cpu).unwrap();
        let gradient = solution.vjp(&problem, solution.states(), &cpu).unwrap();
        assert_eq!(gradient.inputs.shape(), [batch, steps, 1]);
        assert!(gradient.params.iter().all(|&p| p == 0.0));
        let pushed = solution.jvp(&problem, &Tangents::zeros(&problem), &cpu).unwrap();
        assert_eq!(pushed.shape(), [batch, steps, 2]);
    }
}

#[test]
fn misuse_is_an_error() {
    let map = Map::<f64>::tanh(2, 0.9, 3);
    let cpu = Cpu::new();
    let inputs = Array2::from_elem((50, 1), 0.5);
    let x0 = Array1::zeros(2);
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    let solution = Solver::auto().solve(&problem, &cpu).unwrap();
    let message = |result: deer_solver::Result<Cotangents<f64>>| result.unwrap_err().to_string();
    let wrong = message(solution.vjp(&problem, Array3::zeros((1, 49, 2)).view(), &cpu));
    assert_eq!(wrong, "cotangent: expected shape [B = 1, T = 50, n = 2], got [1, 49, 2]");
    let wrong = message(solution.vjp_last(&problem, Array2::zeros((1, 3)).view(), &cpu));
    assert_eq!(wrong, "cotangent: expected shape [B = 1, n = 2], got [1, 3]");
    let mut nan = Array3::zeros((1, 50, 2));
    nan[[0, 7, 1]] = f64::NAN;
    let wrong = message(solution.vjp(&problem, nan.view(), &cpu));
    assert_eq!(wrong, "cotangent[0, 7, 1]: expected a finite number, got NaN");

    let ones: ArrayView3<'_, f64> = solution.states();
    let other = Array2::from_elem((50, 1), -0.5);
    let other = Problem::new(&map, x0.view(), other.view()).unwrap();
    assert!(message(solution.vjp(&other, ones, &cpu)).starts_with("problem: expected the one"));
    let shorter = Array2::from_elem((49, 1), 0.5);
    let shorter = Problem::new(&map, x0.view(), shorter.view()).unwrap();
    assert!(message(solution.vjp(&shorter, ones, &cpu)).starts_with("problem: expected the one"));
    let unfinished = Solver::jacobi().block(5).max_sweeps(1).solve(&problem, &cpu).unwrap();
    assert!(
        message(unfinished.vjp(&problem, ones, &cpu))
            .starts_with("solution: expected one that converged")
    );
    let tangents = Tangents { params: Array1::zeros(1), ..Tangents::zeros(&problem) };
    let wrong = solution.jvp(&problem, &tangents, &cpu).unwrap_err().to_string();
    assert_eq!(wrong, "tangents.params: expected shape [6], got [1]");
}
