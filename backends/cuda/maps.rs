//! Newton's sweeps, with what they keep of all chunks on the device: in one launch each where there is a kernel for that, else in stages.

use super::Cuda;
use super::chunks::Chunks;
use super::driver::{Arguments, Buffer, Grid};
use super::kernels::{THREADS, suffix};
use super::newton::FusedSweeps;
use super::scan::{Sequences, scan};
use super::trajectory::CudaTrajectory;
use crate::backend::{Block, LinearizeSettings, Linearized};
use crate::dynamics::{Recurrence, Structure};
use crate::error::Result;
use crate::problem::Problem;
use crate::scalar::Real;
use crate::scan::AffineBlocks;
use crate::solver::Linearization;
use std::ops::Range;

/// What Newton's sweeps keep on the device.
#[derive(Debug)]
pub enum CudaMaps<R> {
    /// A sweep is one launch.
    Fused(Box<FusedSweeps<R>>),
    /// A sweep is a launch for each stage.
    Staged(Box<StagedMaps<R>>),
}

impl<R: Real> CudaMaps<R> {
    /// What there is for `chunks`, if anything.
    pub(super) fn new<D: Recurrence<Real = R>>(
        cuda: &Cuda,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<R>,
        chunks: &[Block],
        settings: &LinearizeSettings,
    ) -> Result<Option<Self>> {
        if chunks.is_empty() {
            return Ok(None);
        }
        if cuda.fused
            && let Some(fused) = FusedSweeps::new(cuda, problem, trajectory, chunks, settings)?
        {
            return Ok(Some(CudaMaps::Fused(Box::new(fused))));
        }
        let staged = StagedMaps::new(cuda, problem, trajectory, chunks, settings)?;
        Ok(staged.map(|staged| CudaMaps::Staged(Box::new(staged))))
    }

    /// The states at the ends of the chunks.
    pub(super) fn read_ends(&self) -> Result<Vec<R>> {
        match self {
            CudaMaps::Fused(fused) => fused.chunks().read_ends(),
            CudaMaps::Staged(staged) => staged.chunks.read_ends(),
        }
    }

    /// Linearises the chunks `active`.
    pub(super) fn linearize<D: Recurrence<Real = R>>(
        &mut self,
        cuda: &Cuda,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<R>,
        active: &[usize],
        settings: &LinearizeSettings,
    ) -> Result<Vec<Linearized>> {
        match self {
            CudaMaps::Fused(fused) => fused.sweep(cuda, problem, trajectory, active, settings),
            CudaMaps::Staged(staged) => {
                staged.linearize(cuda, problem, trajectory, active, settings)
            }
        }
    }

    /// Moves the borders of the chunks in `ranges`.
    pub(super) fn update<D: Recurrence<Real = R>>(
        &mut self,
        cuda: &Cuda,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<R>,
        ranges: &[Range<usize>],
        settings: &LinearizeSettings,
    ) -> Result<()> {
        match self {
            CudaMaps::Fused(fused) => {
                fused.update(settings);
                Ok(())
            }
            CudaMaps::Staged(staged) => staged.update(cuda, problem, trajectory, ranges, settings),
        }
    }
}

/// The affine maps of the chunks of all sequences, on the device.
#[derive(Debug)]
pub struct StagedMaps<R> {
    chunks: Chunks<R>,
    n: usize,
    /// Rows of a block of a map, and numbers in a map.
    size: usize,
    entries: usize,
    /// The component of each row of a map.
    components: Buffer,
    /// States before the chunks, and where the last update took them: `[chunks, n]` each.
    starts: Buffer,
    fresh: Buffer,
    /// `[chunks, entries]`
    maps: Buffer,
}

impl<R: Real> StagedMaps<R> {
    /// Largest blocks of a map that can be scanned on the device.
    const LARGEST: usize = 32;

    /// Room for the maps of `chunks`, if they can be scanned there.
    fn new<D: Recurrence<Real = R>>(
        cuda: &Cuda,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<R>,
        chunks: &[Block],
        settings: &LinearizeSettings,
    ) -> Result<Option<Self>> {
        let n = problem.state_dim();
        let (structure, entries) = match settings.linearization {
            Linearization::Zero | Linearization::Identity => (Structure::Diagonal, 0),
            Linearization::Diagonal => (Structure::Diagonal, n),
            Linearization::Full => {
                let structure = cuda.modules.structure(problem);
                (structure, structure.entries(n))
            }
        };
        let size = structure.block_size(n);
        if size > Self::LARGEST {
            return Ok(None);
        }
        let order: Vec<u32> =
            (0..n).map(|row| structure.component(n, row / size, row % size) as u32).collect();
        let device = &cuda.device;
        let numbers = |count: usize| device.allocate(chunks.len() * count * size_of::<R>());
        Ok(Some(Self {
            n,
            size,
            entries,
            components: device.upload(&order)?,
            starts: numbers(n)?,
            fresh: numbers(n)?,
            maps: numbers(entries)?,
            chunks: Chunks::new(cuda, problem, trajectory, chunks)?,
        }))
    }

