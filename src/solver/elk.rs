//! ELK: Levenberg–Marquardt steps, each one a Kalman smoother over time.
//!
//! The unknowns are the states `s` at the borders of blocks, with jumps `r_b = e_b − s_{b+1}` to the ends `e` of the blocks that
//! are rolled from them. A step changes them by the minimiser of
//!
//! ```text
//! ½ Σ ‖δ_{b+1} − M_b δ_b − r_b‖² + (λ/2) Σ ‖δ_b‖²,    δ_1 = 0
//! ```
//!
//! `M` the blocks' sensitivities: each chunk of blocks is reduced to one [`KalmanFilter`] element (in parallel), the elements are
//! joined forwards and backwards, which gives the smoothed change at the chunks' ends, and each chunk smooths its
//! borders between them (in parallel). A step is kept where it lowers the merit `½ Σ ‖r‖²`, and λ falls; else λ grows. Once λ
//! is next to 0, Newton's sweeps do the rest.
//!
//! Source: Gonzalez et al. 2024, [arXiv:2407.19115](https://arxiv.org/abs/2407.19115), with the smoothed and not the filtered mean,
//! which is not the minimiser.

use super::blocks::partition;
use super::damping::Pace;
use super::newton::{self, Ending, Outcome};
use super::run::Run;
use super::stages::{Stages, Which};
use super::{Damping, Linearization, Method, Tolerance, larger};
use crate::backend::{Block, Filtered, LinearizeSettings, Linearized};
use crate::diagnostics;
use crate::error::Result;
use crate::report::SweepRecord;
use crate::scalar::Real;
use crate::scan::KalmanFilter;
use crate::solution::Termination;
use std::ops::{ControlFlow, Range};

/// Sweeps allowed where nothing else is said.
pub(super) const SWEEPS: usize = 100;
/// Steps in a block, likewise.
pub(super) const BLOCK: usize = 1;
/// Blocks in a chunk: enough that the chunks' elements take no more room than the trajectory at moderate `n`.
pub(super) const CHUNK_BLOCKS: usize = 64;
/// Below this λ is as good as 0, and Newton takes over.
const NEGLIGIBLE: f64 = 1e-8;
/// λ falls no lower.
const LEAST: f64 = 1e-16;
/// A larger λ moves nothing.
const LARGEST: f64 = 1e12;

/// One sequence on its way.
struct Sequence {
    /// Its chunks.
    chunks: Range<usize>,
    /// λ of its elements.
    lambda: f64,
    /// What λ is multiplied by for the elements of a trial.
    fall: f64,
    merit: f64,
    borders: Linearized,
    stalled: bool,
    /// Whether the last step made the residuals so much smaller that Newton can be expected to converge.
    fast: bool,
}

impl Sequence {
    fn active(&self) -> bool {
        !self.borders.converged && !self.stalled
    }

    /// Takes the trajectory that was filtered to `filtered` for its own.
    fn start(&mut self, filtered: Filtered) {
        self.merit = if filtered.merit.is_nan() { f64::INFINITY } else { filtered.merit };
        self.borders = filtered.borders;
    }

    /// Whether a trial is taken, whose elements were made with a lower λ.
    fn judge(&mut self, trial: Filtered) -> bool {
        let taken = trial.merit < self.merit || trial.borders.converged;
        if taken {
            self.fast = trial.merit <= 1e-4 * self.merit && self.lambda <= 0.1;
            self.lambda = (self.lambda * self.fall).max(LEAST);
            self.fall = if trial.merit < 0.1 * self.merit { 0.02 } else { 0.2 };
            self.start(trial);
        } else {
            self.fast = false;
            self.fall = 0.5;
            self.lambda = 8.0 * self.lambda.max(1e-6);
            self.stalled = self.lambda > LARGEST;
        }
        taken
    }
}

/// What the sweeps share.
struct Elk<R> {
    operator: KalmanFilter,
    settings: LinearizeSettings,
    chunks: Vec<Block>,
    sequences: Vec<Sequence>,
    /// Of each chunk of the trajectories that were taken.
    elements: Vec<R>,
    /// Steps evaluated since the last record.
    steps: usize,
    /// Blocks moved since then.
    moved: usize,
    refused: usize,
}

