//! ln x and ln(1 + eˣ).

use super::exp::{exp, ln_2};
use super::{abs, polynomial, relu, splat};
use crate::scalar::Real;
use crate::scalar::vector::Vector;
use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

/// Natural logarithm.
///
/// x = 2ᵏ·(1 + f) with 1 + f in [√½, √2).
#[inline(always)]
pub(crate) fn ln<V: Vector>(x: V) -> V {
    // A subnormal number is scaled into the normal range first.
    let (least, up, back) = if V::Real::SINGLE {
        (f64::from(f32::MIN_POSITIVE), 16_777_216.0, 24.0)
    } else {
        (f64::MIN_POSITIVE, 18_014_398_509_481_984.0, 54.0)
    };
    let least = splat::<V>(least);
    let normal = x.select_lt(least, x.mul(splat(up)), x);
    let offset = x.select_lt(least, splat(back), splat(0.0));

    // The pattern less that of √½ has k + bias' in the exponent's place, the fraction of
    // (1 + f)/√½ below it.
    let one = splat::<V>(1.0);
    let root = splat::<V>(FRAC_1_SQRT_2);
    let shifted = normal.add_bits(one.sub_bits(root));
    let (exponent, digits, bias) = if V::Real::SINGLE {
        // The integer in the low bits of 2²³ is that number more.
        (shifted.shr::<23>(), 0x007f_ffff, 8_388_608.0)
    } else {
        (shifted.shr::<52>(), 0x000f_ffff_ffff_ffff, 4_503_599_627_370_496.0)
    };
    let largest = if V::Real::SINGLE { 127.0 } else { 1023.0 };
    let k = exponent.or(splat(bias)).sub(splat(bias + largest)).sub(offset);
    let f = shifted.and(V::splat_bits(digits)).add_bits(root).sub(one);
    let y = ln_1p_reduced(f, k);

    let zero = splat::<V>(0.0);
    let special = x.select_lt(zero, splat(f64::NAN), splat(f64::NEG_INFINITY));
    let y = zero.select_lt(x, y, special);
    // ∞ and NaN are their own logarithms.
    x.select_lt(splat(f64::INFINITY), y, x)
}

/// ln(1 + eˣ) = max(x, 0) + ln(1 + e^{−|x|}).
#[inline(always)]
pub(crate) fn softplus<V: Vector>(x: V) -> V {
    let u = exp(abs(x).xor(splat(-0.0)));
    // 1 + u lies in [1, 2]: above √2 it is 2·(1 + f) with f = (u − 1)/2.
    let split = splat::<V>(SQRT_2 - 1.0);
    let f = u.select_lt(split, u, u.mul_add(splat(0.5), splat(-0.5)));
    let k = u.select_lt(split, splat(0.0), splat(1.0));
    relu(x).add(ln_1p_reduced(f, k))
}

/// k·ln 2 + ln(1 + f) for 1 + f in [√½, √2).
#[inline(always)]
fn ln_1p_reduced<V: Vector>(f: V, k: V) -> V {
    let [high, low] = ln_2::<V>();
    let f2 = f.mul(f);
    if V::Real::SINGLE {
        // ln(1 + f) = f − f²/2 + f³·P(f), relative error 2^−27.3.
        let p = polynomial(
            f,
            f2,
            [
                0.3333333170601415,
                -0.2500082102352095,
                0.2000122713198911,
                -0.1662335789063502,
                0.14201752233467155,
                -0.13160171810159269,
                0.1276161157712614,
                -0.07634564210383009,
            ],
        );
        let tail = f2.mul_add(splat(-0.5), k.mul_add(splat(low), p.mul(f2.mul(f))));
        k.mul_add(splat(high), f.add(tail))
    } else {
        // s = f / (2 + f), ln(1 + f) = f − f²/2 + s·(f²/2 + R(s²)); the coefficients of fdlibm's
        // e_log.c (Sun Microsystems, 1993), relative error 2^−58.4.
        let s = f.div(f.add(splat(2.0)));
        let s2 = s.mul(s);
        let r = polynomial(
            s2,
            s2.mul(s2),
            [
                0.6666666666666735,
                0.3999999999940942,
                0.2857142874366239,
                0.22222198432149784,
                0.1818357216161805,
                0.15313837699209373,
                0.14798198605106586,
            ],
        )
        .mul(s2);
        let half = f2.mul(splat(0.5));
        let tail = s.mul_add(half.add(r), k.mul(splat(low))).sub(half);
        k.mul_add(splat(high), f.add(tail))
    }
}
