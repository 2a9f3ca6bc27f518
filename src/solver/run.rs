//! One solve: what every method shares.

use super::control::Control;
use super::jacobi::Unsettled;
use super::stages::{OnBackend, Stages};
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
use crate::scalar::Real;
use crate::sequences::Sequences;
use crate::solution::{Solution, Termination};
use ndarray::Array3;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// A solve under way: what it works on, and the record of what was done to that.
pub(super) struct Run<'r, R> {
    pub(super) settings: &'r Solver,
    pub(super) stages: &'r mut (dyn Stages<R> + 'r),
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
    let mut stages = OnBackend::new(problem, backend)?;
    let mut rest = D::Real::control_solve(settings, &mut stages)?;
    rest.report.elapsed = started.elapsed();
    Ok(Resident { backend, trajectory: stages.into_trajectory(), rest })
}

/// Solves what is on the `stages`; the solution but for its states and the time that it took.
pub(super) fn run<R: Real>(settings: &Solver, stages: &mut dyn Stages<R>) -> Result<Solution<R>> {
    let mut run = Run::new(settings, stages);
    if run.problem().total_steps() == 0 || run.problem().state_dim() == 0 {
        "nothing to compute".clone_into(&mut run.reason);
        if run.method == Method::Auto {
            run.method = Method::Sequential;
        }
    } else {
        if settings.error_bound {
            // What a backend lacks it says now, and not after the solve.
            run.stages.spread(&[], &[], &mut [])?;
        }
        match settings.method {
            Method::Auto => auto::solve(&mut run)?,
            Method::Sequential => run.in_order()?,
            Method::Shooting => {
                let block = settings.block.unwrap_or_else(|| coarse::block(&run));
                let blocks = blocks::partition(run.problem(), block);
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
    run.finish()
}

impl<'r, R: Real> Run<'r, R> {
    /// Before anything is done.
    pub(super) fn new(settings: &'r Solver, stages: &'r mut (dyn Stages<R> + 'r)) -> Self {
        let batch = stages.problem().batch_size();
        Self {
            settings,
            stages,
            tolerance: settings.tolerance.unwrap_or(Tolerance::default_of::<R>()),
            history: Vec::new(),
            steps_done: 0,
            sweeps: 0,
            method: settings.method,
            reason: String::new(),
            blocks: 0,
            block: 0,
            residual: 0.0,
            error_bound: None,
            unfinished: vec![None; batch],
        }
    }

    /// What is solved.
    pub(super) fn problem(&self) -> &Sequences<'_, R> {
        self.stages.problem()
    }
}

impl<R: Real> Run<'_, R> {
    /// The loop over every sequence; over many sequences in lanes.
    pub(super) fn in_order(&mut self) -> Result<()> {
        let blocks = blocks::partition(self.problem(), self.problem().max_steps());
        let starts = self.initial_states(&blocks);
        if blocks.len() >= self.stages.width() {
            self.stages.roll(&blocks, &starts, None)?;
        } else {
            self.stages.run_in_order(&blocks, &starts)?;
        }
        self.describe_blocks(&blocks);
        self.sweeps += 1;
        self.steps_done += self.problem().total_steps();
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
        let width = self.stages.width();
        let groups =
            blocks::groups_for(self.problem().total_steps(), width, wanted, self.stages.groups());
        blocks::length_for(self.problem(), groups, width)
    }

    /// Sweeps allowed: by default those after which every sequence in blocks of `len` steps is exact.
    pub(super) fn sweep_limit(&self, len: usize) -> usize {
        let exact = self.problem().max_steps().div_ceil(len);
        self.settings.max_sweeps.unwrap_or(self.sweeps + exact)
    }

    /// For each block the initial state of its sequence.
    pub(super) fn initial_states(&self, blocks: &[Block]) -> Vec<R> {
        let initial = self.problem().initial_state();
        let mut states = Vec::with_capacity(blocks.len() * self.problem().state_dim());
        for block in blocks {
            states.extend(initial.row(block.batch));
        }
        states
    }

    /// For each block a state to start it from before anything is known: the user's guess, else the
    /// initial state.
    pub(super) fn guessed_starts(&self, blocks: &[Block]) -> Result<Vec<R>> {
        let mut starts = self.initial_states(blocks);
        if self.problem().guess().is_some() {
            self.stages.read_starts(blocks, &mut starts)?;
        }
        Ok(starts)
    }

    /// The state stored before each block.
    pub(super) fn stored_starts(&self, blocks: &[Block]) -> Result<Vec<R>> {
        let zero = R::from_f64(0.0);
        let mut starts = vec![zero; blocks.len() * self.problem().state_dim()];
        self.stages.read_starts(blocks, &mut starts)?;
        Ok(starts)
    }

    /// Whether the state stored before each block is, to the tolerance, the one in `starts` that the block was
    /// started from.
    pub(super) fn fits(&self, blocks: &[Block], starts: &[R], stored: &[R]) -> Result<Vec<bool>> {
        let n = self.problem().state_dim();
        let pair = |i: usize| (&starts[i * n..(i + 1) * n], &stored[i * n..(i + 1) * n]);
        // Most agree without a look at how large they lately were.
        let mut fits: Vec<bool> = (0..blocks.len())
            .map(|i| self.tolerance.accepts_state(pair(i).0, pair(i).1, pair(i).1))
            .collect();
        let doubtful: Vec<usize> = (0..blocks.len()).filter(|&i| !fits[i]).collect();
        let chosen: Vec<Block> = doubtful.iter().map(|&i| blocks[i]).collect();
        let mut sizes = vec![R::default(); chosen.len() * n];
        self.stages.read_sizes(&chosen, &mut sizes)?;
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

    /// The solution but for its states and the time that it took.
    fn finish(mut self) -> Result<Solution<R>> {
        if self.settings.error_bound {
            let bounds = diagnostics::bounds_of(self.stages)?;
            let totals = bounds.iter().map(|bound| bound.total());
            self.error_bound = Some(totals.fold(0.0, f64::max));
        }
        let non_finite = self.stages.first_non_finite()?;
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
        let problem = self.problem();
        let work = self.steps_done as f64 / problem.total_steps().max(1) as f64;
        let residual =
            if non_finite.iter().any(Option::is_some) { f64::NAN } else { self.residual };
        Ok(Solution {
            states: Array3::default((0, 0, 0)),
            steps: problem.all_steps().to_vec(),
            terminations,
            report: Report {
                method: self.method,
                reason: self.reason,
                backend: self.stages.describe(),
                blocks: self.blocks,
                block: self.block,
                sweeps: self.sweeps,
                residual,
                error_bound: self.error_bound,
                work,
                history: self.history,
                elapsed: Duration::ZERO,
            },
            kept: None,
        })
    }
}
