//! What a coarser grid tells of the blocks: where they start, and how their ends depend on that.
//!
//! A discretised equation can be run with longer steps, a few to each block. The coarsest grid gives the states `s_b` before the
//! blocks and Jacobians `M̃_b` of the blocks' maps. Sweeps over the blocks then need values alone,
//!
//! ```text
//! s⁺_{b+1} = e_b + M̃_b (s⁺_b − s_b),
//! ```
//!
//! first on finer grids, one each, for as long as that is cheap and can save a sweep of the problem itself, then of the problem. They
//! converge at the rate of the difference between the two grids (parareal with exact tangents of the coarse
//! propagator; Gander & Vandewalle 2007, SIAM J. Sci. Comput. 29).

use super::auto::TANGENT;
use super::jacobi::move_starts;
use super::maps::Maps;
use super::run::Run;
use super::stages::{Coarser, Stages};
use super::{Linearization, Solver};
use crate::backend::{Block, Cost, LinearizeSettings};
use crate::error::Result;
use crate::scalar::Real;
use ndarray::Array2;
use std::sync::{Mutex, PoisonError};

/// Cost of both grids and of the Jacobians, as a share of the loop's.
const SHARE: f64 = 0.12;
/// Cycles of a loop below which the grids cost more than such a share, for all that is done once.
pub(super) const LEAST: f64 = 3e6;
/// Steps of the problem in a block, where it is long enough: a coarse grid with few steps to a block must be cheap.
const BLOCK: usize = 512;
/// Blocks that are enough for lanes and threads: of more steps the blocks are longer instead, since grids cost by the block.
const BLOCKS: usize = 512;
/// About as many steps of a block at most.
const LONGEST: usize = 2048;
/// Steps of the coarser grid in a block.
pub(super) const FEWEST: usize = 2;
const MOST: usize = 8;
/// How many times as many the next one has.
const FINER: usize = 4;
/// Cost of a finer grid, as a share of the sweep which it may save.
const CHEAP: f64 = 0.5;

/// Difference between two grids beyond which explicit steps are not trusted.
const ALIKE: f64 = 1e-3;
/// Growth beyond which the coarse run is another trajectory.
pub(super) const GROWTH: f64 = 1e5;

/// The blocks of a problem as the coarser grid has them.
pub(super) struct Coarse<R> {
    /// The state before each block, `[blocks, n]`.
    pub(super) starts: Vec<R>,
    pub(super) maps: Maps<R>,
    /// How much larger than what each block adds a difference becomes, components against their size.
    pub(super) growth: f64,
    /// Largest difference between two coarse grids, components against their size.
    pub(super) difference: f64,
    /// What is left of it in the finer one.
    pub(super) error: f64,
}

impl<R: Real> Coarse<R> {
    /// Sweeps once over the blocks on a grid of at most `steps` steps each, twice or thrice if much changes, and moves their
    /// starts; returns by how much at first, components against their size.
    fn refine(
        &mut self,
        run: &Run<'_, R>,
        finer: &dyn Coarser<R>,
        blocks: &[Block],
        steps: usize,
    ) -> Result<f64> {
        /// Sweeps at most.
        const MOST: usize = 3;
        /// A change that leaves next to nothing to the next sweep.
        const SMALL: f64 = 1e-6;
        let n = run.problem().state_dim();
        let grid = Grid::new(run, finer, blocks, steps);
        let mut stages = grid.stages()?;
        let all: Vec<usize> = (0..blocks.len()).collect();
        let (mut ends, mut first) = (vec![R::default(); blocks.len() * n], None);
        for _ in 0..MOST {
            stages.roll(&grid.pieces, &self.starts, None)?;
            stages.read_starts(&grid.pieces, &mut ends)?;
            let before = self.starts.clone();
            let (maps, starts) = (&mut self.maps, &mut self.starts);
            move_starts(blocks, maps, starts, &ends, &all, run.tolerance);
            let change = largest_difference(&before, &self.starts, n);
            first = first.or(Some(change));
            if change <= SMALL || !change.is_finite() {
                break;
            }
        }
        Ok(first.unwrap_or_default())
    }

