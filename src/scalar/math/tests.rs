//! Errors in units in the last place, special values, and the same bits on every instruction set.

use super::reference;
use crate::scalar::dispatch::{Kernel, One, dispatch};
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
    Sinh,
    Cosh,
}
use Function::*;
const FUNCTIONS: [Function; 10] = [Exp, ExpM1, Ln, Tanh, Sigmoid, Softplus, Sin, Cos, Sinh, Cosh];

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
            Sinh => x.sinh(),
            Cosh => x.cosh(),
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

/// Largest errors in ulps, for `f32` and `f64`, without and with fused multiply-add.
fn bounds(function: Function) -> [[f64; 2]; 2] {
    match function {
        Exp => [[1.1; 2]; 2],
        ExpM1 => [[2.0; 2]; 2],
        Ln => [[0.9; 2]; 2],
        Tanh => [[2.5; 2]; 2],
        Sinh | Cosh => [[2.2; 2]; 2],
        Sigmoid => [[2.5; 2]; 2],
        Softplus => [[1.75; 2]; 2],
        Sin | Cos => [[2.5, 2.0]; 2],
    }
}

/// Errors against the reference: `f64` for `f32`, twice that precision for `f64`. A `sigmoid` below
/// the normal numbers is only to be small.
trait Measured: Real {
    const ROW: usize;
    fn ulps(function: Function, x: Self, y: Self) -> f64;
    fn points(function: Function) -> Vec<Self>;
}

impl Measured for f32 {
    const ROW: usize = 0;
    fn ulps(function: Function, x: f32, y: f32) -> f64 {
        let exact = function.of(f64::from(x));
        if exact.is_nan() || !(exact as f32).is_finite() {
            return if y.is_nan() == exact.is_nan() && (y.is_nan() || y == exact as f32) {
                0.0
            } else {
                f64::INFINITY
            };
        }
        if function == Sigmoid && exact < f64::from(f32::MIN_POSITIVE) {
            return if (0.0..=f32::MIN_POSITIVE).contains(&y) { 0.0 } else { f64::INFINITY };
        }
        let exponent = ((exact as f32).to_bits() >> 23 & 0xff).max(1);
        let unit = f64::from(f32::from_bits(exponent << 23)) * f64::from(f32::EPSILON);
        ((f64::from(y) - exact) / unit).abs()
    }
    fn points(function: Function) -> Vec<f32> {
        let mut points = special().map(|x| x as f32).to_vec();
        let mut random = 1u32;
        for sign_and_exponent in 0..512u32 {
            for _ in 0..100 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                points.push(f32::from_bits(sign_and_exponent << 23 | random >> 9));
            }
        }
        points.extend(dense(function, 60_000).map(|x| x as f32));
        points
    }
}

impl Measured for f64 {
    const ROW: usize = 1;
    fn ulps(function: Function, x: f64, y: f64) -> f64 {
        let close = function.of(x);
        if !x.is_finite() || !close.is_finite() || close == 0.0 {
            return if y == close || y.is_nan() && close.is_nan() { 0.0 } else { f64::INFINITY };
        }
        if function == Sigmoid && close < f64::MIN_POSITIVE {
            return if (0.0..=f64::MIN_POSITIVE).contains(&y) { 0.0 } else { f64::INFINITY };
        }
        if matches!(function, Sin | Cos) && x.abs() > 1e6 {
            return if y.same_bits(close) { 0.0 } else { f64::INFINITY };
        }
        let exact = match function {
            Exp => reference::exp(x),
            ExpM1 => reference::exp_m1(x),
            Ln => reference::ln(x),
            Tanh => reference::tanh(x),
            Sigmoid => reference::sigmoid(x),
            Softplus => reference::softplus(x),
            Sin => reference::sin(x),
            Cos => reference::cos(x),
            Sinh => reference::sinh(x),
            Cosh => reference::cosh(x),
        };
        exact.ulps(y)
    }
    fn points(function: Function) -> Vec<f64> {
        let mut points = special().to_vec();
        let mut random = 1u64;
        for sign_and_exponent in 0..4096u64 {
            for _ in 0..4 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                points.push(f64::from_bits(sign_and_exponent << 52 | random >> 12));
            }
        }
        points.extend(dense(function, 20_000));
        points
    }
}

