//! Sweeps of linear recurrences along a trajectory: cotangents backwards, tangents forwards.
//!
//! A block of time is one lane. The derivative of the step is a [`Program`], so that these kernels know nothing of the
//! recurrence and are compiled once. As all is linear, a later sweep runs on the difference that its border makes, adds
//! to what is there, and stops where the difference is lost in rounding.

use super::Cpu;
use super::tile;
use crate::backend::{Block, Differentiate, Path, Pulled, Pushed, Swept};
use crate::error::Result;
use crate::graph::adjoint::Adjoint;
use crate::graph::program::Program;
use crate::scalar::dispatch::{Kernel, dispatch};
use crate::scalar::{InstructionSet, Isa, Lanes, Real, Scalar};
use std::sync::{Mutex, PoisonError};

/// Steps of a tile.
const STEPS: usize = Swept::TILE;
const _: () = assert!(STEPS == tile::STEPS);

/// A difference this much smaller than what it is added to changes nothing, in units of the precision.
const NEGLIGIBLE: f64 = 0.125;

/// So few blocks are done faster one number at a time than in lanes that are idle.
const FEW: usize = 2;

type Group<R, I> = Lanes<R, I, 2>;

/// Precisions for which the sweeps are compiled. Sealed.
#[doc(hidden)]
pub trait Sweeps: Sized {
    #[doc(hidden)]
    fn pull(set: InstructionSet, pull: Pull<'_, '_, Self>)
    where
        Self: Real;
    #[doc(hidden)]
    fn push(set: InstructionSet, push: Push<'_, '_, Self>)
    where
        Self: Real;
}

macro_rules! sweeps {
    ($($real:ty)*) => {$(
        impl Sweeps for $real {
            fn pull(set: InstructionSet, pull: Pull<'_, '_, Self>) {
                dispatch(set, pull);
            }
            fn push(set: InstructionSet, push: Push<'_, '_, Self>) {
                dispatch(set, push);
            }
        }
    )*};
}
sweeps!(f32 f64);

/// The part of a trajectory that one lane runs over.
#[derive(Debug)]
struct Stretch<'g, R> {
    len: usize,
    /// The state before it, `[n]`.
    start: &'g [R],
    /// `[len, n]`
    states: &'g [R],
    /// `[len, m]`
    inputs: &'g [R],
}

impl<'g, R: Real> Stretch<'g, R> {
    fn of(path: &Path<'g, R>, block: &Block) -> Self {
        let Path { n, m, .. } = *path;
        let from = path.place(block);
        let start = match block.start {
            0 => &path.initial[block.batch * n..][..n],
            _ => &path.states[(from - 1) * n..from * n],
        };
        Self {
            len: block.len,
            start,
            states: &path.states[from * n..(from + block.len) * n],
            inputs: &path.inputs[block.batch][block.start * m..(block.start + block.len) * m],
        }
    }

    fn rows<'r>(&self, all: &'r [R], t: usize, width: usize) -> &'r [R] {
        &all[t.min(self.len) * width..(t + STEPS).min(self.len) * width]
    }
}

/// One block of a backward sweep.
#[derive(Debug)]
struct PullLane<'g, R> {
    stretch: Stretch<'g, R>,
    /// Cotangents of the states, `[len, n]`; empty after the first sweep.
    cotangents: &'g [R],
    /// `[len, m]`
    inputs: &'g mut [R],
    /// One for each tile.
    sizes: &'g mut [R],
    /// From the block after this one; then for the one before it. `[n]`
    border: &'g mut [R],
    swept: &'g mut Swept,
}

