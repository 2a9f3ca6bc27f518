//! Cotangents, backwards.

use super::super::tile;
use super::products::{OfStep, Products};
use super::reverse::{Compiled, Interpreted, Reverse};
use super::{FEW, Group, STEPS, Stretch, negligible, settle};
use crate::backend::Swept;
use crate::cells::ByHand;
use crate::cells::by_hand::PulledBack;
use crate::graph::adjoint::{Adjoint, Step};
use crate::scalar::dispatch::Kernel;
use crate::scalar::vector::prefetch;
use crate::scalar::{Isa, Real, Scalar};
use std::marker::PhantomData;

/// One block of a backward sweep.
#[derive(Debug)]
pub(super) struct PullLane<'g, R> {
    pub(super) stretch: Stretch<'g, R>,
    /// Cotangents of the states, `[len, n]`, `[n]` if repeated; empty after the first sweep.
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
    /// Of the program that the sweep runs.
    pub(super) table: &'k [R],
    /// θ
    pub(super) given: &'k [R],
    pub(super) first: bool,
    /// Whether the cotangents of all steps are the same.
    pub(super) repeated: bool,
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
        let (table, params) = (self.table, self.given);
        match &self.adjoint.step {
            Step::Programs(programs) => {
                let program = programs.of_sweep(self.first);
                self.sweep::<I>(Interpreted::<R, I>::new(program, table));
            }
            Step::ByHand(cell) => match *cell {
                ByHand::Gru(cell) => self.sweep::<I>(Compiled { cell, params }),
                ByHand::Elman(cell) => self.sweep::<I>(Compiled { cell, params }),
                ByHand::Lstm(cell) => self.sweep::<I>(Compiled { cell, params }),
                ByHand::Lem(cell) => self.sweep::<I>(Compiled { cell, params }),
                ByHand::DiagonalGru(cell) => self.sweep::<I>(Compiled { cell, params }),
                ByHand::DiagonalLstm(cell) => self.sweep::<I>(Compiled { cell, params }),
            },
        }
    }
}

impl<'k, 'g, R: Real> Pull<'k, 'g, R> {
    #[inline(always)]
    fn sweep<I: Isa>(self, reverse: impl Reverse<R, I>) {
        // Out of line, each way by itself.
        I::enter(Sweep { pull: self, reverse, vectors: PhantomData::<I> });
    }
}

/// A sweep whose steps are gone back over by `B`, on the vectors of `S`.
struct Sweep<'k, 'g, R: Real, S: Isa, B> {
    pull: Pull<'k, 'g, R>,
    reverse: B,
    vectors: PhantomData<S>,
}

