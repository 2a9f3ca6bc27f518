//! Block Jacobi: roll all blocks at once, hand their ends on, roll those again whose start has moved. With maps of
//! the blocks from a [coarser grid](super::coarse), a moved start moves the starts after it at once.
//!
//! A block that is rolled again stops as soon as it meets its old trajectory, so that in contracting
//! dynamics the second sweep costs only the memory of the dynamics. The check at every
//! border, start against the end before it, is what makes the answer right: two trajectories may
//! also have settled on different attractors.

use super::blocks::{follows, partition};
use super::coarse::{Coarse, sizes};
use super::maps::Maps;
use super::run::Run;
use super::{Linearization, Method, distance, larger};
use crate::backend::{Block, BlockSweep};
use crate::error::Result;
use crate::report::SweepRecord;
use crate::scalar::Real;
use crate::solution::Termination;

/// How much nearer than the tolerance to its old trajectory a block whose start the maps have moved is to be where it stops.
const MERGED: f64 = 0.25;

/// What becomes of blocks that do not settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsettled {
    /// They are rolled again, until no more sweeps are allowed.
    SweptOn,
    /// They are run in order.
    RunInOrder,
    /// They are left to another method.
    Left,
}

/// Block Jacobi on blocks of `len` steps, from what a `coarse` grid tells, if anything.
pub(super) fn solve<R: Real>(
    run: &mut Run<'_, R>,
    len: usize,
    coarse: Option<Coarse<R>>,
    unsettled: Unsettled,
) -> Result<()> {
    let n = run.problem().state_dim();
    let limit = run.sweep_limit(len);
    if coarse.is_none() && limit > 0 && run.stages.cut(len)? {
        return with_blocks_of_the_backend(run, len, unsettled).map(drop);
    }
    let blocks = partition(run.problem(), len);
    run.describe_blocks(&blocks);
    run.method = Method::Sweeps(Linearization::Zero);
    // What each block was last rolled from.
    let (mut starts, mut maps) = match coarse {
        Some(coarse) => {
            run.method = Method::Shooting;
            (coarse.starts, Some(coarse.maps))
        }
        None => (run.guessed_starts(&blocks)?, None),
    };
    let mut active: Vec<usize> = (0..blocks.len()).collect();
    let mut met = 0.0f64;
    let mut merge = None;
    let (mut before, mut residual_before) = (usize::MAX, f64::INFINITY);
    for _ in 0..limit {
        let (chosen, from) = gather(&active, &blocks, &starts, n);
        let rolled = run.stages.roll(&chosen, &from, merge)?;
        met = rolled.iter().fold(met, |largest, block| larger(largest, block.residual));
        merge = Some(match maps {
            // The starts after a block were moved by what its own was: it must not end where it did for being within the tolerance.
            Some(_) => run.tolerance.times(MERGED),
            None => run.tolerance,
        });

        let ends = run.stored_starts(&blocks)?;
        let rolled_blocks = active.len();
        let fits = run.fits(&blocks, &starts, &ends)?;
        let mut open: Vec<usize> =
            (0..blocks.len()).filter(|&i| follows(&blocks, i) && !fits[i]).collect();
        let residual = largest_distance(&open, &starts, &ends, n);
        let falls = residual < 0.1 * residual_before;
        let stalled = maps.is_some() && run.sweeps >= 2 && !falls;
        if stalled && at_rounding(&open, &starts, &ends, n, run.tolerance.rtol) {
            open.clear();
        }
        let record = SweepRecord {
            active: rolled_blocks,
            residual,
            steps: rolled.iter().map(|block| block.steps).sum(),
        };
        let flow = run.record(record, blocks.len() - open.len());
        active = open;
        if active.is_empty() {
            break;
        }
        if flow.is_break() {
            run.give_up(active.iter().map(|&i| &blocks[i]), Termination::Stopped);
            break;
        }
        let last = run.sweeps == limit;
        let lasting = match maps {
            Some(_) => stalled,
            None => run.sweeps >= 2 && active.len() * 2 > before,
        };
        if unsettled == Unsettled::RunInOrder && (last || lasting) {
            run.reason.push_str("; blocks did not settle, the rest ran in order");
            run_rest_in_order(run, &blocks, &mut starts, &active)?;
            active.clear();
        }
        if last || active.is_empty() {
            break;
        }
        (before, residual_before) = (active.len(), residual);
        match &mut maps {
            Some(maps) => {
                active = move_starts(&blocks, maps, &mut starts, &ends, &active, run.tolerance)
            }
            None => {
                for &i in &active {
                    starts[i * n..(i + 1) * n].copy_from_slice(&ends[i * n..(i + 1) * n]);
                }
            }
        }
    }
    for &i in &active {
        run.unfinished[blocks[i].batch].get_or_insert(Termination::SweepLimit);
    }
    let ends = run.stored_starts(&blocks)?;
    let all: Vec<usize> = (0..blocks.len()).collect();
    run.residual = larger(met, largest_distance(&all, &starts, &ends, n));
    if active.is_empty() {
        // Within the tolerance, but not to the bit: the state at a border is the one the next block
        // started from, so that the only residual is the one that was accepted.
        run.stages.write_starts(&blocks, &starts)?;
    }
    Ok(())
}

