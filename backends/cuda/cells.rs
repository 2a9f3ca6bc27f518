//! The built-in cells: a warp for each block of time, or, of more than 32 units, a block of threads.

use super::Cuda;
use super::driver::{Arguments, Buffer, Grid, Number};
use super::kernels::suffix;
use crate::cells::{BuiltIn, Kind};
use crate::dynamics::Recurrence;
use crate::error::Result;
use crate::problem::Problem;
use crate::scalar::Real;
use std::sync::{Arc, PoisonError};

/// Units of the smallest cell that a warp runs faster than a thread.
const SMALLEST: usize = 5;
/// Units of the largest cell that a warp runs, one in each lane.
const NARROW: usize = 32;
/// As in `ptx/cells.cu`.
const THREADS: usize = 128;
const WARP: usize = 32;

/// Units of the largest cell: threads of a block.
pub(super) const LARGEST: usize = 512;

/// Units of the largest cell whose weights are held in the registers of a multiprocessor, or that a warp runs.
fn largest_held<R: Real>(kind: Kind) -> usize {
    match kind {
        Kind::Lem => NARROW,
        Kind::Elman | Kind::Gru if R::SINGLE => 128,
        Kind::Elman | Kind::Gru | Kind::Lstm => 64,
    }
}

/// A kind in the names of kernels.
pub(super) fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Elman => "elman",
        Kind::Gru => "gru",
        Kind::Lem => "lem",
        Kind::Lstm => "lstm",
    }
}

/// Rows of weights of a unit.
pub(super) fn rows_of(kind: Kind) -> usize {
    match kind {
        Kind::Elman => 1,
        Kind::Gru => 3,
        Kind::Lem | Kind::Lstm => 4,
    }
}

/// The matrices among the parameters of a cell of `m` inputs: where each begins, its rows and columns.
fn matrices(cell: BuiltIn, m: usize) -> Vec<[usize; 3]> {
    let (n, rows) = (cell.hidden, rows_of(cell.kind) * cell.hidden);
    let of_input = [0, rows, m];
    match cell.kind {
        Kind::Elman | Kind::Gru | Kind::Lstm => vec![of_input, [rows * m, rows, n]],
        // Biases follow each.
        Kind::Lem => {
            let of_y = rows * m + rows;
            vec![of_input, [of_y, 3 * n, n], [of_y + 3 * n * (n + 1), n, n]]
        }
    }
}

/// The parameters of a cell of `m` inputs with all matrices transposed.
fn transposed<R: Real>(cell: BuiltIn, m: usize, params: &[R]) -> Vec<R> {
    let mut transposed = params.to_vec();
    for [at, rows, columns] in matrices(cell, m) {
        for i in 0..rows {
            for j in 0..columns {
                transposed[at + j * rows + i] = params[at + i * columns + j];
            }
        }
    }
    transposed
}

/// Threads of a sequence.
pub(super) fn threads_of<R: Real>(cell: BuiltIn) -> usize {
    let units = cell.hidden.next_multiple_of(WARP);
    match cell.hidden {
        hidden if hidden > NARROW && hidden <= largest_held::<R>(cell.kind) => {
            (rows_of(cell.kind) * hidden).next_multiple_of(WARP)
        }
        _ => units,
    }
}

/// The parameters of a problem's cell on a device.
#[derive(Debug)]
pub(super) struct Weights {
    /// Of the parameters.
    identity: u64,
    /// As they are, and with all matrices transposed; each since it was first asked for.
    forms: [Option<Arc<Buffer>>; 2],
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
        let cell = problem.dynamics().built_in()?;
        let fits = cell.hidden <= LARGEST;
        (self.step.is_none() && fits && !self.is_for_threads(cell, blocks, NARROW)).then_some(cell)
    }

    /// Whether so many blocks of a cell are faster with a thread for each than with one for each unit; not with `wide` units or more.
    pub(super) fn is_for_threads(&self, cell: BuiltIn, blocks: usize, wide: usize) -> bool {
        /// Warps of a multiprocessor that hide each other's latency.
        const WARPS: usize = 8;
        // A thread takes as much longer as there are units. A warp leaves lanes idle, which counts once there are more than enough.
        let many = cell.hidden * WARPS * self.device.processors();
        cell.hidden < SMALLEST || cell.hidden < wide && blocks > many
    }

    /// The parameters `params` of a cell of `m` inputs, known by their `identity`, as they are or with all matrices transposed; those of the
    /// last problem are there still.
    pub(super) fn weights<R: Real>(
        &self,
        (cell, m): (BuiltIn, usize),
        (identity, params): (u64, &[R]),
        transpose: bool,
    ) -> Result<Arc<Buffer>> {
        let mut last = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match &mut *last {
            Some(known) if known.identity == identity => known,
            other => other.insert(Weights { identity, forms: [None, None] }),
        };
        let form = &mut known.forms[usize::from(transpose)];
        if let Some(all) = form {
            return Ok(Arc::clone(all));
        }
        let all = match transpose {
            true => self.device.upload(Number::wrap(&transposed(cell, m, params)))?,
            false => self.device.upload(Number::wrap(params))?,
        };
        Ok(Arc::clone(form.insert(Arc::new(all))))
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
        let name = name_of(cell.kind);
        let held = cell.hidden <= largest_held::<D::Real>(cell.kind);
        let known = (problem.params_identity(), problem.params());
        let params = self.weights((cell, problem.input_dim()), known, !held)?;
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
        let a_block_each =
            Grid { blocks: [count, 1], threads: threads_of::<D::Real>(cell), shared: 0 };
        let (kernel, grid, arguments);
        if held && cell.hidden > NARROW {
            let room = if cell.hidden <= 64 { 64 } else { 128 };
            kernel = format!("run_wide_{name}_{room}_{precision}");
            grid = a_block_each;
            arguments = of_cell(given);
        } else {
            let room = match cell.hidden {
                ..=16 => "16",
                17..=NARROW => "32",
                _ => "any",
            };
            kernel = match room {
                "any" => format!("run_any_{name}_{precision}"),
                _ => format!("run_{name}_{room}_{precision}"),
            };
            grid = if held { Grid::over(count * WARP, THREADS, 1) } else { a_block_each };
            arguments = of_cell(given.word(count as u64)).number(cell.dt);
        }
        let module = self.modules.cell(&kernel)?;
        // SAFETY: the arguments of the kernel; the blocks are within the inputs and the states, and the parameters are the cell's.
        unsafe { module.launch(&kernel, grid, &arguments) }
    }
}
