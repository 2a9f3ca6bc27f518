//! Backward differences over two steps of different length.
//!
//! With ω the ratio of this step to the one before (0 for the first, which is backward Euler),
//!
//! $$ y^+ = y + \kappa\,(y - y^-) + w\,\Delta t\,g(t^+, y^+), \qquad
//!    \kappa = \frac{\omega^2}{1 + 2\omega}, \quad w = \frac{1 + \omega}{1 + 2\omega} $$
//!
//! (Hairer, Nørsett & Wanner, *Solving Ordinary Differential Equations I*, III.5).

use crate::scalar::{Constant, Scalar};

/// κ and w.
#[inline(always)]
pub(super) fn coefficients<S: Scalar>(ratio: S) -> (S, S) {
    let one = Constant(<S::Real as Scalar>::from_f64(1.0));
    let scale = (one + (ratio + ratio)).recip();
    (ratio * ratio * scale, (one + ratio) * scale)
}

/// Of the difference of two half steps from a whole one, the error of the whole one is this many times.
///
/// A step's error is `C(ω) Δt³ y‴` with `C = (1 + ω)² / (6 ω (1 + 2ω))`. The second half, of ratio 1, makes `4/3` of the first's.
pub(super) fn doubling_factor(ratio: f64) -> f64 {
    if ratio == 0.0 {
        // Backward Euler makes ½ Δt² y″ of the whole and 4/3 of a quarter of that in the first half.
        return 1.5;
    }
    let constant = |ratio: f64| (1.0 + ratio).powi(2) / (6.0 * ratio * (1.0 + 2.0 * ratio));
    let halves = (4.0 / 3.0 * constant(0.5 * ratio) + constant(1.0)) / 8.0;
    constant(ratio) / (constant(ratio) - halves)
}
