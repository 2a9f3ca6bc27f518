//! Cotangents, backwards.

use super::super::tile;
use super::{FEW, Group, STEPS, Stretch, settle};
use crate::backend::Swept;
use crate::graph::adjoint::{Adjoint, Tile};
use crate::graph::program::Program;
use crate::scalar::dispatch::Kernel;
use crate::scalar::vector::prefetch;
use crate::scalar::{Isa, Lanes, Real, Scalar};

/// One block of a backward sweep.
#[derive(Debug)]
pub(super) struct PullLane<'g, R> {
    pub(super) stretch: Stretch<'g, R>,
    /// Cotangents of the states, `[len, n]`; empty after the first sweep.
    pub(super) cotangents: &'g [R],
    /// `[len, m]`
    pub(super) inputs: &'g mut [R],
    /// One for each tile.
    pub(super) sizes: &'g mut [R],
    /// From the block after this one; then for the one before it. `[n]`
    pub(super) border: &'g mut [R],
    pub(super) swept: &'g mut Swept,
}

/// Sweeps groups of blocks backwards, one group after the other.
#[doc(hidden)]
#[derive(Debug)]
pub struct Pull<'k, 'g, R: Real> {
    pub(super) adjoint: &'k Adjoint,
    pub(super) program: &'k Program,
    pub(super) table: &'k [R],
    pub(super) first: bool,
    /// Whether more is kept than borders.
    pub(super) record: bool,
    pub(super) floor: R,
    pub(super) groups: &'k mut [PullLane<'g, R>],
    /// Added to, `[p]`.
    pub(super) params: &'k mut [f64],
}

