//! When a residual counts as zero.

use crate::error::{Error, Result};
use crate::scalar::Real;

/// A residual `r_t = x_t − f(x_{t−1})` counts as zero where `|r_t| ≤ atol + rtol · |x|`, for every step and
/// component; a NaN never does. `|x|` is the component's size around `t`: its largest magnitude over the
/// last [`SIZE_STEPS`](Self::SIZE_STEPS) steps, so that a component that passes through zero is not
/// asked for more digits than the step that made it has; but at most [`SIZE_RATIO`](Self::SIZE_RATIO)
/// times the magnitude at `t`, so that a component that has decayed is not lost beside what it was. Newton's sweeps take
/// for it a maximum that fades by the factor `1/e` in as many steps.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tolerance {
    /// Absolute part, in the units of the state. Default 0.
    pub atol: f64,
    /// Relative part. Default 1e-6 in `f32` (8 ulp), 1e-13 in `f64` (450 ulp): as good as the loop.
    pub rtol: f64,
}

impl Tolerance {
    /// Steps over which the size of a component is taken.
    pub const SIZE_STEPS: usize = 16;
    /// Most that the size of a component may be of its magnitude.
    pub const SIZE_RATIO: f64 = 64.0;

    /// The default for a precision.
    pub fn default_of<R: Real>() -> Self {
        Self { atol: 0.0, rtol: if R::SINGLE { 1e-6 } else { 1e-13 } }
    }

    pub(crate) fn checked(atol: f64, rtol: f64) -> Result<Self> {
        for (setting, value) in [("tolerance: atol", atol), ("tolerance: rtol", rtol)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::setting(setting, "a finite number, at least 0", value));
            }
        }
        Ok(Self { atol, rtol })
    }

    /// Both parts times `factor`.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { atol: self.atol * factor, rtol: self.rtol * factor }
    }

    /// Whether two values of one component of about `size` agree: equal bits, or close enough.
    #[inline(always)]
    pub(crate) fn accepts<R: Real>(self, a: R, b: R, size: R) -> bool {
        // An infinity lately says nothing about the size now.
        let lately = if size.is_finite() { size.to_f64() } else { 0.0 };
        let now = a.to_f64().abs().max(b.to_f64().abs());
        let size = lately.min(Self::SIZE_RATIO * now).max(now);
        let difference = (a.to_f64() - b.to_f64()).abs();
        difference.is_finite() && difference <= self.atol + self.rtol * size || a.same_bits(b)
    }

    /// Whether two states agree in every component.
    pub(crate) fn accepts_state<R: Real>(self, a: &[R], b: &[R], sizes: &[R]) -> bool {
        a.iter().zip(b).zip(sizes).all(|((&a, &b), &size)| self.accepts(a, b, size))
    }
}

/// Largest difference of two states, in their units: NaN if it is not finite, 0 for equal bits.
#[inline(always)]
pub(crate) fn distance<R: Real>(a: &[R], b: &[R]) -> f64 {
    let mut largest = 0.0f64;
    for (&a, &b) in a.iter().zip(b) {
        if !a.same_bits(b) {
            largest = larger(largest, (a.to_f64() - b.to_f64()).abs());
        }
    }
    largest
}

/// The larger of two residuals; a NaN is larger than any number.
#[inline(always)]
pub(crate) fn larger(a: f64, b: f64) -> f64 {
    if a >= b || a.is_nan() { a } else { b }
}
