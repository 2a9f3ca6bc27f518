//! A trajectory in time.

use crate::error::{Error, Result};
use crate::report::Report;
use crate::scalar::Real;
use crate::solution::Termination;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

/// The states of an equation at the times asked for, the first of which is the initial one.
#[derive(Clone, Debug)]
pub struct Solution<R: Real> {
    pub(super) times: Array1<R>,
    /// `[times, n]`
    pub(super) states: Array2<R>,
    pub(super) dense: Dense<R>,
    pub(super) termination: Termination,
    pub(super) report: Report,
    pub(super) error_estimate: Option<f64>,
    pub(super) grids: usize,
}

/// What states between the times are made of: the grid that was solved.
#[derive(Clone, Debug)]
pub(super) struct Dense<R: Real> {
    /// Times and states `[grid, n]`, where they are others than those asked for.
    pub(super) refined: Option<(Array1<R>, Array2<R>)>,
    /// `ẏ`, `[grid, n]`
    pub(super) slopes: Array2<R>,
}

impl<R: Real> Solution<R> {
    /// The times asked for, `[times]`, that of the initial state first.
    pub fn times(&self) -> ArrayView1<'_, R> {
        self.times.view()
    }

    /// States `[times, n]`, the initial one first.
    pub fn states(&self) -> ArrayView2<'_, R> {
        self.states.view()
    }

    /// States `[times, n]` of the sequence `batch`, of which there is one.
    ///
    /// # Panics
    /// If `batch` is not 0.
    pub fn trajectory(&self, batch: usize) -> ArrayView2<'_, R> {
        assert_eq!(batch, 0, "batch: expected 0, the only sequence, got {batch}");
        self.states.view()
    }

    /// Whether the trajectory solves the recurrence that the grid makes of the equation, and, where a tolerance was asked for,
    /// is estimated to be within it.
    pub fn converged(&self) -> bool {
        self.termination == Termination::Converged
    }

    /// How the solve ended. Of [`NonFinite`](Termination::NonFinite), `t` counts the rows of [`states`](Self::states).
    pub fn termination(&self) -> Termination {
        self.termination
    }

    /// What the solve on the last grid did; its time is that of all grids.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The largest estimated error `|e_i(t)|` over times and components, in the units of the state: with a tolerance, else none.
    pub fn error_estimate(&self) -> Option<f64> {
        self.error_estimate
    }

    /// The times of the grid that was solved, `[grid]`: those asked for, with a tolerance others in between.
    pub fn grid(&self) -> ArrayView1<'_, R> {
        self.dense.refined.as_ref().map_or(self.times.view(), |(times, _)| times.view())
    }

    /// How many grids were solved.
    pub fn grids(&self) -> usize {
        self.grids
    }

    /// The state `[n]` at the time `t`, between two points of the grid by the cubic with the states and slopes at both (Hermite):
    /// of fourth order, continuous with its derivative. Slopes of a [`Dae`](super::Dae) are differences of states, which leaves the third order.
    ///
    /// # Errors
    /// A time before the first or after the last.
    pub fn at(&self, t: R) -> Result<Array1<R>> {
        let (grid, states) = match &self.dense.refined {
            Some((times, states)) => (times.view(), states.view()),
            None => (self.times.view(), self.states.view()),
        };
        let last = grid.len() - 1;
        if !(t >= grid[0] && t <= grid[last]) {
            let expected = format!("a time from {} to {}", grid[0], grid[last]);
            return Err(Error::setting("t", expected, t));
        }
        if last == 0 {
            return Ok(states.row(0).to_owned());
        }
        // The interval [k, k + 1] with t in it.
        let (mut k, mut end) = (0, last);
        while end - k > 1 {
            let middle = (k + end) / 2;
            if grid[middle] <= t { k = middle } else { end = middle }
        }
        let h = grid[k + 1] - grid[k];
        let s = (t - grid[k]) / h;
        let number = R::from_f64;
        let left = number(1.0) - s;
        let [y_left, y_right] = [
            left * left * (number(1.0) + number(2.0) * s),
            s * s * (number(3.0) - number(2.0) * s),
        ];
        let [dy_left, dy_right] = [h * s * left * left, -(h * s * s * left)];
        let slopes = &self.dense.slopes;
        Ok(Array1::from_shape_fn(states.ncols(), |j| {
            y_left * states[[k, j]]
                + y_right * states[[k + 1, j]]
                + dy_left * slopes[[k, j]]
                + dy_right * slopes[[k + 1, j]]
        }))
    }
}