impl<R: Real> Kernel for Pull<'_, '_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        if self.groups.len() <= FEW && Group::<R, I>::LANES > FEW {
            return I::Single::enter(self);
        }
        let Self { adjoint, program, table, first, record, floor, groups, params } = self;
        let (n, m) = (adjoint.leaves.state, adjoint.leaves.input);
        let (lefts, rights) = (adjoint.lefts, adjoint.rights);
        let zero = Group::<R, I>::from_f64(0.0);
        let half = Group::<R, I>::from_f64(0.5);
        let mut slots = program.prepare::<R, I, 2>(table);

        let mut carry = vec![zero; n];
        // The states of a tile's steps; those of the tile before it.
        let (mut now, mut before) = (vec![zero; STEPS * n], vec![zero; STEPS * n]);
        let mut inputs = vec![zero; STEPS * m];
        let mut given = vec![zero; STEPS * n];
        let mut pulled_inputs = vec![zero; STEPS * m];
        let mut factors = Factors::<R, I>::new(lefts + rights + 1);
        let mut sums = vec![[Single::<R, I>::from_f64(0.0); MOST]; 2 * adjoint.tiles.len()];
        for lanes in groups.chunks_mut(Group::<R, I>::LANES) {
            sums.fill([Single::<R, I>::from_f64(0.0); MOST]);
            let longest = lanes.iter().map(|lane| lane.stretch.len).max().unwrap_or(0);
            // 1 in the lanes that have no such step.
            let mut still = zero;
            // Those without a block have none at all.
            for lane in lanes.len()..Group::<R, I>::LANES {
                still.set_lane(lane, R::from_f64(1.0));
            }
            let mut alive = vec![true; lanes.len()];
            let (mut difference, mut magnitude) = (zero, zero);
            carry.fill(zero);
            for (lane, block) in lanes.iter().enumerate() {
                for (carry, &border) in carry.iter_mut().zip(&*block.border) {
                    carry.set_lane(lane, border);
                }
            }
            let last = longest.saturating_sub(1) / STEPS * STEPS;
            tile::gather(
                lanes.iter().map(|lane| lane.stretch.rows(lane.stretch.states, last, n)),
                &mut now,
            );
            for lo in (0..longest).step_by(STEPS).rev() {
                let steps = STEPS.min(longest - lo);
                if lo > 0 {
                    let rows = lanes
                        .iter()
                        .map(|lane| lane.stretch.rows(lane.stretch.states, lo - STEPS, n));
                    tile::gather(rows, &mut before);
                } else {
                    for (lane, block) in lanes.iter().enumerate() {
                        for i in 0..n {
                            before[(STEPS - 1) * n + i].set_lane(lane, block.stretch.start[i]);
                        }
                    }
                }
                tile::gather(
                    lanes.iter().map(|lane| lane.stretch.rows(lane.stretch.inputs, lo, m)),
                    &mut inputs,
                );
                // The lanes are too many streams for the hardware to look ahead of.
                for lane in &*lanes {
                    let rows =
                        |all, width| lane.stretch.rows(all, lo.saturating_sub(2 * STEPS), width);
                    prefetch(rows(lane.stretch.states, n));
                    let rows = |all, width| lane.stretch.rows(all, lo.saturating_sub(STEPS), width);
                    prefetch(rows(lane.stretch.inputs, m));
                    if first {
                        prefetch(rows(lane.cotangents, n));
                    }
                }
                let ragged = lanes.len() < Group::<R, I>::LANES
                    || lanes.iter().any(|lane| lane.stretch.len < lo + steps);
                if first {
                    if ragged {
                        given.fill(zero);
                    }
                    let rows = lanes.iter().map(|lane| lane.stretch.rows(lane.cotangents, lo, n));
                    tile::gather(rows, &mut given);
                }
                let mut size = zero;
                for s in (0..steps).rev() {
                    let state =
                        if s > 0 { &now[(s - 1) * n..s * n] } else { &before[(STEPS - 1) * n..] };
                    slots[program.state()].copy_from_slice(state);
                    slots[program.input()].copy_from_slice(&inputs[s * m..(s + 1) * m]);
                    let seeds = &mut slots[program.seeds()];
                    for i in 0..n {
                        let cotangent = if first { carry[i] + given[s * n + i] } else { carry[i] };
                        seeds[i] = cotangent;
                    }
                    if ragged {
                        // Lanes without this step stand still.
                        for (lane, block) in lanes.iter().enumerate() {
                            let over = block.stretch.len <= lo + s;
                            still.set_lane(lane, R::from_f64(f64::from(u8::from(over))));
                        }
                        for seed in seeds.iter_mut() {
                            *seed = still.select(half, *seed, zero);
                        }
                    }
                    for seed in seeds.iter() {
                        size += seed.abs();
                    }
                    program.run(table, &mut slots);
                    let outputs = program.outputs();
                    if ragged {
                        for &slot in outputs {
                            let value = &mut slots[slot as usize];
                            *value = still.select(half, *value, zero);
                        }
                    }
                    for i in 0..n {
                        let value = slots[outputs[i] as usize];
                        // What a block's border was given waits for its last step.
                        carry[i] = if ragged { still.select(half, value, carry[i]) } else { value };
                    }
                    for j in 0..m {
                        pulled_inputs[s * m + j] = slots[outputs[n + j] as usize];
                    }
                    if record {
                        for (k, &slot) in outputs[n + m..][..lefts + rights].iter().enumerate() {
                            factors.set(s, k, slots[slot as usize]);
                        }
                    }
                    if first {
                        let values = &outputs[n + m + lefts + rights..];
                        for i in 0..n {
                            let stored = now[s * n + i];
                            let mut apart = slots[values[i] as usize] - stored;
                            let mut size = stored;
                            if ragged {
                                apart = still.select(half, apart, zero);
                                size = still.select(half, size, zero);
                            }
                            difference += apart.abs();
                            magnitude += size.abs();
                        }
                    }
                }
                if record {
                    factors.accumulate(adjoint, steps, &mut sums);
                }
                if record && m > 0 {
                    let of = |lane: &PullLane<'_, R>| {
                        let to = (lo + STEPS).min(lane.stretch.len) * m;
                        (lo * m).min(to)..to
                    };
                    if !first {
                        let rows = lanes.iter().map(|lane| &lane.inputs[of(lane)]);
                        tile::gather(rows, &mut inputs);
                        for j in 0..steps * m {
                            pulled_inputs[j] += inputs[j];
                        }
                    }
                    let mut rows: [&mut [R]; tile::MOST_LANES] =
                        std::array::from_fn(|_| &mut [][..]);
                    let count = lanes.len();
                    for (row, lane) in rows.iter_mut().zip(lanes.iter_mut()) {
                        let range = of(lane);
                        *row = &mut lane.inputs[range];
                    }
                    tile::scatter(&pulled_inputs, &mut rows[..count]);
                }
                for (lane, block) in lanes.iter_mut().enumerate() {
                    if !record || !alive[lane] || lo >= block.stretch.len {
                        continue;
                    }
                    let size = size.lane(lane);
                    if settle(size, &mut block.sizes[lo / STEPS], floor, first) {
                        alive[lane] = false;
                        for carry in &mut carry {
                            carry.set_lane(lane, R::default());
                        }
                    }
                }
                if !alive.contains(&true) {
                    break;
                }
                std::mem::swap(&mut now, &mut before);
            }
            for (lane, block) in lanes.iter_mut().enumerate() {
                for (carry, border) in carry.iter().zip(block.border.iter_mut()) {
                    *border = carry.lane(lane);
                }
                block.swept.difference += difference.lane(lane).to_f64();
                block.swept.magnitude += magnitude.lane(lane).to_f64();
            }
            for (tile, sums) in adjoint.tiles.iter().zip(sums.chunks_exact(2)).filter(|_| record) {
                for (k, &param) in tile.params.iter().enumerate() {
                    for half in sums {
                        for lane in 0..Single::<R, I>::LANES {
                            params[param] += half[k].lane(lane).to_f64();
                        }
                    }
                }
            }
        }
    }
}

