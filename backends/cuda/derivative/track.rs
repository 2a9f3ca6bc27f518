//! What derivatives go along, and what they come to, on the device.

use super::super::Cuda;
use super::super::driver::{Arguments, Buffer, Grid, Number};
use super::super::gradients::Layout;
use super::super::kernels::{Kernels, THREADS};
use super::super::sums::Summands;
use super::super::trajectory::{block_words, check_steps};
use super::cells::PulledCell;
use super::handing::Report;
use crate::backend::{Block, Path, StateCotangents, Swept};
use crate::error::{Error, Result};
use crate::graph::adjoint::Adjoint;
use crate::scalar::Real;
use std::sync::Arc;

/// A difference this much smaller than what it is added to changes nothing, in units of the precision.
const NEGLIGIBLE: f64 = 0.125;
/// Bytes of a block in a list.
const BLOCK: usize = 24;

/// A solved trajectory with its copy on the device.
#[derive(Debug)]
pub struct CudaTrack<'p, R> {
    pub(super) path: Path<'p, R>,
    states: Arc<Buffer>,
    inputs: Arc<Buffer>,
    initial: Buffer,
    /// Since the first sweep.
    pub(super) sums: Option<Sums>,
}

/// The blocks that sweeps go over, and what these add up.
#[derive(Debug)]
pub(super) struct Sums {
    pub(super) blocks: Vec<Block>,
    pub(super) listed: Buffer,
    /// Steps of the longest block, and its tiles.
    pub(super) longest: usize,
    pub(super) tiles: usize,
    /// In double precision, `[blocks, tiles]`.
    pub(super) sizes: Buffer,
    pub(super) report: Report,
    /// A row for each step, `[B, T, width]`.
    pub(super) rows: Buffer,
    pub(super) width: usize,
    pub(super) pulled: Option<Pulled>,
}

/// What cotangents have besides.
#[derive(Debug)]
pub(super) struct Pulled {
    pub(super) by: Pulling,
    pub(super) layout: Arc<Layout>,
    /// What comes to θ, in double precision: for each of the layout's products, or for each block a row of sums.
    pub(super) params: Buffer,
    /// The products.
    pub(super) listed: Buffer,
    /// Where what parts give to each input is in a row.
    pub(super) summands: Option<Summands>,
}

/// What runs backwards.
#[derive(Debug)]
pub(super) enum Pulling {
    /// Made from the graph of a step.
    Traced(Kernels),
    Cell(PulledCell),
}

impl Pulled {
    pub(super) fn new<R: Real>(
        cuda: &Cuda,
        path: &Path<'_, R>,
        adjoint: &Adjoint,
        sums: &Sums,
    ) -> Result<Self> {
        let (by, layout);
        match path.cell {
            Some(cell) if adjoint.graph().is_none() => {
                layout = Arc::new(Layout::of_cell(adjoint, cell.hidden));
                by = Pulling::Cell(PulledCell::new(cuda, cell, path, sums, &layout)?);
            }
            _ => {
                let kernels = cuda.modules.pulling::<R>(adjoint)?;
                layout = Arc::clone(&kernels.layout);
                by = Pulling::Traced(kernels);
            }
        }
        let blocks = sums.blocks.len();
        let numbers = if layout.summed { blocks * layout.factors } else { layout.products.len() };
        let mut params = cuda.device.allocate(8 * numbers)?;
        params.clear(0, 8 * numbers)?;
        let listed = cuda.upload_products(&layout.products)?;
        let summands =
            layout.summands.as_ref().map(|summands| cuda.upload_summands(summands)).transpose()?;
        Ok(Self { by, layout, params, listed, summands })
    }
}

/// One sweep.
#[derive(Clone, Copy)]
pub(super) struct Sweep<'s> {
    pub(super) which: Which<'s>,
    /// `[count, n]`
    pub(super) borders: &'s Buffer,
    /// What the first one is given.
    pub(super) given: Option<&'s Buffer>,
    /// Whether more is kept than borders.
    pub(super) record: bool,
}

/// What a sweep tells of some of its blocks.
pub(super) struct Told {
    pub(super) parts: usize,
    /// What parts add to tiles, `[count, tiles, parts]`, if more is kept than borders.
    pub(super) noted: Option<Buffer>,
    /// In the first sweep how far the states are from the steps' values, in so many shares.
    pub(super) swept: Option<(Buffer, usize)>,
}

impl Told {
    pub(super) fn new(
        cuda: &Cuda,
        sums: &Sums,
        sweep: Sweep<'_>,
        which: Which<'_>,
        (parts, shares): (usize, usize),
    ) -> Result<Self> {
        let (mut noted, mut swept) = (None, None);
        if sweep.record {
            let bytes = which.count * sums.tiles * parts * 8;
            let memory = noted.insert(cuda.device.allocate(bytes)?);
            if sweep.given.is_none() {
                // A part may stop early.
                memory.clear(0, bytes)?;
            }
        }
        if sweep.given.is_some() {
            swept = Some((cuda.device.allocate(shares * 16)?, shares));
        }
        Ok(Self { parts, noted, swept })
    }
}

/// Some of the blocks, in the order of one sweep: all from the first one's number on, or those that a list has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Which<'c> {
    pub(super) from: usize,
    pub(super) count: usize,
    pub(super) chosen: Option<&'c Buffer>,
}

