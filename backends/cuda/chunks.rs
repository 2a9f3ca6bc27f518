//! The chunks of Newton's sweeps on the device, and what a sweep tells of them.

use super::Cuda;
use super::driver::{Arguments, Buffer, Grid, Number};
use super::kernels::THREADS;
use super::trajectory::CudaTrajectory;
use crate::backend::{Block, Linearized};
use crate::dynamics::Recurrence;
use crate::error::Result;
use crate::problem::Problem;
use crate::scalar::Real;
use std::marker::PhantomData;

/// Bytes of what a sweep tells of a chunk: a residual, and whether it is beyond the tolerance.
const RESULT: usize = 16;

/// The chunks of all sequences.
#[derive(Debug)]
pub(super) struct Chunks<R> {
    pub(super) all: Vec<Block>,
    n: usize,
    pub(super) listed: Buffer,
    /// `[B, n]`
    initial: Buffer,
    /// The states at the ends of the chunks, `[chunks, n]`.
    pub(super) ends: Buffer,
    pub(super) results: Buffer,
    precision: PhantomData<R>,
}

impl<R: Real> Chunks<R> {
    pub(super) fn new<D: Recurrence<Real = R>>(
        cuda: &Cuda,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<R>,
        chunks: &[Block],
    ) -> Result<Self> {
        let (device, n) = (&cuda.device, problem.state_dim());
        Ok(Self {
            all: chunks.to_vec(),
            n,
            listed: cuda.upload_blocks(problem, trajectory, chunks)?,
            initial: device.upload(Number::wrap(problem.initial_states()))?,
            ends: device.allocate(chunks.len() * n * size_of::<R>())?,
            results: device.allocate(chunks.len() * RESULT)?,
            precision: PhantomData,
        })
    }

    /// Whether one has more steps than that.
    pub(super) fn longer_than(&self, steps: usize) -> bool {
        self.all.iter().any(|chunk| chunk.len > steps)
    }

    /// Writes to `starts` `[chunks, n]` the states before the first `count` chunks that `indices` names.
    pub(super) fn load_starts(
        &self,
        cuda: &Cuda,
        trajectory: &CudaTrajectory<R>,
        indices: &Buffer,
        count: usize,
        starts: &Buffer,
    ) -> Result<()> {
        let words = trajectory.words();
        let arguments = Arguments::default()
            .buffer(trajectory.states())
            .buffer(&self.listed)
            .buffer(indices)
            .word(count as u64)
            .buffer(&self.initial)
            .word(trajectory.max_steps as u64)
            .word(words as u64)
            .buffer(starts);
        let grid = Grid::over(count * words, THREADS, 1);
        // SAFETY: the arguments of `load_starts`; chunks are within the trajectory.
        unsafe { cuda.modules.borders()?.launch("load_starts", grid, &arguments) }
    }

    pub(super) fn clear_results(&mut self) -> Result<()> {
        self.results.clear(0, self.all.len() * RESULT)
    }

    /// What the last sweep told of the chunks `active`.
    pub(super) fn read_results(&self, active: &[usize]) -> Result<Vec<Linearized>> {
        let mut words = vec![0u64; self.all.len() * RESULT / size_of::<u64>()];
        self.results.read(0, &mut words)?;
        let result = |&i: &usize| Linearized {
            residual: f64::from_bits(words[2 * i]),
            converged: words[2 * i + 1] as u32 == 0,
        };
        Ok(active.iter().map(result).collect())
    }

    pub(super) fn read_ends(&self) -> Result<Vec<R>> {
        let mut ends = vec![R::default(); self.all.len() * self.n];
        self.ends.read(0, Number::wrap_mut(&mut ends))?;
        Ok(ends)
    }
}