/// Half of a group: one vector of it.
type Single<R, I> = Lanes<R, I, 1>;

/// Products of a tile.
const MOST: usize = Tile::SIDE * Tile::SIDE;

/// Lefts, rights and 1 at the steps of a tile.
///
/// All of a step's first vectors lie side by side, then its second ones: a half's rights stay in the first-level cache
/// while all lefts go by.
struct Factors<R: Real, I: Isa> {
    count: usize,
    /// Vectors of a step. Odd, so that steps do not compete for the same places in the cache.
    stride: usize,
    all: Vec<Single<R, I>>,
}

impl<R: Real, I: Isa> Factors<R, I> {
    #[inline(always)]
    fn new(count: usize) -> Self {
        let stride = 2 * count + 1;
        Self { count, stride, all: vec![Lanes::from_f64(1.0); STEPS * stride] }
    }

    #[inline(always)]
    fn set(&mut self, step: usize, factor: usize, value: Group<R, I>) {
        for half in 0..2 {
            self.all[step * self.stride + half * self.count + factor] = value.vector(half);
        }
    }

    /// Adds to the sum of each product, of either half, the sum over the first `steps` steps.
    #[inline(always)]
    fn accumulate(&self, adjoint: &Adjoint, steps: usize, sums: &mut [[Single<R, I>; MOST]]) {
        for half in 0..2 {
            for (tile, sums) in adjoint.tiles.iter().zip(sums.chunks_exact_mut(2)) {
                let sums = &mut sums[half];
                let right = adjoint.lefts;
                match (tile.lefts.len(), tile.rights.len()) {
                    // 16 sums need more than 16 registers.
                    (4, 4) if align_of::<Single<R, I>>() >= 64 => {
                        self.add::<4, 4>(tile, 0, right, half, steps, sums);
                    }
                    (4, 4) => {
                        self.add::<4, 2>(tile, 0, right, half, steps, sums);
                        self.add::<4, 2>(tile, 2, right, half, steps, sums);
                    }
                    (4, 2) => self.add::<4, 2>(tile, 0, right, half, steps, sums),
                    (4, _) => self.add::<4, 1>(tile, 0, right, half, steps, sums),
                    (2, 4) => self.add::<2, 4>(tile, 0, right, half, steps, sums),
                    (2, 2) => self.add::<2, 2>(tile, 0, right, half, steps, sums),
                    (2, _) => self.add::<2, 1>(tile, 0, right, half, steps, sums),
                    (_, 4) => self.add::<1, 4>(tile, 0, right, half, steps, sums),
                    (_, 2) => self.add::<1, 2>(tile, 0, right, half, steps, sums),
                    _ => self.add::<1, 1>(tile, 0, right, half, steps, sums),
                }
            }
        }
    }

    /// The products of the `LEFTS` lefts of a tile with its `RIGHTS` rights from `first`; rights are factors from `offset`.
    #[inline(always)]
    fn add<const LEFTS: usize, const RIGHTS: usize>(
        &self,
        tile: &Tile,
        first: usize,
        offset: usize,
        half: usize,
        steps: usize,
        sums: &mut [Single<R, I>; MOST],
    ) {
        let (mut lefts, mut rights) = ([0; LEFTS], [0; RIGHTS]);
        lefts.copy_from_slice(&tile.lefts[..LEFTS]);
        rights.copy_from_slice(&tile.rights[first..][..RIGHTS]);
        let mut totals = [[sums[0]; LEFTS]; RIGHTS];
        for r in 0..RIGHTS {
            for l in 0..LEFTS {
                totals[r][l] = sums[(first + r) * LEFTS + l];
            }
        }
        for rows in self.all.chunks_exact(self.stride).take(steps) {
            let row = &rows[half * self.count..][..self.count];
            let mut left = [row[0]; LEFTS];
            for l in 0..LEFTS {
                left[l] = row[lefts[l]];
            }
            for r in 0..RIGHTS {
                let right = row[offset + rights[r]];
                for l in 0..LEFTS {
                    totals[r][l] = left[l].mul_add(right, totals[r][l]);
                }
            }
        }
        for r in 0..RIGHTS {
            for l in 0..LEFTS {
                sums[(first + r) * LEFTS + l] = totals[r][l];
            }
        }
    }
}