impl Which<'_> {
    /// Pieces of at most `most` blocks.
    pub(super) fn pieces(self, most: usize) -> impl Iterator<Item = Self> {
        let (end, most) = (self.from + self.count, most.max(1));
        (self.from..end).step_by(most).map(move |from| Self {
            from,
            count: most.min(end - from),
            ..self
        })
    }

    /// Where the blocks' entries begin in an array with `bytes` bytes for each block.
    pub(super) fn of_blocks(self, all: &Buffer, bytes: usize) -> u64 {
        let from = if self.chosen.is_some() { 0 } else { self.from };
        all.address() + (from * bytes) as u64
    }

    /// Where they begin in an array in the order of the sweep.
    pub(super) fn of_sweep(self, all: &Buffer, bytes: usize) -> u64 {
        all.address() + (self.from * bytes) as u64
    }

    /// The list of their numbers: the rest of it, from the first.
    pub(super) fn list(self) -> u64 {
        self.chosen.map_or(0, |chosen| self.of_sweep(chosen, 4))
    }
}

impl Sums {
    /// Arrays for `blocks`, with rows of `width` numbers.
    pub(super) fn new<R: Real>(
        cuda: &Cuda,
        path: &Path<'_, R>,
        blocks: &[Block],
        width: usize,
    ) -> Result<Self> {
        let device = &cuda.device;
        let longest = blocks.iter().map(|block| block.len).max().unwrap_or(0);
        let tiles = longest.div_ceil(Swept::TILE);
        let words: Vec<u64> = blocks
            .iter()
            .flat_map(|block| {
                let place = path.place(block);
                let last = block.start + block.len == path.steps[block.batch];
                block_words(block, place, place, last)
            })
            .collect();
        let (batch, steps) = (path.steps.len(), path.max_steps);
        let bytes = batch * steps * width * size_of::<R>();
        let mut rows = device.allocate(bytes)?;
        if path.steps.iter().any(|&own| own < steps) {
            // No block has the steps after the end of a shorter sequence.
            rows.clear(0, bytes)?;
        }
        Ok(Self {
            blocks: blocks.to_vec(),
            listed: device.upload(&words)?,
            longest,
            tiles,
            sizes: device.allocate(blocks.len() * tiles * 8)?,
            report: Report::new(cuda, batch * path.n * size_of::<R>())?,
            rows,
            width,
            pulled: None,
        })
    }

    /// The numbers of some of the blocks.
    pub(super) fn numbers(&self, chosen: &[Block]) -> Vec<u32> {
        let place = |block: &Block| (block.batch, block.start);
        let number = |block: &Block| self.blocks.partition_point(|own| place(own) < place(block));
        chosen.iter().map(|block| number(block) as u32).collect()
    }

    /// The address of a list of blocks.
    pub(super) fn listed(&self, which: Which<'_>) -> u64 {
        which.of_blocks(&self.listed, BLOCK)
    }
}

impl<R: Real> CudaTrack<'_, R> {
    /// What the first sweep has made.
    pub(super) fn sums(&self) -> Result<&Sums> {
        let missing = || Error::setting("sweep", "one after the first of its trajectory", "none");
        self.sums.as_ref().ok_or_else(missing)
    }

    /// What the first sweep of cotangents has made besides.
    pub(super) fn pulled(&self) -> Result<&Pulled> {
        let missing = || Error::setting("sweep", "one of cotangents", "one of tangents");
        self.sums()?.pulled.as_ref().ok_or_else(missing)
    }

    /// The first arguments of kernels that sweep: over some of the blocks of a sweep, with `out` for what comes of the steps.
    pub(super) fn arguments(
        &self,
        sums: &Sums,
        sweep: Sweep<'_>,
        which: Which<'_>,
        out: &Buffer,
        told: &Told,
    ) -> Arguments {
        let bytes = |count: usize| (count * size_of::<R>()) as u64;
        let path = [
            self.states.address(),
            self.inputs.address(),
            self.initial.address(),
            bytes(self.path.n),
            bytes(self.path.m),
            self.path.max_steps as u64,
        ];
        Arguments::default().structure(&path).structure(&self.sweep(sums, sweep, which, out, told))
    }

    /// The second of them.
    pub(super) fn sweep(
        &self,
        sums: &Sums,
        sweep: Sweep<'_>,
        which: Which<'_>,
        out: &Buffer,
        told: &Told,
    ) -> [u64; 16] {
        let lost = R::EPSILON.to_f64() * R::EPSILON.to_f64();
        [
            sums.listed(which),
            which.list(),
            which.count as u64,
            which.of_sweep(sweep.borders, self.path.n * size_of::<R>()),
            sweep.given.map_or(0, Buffer::address),
            out.address(),
            which.of_blocks(&sums.sizes, sums.tiles * 8),
            told.noted.as_ref().map_or(0, Buffer::address),
            sums.tiles as u64,
            told.parts as u64,
            told.swept.as_ref().map_or(0, |(swept, _)| swept.address()),
            sums.report.largest_size(),
            lost.to_bits(),
            (NEGLIGIBLE * R::EPSILON.to_f64()).to_bits(),
            u64::from(sweep.given.is_some()),
            u64::from(sweep.record),
        ]
    }
}

impl Cuda {
    /// A solved trajectory on the device.
    pub(super) fn take_track<'p, R: Real>(&self, path: Path<'p, R>) -> Result<CudaTrack<'p, R>> {
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
        let initial = self.device.upload(Number::wrap(path.initial))?;
        Ok(CudaTrack { path, states, inputs, initial, sums: None })
    }

    /// Cotangents of the states `[B, T, n]`.
    pub(super) fn upload_cotangents<R: Real>(
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
}