/// Sweeps groups of blocks backwards, one group after the other.
#[doc(hidden)]
#[derive(Debug)]
pub struct Pull<'k, 'g, R: Real> {
    adjoint: &'k Adjoint,
    program: &'k Program,
    table: &'k [R],
    first: bool,
    /// Whether more is kept than borders.
    record: bool,
    floor: R,
    groups: &'k mut [PullLane<'g, R>],
    /// Added to, `[p]`.
    params: &'k mut [f64],
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
        let mut slots = program.prepare::<R, I, 2>(table);
        let mut carry = vec![zero; n];
        // The states of a tile's steps; those of the tile before it.
        let (mut now, mut before) = (vec![zero; STEPS * n], vec![zero; STEPS * n]);
        let mut inputs = vec![zero; STEPS * m];
        let mut given = vec![zero; STEPS * n];
        let mut pulled_inputs = vec![zero; STEPS * m];
        // Lefts, rights, ones; of each the steps of a tile.
        let mut factors = vec![Group::<R, I>::from_f64(1.0); (lefts + rights + 1) * STEPS];
        let mut sums = vec![zero; adjoint.products.len()];
        for lanes in groups.chunks_mut(Group::<R, I>::LANES) {
            sums.fill(zero);
            let longest = lanes.iter().map(|lane| lane.stretch.len).max().unwrap_or(0);
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
                let ragged = lanes.iter().any(|lane| lane.stretch.len < lo + steps);
                let short = ragged || lanes.len() < Group::<R, I>::LANES;
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
                    if short {
                        // Lanes without this step stand still.
                        for lane in 0..Group::<R, I>::LANES {
                            if lanes.get(lane).is_none_or(|block| block.stretch.len <= lo + s) {
                                for seed in seeds.iter_mut() {
                                    seed.set_lane(lane, R::default());
                                }
                            }
                        }
                    }
                    for seed in seeds.iter() {
                        size += seed.abs();
                    }
                    program.run(table, &mut slots);
                    let outputs = program.outputs();
                    if short {
                        for lane in 0..Group::<R, I>::LANES {
                            if lanes.get(lane).is_none_or(|block| block.stretch.len <= lo + s) {
                                for &slot in &outputs[..n + m + lefts + rights] {
                                    slots[slot as usize].set_lane(lane, R::default());
                                }
                            }
                        }
                    }
                    for i in 0..n {
                        carry[i] = slots[outputs[i] as usize];
                    }
                    for j in 0..m {
                        pulled_inputs[s * m + j] = slots[outputs[n + j] as usize];
                    }
                    for k in 0..lefts + rights {
                        factors[k * STEPS + s] = slots[outputs[n + m + k] as usize];
                    }
                    if first {
                        let values = &outputs[n + m + lefts + rights..];
                        for i in 0..n {
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
                }
                if record {
                    accumulate(adjoint, &factors, steps, &mut sums);
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
            for (product, sum) in adjoint.products.iter().zip(&sums).filter(|_| record) {
                for lane in 0..Group::<R, I>::LANES {
                    params[product.param] += sum.lane(lane).to_f64();
                }
            }
        }
    }
}

/// Adds to the sum of each product the sum over a tile's first `steps` steps.
#[inline(always)]
fn accumulate<R: Real, I: Isa>(
    adjoint: &Adjoint,
    factors: &[Group<R, I>],
    steps: usize,
    sums: &mut [Group<R, I>],
) {
    let row = |k: usize| &factors[k * STEPS..][..STEPS];
    let (fours, others) = adjoint.products.split_at(4 * adjoint.quads);
    let (sums_of_fours, sums_of_others) = sums.split_at_mut(4 * adjoint.quads);
    for (products, sums) in fours.chunks_exact(4).zip(sums_of_fours.chunks_exact_mut(4)) {
        let left = row(products[0].left);
        let [a, b, c, d] = [
            row(adjoint.lefts + products[0].right),
            row(adjoint.lefts + products[1].right),
            row(adjoint.lefts + products[2].right),
            row(adjoint.lefts + products[3].right),
        ];
        let mut four = [sums[0], sums[1], sums[2], sums[3]];
        for s in 0..steps {
            let left = left[s];
            four[0] = left.mul_add(a[s], four[0]);
            four[1] = left.mul_add(b[s], four[1]);
            four[2] = left.mul_add(c[s], four[2]);
            four[3] = left.mul_add(d[s], four[3]);
        }
        sums.copy_from_slice(&four);
    }
    for (product, sum) in others.iter().zip(sums_of_others) {
        let (left, right) = (row(product.left), row(adjoint.lefts + product.right));
        let mut total = *sum;
        for s in 0..steps {
            total = left[s].mul_add(right[s], total);
        }
        *sum = total;
    }
}