    /// Blocks after which a difference has become a share `rtol` of itself, at the pace that its `growth` tells: what every block
    /// adds to and multiplies by `c` grows to `1 / (1 − c)`.
    pub(super) fn memory(&self, rtol: f64) -> f64 {
        let kept = 1.0 - 1.0 / self.growth.max(1.0);
        if kept > 0.0 { rtol.ln() / kept.ln() } else { 0.0 }
    }
}

/// The recurrence on a coarser grid, with its inputs for each sequence, and which steps make a block.
struct Grid<'c, R> {
    coarser: &'c dyn Coarser<R>,
    inputs: Vec<Array2<R>>,
    pieces: Vec<Block>,
}

impl<'c, R: Real> Grid<'c, R> {
    /// With at most `steps` steps to each of `blocks`.
    fn new(run: &Run<'_, R>, coarser: &'c dyn Coarser<R>, blocks: &[Block], steps: usize) -> Self {
        /// Blocks of a task.
        const BLOCKS: usize = 64;
        let problem = run.problem();
        let (from, m) = (problem.input_dim(), coarser.input_dim());
        let mut lengths = vec![0; problem.batch_size()];
        let mut pieces = Vec::with_capacity(blocks.len());
        for &Block { batch, len, .. } in blocks {
            // The last block of a sequence may be shorter than the others.
            let len = steps.min(len);
            pieces.push(Block { batch, start: lengths[batch], len });
            lengths[batch] += len;
        }
        let mut inputs: Vec<_> = lengths.iter().map(|&len| Array2::default((len, m))).collect();
        let mut rest: Vec<_> =
            inputs.iter_mut().map(|own| own.as_slice_mut().unwrap_or_default()).collect();
        let mut targets: Vec<_> = (pieces.iter())
            .map(|piece| rest[piece.batch].split_off_mut(..piece.len * m).unwrap_or_default())
            .collect();
        let tasks: Vec<_> = targets.chunks_mut(BLOCKS).map(Mutex::new).collect();
        coarser.each_here(tasks.len(), &|task| {
            let mut own = tasks[task].lock().unwrap_or_else(PoisonError::into_inner);
            for (i, coarse) in (task * BLOCKS..).zip(own.iter_mut()) {
                let Block { batch, start, len } = blocks[i];
                let fine = &problem.inputs(batch)[start * from..][..len * from];
                coarser.coarsen(fine, pieces[i].len, coarse);
            }
        });
        Self { coarser, inputs, pieces }
    }

    /// Solves it, perhaps by a grid that is coarser still; the state before each of the blocks, of `n` components, and what solved it.
    fn run(&self, n: usize) -> Result<(Vec<R>, Box<dyn Stages<R> + 'c>)> {
        let settings = Solver::auto();
        let mut stages = self.stages()?;
        super::auto::solve(&mut Run::new(&settings, &mut *stages))?;
        let mut starts = vec![R::default(); self.pieces.len() * n];
        stages.read_starts(&self.pieces, &mut starts)?;
        Ok((starts, stages))
    }

    /// Whether steps are too long to be explicit, if they are, at any of `places`, sequence and step, whose states are `states` `[.., n]`.
    fn is_strained(
        &self,
        places: impl Iterator<Item = (usize, usize)>,
        states: &[R],
        n: usize,
    ) -> bool {
        /// Beyond this, what should fade in a step does not.
        const MOST: f64 = 1.0;
        let m = self.coarser.input_dim();
        let sizes = sizes(states, n);
        !places.zip(states.chunks_exact(n)).all(|((batch, step), x)| {
            // A sequence may be of no steps.
            let inputs = self.inputs[batch].as_slice().unwrap_or_default();
            let u = inputs.get(step * m..(step + 1) * m);
            u.is_none_or(|u| self.coarser.strain(x, u, &sizes) <= MOST)
        })
    }

