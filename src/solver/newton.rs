//! Sweeps with a linear part, over chunks of blocks.
//!
//! The unknowns are the states `s` at the borders of the blocks. A sweep rolls every block from its
//! `s`, which gives its end `e` and sensitivity `M`, and moves the borders to the solution of
//!
//! ```text
//! s⁺_{b+1} = e_b + (1 − k) M_b (s⁺_b − s_b)
//! ```
//!
//! in three stages: each chunk composes the maps of its blocks (in parallel), the maps of the
//! chunks are applied one after the other, and each chunk hands the change on through its blocks
//! (in parallel; nothing to do where a chunk is one block). This is reduce, scan, replay.

use super::blocks::{follows, groups_for, length_for, partition};
use super::damping::Pace;
use super::kept::Kept;
use super::run::Run;
use super::{Damping, Linearization, Method, larger};
use crate::backend::{Block, LinearizeSettings, Linearized};
use crate::dynamics::Structure;
use crate::error::Result;
use crate::report::SweepRecord;
use crate::scalar::Real;
use crate::solution::Termination;

/// What ends an iteration beside convergence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// So many sweeps of the solve.
    Limit(usize),
    /// So many, or residuals that stop falling; where they grow, damping first, for as many sweeps of the
    /// solve as `damped`.
    Impatient { limit: usize, damped: usize },
    /// So many, or residuals that grow.
    Overshoot(usize),
}

impl Ending {
    fn limit(self) -> usize {
        match self {
            Ending::Limit(limit) | Ending::Impatient { limit, .. } | Ending::Overshoot(limit) => {
                limit
            }
        }
    }
}

/// How an iteration ended.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// All is settled, or given up with a [`Termination`].
    Done,
    /// It does not close in.
    Astray(Unsettled),
}

/// What is left of an iteration that did not close in.
#[derive(Clone, Debug)]
pub(super) struct Unsettled {
    chunks: Vec<Block>,
    ranges: Vec<std::ops::Range<usize>>,
    results: Vec<Linearized>,
}

impl Unsettled {
    /// Runs it in order.
    pub(super) fn run_in_order<R: Real>(mut self, run: &mut Run<'_, R>) -> Result<()> {
        rest_in_order(run, &self.chunks, &self.ranges, &mut self.results)
    }
}

/// Sweeps with `linearization` on blocks of `block` steps (none: one block a chunk), from the user's guess or from chunks
/// rolled from the initial state.
pub(super) fn solve<R: Real>(
    run: &mut Run<'_, R>,
    linearization: Linearization,
    block: Option<usize>,
    ending: Ending,
) -> Result<Outcome> {
    if linearization == Linearization::Full {
        describe_structure(run);
    }
    if run.problem().guess().is_none() {
        let chunks = partition(run.problem(), chunk_length(run, linearization, block));
        roll_from_initial_states(run, &chunks)?;
    }
    let pace = Pace::new(run.settings.damping);
    iterate(run, linearization, block, ending, pace)
}

/// Notes for the report what the Jacobians look like.
pub(super) fn describe_structure<R: Real>(run: &mut Run<'_, R>) {
    let separator = if run.reason.is_empty() { "" } else { "; " };
    let structure = match run.stages.structure() {
        Structure::Dense => "dense Jacobians".to_owned(),
        Structure::Diagonal => "diagonal Jacobians".to_owned(),
        Structure::Blocks { size, .. } => format!("Jacobians in blocks of {size} × {size}"),
        Structure::Permuted { order } => {
            let (n, largest) = (run.problem().state_dim(), order.largest());
            let up_to = if order.blocks() * largest == n { "" } else { "up to " };
            format!("Jacobians in blocks of {up_to}{largest} × {largest}, after a permutation")
        }
    };
    run.reason.push_str(separator);
    run.reason.push_str(&structure);
}

