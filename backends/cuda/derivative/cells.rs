//! Cotangents of the built-in cells, by kernels that are there before the program runs: `ptx/cell_slopes.cu`, `ptx/cell_pull.cu`.

use super::super::Cuda;
use super::super::cells::{LARGEST, name_of, rows_of};
use super::super::driver::{Arguments, Buffer, Grid};
use super::super::gradients::Layout;
use super::super::kernels::{THREADS, suffix};
use super::track::{CudaTrack, Pulled, Sums, Sweep, Told, Which};
use crate::backend::Path;
use crate::cells::{BuiltIn, Kind};
use crate::error::Result;
use crate::scalar::Real;
use std::sync::Arc;

const WARP: usize = 32;
/// Steps of a thread of `slopes`.
const GROUP: usize = 4;
/// Bytes of shared memory that a block may have without being asked whether it is there.
const SHARED: usize = 47 << 10;

/// Of a cell as the kernels have it: coefficients of a unit, and its left factors that go round.
struct Dims {
    coefficients: usize,
    exchanged: usize,
}

fn dims(kind: Kind) -> Dims {
    let (coefficients, exchanged) = match kind {
        Kind::Elman => (1, 1),
        Kind::Gru => (5, 3),
        Kind::Lem | Kind::Lstm => (6, 4),
    };
    Dims { coefficients, exchanged }
}

/// Numbers in shared memory for each of the steps of a thread of `slopes`.
fn beside(cell: BuiltIn, m: usize) -> usize {
    2 * cell.hidden + m
}

/// Whether there are kernels for a cell of `m` inputs.
pub(super) fn fits<R: Real>(cell: BuiltIn, m: usize) -> bool {
    cell.hidden <= LARGEST && beside(cell, m) * GROUP * size_of::<R>() <= SHARED
}

/// A cell whose cotangents are to be found, with its parameters on the device.
#[derive(Debug)]
pub(super) struct PulledCell {
    cell: BuiltIn,
    m: usize,
    params: Arc<Buffer>,
    /// The same with all matrices transposed.
    transposed: Arc<Buffer>,
    /// Numbers in a row of factors: the left ones, those that are computed, the part of the state that goes round, the inputs.
    width: usize,
    /// Those of all blocks, kept from sweep to sweep, if there is room for them.
    kept: Option<Rows>,
}

/// What is found of the steps of some blocks.
#[derive(Debug)]
struct Rows {
    coefficients: Buffer,
    /// None where borders are all that is asked for.
    factors: Option<Buffer>,
}

impl PulledCell {
    pub(super) fn new<R: Real>(
        cuda: &Cuda,
        cell: BuiltIn,
        path: &Path<'_, R>,
        sums: &Sums,
        layout: &Layout,
    ) -> Result<Self> {
        let m = path.m;
        let weights = |transpose| cuda.weights((cell, m), (path.params_of, path.params), transpose);
        let mut made = Self {
            cell,
            m,
            params: weights(false)?,
            transposed: weights(true)?,
            width: layout.factors,
            kept: None,
        };
        let blocks = sums.blocks.len();
        if blocks <= made.together::<R>(cuda, sums, true) {
            made.kept = Some(made.rows::<R>(cuda, sums, blocks, true)?);
        }
        Ok(made)
    }

    /// Numbers that `slopes` leaves of each step.
    fn coefficients(&self) -> usize {
        dims(self.cell.kind).coefficients * self.cell.hidden
    }

    /// Blocks whose rows there is room for.
    fn together<R: Real>(&self, cuda: &Cuda, sums: &Sums, record: bool) -> usize {
        let width = self.coefficients() + if record { self.width } else { 0 };
        (cuda.bytes_of_rows() / (sums.longest * width * size_of::<R>()).max(1)).max(1)
    }

    /// Room for those of `count` blocks.
    fn rows<R: Real>(&self, cuda: &Cuda, sums: &Sums, count: usize, record: bool) -> Result<Rows> {
        let bytes = count * sums.longest * size_of::<R>();
        let device = &cuda.device;
        Ok(Rows {
            coefficients: device.allocate(bytes * self.coefficients())?,
            factors: record.then(|| device.allocate(bytes * self.width)).transpose()?,
        })
    }

    /// Runs blocks backwards.
    pub(super) fn pull<R: Real>(
        &self,
        cuda: &Cuda,
        track: &CudaTrack<'_, R>,
        pulled: &Pulled,
        sweep: Sweep<'_>,
    ) -> Result<()> {
        let sums = track.sums()?;
        if let Some(rows) = &self.kept {
            return self.pull_piece(cuda, track, pulled, sweep, (sweep.which, rows));
        }
        for which in sweep.which.pieces(self.together::<R>(cuda, sums, sweep.record)) {
            let rows = self.rows::<R>(cuda, sums, which.count, sweep.record)?;
            self.pull_piece(cuda, track, pulled, sweep, (which, &rows))?;
        }
        Ok(())
    }