/// Notes the size of a tile's contribution; whether, in a later sweep, it is lost in rounding beside what was there.
#[inline(always)]
fn settle<R: Real>(size: R, stored: &mut R, floor: R, first: bool) -> bool {
    if !first && (size <= *stored * R::from_f64(NEGLIGIBLE) * R::EPSILON || size <= floor) {
        return true;
    }
    *stored = if first { size } else { Scalar::max(*stored, size) };
    false
}

/// One block of a forward sweep.
#[derive(Debug)]
struct PushLane<'g, R> {
    stretch: Stretch<'g, R>,
    /// Tangents of the inputs, `[len, m]`; empty after the first sweep.
    inputs: &'g [R],
    /// Tangents of the states, `[len, n]`.
    states: &'g mut [R],
    /// One for each tile.
    sizes: &'g mut [R],
    /// From the block before this one; then for the one after it. `[n]`
    border: &'g mut [R],
    swept: &'g mut Swept,
}

/// Sweeps one group of blocks forwards.
#[doc(hidden)]
#[derive(Debug)]
pub struct Push<'k, 'g, R: Real> {
    program: &'k Program,
    table: &'k [R],
    dims: (usize, usize),
    first: bool,
    /// Whether more is kept than borders.
    record: bool,
    floor: R,
    lanes: &'k mut [PushLane<'g, R>],
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
            let states = lanes.iter().map(|lane| lane.stretch.rows(lane.stretch.states, lo, n));
            tile::gather(states, &mut now);
            let given_inputs =
                lanes.iter().map(|lane| lane.stretch.rows(lane.stretch.inputs, lo, m));
            tile::gather(given_inputs, &mut inputs);
            if first {
                tile::gather(
                    lanes.iter().map(|lane| lane.stretch.rows(lane.inputs, lo, m)),
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

/// Pieces of `all` for `blocks`, which are in the order of sequences and time, each `unit` entries for every `per` steps
/// (rounded up); a sequence has `stride` entries. None where there is nothing.
fn pieces<'g, R>(
    mut all: &'g mut [R],
    blocks: &[Block],
    stride: usize,
    unit: usize,
    per: usize,
) -> Vec<&'g mut [R]> {
    if all.is_empty() {
        return Vec::new();
    }
    let mut passed = 0;
    let mut pieces = Vec::with_capacity(blocks.len());
    for block in blocks {
        let from = block.batch * stride + block.start / per * unit;
        let len = block.len.div_ceil(per) * unit;
        let (_, rest) = all.split_at_mut(from - passed);
        let (piece, rest) = rest.split_at_mut(len);
        pieces.push(piece);
        all = rest;
        passed = from + len;
    }
    pieces
}

impl<R: Real> Differentiate<R> for Cpu {
    fn lanes(&self) -> usize {
        2 * self.vector_width::<R>()
    }

