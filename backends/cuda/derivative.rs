//! Sweeps of linear recurrences along a trajectory: cotangents backwards, tangents forwards.
//!
//! Rows for each step stay on the device until the sweeps are done; the host has what blocks hand over, sizes and the cotangent of θ.

use super::Cuda;
use super::driver::{Arguments, Buffer, Grid, Number};
use super::kernels::{Kernels, THREADS, suffix};
use super::trajectory::{block_words, check_steps};
use crate::backend::{Block, Differentiate, Path, Pulled, Pushed, StateCotangents, Swept};
use crate::error::Result;
use crate::graph::adjoint::Adjoint;
use crate::graph::tangent::Tangent;
use crate::scalar::Real;
use std::ops::Range;
use std::sync::Arc;

/// A difference this much smaller than what it is added to changes nothing, in units of the precision.
const NEGLIGIBLE: f64 = 0.125;
/// Bytes of factors that are kept at a time.
const FACTORS: usize = 256 << 20;

/// A solved trajectory with its copy on the device.
#[derive(Debug)]
pub struct CudaTrack<'p, R> {
    path: Path<'p, R>,
    states: Arc<Buffer>,
    inputs: Arc<Buffer>,
    /// What the sweeps have added up, a row for each step `[B, T, ..]`.
    sums: Option<Buffer>,
}

impl<R: Real> CudaTrack<'_, R> {
    /// The first argument of the kernels.
    fn arguments(&self, floor: R) -> Arguments {
        let bytes = |count: usize| (count * size_of::<R>()) as u64;
        Arguments::default().structure(&[
            self.states.address(),
            self.inputs.address(),
            bytes(self.path.n),
            bytes(self.path.m),
            floor.to_f64().to_bits(),
            (NEGLIGIBLE * R::EPSILON.to_f64()).to_bits(),
        ])
    }

    /// The state before a block.
    fn start(&self, block: &Block) -> &[R] {
        let n = self.path.n;
        match block.start {
            0 => &self.path.initial[block.batch * n..][..n],
            _ => &self.path.states[(self.path.place(block) - 1) * n..][..n],
        }
    }

    /// The tiles of a block among those of all sequences.
    fn tiles(&self, block: &Block) -> Range<usize> {
        let first =
            block.batch * self.path.max_steps.div_ceil(Swept::TILE) + block.start / Swept::TILE;
        first..first + block.len.div_ceil(Swept::TILE)
    }
}

/// Blocks as the kernels want them, and what is to be read when they have run.
struct Batch<'b, R> {
    blocks: &'b [Block],
    listed: Buffer,
    starts: Buffer,
    borders: Buffer,
    /// Contributions of each step, `rows` for each block.
    out: Buffer,
    rows: usize,
    /// Sizes, `tiles` for each block, before; and of what each part adds.
    sizes: Buffer,
    noted: Buffer,
    tiles: usize,
    parts: usize,
    swept: Buffer,
    /// Numbers in a row of `out`.
    width: usize,
    first: bool,
    record: bool,
    precision: std::marker::PhantomData<R>,
}

