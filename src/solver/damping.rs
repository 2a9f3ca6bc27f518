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
    /// `k` by the residuals: 0 at first; `1 − k` is halved after a sweep that has doubled the largest residual (below 1/16: `k` = 1),
    /// set to 0 where a residual is not a number, and doubled after one that has halved it. Near the solution that is
    /// Newton's method again.
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
    before: f64,
}

impl Pace {
    /// Factors below this count as 0.
    const SMALLEST: f64 = 1.0 / 16.0;

    pub(super) fn new(damping: Damping) -> Self {
        match damping {
            Damping::Fixed(k) => Self { factor: 1.0 - k, adaptive: false, before: f64::INFINITY },
            Damping::Adaptive => Self { factor: 1.0, adaptive: true, before: f64::INFINITY },
        }
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
        if !residual.is_finite() {
            self.factor = 0.0;
        } else if residual > 2.0 * self.before {
            self.factor *= 0.5;
            if self.factor < Self::SMALLEST {
                self.factor = 0.0;
            }
        } else if residual < 0.5 * self.before {
            self.factor = (2.0 * self.factor).clamp(Self::SMALLEST, 1.0);
        }
        self.before = if residual.is_nan() { f64::INFINITY } else { residual };
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
        assert_eq!([1.0, 3.0, 10.0].map(&mut after), [1.0, 0.5, 0.25]);
        assert_eq!([9.0, 5.0].map(&mut after), [0.25, 0.25]);
        assert_eq!([2.0, 0.5, 0.1].map(&mut after), [0.5, 1.0, 1.0]);
        assert_eq!([f64::NAN, 7.0, 1.0].map(&mut after), [0.0, 0.0625, 0.125]);
        let mut pace = Pace::new(Damping::Fixed(0.25));
        pace.adapt(f64::NAN);
        assert_eq!(pace.factor(), 0.75);
    }
}