impl<'g, R: Real, S: Isa, B: Reverse<R, S>> Kernel for Sweep<'_, 'g, R, S, B> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { pull, mut reverse, .. } = self;
        let Pull { adjoint, first, repeated, record, floor, groups, params, .. } = pull;
        let (n, m) = (adjoint.leaves.state, adjoint.leaves.input);
        let zero = Group::<R, S>::from_f64(0.0);
        let half = Group::<R, S>::from_f64(0.5);
        let mut carry = vec![zero; n];
        // The state after a tile's last step.
        let mut after = vec![zero; n];
        let (mut cotangent, mut next) = (vec![zero; n], vec![zero; n]);
        let mut waiting = vec![zero; n];
        let mut stored_inputs = vec![zero; STEPS * m];
        let mut given = vec![zero; STEPS * n];
        let mut pulled_inputs = vec![zero; STEPS * m];
        let mut products = Products::<R, S>::new(adjoint);
        for lanes in groups.chunks_mut(Group::<R, S>::LANES) {
            products.clear();
            let longest = lanes.iter().map(|lane| lane.stretch.len).max().unwrap_or(0);
            // 1 in the lanes that have no such step.
            let mut still = zero;
            // Those without a block have none at all.
            for lane in lanes.len()..Group::<R, S>::LANES {
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
            if repeated {
                tile::gather(lanes.iter().map(|lane| lane.cotangents), &mut given);
                for s in 1..STEPS {
                    given.copy_within(..n, s * n);
                }
            }
            let last = longest.saturating_sub(1) / STEPS * STEPS;
            let end = last + STEPS - 1;
            let ends = lanes.iter().map(|lane| lane.stretch.rows(lane.stretch.states, end, 1, n));
            tile::gather(ends, &mut after);
            for lo in (0..longest).step_by(STEPS).rev() {
                let steps = STEPS.min(longest - lo);
                if record && !first {
                    // As if nothing decayed within the tile.
                    let mut size = zero;
                    for carry in &carry {
                        size += carry.abs();
                    }
                    let size = size * R::from_f64(STEPS as f64);
                    for (lane, block) in lanes.iter().enumerate() {
                        if alive[lane]
                            && lo < block.stretch.len
                            && negligible(size.lane(lane), block.sizes[lo / STEPS], floor)
                        {
                            alive[lane] = false;
                            for carry in &mut carry {
                                carry.set_lane(lane, R::default());
                            }
                        }
                    }
                    if !alive.contains(&true) {
                        break;
                    }
                }
                let before = |lane: &PullLane<'g, R>, lo: usize| match lo.checked_sub(1) {
                    Some(from) => lane.stretch.rows(lane.stretch.states, from, STEPS, n),
                    None => lane.stretch.rows(lane.stretch.states, 0, STEPS - 1, n),
                };
                let mut factors = products.steps();
                let from = if lo > 0 { 0 } else { n };
                let states = &mut factors.states[from..];
                tile::gather(lanes.iter().map(|lane| before(lane, lo)), states);
                if lo == 0 {
                    for (lane, block) in lanes.iter().enumerate() {
                        for (state, &start) in factors.states.iter_mut().zip(block.stretch.start) {
                            state.set_lane(lane, start);
                        }
                    }
                }
                tile::gather(
                    lanes.iter().map(|lane| lane.stretch.rows(lane.stretch.inputs, lo, STEPS, m)),
                    factors.inputs,
                );
                // The lanes are too many streams for the hardware to look ahead of.
                let soon = lo.saturating_sub(STEPS);
                for lane in &*lanes {
                    prefetch(before(lane, soon));
                    prefetch(lane.stretch.rows(lane.stretch.inputs, soon, STEPS, m));
                    if first && !repeated {
                        prefetch(lane.stretch.rows(lane.cotangents, soon, STEPS, n));
                    }
                }
                let ragged = lanes.len() < Group::<R, S>::LANES
                    || lanes.iter().any(|lane| lane.stretch.len < lo + steps);
                if first && !repeated {
                    if ragged {
                        given.fill(zero);
                    }
                    let rows =
                        lanes.iter().map(|lane| lane.stretch.rows(lane.cotangents, lo, STEPS, n));
                    tile::gather(rows, &mut given);
                }
                let mut size = zero;
                for s in (0..steps).rev() {
                    if first {
                        for i in 0..n {
                            cotangent[i] = carry[i] + given[s * n + i];
                        }
                    } else {
                        cotangent.copy_from_slice(&carry);
                    }
                    if ragged {
                        // Lanes without this step stand still.
                        for (lane, block) in lanes.iter().enumerate() {
                            let over = block.stretch.len <= lo + s;
                            still.set_lane(lane, R::from_f64(f64::from(u8::from(over))));
                        }
                        for cotangent in &mut cotangent {
                            *cotangent = still.select(half, *cotangent, zero);
                        }
                        waiting.copy_from_slice(&carry);
                    }
                    for cotangent in &cotangent {
                        size += cotangent.abs();
                    }
                    let of_input = &mut pulled_inputs[s * m..(s + 1) * m];
                    let OfStep { state, input, factors: lefts } = factors.of(s);
                    let pulled = PulledBack {
                        of_state: &mut carry,
                        of_input: &mut *of_input,
                        lefts: &mut *lefts,
                        next: &mut next,
                    };
                    reverse.run(state, input, &cotangent, pulled);
                    if ragged {
                        // What a block's border was given waits for its last step.
                        for (carry, waiting) in carry.iter_mut().zip(&waiting) {
                            *carry = still.select(half, *carry, *waiting);
                        }
                        for value in of_input.iter_mut().chain(lefts) {
                            *value = still.select(half, *value, zero);
                        }
                    }
                    if first {
                        let stored =
                            if s + 1 < STEPS { factors.of(s + 1).state } else { &after[..] };
                        for (&next, &stored) in next.iter().zip(stored) {
                            let (mut apart, mut size) = (next - stored, stored);
                            if ragged {
                                apart = still.select(half, apart, zero);
                                size = still.select(half, size, zero);
                            }
                            difference += apart.abs();
                            magnitude += size.abs();
                        }
                    }
                }
                after.copy_from_slice(factors.of(0).state);
                if record {
                    products.accumulate(steps);
                }
                if record && m > 0 {
                    let of = |lane: &PullLane<'_, R>| {
                        let to = (lo + STEPS).min(lane.stretch.len) * m;
                        (lo * m).min(to)..to
                    };
                    if !first {
                        let rows = lanes.iter().map(|lane| &lane.inputs[of(lane)]);
                        tile::gather(rows, &mut stored_inputs);
                        for j in 0..steps * m {
                            pulled_inputs[j] += stored_inputs[j];
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
            }
            for (lane, block) in lanes.iter_mut().enumerate() {
                for (carry, border) in carry.iter().zip(block.border.iter_mut()) {
                    *border = carry.lane(lane);
                }
                block.swept.difference += difference.lane(lane).to_f64();
                block.swept.magnitude += magnitude.lane(lane).to_f64();
            }
            if record {
                products.add_to(params);
            }
        }
    }
}
