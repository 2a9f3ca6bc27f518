//! How an initial value problem is solved.

use super::Scheme;
use crate::error::{Error, Result};
use crate::solver::Solver;

/// Settings of [`solve_ivp`](super::solve_ivp) and [`solve_dae`](super::solve_dae).
///
/// Without a tolerance the grid given is the grid solved. With [`rtol`](Self::rtol), [`atol`](Self::atol) or both, a finer grid is
/// looked for whose **global** error, as estimated by halving it, is within
///
/// ```math
/// |e_i(t)| \le \text{atol} + \text{rtol} \cdot |y_i(t)|
/// ```
///
/// at all times asked for and in every component. (Most solvers hold the error of each step to this and let it add up.)
///
/// # Example
/// ```
/// use deer_solver::ode::{Options, Scheme};
/// let options = Options::default().scheme(Scheme::Tsit5).tolerance(1e-9, 1e-6);
/// assert_eq!(options.rtol, Some(1e-6));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The scheme, any; for [`solve_dae`](super::solve_dae) [`BackwardEuler`](Scheme::BackwardEuler), [`Bdf2`](Scheme::Bdf2) or
    /// [`RadauIIA5`](Scheme::RadauIIA5). None means [`Rk4`](Scheme::Rk4), for `solve_dae` `BackwardEuler`.
    pub scheme: Option<Scheme>,
    /// Relative tolerance. None means 0 where `atol` is given.
    pub rtol: Option<f64>,
    /// Absolute tolerance, in the units of the state. None means `rtol / 1000` where `rtol` is given.
    pub atol: Option<f64>,
    /// What solves the recurrence on a grid. Default [`Solver::auto`].
    pub solver: Solver,
    /// Points that a refined grid may have. Default 1,000,000.
    pub max_points: usize,
    /// Grids that are tried for a tolerance. Default 24.
    pub max_refinements: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scheme: None,
            rtol: None,
            atol: None,
            solver: Solver::auto(),
            max_points: 1_000_000,
            max_refinements: 24,
        }
    }
}

impl Options {
    /// Sets [`scheme`](Self::scheme).
    pub fn scheme(mut self, scheme: Scheme) -> Self {
        self.scheme = Some(scheme);
        self
    }

    /// Sets [`rtol`](Self::rtol).
    pub fn rtol(mut self, rtol: f64) -> Self {
        self.rtol = Some(rtol);
        self
    }

    /// Sets [`atol`](Self::atol).
    pub fn atol(mut self, atol: f64) -> Self {
        self.atol = Some(atol);
        self
    }

    /// Sets [`atol`](Self::atol) and [`rtol`](Self::rtol).
    pub fn tolerance(self, atol: f64, rtol: f64) -> Self {
        self.atol(atol).rtol(rtol)
    }

    /// Sets [`solver`](Self::solver).
    pub fn solver(mut self, solver: Solver) -> Self {
        self.solver = solver;
        self
    }

    /// Sets [`max_points`](Self::max_points).
    pub fn max_points(mut self, points: usize) -> Self {
        self.max_points = points;
        self
    }

    /// Sets [`max_refinements`](Self::max_refinements).
    pub fn max_refinements(mut self, grids: usize) -> Self {
        self.max_refinements = grids;
        self
    }

    /// The tolerances `(atol, rtol)` that a grid is to be found for.
    pub(super) fn tolerances(&self) -> Result<Option<(f64, f64)>> {
        for (setting, value) in [("rtol", self.rtol), ("atol", self.atol)] {
            if value.is_some_and(|value| !(value >= 0.0 && value.is_finite())) {
                let got = value.unwrap_or_default();
                return Err(Error::setting(setting, "a finite number, at least 0", got));
            }
        }
        let (atol, rtol) = match (self.atol, self.rtol) {
            (None, None) => return Ok(None),
            (atol, rtol) => {
                let rtol = rtol.unwrap_or(0.0);
                (atol.unwrap_or(1e-3 * rtol), rtol)
            }
        };
        if atol == 0.0 && rtol == 0.0 {
            return Err(Error::setting("rtol", "rtol or atol above 0", 0));
        }
        if self.max_refinements == 0 {
            return Err(Error::setting("max_refinements", "at least 1 grid", 0));
        }
        Ok(Some((atol, rtol)))
    }
}
