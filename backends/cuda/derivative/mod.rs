//! Sweeps of linear recurrences along a trajectory: cotangents backwards, tangents forwards.
//!
//! All stays on the device until the sweeps are done. Between them blocks hand over there, too; the host is asked whether to go on after
//! the second, and takes over where derivatives last.

mod cells;
mod handing;
mod track;

use super::Cuda;
use super::driver::Number;
use super::kernels::Kernels;
use crate::backend::{
    AdjointForm, Begun, Block, Collected, Differentiate, Direction, GivenTangents, Path,
    StateCotangents,
};
use crate::error::Result;
use crate::graph::adjoint::Adjoint;
use crate::graph::tangent::Tangent;
use crate::scalar::Real;
use track::{CudaTrack, Pulled, Pulling, Sums, Sweep, Told, Which};

/// Units of cells that a thread has no registers for.
const WIDE: usize = 17;

impl Cuda {
    /// Bytes of what each step leaves that are kept at a time.
    fn bytes_of_rows(&self) -> usize {
        const MOST: usize = 256 << 20;
        MOST.min(self.device.memory() / 16)
    }

    /// Runs blocks backwards.
    fn pull<R: Real>(&self, track: &CudaTrack<'_, R>, sweep: Sweep<'_>) -> Result<()> {
        let pulled = track.pulled()?;
        match &pulled.by {
            Pulling::Traced(kernels) => self.pull_traced(track, pulled, kernels, sweep),
            Pulling::Cell(cell) => cell.pull(self, track, pulled, sweep),
        }
    }

    /// By the graph of a step.
    fn pull_traced<R: Real>(
        &self,
        track: &CudaTrack<'_, R>,
        pulled: &Pulled,
        kernels: &Kernels,
        sweep: Sweep<'_>,
    ) -> Result<()> {
        let sums = track.sums()?;
        let Pulled { layout, params, listed, summands, .. } = pulled;
        let (parts, first) = (kernels.parts(), sweep.given.is_some());
        let bytes = size_of::<R>();
        // What each step leaves: factors, and what parts give to inputs.
        let factors = if layout.summed { 0 } else { layout.factors };
        let shared = layout.summands.as_ref().map_or(0, |_| layout.inputs);
        let row = if sweep.record { (factors + shared) * bytes } else { 0 };
        for which in sweep.which.pieces(self.bytes_of_rows() / (sums.longest * row).max(1)) {
            let rows = which.count * sums.longest;
            let memory = |width: usize| {
                let bytes = if sweep.record { rows * width * bytes } else { 0 };
                let mut memory = self.device.allocate(bytes)?;
                // Not all blocks are of the same length, and one may stop early.
                memory.clear(0, bytes)?;
                Ok(memory)
            };
            let (of_factors, of_parts) = (memory(factors)?, memory(shared)?);
            let told = Told::new(self, sums, sweep, which, (parts, which.count * parts))?;
            let out = if layout.summands.is_some() { &of_parts } else { &sums.rows };
            let per_step = |there: bool| if there { sums.longest as u64 } else { 0 };
            let at = match layout.summed {
                true => which.of_blocks(params, 8 * layout.factors),
                false => of_factors.address(),
            };
            let arguments = track
                .arguments(sums, sweep, which, out, &told)
                .word(per_step(layout.summands.is_some()))
                .word((layout.inputs * bytes) as u64)
                .word(at)
                .word(per_step(!layout.summed))
                .word((layout.factors * if layout.summed { 8 } else { bytes }) as u64);
            // SAFETY: the arguments of `pull`; blocks are within the trajectory, and there is room for each one's rows.
            unsafe {
                kernels.launch("pull", (which.count, 1), &arguments, track.path.params, None)
            }?;
            self.keep(sums, which, &told)?;
            if !sweep.record {
                continue;
            }
            if let Some(summands) = summands {
                let blocks = (sums.listed(which), which.list(), which.count);
                let out = (&of_parts, sums.longest, layout.inputs);
                self.add_listed::<R>(&sums.rows, blocks, out, summands, first)?;
            }
            if factors > 0 {
                let products = (listed, layout.products.len());
                self.sum_products::<R>(&of_factors, rows, factors, products, None, params)?;
            }
        }
        Ok(())
    }

    /// Runs blocks forwards: with tangents of θ `of_params` in the first sweep.
    fn push<R: Real>(
        &self,
        track: &CudaTrack<'_, R>,
        kernels: &Kernels,
        sweep: Sweep<'_>,
        of_params: Option<&[R]>,
    ) -> Result<()> {
        let sums = track.sums()?;
        let (which, parts) = (sweep.which, kernels.parts());
        let told = Told::new(self, sums, sweep, which, (parts, which.count * parts))?;
        let arguments = track.arguments(sums, sweep, which, &sums.rows, &told);
        let grid = (which.count, 1);
        // SAFETY: the arguments of `push`; blocks are within the trajectory, and there is room for each one's rows.
        unsafe { kernels.launch("push", grid, &arguments, track.path.params, of_params) }?;
        self.keep(sums, which, &told)
    }