impl<'b, R: Real> Batch<'b, R> {
    /// Puts what blocks of so many `parts` need on the device; rows of contributions have `width` numbers.
    #[allow(clippy::too_many_arguments)]
    fn new(
        cuda: &Cuda,
        track: &CudaTrack<'_, R>,
        blocks: &'b [Block],
        borders: &[R],
        sizes: Option<&[R]>,
        (width, parts): (usize, usize),
        first: bool,
    ) -> Result<Self> {
        let device = &cuda.device;
        let record = sizes.is_some();
        let rows = blocks.iter().map(|block| block.len).max().unwrap_or(0);
        let tiles = rows.div_ceil(Swept::TILE);
        let words: Vec<u64> = blocks
            .iter()
            .flat_map(|block| {
                let place = track.path.place(block);
                block_words(block, place, place, false)
            })
            .collect();
        let starts: Vec<R> = blocks.iter().flat_map(|block| track.start(block)).copied().collect();
        let mut known = vec![0.0; if record { blocks.len() * tiles } else { 0 }];
        for (known, block) in known.chunks_mut(tiles.max(1)).zip(blocks) {
            let stored = &sizes.unwrap_or_default()[track.tiles(block)];
            for (known, stored) in known.iter_mut().zip(stored) {
                *known = stored.to_f64();
            }
        }
        let bytes = if record { blocks.len() * rows * width * size_of::<R>() } else { 0 };
        let mut out = device.allocate(bytes)?;
        if !first || parts > 1 {
            // A block may stop early, or be shorter than others.
            out.clear(0, bytes)?;
        }
        let bytes = known.len() * parts * 8;
        let mut noted = device.allocate(bytes)?;
        noted.clear(0, bytes)?;
        Ok(Self {
            blocks,
            listed: device.upload(&words)?,
            starts: device.upload(Number::wrap(&starts))?,
            borders: device.upload(Number::wrap(borders))?,
            out,
            rows,
            sizes: device.upload(&known)?,
            noted,
            tiles,
            parts,
            swept: device.allocate(blocks.len() * parts * 16)?,
            width,
            first,
            record,
            precision: std::marker::PhantomData,
        })
    }

    /// The arguments that both kernels have.
    fn arguments(&self, arguments: Arguments, given: Option<&Buffer>) -> Arguments {
        arguments
            .buffer(&self.listed)
            .word(self.blocks.len() as u64)
            .buffer(&self.starts)
            .buffer(&self.borders)
            .word(given.map_or(0, Buffer::address))
            .buffer(&self.out)
            .word(self.rows as u64)
            .buffer(&self.sizes)
            .buffer(&self.noted)
            .word(self.tiles as u64)
            .word(self.parts as u64)
            .buffer(&self.swept)
            .word(u64::from(self.first))
            .word(u64::from(self.record))
    }

    fn grid(&self) -> (usize, usize) {
        (self.blocks.len(), 1)
    }

    /// Reads what the blocks handed over and came to, and adds their rows to those of the track.
    fn read(
        &self,
        cuda: &Cuda,
        track: &mut CudaTrack<'_, R>,
        borders: &mut [R],
        sizes: Option<&mut [R]>,
    ) -> Result<Vec<Swept>> {
        self.borders.read(0, Number::wrap_mut(borders))?;
        if let Some(sizes) = sizes {
            self.add_rows(cuda, track)?;
            let tiles = self.blocks.len() * self.tiles;
            let added = cuda.sum_parts(&self.noted, tiles, self.parts, 1)?;
            for (added, block) in added.chunks(self.tiles.max(1)).zip(self.blocks) {
                for (stored, &added) in sizes[track.tiles(block)].iter_mut().zip(added) {
                    let added = R::from_f64(added);
                    if self.first || added > *stored {
                        *stored = added;
                    }
                }
            }
        }
        let sums = cuda.sum_parts(&self.swept, self.blocks.len(), self.parts, 2)?;
        let result = |sums: &[f64]| Swept { difference: sums[0], magnitude: sums[1] };
        Ok(sums.chunks_exact(2).map(result).collect())
    }

    /// Adds the rows of the blocks' steps to those of the track, which it makes where there are none.
    fn add_rows(&self, cuda: &Cuda, track: &mut CudaTrack<'_, R>) -> Result<()> {
        let sums = match &mut track.sums {
            Some(sums) => sums,
            none => {
                let steps = track.path.steps.len() * track.path.max_steps;
                let bytes = steps * self.width * size_of::<R>();
                let mut sums = cuda.device.allocate(bytes)?;
                // No block has the steps after the end of a shorter sequence.
                sums.clear(0, bytes)?;
                none.insert(sums)
            }
        };
        let count = self.blocks.len() * self.rows * self.width;
        if count == 0 {
            return Ok(());
        }
        let arguments = Arguments::default()
            .buffer(sums)
            .buffer(&self.listed)
            .word(self.blocks.len() as u64)
            .word(self.rows as u64)
            .word(self.width as u64)
            .buffer(&self.out)
            .word(u64::from(self.first));
        let name = format!("add_rows_{}", suffix::<R>());
        let module = cuda.modules.products()?;
        // SAFETY: the arguments of the kernel; blocks are within the trajectory, and `out` has their rows.
        unsafe { module.launch(&name, Grid::over(count, THREADS, 1), &arguments) }
    }
}