    fn pull(
        &self,
        path: &Path<'_, R>,
        adjoint: &Adjoint,
        cotangents: Option<&[R]>,
        blocks: &[Block],
        borders: &mut [R],
        pulled: Option<&mut Pulled<R>>,
    ) -> Result<Vec<Swept>> {
        /// Numbers that all tasks together may keep of θ's cotangent.
        const MOST: usize = 8 << 20;
        const TASKS: usize = 64;
        let Path { n, m, .. } = *path;
        let first = cotangents.is_some();
        let program = if first { &adjoint.checking } else { &adjoint.program };
        let table = program.table(path.params, &[]);
        let mut swept = vec![Swept::default(); blocks.len()];
        let tiles = path.max_steps.div_ceil(STEPS);
        let record = pulled.is_some();
        let mut nothing = Pulled::default();
        let pulled = pulled.unwrap_or(&mut nothing);
        let mut inputs = pieces(&mut pulled.inputs, blocks, path.max_steps * m, m, 1).into_iter();
        let mut sizes = pieces(&mut pulled.sizes, blocks, tiles, 1, STEPS).into_iter();
        let mut lanes: Vec<PullLane<'_, R>> = Vec::with_capacity(blocks.len());
        let rest = borders.chunks_mut(n).zip(&mut swept);
        for (block, (border, swept)) in blocks.iter().zip(rest) {
            let inputs = inputs.next().unwrap_or_default();
            let sizes = sizes.next().unwrap_or_default();
            let from = path.place(block);
            let cotangents =
                cotangents.map_or(&[][..], |all| &all[from * n..(from + block.len) * n]);
            let stretch = Stretch::of(path, block);
            lanes.push(PullLane { stretch, cotangents, inputs, sizes, border, swept });
        }
        // The tasks follow from the problem alone, as does the order in which they are summed.
        let width = Differentiate::<R>::lanes(self);
        let p = pulled.params.len();
        let groups = blocks.len().div_ceil(width);
        let tasks = groups.min(TASKS).min((MOST / p.max(1)).max(1));
        let span = groups.div_ceil(tasks.max(1)).max(1) * width;
        let floor = pulled.floor;
        let jobs: Vec<_> =
            lanes.chunks_mut(span).map(|groups| Mutex::new((groups, vec![0.0; p]))).collect();
        self.each(jobs.len(), &|index| {
            let mut job = jobs[index].lock().unwrap_or_else(PoisonError::into_inner);
            let (groups, params) = &mut *job;
            let pull =
                Pull { adjoint, program, table: &table, first, record, floor, groups, params };
            R::pull(self.instruction_set, pull);
        });
        for job in jobs {
            let (_, params) = job.into_inner().unwrap_or_else(PoisonError::into_inner);
            for (total, params) in pulled.params.iter_mut().zip(params) {
                *total += params;
            }
        }
        Ok(swept)
    }

    fn push(
        &self,
        path: &Path<'_, R>,
        program: &Program,
        tangents: Option<(&[R], &[&[R]])>,
        blocks: &[Block],
        borders: &mut [R],
        pushed: Option<&mut Pushed<R>>,
    ) -> Result<Vec<Swept>> {
        let Path { n, m, .. } = *path;
        let first = tangents.is_some();
        let zeros = vec![R::default(); path.params.len()];
        let (of_params, of_inputs) = tangents.unwrap_or((&zeros, &[]));
        let table = program.table(path.params, of_params);
        let mut swept = vec![Swept::default(); blocks.len()];
        let tiles = path.max_steps.div_ceil(STEPS);
        let record = pushed.is_some();
        let mut nothing = Pushed::default();
        let pushed = pushed.unwrap_or(&mut nothing);
        let mut states = pieces(&mut pushed.states, blocks, path.max_steps * n, n, 1).into_iter();
        let mut sizes = pieces(&mut pushed.sizes, blocks, tiles, 1, STEPS).into_iter();
        let mut lanes: Vec<PushLane<'_, R>> = Vec::with_capacity(blocks.len());
        let rest = borders.chunks_mut(n).zip(&mut swept);
        for (block, (border, swept)) in blocks.iter().zip(rest) {
            let states = states.next().unwrap_or_default();
            let sizes = sizes.next().unwrap_or_default();
            let inputs = of_inputs
                .get(block.batch)
                .map_or(&[][..], |all| &all[block.start * m..(block.start + block.len) * m]);
            let stretch = Stretch::of(path, block);
            lanes.push(PushLane { stretch, inputs, states, sizes, border, swept });
        }
        let width = Differentiate::<R>::lanes(self);
        let floor = pushed.floor;
        let jobs: Vec<_> = lanes.chunks_mut(width).map(Mutex::new).collect();
        self.each(jobs.len(), &|index| {
            let mut lanes = jobs[index].lock().unwrap_or_else(PoisonError::into_inner);
            let push = Push {
                program,
                table: &table,
                dims: (n, m),
                first,
                record,
                floor,
                lanes: &mut lanes,
            };
            R::push(self.instruction_set, push);
        });
        drop(jobs);
        drop(lanes);
        Ok(swept)
    }
}