    fn stages(&self) -> Result<Box<dyn Stages<R> + 'c>> {
        self.coarser.stages(self.inputs.clone())
    }
}

/// Steps of the problem in a block.
pub(super) fn block<R: Real>(run: &Run<'_, R>) -> usize {
    run.block_of((run.problem().total_steps() / BLOCKS).clamp(BLOCK, LONGEST))
}

/// Steps of a coarser grid to each block that cost a share of the loop, and no more than may be: `coarse` is the cost of such a step, `own` that
/// of one of the problem, `n` components to a state, `longest` of them in a block.
fn affordable(coarse: &Cost, own: &Cost, n: usize, longest: usize) -> usize {
    let derivatives = 1.0 + TANGENT * n as f64;
    let each = coarse.in_order + coarse.in_blocks * (FINER as f64 + derivatives);
    ((SHARE * longest as f64 * own.in_order / each) as usize).min(MOST)
}

/// Runs `blocks` on a coarser grid, by explicit steps where these do; none where the recurrence has no such grid, where that costs too much unless
/// `at_any_cost`, or where what comes is not finite.
pub(super) fn run<R: Real>(
    run: &mut Run<'_, R>,
    blocks: &[Block],
    at_any_cost: bool,
) -> Result<Option<Coarse<R>>> {
    let attempt = |explicit: bool| match run.stages.coarser(explicit) {
        Some((coarser, order)) => attempt(run, blocks, &*coarser, order, at_any_cost),
        None => Ok(None),
    };
    let coarse = match attempt(true)?.filter(|coarse| coarse.difference <= ALIKE) {
        None => attempt(false)?,
        found => found,
    };
    let Some(mut coarse) = coarse else { return Ok(None) };
    if run.problem().guess().is_some() && coarse.growth <= GROWTH {
        let (guess, residual) = guess(run, blocks)?;
        // Residuals add up at worst.
        let error = residual * run.problem().max_steps() as f64;
        if residual <= run.tolerance.rtol || error <= coarse.error {
            coarse.starts = guess;
        }
    }
    Ok(Some(coarse))
}

/// Runs `blocks` on a grid of the steps of `coarser`, whose error is of this `order`.
fn attempt<R: Real>(
    run: &Run<'_, R>,
    blocks: &[Block],
    coarser: &dyn Coarser<R>,
    order: u32,
    at_any_cost: bool,
) -> Result<Option<Coarse<R>>> {
    let n = run.problem().state_dim();
    let (cost, own) = (coarser.cost()?, run.stages.cost());
    let longest = blocks.iter().map(|block| block.len).max().unwrap_or(0);
    let mut steps = affordable(&cost, &own, n, longest);
    if at_any_cost {
        steps = steps.max(FEWEST);
    }
    if steps < FEWEST {
        return Ok(None);
    }
    let grid = Grid::new(run, coarser, blocks, steps);
    let first = (0..run.problem().batch_size()).map(|b| (b, 0));
    if grid.is_strained(first, run.problem().initial_states(), n) {
        return Ok(None);
    }
    let (rough, mut stages) = grid.run(n)?;
    let finite = |values: &[R]| values.iter().all(|x| x.is_finite());
    let places = grid.pieces.iter().map(|piece| (piece.batch, piece.start));
    if !finite(&rough) || grid.is_strained(places, &rough, n) {
        return Ok(None);
    }
    let settings = LinearizeSettings {
        block: steps,
        linearization: Linearization::Full,
        factor: 1.0,
        tolerance: run.tolerance,
    };
    let structure = stages.structure();
    let mut maps = Maps::zeros(Some(structure), 1.0, blocks.len(), n);
    stages.linearize(&grid.pieces, &settings, &mut maps.starts, &mut maps.ends, &mut maps.maps)?;
    if !finite(&maps.ends) || !finite(&maps.maps) {
        return Ok(None);
    }
    let growth = growth(blocks, &maps, n);
    let mut coarse = Coarse { starts: rough, maps, growth, difference: 0.0, error: 0.0 };
    if growth > GROWTH {
        return Ok(Some(coarse));
    }
    let dearer = cost.in_blocks / own.in_blocks;
    let mut factor = FINER;
    let mut finer = steps;
    loop {
        finer *= factor;
        let change = coarse.refine(run, coarser, blocks, finer)?;
        if !finite(&coarse.starts) {
            return Ok(None);
        }
        if coarse.difference == 0.0 {
            (coarse.difference, coarse.error) = (change, change);
        }
        coarse.error /= (factor as f64).powi(order as i32);
        // Another, if it costs less than the sweep which it saves. Not a number where nothing is wrong and nothing may be.
        let wanted = (coarse.error / run.tolerance.rtol).powf(1.0 / f64::from(order)).ceil();
        let most = CHEAP * longest as f64 / (finer as f64 * dearer);
        if !(2.0..=most).contains(&wanted) {
            return Ok(Some(coarse));
        }
        factor = wanted as usize;
    }
}

