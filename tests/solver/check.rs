//! Derivatives against differences: right ones pass, wrong ones are named.

use crate::common::golden::{self, Case, Check};
use crate::maps::{Kind, Map, Noise};
use deer_solver::cells::{DiagonalGru, DiagonalLstm, Elman, Gru, Lem, Lstm};
use deer_solver::check::{self, Comparison, Quantity};
use deer_solver::scalar::{Param, Scalar};
use deer_solver::{Cpu, Dynamics, Problem, Real, Solver, Structure};
use ndarray::{Array1, Array2, Array3, array, s};

/// What right derivatives are within.
fn tolerance<R: Real>() -> f64 {
    if R::SINGLE { 1e-2 } else { 1e-6 }
}

/// At a point with nothing special about it.
fn jacobian<D: Dynamics>(dynamics: &D) -> Comparison {
    let mut noise = Noise::new(3);
    let mut around = |centre: f64, length| {
        Array1::from_shape_simple_fn(length, || D::Real::from_f64(centre + 0.5 * noise.next()))
    };
    let (x, u) = (around(0.75, dynamics.state_dim()), around(0.5, dynamics.input_dim()));
    check::jacobian(dynamics, x.view(), u.view()).unwrap()
}

fn right_jacobians<R: Real>() {
    let mut worst = Vec::new();
    let mut passes = |name: &str, found: Comparison| {
        assert!(found.passed(tolerance::<R>()), "{name}: {found}");
        worst.push((name.to_owned(), found.error()));
    };
    passes("gru", jacobian(&Gru::<R>::random(2, 5, 1)));
    passes("lstm", jacobian(&Lstm::<R>::random(2, 3, 2)));
    passes("elman", jacobian(&Elman::<R>::random(2, 5, 3)));
    passes("lem", jacobian(&Lem::<R>::random(2, 3, 4)));
    passes("diagonal gru", jacobian(&DiagonalGru::<R>::random(2, 5, 5)));
    passes("diagonal lstm", jacobian(&DiagonalLstm::<R>::random(2, 4, 6)));
    for map in [
        Map::<R>::tanh(4, 0.9, 7),
        Map::new(Kind::Logistic, &[3.7]),
        Map::new(Kind::Rotation, &[0.6, 0.8]),
        Map::new(Kind::Log, &[]),
        Map::new(Kind::Passing, &[]),
        Map::new(Kind::Workspace, &[0.4, 0.3]),
        Map::new(Kind::Pairs, &[0.5, 0.4]),
        Map::new(Kind::Steep, &[]),
    ] {
        passes(&format!("{:?}", map.kind), jacobian(&map));
    }
    println!("{worst:?}");
}

#[test]
fn right_jacobians_pass() {
    right_jacobians::<f64>();
    right_jacobians::<f32>();
}

/// `x0' = sin(x0) + u / 2, x1' = p x0 x1`, with mistakes.
struct Mistaken {
    structure: Structure,
    jacobian: Option<[f64; 4]>,
    diagonal: Option<fn(f64) -> f64>,
    value: f64,
}

const RIGHT: Mistaken =
    Mistaken { structure: Structure::Dense, jacobian: None, diagonal: None, value: 0.0 };

