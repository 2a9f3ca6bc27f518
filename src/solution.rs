//! A trajectory, and how it was found.

use crate::report::Report;
use crate::scalar::Real;
use ndarray::{Array3, ArrayView2, ArrayView3, s};

/// Why the iteration of a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Termination {
    /// Every residual is within the tolerance.
    Converged,
    /// The number of sweeps allowed ran out first.
    SweepLimit,
    /// No grid within the limits was fine enough for the tolerance asked of [`ode::solve_ivp`](crate::ode::solve_ivp) or
    /// [`ode::solve_dae`](crate::ode::solve_dae). The states solve the recurrence of the last grid.
    RefinementLimit,
    /// No step of ELK's, however small, made the residuals smaller: a minimum that is no solution, or rounding.
    Stalled,
    /// ELK's residuals are within the tolerance, but the dynamics make so much of them that the
    /// trajectory may be another than the loop's ([`error_bound`](crate::diagnostics::error_bound)): chaos. Run the loop.
    Undetermined,
    /// The observer asked to stop.
    Stopped,
    /// The recurrence itself left the finite numbers, or a step that is defined by an equation had no solution. The states are those
    /// of the loop.
    NonFinite {
        /// The sequence.
        batch: usize,
        /// The first step with a NaN or an infinity: `states[batch, t, ..]`.
        t: usize,
    },
}

impl Termination {
    /// The one to report for a batch: the worst, and of two alike the first.
    fn severity(self) -> u8 {
        match self {
            Termination::Converged => 0,
            Termination::NonFinite { .. } => 1,
            Termination::RefinementLimit => 2,
            Termination::SweepLimit => 3,
            Termination::Stalled => 4,
            Termination::Undetermined => 5,
            Termination::Stopped => 6,
        }
    }
}

/// The states `x_1..x_T` of every sequence, on the host.
#[derive(Clone, Debug)]
pub struct Solution<R: Real> {
    pub(crate) states: Array3<R>,
    pub(crate) steps: Vec<usize>,
    pub(crate) terminations: Vec<Termination>,
    pub(crate) report: Report,
    /// The number under which the backend keeps the states, if it does.
    pub(crate) kept: Option<u64>,
}

impl<R: Real> Solution<R> {
    /// States `[B, T, n]`, the initial one left out; zero after the end of a shorter sequence.
    pub fn states(&self) -> ArrayView3<'_, R> {
        self.states.view()
    }

    /// The states as an owned array `[B, T, n]`.
    pub fn into_states(self) -> Array3<R> {
        self.states
    }

    /// States `[T_b, n]` of one sequence.
    ///
    /// # Panics
    /// If there is no such sequence.
    pub fn trajectory(&self, batch: usize) -> ArrayView2<'_, R> {
        self.states.slice(s![batch, ..self.steps[batch], ..])
    }

    /// Whether every sequence [`Converged`](Termination::Converged).
    pub fn converged(&self) -> bool {
        self.termination() == Termination::Converged
    }

    /// The worst termination of the batch; [`Converged`](Termination::Converged) for an empty one.
    pub fn termination(&self) -> Termination {
        let mut worst = Termination::Converged;
        for &termination in &self.terminations {
            if termination.severity() > worst.severity() {
                worst = termination;
            }
        }
        worst
    }

    /// One termination for each sequence.
    pub fn terminations(&self) -> &[Termination] {
        &self.terminations
    }

    /// What was done, and at what price.
    pub fn report(&self) -> &Report {
        &self.report
    }
}
