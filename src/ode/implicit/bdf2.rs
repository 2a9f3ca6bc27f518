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
