//! Block Jacobi with the borders of all blocks on the device.

use super::Cuda;
use super::driver::{Arguments, Buffer, Grid, Number};
use super::kernels::THREADS;
use super::trajectory::CudaTrajectory;
use crate::backend::BlockSweep;
use crate::dynamics::Recurrence;
use crate::error::Result;
use crate::problem::Problem;
use crate::scalar::Real;
use crate::solver::Tolerance;
use std::marker::PhantomData;

/// Words of what a sweep came to.
const TALLY: usize = 5;

/// Blocks of all sequences on the device.
#[derive(Debug)]
pub struct CudaBlocks<R> {
    count: usize,
    n: usize,
    listed: Buffer,
    /// What each was started from last, `[blocks, n]`.
    starts: Buffer,
    /// What the open ones are to be started from, `[blocks, n]`.
    next: Buffer,
    /// 1 for those parts that are open, `[blocks, parts]`; for blocks with such a part; how many these are.
    open: Buffer,
    any: Buffer,
    left: usize,
    parts: usize,
    /// What a sweep came to.
    tally: Buffer,
    precision: PhantomData<R>,
}

impl<R: Real> CudaBlocks<R> {
    /// Every sequence cut into blocks of `len` steps, all open.
    pub(super) fn new<D: Recurrence<Real = R>>(
        cuda: &Cuda,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<R>,
        len: usize,
    ) -> Result<Self> {
        let device = &cuda.device;
        let (batch, n) = (trajectory.batch, trajectory.n);
        let steps: Vec<u64> = (0..batch).map(|b| problem.steps(b) as u64).collect();
        let mut count = 0;
        let mut first = Vec::with_capacity(batch);
        for &steps in &steps {
            first.push(count);
            count += steps.div_ceil(len as u64);
        }
        let blocks = count as usize;
        let listed = device.allocate(blocks * 24)?;
        // They live until the launch is in the stream.
        let (first, steps) = (device.upload(&first)?, device.upload(&steps)?);
        let arguments = Arguments::default()
            .buffer(&first)
            .buffer(&steps)
            .word(batch as u64)
            .word(count)
            .word(len as u64)
            .word(trajectory.max_steps as u64)
            .buffer(&listed);
        let grid = Grid::over(blocks, THREADS, 1);
        // SAFETY: the arguments of `cut`; there is room for all blocks.
        unsafe { cuda.modules.states()?.launch("cut", grid, &arguments) }?;
        let bytes = blocks * n * size_of::<R>();
        let kernels = cuda.modules.settling(problem, cuda.step.as_deref())?;
        let parts = kernels.parts();
        let made = Self {
            count: blocks,
            n,
            listed,
            starts: device.allocate(bytes)?,
            next: device.allocate(bytes)?,
            open: device.allocate(blocks * parts * 4)?,
            any: device.upload(&vec![1u32; blocks])?,
            left: blocks,
            parts,
            tally: device.allocate(TALLY * 8)?,
            precision: PhantomData,
        };
        let initial = device.upload(Number::wrap(problem.initial_states()))?;
        let arguments = trajectory
            .arguments(trajectory.states(), None)
            .buffer(&made.listed)
            .word(count)
            .buffer(&initial)
            .word(trajectory.max_steps as u64)
            .buffer(&made.next)
            .buffer(&made.open)
            .word(parts as u64)
            .word(u64::from(problem.guess().is_some()));
        // SAFETY: the arguments of `open_all`; blocks are within the trajectory.
        unsafe { kernels.launch("open_all", (blocks, 1), &arguments, problem.params(), None) }?;
        Ok(made)
    }

    /// Rolls the open blocks, and opens those that were not started from what is now before them.
    pub(super) fn sweep<D: Recurrence<Real = R>>(
        &mut self,
        cuda: &Cuda,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<R>,
        tolerance: Tolerance,
        merge: bool,
    ) -> Result<BlockSweep> {
        let kernels = cuda.modules.settling(problem, cuda.step.as_deref())?;
        let grid = (self.count, 1);
        self.tally.clear(0, TALLY * 8)?;
        self.any.clear(0, self.count * 4)?;
        let arguments = trajectory
            .arguments(trajectory.states(), Some(tolerance))
            .buffer(&self.listed)
            .word(self.count as u64)
            .buffer(&self.next)
            .buffer(&self.starts)
            .buffer(&self.open)
            .word(self.parts as u64)
            .buffer(&self.tally)
            .word(u64::from(merge));
        // SAFETY: the arguments of `roll_open`; blocks are within the trajectory.
        unsafe { kernels.launch("roll_open", grid, &arguments, problem.params(), None) }?;
        let arguments = trajectory
            .arguments(trajectory.states(), Some(tolerance))
            .buffer(&self.listed)
            .word(self.count as u64)
            .buffer(&self.starts)
            .buffer(&self.next)
            .buffer(&self.open)
            .word(self.parts as u64)
            .buffer(&self.any)
            .buffer(&self.tally)
            .word(Tolerance::SIZE_STEPS as u64)
            .word(trajectory.max_steps as u64);
        // SAFETY: the arguments of `look`; blocks are within the trajectory.
        unsafe { kernels.launch("look", grid, &arguments, problem.params(), None) }?;
        let mut words = [0u64; TALLY];
        self.tally.read(0, &mut words)?;
        let [steps, open, met, residual, all] = words;
        let [met, residual, all] = [met, residual, all].map(f64::from_bits);
        let steps = (steps as usize).div_ceil(self.parts);
        let open = open as usize;
        let rolled = std::mem::replace(&mut self.left, open);
        Ok(BlockSweep { rolled, steps, open, met, residual, all })
    }

    /// The open blocks in order, and what all were started from, `[blocks, n]`.
    pub(super) fn read(&self) -> Result<(Vec<usize>, Vec<R>)> {
        let mut open = vec![0u32; self.count];
        self.any.read(0, &mut open)?;
        let mut starts = vec![R::default(); self.count * self.n];
        self.starts.read(0, Number::wrap_mut(&mut starts))?;
        Ok(((0..self.count).filter(|&i| open[i] != 0).collect(), starts))
    }

    /// Stores as the state before each block the one that it was started from.
    pub(super) fn settle<D: Recurrence<Real = R>>(
        &self,
        cuda: &Cuda,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<R>,
    ) -> Result<()> {
        let arguments = trajectory
            .arguments(trajectory.states(), None)
            .buffer(&self.listed)
            .word(self.count as u64)
            .buffer(&self.starts);
        let kernels = cuda.modules.settling(problem, cuda.step.as_deref())?;
        let grid = (self.count, 1);
        // SAFETY: the arguments of `settle`; blocks are within the trajectory.
        unsafe { kernels.launch("settle", grid, &arguments, problem.params(), None) }
    }
}
