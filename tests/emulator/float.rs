//! Floating point as PTX has it, where Rust's own operations say something else.

/// Directions of rounding other than to the nearest even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    Zero,
    Down,
    Up,
}

/// A subnormal becomes a zero of its sign.
#[inline(always)]
pub(crate) fn flushed(x: f32) -> f32 {
    if x.abs() < f32::MIN_POSITIVE { f32::from_bits(x.to_bits() & 1 << 31) } else { x }
}

/// Into [0, 1]; NaN becomes +0.
#[inline(always)]
pub(crate) fn saturated(x: f32) -> f32 {
    let positive = if x > 0.0 { x } else { 0.0 };
    if positive < 1.0 { positive } else { 1.0 }
}

macro_rules! reals {
    ($module:ident, $t:ty, $nan:expr) => {
        pub(crate) mod $module {
            use super::Rounding;

            /// The device's only NaN.
            pub(crate) const NAN: $t = <$t>::from_bits($nan);

            /// The lesser; of a NaN and a number the number, and -0 is less than +0.
            #[inline(always)]
            pub(crate) fn min(a: $t, b: $t) -> $t {
                let tie = <$t>::from_bits(a.to_bits() | b.to_bits());
                let lesser = if a < b {
                    a
                } else if b < a {
                    b
                } else {
                    tie
                };
                number(a, b, lesser)
            }

            /// The greater; of a NaN and a number the number, and +0 is greater than -0.
            #[inline(always)]
            pub(crate) fn max(a: $t, b: $t) -> $t {
                let tie = <$t>::from_bits(a.to_bits() & b.to_bits());
                let greater = if a > b {
                    a
                } else if b > a {
                    b
                } else {
                    tie
                };
                number(a, b, greater)
            }

            #[inline(always)]
            fn number(a: $t, b: $t, of_numbers: $t) -> $t {
                if a.is_nan() {
                    if b.is_nan() { NAN } else { b }
                } else if b.is_nan() {
                    a
                } else {
                    of_numbers
                }
            }

            /// Any NaN becomes the device's.
            #[inline(always)]
            pub(crate) fn canonical(x: $t) -> $t {
                if x.is_nan() { NAN } else { x }
            }

            /// `nearest` moved so that it is `exact` rounded in the direction, where `error` has the sign of `exact - nearest`.
            pub(crate) fn directed(nearest: $t, error: $t, direction: Rounding) -> $t {
                let toward_zero = direction == Rounding::Zero;
                let down =
                    error < 0.0 && (direction == Rounding::Down || toward_zero && nearest > 0.0);
                let up = error > 0.0 && (direction == Rounding::Up || toward_zero && nearest < 0.0);
                if down {
                    nearest.next_down()
                } else if up {
                    nearest.next_up()
                } else {
                    nearest
                }
            }

            pub(crate) fn mul(a: $t, b: $t, direction: Rounding) -> $t {
                let nearest = a * b;
                if !nearest.is_finite() || nearest == 0.0 && (a == 0.0 || b == 0.0) {
                    return overflowed(nearest, a.is_finite() && b.is_finite(), direction);
                }
                directed(nearest, rest(a, b, nearest), direction)
            }

            /// The sign of `a b - c`, computed wide enough that it is right unless it underflows in `f64`.
            fn rest(a: $t, b: $t, c: $t) -> $t {
                let rest = f64::from(a).mul_add(f64::from(b), -f64::from(c));
                if rest == 0.0 { 0.0 } else { (1.0 as $t).copysign(rest as $t) }
            }

            pub(crate) fn div(a: $t, b: $t, direction: Rounding) -> $t {
                let nearest = a / b;
                if !nearest.is_finite() {
                    return overflowed(
                        nearest,
                        a.is_finite() && b.is_finite() && b != 0.0,
                        direction,
                    );
                }
                if b.is_infinite() {
                    return nearest;
                }
                // a - b q has the sign of the error where b is positive.
                let rest = -rest(b, nearest, a);
                directed(nearest, if b < 0.0 { -rest } else { rest }, direction)
            }

            pub(crate) fn sqrt(a: $t, direction: Rounding) -> $t {
                let nearest = a.sqrt();
                if !nearest.is_finite() {
                    return nearest;
                }
                directed(nearest, -rest(nearest, nearest, a), direction)
            }

            /// An infinity that finite operands overflowed to is the greatest number where the direction points back.
            pub(super) fn overflowed(nearest: $t, finite: bool, direction: Rounding) -> $t {
                let back = match direction {
                    Rounding::Zero => true,
                    Rounding::Down => nearest > 0.0,
                    Rounding::Up => nearest < 0.0,
                };
                if nearest.is_infinite() && finite && back {
                    <$t>::MAX.copysign(nearest)
                } else {
                    nearest
                }
            }
        }
    };
}

