//! Sweeps of linear recurrences along a trajectory: cotangents backwards, tangents forwards.
//!
//! A block of time is one lane. The derivative of the step is a [`Program`], so that these kernels know nothing of the
//! recurrence and are compiled once. As all is linear, a later sweep runs on the difference that its border makes, adds
//! to what is there, and stops where the difference is lost in rounding.

mod products;
mod pull;
mod push;
mod reverse;

use super::walks::Walks;
use super::{Cpu, tile};
use crate::backend::{
    AdjointForm, Begun, Block, Borders, Collected, Differentiate, Direction, GivenTangents, Path,
    StateCotangents, Swept,
};
use crate::error::Result;
use crate::graph::adjoint::{Adjoint, Step};
use crate::graph::tangent::Tangent;
use crate::scalar::dispatch::dispatch;
use crate::scalar::{InstructionSet, Isa, Lanes, Real, Scalar};
use pull::{Pull, PullLane};
use push::{Push, PushLane};
use std::borrow::Cow;
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
    #[doc(hidden)]
    fn walk<I: Isa>(walk: Walks<'_, '_, Self, I>)
    where
        Self: Real;
}

macro_rules! sweeps {
    ($($real:ty, $walk:ident;)*) => {$(
        impl Sweeps for $real {
            fn pull(set: InstructionSet, pull: Pull<'_, '_, Self>) {
                dispatch(set, pull);
            }
            fn push(set: InstructionSet, push: Push<'_, '_, Self>) {
                dispatch(set, push);
            }
            fn walk<I: Isa>(walk: Walks<'_, '_, Self, I>) {
                I::$walk(walk);
            }
        }
    )*};
}
sweeps!(f32, walk_f32; f64, walk_f64;);

/// The part of a trajectory that one lane runs over.
#[derive(Debug)]
struct Stretch<'g, R> {
    pub(super) len: usize,
    /// The state before it, `[n]`.
    pub(super) start: &'g [R],
    /// `[len, n]`
    pub(super) states: &'g [R],
    /// `[len, m]`
    pub(super) inputs: &'g [R],
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

    /// `count` rows of `width` numbers from `t` on, as far as there are so many.
    fn rows<'r>(&self, all: &'r [R], t: usize, count: usize, width: usize) -> &'r [R] {
        &all[t.min(self.len) * width..(t + count).min(self.len) * width]
    }
}

/// Whether a contribution of this size to a tile, in a later sweep, is lost in rounding beside what is there.
#[inline(always)]
fn negligible<R: Real>(size: R, stored: R, floor: R) -> bool {
    size <= stored * R::from_f64(NEGLIGIBLE) * R::EPSILON || size <= floor
}

/// Notes the size of a tile's contribution; whether, in a later sweep, it is negligible.
#[inline(always)]
fn settle<R: Real>(size: R, stored: &mut R, floor: R, first: bool) -> bool {
    if !first && negligible(size, *stored, floor) {
        return true;
    }
    *stored = if first { size } else { Scalar::max(*stored, size) };
    false
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

/// A trajectory, and what sweeps along it add up.
#[derive(Debug)]
pub struct CpuTrack<'p, R> {
    path: Path<'p, R>,
    sums: Collected<R>,
    /// Size of the derivatives in each tile, `[B, tiles]`.
    sizes: Vec<R>,
    /// Size below which a tile's derivatives count as zero.
    floor: R,
}

impl<'p, R: Real> CpuTrack<'p, R> {
    fn new(path: Path<'p, R>) -> Self {
        let tiles = path.steps.len() * path.max_steps.div_ceil(STEPS);
        let sizes = vec![R::default(); tiles];
        Self { path, sums: Collected::default(), sizes, floor: R::default() }
    }

