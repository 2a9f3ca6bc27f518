//! Block Jacobi with the borders of all blocks on the device.

use super::Cuda;
use super::cells::Task;
use super::driver::{Arguments, Buffer, Grid, Number};
use super::kernels::{THREADS, suffix};
use super::trajectory::CudaTrajectory;
use crate::backend::BlockSweep;
use crate::cells::BuiltIn;
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
    /// The cell whose kernels roll the blocks, if one's do.
    cell: Option<BuiltIn>,
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
        let cell = cuda.cell(problem, blocks);
        let parts = match cell {
            Some(_) => 1,
            None => cuda.modules.settling(problem, cuda.step.as_ref())?.parts(),
        };
        let made = Self {
            cell,
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
        made.open_all(cuda, problem, trajectory)?;
        Ok(made)
    }

    /// Opens all blocks, to start from the initial states, or from the problem's guess.
    fn open_all<D: Recurrence<Real = R>>(
        &self,
        cuda: &Cuda,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<R>,
    ) -> Result<()> {
        let initial = cuda.device.upload(Number::wrap(problem.initial_states()))?;
        let guessed = u64::from(problem.guess().is_some());
        if self.cell.is_some() {
            let arguments = self
                .whole(trajectory)
                .buffer(&initial)
                .word(trajectory.max_steps as u64)
                .buffer(&self.next)
                .buffer(&self.open)
                .word(guessed);
            let grid = Grid::over(self.count * trajectory.words(), THREADS, 1);
            // SAFETY: the arguments of `open_whole`; blocks are within the trajectory.
            return unsafe { cuda.modules.states()?.launch("open_whole", grid, &arguments) };
        }
        let arguments = self
            .of_blocks(trajectory, None)
            .word(self.count as u64)
            .buffer(&initial)
            .word(trajectory.max_steps as u64)
            .buffer(&self.next)
            .buffer(&self.open)
            .word(self.parts as u64)
            .word(guessed);
        let kernels = cuda.modules.settling(problem, cuda.step.as_ref())?;
        let grid = (self.count, 1);
        // SAFETY: the arguments of `open_all`; blocks are within the trajectory.
        unsafe { kernels.launch("open_all", grid, &arguments, problem.params(), None) }
    }

    /// The arguments of sweeps, and the blocks.
    fn of_blocks(&self, trajectory: &CudaTrajectory<R>, tolerance: Option<Tolerance>) -> Arguments {
        trajectory.arguments(trajectory.states(), tolerance).buffer(&self.listed)
    }

    /// The first arguments of what moves whole states.
    fn whole(&self, trajectory: &CudaTrajectory<R>) -> Arguments {
        Arguments::default()
            .buffer(trajectory.states())
            .buffer(&self.listed)
            .word(self.count as u64)
            .word(trajectory.words() as u64)
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
        self.tally.clear(0, TALLY * 8)?;
        self.any.clear(0, self.count * 4)?;
        match self.cell {
            Some(cell) => self.sweep_cell(cell, cuda, problem, trajectory, tolerance, merge),
            None => self.sweep_parts(cuda, problem, trajectory, tolerance, merge),
        }?;
        let mut words = [0u64; TALLY];
        self.tally.read(0, &mut words)?;
        let [steps, open, met, residual, all] = words;
        let [met, residual, all] = [met, residual, all].map(f64::from_bits);
        let steps = (steps as usize).div_ceil(self.parts);
        let open = open as usize;
        let rolled = std::mem::replace(&mut self.left, open);
        Ok(BlockSweep { rolled, steps, open, met, residual, all })
    }

    /// The same, a thread for each part of a block.
    fn sweep_parts<D: Recurrence<Real = R>>(
        &self,
        cuda: &Cuda,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<R>,
        tolerance: Tolerance,
        merge: bool,
    ) -> Result<()> {
        let kernels = cuda.modules.settling(problem, cuda.step.as_ref())?;
        let grid = (self.count, 1);
        let arguments = self
            .of_blocks(trajectory, Some(tolerance))
            .word(self.count as u64)
            .buffer(&self.next)
            .buffer(&self.starts)
            .buffer(&self.open)
            .word(self.parts as u64)
            .buffer(&self.tally)
            .word(u64::from(merge));
        // SAFETY: the arguments of `roll_open`; blocks are within the trajectory.
        unsafe { kernels.launch("roll_open", grid, &arguments, problem.params(), None) }?;
        let arguments = self
            .of_blocks(trajectory, Some(tolerance))
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
        unsafe { kernels.launch("look", grid, &arguments, problem.params(), None) }
    }

    /// The same by the kernels of a cell.
    fn sweep_cell<D: Recurrence<Real = R>>(
        &self,
        cell: BuiltIn,
        cuda: &Cuda,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<R>,
        tolerance: Tolerance,
        merge: bool,
    ) -> Result<()> {
        let task = Task {
            starts: &self.next,
            open: Some(&self.open),
            started: Some(&self.starts),
            rolled: None,
            tally: Some(&self.tally),
            merge,
        };
        let given = || self.of_blocks(trajectory, Some(tolerance));
        cuda.roll_cells(cell, problem, self.count, given(), &task)?;
        let arguments = given()
            .word(self.count as u64)
            .buffer(&self.starts)
            .buffer(&self.next)
            .buffer(&self.open)
            .buffer(&self.any)
            .buffer(&self.tally)
            .word(Tolerance::SIZE_STEPS as u64)
            .word(trajectory.max_steps as u64)
            .word(self.n as u64);
        let kernel = format!("look_whole_{}", suffix::<R>());
        let grid = Grid::over(self.count * 32, THREADS, 1);
        // SAFETY: the arguments of the kernel; blocks are within the trajectory.
        unsafe { cuda.modules.look()?.launch(&kernel, grid, &arguments) }
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
        if self.cell.is_some() {
            let arguments = self.whole(trajectory).buffer(&self.starts);
            let grid = Grid::over(self.count * trajectory.words(), THREADS, 1);
            // SAFETY: the arguments of `settle_whole`; blocks are within the trajectory.
            return unsafe { cuda.modules.states()?.launch("settle_whole", grid, &arguments) };
        }
        let arguments =
            self.of_blocks(trajectory, None).word(self.count as u64).buffer(&self.starts);
        let kernels = cuda.modules.settling(problem, cuda.step.as_ref())?;
        let grid = (self.count, 1);
        // SAFETY: the arguments of `settle`; blocks are within the trajectory.
        unsafe { kernels.launch("settle", grid, &arguments, problem.params(), None) }
    }
}