/// Block Jacobi on blocks of `len` steps that the backend keeps, if it can, as long as they settle: whether all have. The trajectory is
/// else of no use.
pub(super) fn attempt<R: Real>(run: &mut Run<'_, R>, len: usize) -> Result<bool> {
    Ok(run.stages.cut(len)? && with_blocks_of_the_backend(run, len, Unsettled::Left)?)
}

/// [`solve`] where the backend keeps the blocks, so that a sweep tells of itself in a few numbers; false where blocks are left.
fn with_blocks_of_the_backend<R: Real>(
    run: &mut Run<'_, R>,
    len: usize,
    unsettled: Unsettled,
) -> Result<bool> {
    let settled = sweep_blocks_of_the_backend(run, len, unsettled);
    run.stages.drop_blocks();
    settled
}

fn sweep_blocks_of_the_backend<R: Real>(
    run: &mut Run<'_, R>,
    len: usize,
    unsettled: Unsettled,
) -> Result<bool> {
    run.blocks =
        (0..run.problem().batch_size()).map(|b| run.problem().steps(b).div_ceil(len)).sum();
    run.block = len.min(run.problem().max_steps());
    run.method = Method::Sweeps(Linearization::Zero);
    let (begun, limit) = (run.sweeps, run.sweep_limit(len));
    let (mut met, mut before) = (0.0, usize::MAX);
    loop {
        let merge = run.sweeps > begun;
        let sweep = run.stages.sweep_blocks(run.tolerance, merge)?;
        met = larger(met, sweep.met);
        run.residual = larger(met, sweep.all);
        let BlockSweep { rolled: active, residual, steps, open, .. } = sweep;
        let flow = run.record(SweepRecord { active, residual, steps }, run.blocks - open);
        if open == 0 {
            run.stages.settle_blocks()?;
            return Ok(true);
        }
        let last = run.sweeps >= limit;
        let lasting = run.sweeps >= begun + 2 && open * 2 > before;
        before = open;
        if flow.is_continue() && !last && (unsettled == Unsettled::SweptOn || !lasting) {
            continue;
        }
        if flow.is_continue() && unsettled == Unsettled::Left {
            return Ok(false);
        }
        let (open, mut starts) = run.stages.read_blocks()?;
        let blocks = partition(run.problem(), len);
        if flow.is_continue() && unsettled == Unsettled::RunInOrder {
            run.reason.push_str("; blocks did not settle, the rest ran in order");
            run_rest_in_order(run, &blocks, &mut starts, &open)?;
            let ends = run.stored_starts(&blocks)?;
            let all: Vec<usize> = (0..blocks.len()).collect();
            let n = run.problem().state_dim();
            run.residual = larger(met, largest_distance(&all, &starts, &ends, n));
            run.stages.write_starts(&blocks, &starts)?;
            return Ok(true);
        }
        let why = if flow.is_break() { Termination::Stopped } else { Termination::SweepLimit };
        run.give_up(open.iter().map(|&i| &blocks[i]), why);
        return Ok(true);
    }
}

