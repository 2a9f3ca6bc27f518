//! Numbers as `m · 2^e`, with `e` beyond the range of the type.

use crate::scalar::Real;

/// Bound of an exponent, and minus it the exponent of 0: every integer up to it is an `f32`.
pub(crate) const LIMIT: i64 = 1 << 24;

/// `⌊log₂|x|⌋`; 0 for NaN and infinities, `−LIMIT` for 0.
#[inline]
pub(crate) fn exponent<R: Real>(x: R) -> i64 {
    const BIAS: i64 = 1023;
    let field = |x: f64| (x.to_bits() >> 52 & 0x7ff) as i64;
    let x = x.to_f64();
    match field(x) {
        0 if x == 0.0 => -LIMIT,
        0 => field(x * power(64)) - BIAS - 64,
        0x7ff => 0,
        biased => biased - BIAS,
    }
}

/// `2^e`, for `|e| ≤ 1022`.
#[inline]
fn power(e: i64) -> f64 {
    f64::from_bits(((e + 1023) as u64) << 52)
}

/// `x · 2^e`, rounded once.
#[inline]
pub(crate) fn scale<R: Real>(x: R, e: i64) -> R {
    let x = x.to_f64();
    if e.abs() <= 1022 {
        return R::from_f64(x * power(e));
    }
    // The range of f64 is 2^−1074 to 2^1024. An early factor is exact unless the result is 0 or ∞.
    let e = e.clamp(-2200, 2200);
    let third = e / 3;
    R::from_f64(x * power(third) * power(third) * power(e - 2 * third))
}

/// An exponent as it is stored.
#[inline]
pub(crate) fn stored<R: Real>(e: i64) -> R {
    R::from_f64(e.clamp(-LIMIT, LIMIT) as f64)
}

/// A stored exponent.
#[inline]
pub(crate) fn loaded<R: Real>(e: R) -> i64 {
    e.to_f64() as i64
}

/// Scales `row` so that its largest finite entry lies in [1, 2), and returns the exponent taken out of it.
#[inline]
pub(crate) fn normalise<R: Real>(row: &mut [R]) -> i64 {
    let mut largest = -LIMIT;
    let mut finite = true;
    for x in &*row {
        if x.is_finite() {
            largest = largest.max(exponent(*x));
        } else {
            finite = false;
        }
    }
    if largest == -LIMIT {
        return if finite { -LIMIT } else { 0 };
    }
    for x in row {
        *x = scale(*x, -largest);
    }
    largest
}

/// `Σ_k a_k x_k 2^(p_k)` for the terms `(a_k, x_k, p_k)`, as `(m, e)` with `|m| < 4 · terms`.
///
/// Terms below the largest by more than the type's range are lost, as they are in any sum.
#[inline]
pub(crate) fn sum_of_products<R: Real>(
    terms: impl Iterator<Item = (R, R, i64)> + Clone,
) -> (R, i64) {
    let top = terms.clone().map(|(a, x, p)| exponent(a) + exponent(x) + p).max().unwrap_or(0);
    let mut sum = R::default();
    for (a, x, p) in terms {
        // Split first: the product of the unscaled factors may leave the range.
        let (e_a, e_x) = (exponent(a), exponent(x));
        let product = scale(a, -e_a) * scale(x, -e_x);
        sum += scale(product, e_a + e_x + p - top);
    }
    (sum, top)
}
