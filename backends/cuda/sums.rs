//! Sums on the device, in a fixed order: of products of factors over time, and over parts of a state.

use super::Cuda;
use super::driver::{Arguments, Buffer, Grid};
use super::gradients::Product;
use super::kernels::{THREADS, suffix};
use crate::error::Result;
use crate::scalar::Real;

impl Cuda {
    /// The sums of `products` of factors over `rows` rows of `width`.
    pub(super) fn sum_products<R: Real>(
        &self,
        factors: &Buffer,
        rows: usize,
        width: usize,
        products: &[Product],
    ) -> Result<Vec<f64>> {
        /// Rows that a thread sums.
        const SLICE: usize = 512;
        let pairs: Vec<u32> =
            products.iter().flat_map(|product| [product.left, product.right]).collect();
        let listed = self.device.upload(&pairs)?;
        let count = products.len();
        let slices = rows.div_ceil(SLICE).min(1 << 15);
        let slice = rows.div_ceil(slices.max(1));
        let sums = self.device.allocate(slices * count * 8)?;
        let totals = self.device.allocate(count * 8)?;
        let module = self.modules.products()?;
        let name = if R::SINGLE { "sum_products_f32" } else { "sum_products_f64" };
        let arguments = Arguments::default()
            .buffer(factors)
            .word(rows as u64)
            .word(width as u64)
            .buffer(&listed)
            .word(count as u64)
            .word(slice as u64)
            .buffer(&sums);
        // SAFETY: the arguments of the kernel; all factors are within a row.
        unsafe { module.launch(name, Grid::over(count, THREADS, slices), &arguments) }?;
        let arguments = Arguments::default()
            .buffer(&sums)
            .word(slices as u64)
            .word(count as u64)
            .buffer(&totals);
        // SAFETY: the arguments of the kernel.
        unsafe { module.launch("sum_slices", Grid::over(count, THREADS, 1), &arguments) }?;
        let mut found = vec![0.0f64; count];
        totals.read(0, &mut found)?;
        Ok(found)
    }

    /// The sums over the parts of `[count, parts, width]`.
    pub(super) fn sum_parts(
        &self,
        all: &Buffer,
        count: usize,
        parts: usize,
        width: usize,
    ) -> Result<Vec<f64>> {
        let mut sums = vec![0.0f64; count * width];
        if parts == 1 {
            all.read(0, &mut sums)?;
            return Ok(sums);
        }
        let out = self.device.allocate(count * width * 8)?;
        let arguments = Arguments::default()
            .buffer(all)
            .word(count as u64)
            .word(parts as u64)
            .word(width as u64)
            .buffer(&out);
        let module = self.modules.products()?;
        let grid = Grid::over(count * width, THREADS, 1);
        // SAFETY: the arguments of the kernel.
        unsafe { module.launch("sum_parts", grid, &arguments) }?;
        out.read(0, &mut sums)?;
        Ok(sums)
    }

    /// The sums of those numbers of each of `rows` rows of `width` that `summands` lists.
    pub(super) fn sum_listed<R: Real>(
        &self,
        all: &Buffer,
        rows: usize,
        width: usize,
        summands: &[Vec<u32>],
    ) -> Result<Buffer> {
        const WARP: usize = 32;
        let count = summands.len();
        let mut from = vec![0u32];
        let mut places = Vec::new();
        for own in summands {
            places.extend_from_slice(own);
            from.push(places.len() as u32);
        }
        let (from, places) = (self.device.upload(&from)?, self.device.upload(&places)?);
        let out = self.device.allocate(rows * count * size_of::<R>())?;
        let arguments = Arguments::default()
            .buffer(all)
            .word(rows as u64)
            .word(width as u64)
            .buffer(&from)
            .buffer(&places)
            .word(count as u64)
            .buffer(&out);
        let name = format!("sum_listed_{}", suffix::<R>());
        let module = self.modules.products()?;
        let grid = Grid::over(rows * count * WARP, THREADS, 1);
        // SAFETY: the arguments of the kernel; all places are within a row.
        unsafe { module.launch(&name, grid, &arguments) }?;
        Ok(out)
    }
}
