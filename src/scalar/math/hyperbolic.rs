//! tanh and the logistic function.

use super::exp::{ln_2, remainder};
use super::{abs, exponent_shift, power_of_two, sign_bit, splat};
use crate::scalar::Real;
use crate::scalar::vector::Vector;
use std::f64::consts::{LN_2, LOG2_E};

/// tanh x = h / (1 − h) with h = ½(1 − e^{−2x}), for |x|; the sign comes back at the end.
///
/// With −2|x| = k·ln 2 − 2r: h = 2ᵏ·½(1 − e^{−2r}) + ½(1 − 2ᵏ). The form with e^{2x} costs the same,
/// but its rounding errors are up to twice as large: h is above the result there, 1 + h above 1.
#[inline(always)]
pub(crate) fn tanh<V: Vector>(x: V) -> V {
    // From here on the result rounds to 1. NaN passes.
    let end = if V::Real::SINGLE { 9.02 } else { 19.07 };
    let a = splat::<V>(end).min(abs(x));
    let shift = exponent_shift::<V>();
    let sum = a.mul_add(splat(-2.0 * LOG2_E), shift);
    let k = sum.sub(shift);
    let r = if V::FMA && V::Real::SINGLE {
        // ln 2 is close to a number of this precision, and |k| at most 26: an error of 0.1 ulp.
        k.mul_add(splat(0.5 * LN_2), a)
    } else {
        let [high, low] = ln_2::<V>();
        k.mul_add(splat(0.5 * low), k.mul_add(splat(0.5 * high), a))
    };
    let r2 = r.mul(r);
    let reduced = remainder(r, r2, -2.0, -0.5).mul_add(r2, r);
    let power = power_of_two(sum);
    let h = power.mul_add(reduced, power.mul_add(splat(-0.5), splat(0.5)));
    let t = h.div(splat::<V>(1.0).sub(h));
    t.or(x.and(sign_bit()))
}

/// 1 / (1 + e⁻ˣ); 0 where the result would be below the normal numbers.
#[inline(always)]
pub(crate) fn sigmoid<V: Vector>(x: V) -> V {
    // At the low end 2ᵏ is ∞ and the result 0, at the high end 2ᵏ is far below 1.
    let (low, high) = if V::Real::SINGLE { (-89.0, 40.0) } else { (-710.0, 80.0) };
    let x = splat::<V>(high).min(splat::<V>(low).max(x));
    let shift = exponent_shift::<V>();
    let sum = x.mul_add(splat(-LOG2_E), shift);
    let k = sum.sub(shift);
    // −x = k·ln 2 − r
    let [high, low] = ln_2::<V>();
    let r = k.mul_add(splat(low), k.mul_add(splat(high), x));
    let r2 = r.mul(r);
    let e = splat::<V>(1.0).sub(remainder(r, r2, -1.0, -1.0).mul_add(r2, r));
    splat::<V>(1.0).div(e.mul_add(power_of_two(sum), splat(1.0)))
}
