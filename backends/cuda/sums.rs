//! Sums on the device, in a fixed order: of products of factors over time, and of what parts of a state give to inputs.

use super::Cuda;
use super::driver::{Arguments, Buffer, Grid};
use super::gradients::Product;
use super::kernels::{THREADS, suffix};
use crate::error::Result;
use crate::scalar::Real;

/// For each of so many sums where in a row its summands are: those of sum `j` at `places[from[j]..from[j + 1]]`.
#[derive(Debug)]
pub(super) struct Summands {
    from: Buffer,
    places: Buffer,
    sums: usize,
}

impl Cuda {
    /// Where the factors of products are in a row.
    pub(super) fn upload_products(&self, products: &[Product]) -> Result<Buffer> {
        let pairs: Vec<u32> =
            products.iter().flat_map(|product| [product.left, product.right]).collect();
        self.device.upload(&pairs)
    }

    /// Adds to `totals`, in double precision, the sums of `count` products of factors over `rows` rows of `width`: of blocks with `longest`
    /// rows each those that are `used`, or all.
    pub(super) fn sum_products<R: Real>(
        &self,
        factors: &Buffer,
        rows: usize,
        width: usize,
        (listed, count): (&Buffer, usize),
        used: Option<(&Buffer, usize)>,
        totals: &Buffer,
    ) -> Result<()> {
        /// Rows that a thread sums.
        const SLICE: usize = 512;
        let slices = rows.div_ceil(SLICE).min(1 << 15);
        let slice = rows.div_ceil(slices.max(1));
        let sums = self.device.allocate(slices * count * 8)?;
        let module = self.modules.products()?;
        let name = format!("sum_products_{}", suffix::<R>());
        let arguments = Arguments::default()
            .buffer(factors)
            .word(rows as u64)
            .word(width as u64)
            .buffer(listed)
            .word(count as u64)
            .word(slice as u64)
            .buffer(&sums)
            .word(used.map_or(0, |(used, _)| used.address()))
            .word(used.map_or(1, |(_, longest)| longest as u64));
        // SAFETY: the arguments of the kernel; all factors are within a row.
        unsafe { module.launch(&name, Grid::over(count, THREADS, slices), &arguments) }?;
        let arguments = Arguments::default()
            .buffer(&sums)
            .word(slices as u64)
            .word(count as u64)
            .buffer(totals);
        // SAFETY: the arguments of the kernel.
        unsafe { module.launch("sum_slices", Grid::over(count, THREADS, 1), &arguments) }
    }

    /// Where the summands of each sum are in a row.
    pub(super) fn upload_summands(&self, summands: &[Vec<u32>]) -> Result<Summands> {
        let mut from = vec![0u32];
        let mut places = Vec::new();
        for own in summands {
            places.extend_from_slice(own);
            from.push(places.len() as u32);
        }
        let (from, places) = (self.device.upload(&from)?, self.device.upload(&places)?);
        Ok(Summands { from, places, sums: summands.len() })
    }

    /// Adds to the rows `all` of the steps of blocks, or with `first` writes, the sums of those numbers of each of their rows of `width` in
    /// `out` that `summands` lists. Of the blocks there are the addresses of their list, and of
    /// the numbers of those that are meant, or 0 for all; and how many.
    pub(super) fn add_listed<R: Real>(
        &self,
        all: &Buffer,
        (blocks, chosen, count): (u64, u64, usize),
        (out, rows, width): (&Buffer, usize, usize),
        summands: &Summands,
        first: bool,
    ) -> Result<()> {
        const WARP: usize = 32;
        let Summands { from, places, sums } = summands;
        let threads = count * rows * sums * WARP;
        if threads == 0 {
            return Ok(());
        }
        let arguments = Arguments::default()
            .buffer(all)
            .word(blocks)
            .word(chosen)
            .word(count as u64)
            .word(rows as u64)
            .buffer(out)
            .word(width as u64)
            .buffer(from)
            .buffer(places)
            .word(*sums as u64)
            .word(u64::from(first));
        let name = format!("add_listed_{}", suffix::<R>());
        let module = self.modules.products()?;
        // SAFETY: the arguments of the kernel; blocks are within the trajectory, `out` has their rows, and all places are within one.
        unsafe { module.launch(&name, Grid::over(threads, THREADS, 1), &arguments) }
    }
}
