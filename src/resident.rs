//! A solution that stays on the device.

use crate::backend::Sweep;
use crate::dynamics::Recurrence;
use crate::error::Result;
use crate::report::Report;
use crate::solution::{Solution, Termination};
use std::fmt;
use std::time::Instant;

/// What [`Solver::solve_resident`](crate::Solver::solve_resident) found, with the states where the backend keeps
/// them until they are [fetched](Self::fetch).
pub struct Resident<'b, D: Recurrence, B: Sweep<D>> {
    pub(crate) backend: &'b B,
    pub(crate) trajectory: B::Trajectory,
    /// All but the states.
    pub(crate) rest: Solution<D::Real>,
}

impl<D: Recurrence, B: Sweep<D>> Resident<'_, D, B> {
    /// [`Solution::converged`].
    pub fn converged(&self) -> bool {
        self.rest.converged()
    }

    /// [`Solution::termination`].
    pub fn termination(&self) -> Termination {
        self.rest.termination()
    }

    /// [`Solution::terminations`].
    pub fn terminations(&self) -> &[Termination] {
        self.rest.terminations()
    }

    /// [`Solution::report`]; the time is that until the device was done.
    pub fn report(&self) -> &Report {
        self.rest.report()
    }

    /// The solution on the host; its report's time includes the copy.
    ///
    /// # Errors
    /// A failure of the device.
    pub fn fetch(self) -> Result<Solution<D::Real>> {
        let started = Instant::now();
        let mut solution = self.rest;
        (solution.states, solution.kept) = self.backend.fetch(self.trajectory)?;
        solution.report.elapsed += started.elapsed();
        Ok(solution)
    }
}

impl<D: Recurrence, B: Sweep<D>> fmt::Debug for Resident<'_, D, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resident")
            .field("backend", &self.backend)
            .field("report", self.report())
            .finish_non_exhaustive()
    }
}