/// The user's guess of the state before each block, and the largest residual at the first step of a block, components against
/// their size.
fn guess<R: Real>(run: &mut Run<'_, R>, blocks: &[Block]) -> Result<(Vec<R>, f64)> {
    let starts = run.guessed_starts(blocks)?;
    let first: Vec<_> = blocks.iter().map(|block| Block { len: 1, ..*block }).collect();
    // What comes before these is the state after the first step.
    let second: Vec<_> =
        first.iter().map(|block| Block { start: block.start + 1, ..*block }).collect();
    let guessed = run.stored_starts(&second)?;
    run.stages.roll(&first, &starts, None)?;
    let rolled = run.stored_starts(&second)?;
    Ok((starts, largest_difference(&guessed, &rolled, run.problem().state_dim())))
}

/// Largest difference of states `[.., n]`, components against their size; NaN if one is not finite.
fn largest_difference<R: Real>(a: &[R], b: &[R], n: usize) -> f64 {
    let sizes = sizes(b, n);
    a.iter().zip(b).enumerate().fold(0.0f64, |largest, (i, (a, b))| {
        super::larger(largest, (a.to_f64() - b.to_f64()).abs() / sizes[i % n])
    })
}

/// Follows a difference of random sign and the size of the state that every block adds to, and takes the largest that
/// it becomes.
fn growth<R: Real>(blocks: &[Block], maps: &Maps<R>, n: usize) -> f64 {
    let sizes = sizes(&maps.starts, n);
    let (mut change, mut next) = (vec![R::default(); n], vec![R::default(); n]);
    let mut largest = 0.0f64;
    // Signs by a linear congruence.
    let mut state = 1u64;
    for (i, block) in blocks.iter().enumerate() {
        if block.start == 0 {
            change.fill(R::default());
        }
        for (change, &size) in change.iter_mut().zip(&sizes) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let sign = if state >> 63 == 0 { 1.0 } else { -1.0 };
            *change += R::from_f64(sign * size);
        }
        next.fill(R::default());
        maps.add(i, 1, |component| change[component], &mut next);
        std::mem::swap(&mut change, &mut next);
        for (change, size) in change.iter().zip(&sizes) {
            largest = super::larger(largest, change.to_f64().abs() / size);
        }
    }
    largest
}

/// The largest magnitude of each component over states `[.., n]`.
pub(super) fn sizes<R: Real>(states: &[R], n: usize) -> Vec<f64> {
    let mut sizes = vec![f64::MIN_POSITIVE; n];
    for state in states.chunks_exact(n) {
        for (size, x) in sizes.iter_mut().zip(state) {
            *size = size.max(x.to_f64().abs());
        }
    }
    sizes
}