/// Solves by ELK on blocks of `block` steps from λ = `lambda` on, in at most `limit` sweeps of the solve, from the user's guess or from chunks rolled from the
/// initial state; whether everything has converged.
pub(super) fn solve<R: Real>(
    run: &mut Run<'_, R>,
    linearization: Linearization,
    block: usize,
    lambda: f64,
    limit: usize,
) -> Result<bool> {
    let solved = by_trials(run, linearization, block, lambda, limit);
    run.stages.end_trial();
    solved
}

fn by_trials<R: Real>(
    run: &mut Run<'_, R>,
    linearization: Linearization,
    block: usize,
    lambda: f64,
    limit: usize,
) -> Result<bool> {
    let guessed = run.problem().guess().is_some();
    let method = match linearization {
        Linearization::Full => Method::Elk,
        _ => Method::QuasiElk,
    };
    let blocks = partition(run.problem(), block);
    let mut elk = Elk::new(run, linearization, lambda, block);
    run.method = method;
    run.describe_blocks(&blocks);
    if linearization == Linearization::Full && run.sweeps == 0 {
        newton::describe_structure(run);
    }
    if !guessed {
        newton::roll_from_initial_states(run, &elk.chunks)?;
    }
    let everyone: Vec<usize> = (0..elk.sequences.len()).collect();
    let mut filtered = elk.filter(run.stages, Which::Own, &everyone, false)?;
    let ran_off = filtered.iter().any(|filtered| !filtered.merit.is_finite());
    if ran_off && !guessed {
        let starts = run.initial_states(&blocks);
        run.stages.write_starts(&blocks, &starts)?;
        filtered = elk.filter(run.stages, Which::Own, &everyone, false)?;
    }
    for (&b, &filtered) in everyone.iter().zip(&filtered) {
        elk.sequences[b].start(filtered);
    }
    run.stages.begin_trial()?;
    // Chances that Newton gets to finish.
    let mut finishes = 3;
    loop {
        let flow = elk.record(run);
        let active: Vec<usize> =
            everyone.iter().copied().filter(|&b| elk.sequences[b].active()).collect();
        if active.is_empty() {
            return elk.end(run, Termination::Stalled);
        }
        if flow.is_break() {
            return elk.end(run, Termination::Stopped);
        }
        if run.sweeps >= limit {
            return elk.end(run, Termination::SweepLimit);
        }
        let ready = |&b: &usize| {
            let sequence: &Sequence = &elk.sequences[b];
            sequence.lambda <= NEGLIGIBLE || sequence.fast
        };
        if finishes > 0 && active.iter().all(ready) {
            finishes -= 1;
            for &b in &everyone {
                run.stages.copy_to_trial(b)?;
            }
            let (ending, pace) = (Ending::Overshoot(limit), Pace::new(Damping::Fixed(0.0)));
            let outcome = newton::iterate(run, linearization, Some(block), ending, pace)?;
            run.method = method;
            if let Outcome::Done = outcome {
                let stalled = elk.sequences.iter().any(|sequence| sequence.stalled);
                elk.describe(run);
                return Ok(elk.check(run)? && !stalled);
            }
            for &b in &everyone {
                run.stages.copy_from_trial(b)?;
            }
            for &b in &active {
                elk.sequences[b].fast = false;
                elk.sequences[b].lambda = elk.sequences[b].lambda.max(1e-4);
            }
            elk.filter(run.stages, Which::Own, &active, false)?;
            if run.sweeps >= limit {
                return elk.end(run, Termination::SweepLimit);
            }
        }
        elk.smooth(run.stages, &active)?;
        let filtered = elk.filter(run.stages, Which::Trial, &active, true)?;
        let mut again = Vec::new();
        for (&b, filtered) in active.iter().zip(filtered) {
            if elk.sequences[b].judge(filtered) {
                run.stages.copy_from_trial(b)?;
            } else {
                elk.refused += 1;
                again.push(b);
            }
        }
        elk.filter(run.stages, Which::Own, &again, false)?;
    }
}

