//! One solve: what every method shares.

use super::jacobi::Unsettled;
use super::{
    Linearization, Method, Progress, Solver, Tolerance, auto, blocks, coarse, elk, jacobi, newton,
};
use crate::backend::{Block, Sweep};
use crate::diagnostics;
use crate::dynamics::Recurrence;
use crate::error::Result;
use crate::problem::Problem;
use crate::report::{Report, SweepRecord};
use crate::resident::Resident;
use crate::scalar::Scalar;
use crate::solution::{Solution, Termination};
use ndarray::Array3;
use std::ops::ControlFlow;
use std::time::Instant;

/// A solve under way: the trajectory and the record of what was done to it.
pub(super) struct Run<'r, 'a, D: Recurrence, B: Sweep<D>> {
    pub(super) settings: &'r Solver,
    pub(super) problem: &'r Problem<'a, D>,
    pub(super) backend: &'r B,
    pub(super) trajectory: B::Trajectory,
    pub(super) tolerance: Tolerance,
    pub(super) history: Vec<SweepRecord>,
    pub(super) steps_done: usize,
    pub(super) sweeps: usize,
    pub(super) method: Method,
    pub(super) reason: String,
    pub(super) blocks: usize,
    pub(super) block: usize,
    pub(super) residual: f64,
    pub(super) error_bound: Option<f64>,
    /// Why a sequence ended otherwise than converged.
    pub(super) unfinished: Vec<Option<Termination>>,
}

/// Solves `problem` as `settings` say, which are checked.
pub(super) fn solve<'b, D: Recurrence, B: Sweep<D>>(
    settings: &Solver,
    problem: &Problem<'_, D>,
    backend: &'b B,
) -> Result<Resident<'b, D, B>> {
    let started = Instant::now();
    let mut run = Run::new(settings, problem, backend)?;
    if problem.total_steps() == 0 || problem.state_dim() == 0 {
        "nothing to compute".clone_into(&mut run.reason);
        if run.method == Method::Auto {
            run.method = Method::Sequential;
        }
    } else {
        match settings.method {
            Method::Auto => auto::solve(&mut run)?,
            Method::Sequential => run.in_order()?,
            Method::Shooting => {
                let block = settings.block.unwrap_or_else(|| coarse::block(&run));
                let blocks = blocks::partition(problem, block);
                let coarse = coarse::run(&mut run, &blocks, true)?;
                jacobi::solve(&mut run, block, coarse, Unsettled::SweptOn)?;
            }
            Method::Sweeps(Linearization::Zero) => {
                let block = settings.block.unwrap_or_else(|| run.default_block());
                jacobi::solve(&mut run, block, None, Unsettled::SweptOn)?;
            }
            Method::Sweeps(linearization) => {
                let chunk = || newton::chunk_length(&run, linearization, None);
                let len = settings.block.unwrap_or_else(chunk);
                let ending = newton::Ending::Limit(run.sweep_limit(len));
                newton::solve(&mut run, linearization, settings.block, ending)?;
            }
            Method::Elk | Method::QuasiElk => {
                let linearization = match settings.method {
                    Method::Elk => Linearization::Full,
                    _ => Linearization::Diagonal,
                };
                let limit = settings.max_sweeps.unwrap_or(elk::SWEEPS);
                let block = settings.block.unwrap_or(elk::BLOCK);
                elk::solve(&mut run, linearization, block, settings.lambda, limit)?;
            }
        }
    }
    let (trajectory, rest) = run.finish(started)?;
    Ok(Resident { backend, trajectory, rest })
}

impl<'r, 'a, D: Recurrence, B: Sweep<D>> Run<'r, 'a, D, B> {
    /// Before anything is done.
    pub(super) fn new(
        settings: &'r Solver,
        problem: &'r Problem<'a, D>,
        backend: &'r B,
    ) -> Result<Self> {
        Ok(Self {
            settings,
            problem,
            backend,
            trajectory: backend.allocate(problem)?,
            tolerance: settings.tolerance.unwrap_or(Tolerance::default_of::<D::Real>()),
            history: Vec::new(),
            steps_done: 0,
            sweeps: 0,
            method: settings.method,
            reason: String::new(),
            blocks: 0,
            block: 0,
            residual: 0.0,
            error_bound: None,
            unfinished: vec![None; problem.batch_size()],
        })
    }
}

impl<D: Recurrence, B: Sweep<D>> Run<'_, '_, D, B> {
    /// The loop over every sequence; over many sequences in lanes.
    pub(super) fn in_order(&mut self) -> Result<()> {
        let blocks = blocks::partition(self.problem, self.problem.max_steps());
        let starts = self.initial_states(&blocks);
        if blocks.len() >= self.backend.width() {
            self.backend.roll(self.problem, &mut self.trajectory, &blocks, &starts, None)?;
        } else {
            self.backend.run_in_order(self.problem, &mut self.trajectory, &blocks, &starts)?;
        }
        self.describe_blocks(&blocks);
        self.sweeps += 1;
        self.steps_done += self.problem.total_steps();
        self.residual = 0.0;
        // Of a method that was given up.
        self.error_bound = None;
        self.unfinished.fill(None);
        Ok(())
    }

    /// Steps of a block where a method has nothing better to go by.
    pub(super) fn default_block(&self) -> usize {
        self.block_of(128)
    }

    /// Steps of a block, about `wanted`.
    pub(super) fn block_of(&self, wanted: usize) -> usize {
        let width = self.backend.width();
        let groups =
            blocks::groups_for(self.problem.total_steps(), width, wanted, self.backend.groups());
        blocks::length_for(self.problem, groups, width)
    }