    /// Where derivatives stand after the first sweep.
    fn begun<'b>(
        &mut self,
        blocks: &'b [Block],
        direction: Direction,
        handed: &[R],
        swept: Vec<Swept>,
    ) -> Begun<'b, R> {
        let mut largest = 0.0f64;
        let mut finite = true;
        for size in &self.sizes {
            largest = largest.max(size.to_f64());
            finite &= size.is_finite();
        }
        // A derivative counts as zero below `ε²` of the largest.
        self.floor = R::from_f64(largest * R::EPSILON.to_f64() * R::EPSILON.to_f64());
        let Path { n, steps, .. } = self.path;
        let borders = Borders::after(blocks, steps.len(), n, direction, handed);
        Begun { borders, swept: swept.into_iter().sum(), finite }
    }
}

impl Cpu {
    /// A sweep backwards: the first with `cotangents` of the states, later ones without.
    fn pull<R: Real>(
        &self,
        track: &mut CpuTrack<'_, R>,
        adjoint: &Adjoint,
        cotangents: Option<StateCotangents<'_, R>>,
        blocks: &[Block],
        borders: &mut [R],
        record: bool,
    ) -> Vec<Swept> {
        /// Numbers that all tasks together may keep of θ's cotangent.
        const MOST: usize = 8 << 20;
        const TASKS: usize = 64;
        let CpuTrack { path, sums, sizes, floor } = track;
        let (path, floor) = (&*path, *floor);
        let Path { n, m, .. } = *path;
        let first = cotangents.is_some();
        let (given, repeated) = match cotangents {
            None => (Cow::default(), false),
            Some(StateCotangents::AllSteps(rows)) => (Cow::Borrowed(rows), true),
            Some(all) => (all.each_step(path), false),
        };
        let table = match &adjoint.step {
            Step::Programs(programs) => programs.of_sweep(first).table(path.params, &[]),
            Step::ByHand(_) => Vec::new(),
        };
        let mut swept = vec![Swept::default(); blocks.len()];
        let tiles = path.max_steps.div_ceil(STEPS);
        let inputs = record.then(|| pieces(&mut sums.rows, blocks, path.max_steps * m, m, 1));
        let mut inputs = inputs.unwrap_or_default().into_iter();
        let sizes = record.then(|| pieces(sizes, blocks, tiles, 1, STEPS));
        let mut sizes = sizes.unwrap_or_default().into_iter();
        let mut lanes: Vec<PullLane<'_, R>> = Vec::with_capacity(blocks.len());
        let rest = borders.chunks_mut(n).zip(&mut swept);
        for (block, (border, swept)) in blocks.iter().zip(rest) {
            let inputs = inputs.next().unwrap_or_default();
            let sizes = sizes.next().unwrap_or_default();
            let cotangents = match (first, repeated) {
                (false, _) => &[],
                (true, true) => &given[block.batch * n..][..n],
                (true, false) => &given[path.place(block) * n..][..block.len * n],
            };
            let stretch = Stretch::of(path, block);
            lanes.push(PullLane { stretch, cotangents, inputs, sizes, border, swept });
        }
        // The tasks follow from the problem alone, as does the order in which they are summed.
        let width = Differentiate::<R>::lanes(self);
        let p = if record { sums.params.len() } else { 0 };
        let groups = blocks.len().div_ceil(width);
        let tasks = groups.min(TASKS).min((MOST / p.max(1)).max(1));
        let span = groups.div_ceil(tasks.max(1)).max(1) * width;
        let jobs: Vec<_> =
            lanes.chunks_mut(span).map(|groups| Mutex::new((groups, vec![0.0; p]))).collect();
        self.each(jobs.len(), &|index| {
            let mut job = jobs[index].lock().unwrap_or_else(PoisonError::into_inner);
            let (groups, params) = &mut *job;
            let pull = Pull {
                adjoint,
                table: &table,
                given: path.params,
                first,
                repeated,
                record,
                floor,
                groups,
                params,
            };
            R::pull(self.instruction_set, pull);
        });
        for job in jobs {
            let (_, params) = job.into_inner().unwrap_or_else(PoisonError::into_inner);
            for (total, params) in sums.params.iter_mut().zip(params) {
                *total += params;
            }
        }
        swept
    }