    /// Sweeps over `blocks` from `borders` on the host, and brings back what they hand over.
    fn again<R: Real>(
        &self,
        track: &CudaTrack<'_, R>,
        blocks: &[Block],
        borders: &mut [R],
        record: bool,
        sweep: impl FnOnce(Sweep<'_>) -> Result<()>,
    ) -> Result<()> {
        let chosen = self.device.upload(&track.sums()?.numbers(blocks))?;
        let on_device = self.device.upload(Number::wrap(borders))?;
        let which = Which { from: 0, count: blocks.len(), chosen: Some(&chosen) };
        sweep(Sweep { which, borders: &on_device, given: None, record })?;
        on_device.read(0, Number::wrap_mut(borders))
    }
}

impl<R: Real> Differentiate<R> for Cuda {
    type Track<'p> = CudaTrack<'p, R>;

    fn lanes(&self) -> usize {
        32
    }

    fn track<'p>(&self, path: Path<'p, R>) -> Result<CudaTrack<'p, R>> {
        self.take_track(path)
    }

    fn adjoint_form(&self, path: &Path<'_, R>) -> AdjointForm {
        let block = Differentiate::<R>::block_steps(self);
        let blocks = path.steps.iter().map(|steps| steps.div_ceil(block)).sum();
        let has_kernels =
            |cell| cells::fits::<R>(cell, path.m) && !self.is_for_threads(cell, blocks, WIDE);
        if path.cell.is_some_and(has_kernels) { AdjointForm::Cell } else { AdjointForm::Graph }
    }

    fn block_steps(&self) -> usize {
        // Until the device is full, a sweep takes as long as one block.
        self.chunk_steps.unwrap_or(64)
    }

    fn pull_first<'b>(
        &self,
        track: &mut CudaTrack<'_, R>,
        adjoint: &Adjoint,
        cotangents: StateCotangents<'_, R>,
        blocks: &'b [Block],
    ) -> Result<Begun<'b, R>> {
        let given = self.upload_cotangents(&track.path, cotangents)?;
        let mut sums = Sums::new(self, &track.path, blocks, track.path.m)?;
        sums.pulled = Some(Pulled::new(self, &track.path, adjoint, &sums)?);
        track.sums = Some(sums);
        let bytes = blocks.len() * track.path.n * size_of::<R>();
        let mut borders = self.device.allocate(bytes)?;
        borders.clear(0, bytes)?;
        let which = Which { from: 0, count: blocks.len(), chosen: None };
        self.settle(track, blocks, Direction::Backwards, borders, |borders, first| {
            let given = first.then_some(&given);
            self.pull(track, Sweep { which, borders, given, record: true })
        })
    }

    fn pull_again(
        &self,
        track: &mut CudaTrack<'_, R>,
        _: &Adjoint,
        blocks: &[Block],
        borders: &mut [R],
        record: bool,
    ) -> Result<()> {
        self.again(track, blocks, borders, record, |sweep| self.pull(track, sweep))
    }

    fn push_first<'b>(
        &self,
        track: &mut CudaTrack<'_, R>,
        tangent: &Tangent,
        tangents: GivenTangents<'_, R>,
        blocks: &'b [Block],
    ) -> Result<Begun<'b, R>> {
        let kernels = self.modules.pushing::<R>(tangent, true)?;
        let given = self.upload_inputs(tangents.inputs, track.path.max_steps * track.path.m)?;
        track.sums = Some(Sums::new(self, &track.path, blocks, track.path.n)?);
        let borders = tangents.borders(blocks, track.path.n);
        let borders = self.device.upload(Number::wrap(&borders))?;
        let which = Which { from: 0, count: blocks.len(), chosen: None };
        self.settle(track, blocks, Direction::Forwards, borders, |borders, first| {
            let sweep = |given| Sweep { which, borders, given, record: true };
            if first {
                return self.push(track, &kernels, sweep(Some(&given)), Some(tangents.params));
            }
            let kernels = self.modules.pushing::<R>(tangent, false)?;
            self.push(track, &kernels, sweep(None), None)
        })
    }

    fn push_again(
        &self,
        track: &mut CudaTrack<'_, R>,
        tangent: &Tangent,
        blocks: &[Block],
        borders: &mut [R],
        record: bool,
    ) -> Result<()> {
        let kernels = self.modules.pushing::<R>(tangent, false)?;
        self.again(track, blocks, borders, record, |sweep| self.push(track, &kernels, sweep, None))
    }

    fn collect(&self, track: CudaTrack<'_, R>) -> Result<Collected<R>> {
        let sums = track.sums()?;
        let path = &track.path;
        let mut params = vec![0.0; path.params.len()];
        if let Some(Pulled { layout, params: found, listed, .. }) = &sums.pulled {
            let products = &layout.products;
            let mut totals = vec![0.0f64; products.len()];
            if layout.summed && layout.factors > 0 {
                let bytes = 8 * products.len();
                let mut summed = self.device.allocate(bytes)?;
                summed.clear(0, bytes)?;
                let (rows, width) = (sums.blocks.len(), layout.factors);
                let products = (listed, products.len());
                self.sum_products::<f64>(found, rows, width, products, None, &summed)?;
                summed.read(0, &mut totals)?;
            } else {
                found.read(0, &mut totals)?;
            }
            for (product, total) in products.iter().zip(totals) {
                params[product.param] += total;
            }
        }
        let mut rows = vec![R::default(); path.steps.len() * path.max_steps * sums.width];
        sums.rows.read(0, Number::wrap_mut(&mut rows))?;
        Ok(Collected { rows, params })
    }
}