/// Moves the start of every block from the first `open` one of its sequence on, as `maps` hand changes on; returns those
/// whose start has moved by more than the tolerance.
pub(super) fn move_starts<R: Real>(
    blocks: &[Block],
    maps: &mut Maps<R>,
    starts: &mut [R],
    ends: &[R],
    open: &[usize],
    tolerance: super::Tolerance,
) -> Vec<usize> {
    let n = starts.len() / blocks.len();
    // In `maps`, the end of a block is where the next one was to start.
    maps.starts.copy_from_slice(starts);
    let mut moved = Vec::new();
    let mut waiting = open.iter().copied().peekable();
    // Whether the block before has moved.
    let mut moves = false;
    let mut start = vec![R::default(); n];
    for i in 0..blocks.len() {
        let opens = waiting.next_if_eq(&i).is_some();
        moves &= follows(blocks, i);
        if !opens && !moves {
            continue;
        }
        start.copy_from_slice(&ends[i * n..(i + 1) * n]);
        if moves {
            let before = i - 1;
            let (new, old) = (&starts[before * n..i * n], &maps.starts[before * n..i * n]);
            maps.add(before, 1, |j| new[j] - old[j], &mut start);
            if !start.iter().all(|x| x.is_finite()) {
                start.copy_from_slice(&ends[i * n..(i + 1) * n]);
            }
        }
        let own = &mut starts[i * n..(i + 1) * n];
        moves = !tolerance.accepts_state(&start, own, &start);
        if moves {
            own.copy_from_slice(&start);
            moved.push(i);
        }
    }
    moved
}

/// Whether the states of some blocks agree when each component is held against the largest it is at any border.
fn at_rounding<R: Real>(indices: &[usize], starts: &[R], ends: &[R], n: usize, rtol: f64) -> bool {
    let sizes = sizes(ends, n);
    indices.iter().all(|&i| {
        let states = starts[i * n..(i + 1) * n].iter().zip(&ends[i * n..(i + 1) * n]);
        states.zip(&sizes).all(|((a, b), size)| (a.to_f64() - b.to_f64()).abs() <= rtol * size)
    })
}

/// Runs in order what is left: each sequence from its first unsettled block until a block ends where the
/// next one started, then from the next unsettled one.
fn run_rest_in_order<R: Real>(
    run: &mut Run<'_, R>,
    blocks: &[Block],
    starts: &mut [R],
    unsettled: &[usize],
) -> Result<()> {
    let n = run.problem().state_dim();
    let mut waiting = vec![false; blocks.len()];
    for &i in unsettled {
        waiting[i] = true;
    }
    // The next block of each sequence, if one waits.
    let next_waiting = |waiting: &[bool], from: usize, batch: usize| {
        (from..blocks.len()).take_while(|&i| blocks[i].batch == batch).find(|&i| waiting[i])
    };
    let mut front: Vec<usize> = Vec::new();
    for &i in unsettled {
        if front.last().is_none_or(|&last| blocks[last].batch != blocks[i].batch) {
            front.push(i);
        }
    }
    while !front.is_empty() {
        let chosen: Vec<Block> = front.iter().map(|&i| blocks[i]).collect();
        let from = run.stored_starts(&chosen)?;
        run.stages.run_in_order(&chosen, &from)?;
        run.steps_done += chosen.iter().map(|block| block.len).sum::<usize>();
        for (&i, from) in front.iter().zip(from.chunks(n)) {
            starts[i * n..(i + 1) * n].copy_from_slice(from);
            waiting[i] = false;
        }
        let after: Vec<usize> = front
            .iter()
            .map(|&i| i + 1)
            .filter(|&i| i < blocks.len() && follows(blocks, i))
            .collect();
        let successors: Vec<Block> = after.iter().map(|&i| blocks[i]).collect();
        let ends = run.stored_starts(&successors)?;
        let (_, after_starts) = gather(&after, blocks, starts, n);
        let fits = run.fits(&successors, &after_starts, &ends)?;
        for (&i, fits) in after.iter().zip(fits) {
            waiting[i] = !fits;
        }
        front =
            front.iter().filter_map(|&i| next_waiting(&waiting, i + 1, blocks[i].batch)).collect();
    }
    Ok(())
}

fn gather<R: Real>(
    indices: &[usize],
    blocks: &[Block],
    states: &[R],
    n: usize,
) -> (Vec<Block>, Vec<R>) {
    let chosen = indices.iter().map(|&i| blocks[i]).collect();
    let mut gathered = Vec::with_capacity(indices.len() * n);
    for &i in indices {
        gathered.extend_from_slice(&states[i * n..(i + 1) * n]);
    }
    (chosen, gathered)
}

/// Largest difference over the states of some blocks; NaN if one is not finite.
fn largest_distance<R: Real>(indices: &[usize], a: &[R], b: &[R], n: usize) -> f64 {
    indices.iter().fold(0.0, |largest, &i| {
        larger(largest, distance(&a[i * n..(i + 1) * n], &b[i * n..(i + 1) * n]))
    })
}