impl Cuda {
    /// Cotangents of the states `[B, T, n]`.
    fn upload_cotangents<R: Real>(
        &self,
        path: &Path<'_, R>,
        cotangents: StateCotangents<'_, R>,
    ) -> Result<Buffer> {
        let (steps, batch) = (path.max_steps, path.steps.len());
        let words = path.n * size_of::<R>() / 4;
        let count = batch * steps * words;
        let rows = match cotangents {
            StateCotangents::EachStep(all) => return self.device.upload(Number::wrap(all)),
            StateCotangents::AllSteps(rows) | StateCotangents::LastSteps(rows) => rows,
        };
        let rows = self.device.upload(Number::wrap(rows))?;
        let mut all = self.device.allocate(4 * count)?;
        let module = self.modules.states()?;
        if let StateCotangents::AllSteps(_) = cotangents {
            let arguments = Arguments::default()
                .buffer(&rows)
                .word(steps as u64)
                .word(batch as u64)
                .word(words as u64)
                .buffer(&all);
            // SAFETY: the arguments of `repeat`; there is room for every step.
            unsafe { module.launch("repeat", Grid::over(count, THREADS, 1), &arguments) }?;
            return Ok(all);
        }
        all.clear(0, 4 * count)?;
        // Of a sequence without steps, its first place is written, which no block reads.
        let last = |(b, &own): (usize, &usize)| (b * steps + own.saturating_sub(1)) as u64;
        let places: Vec<u64> = path.steps.iter().enumerate().map(last).collect();
        let listed = self.device.upload(&places)?;
        let arguments = Arguments::default()
            .buffer(&all)
            .buffer(&listed)
            .word(batch as u64)
            .word(words as u64)
            .buffer(&rows);
        let grid = Grid::over(batch * words, THREADS, 1);
        // SAFETY: the arguments of `scatter`; all places are in the trajectory.
        unsafe { module.launch("scatter", grid, &arguments) }?;
        Ok(all)
    }

    /// Runs a batch of blocks backwards.
    #[allow(clippy::too_many_arguments)]
    fn pull_batch<R: Real>(
        &self,
        track: &mut CudaTrack<'_, R>,
        kernels: &Kernels,
        given: Option<&Buffer>,
        blocks: &[Block],
        borders: &mut [R],
        pulled: Option<&mut Pulled<R>>,
    ) -> Result<Vec<Swept>> {
        let first = given.is_some();
        let (floor, sizes) = match &pulled {
            Some(pulled) => (pulled.floor, Some(&pulled.sizes[..])),
            None => (R::default(), None),
        };
        let layout = &kernels.layout;
        let wide = (layout.inputs, kernels.parts());
        let mut batch = Batch::new(self, track, blocks, borders, sizes, wide, first)?;
        let width = layout.factors;
        let rows = blocks.len() * batch.rows;
        let bytes = if batch.record { rows * width * size_of::<R>() } else { 0 };
        let mut factors = self.device.allocate(bytes)?;
        // Not all blocks are of the same length, and one may stop early.
        factors.clear(0, bytes)?;
        let arguments = batch
            .arguments(track.arguments(floor), given)
            .word((layout.inputs * size_of::<R>()) as u64)
            .buffer(&factors)
            .word((width * size_of::<R>()) as u64);
        // SAFETY: the arguments of `pull`; blocks are within the trajectory, and there is room for each one's rows.
        unsafe { kernels.launch("pull", batch.grid(), &arguments, track.path.params, None) }?;
        let Some(pulled) = pulled else {
            return batch.read(self, track, borders, None);
        };
        if let Some(summands) = &layout.summands {
            batch.out = self.sum_listed::<R>(&batch.out, rows, layout.inputs, summands)?;
            batch.width = summands.len();
        }
        let swept = batch.read(self, track, borders, Some(&mut pulled.sizes))?;
        if !layout.products.is_empty() {
            let sums = self.sum_products::<R>(&factors, rows, width, &layout.products)?;
            for (product, sum) in layout.products.iter().zip(sums) {
                pulled.params[product.param] += sum;
            }
        }
        Ok(swept)
    }
}

