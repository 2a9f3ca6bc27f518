//! Errors in units in the last place, special values, and the same bits on every instruction set.

use crate::scalar::dispatch::{Kernel, dispatch};
use crate::scalar::{InstructionSet, Isa, Lanes, Real, Scalar};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Function {
    Exp,
    ExpM1,
    Ln,
    Tanh,
    Sigmoid,
    Softplus,
    Sin,
    Cos,
}
use Function::*;
const FUNCTIONS: [Function; 8] = [Exp, ExpM1, Ln, Tanh, Sigmoid, Softplus, Sin, Cos];

impl Function {
    #[inline(always)]
    fn of<S: Scalar>(self, x: S) -> S {
        match self {
            Exp => x.exp(),
            ExpM1 => x.exp_m1(),
            Ln => x.ln(),
            Tanh => x.tanh(),
            Sigmoid => x.sigmoid(),
            Softplus => x.softplus(),
            Sin => x.sin(),
            Cos => x.cos(),
        }
    }
}

/// A function on every number of `x`, in vectors or one number at a time.
struct Apply<'a, R> {
    function: Function,
    single: bool,
    x: &'a [R],
}

impl<R: Real> Kernel for Apply<'_, R> {
    type Output = Vec<R>;
    #[inline(always)]
    fn run<I: Isa>(self) -> Vec<R> {
        let mut y = self.x.to_vec();
        if self.single {
            apply::<R, I::Single, 1>(self.function, &mut y);
        } else {
            apply::<R, I, 2>(self.function, &mut y);
        }
        y
    }
}

#[inline(always)]
fn apply<R: Real, I: Isa, const K: usize>(function: Function, y: &mut [R]) {
    for chunk in y.chunks_mut(Lanes::<R, I, K>::LANES) {
        let mut lanes = Lanes::<R, I, K>::from_f64(0.0);
        for (i, x) in chunk.iter().enumerate() {
            lanes.set_lane(i, *x);
        }
        let lanes = function.of(lanes);
        for (i, y) in chunk.iter_mut().enumerate() {
            *y = lanes.lane(i);
        }
    }
}

#[test]
fn quick() {
    for f in FUNCTIONS {
        let x: Vec<f64> = (-2000..2000).map(|i| f64::from(i) * 0.013 + 0.001).collect();
        let x32: Vec<f32> = x.iter().map(|x| *x as f32).collect();
        for set in InstructionSet::available() {
            for single in [false, true] {
                let y = dispatch(set, Apply { function: f, single, x: &x });
                let y32 = dispatch(set, Apply { function: f, single, x: &x32 });
                let mut m = (0.0f64, 0.0);
                let mut m32 = (0.0f64, 0.0);
                for i in 0..x.len() {
                    let r = f.of(x[i]);
                    let e = ((y[i] - r) / r).abs() / f64::EPSILON;
                    if !r.is_nan() && !(e <= m.0) { m = (e, x[i]); }
                    let r = f.of(f64::from(x32[i]));
                    let e = ((f64::from(y32[i]) - r) / r).abs() / f64::from(f32::EPSILON);
                    if !r.is_nan() && !(e <= m32.0) { m32 = (e, f64::from(x32[i])); }
                }
                println!("{f:?} {set:?} {single} {m:?} {m32:?}");
            }
        }
    }
}