impl<R: Real> Elk<R> {
    fn new(run: &Run<'_, R>, linearization: Linearization, lambda: f64, block: usize) -> Self {
        let chunks = partition(run.problem(), block * CHUNK_BLOCKS);
        let operator = match linearization {
            Linearization::Full => {
                KalmanFilter::of(run.stages.structure(), run.problem().state_dim())
            }
            _ => KalmanFilter::diagonal(run.problem().state_dim()),
        };
        let mut sequences = Vec::with_capacity(run.problem().batch_size());
        let mut first = 0;
        for batch in 0..run.problem().batch_size() {
            let count = chunks[first..].iter().take_while(|chunk| chunk.batch == batch).count();
            sequences.push(Sequence {
                chunks: first..first + count,
                lambda,
                fall: 0.2,
                merit: f64::INFINITY,
                borders: Linearized::default(),
                stalled: false,
                fast: false,
            });
            first += count;
        }
        Self {
            settings: LinearizeSettings {
                block,
                linearization,
                factor: 1.0,
                tolerance: run.tolerance,
            },
            elements: vec![R::default(); chunks.len() * operator.width()],
            operator,
            chunks,
            sequences,
            steps: 0,
            moved: 0,
            refused: 0,
        }
    }

    /// The chunks of some sequences, and λ of each: that of the sequence, or as it is lowered for a trial.
    fn chosen(&self, who: &[usize], trial: bool) -> (Vec<usize>, Vec<Block>, Vec<f64>) {
        let indices: Vec<usize> =
            who.iter().flat_map(|&b| self.sequences[b].chunks.clone()).collect();
        let blocks: Vec<Block> = indices.iter().map(|&i| self.chunks[i]).collect();
        let lambda = |block: &Block| {
            let sequence = &self.sequences[block.batch];
            if trial { (sequence.lambda * sequence.fall).max(LEAST) } else { sequence.lambda }
        };
        let lambdas = blocks.iter().map(lambda).collect();
        (indices, blocks, lambdas)
    }

    /// Rolls the blocks of some sequences and makes the elements of their chunks; what each sequence comes to.
    fn filter(
        &mut self,
        stages: &mut dyn Stages<R>,
        which: Which,
        who: &[usize],
        trial: bool,
    ) -> Result<Vec<Filtered>> {
        let (indices, blocks, lambdas) = self.chosen(who, trial);
        let width = self.operator.width();
        let mut elements = vec![R::default(); blocks.len() * width];
        let settings = &self.settings;
        let filtered = stages.filter(which, &blocks, settings, &lambdas, &mut elements)?;
        for (&i, element) in indices.iter().zip(elements.chunks_exact(width)) {
            self.elements[i * width..(i + 1) * width].copy_from_slice(element);
        }
        self.steps += blocks.iter().map(|chunk| chunk.len).sum::<usize>();
        let mut rest = filtered.as_slice();
        let joined = |&b: &usize| {
            let (chunks, others) = rest.split_at(self.sequences[b].chunks.len());
            rest = others;
            Filtered {
                merit: chunks.iter().map(|chunk| chunk.merit).sum(),
                borders: Linearized {
                    residual: chunks
                        .iter()
                        .fold(0.0, |largest, chunk| larger(largest, chunk.borders.residual)),
                    converged: chunks.iter().all(|chunk| chunk.borders.converged),
                },
            }
        };
        Ok(who.iter().map(joined).collect())
    }

