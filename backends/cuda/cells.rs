//! The built-in cells in order: a warp for each sequence, or, of more than 32 units, a block of threads.

use super::Cuda;
use super::driver::{Arguments, Grid, Number};
use super::kernels::suffix;
use super::trajectory::CudaTrajectory;
use crate::backend::Block;
use crate::cells::{BuiltIn, Kind};
use crate::dynamics::Recurrence;
use crate::error::Result;
use crate::problem::Problem;
use crate::scalar::Real;

/// Units of the smallest cell that a warp runs faster than a thread.
const SMALLEST: usize = 5;
/// Units of the largest cell that a warp runs, one in each lane.
const NARROW: usize = 32;
/// As in `ptx/cells.cu`.
const THREADS: usize = 128;
const WARP: usize = 32;

/// Units of the largest cell whose weights are held in the registers of a multiprocessor, or that a warp runs.
fn largest<R: Real>(kind: Kind) -> usize {
    match kind {
        Kind::Lem => NARROW,
        Kind::Elman | Kind::Gru if R::SINGLE => 128,
        Kind::Elman | Kind::Gru | Kind::Lstm => 64,
    }
}

/// Rows of weights of a unit.
fn rows(kind: Kind) -> usize {
    match kind {
        Kind::Elman => 1,
        Kind::Gru => 3,
        Kind::Lem | Kind::Lstm => 4,
    }
}

/// Threads of a sequence.
pub(super) fn threads_of(cell: BuiltIn) -> usize {
    if cell.hidden <= NARROW {
        WARP
    } else {
        (rows(cell.kind) * cell.hidden).next_multiple_of(WARP)
    }
}

impl Cuda {
    /// The cell whose kernel runs the steps of `problem` in order.
    pub(super) fn cell<D: Recurrence>(&self, problem: &Problem<'_, D>) -> Option<BuiltIn> {
        let cell = problem.dynamics().built_in()?;
        let units = SMALLEST..=largest::<D::Real>(cell.kind);
        (self.step.is_none() && units.contains(&cell.hidden)).then_some(cell)
    }

    /// Runs blocks from `starts` `[blocks, n]` in order with the kernel of a built-in cell; false where there is none for the steps of
    /// `problem`.
    pub(super) fn run_cells<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<D::Real>,
        blocks: &[Block],
        starts: &[D::Real],
    ) -> Result<bool> {
        let Some(cell) = self.cell(problem) else { return Ok(false) };
        let name = match cell.kind {
            Kind::Elman => "elman",
            Kind::Gru => "gru",
            Kind::Lem => "lem",
            Kind::Lstm => "lstm",
        };
        let listed = self.upload_blocks(problem, trajectory, blocks)?;
        let starts = self.device.upload(Number::wrap(starts))?;
        let params = self.device.upload(Number::wrap(problem.params()))?;
        let (inputs, units) = (problem.input_dim() as u64, cell.hidden as u64);
        let precision = suffix::<D::Real>();
        let of_trajectory =
            || -> Arguments { trajectory.arguments(trajectory.states(), None).buffer(&listed) };
        let (kernel, grid, arguments);
        if cell.hidden <= NARROW {
            let held = if cell.hidden <= 16 { 16 } else { 32 };
            kernel = format!("run_{name}_{held}_{precision}");
            grid = Grid::over(blocks.len() * WARP, THREADS, 1);
            arguments = of_trajectory()
                .word(blocks.len() as u64)
                .buffer(&starts)
                .buffer(&params)
                .word(inputs)
                .word(units)
                .number(cell.dt);
        } else {
            let held = if cell.hidden <= 64 { 64 } else { 128 };
            kernel = format!("run_wide_{name}_{held}_{precision}");
            grid = Grid { blocks: [blocks.len(), 1], threads: threads_of(cell) };
            arguments = of_trajectory().buffer(&starts).buffer(&params).word(inputs).word(units);
        }
        let module = self.modules.cell(&kernel)?;
        // SAFETY: the arguments of the kernel; the blocks are within the inputs and the states, and the parameters are the cell's.
        unsafe { module.launch(&kernel, grid, &arguments) }?;
        Ok(true)
    }
}
