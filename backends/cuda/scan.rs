//! Scans of affine maps.
//!
//! Maps whose components do not mix go through `ptx/scan_components.cu` in a single pass, dense matrices and blocks through
//! `ptx/scan_blocks.cu`, reduce then scan. The order of combination follows from the sizes alone.

use super::driver::{Arguments, Buffer, Device, Grid};
use super::kernels::{Module, Modules, suffix};
use crate::error::{Error, Result};
use crate::scalar::Real;
use crate::scan::{
    Affine, AffineBlocks, AffineDense, AffineDiagonal, AffineScalar, Form, Opposite, ScanOp, steps,
};
use std::sync::Arc;

/// Largest blocks of a matrix that the kernels multiply.
const LARGEST_BLOCK: usize = 32;

/// An operator that has kernels: [`AffineScalar`], [`AffineDiagonal`], [`AffineBlocks`] and [`AffineDense`] with blocks of
/// at most 32 × 32, and [`Opposite`] of them. Sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no kernels of scans on `Cuda`",
    note = "the affine operators without exponents have; use `Cpu` for any other"
)]
pub trait DeviceScan: sealed::Maps {}

mod sealed {
    use crate::scan::Form;

    /// How an operator's elements are laid out and combined.
    pub trait Maps {
        /// Where the entries of the maps lie.
        fn form(&self) -> Form;
        /// Whether the arguments are exchanged.
        fn opposite(&self) -> bool {
            false
        }
    }
}

macro_rules! affine {
    ($($op:ty)*) => {$(
        impl sealed::Maps for $op {
            fn form(&self) -> Form {
                Affine::form(self)
            }
        }
        impl DeviceScan for $op {}
    )*};
}
affine!(AffineScalar AffineDiagonal AffineBlocks AffineDense);

impl<Op: DeviceScan> sealed::Maps for Opposite<Op> {
    fn form(&self) -> Form {
        self.0.form()
    }
    fn opposite(&self) -> bool {
        !self.0.opposite()
    }
}
impl<Op: DeviceScan> DeviceScan for Opposite<Op> {}

impl<Op: DeviceScan> sealed::Maps for &Op {
    fn form(&self) -> Form {
        (**self).form()
    }
    fn opposite(&self) -> bool {
        (**self).opposite()
    }
}
impl<Op: DeviceScan> DeviceScan for &Op {}

/// Which way a scan goes through which sequences.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequences {
    /// Sequences of one length, one after the other.
    pub(super) batch: usize,
    /// Whether each is gone through from its end.
    pub(super) backwards: bool,
}

/// Inclusive scan in place of the `len` numbers in `elements`.
pub(super) fn scan<R: Real, Op: ScanOp<R> + DeviceScan>(
    device: &Arc<Device>,
    modules: &Modules,
    op: &Op,
    elements: &mut Buffer,
    len: usize,
    Sequences { batch, backwards }: Sequences,
) -> Result<()> {
    let width = op.width();
    let steps = steps(len, width, batch)?;
    if steps == 0 {
        return Ok(());
    }
    if u32::try_from(batch).is_err() {
        let expected = format!("at most {} sequences on `Cuda` (scan fewer at a time)", u32::MAX);
        return Err(Error::setting("batch", expected, batch));
    }
    let form = op.form();
    if form.n == 0 {
        return Err(Error::setting("op: state_dim", "at least 1 on `Cuda` (use `Cpu`)", 0));
    }
    if form.size > LARGEST_BLOCK {
        return Err(Error::setting(
            "op: block size",
            format!("at most {LARGEST_BLOCK} on `Cuda` (use `Cpu`)"),
            form.size,
        ));
    }
    let scan = Scan {
        device,
        modules,
        n: form.n,
        k: form.size,
        shared: form.shared,
        width,
        batch,
        backwards,
        // Of what was joined on the way so far and the next element, the earlier one in time comes first, unless the
        // arguments are exchanged.
        prepend: backwards != op.opposite(),
    };
    if scan.k == 1 {
        *elements = scan.components::<R>(elements, steps)?;
        return Ok(());
    }
    scan.blocks::<R>(elements, steps)
}

/// One scan of all sequences.
struct Scan<'a> {
    device: &'a Arc<Device>,
    modules: &'a Modules,
    /// Components of the state.
    n: usize,
    /// Rows of a block of the matrix.
    k: usize,
    /// Whether all components have one factor.
    shared: bool,
    /// Numbers of an element.
    width: usize,
    batch: usize,
    backwards: bool,
    /// Whether each element is prepended to what was joined before, and not appended.
    prepend: bool,
}

