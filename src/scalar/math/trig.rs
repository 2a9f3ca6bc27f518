//! sin and cos.
//!
//! |x| = k·π + r with |r| ≤ π/2 (cos: k + ½), then an odd polynomial in r with the sign of (−1)ᵏ.

use super::{abs, exponent_shift, neg, polynomial, sign_bit, splat};
use crate::scalar::vector::Vector;
use crate::scalar::{Real, Scalar};
use std::f64::consts::{FRAC_1_PI, PI};

/// Largest |x| that is reduced here; lanes beyond take the standard library's way.
///
/// It keeps `2k + 1` below 2¹³ (2²⁰): products with the parts of π below are exact then.
#[inline(always)]
fn bound<V: Vector>() -> f64 {
    if V::Real::SINGLE { 1e4 } else { 1e6 }
}

/// Sine.
#[inline(always)]
pub(crate) fn sin<V: Vector>(x: V) -> V {
    let a = abs(x);
    let shift = exponent_shift::<V>();
    let sum = a.mul_add(splat(FRAC_1_PI), shift);
    let r = subtract_pi(a, sum.sub(shift));
    // shift's bias is odd
    let mut y = odd(r).xor(parity(sum)).xor(neg(x).and(sign_bit()));
    if !a.all_le(splat(bound::<V>())) {
        far_sin(&x, &mut y);
    }
    y
}

/// Cosine.
#[inline(always)]
pub(crate) fn cos<V: Vector>(x: V) -> V {
    let a = abs(x);
    let shift = exponent_shift::<V>();
    let sum = a.mul_add(splat(FRAC_1_PI), splat(-0.5)).add(shift);
    let r = subtract_pi(a, sum.sub(shift).add(splat(0.5)));
    // cos((k + ½)π + r) = −(−1)ᵏ sin r, and shift's bias is odd
    let mut y = odd(r).xor(parity(sum));
    if !a.all_le(splat(bound::<V>())) {
        far_cos(&x, &mut y);
    }
    y
}

macro_rules! far {
    ($name:ident $function:ident) => {
        /// Replaces the lanes beyond the bound.
        #[cold]
        #[inline(never)]
        fn $name<V: Vector>(x: &V, y: &mut V) {
            for (x, y) in x.as_slice().iter().zip(y.as_mut_slice()) {
                if Scalar::abs(*x) > V::Real::from_f64(bound::<V>()) {
                    *y = Scalar::$function(*x);
                }
            }
        }
    };
}
far!(far_sin sin);
far!(far_cos cos);

/// a − k·π with π in three parts, four where a product is rounded.
///
/// The first difference is exact, and so is each further one where cancellation makes it small:
/// its terms are multiples of the same last digit.
#[inline(always)]
fn subtract_pi<V: Vector>(a: V, k: V) -> V {
    let parts: [f64; 4] = match (V::Real::SINGLE, V::FMA) {
        (true, true) => [3.141592502593994, 1.5099578831723193e-7, 1.078060505991553e-14, 0.0],
        (true, false) => {
            [3.140625, 0.0009670257568359375, 6.277114152908325e-7, 1.215419986877464e-10]
        }
        (false, true) => [PI, 1.224646799147353e-16, 2.1657133478438278e-32, 0.0],
        (false, false) => [
            3.1415926534682512,
            1.2154201012607932e-10,
            4.044532497422333e-21,
            1.69568553207378e-31,
        ],
    };
    let r = k.mul_add(splat(-parts[0]), a);
    let r = k.mul_add(splat(-parts[1]), r);
    let r = k.mul_add(splat(-parts[2]), r);
    if V::FMA { r } else { k.mul_add(splat(-parts[3]), r) }
}

/// The lowest bit in the sign's place.
#[inline(always)]
fn parity<V: Vector>(sum: V) -> V {
    if V::Real::SINGLE { sum.shl::<31>() } else { sum.shl::<63>() }
}

/// sin r = r + r³·S(r²) for |r| ≤ π/2, relative error 2^−35 and 2^−61.6.
///
/// The last step of S is Horner's: near π/2 its rounding is the larger part of the error. The
/// `f32` coefficients are moved by a unit or two so that sin π/2 rounds to 1.
#[inline(always)]
fn odd<V: Vector>(r: V) -> V {
    let z = r.mul(r);
    let s = if V::Real::SINGLE {
        let c = [-0.16666666, 0.008333327, -0.00019840867, 2.752532e-6, -2.3887749e-8];
        let high = z.mul_add(splat(c[4]), splat(c[3])).mul_add(z, splat(c[2]));
        high.mul_add(z, splat(c[1])).mul_add(z, splat(c[0]))
    } else {
        let high = polynomial(
            z,
            z.mul(z),
            [
                0.008333333333333193,
                -0.0001984126984120885,
                2.755731921107211e-6,
                -2.5052106866681215e-8,
                1.605893939083619e-10,
                -7.642983107297691e-13,
                2.7210848642335853e-15,
            ],
        );
        high.mul_add(z, splat(-0.16666666666666666))
    };
    r.mul(z).mul_add(s, r)
}