reals!(single, f32, 0x7fff_ffff);
reals!(double, f64, 0xfff8_0000_0000_0000);

/// `a b + c` rounded once in the direction. The product is exact in `f64`, and the error of the sum is known exactly.
pub(crate) fn fused_single(a: f32, b: f32, c: f32, direction: Rounding) -> f32 {
    let nearest = a.mul_add(b, c);
    if !nearest.is_finite() {
        return single::overflowed(
            nearest,
            a.is_finite() && b.is_finite() && c.is_finite(),
            direction,
        );
    }
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let whole = product + c;
    let error = (whole - f64::from(nearest)) + two_sum_error(product, c, whole);
    if whole == 0.0 {
        let same_sign = product.is_sign_negative() == c.is_sign_negative();
        return match direction {
            _ if same_sign => nearest,
            Rounding::Down => -0.0,
            _ => 0.0,
        };
    }
    // Only the sign of the error counts.
    single::directed(
        nearest,
        if error == 0.0 { 0.0 } else { 1f32.copysign(error as f32) },
        direction,
    )
}

/// `a b + c` rounded once in the direction, where no part of it underflows.
pub(crate) fn fused_double(a: f64, b: f64, c: f64, direction: Rounding) -> f64 {
    let nearest = a.mul_add(b, c);
    if !nearest.is_finite() {
        return double::overflowed(
            nearest,
            a.is_finite() && b.is_finite() && c.is_finite(),
            direction,
        );
    }
    // The product and its error, the sum of the product and c and its error, and what is left of both.
    let product = a * b;
    let product_error = a.mul_add(b, -product);
    let sum = c + product_error;
    let sum_error = two_sum_error(c, product_error, sum);
    let whole = product + sum;
    let whole_error = two_sum_error(product, sum, whole);
    let left = (whole - nearest) + whole_error;
    let error = left + sum_error;
    if nearest == 0.0 && error == 0.0 {
        // An exact zero of different signs is -0 when rounding down.
        let negative = (a.to_bits() ^ b.to_bits()) >> (u64::BITS - 1) != 0;
        if product == 0.0 && c == 0.0 && negative == c.is_sign_negative() {
            return nearest;
        }
        return if direction == Rounding::Down { -0.0 } else { 0.0 };
    }
    double::directed(nearest, error, direction)
}

fn two_sum_error(a: f64, b: f64, sum: f64) -> f64 {
    let other = sum - a;
    (a - (sum - other)) + (b - other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_enclose_the_exact_value() {
        let values = [0.1f32, 3.7, -2.9e5, 1.0, 7.1e-12, -0.333, 1.9e7, f32::MAX, 1.5e-30];
        for a in values {
            for b in values {
                for c in values {
                    let exact = f64::from(a) * f64::from(b);
                    let (down, up) =
                        (single::mul(a, b, Rounding::Down), single::mul(a, b, Rounding::Up));
                    assert!(
                        f64::from(down) <= exact && exact <= f64::from(up),
                        "{a} {b}: {down} {up}"
                    );
                    assert!(down == up || down.next_up() == up, "{a} {b}: {down} {up}");
                    let (down, up) = (
                        fused_single(a, b, c, Rounding::Down),
                        fused_single(a, b, c, Rounding::Up),
                    );
                    let exact = exact + f64::from(c);
                    assert!(
                        f64::from(down) <= exact && exact <= f64::from(up),
                        "{a} {b} {c}: {down} {up}"
                    );
                    assert!(down == up || down.next_up() == up, "{a} {b} {c}: {down} {up}");
                }
            }
        }
    }

    #[test]
    fn zeros_and_overflow() {
        assert_eq!(fused_single(1.0, 1.0, -1.0, Rounding::Down).to_bits(), (-0.0f32).to_bits());
        assert_eq!(fused_single(1.0, 1.0, -1.0, Rounding::Up).to_bits(), 0);
        assert_eq!(double::mul(f64::MAX, 2.0, Rounding::Zero), f64::MAX);
        assert_eq!(double::mul(f64::MAX, 2.0, Rounding::Up), f64::INFINITY);
        assert_eq!(double::div(1.0, 3.0, Rounding::Down), (1.0f64 / 3.0));
        assert_eq!(double::div(1.0, 3.0, Rounding::Up), (1.0f64 / 3.0).next_up());
    }

    #[test]
    fn of_a_nan_and_a_number_the_number() {
        assert_eq!(single::min(f32::NAN, 2.0), 2.0);
        assert_eq!(single::max(2.0, f32::NAN), 2.0);
        assert!(single::max(f32::NAN, f32::NAN).is_nan());
        assert_eq!(single::min(0.0, -0.0).to_bits(), (-0.0f32).to_bits());
        assert_eq!(double::max(-0.0, 0.0).to_bits(), 0);
    }
}
