//! States of many components that do not depend on each other: each thread has a few of them.

use crate::common::reference::{difference, plain_loop};
use crate::cuda;
use crate::maps::{Noise, methods, with_block};
use deer_solver::cells::{DiagonalGru, DiagonalLstm};
use deer_solver::dynamics::Structure;
use deer_solver::scalar::{Param, Scalar};
use deer_solver::{Backend, Dynamics, Linearization, Method, Problem, Real, Solver};
use ndarray::{Array2, Array3, ArrayView2};

/// Every method on sequences of different length.
fn every_method<D: Dynamics>(what: &str, dynamics: &D, lengths: &[usize]) {
    let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
    let noise = &mut Noise::new(5);
    let batch = lengths.len();
    let x0 = Array2::from_shape_vec((batch, n), noise.vec(batch * n, 0.9)).unwrap();
    let inputs: Vec<Array2<D::Real>> = lengths
        .iter()
        .map(|&steps| Array2::from_shape_vec((steps, m), noise.vec(steps * m, 1.0)).unwrap())
        .collect();
    let views: Vec<ArrayView2<D::Real>> = inputs.iter().map(|inputs| inputs.view()).collect();
    let problem = Problem::ragged(dynamics, x0.view(), &views).unwrap();
    let expected = plain_loop(&problem);
    assert!(expected.iter().any(|x| x.to_f64().abs() > 0.1), "{what}: nothing to compare");
    let device = cuda();
    for solver in methods() {
        for block in [None, Some(17)] {
            let solver = with_block(&solver, block);
            let solution = solver.solve(&problem, &device).unwrap();
            let report = solution.report();
            let what = format!("{what}, {}, block {block:?}", solver.method);
            assert!(solution.converged(), "{what}: {report}");
            let apart = difference(solution.states(), expected.view());
            let single = <D::Real as Real>::SINGLE;
            assert!(
                apart <= if single { 1e-5 } else { 1e-12 },
                "{what}: off by {apart:e}\n{report}"
            );
        }
    }
}

#[test]
fn a_diagonal_gru_of_256_units() {
    every_method("f32", &DiagonalGru::<f32>::random(2, 256, 1), &[66, 41]);
    every_method("f64", &DiagonalGru::<f64>::random(1, 256, 2), &[50]);
}

#[test]
fn a_diagonal_lstm_of_256_units() {
    every_method("f64", &DiagonalLstm::<f64>::random(2, 256, 3), &[40]);
}

/// 300 components of three kinds, with numbers and parameters of their own in no order; the structure is not declared.
pub(crate) struct Assorted {
    theta: Vec<f64>,
}

impl Assorted {
    const N: usize = 300;

    pub(crate) fn new() -> Self {
        Self { theta: Noise::new(9).vec(2 * Self::N, 1.0) }
    }
}

impl Dynamics for Assorted {
    type Real = f64;
    fn state_dim(&self) -> usize {
        Self::N
    }
    fn input_dim(&self) -> usize {
        3
    }
    fn params(&self) -> &[f64] {
        &self.theta
    }
    #[inline(always)]
    fn step<S: Scalar<Real = f64>>(&self, p: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
        for i in 0..Self::N {
            let gain = 0.3 + 0.001 * (i * i % 97) as f64;
            let drive = u[i * 7 % 3] * p[i * 11 % Self::N] + p[Self::N + i];
            next[i] = match i % 5 {
                0 => (x[i] * gain + drive).tanh(),
                3 => (x[i] * x[i] * gain + drive).sin() * 0.5,
                _ => x[i] * gain + drive,
            };
        }
    }
}

#[test]
fn a_step_of_the_users_own_of_300_components() {
    every_method("three kinds", &Assorted::new(), &[52, 33]);
}

/// 100 damped rotations with the second halves after the first, or side by side.
pub(crate) struct Rotations {
    interleaved: bool,
    theta: Vec<f64>,
}

impl Rotations {
    const PAIRS: usize = 100;

    pub(crate) fn new(interleaved: bool) -> Self {
        Self { interleaved, theta: Noise::new(4).vec(2 * Self::PAIRS, 0.4) }
    }
}

impl Dynamics for Rotations {
    type Real = f64;
    fn state_dim(&self) -> usize {
        2 * Self::PAIRS
    }
    fn input_dim(&self) -> usize {
        1
    }
    fn params(&self) -> &[f64] {
        &self.theta
    }
    fn structure(&self) -> Structure {
        Structure::Blocks { size: 2, interleaved: self.interleaved }
    }
    #[inline(always)]
    fn step<S: Scalar<Real = f64>>(&self, p: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
        for k in 0..Self::PAIRS {
            let (a, b) = if self.interleaved { (k, k + Self::PAIRS) } else { (2 * k, 2 * k + 1) };
            let (cos, sin) = (p[2 * k], p[2 * k + 1]);
            next[a] = (x[a] * cos - x[b] * sin + u[0]).tanh();
            next[b] = (x[a] * sin + x[b] * cos) * 0.9;
        }
    }
}

