//! The built-in cells: a warp for each block of time, or, of more than 32 units, a block of threads.

use super::Cuda;
use super::driver::{Arguments, Buffer, Grid, Number};
use super::kernels::suffix;
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

/// Blocks of time that a kernel of a cell rolls, besides where they are: as `ptx/task.cuh`. What is `None` is left out.
pub(super) struct Task<'b> {
    /// What each starts from, `[blocks, n]`.
    pub(super) starts: &'b Buffer,
    /// 1 for those that are rolled; without it, all are.
    pub(super) open: Option<&'b Buffer>,
    /// Takes the starts of those, `[blocks, n]`.
    pub(super) started: Option<&'b Buffer>,
    /// How far each was rolled.
    pub(super) rolled: Option<&'b Buffer>,
    /// What all came to.
    pub(super) tally: Option<&'b Buffer>,
    /// Whether a block ends where it meets what is stored, within the tolerance of the arguments.
    pub(super) merge: bool,
}

impl Cuda {
    /// The cell whose kernel rolls that many blocks of `problem`, if there is one and a thread for each block is not faster.
    pub(super) fn cell<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        blocks: usize,
    ) -> Option<BuiltIn> {
        /// Warps of a multiprocessor that hide each other's latency.
        const WARPS: usize = 8;
        let cell = problem.dynamics().built_in()?;
        let units = SMALLEST..=largest::<D::Real>(cell.kind);
        // A thread takes as much longer as there are units. A warp leaves lanes idle, which counts once there are more than enough.
        let many = cell.hidden * WARPS * self.device.processors();
        let by_threads = cell.hidden < NARROW && blocks > many;
        (self.step.is_none() && units.contains(&cell.hidden) && !by_threads).then_some(cell)
    }

    /// Rolls `count` blocks with the kernel of `cell`; `given` are the arguments of sweeps, followed by the blocks.
    pub(super) fn roll_cells<D: Recurrence>(
        &self,
        cell: BuiltIn,
        problem: &Problem<'_, D>,
        count: usize,
        given: Arguments,
        task: &Task<'_>,
    ) -> Result<()> {
        let name = match cell.kind {
            Kind::Elman => "elman",
            Kind::Gru => "gru",
            Kind::Lem => "lem",
            Kind::Lstm => "lstm",
        };
        let params = self.device.upload(Number::wrap(problem.params()))?;
        let (inputs, units) = (problem.input_dim() as u64, cell.hidden as u64);
        let precision = suffix::<D::Real>();
        let at = |buffer: Option<&Buffer>| buffer.map_or(0, Buffer::address);
        let task = [
            task.starts.address(),
            at(task.open),
            at(task.started),
            at(task.rolled),
            at(task.tally),
            u64::from(task.merge),
        ];
        let of_cell = |arguments: Arguments| {
            arguments.structure(&task).buffer(&params).word(inputs).word(units)
        };
        let (kernel, grid, arguments);
        if cell.hidden <= NARROW {
            let held = if cell.hidden <= 16 { 16 } else { 32 };
            kernel = format!("run_{name}_{held}_{precision}");
            grid = Grid::over(count * WARP, THREADS, 1);
            arguments = of_cell(given.word(count as u64)).number(cell.dt);
        } else {
            let held = if cell.hidden <= 64 { 64 } else { 128 };
            kernel = format!("run_wide_{name}_{held}_{precision}");
            grid = Grid { blocks: [count, 1], threads: threads_of(cell) };
            arguments = of_cell(given);
        }
        let module = self.modules.cell(&kernel)?;
        // SAFETY: the arguments of the kernel; the blocks are within the inputs and the states, and the parameters are the cell's.
        unsafe { module.launch(&kernel, grid, &arguments) }
    }
}