impl Dynamics for Mistaken {
    type Real = f64;
    fn state_dim(&self) -> usize {
        2
    }
    fn input_dim(&self) -> usize {
        1
    }
    fn params(&self) -> &[f64] {
        &[0.5]
    }
    fn structure(&self) -> Structure {
        self.structure
    }
    #[inline(always)]
    fn step<S: Scalar<Real = f64>>(&self, p: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
        next[0] = x[0].sin() + u[0] * 0.5;
        next[1] = x[0] * x[1] * p[0];
    }
    fn jacobian<S: Scalar<Real = f64>>(
        &self,
        p: &[Param<S>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        jacobian: &mut [S],
    ) -> bool {
        let Some(entries) = self.jacobian else { return false };
        self.step(p, x, u, next);
        next[1] += self.value;
        for (to, from) in jacobian.iter_mut().zip(entries) {
            *to = S::constant(from);
        }
        true
    }
    fn jacobian_diagonal<S: Scalar<Real = f64>>(
        &self,
        p: &[Param<S>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        diagonal: &mut [S],
    ) -> bool {
        let Some(first) = self.diagonal else { return false };
        self.step(p, x, u, next);
        diagonal[0] = S::constant(first(0.0));
        diagonal[1] = x[0] * p[0];
        true
    }
}

/// At `x = [0, 1]`: the Jacobian is `[[1, 0], [1/2, 0]]`.
fn found(mistaken: &Mistaken) -> Comparison {
    check::jacobian(mistaken, array![0.0, 1.0].view(), array![0.3].view()).unwrap()
}

/// What a failed comparison says first.
fn line(found: &Comparison) -> String {
    assert!(!found.passed(1e-2));
    found.to_string().lines().next().unwrap_or_default().to_owned()
}

#[test]
fn mistakes_are_named() {
    assert!(found(&RIGHT).passed(1e-6));
    let right = [1.0, 0.0, 0.5, 0.0];
    assert!(found(&Mistaken { jacobian: Some(right), ..RIGHT }).passed(1e-6));

    let wrong = found(&Mistaken { jacobian: Some([1.0, 0.0, 0.25, 0.0]), ..RIGHT });
    assert_eq!(line(&wrong), "∂f[1]/∂x[0] by `jacobian`: derivative 0.25, difference 0.5");
    assert_eq!(wrong.worst.unwrap().quantity, Quantity::Jacobian { row: 1, column: 0 });
    assert!((wrong.error() - 0.5).abs() < 1e-6 && wrong.passed(0.51));

    let unwritten = found(&Mistaken { jacobian: Some([1.0, f64::NAN, 0.5, 0.0]), ..RIGHT });
    assert_eq!(line(&unwritten), "∂f[0]/∂x[1] by `jacobian`: derivative NaN, difference 0");
    let wrong = found(&Mistaken { jacobian: Some(right), value: 1.0, ..RIGHT });
    assert_eq!(line(&wrong), "f[1] by `jacobian`: 1, by `step` 0");

    assert!(found(&Mistaken { diagonal: Some(f64::cos), ..RIGHT }).passed(1e-6));
    let wrong = found(&Mistaken { diagonal: Some(f64::sin), ..RIGHT });
    assert_eq!(line(&wrong), "∂f[0]/∂x[0] by `jacobian_diagonal`: derivative 0, difference 1");

    let wrong = found(&Mistaken { structure: Structure::Diagonal, ..RIGHT });
    let expected = "∂f[1]/∂x[0], zero by `structure` (Diagonal): derivative 0, difference 0.5";
    assert_eq!(line(&wrong), expected);
}

#[test]
fn parameters_that_are_not_read_are_named() {
    let mut map = Map::<f64>::new(Kind::Forgetful, &[0.5, 0.7, 0.0, 0.0, 0.0]);
    map.params.extend(vec![0.0; 3]);
    let found = jacobian(&map);
    assert_eq!(found.unread, [0, 2, 3, 4, 5, 6, 7]);
    assert!(found.error() < 1e-6 && !found.passed(1.0));
    let said = found.to_string();
    let expected = "θ[0], θ[2..=7] never read by the step: read `params`, not `self`";
    assert_eq!(said.lines().last(), Some(expected));

    map.params.truncate(2);
    let (x0, inputs) = (array![0.2], Array2::from_elem((40, 1), 0.3));
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    let ones = Array3::ones((1, 40, 1));
    let found = check::gradient(&problem, &Solver::auto(), ones.view(), &Cpu::new()).unwrap();
    assert_eq!(found.unread, [0]);
    assert!(!found.passed(1.0));
}

/// The gradient of the first steps of each case.
struct Gradients;

impl<R: Real> Check<R> for Gradients {
    fn check<D: Dynamics<Real = R>>(&mut self, case: &Case<D>) {
        let steps = 60;
        let inputs = case.inputs.slice(s![..steps, ..]);
        let weights = case.weights.slice(s![ndarray::NewAxis, ..steps, ..]);
        let problem = Problem::new(&case.dynamics, case.x0.view(), inputs).unwrap();
        let found =
            check::gradient(&problem, &Solver::auto(), weights, &Cpu::with_threads(1).unwrap());
        let found = found.unwrap();
        println!("{} {found}", case.name);
        assert!(found.passed(tolerance::<R>()), "{}: {found}", case.name);
    }
}

#[test]
fn right_gradients_pass() {
    golden::each::<f64>(&mut Gradients);
    golden::each::<f32>(&mut Gradients);
}

#[test]
fn gradients_of_maps_pass() {
    let mut noise = Noise::new(11);
    let cpu = Cpu::with_threads(2).unwrap();
    let inputs: Vec<Array2<f64>> =
        [300, 0, 41].map(|t| Array2::from_shape_vec((t, 1), noise.vec(t, 0.5)).unwrap()).into();
    let views: Vec<_> = inputs.iter().map(|u| u.view()).collect();
    for map in [
        Map::<f64>::tanh(3, 0.8, 1),
        Map::new(Kind::Workspace, &[0.4, 0.3]),
        Map::new(Kind::Bistable, &[]),
    ] {
        let x0 = Array2::from_shape_vec((3, map.n), noise.vec(3 * map.n, 0.5)).unwrap();
        let problem = Problem::ragged(&map, x0.view(), &views).unwrap();
        let cotangent = Array3::from_shape_simple_fn((3, 300, map.n), || noise.next());
        for solver in [Solver::auto(), Solver::deer(), Solver::jacobi().max_sweeps(1)] {
            let found = check::gradient(&problem, &solver, cotangent.view(), &cpu).unwrap();
            println!("{:?} {} {found}", map.kind, solver.method);
            assert!(found.passed(1e-6), "{:?}, {}: {found}", map.kind, solver.method);
            let kinds = [map.params.len(), 341, 3 * map.n];
            assert_eq!(found.compared, kinds.iter().map(|&count| count.min(32)).sum::<usize>());
        }
    }
    let rotation = Map::new(Kind::Rotation, &[0.6, 0.8]);
    let problem = Problem::autonomous(&rotation, array![0.3, 0.4].view(), 1000).unwrap();
    let cotangent = Array3::from_shape_simple_fn((1, 1000, 2), || noise.next());
    let found = check::gradient(&problem, &Solver::auto(), cotangent.view(), &cpu).unwrap();
    println!("rotation {found}");
    assert!(found.passed(1e-6), "{found}");
}

#[test]
fn a_gradient_at_a_kink_does_not_pass() {
    // x' = clip(x / 2 + u) from the corner: differences give half the slope.
    let map = Map::<f64>::new(Kind::Clip, &[0.5]);
    let found = |u: f64| {
        let (x0, inputs) = (array![0.5], array![[u]]);
        let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
        let one = Array3::ones((1, 1, 1));
        check::gradient(&problem, &Solver::sequential(), one.view(), &Cpu::new()).unwrap()
    };
    assert!(found(0.2).passed(1e-6));
    let found = found(0.75);
    assert_eq!(found.compared, 3);
    assert!((found.error() - 0.5).abs() < 1e-6, "{found}");
    let said = found.to_string();
    assert!(said.ends_with("relative error 0.50, the largest of 3 numbers compared"), "{said}");
}

#[test]
fn misuse_is_an_error() {
    let map = Map::<f64>::tanh(2, 0.9, 3);
    let message = |x: Array1<f64>, u: Array1<f64>| {
        check::jacobian(&map, x.view(), u.view()).unwrap_err().to_string()
    };
    assert_eq!(message(array![0.0], array![0.0]), "x: expected shape [n = 2], got [1]");
    assert_eq!(message(array![0.0, 1.0], array![]), "u: expected shape [m = 1], got [0]");
    let wrong = message(array![0.0, f64::NAN], array![1.0]);
    assert_eq!(wrong, "x[1]: expected a finite number, got NaN");
    let odd = Mistaken { structure: Structure::Blocks { size: 3, interleaved: false }, ..RIGHT };
    let wrong = check::jacobian(&odd, array![0.0, 1.0].view(), array![0.3].view()).unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "dynamics: structure: expected blocks whose size divides n = 2, got 3"
    );
}

#[test]
fn value_and_gradient_is_the_steps_done_by_hand() {
    let map = Map::<f64>::tanh(3, 0.8, 1);
    let cpu = Cpu::new();
    let mut noise = Noise::new(5);
    let inputs = Array3::from_shape_vec((2, 500, 1), noise.vec(1000, 1.0)).unwrap();
    let x0 = Array2::from_elem((2, 3), 0.1);
    let problem = Problem::batch(&map, x0.view(), inputs.view()).unwrap();
    let half_square = |x: ndarray::ArrayView3<'_, f64>| (0.5 * (&x * &x).sum(), x.to_owned());
    let (value, gradient) = Solver::auto().value_and_gradient(&problem, half_square, &cpu).unwrap();
    let solution = Solver::auto().solve(&problem, &cpu).unwrap();
    assert_eq!(value, half_square(solution.states()).0);
    assert_eq!(gradient, solution.vjp(&problem, solution.states(), &cpu).unwrap());

    let unfinished = Solver::jacobi().block(5).max_sweeps(1);
    let by_hand = unfinished.solve(&problem, &cpu).unwrap();
    let by_hand = by_hand.vjp(&problem, by_hand.states(), &cpu).unwrap_err().to_string();
    let refused =
        |_: ndarray::ArrayView3<'_, f64>| panic!("called on states that did not converge");
    let error = unfinished.value_and_gradient(&problem, refused, &cpu).unwrap_err().to_string();
    assert_eq!(error, by_hand);
    let short = |_: ndarray::ArrayView3<'_, f64>| (0.0, Array3::zeros((2, 499, 3)));
    let error = Solver::auto().value_and_gradient(&problem, short, &cpu).unwrap_err().to_string();
    assert_eq!(error, "cotangent: expected shape [B = 2, T = 500, n = 3], got [2, 499, 3]");
}