/// Rolls every chunk from the initial state of its sequence: the first guess.
pub(super) fn roll_from_initial_states<R: Real>(
    run: &mut Run<'_, R>,
    chunks: &[Block],
) -> Result<()> {
    let starts = run.initial_states(chunks);
    let rolled = run.stages.roll(chunks, &starts, None)?;
    run.steps_done += rolled.iter().map(|chunk| chunk.steps).sum::<usize>();
    Ok(())
}

/// [`solve`] from the trajectory as it is.
pub(super) fn iterate<R: Real>(
    run: &mut Run<'_, R>,
    linearization: Linearization,
    block: Option<usize>,
    ending: Ending,
    pace: Pace,
) -> Result<Outcome> {
    let outcome = iterate_with_maps(run, linearization, block, ending, pace);
    run.stages.drop_maps();
    outcome
}

fn iterate_with_maps<R: Real>(
    run: &mut Run<'_, R>,
    linearization: Linearization,
    block: Option<usize>,
    ending: Ending,
    mut pace: Pace,
) -> Result<Outcome> {
    let chunk_len = chunk_length(run, linearization, block);
    let chunks = partition(run.problem(), chunk_len);
    let blocks = partition(run.problem(), block.unwrap_or(chunk_len));
    run.describe_blocks(&blocks);
    run.method = Method::Sweeps(linearization);
    let block_len = block.unwrap_or(chunk_len);
    let mut settings = LinearizeSettings {
        block: block_len,
        linearization,
        factor: pace.factor(),
        tolerance: run.tolerance,
    };
    let limit = ending.limit();
    let blocks_in = |chunks: &[Block]| -> usize {
        chunks.iter().map(|chunk| chunk.len.div_ceil(block_len)).sum()
    };
    let mut maps = Kept::new(run, &settings, &chunks)?;
    let mut results = vec![Linearized::default(); chunks.len()];
    let mut active: Vec<usize> = (0..chunks.len()).collect();
    let mut residuals = Vec::new();
    let mut before: Vec<std::ops::Range<usize>> = Vec::new();
    while run.sweeps < limit {
        let linearized = maps.linearize(run, &chunks, &active, &settings)?;
        for (&i, linearized) in active.iter().zip(linearized) {
            results[i] = linearized;
        }
        let residual = largest_residual(&results);
        run.residual = residual;
        let unsettled = first_unsettled(&chunks, &results);
        let record = SweepRecord {
            active: active.iter().map(|&i| chunks[i].len.div_ceil(block_len)).sum(),
            residual,
            steps: active.iter().map(|&i| chunks[i].len).sum(),
        };
        let left: usize = unsettled.iter().map(|range| blocks_in(&chunks[range.clone()])).sum();
        let converged = blocks.len() - left;
        let flow = run.record(record, converged);
        if unsettled.is_empty() {
            return Ok(Outcome::Done);
        }
        let left = || unsettled.iter().map(|range| &chunks[range.start]);
        if flow.is_break() {
            run.give_up(left(), Termination::Stopped);
            return Ok(Outcome::Done);
        }
        residuals.push(residual);
        let astray = match ending {
            Ending::Limit(_) => false,
            Ending::Impatient { damped, .. } => {
                if overshoots(&residuals) && run.sweeps < damped && !pace.is_adaptive() {
                    run.reason.push_str("; Newton overshot and was damped");
                    pace = Pace::new(Damping::Adaptive);
                    residuals.iter().for_each(|&residual| pace.adapt(residual));
                    pace.adapt(f64::NAN);
                }
                let patient = pace.is_adaptive() && run.sweeps < damped && helps(&residuals);
                run.sweeps == limit || stagnates(&residuals) && !patient
            }
            Ending::Overshoot(_) => run.sweeps == limit || overshoots(&residuals),
        };
        if astray {
            return Ok(Outcome::Astray(Unsettled { ranges: unsettled, chunks, results }));
        }
        if run.sweeps == limit {
            run.give_up(left(), Termination::SweepLimit);
            return Ok(Outcome::Done);
        }
        pace.adapt(residual);
        settings.factor = pace.factor();
        // Where a trajectory leaves the finite numbers there is nothing to linearise.
        let lost: Vec<_> = unsettled
            .iter()
            .filter(|range| !results[range.start].residual.is_finite() && before.contains(range))
            .cloned()
            .collect();
        if !lost.is_empty() {
            rest_in_order(run, &chunks, &lost, &mut results)?;
        }
        before = first_unsettled(&chunks, &results);
        if before.is_empty() {
            return Ok(Outcome::Done);
        }
        // By the maps as they were made, with the factor of then.
        let made = LinearizeSettings { factor: maps.scale, ..settings };
        maps.update(run, &chunks, &before, &made)?;
        active = before.iter().cloned().flatten().collect();
        maps.scale = settings.factor;
        // The borders inside of chunks hand rounding errors on to each other, and in a component next to
        // zero those are beyond a relative tolerance: the last corrections do without these borders.
        if stagnates(&residuals) && residual <= maps.rounding(run)? {
            settings.block = chunk_len;
        }
    }
    Ok(Outcome::Done)
}