    /// Sweeps allowed: by default those after which every sequence in blocks of `len` steps is exact.
    pub(super) fn sweep_limit(&self, len: usize) -> usize {
        let exact = self.problem.max_steps().div_ceil(len);
        self.settings.max_sweeps.unwrap_or(self.sweeps + exact)
    }

    /// For each block the initial state of its sequence.
    pub(super) fn initial_states(&self, blocks: &[Block]) -> Vec<D::Real> {
        let initial = self.problem.initial_state();
        let mut states = Vec::with_capacity(blocks.len() * self.problem.state_dim());
        for block in blocks {
            states.extend(initial.row(block.batch));
        }
        states
    }

    /// For each block a state to start it from before anything is known: the user's guess, else the
    /// initial state.
    pub(super) fn guessed_starts(&self, blocks: &[Block]) -> Result<Vec<D::Real>> {
        let mut starts = self.initial_states(blocks);
        if self.problem.guess().is_some() {
            self.backend.read_starts(self.problem, &self.trajectory, blocks, &mut starts)?;
        }
        Ok(starts)
    }

    /// The state stored before each block.
    pub(super) fn stored_starts(&self, blocks: &[Block]) -> Result<Vec<D::Real>> {
        let zero = D::Real::from_f64(0.0);
        let mut starts = vec![zero; blocks.len() * self.problem.state_dim()];
        self.backend.read_starts(self.problem, &self.trajectory, blocks, &mut starts)?;
        Ok(starts)
    }

    /// Whether the state stored before each block is, to the tolerance, the one in `starts` that the block was
    /// started from.
    pub(super) fn fits(
        &self,
        blocks: &[Block],
        starts: &[D::Real],
        stored: &[D::Real],
    ) -> Result<Vec<bool>> {
        let n = self.problem.state_dim();
        let pair = |i: usize| (&starts[i * n..(i + 1) * n], &stored[i * n..(i + 1) * n]);
        // Most agree without a look at how large they lately were.
        let mut fits: Vec<bool> = (0..blocks.len())
            .map(|i| self.tolerance.accepts_state(pair(i).0, pair(i).1, pair(i).1))
            .collect();
        let doubtful: Vec<usize> = (0..blocks.len()).filter(|&i| !fits[i]).collect();
        let chosen: Vec<Block> = doubtful.iter().map(|&i| blocks[i]).collect();
        let mut sizes = vec![D::Real::default(); chosen.len() * n];
        self.backend.read_sizes(self.problem, &self.trajectory, &chosen, &mut sizes)?;
        for (&i, sizes) in doubtful.iter().zip(sizes.chunks_exact(n)) {
            fits[i] = self.tolerance.accepts_state(pair(i).0, pair(i).1, sizes);
        }
        Ok(fits)
    }

    /// Notes the blocks for the report.
    pub(super) fn describe_blocks(&mut self, blocks: &[Block]) {
        self.blocks = blocks.len();
        self.block = blocks.iter().map(|block| block.len).max().unwrap_or(0);
    }

    /// Records a sweep and tells the observer, whose wish is returned.
    pub(super) fn record(&mut self, record: SweepRecord, converged: usize) -> ControlFlow<()> {
        self.history.push(record);
        self.sweeps += 1;
        self.steps_done += record.steps;
        let progress = Progress {
            sweep: self.sweeps,
            residual: record.residual,
            converged,
            blocks: self.blocks,
        };
        match &self.settings.observer {
            Some(observer) => observer(&progress),
            None => ControlFlow::Continue(()),
        }
    }

    /// Marks the sequences that have one of `blocks` as ended by `termination`.
    pub(super) fn give_up<'b>(
        &mut self,
        blocks: impl Iterator<Item = &'b Block>,
        termination: Termination,
    ) {
        for block in blocks {
            self.unfinished[block.batch] = Some(termination);
        }
    }

    /// The trajectory, and the solution but for its states.
    fn finish(mut self, started: Instant) -> Result<(B::Trajectory, Solution<D::Real>)> {
        if self.settings.error_bound {
            let bounds = diagnostics::bounds_of(self.problem, &mut self.trajectory, self.backend)?;
            let totals = bounds.iter().map(|bound| bound.total());
            self.error_bound = Some(totals.fold(0.0, f64::max));
        }
        let non_finite = self.backend.first_non_finite(self.problem, &self.trajectory)?;
        let terminations: Vec<_> = self
            .unfinished
            .iter()
            .zip(&non_finite)
            .enumerate()
            .map(|(batch, (unfinished, non_finite))| match (unfinished, non_finite) {
                (Some(termination), _) => *termination,
                (None, Some(t)) => Termination::NonFinite { batch, t: *t },
                (None, None) => Termination::Converged,
            })
            .collect();
        let problem = self.problem;
        let work = self.steps_done as f64 / problem.total_steps().max(1) as f64;
        let residual =
            if non_finite.iter().any(Option::is_some) { f64::NAN } else { self.residual };
        let rest = Solution {
            states: Array3::default((0, 0, 0)),
            steps: (0..problem.batch_size()).map(|b| problem.steps(b)).collect(),
            terminations,
            report: Report {
                method: self.method,
                reason: self.reason,
                backend: self.backend.describe(),
                blocks: self.blocks,
                block: self.block,
                sweeps: self.sweeps,
                residual,
                error_bound: self.error_bound,
                work,
                history: self.history,
                elapsed: started.elapsed(),
            },
        };
        Ok((self.trajectory, rest))
    }
}
