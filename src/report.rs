//! What a solve did.

use crate::solver::Method;
use std::fmt;
use std::time::Duration;

/// What a solve did, and at what price. Prints as a few lines of text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The method that delivered the trajectory; what [`Solver::auto`](crate::Solver::auto) chose.
    pub method: Method,
    /// Why, where the choice was the solver's.
    pub reason: String,
    /// Where it ran: backend, threads, instruction set.
    pub backend: String,
    /// Blocks of time over all sequences.
    pub blocks: usize,
    /// Steps in the longest block.
    pub block: usize,
    /// Sweeps over the blocks.
    pub sweeps: usize,
    /// Largest `|x_t − f(x_{t−1})|` over steps and components, in the units of the state, against the arithmetic
    /// that the sweeps ran in; NaN if not finite.
    pub residual: f64,
    /// Bound on the error against the loop, in the units of the state: [`ErrorBound::total`](crate::diagnostics::ErrorBound::total). Computed
    /// where it was asked for ([`Solver::error_bound`](crate::Solver::error_bound)) and by ELK; for any solution by
    /// [`diagnostics::error_bound`](crate::diagnostics::error_bound).
    pub error_bound: Option<f64>,
    /// Steps evaluated, in units of the steps of the problem: 1 is the loop's work. A step with
    /// derivatives counts as one, and so does an implicit step, however many corrections it takes. A pilot and coarser grids do not count.
    pub work: f64,
    /// One entry for each sweep.
    pub history: Vec<SweepRecord>,
    /// Wall time of the solve.
    pub elapsed: Duration,
}

/// One sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct SweepRecord {
    /// Blocks that were rolled.
    pub active: usize,
    /// Largest difference between the state a block was started from and the end of the block before
    /// it, in the units of the state, after the sweep.
    pub residual: f64,
    /// Steps evaluated.
    pub steps: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "method    {}", self.method)?;
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason)?;
        }
        writeln!(f)?;
        writeln!(f, "backend   {}", self.backend)?;
        writeln!(
            f,
            "sweeps    {} over {} block{} of up to {} steps",
            self.sweeps,
            self.blocks,
            if self.blocks == 1 { "" } else { "s" },
            self.block
        )?;
        writeln!(f, "work      {:.3} of the loop's steps", self.work)?;
        writeln!(f, "residual  {:.1e}", self.residual)?;
        if let Some(bound) = self.error_bound {
            writeln!(f, "error     {bound:.1e} at most")?;
        }
        write!(f, "elapsed   {:.3?}", self.elapsed)
    }
}