/// Steps in a chunk: what fills the lanes, in whole blocks.
pub(super) fn chunk_length<R: Real>(
    run: &Run<'_, R>,
    linearization: Linearization,
    block: Option<usize>,
) -> usize {
    let (width, steps) = (run.stages.width(), run.stages.chunk_steps(linearization));
    let groups = groups_for(run.problem().total_steps(), width, steps, run.stages.groups());
    let chunk = length_for(run.problem(), groups, width);
    match block {
        Some(block) => chunk.next_multiple_of(block),
        None => chunk,
    }
}

/// For each sequence that is not done, its chunks from the first one with a residual.
fn first_unsettled(chunks: &[Block], results: &[Linearized]) -> Vec<std::ops::Range<usize>> {
    let mut unsettled: Vec<std::ops::Range<usize>> = Vec::new();
    let mut i = 0;
    while i < chunks.len() {
        let batch = chunks[i].batch;
        let end = i + chunks[i..].iter().take_while(|chunk| chunk.batch == batch).count();
        if let Some(first) = (i..end).find(|&k| !results[k].converged) {
            unsettled.push(first..end);
        }
        i = end;
    }
    unsettled
}

fn largest_residual(results: &[Linearized]) -> f64 {
    results.iter().fold(0.0, |largest, chunk| larger(largest, chunk.residual))
}

/// Whether damping, which the last residual but two or less has called for, has made residuals fall since.
fn helps(residuals: &[f64]) -> bool {
    match residuals {
        [.., first, _, _, last] => *last < 0.3 * first,
        _ => true,
    }
}

/// Whether the residuals have grown, or are no numbers.
fn overshoots(residuals: &[f64]) -> bool {
    match residuals {
        [.., before, last] => last.is_nan() || *last > *before,
        [only] => only.is_nan(),
        [] => false,
    }
}

/// Whether the residuals have stopped falling.
fn stagnates(residuals: &[f64]) -> bool {
    match residuals {
        [.., before, last] => last.is_nan() || *last >= 0.3 * before,
        _ => false,
    }
}

/// Runs each unsettled sequence in order from its first unsettled chunk on.
fn rest_in_order<R: Real>(
    run: &mut Run<'_, R>,
    chunks: &[Block],
    unsettled: &[std::ops::Range<usize>],
    results: &mut [Linearized],
) -> Result<()> {
    debug_assert!(
        unsettled.iter().all(|range| { range.end == chunks.len() || !follows(chunks, range.end) })
    );
    let rest: Vec<Block> = unsettled
        .iter()
        .map(|range| {
            let first = chunks[range.start];
            Block { len: run.problem().steps(first.batch) - first.start, ..first }
        })
        .collect();
    let starts = run.stored_starts(&rest)?;
    run.steps_done += rest.iter().map(|block| block.len).sum::<usize>();
    // What was accepted before the rest stands; the rest itself has no residual.
    for range in unsettled {
        results[range.clone()].fill(Linearized { residual: 0.0, converged: true });
    }
    run.residual = largest_residual(results);
    run.stages.run_in_order(&rest, &starts)
}
