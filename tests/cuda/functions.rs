//! Every operation of a graph, as a step on the device against the same step on the CPU.

use crate::cuda;
use deer_solver::scalar::{Param, Scalar};
use deer_solver::{Cpu, Dynamics, Problem, Real, Solver};
use ndarray::{Array1, Array2};
use std::marker::PhantomData;

/// `next[k]` is function `k` of the inputs.
struct All<R>(PhantomData<R>);

const COUNT: usize = 33;

impl<R: Real> Dynamics for All<R> {
    type Real = R;
    fn state_dim(&self) -> usize {
        COUNT
    }
    fn input_dim(&self) -> usize {
        2
    }
    #[inline(always)]
    fn step<S: Scalar<Real = R>>(&self, _: &[Param<S>], _: &[S], u: &[S], next: &mut [S]) {
        let (a, b) = (u[0], u[1]);
        let all = [
            a + b,
            a - b,
            a * b,
            a / b,
            -a,
            a.mul_add(b, a),
            a.exp(),
            a.exp_m1(),
            a.ln(),
            a.ln_1p(),
            a.sqrt(),
            a.cbrt(),
            a.powi(3),
            a.powi(-2),
            a.powf(b),
            a.sin(),
            a.cos(),
            a.tan(),
            a.atan(),
            a.atan2(b),
            a.sinh(),
            a.cosh(),
            a.tanh(),
            a.sigmoid(),
            a.softplus(),
            a.relu(),
            a.abs(),
            a.sign(),
            a.recip(),
            a.hypot(b),
            a.max(b),
            a.min(b),
            a.select(b, a, b),
        ];
        next[..COUNT].copy_from_slice(&all);
    }
}

/// Units in the last place between two numbers.
fn ulps<R: Real>(a: R, b: R) -> f64 {
    let (a, b) = (a.to_f64(), b.to_f64());
    if a == b || a.is_nan() && b.is_nan() {
        return 0.0;
    }
    let smallest = if R::SINGLE { f64::from(f32::MIN_POSITIVE) } else { f64::MIN_POSITIVE };
    // Below the normal numbers a sigmoid may be anything.
    if a.abs().max(b.abs()) < smallest {
        return 0.0;
    }
    let unit = R::EPSILON.to_f64() * 2f64.powf(a.abs().max(smallest).log2().floor());
    (a - b).abs() / unit
}

fn functions_agree<R: Real>() {
    let magnitudes =
        [0.0, 1e-30, 1e-8, 0.01, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 9.9, 25.0, 80.0, 700.0, 1e5, 1e30];
    let numbers: Vec<f64> = magnitudes.iter().flat_map(|&x| [x, -x]).collect();
    let pairs: Vec<R> = numbers
        .iter()
        .flat_map(|&a| numbers.iter().flat_map(move |&b| [a * 1.000_1, b]))
        .map(R::from_f64)
        .collect();
    let inputs = Array2::from_shape_vec((pairs.len() / 2, 2), pairs).unwrap();
    let all = All::<R>(PhantomData);
    let x0 = Array1::default(COUNT);
    let problem = Problem::new(&all, x0.view(), inputs.view()).unwrap();
    let here = Solver::sequential().solve(&problem, &cuda()).unwrap();
    let there = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    for t in 0..inputs.nrows() {
        for k in 0..COUNT {
            let (a, b) = (here.states()[[0, t, k]], there.states()[[0, t, k]]);
            let off = ulps(a, b);
            assert!(off <= 6.0, "function {k} of {}: {a:e} here and {b:e} there", inputs.row(t));
        }
    }
}

#[test]
fn functions_agree_in_single_precision() {
    functions_agree::<f32>();
}

#[test]
fn functions_agree_in_double_precision() {
    functions_agree::<f64>();
}