    /// Joins the elements of each sequence, and writes the states that a step comes to, to the trial.
    fn smooth(&mut self, stages: &mut dyn Stages<R>, who: &[usize]) -> Result<()> {
        let (_, blocks, lambdas) = self.chosen(who, false);
        let (n, width) = (stages.problem().state_dim(), self.operator.width());
        let state = n + self.operator.entries();
        let mut priors = vec![R::default(); blocks.len() * state];
        let mut ends = vec![R::default(); blocks.len() * n];
        let mut first = 0;
        for &b in who {
            let chunks = self.sequences[b].chunks.clone();
            let count = chunks.len();
            let element = |k: usize| &self.elements[(chunks.start + k) * width..][..width];
            // Forwards: mean and variance of the change before each chunk, and after the last.
            let mut states = vec![R::default(); (count + 1) * state];
            for k in 0..count {
                let (before, after) = states.split_at_mut((k + 1) * state);
                after[..state].copy_from_slice(&before[k * state..]);
                let (mean, variance) = after[..state].split_at_mut(n);
                self.operator.advance(element(k), mean, variance);
            }
            // Backwards: what later borders say of the change after each chunk.
            let mut later = vec![R::default(); state];
            for k in (0..count).rev() {
                let (mean, variance) = states[(k + 1) * state..(k + 2) * state].split_at(n);
                let (eta, information) = later.split_at_mut(n);
                let end = &mut ends[(first + k) * n..(first + k + 1) * n];
                self.operator.posterior((mean, variance), (&*eta, &*information), end);
                self.operator.retreat(element(k), eta, information);
            }
            priors[first * state..(first + count) * state]
                .copy_from_slice(&states[..count * state]);
            first += count;
        }
        let settings = &self.settings;
        stages.smooth(&blocks, settings, &lambdas, &priors, &ends)?;
        self.steps += blocks.iter().map(|chunk| chunk.len).sum::<usize>();
        self.moved += blocks.iter().map(|chunk| chunk.len.div_ceil(settings.block)).sum::<usize>();
        Ok(())
    }

    /// Records a sweep; what the observer wishes.
    fn record(&mut self, run: &mut Run<'_, R>) -> ControlFlow<()> {
        let borders = self.sequences.iter().map(|sequence| sequence.borders);
        let residual = borders.fold(0.0, |largest, borders| larger(largest, borders.residual));
        let blocks_in = |sequence: &Sequence| -> usize {
            let chunks = self.chunks[sequence.chunks.clone()].iter();
            chunks.map(|chunk| chunk.len.div_ceil(self.settings.block)).sum()
        };
        let converged =
            self.sequences.iter().filter(|sequence| sequence.borders.converged).map(blocks_in);
        let converged = converged.sum();
        run.residual = residual;
        let active = if self.moved == 0 { run.blocks } else { self.moved };
        let record = SweepRecord { active, residual, steps: self.steps };
        (self.steps, self.moved) = (0, 0);
        run.record(record, converged)
    }

    /// Marks sequences whose residuals are within the tolerance, and which may yet be far from the loop's: the residuals of a
    /// chaotic recurrence vanish along many trajectories, and nothing here makes one exact from its start on. Whether
    /// there are none.
    fn check(&self, run: &mut Run<'_, R>) -> Result<bool> {
        let n = run.problem().state_dim();
        let bounds = diagnostics::bounds_of(run.stages)?;
        let mut states = vec![R::default(); self.chunks.len() * n];
        run.stages.read_starts(&self.chunks, &mut states)?;
        let mut worst = 0.0;
        for (b, (sequence, bound)) in self.sequences.iter().zip(bounds).enumerate() {
            let states = &states[sequence.chunks.start * n..sequence.chunks.end * n];
            let size = states.iter().map(|x| x.to_f64().abs()).fold(0.0, f64::max);
            // The geometric mean of the two: half of the digits asked for.
            let Tolerance { atol, rtol } = run.tolerance;
            let determined = 2.0 * bound.residual <= ((atol + rtol * size) * size).sqrt();
            if !determined && run.unfinished[b].is_none() {
                run.unfinished[b] = Some(Termination::Undetermined);
            }
            worst = larger(worst, bound.total());
        }
        run.error_bound = Some(worst);
        Ok(run.unfinished.iter().all(Option::is_none))
    }

    /// Notes how the sequences ended that have not converged: as `termination` says, or stalled; whether there are none.
    fn end(&self, run: &mut Run<'_, R>, termination: Termination) -> Result<bool> {
        self.describe(run);
        for (b, sequence) in self.sequences.iter().enumerate() {
            if !sequence.borders.converged {
                let stalled = sequence.stalled;
                run.unfinished[b] = Some(if stalled { Termination::Stalled } else { termination });
            }
        }
        self.check(run)
    }

    fn describe(&self, run: &mut Run<'_, R>) {
        let largest = self.sequences.iter().map(|sequence| sequence.lambda).fold(0.0, f64::max);
        let separator = if run.reason.is_empty() { "" } else { "; " };
        run.reason.push_str(&format!(
            "{separator}λ at last {largest:.0e}, {} steps refused",
            self.refused
        ));
    }
}