    /// Runs some of a sweep's blocks backwards, and adds what comes of it. What is to be found of their steps first is found, unless `rows`
    /// have it from the first sweep.
    fn pull_piece<R: Real>(
        &self,
        cuda: &Cuda,
        track: &CudaTrack<'_, R>,
        pulled: &Pulled,
        sweep: Sweep<'_>,
        (which, rows): (Which<'_>, &Rows),
    ) -> Result<()> {
        let sums = track.sums()?;
        let Self { cell, m, params, transposed, width, .. } = self;
        let (m, n, count) = (*m, cell.hidden, which.count);
        let bytes = size_of::<R>();
        let threads = n.next_multiple_of(WARP);
        let (name, precision) = (name_of(cell.kind), suffix::<R>());
        // Blocks of threads that share a block's steps.
        let groups = sums.longest.div_ceil(GROUP);
        let is_kept = self.kept.is_some();
        let factors = rows.factors.as_ref().filter(|_| sweep.record);
        let at = factors.map_or(0, Buffer::address);
        // Blocks that there are rows for, and which of these are there.
        let blocks = if is_kept { sums.blocks.len() } else { count };
        let mut used = cuda.device.allocate(8 * blocks)?;
        used.clear(0, 8 * blocks)?;
        let told = Told::new(cuda, sums, sweep, which, (1, count * groups))?;
        let given = || {
            let arguments = track.arguments(sums, sweep, which, &sums.rows, &told);
            arguments.word(sums.longest as u64)
        };

        if sweep.given.is_some() || !is_kept {
            let kernel = format!("slopes_{name}_{precision}");
            let arguments = given()
                .word(groups as u64)
                .buffer(transposed)
                .word(m as u64)
                .word(n as u64)
                .number(cell.dt)
                .buffer(&rows.coefficients)
                .word(at)
                .word(*width as u64);
            let shared = beside(*cell, m) * GROUP * bytes;
            let grid = Grid { blocks: [count * groups, 1], threads, shared };
            // SAFETY: the arguments of the kernel; blocks are within the trajectory, the parameters are the cell's, and there are rows for
            // all steps.
            unsafe { cuda.modules.cell(&kernel)?.launch(&kernel, grid, &arguments) }?;
        }

        let held = match n {
            ..=16 => "16",
            17..=32 if R::SINGLE => "32",
            _ => "any",
        };
        let kernel = format!("pull_{name}_{held}_{precision}");
        let arguments = given()
            .buffer(params)
            .word(m as u64)
            .word(n as u64)
            .buffer(&rows.coefficients)
            .word(at)
            .word(*width as u64)
            .buffer(&used)
            .word(u64::from(is_kept));
        let shared = 2 * dims(cell.kind).exchanged * threads * bytes;
        let grid = Grid { blocks: [count, 1], threads, shared };
        // SAFETY: as above.
        unsafe { cuda.modules.cell(&kernel)?.launch(&kernel, grid, &arguments) }?;
        cuda.keep(sums, which, &told)?;

        let Some(factors) = factors else { return Ok(()) };
        if m > 0 {
            // Those of the sums in the gates; in a GRU one that has no input is among them.
            let lefts = rows_of(cell.kind) * n;
            let (before, skipped) = if cell.kind == Kind::Gru { (2 * n, n) } else { (lefts, 0) };
            let kernel = format!("inputs_{precision}");
            let arguments = Arguments::default()
                .structure(&track.sweep(sums, sweep, which, &sums.rows, &told))
                .word(sums.longest as u64)
                .buffer(params)
                .word(m as u64)
                .word(lefts as u64)
                .word(before as u64)
                .word(skipped as u64)
                .buffer(factors)
                .word(*width as u64)
                .buffer(&used)
                .word(u64::from(is_kept));
            let grid = Grid::over(count * sums.longest * m, THREADS, 1);
            // SAFETY: as above; the weights of the input are the first parameters.
            unsafe { cuda.modules.cell(&kernel)?.launch(&kernel, grid, &arguments) }?;
        }
        let products = (&pulled.listed, pulled.layout.products.len());
        let used = Some((&used, sums.longest));
        cuda.sum_products::<R>(
            factors,
            blocks * sums.longest,
            *width,
            products,
            used,
            &pulled.params,
        )
    }
}