impl Scan<'_> {
    /// As it is in a kernel's name.
    fn order(&self) -> &'static str {
        if self.prepend { "prepend" } else { "append" }
    }

    /// The scan of `steps` maps in each sequence whose components do not mix.
    fn components<R: Real>(&self, elements: &Buffer, steps: usize) -> Result<Buffer> {
        // As in the kernels.
        const THREADS: usize = 256;
        let lanes = [1, 4, 8].into_iter().find(|&lanes| self.n <= lanes).unwrap_or(32);
        let rows = THREADS / lanes;
        let tile = rows * if R::SINGLE { 8 } else { 4 };
        let group = rows.clamp(32, 128);

        let (tiles, columns) = (steps.div_ceil(tile), self.batch * self.n.div_ceil(lanes));
        let groups = tiles.div_ceil(group);
        let map = 2 * lanes * size_of::<R>();
        let scanned = self.device.allocate(self.batch * steps * self.width * size_of::<R>())?;
        let totals = self.device.allocate(tiles * columns * map)?;
        let group_totals = self.device.allocate(groups * columns * map)?;
        let (flags, group_flags) = (tiles * columns, groups * columns);
        let mut zeros = self.device.allocate((flags + group_flags + 1) * size_of::<u32>())?;
        zeros.clear(0, (flags + group_flags + 1) * size_of::<u32>())?;
        let flag = |number: usize| zeros.address() + (number * size_of::<u32>()) as u64;

        let name = format!("scan_components_{lanes}_{}_{}", self.order(), suffix::<R>());
        let arguments = Arguments::default()
            .buffer(elements)
            .buffer(&scanned)
            .word(steps as u64)
            .word(self.n as u64)
            .word(self.batch as u64)
            .word(u64::from(self.shared))
            .word(u64::from(self.backwards))
            .buffer(&totals)
            .buffer(&group_totals)
            .word(flag(0))
            .word(flag(flags))
            .word(flag(flags + group_flags));
        let grid = Grid { blocks: [tiles * columns, 1], threads: THREADS, shared: 0 };
        let module = self.modules.scan_components(&name)?;
        // SAFETY: the arguments of the kernel; there is room for all steps, tiles and groups, and flags and counter are 0.
        unsafe { module.launch(&name, grid, &arguments) }?;
        Ok(scanned)
    }

    /// Scans `steps` maps of blocks in each sequence in place.
    fn blocks<R: Real>(&self, elements: &mut Buffer, steps: usize) -> Result<()> {
        let chunk = chunk_len(steps);
        let chunks = steps.div_ceil(chunk);
        let size = self.k.next_power_of_two();
        // As in the kernels.
        let threads = if size * size_of::<R>() > 128 { 64 } else { 128 };
        let grid = Grid::over(self.batch * chunks * (self.n / self.k) * size, threads, 1);
        // [steps, chunk] and [n, k], [sequences, backwards] in halves of words.
        let layout = |backwards: bool| {
            let halves = |low: usize, high: usize| low as u64 | (high as u64) << 32;
            let sequences = halves(self.batch, usize::from(backwards));
            [steps as u64, chunk as u64, halves(self.n, self.k), sequences]
        };
        let launch = |module: Arc<Module>, name: &str, arguments: Arguments| {
            // SAFETY: the arguments of the kernels, whose buffers have all steps and all chunks.
            unsafe { module.launch(name, grid, &arguments) }
        };
        let (order, precision) = (self.order(), suffix::<R>());

        let mut prefixes = None;
        if chunks > 1 {
            let mut totals =
                self.device.allocate(self.batch * chunks * self.width * size_of::<R>())?;
            let name = format!("reduce_blocks_{size}_{precision}");
            // The fold appends: for exchanged arguments it begins at the end.
            let layout = layout(self.backwards != self.prepend);
            let arguments =
                Arguments::default().buffer(elements).buffer(&totals).structure(&layout);
            launch(self.modules.scan_blocks(&name)?, &name, arguments)?;
            self.blocks::<R>(&mut totals, chunks)?;
            prefixes = Some(totals);
        }
        let name = format!("scan_blocks_{size}_{order}_{precision}");
        let arguments = Arguments::default()
            .buffer(elements)
            .word(prefixes.as_ref().map_or(0, Buffer::address))
            .structure(&layout(self.backwards));
        launch(self.modules.scan_blocks(&name)?, &name, arguments)
    }
}

/// Elements in a chunk: so that there are as many chunks as there can be threads, without a third level where it can be.
fn chunk_len(steps: usize) -> usize {
    // A few elements are scanned one after the other.
    const FEW: usize = 64;
    if steps <= FEW { steps } else { steps.isqrt().clamp(16, 64) }
}
