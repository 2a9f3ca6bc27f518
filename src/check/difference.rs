//! Central differences with steps of several sizes.
//!
//! With `D(h) = (f(x + h) − f(x − h)) / (2 h)`, whose error is a series in `h²`, two sizes give an estimate of the
//! fourth order, three one of the sixth (Richardson). Of all estimates the one counts that differs least from those that it
//! is made of (Ridders 1982, doi:10.1016/S0141-1195(82)80057-0).

use crate::scalar::Real;

/// A derivative by differences.
#[derive(Clone, Copy, Debug)]
pub(super) struct Difference {
    pub(super) value: f64,
    /// How far the estimates around it are from it.
    pub(super) spread: f64,
    /// What rounding can have done to it.
    pub(super) rounding: f64,
}

/// What moved by one step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    /// `f(x + h) − f(x − h)`.
    pub(super) change: f64,
    /// What is rounded in it, as a magnitude: to be multiplied by ε.
    pub(super) magnitude: f64,
}

/// Sizes of the first step, the ratio of one step to the next, and the most steps.
struct Steps {
    first: f64,
    ratio: f64,
    most: usize,
}

const DOUBLE: Steps = Steps { first: 1.0 / 128.0, ratio: 4.0, most: 8 };
const SINGLE: Steps = Steps { first: 1.0 / 16.0, ratio: 2.0, most: 7 };

/// Units in the last place that a function may be off.
const ULPS: f64 = 8.0;

/// The derivatives at `x` of several functions at once: `change(above, below)` is what each does from one to the other.
pub(super) fn differences<R: Real, E>(
    x: R,
    count: usize,
    mut change: impl FnMut(R, R) -> Result<Vec<Change>, E>,
) -> Result<Vec<Difference>, E> {
    let Steps { first, ratio, most } = if R::SINGLE { SINGLE } else { DOUBLE };
    let mut tableaus = vec![Tableau::default(); count];
    let mut h = first * x.to_f64().abs().max(1.0);
    for _ in 0..most {
        let (above, below) = (R::from_f64(x.to_f64() + h), R::from_f64(x.to_f64() - h));
        let width = above.to_f64() - below.to_f64();
        for (tableau, Change { change, magnitude }) in
            tableaus.iter_mut().zip(change(above, below)?)
        {
            let rounding = ULPS * R::EPSILON.to_f64() * magnitude / width;
            tableau.add(change / width, rounding, ratio);
        }
        if tableaus.iter().all(Tableau::done) {
            break;
        }
        h /= ratio;
    }
    Ok(tableaus.into_iter().map(|tableau| tableau.best()).collect())
}

/// The estimates for one function.
#[derive(Clone, Debug, Default)]
struct Tableau {
    /// Those of the last step: of order 2, 4, …
    row: Vec<f64>,
    best: Option<Difference>,
}

impl Tableau {
    /// With the central difference of the next step.
    fn add(&mut self, central: f64, rounding: f64, ratio: f64) {
        if !central.is_finite() {
            // Outside of the function's domain.
            self.row.clear();
            return;
        }
        let above = std::mem::replace(&mut self.row, vec![central]);
        let mut factor = 1.0;
        for (order, &above) in above.iter().enumerate() {
            factor *= ratio * ratio;
            let left = self.row[order];
            let value = (factor * left - above) / (factor - 1.0);
            self.row.push(value);
            let spread = (value - left).abs().max((value - above).abs());
            if self.best.is_none_or(|best| spread < best.spread) {
                self.best = Some(Difference { value, spread, rounding });
            }
        }
    }

    /// Whether smaller steps would tell no more.
    fn done(&self) -> bool {
        /// Digits beyond which nobody asks.
        const ENOUGH: f64 = 1e-10;
        self.best.is_some_and(|best| best.spread <= best.rounding.max(ENOUGH * best.value.abs()))
    }

    fn best(self) -> Difference {
        let unknown = Difference { value: f64::NAN, spread: f64::INFINITY, rounding: 0.0 };
        self.best.unwrap_or(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(x: f64, f: impl Fn(f64) -> f64) -> Difference {
        let change = |a: f64, b: f64| {
            let magnitude = f(a).abs().max(f(b).abs());
            Ok::<_, ()>(vec![Change { change: f(a) - f(b), magnitude }])
        };
        differences(x, 1, change).unwrap()[0]
    }

    #[test]
    fn smooth_steep_and_bounded_functions() {
        for (name, x, slope, f) in [
            ("sin", 0.3, 0.3f64.cos(), f64::sin as fn(f64) -> f64),
            ("steep", 1e-3, 1e3 / 1.0f64.cosh().powi(2), |x| (1e3 * x).tanh()),
            ("bounded", 1e-3, 1e3, |x| x.ln()),
            ("large", 3e6, 2e-6 * 3.0, |x| 1e-6 * x * x / 1e6),
            ("constant", 0.7, 0.0, |_| 3.0),
        ] {
            let got = of(x, f);
            let off = (got.value - slope).abs();
            assert!(off <= 1e-8 * slope.abs() + got.rounding, "{name}: {got:?}, not {slope}");
        }
    }

    #[test]
    fn a_kink_is_seen_and_a_pole_is_no_number() {
        assert!(of(1e-9, |x| x.max(0.0)).spread > 0.0);
        assert!(of(-3.0, |x| x.ln()).value.is_nan());
    }
}