fn special() -> [f64; 20] {
    let large = f64::from(f32::MAX);
    let small = f64::from(f32::MIN_POSITIVE);
    let tiny = f64::from(f32::from_bits(1));
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        -f64::MIN_POSITIVE,
        f64::from_bits(1),
        -f64::from_bits(1),
        large,
        -large,
        small,
        -small,
        tiny,
        -tiny,
        0.5,
    ]
}

/// `n` numbers where the function is not trivial, and its neighbourhood of 0; for angles, those
/// next to the multiples of π/2 too.
fn dense(function: Function, n: usize) -> impl Iterator<Item = f64> {
    let ranges: &[(f64, f64)] = match function {
        Exp | ExpM1 | Sigmoid | Softplus => {
            &[(-760.0, 720.0), (-105.0, 90.0), (-20.0, 20.0), (-1.0, 1.0)]
        }
        Ln => &[(0.0, 4.0), (0.9, 1.1), (0.0, 1e-3), (0.0, 1e9)],
        Sinh | Cosh => &[(-715.0, 715.0), (-91.0, 91.0), (-42.0, 42.0), (-1.0, 1.0)],
        Tanh => &[(-20.0, 20.0), (-2.0, 2.0), (-0.4, 0.4), (-0.02, 0.02)],
        Sin | Cos => &[(-7.0, 7.0), (-400.0, 400.0), (-1e4, 1e4), (-1e6, 1e6)],
    };
    let linear = ranges.iter().flat_map(move |&(low, high)| {
        (0..n / 4).map(move |i| low + (high - low) * (i as f64 + 0.37) / (n / 4) as f64)
    });
    let multiples = if matches!(function, Sin | Cos) { n / 4 } else { 0 };
    linear.chain((1..multiples).map(|i| (i * i % 636_000) as f64 * std::f64::consts::FRAC_PI_2))
}

/// Largest errors without and with fused multiply-add; the instruction sets of a kind must agree.
fn measure<R: Measured>(function: Function) -> [f64; 2] {
    let x = R::points(function);
    let mut results: [Option<Vec<R>>; 2] = [None, None];
    let mut worst = [(0.0, 0.0); 2];
    for set in InstructionSet::available() {
        for single in [false, true] {
            let y = dispatch(set, Apply { function, single, x: &x });
            let fused = usize::from(set >= InstructionSet::Avx2);
            let Some(first) = &results[fused] else {
                for (x, y) in x.iter().zip(&y) {
                    let error = R::ulps(function, *x, *y);
                    assert!(!error.is_nan(), "{function:?}({x:e}) = {y:e}: {set:?}");
                    if error > worst[fused].0 {
                        worst[fused] = (error, x.to_f64());
                    }
                }
                results[fused] = Some(y);
                continue;
            };
            for ((x, y), first) in x.iter().zip(&y).zip(first) {
                let same = y.same_bits(*first) || y.to_f64().is_nan() && first.to_f64().is_nan();
                assert!(same, "{function:?}({x:e}) = {y:e} on {set:?}, else {first:e}");
            }
        }
    }
    for ((error, x), kind) in worst.into_iter().zip(["", " fused"]) {
        let row = format!("{function:?} {}{kind}", ["f32", "f64"][R::ROW]);
        println!("{row:<20}{error:>6.3} ulp at {x:e}");
    }
    worst.map(|(error, _)| error)
}

#[test]
fn errors_are_within_bounds_and_bits_the_same_on_every_instruction_set() {
    for function in FUNCTIONS {
        let errors = [measure::<f32>(function), measure::<f64>(function)];
        for (errors, bounds) in errors.into_iter().zip(bounds(function)) {
            let within = errors[0] <= bounds[0] && errors[1] <= bounds[1];
            assert!(within, "{function:?}: {errors:?}, bounds {bounds:?}");
        }
    }
}

