//! Tangents, forwards.

use super::super::tile;
use super::{FEW, Group, STEPS, Stretch, settle};
use crate::backend::Swept;
use crate::graph::program::Program;
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Isa, Real, Scalar};

/// One block of a forward sweep.
#[derive(Debug)]
pub(super) struct PushLane<'g, R> {
    pub(super) stretch: Stretch<'g, R>,
    /// Tangents of the inputs, `[len, m]`; empty after the first sweep.
    pub(super) inputs: &'g [R],
    /// Tangents of the states, `[len, n]`.
    pub(super) states: &'g mut [R],
    /// One for each tile.
    pub(super) sizes: &'g mut [R],
    /// From the block before this one; then for the one after it. `[n]`
    pub(super) border: &'g mut [R],
    pub(super) swept: &'g mut Swept,
}

/// Sweeps one group of blocks forwards.
#[doc(hidden)]
#[derive(Debug)]
pub struct Push<'k, 'g, R: Real> {
    pub(super) program: &'k Program,
    pub(super) table: &'k [R],
    pub(super) dims: (usize, usize),
    pub(super) first: bool,
    /// Whether more is kept than borders.
    pub(super) record: bool,
    pub(super) floor: R,
    pub(super) lanes: &'k mut [PushLane<'g, R>],
}

impl<R: Real> Kernel for Push<'_, '_, R> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        if self.lanes.len() <= FEW && Group::<R, I>::LANES > FEW {
            return I::Single::enter(self);
        }
        let Self { program, table, dims: (n, m), first, record, floor, lanes } = self;
        let zero = Group::<R, I>::from_f64(0.0);
        let mut slots = program.prepare::<R, I, 2>(table);
        let mut carry = vec![zero; n];
        let mut start = vec![zero; n];
        let mut now = vec![zero; STEPS * n];
        let mut inputs = vec![zero; STEPS * m];
        let mut given = vec![zero; STEPS * m];
        let mut pushed = vec![zero; STEPS * n];
        let mut stored = vec![zero; STEPS * n];
        let longest = lanes.iter().map(|lane| lane.stretch.len).max().unwrap_or(0);
        let mut alive = vec![true; lanes.len()];
        let (mut difference, mut magnitude) = (zero, zero);
        for (lane, block) in lanes.iter().enumerate() {
            for i in 0..n {
                carry[i].set_lane(lane, block.border[i]);
                start[i].set_lane(lane, block.stretch.start[i]);
            }
        }
        for lo in (0..longest).step_by(STEPS) {
            let steps = STEPS.min(longest - lo);
            let states =
                lanes.iter().map(|lane| lane.stretch.rows(lane.stretch.states, lo, STEPS, n));
            tile::gather(states, &mut now);
            let given_inputs =
                lanes.iter().map(|lane| lane.stretch.rows(lane.stretch.inputs, lo, STEPS, m));
            tile::gather(given_inputs, &mut inputs);
            if first {
                tile::gather(
                    lanes.iter().map(|lane| lane.stretch.rows(lane.inputs, lo, STEPS, m)),
                    &mut given,
                );
            }
            let ragged = lanes.iter().any(|lane| lane.stretch.len < lo + steps);
            let mut size = zero;
            for s in 0..steps {
                let state = if s > 0 { &now[(s - 1) * n..s * n] } else { &start[..] };
                slots[program.state()].copy_from_slice(state);
                slots[program.input()].copy_from_slice(&inputs[s * m..(s + 1) * m]);
                let seeds = &mut slots[program.seeds()];
                seeds[..n].copy_from_slice(&carry);
                seeds[n..].copy_from_slice(&given[s * m..(s + 1) * m]);
                program.run(table, &mut slots);
                let (values, tangents) = program.outputs().split_at(n);
                for i in 0..n {
                    carry[i] = slots[tangents[i] as usize];
                    pushed[s * n + i] = carry[i];
                    size += carry[i].abs();
                    if first {
                        let stored = now[s * n + i];
                        let (mut apart, mut size) =
                            ((slots[values[i] as usize] - stored).abs(), stored.abs());
                        if ragged {
                            for (lane, block) in lanes.iter().enumerate() {
                                if block.stretch.len <= lo + s {
                                    apart.set_lane(lane, R::default());
                                    size.set_lane(lane, R::default());
                                }
                            }
                        }
                        difference += apart;
                        magnitude += size;
                    }
                }
                for (lane, block) in lanes.iter_mut().enumerate() {
                    if lo + s + 1 == block.stretch.len && alive[lane] {
                        for (carry, border) in carry.iter().zip(block.border.iter_mut()) {
                            *border = carry.lane(lane);
                        }
                    }
                }
            }
            start.copy_from_slice(&now[(STEPS - 1) * n..]);
            let of = |lane: &PushLane<'_, R>| {
                let to = (lo + STEPS).min(lane.stretch.len) * n;
                (lo * n).min(to)..to
            };
            if !record {
                continue;
            }
            if !first {
                tile::gather(lanes.iter().map(|lane| &lane.states[of(lane)]), &mut stored);
                for i in 0..steps * n {
                    pushed[i] += stored[i];
                }
            }
            let mut rows: [&mut [R]; tile::MOST_LANES] = std::array::from_fn(|_| &mut [][..]);
            let count = lanes.len();
            for (row, lane) in rows.iter_mut().zip(lanes.iter_mut()) {
                let range = of(lane);
                *row = &mut lane.states[range];
            }
            tile::scatter(&pushed, &mut rows[..count]);
            for (lane, block) in lanes.iter_mut().enumerate() {
                if !alive[lane] || lo >= block.stretch.len {
                    continue;
                }
                if settle(size.lane(lane), &mut block.sizes[lo / STEPS], floor, first) {
                    alive[lane] = false;
                    block.border.fill(R::default());
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
            block.swept.difference += difference.lane(lane).to_f64();
            block.swept.magnitude += magnitude.lane(lane).to_f64();
        }
    }
}
