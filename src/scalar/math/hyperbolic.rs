//! sinh, cosh, tanh and the logistic function.

use super::exp::{ln_2, reduce, remainder};
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

/// h = ½(e^|x| − 1) and q = h / (1 + 2h): sinh |x| = h + q, cosh x = 1 + h − q. Both functions of one number share it.
///
/// From where the 1 is lost, h is ½e^|x| with the exponent put in at the end, since e^|x| overflows before the results do, and
/// q is lost too.
#[inline(always)]
fn half_exp_m1<V: Vector>(a: V) -> (V, V) {
    let (lost, high) = if V::Real::SINGLE { (20.0, 90.0) } else { (40.0, 712.0) };
    let lost = splat::<V>(lost);
    let (k, r) = reduce(splat::<V>(high).min(a));
    let r2 = r.mul(r);
    let em1 = remainder(r, r2, 1.0, 1.0).mul_add(r2, r);
    let half_power = power_of_two(k.add(exponent_shift::<V>().sub(splat(1.0))));
    let near = half_power.mul_add(em1, half_power.sub(splat(0.5)));
    let far = em1.add(splat(1.0)).scale(k.sub(splat(1.0)));
    let q = near.div(near.add(near).add(splat(1.0)));
    (a.select_lt(lost, near, far), a.select_lt(lost, q, splat(0.0)))
}

/// ½(eˣ − e⁻ˣ).
#[inline(always)]
pub(crate) fn sinh<V: Vector>(x: V) -> V {
    let a = abs(x);
    let (h, q) = half_exp_m1(a);
    // Below, sinh x rounds to x, and the half of a subnormal number is rounded.
    let tiny = splat::<V>(if V::Real::SINGLE { 1e-10 } else { 1e-20 });
    a.select_lt(tiny, x, h.add(q).or(x.and(sign_bit())))
}

/// ½(eˣ + e⁻ˣ).
#[inline(always)]
pub(crate) fn cosh<V: Vector>(x: V) -> V {
    let (h, q) = half_exp_m1(abs(x));
    h.sub(q).add(splat(1.0))
}