    /// A sweep forwards: the first with `tangents`, later ones without.
    fn push<R: Real>(
        &self,
        track: &mut CpuTrack<'_, R>,
        tangent: &Tangent,
        tangents: Option<GivenTangents<'_, R>>,
        blocks: &[Block],
        borders: &mut [R],
        record: bool,
    ) -> Vec<Swept> {
        let CpuTrack { path, sums, sizes, floor } = track;
        let (path, floor) = (&*path, *floor);
        let Path { n, m, .. } = *path;
        let first = tangents.is_some();
        let zeros = vec![R::default(); path.params.len()];
        let (of_params, of_inputs) =
            tangents.map_or((&zeros[..], &[][..]), |given| (given.params, given.inputs));
        let program = &tangent.program;
        let table = program.table(path.params, of_params);
        let mut swept = vec![Swept::default(); blocks.len()];
        let tiles = path.max_steps.div_ceil(STEPS);
        let states = record.then(|| pieces(&mut sums.rows, blocks, path.max_steps * n, n, 1));
        let mut states = states.unwrap_or_default().into_iter();
        let sizes = record.then(|| pieces(sizes, blocks, tiles, 1, STEPS));
        let mut sizes = sizes.unwrap_or_default().into_iter();
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
        swept
    }
}

impl<R: Real> Differentiate<R> for Cpu {
    type Track<'p> = CpuTrack<'p, R>;

    fn lanes(&self) -> usize {
        2 * self.vector_width::<R>()
    }

    fn track<'p>(&self, path: Path<'p, R>) -> Result<CpuTrack<'p, R>> {
        Ok(CpuTrack::new(path))
    }

    fn adjoint_form(&self, _: &Path<'_, R>) -> AdjointForm {
        AdjointForm::Program
    }

    fn pull_first<'b>(
        &self,
        track: &mut CpuTrack<'_, R>,
        adjoint: &Adjoint,
        cotangents: StateCotangents<'_, R>,
        blocks: &'b [Block],
    ) -> Result<Begun<'b, R>> {
        let Path { n, m, max_steps, steps, params, .. } = track.path;
        track.sums.rows = vec![R::default(); steps.len() * max_steps * m];
        track.sums.params = vec![0.0; params.len()];
        let mut borders = vec![R::default(); blocks.len() * n];
        let swept = self.pull(track, adjoint, Some(cotangents), blocks, &mut borders, true);
        Ok(track.begun(blocks, Direction::Backwards, &borders, swept))
    }

    fn pull_again(
        &self,
        track: &mut CpuTrack<'_, R>,
        adjoint: &Adjoint,
        blocks: &[Block],
        borders: &mut [R],
        record: bool,
    ) -> Result<()> {
        self.pull(track, adjoint, None, blocks, borders, record);
        Ok(())
    }

    fn push_first<'b>(
        &self,
        track: &mut CpuTrack<'_, R>,
        tangent: &Tangent,
        tangents: GivenTangents<'_, R>,
        blocks: &'b [Block],
    ) -> Result<Begun<'b, R>> {
        let Path { n, max_steps, steps, .. } = track.path;
        track.sums.rows = vec![R::default(); steps.len() * max_steps * n];
        let mut borders = tangents.borders(blocks, n);
        let swept = self.push(track, tangent, Some(tangents), blocks, &mut borders, true);
        Ok(track.begun(blocks, Direction::Forwards, &borders, swept))
    }

    fn push_again(
        &self,
        track: &mut CpuTrack<'_, R>,
        tangent: &Tangent,
        blocks: &[Block],
        borders: &mut [R],
        record: bool,
    ) -> Result<()> {
        self.push(track, tangent, None, blocks, borders, record);
        Ok(())
    }

    fn collect(&self, track: CpuTrack<'_, R>) -> Result<Collected<R>> {
        Ok(track.sums)
    }
}
