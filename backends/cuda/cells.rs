//! The built-in cells in order, a warp for each sequence.

use super::Cuda;
use super::driver::{Grid, Number};
use super::kernels::suffix;
use super::sweep::CudaTrajectory;
use crate::backend::Block;
use crate::cells::{BuiltIn, Kind};
use crate::dynamics::Recurrence;
use crate::error::Result;
use crate::problem::Problem;

/// Units of the smallest cell that a warp runs faster than a thread.
const SMALLEST: usize = 5;
/// Units of the largest cell, one in each lane.
const LARGEST: usize = 32;
/// As in `ptx/cells.cu`.
const THREADS: usize = 128;
const WARP: usize = 32;

impl Cuda {
    /// The cell whose kernel runs the steps of `problem` in order.
    pub(super) fn cell<D: Recurrence>(&self, problem: &Problem<'_, D>) -> Option<BuiltIn> {
        let cell = problem.dynamics().built_in()?;
        (self.step.is_none() && (SMALLEST..=LARGEST).contains(&cell.hidden)).then_some(cell)
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
        let units = if cell.hidden <= 16 { 16 } else { 32 };
        let kernel = format!("run_{name}_{units}_{}", suffix::<D::Real>());

        let listed = self.upload_blocks(problem, trajectory, blocks)?;
        let starts = self.device.upload(Number::wrap(starts))?;
        let params = self.device.upload(Number::wrap(problem.params()))?;
        let arguments = trajectory
            .arguments(trajectory.states(), None)
            .buffer(&listed)
            .word(blocks.len() as u64)
            .buffer(&starts)
            .buffer(&params)
            .word(problem.input_dim() as u64)
            .word(cell.hidden as u64)
            .number(cell.dt);
        let grid = Grid::over(blocks.len() * WARP, THREADS, 1);
        let module = self.modules.cell(&kernel)?;
        // SAFETY: the arguments of the kernel; the blocks are within the inputs and the states, and the parameters are the cell's.
        unsafe { module.launch(&kernel, grid, &arguments) }?;
        Ok(true)
    }
}