#[test]
fn signs_of_zero_and_ends_of_the_range_are_kept() {
    fn check<R: Real>() {
        for set in InstructionSet::available() {
            let of = |function, x: f64| {
                dispatch(set, Apply { function, single: false, x: &[R::from_f64(x)] })[0].to_f64()
            };
            for function in [Sin, Sinh, Tanh, ExpM1] {
                for zero in [0.0, -0.0] {
                    assert!(of(function, zero).same_bits(zero), "{function:?} {zero:?} {set:?}");
                }
            }
            for (function, x, y) in [
                (Exp, 0.0, 1.0),
                (Exp, f64::NEG_INFINITY, 0.0),
                (Exp, 1e4, f64::INFINITY),
                (ExpM1, f64::NEG_INFINITY, -1.0),
                (Ln, 1.0, 0.0),
                (Ln, 0.0, f64::NEG_INFINITY),
                (Ln, -0.0, f64::NEG_INFINITY),
                (Ln, f64::INFINITY, f64::INFINITY),
                (Tanh, f64::INFINITY, 1.0),
                (Tanh, f64::NEG_INFINITY, -1.0),
                (Sigmoid, 0.0, 0.5),
                (Sigmoid, f64::INFINITY, 1.0),
                (Sigmoid, f64::NEG_INFINITY, 0.0),
                (Softplus, f64::INFINITY, f64::INFINITY),
                (Softplus, f64::NEG_INFINITY, 0.0),
                (Cos, 0.0, 1.0),
                (Cosh, 0.0, 1.0),
                (Cosh, f64::NEG_INFINITY, f64::INFINITY),
                (Sinh, f64::NEG_INFINITY, f64::NEG_INFINITY),
                (Sinh, f64::INFINITY, f64::INFINITY),
            ] {
                assert_eq!(of(function, x), y, "{function:?}({x}) on {set:?}");
            }
            for function in FUNCTIONS {
                assert!(of(function, f64::NAN).is_nan(), "{function:?} {set:?}");
            }
            assert!(of(Ln, -1.0).is_nan() && of(Sin, f64::INFINITY).is_nan());
        }
    }
    check::<f32>();
    check::<f64>();
}

/// The functions whose results are exact, or rounded as the standard library's.
struct Simple<R>(R, R);

impl<R: Real> Kernel for Simple<R> {
    type Output = Vec<[R; 2]>;
    #[inline(always)]
    fn run<I: Isa>(self) -> Vec<[R; 2]> {
        let Self(x, y) = self;
        let (a, b) = (Lanes::<R, I, 1>::constant(x), Lanes::<R, I, 1>::constant(y));
        vec![
            [a.relu().lane(0), x.relu()],
            [a.abs().lane(0), x.abs()],
            [a.sign().lane(0), x.sign()],
            [a.recip().lane(0), x.recip()],
            [a.sqrt().lane(0), x.sqrt()],
            [(-a).lane(0), -x],
            [a.max(b).lane(0), x.max(y)],
            [a.min(b).lane(0), x.min(y)],
            [a.powi(0).lane(0), x.powi(0)],
            [a.powi(2).lane(0), x * x],
            [a.powi(3).lane(0), x * (x * x)],
            [a.powi(-1).lane(0), x.recip()],
            [a.powi(-2).lane(0), (x * x).recip()],
            [a.select(b, a, b).lane(0), if x < y { x } else { y }],
        ]
    }
}

#[test]
fn simple_functions_are_those_of_single_numbers() {
    fn check<R: Real>() {
        for set in InstructionSet::available() {
            for x in special().map(R::from_f64) {
                for y in special().map(R::from_f64) {
                    for (i, [left, right]) in dispatch(set, Simple(x, y)).into_iter().enumerate() {
                        let both_nan = left.to_f64().is_nan() && right.to_f64().is_nan();
                        assert!(
                            left == right || both_nan,
                            "{i}: {x:e}, {y:e} on {set:?}: {left:e}"
                        );
                    }
                }
            }
        }
    }
    check::<f32>();
    check::<f64>();
}

#[test]
fn powers_multiply_at_most_twice_a_bit() {
    for n in [-17, -5, 4, 7, 10, 31] {
        for x in [0.3, -1.7, 2.5] {
            let power = Lanes::<f64, One<false>, 1>::constant(x).powi(n).lane(0);
            assert!((power / x.powi(n) - 1.0).abs() < 1e-14, "{x}^{n}: {power}");
        }
    }
}