    /// Linearises the chunks `active`.
    fn linearize<D: Recurrence<Real = R>>(
        &mut self,
        cuda: &Cuda,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<R>,
        active: &[usize],
        settings: &LinearizeSettings,
    ) -> Result<Vec<Linearized>> {
        let indices: Vec<u32> = active.iter().map(|&i| i as u32).collect();
        let indices = cuda.device.upload(&indices)?;
        self.chunks.load_starts(cuda, trajectory, &indices, active.len(), &self.starts)?;
        let several = self.chunks.longer_than(settings.block);
        let (kernels, rows) = cuda.linearizing(problem, settings.linearization, several)?;
        let arguments = trajectory
            .arguments(trajectory.states(), Some(settings.tolerance))
            .buffer(&self.chunks.listed)
            .word(active.len() as u64)
            .buffer(&indices)
            .buffer(&self.starts)
            .buffer(&self.chunks.ends)
            .buffer(&self.maps)
            .word((self.entries * size_of::<R>()) as u64)
            .buffer(&self.chunks.results)
            .word(settings.block as u64)
            .word(kernels.columns as u64)
            .number(settings.factor);
        let grid = (active.len(), rows);
        self.chunks.clear_results()?;
        // SAFETY: the arguments of `linearize`; chunks are within the trajectory, and there is room for all ends and maps.
        unsafe { kernels.launch("linearize", grid, &arguments, problem.params(), None) }?;
        self.chunks.read_results(active)
    }

    /// Moves the borders of the chunks in `ranges`.
    fn update<D: Recurrence<Real = R>>(
        &mut self,
        cuda: &Cuda,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<R>,
        ranges: &[Range<usize>],
        settings: &LinearizeSettings,
    ) -> Result<()> {
        let device = &cuda.device;
        let moved: Vec<u32> = ranges.iter().cloned().flatten().map(|i| i as u32).collect();
        let mut inside = vec![1u32; moved.len()];
        let mut end = 0;
        for range in ranges {
            end += range.len();
            inside[end - 1] = 0;
        }
        let count = moved.len();
        let (indices, inside) = (device.upload(&moved)?, device.upload(&inside)?);
        let mut elements = device.allocate(count * self.n * (self.size + 1) * size_of::<R>())?;
        let borders = cuda.modules.borders()?;
        let grid = Grid::over(count * self.n, THREADS, 1);
        let name = |kernel: &str| format!("{kernel}_{}", suffix::<R>());
        let common = |elements: Option<&Buffer>| {
            Arguments::default()
                .buffer(&indices)
                .buffer(&inside)
                .word(count as u64)
                .buffer(&self.starts)
                .buffer(&self.chunks.ends)
                .word(elements.map_or(0, Buffer::address))
                .word(self.n as u64)
                .word(self.size as u64)
                .buffer(&self.components)
        };
        let arguments = common((self.entries > 0).then_some(&self.maps))
            .number(settings.factor)
            .buffer(&self.chunks.listed)
            .word(settings.block as u64)
            .buffer(&elements);
        // SAFETY: the arguments of `elements`, for which there is room.
        unsafe { borders.launch(&name("elements"), grid, &arguments) }?;
        let op = AffineBlocks::new(self.n, self.size)?;
        let one = Sequences { batch: 1, backwards: false };
        scan::<R, _>(device, &cuda.modules, &op, &mut elements, count * op.width(), one)?;
        let arguments = common(Some(&elements)).buffer(&self.fresh);
        // SAFETY: the arguments of `moved`.
        unsafe { borders.launch(&name("moved"), grid, &arguments) }?;

        if moved.iter().any(|&i| self.chunks.all[i as usize].len > settings.block) {
            let (kernels, _) = cuda.linearizing(problem, settings.linearization, true)?;
            let arguments = trajectory
                .arguments(trajectory.states(), Some(settings.tolerance))
                .buffer(&self.chunks.listed)
                .word(count as u64)
                .buffer(&indices)
                .buffer(&self.starts)
                .buffer(&self.fresh)
                .word(settings.block as u64)
                .number(settings.factor);
            let grid = (count, 1);
            // SAFETY: the arguments of `replay`; chunks are within the trajectory.
            unsafe { kernels.launch("replay", grid, &arguments, problem.params(), None) }?;
        }
        let words = trajectory.words();
        let arguments = Arguments::default()
            .buffer(trajectory.states())
            .buffer(&self.chunks.listed)
            .buffer(&indices)
            .word(count as u64)
            .word(words as u64)
            .buffer(&self.fresh);
        let grid = Grid::over(count * words, THREADS, 1);
        // SAFETY: the arguments of `store_starts`; chunks are within the trajectory.
        unsafe { borders.launch("store_starts", grid, &arguments) }
    }
}