impl<R: Real> Differentiate<R> for Cuda {
    type Track<'p> = CudaTrack<'p, R>;

    fn lanes(&self) -> usize {
        32
    }

    fn track<'p>(&self, path: Path<'p, R>) -> Result<CudaTrack<'p, R>> {
        check_steps(path.max_steps)?;
        let states = match self.kept_states(path.kept) {
            Some(states) => states,
            None => {
                // The room of another solution's may be needed.
                self.drop_states();
                Arc::new(self.device.upload(Number::wrap(path.states))?)
            }
        };
        let inputs = match path.inputs_of.and_then(|problem| self.kept_inputs(problem)) {
            Some(inputs) => inputs,
            None => Arc::new(self.upload_inputs(&path.inputs, path.max_steps * path.m)?),
        };
        Ok(CudaTrack { path, states, inputs, sums: None })
    }

    fn block_steps(&self) -> usize {
        // Until the device is full, a sweep takes as long as one block.
        128
    }

    fn pull(
        &self,
        track: &mut CudaTrack<'_, R>,
        adjoint: &Adjoint,
        cotangents: Option<StateCotangents<'_, R>>,
        blocks: &[Block],
        borders: &mut [R],
        mut pulled: Option<&mut Pulled<R>>,
    ) -> Result<Vec<Swept>> {
        let kernels = self.modules.pulling::<R>(adjoint)?;
        let given = cotangents.map(|all| self.upload_cotangents(&track.path, all)).transpose()?;
        let n = track.path.n;
        let longest = blocks.iter().map(|block| block.len).max().unwrap_or(0);
        let row = (kernels.layout.factors + kernels.layout.inputs) * size_of::<R>();
        // As many blocks at a time as the factors leave room for.
        let together = (FACTORS / (longest * row).max(1)).max(1);
        let mut swept = Vec::with_capacity(blocks.len());
        for (blocks, borders) in blocks.chunks(together).zip(borders.chunks_mut(together * n)) {
            swept.extend(self.pull_batch(
                track,
                &kernels,
                given.as_ref(),
                blocks,
                borders,
                pulled.as_deref_mut(),
            )?);
        }
        Ok(swept)
    }

    fn push(
        &self,
        track: &mut CudaTrack<'_, R>,
        tangent: &Tangent,
        tangents: Option<(&[R], &[&[R]])>,
        blocks: &[Block],
        borders: &mut [R],
        pushed: Option<&mut Pushed<R>>,
    ) -> Result<Vec<Swept>> {
        let first = tangents.is_some();
        let kernels = self.modules.pushing::<R>(tangent, first)?;
        let mut given = None;
        if let Some((_, of_inputs)) = tangents {
            given = Some(self.upload_inputs(of_inputs, track.path.max_steps * track.path.m)?);
        }
        let (floor, sizes) = match &pushed {
            Some(pushed) => (pushed.floor, Some(&pushed.sizes[..])),
            None => (R::default(), None),
        };
        let wide = (track.path.n, kernels.parts());
        let batch = Batch::new(self, track, blocks, borders, sizes, wide, first)?;
        let arguments = batch.arguments(track.arguments(floor), given.as_ref());
        let of_params = tangents.map(|(of_params, _)| of_params);
        // SAFETY: the arguments of `push`; blocks are within the trajectory, and there is room for each one's rows.
        unsafe { kernels.launch("push", batch.grid(), &arguments, track.path.params, of_params) }?;
        batch.read(self, track, borders, pushed.map(|pushed| &mut pushed.sizes[..]))
    }

    fn collect(&self, track: CudaTrack<'_, R>, sums: &mut [R]) -> Result<()> {
        match track.sums {
            Some(all) => all.read(0, Number::wrap_mut(sums)),
            None => Ok(()),
        }
    }
}
