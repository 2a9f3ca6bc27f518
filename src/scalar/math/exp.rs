//! eˣ and eˣ − 1.
//!
//! x = k·ln 2 + r with |r| ≤ ½ ln 2, and eʳ − 1 = r + r²·P(r).

use super::{abs, exponent_shift, polynomial, power_of_two, splat};
use crate::scalar::Real;
use crate::scalar::vector::Vector;

/// ln 2 in two parts; the first ends in zeros enough that its product with any `k` is exact.
pub(super) const LN_2_SINGLE: [f64; 2] = [0.693145751953125, 1.428606765330187e-6];
pub(super) const LN_2_DOUBLE: [f64; 2] = [0.693147180559663, 2.8235290563031577e-13];

/// ln 2 in the two parts of the precision.
#[inline(always)]
pub(super) fn ln_2<V: Vector>() -> [f64; 2] {
    if V::Real::SINGLE { LN_2_SINGLE } else { LN_2_DOUBLE }
}

/// `k` and `r` of x = k·ln 2 + r.
#[inline(always)]
pub(super) fn reduce<V: Vector>(x: V) -> (V, V) {
    let shift = exponent_shift::<V>();
    let sum = x.mul_add(splat(std::f64::consts::LOG2_E), shift);
    let k = sum.sub(shift);
    let [high, low] = ln_2::<V>();
    let r = k.mul_add(splat(-low), k.mul_add(splat(-high), x));
    (k, r)
}

/// factor · (e^{s·r} − 1 − s·r) / r² for |s·r| ≤ ½ ln 2, with `r2` = r².
///
/// `s` and `factor` are powers of two or their negatives, which go into the coefficients. These
/// minimise the relative error of eʳ − 1: 2^−26.1 and 2^−55.6.
#[inline(always)]
pub(super) fn remainder<V: Vector>(r: V, r2: V, s: f64, factor: f64) -> V {
    if V::Real::SINGLE {
        polynomial(r, r2, scaled(SINGLE, s, factor))
    } else {
        polynomial(r, r2, scaled(DOUBLE, s, factor))
    }
}

const SINGLE: [f64; 5] = [
    0.49999998132886614,
    0.16666542684803318,
    0.041667203928926484,
    0.00836664675021925,
    0.0013882496897006302,
];
const DOUBLE: [f64; 10] = [
    0.5000000000000006,
    0.16666666666666588,
    0.04166666666657539,
    0.008333333333390414,
    0.0013888888932051646,
    0.0001984126971759819,
    2.4801504650478112e-5,
    2.755740822351072e-6,
    2.7626298752229973e-7,
    2.505377902078833e-8,
];

#[inline(always)]
fn scaled<const N: usize>(mut c: [f64; N], s: f64, factor: f64) -> [f64; N] {
    let mut power = factor * s * s;
    let mut j = 0;
    while j < N {
        c[j] *= power;
        power *= s;
        j += 1;
    }
    c
}

/// eˣ; ∞ and 0 beyond the range, rounded once where the result is subnormal.
#[inline(always)]
pub(crate) fn exp<V: Vector>(x: V) -> V {
    // The ends are beyond the range, and NaN passes: `min` and `max` return their right operand.
    let (low, high) = if V::Real::SINGLE { (-104.0, 89.0) } else { (-746.0, 710.0) };
    let x = splat::<V>(high).min(splat::<V>(low).max(x));
    let (k, r) = reduce(x);
    let r2 = r.mul(r);
    let p = remainder(r, r2, 1.0, 1.0).mul_add(r2, r).add(splat(1.0));
    p.scale(k)
}

/// eˣ − 1 with a small relative error near 0.
///
/// eˣ − 1 = 2·(2ᵏ⁻¹·(eʳ − 1) + (2ᵏ⁻¹ − ½)), half of it so that 2ᵏ⁻¹ does not overflow first.
#[inline(always)]
pub(crate) fn exp_m1<V: Vector>(x: V) -> V {
    let high = if V::Real::SINGLE { 89.0 } else { 710.0 };
    let clamped = splat::<V>(high).min(splat::<V>(-40.0).max(x));
    let (k, r) = reduce(clamped);
    let r2 = r.mul(r);
    let em1 = remainder(r, r2, 1.0, 1.0).mul_add(r2, r);
    let half_power = power_of_two(k.add(exponent_shift::<V>().sub(splat(1.0))));
    let half = half_power.mul_add(em1, half_power.sub(splat(0.5)));
    // Below, eˣ − 1 rounds to x; subnormal numbers and the sign of zero need the exact way.
    let tiny = splat::<V>(if V::Real::SINGLE { 1e-10 } else { 1e-20 });
    abs(x).select_lt(tiny, x, half.add(half))
}
