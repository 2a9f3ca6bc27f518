//! Trajectories in memory.

use super::group::Lane;
use super::{Cpu, memory};
use crate::backend::Block;
use crate::error::{Error, Result};
use crate::scalar::{Real, Scalar};
use crate::sequences::{Sequences, first_non_finite};
use crate::solver::Tolerance;
use crate::solver::blocks::partition;
use ndarray::{Array3, ArrayView3};
use std::sync::atomic::{AtomicUsize, Ordering};

/// States `[B, T, n]` in memory.
#[derive(Debug)]
pub struct CpuTrajectory<R> {
    states: Vec<R>,
    batch: usize,
    max_steps: usize,
    n: usize,
}

impl<R: Real> CpuTrajectory<R> {
    /// Of the problem's guess, or zeros.
    pub(super) fn new(cpu: &Cpu, problem: &Sequences<'_, R>) -> Self {
        let (batch, max_steps, n) =
            (problem.batch_size(), problem.max_steps(), problem.state_dim());
        let mut states: Vec<_> = match problem.guess() {
            Some(guess) => guess.iter().copied().collect(),
            None => memory::zeros(cpu, batch * max_steps * n),
        };
        for b in 0..batch {
            states[(b * max_steps + problem.steps(b)) * n..(b + 1) * max_steps * n]
                .fill(R::default());
        }
        Self { states, batch, max_steps, n }
    }

    /// Of the states `[B, T, n]`.
    pub(super) fn of(states: ArrayView3<'_, R>) -> Self {
        let (batch, max_steps, n) = states.dim();
        Self { states: states.iter().copied().collect(), batch, max_steps, n }
    }

    /// Length of a state.
    pub(super) fn state_dim(&self) -> usize {
        self.n
    }

    /// Where the state before `block` is stored; none at a sequence's start.
    fn before(&self, block: &Block) -> Option<std::ops::Range<usize>> {
        let end = (block.batch * self.max_steps + block.start) * self.n;
        (block.start > 0).then(|| end - self.n..end)
    }

    pub(super) fn read_starts(
        &self,
        problem: &Sequences<'_, R>,
        blocks: &[Block],
        states: &mut [R],
    ) {
        let initial = problem.initial_states();
        for (block, state) in blocks.iter().zip(states.chunks_exact_mut(self.n)) {
            state.copy_from_slice(match self.before(block) {
                Some(stored) => &self.states[stored],
                None => &initial[block.batch * self.n..][..self.n],
            });
        }
    }

    pub(super) fn read_sizes(&self, blocks: &[Block], sizes: &mut [R]) {
        let n = self.n;
        for (block, sizes) in blocks.iter().zip(sizes.chunks_exact_mut(n)) {
            sizes.fill(R::default());
            let end = (block.batch * self.max_steps + block.start) * n;
            let steps = block.start.min(Tolerance::SIZE_STEPS);
            for state in self.states[end - steps * n..end].chunks_exact(n) {
                for (size, &x) in sizes.iter_mut().zip(state) {
                    *size = Scalar::max(*size, Scalar::abs(x));
                }
            }
        }
    }

    pub(super) fn write_starts(&mut self, blocks: &[Block], states: &[R]) {
        for (block, state) in blocks.iter().zip(states.chunks_exact(self.n)) {
            if let Some(stored) = self.before(block) {
                self.states[stored].copy_from_slice(state);
            }
        }
    }

    /// Copies the sequence `batch` to another trajectory of the same shape.
    pub(super) fn copy_to(&self, other: &mut Self, batch: usize) {
        let len = self.max_steps * self.n;
        let states = batch * len..(batch + 1) * len;
        other.states[states.clone()].copy_from_slice(&self.states[states]);
    }

    /// A lane for each of `blocks`, which are in the order of sequences and time, with the states before them in
    /// `starts` `[blocks, n]`.
    pub(super) fn lanes<'g>(
        &'g mut self,
        problem: &'g Sequences<'_, R>,
        blocks: &[Block],
        starts: &'g [R],
    ) -> Vec<Lane<'g, R>> {
        let (n, m) = (self.n, problem.input_dim());
        let stride = self.max_steps * n;
        let mut rest = self.states.as_mut_slice();
        let mut passed = 0;
        let mut lanes = Vec::with_capacity(blocks.len());
        for (block, start) in blocks.iter().zip(starts.chunks_exact(n)) {
            let from = block.batch * stride + block.start * n;
            let (_, tail) = rest.split_at_mut(from - passed);
            let (states, tail) = tail.split_at_mut(block.len * n);
            rest = tail;
            passed = from + block.len * n;
            let end = block.start + block.len;
            lanes.push(Lane {
                len: block.len,
                start,
                inputs: &problem.inputs(block.batch)[block.start * m..end * m],
                states,
                last: end == problem.steps(block.batch),
            });
        }
        lanes
    }

    pub(super) fn first_non_finite(
        &self,
        cpu: &Cpu,
        problem: &Sequences<'_, R>,
    ) -> Vec<Option<usize>> {
        /// Steps that one task looks at, times the size of a state.
        const PIECE: usize = 1 << 16;
        let n = self.n;
        let blocks = partition(problem, (PIECE / n.max(1)).max(1));
        let first: Vec<_> = (0..self.batch).map(|_| AtomicUsize::new(usize::MAX)).collect();
        cpu.each(blocks.len(), &|index| {
            let Block { batch, start, len } = blocks[index];
            let from = (batch * self.max_steps + start) * n;
            if let Some(entry) = first_non_finite(&self.states[from..from + len * n]) {
                first[batch].fetch_min(start + entry / n, Ordering::Relaxed);
            }
        });
        let found = |t: &AtomicUsize| Some(t.load(Ordering::Relaxed)).filter(|&t| t < usize::MAX);
        first.iter().map(found).collect()
    }

    /// The states `[B, T, n]`.
    pub(super) fn into_states(self) -> Result<Array3<R>> {
        let Self { states, batch, max_steps, n } = self;
        let shape = (batch, max_steps, n);
        Array3::from_shape_vec(shape, states)
            .map_err(|_| Error::shape("states", format!("{shape:?}"), &[batch, max_steps, n]))
    }
}
