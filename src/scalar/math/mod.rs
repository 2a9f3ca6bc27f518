//! Elementary functions on vectors, written once for every register and both precisions.
//!
//! Methods: argument reduction by Cody and Waite, *Software Manual for the Elementary Functions*
//! (1980); polynomials that minimise the largest relative error (Remez's exchange, 50 digits),
//! evaluated pairwise; no table and, but for the far ends of `sin` and `cos`, no branch.
//! `f32` and `f64` differ in coefficients only.
//!
//! | function | largest error found, in ulps, `f32` and `f64` | vector operations (AVX-512) |
//! |---|---|---|
//! | `exp` | 1.04, 1.00 | 16, 21 |
//! | `exp_m1` | 1.8, 2.0 | 22, 27 |
//! | `ln` | 0.9, 0.8 | 30, 32 and a division |
//! | `sinh`, `cosh` | 2.1, 2.2 | 30, 35 and a division |
//! | `tanh` | 2.5, 2.4 | 18, 24 and a division |
//! | `sigmoid` | 2.5, 1.9 | 17, 22 and a division |
//! | `softplus` | 1.7, 1.5 | 37, 46 and a division |
//! | `sin`, `cos` | 1.9, 1.6; without fused multiply-add 2.4, 2.1 | 19, 24 |
//!
//! A lane's result depends neither on the other lanes nor on the register's width: every
//! instruction set with fused multiply-add gives the same bits, and so does every one without.
//! Functions that no recurrence spends its time in go through the standard library, lane by lane.

mod exp;
mod hyperbolic;
mod log;
mod trig;

use super::vector::Vector;
use super::{Real, Scalar};

pub(crate) use exp::{exp, exp_m1};
pub(crate) use hyperbolic::{cosh, sigmoid, sinh, tanh};
pub(crate) use log::{ln, softplus};
pub(crate) use trig::{cos, sin};

macro_rules! per_lane {
    ($($name:ident)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<V: Vector>(mut x: V) -> V {
            for lane in x.as_mut_slice() {
                *lane = Scalar::$name(*lane);
            }
            x
        }
    )*};
}
per_lane!(ln_1p cbrt tan atan);

macro_rules! per_lane_of_two {
    ($($name:ident)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<V: Vector>(mut x: V, y: V) -> V {
            for (lane, y) in x.as_mut_slice().iter_mut().zip(y.as_slice()) {
                *lane = Scalar::$name(*lane, *y);
            }
            x
        }
    )*};
}
per_lane_of_two!(powf atan2 hypot);

/// −x.
#[inline(always)]
pub(crate) fn neg<V: Vector>(x: V) -> V {
    x.xor(sign_bit())
}

/// Square root.
#[inline(always)]
pub(crate) fn sqrt<V: Vector>(x: V) -> V {
    x.sqrt()
}

/// |x|.
#[inline(always)]
pub(crate) fn abs<V: Vector>(x: V) -> V {
    x.and(V::splat_bits(if V::Real::SINGLE { u64::from(u32::MAX >> 1) } else { u64::MAX >> 1 }))
}

/// max(x, 0); a NaN stays.
#[inline(always)]
pub(crate) fn relu<V: Vector>(x: V) -> V {
    splat::<V>(0.0).max(x)
}

/// −1, 0 or 1; a NaN stays.
#[inline(always)]
pub(crate) fn sign<V: Vector>(x: V) -> V {
    let zero = splat::<V>(0.0);
    zero.select_lt(x, splat(1.0), x.select_lt(zero, splat(-1.0), x))
}

/// 1 / x.
#[inline(always)]
pub(crate) fn recip<V: Vector>(x: V) -> V {
    splat::<V>(1.0).div(x)
}

/// The larger one; a NaN loses.
#[inline(always)]
pub(crate) fn max<V: Vector>(x: V, y: V) -> V {
    x.select_nan(y, y.max(x))
}

/// The smaller one; a NaN loses.
#[inline(always)]
pub(crate) fn min<V: Vector>(x: V, y: V) -> V {
    x.select_nan(y, y.min(x))
}

/// xⁿ by repeated squaring, as 1 / x⁻ⁿ for negative n.
#[inline(always)]
pub(crate) fn powi<V: Vector>(x: V, n: i32) -> V {
    let mut bits = n.unsigned_abs();
    let mut square = x;
    let mut power = splat::<V>(1.0);
    loop {
        if bits & 1 == 1 {
            power = power.mul(square);
        }
        bits >>= 1;
        if bits == 0 {
            break;
        }
        square = square.mul(square);
    }
    if n < 0 { recip(power) } else { power }
}

/// A constant in every lane, rounded to the precision.
#[inline(always)]
pub(super) fn splat<V: Vector>(x: f64) -> V {
    V::splat(V::Real::from_f64(x))
}

/// The sign's bit alone.
#[inline(always)]
fn sign_bit<V: Vector>() -> V {
    splat(-0.0)
}

/// ½ · 3 · 2ᵖ + bias, p the fraction's bits.
///
/// Adding it to a number of moderate size rounds that to an integer `k`, and leaves `k + bias` in
/// the low bits of the sum's pattern.
///
/// No conversion to integers is needed so: [`power_of_two`] shifts those bits into place.
#[inline(always)]
pub(super) fn exponent_shift<V: Vector>() -> V {
    splat(if V::Real::SINGLE { 12_582_912.0 + 127.0 } else { 6_755_399_441_055_744.0 + 1023.0 })
}

/// 2ᵏ from the sum `k + exponent_shift()`: 0 for k = −bias and ∞ for k = bias + 1, garbage beyond.
#[inline(always)]
pub(super) fn power_of_two<V: Vector>(sum: V) -> V {
    if V::Real::SINGLE { sum.shl::<23>() } else { sum.shl::<52>() }
}

/// Σ c_j xʲ with `x2` = x²: pairs c_j + c_{j+1} x, then Horner's rule in x².
///
/// Half of Horner's latency at no more operations, if x² is at hand.
#[inline(always)]
fn polynomial<V: Vector, const N: usize>(x: V, x2: V, c: [f64; N]) -> V {
    let mut j = (N - 1) / 2 * 2;
    let mut sum = pair(x, &c, j);
    while j > 0 {
        j -= 2;
        sum = sum.mul_add(x2, pair(x, &c, j));
    }
    sum
}

#[inline(always)]
fn pair<V: Vector>(x: V, c: &[f64], j: usize) -> V {
    let low = splat::<V>(c[j]);
    if j + 1 < c.len() { x.mul_add(splat(c[j + 1]), low) } else { low }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
