//! Damping of the linear part.

/// The damping `k` of a sweep's linear part, `(1 − k) Ã` (scale-ELK, Gonzalez et al. 2026, arXiv:2509.21716): 0 is the method
/// undamped, 1 is Jacobi.
///
/// Products of Jacobians that expand throw a sweep further from the trajectory than it was; a `k` that makes
/// `(1 − k) Ã` contract does not.
///
/// # Example
/// ```
/// use deer_solver::{Damping, Solver};
///
/// let halved = Solver::deer().damping(0.5);
/// let adaptive = Solver::deer().damping(Damping::Adaptive);
/// assert_eq!(halved.damping, Damping::Fixed(0.5));
/// # let _ = adaptive;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Damping {
    /// The same `k` in every sweep, 0 to 1.
    Fixed(f64),
    /// `k` by the largest residual that is left after each sweep, from 0 on: `1 − k` is halved where that is more than twice the smallest so far
    /// (below 1/16: `k` = 1), set to 0 where it is not a number, raised by a tenth where it is within that, and doubled where it
    /// is less than half of the smallest so far, or 1 again if it was 0. Near the solution that is Newton's method again.
    Adaptive,
}

impl From<f64> for Damping {
    fn from(k: f64) -> Self {
        Damping::Fixed(k)
    }
}

/// The factor `1 − k` from sweep to sweep.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    factor: f64,
    adaptive: bool,
    /// The smallest residual so far.
    smallest: f64,
}

impl Pace {
    /// Factors below this count as 0.
    const LEAST: f64 = 1.0 / 16.0;

    pub(super) fn new(damping: Damping) -> Self {
        let (factor, adaptive) = match damping {
            Damping::Fixed(k) => (1.0 - k, false),
            Damping::Adaptive => (1.0, true),
        };
        Self { factor, adaptive, smallest: f64::INFINITY }
    }

    pub(super) fn factor(&self) -> f64 {
        self.factor
    }

    pub(super) fn is_adaptive(&self) -> bool {
        self.adaptive
    }

    /// Takes note of the largest residual that is left after a sweep.
    pub(super) fn adapt(&mut self, residual: f64) {
        if !self.adaptive {
            return;
        }
        let raised = |factor: f64, by: f64| (by * factor).clamp(Self::LEAST, 1.0);
        if !residual.is_finite() {
            self.factor = 0.0;
        } else if residual > 2.0 * self.smallest {
            self.factor *= 0.5;
            if self.factor < Self::LEAST {
                self.factor = 0.0;
            }
        } else if residual < 0.5 * self.smallest {
            // A sweep without derivatives that has got closer is a better place to take them at.
            self.factor = if self.factor == 0.0 { 1.0 } else { raised(self.factor, 2.0) };
        } else {
            self.factor = raised(self.factor, 1.1);
        }
        self.smallest = self.smallest.min(residual);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_follow_the_residuals() {
        let mut pace = Pace::new(Damping::Adaptive);
        let mut after = |residual: f64| {
            pace.adapt(residual);
            pace.factor()
        };
        let mut follows = |residuals: &[f64], factors: &[f64]| {
            for (&residual, factor) in residuals.iter().zip(factors) {
                let got = after(residual);
                assert!((got - factor).abs() < 1e-12, "{residual}: {got} {factor}");
            }
        };
        follows(&[1.0, 3.0, 10.0, 9.0], &[1.0, 0.5, 0.25, 0.125]);
        follows(&[2.0, 1.0], &[0.1375, 0.15125]);
        follows(&[0.4, 0.1, 0.04, 0.01], &[0.3025, 0.605, 1.0, 1.0]);
        follows(&[f64::NAN, 7.0, 0.009, 0.001], &[0.0, 0.0, 0.0625, 0.125]);
        follows(&[f64::NAN, 0.0001, 1.0], &[0.0, 1.0, 0.5]);
        let mut pace = Pace::new(Damping::Fixed(0.25));
        pace.adapt(f64::NAN);
        assert_eq!(pace.factor(), 0.75);
    }
}