#[test]
fn blocks_of_two_components() {
    every_method("interleaved", &Rotations::new(true), &[45]);
    every_method("side by side", &Rotations::new(false), &[40, 30]);
}

/// Blocks of `size` components that depend on each other, side by side or interleaved; every third has another function.
pub(crate) struct Blocks<R: Real> {
    size: usize,
    count: usize,
    interleaved: bool,
    theta: Vec<R>,
}

impl<R: Real> Blocks<R> {
    pub(crate) fn new(size: usize, count: usize, interleaved: bool) -> Self {
        let theta = Noise::new(3).vec(count * size * size, 1.1 / (size as f64).sqrt());
        Self { size, count, interleaved, theta }
    }
}

impl<R: Real> Dynamics for Blocks<R> {
    type Real = R;
    fn state_dim(&self) -> usize {
        self.size * self.count
    }
    fn input_dim(&self) -> usize {
        2
    }
    fn params(&self) -> &[R] {
        &self.theta
    }
    #[inline(always)]
    fn step<S: Scalar<Real = R>>(&self, p: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
        let Self { size, count, interleaved, .. } = *self;
        let at = |b: usize, i: usize| if interleaved { i * count + b } else { b * size + i };
        for b in 0..count {
            for i in 0..size {
                let row = (b * size + i) * size;
                let mut sum = u[(b + i) % 2];
                for j in 0..size {
                    sum += x[at(b, j)] * p[row + j];
                }
                next[at(b, i)] = if b % 3 == 1 { sum.sin() } else { sum.tanh() };
            }
        }
    }
}

/// A part of each thread's goes wrong at a time of its own.
#[test]
fn one_component_that_leaves_the_finite_numbers_is_said() {
    struct Growing;
    impl Dynamics for Growing {
        type Real = f64;
        fn state_dim(&self) -> usize {
            150
        }
        #[inline(always)]
        fn step<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], _: &[S], next: &mut [S]) {
            for i in 0..150 {
                let gain = if i == 77 { 1e20 } else { 0.5 };
                next[i] = x[i] * x[i] * gain + 1.0;
            }
        }
    }
    let x0 = ndarray::Array1::ones(150);
    let problem = Problem::autonomous(&Growing, x0.view(), 60).unwrap();
    let expected = Solver::sequential().solve(&problem, &deer_solver::Cpu::new()).unwrap();
    for solver in [Solver::sequential(), Solver::jacobi(), Solver::deer()] {
        let solution = solver.solve(&problem, &cuda()).unwrap();
        assert_eq!(solution.termination(), expected.termination(), "{}", solver.method);
    }
}

#[test]
fn the_code_does_not_grow_with_the_number_of_components() {
    let text = |n: usize, linearization| {
        let gru = DiagonalGru::<f32>::random(2, n, 0);
        let (x0, inputs) = (ndarray::Array1::zeros(n), Array2::zeros((4, 2)));
        let problem = Problem::new(&gru, x0.view(), inputs.view()).unwrap();
        deer_solver::Cuda::ptx(&problem, linearization).unwrap()
    };
    for linearization in [None, Some(Linearization::Full)] {
        let lines = |n| text(n, linearization).lines().count();
        assert_eq!(lines(200), lines(1000));
    }
}

#[test]
fn auto_on_many_components() {
    let gru = DiagonalGru::<f32>::random(2, 256, 1);
    let inputs = Array2::from_shape_vec((400, 2), Noise::new(1).vec(800, 1.0)).unwrap();
    let x0 = ndarray::Array1::zeros(256);
    let problem = Problem::new(&gru, x0.view(), inputs.view()).unwrap();
    let solution = Solver::auto().solve(&problem, &cuda()).unwrap();
    assert!(solution.converged() && solution.report().method != Method::Auto);
    let apart = difference(solution.states(), plain_loop(&problem).view());
    assert!(apart <= 1e-5, "off by {apart:e}\n{}", solution.report());
}

/// As many sequences as give each multiprocessor 128 threads, a thread for each part, run in order.
#[test]
fn sequences_of_many_parts_fill_a_card() {
    let device = cuda();
    let described = device.describe();
    let processors = described.split_whitespace().rev().nth(1).unwrap();
    let full = processors.parse::<usize>().unwrap().div_ceil(2);
    let gru = DiagonalGru::<f32>::random(1, 256, 1);
    let in_order = |batch: usize| {
        let inputs = Array3::from_elem((batch, 600, 1), 0.3);
        let x0 = Array2::zeros((batch, 256));
        let problem = Problem::batch(&gru, x0.view(), inputs.view()).unwrap();
        let solution = Solver::auto().solve(&problem, &device).unwrap();
        solution.report().to_string().contains("sequences fill the lanes")
    };
    assert!(in_order(full) && !in_order(full - 1), "{described}");
}
