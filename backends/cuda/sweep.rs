//! The stages of a sweep.

use super::Cuda;
use super::blocks::CudaBlocks;
use super::cells::Task;
use super::driver::{Arguments, Buffer, Grid, Number};
use super::kernels::{Kernels, THREADS, suffix};
use super::maps::CudaMaps;
use super::newton::Form;
use super::programs::LARGEST_STATE;
use super::trajectory::{CudaTrajectory, block_words, check_steps};
use crate::backend::{Block, BlockSweep, Cost, LinearizeSettings, Linearized, Rolled, Sweep};
use crate::dynamics::{Recurrence, Structure};
use crate::error::Result;
use crate::problem::Problem;
use crate::solver::{Linearization, Tolerance};
use ndarray::{Array3, ArrayView3};
use std::marker::PhantomData;
use std::ops::Range;

impl Cuda {
    /// Rolls blocks that are already on the device from the states in `starts`.
    #[allow(clippy::too_many_arguments)]
    fn roll_blocks<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<D::Real>,
        states: &Buffer,
        blocks: &Buffer,
        count: usize,
        starts: &[D::Real],
        merge: Option<Tolerance>,
    ) -> Result<Vec<Rolled>> {
        let starts = self.device.upload(Number::wrap(starts))?;
        let mut rolled = self.device.allocate(count * 16)?;
        rolled.clear(0, count * 16)?;
        let given = trajectory.arguments(states, merge).buffer(blocks);
        if let Some(cell) = self.cell(problem, count) {
            let task = Task {
                starts: &starts,
                open: None,
                started: None,
                rolled: Some(&rolled),
                tally: None,
                merge: merge.is_some(),
            };
            self.roll_cells(cell, problem, count, given, &task)?;
        } else {
            let kernels = self.modules.rolling(problem, self.step.as_ref())?;
            let arguments = given
                .word(count as u64)
                .buffer(&starts)
                .buffer(&rolled)
                .word(u64::from(merge.is_some()));
            let grid = (count, 1);
            // SAFETY: the arguments of `roll`; the blocks are within the inputs and the states.
            unsafe { kernels.launch("roll", grid, &arguments, problem.params(), None) }?;
        }
        let mut words = vec![0u64; 2 * count];
        rolled.read(0, &mut words)?;
        let result = |words: &[u64]| Rolled {
            residual: f64::from_bits(words[0]),
            steps: words[1] as u32 as usize,
        };
        Ok(words.chunks_exact(2).map(result).collect())
    }

    /// The kernels of a linear part, and blocks of threads for the columns of its map.
    pub(super) fn linearizing<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        linearization: Linearization,
        several: bool,
    ) -> Result<(Kernels, usize)> {
        let kernels = self.modules.linearizing(problem, linearization)?;
        let columns = kernels.columns + usize::from(several);
        let rows = columns.div_ceil(kernels.together).max(1);
        Ok((kernels, rows))
    }
}

impl<D: Recurrence> Sweep<D> for Cuda {
    type Trajectory = CudaTrajectory<D::Real>;
    type Blocks = CudaBlocks<D::Real>;
    type Maps = CudaMaps<D::Real>;

    fn width(&self) -> usize {
        32
    }

    fn full(&self, problem: &Problem<'_, D>) -> usize {
        let threads = self.threads(problem, problem.batch_size());
        (THREADS * self.device.processors()).div_ceil(threads)
    }

    fn structure(&self, problem: &Problem<'_, D>) -> Structure {
        self.modules.structure(problem)
    }

    fn chunk_steps(&self, problem: &Problem<'_, D>, linearization: Linearization) -> usize {
        /// Of chunks whose maps stay in their block of threads: a thread's chain of steps is short, and what contracts closes in within
        /// two or three sweeps.
        const FUSED: usize = 32;
        /// Of chunks whose maps go through memory.
        const STAGED: usize = 256;
        let structure = self.modules.structure(problem);
        let form = Form::of(problem.state_dim(), structure, linearization);
        let steps = if self.fused && form.is_some() { FUSED } else { STAGED };
        self.chunk_steps.unwrap_or(steps)
    }

    fn largest_map(&self) -> usize {
        LARGEST_STATE
    }

    fn cost(&self, problem: &Problem<'_, D>) -> Cost {
        self.cost_of(problem)
    }

    fn block_per_memory(&self) -> usize {
        // Until the device is full, a block takes as long as it has steps, whatever else there is to do.
        2
    }

    fn allocate(&self, problem: &Problem<'_, D>) -> Result<Self::Trajectory> {
        check_steps(problem.max_steps())?;
        self.drop_states();
        let inputs = self.inputs(problem)?;
        let (batch, max_steps) = (problem.batch_size(), problem.max_steps());
        let (n, m) = (problem.state_dim(), problem.input_dim());
        let bytes = batch * max_steps * n * size_of::<D::Real>();
        let mut states = self.device.allocate(bytes)?;
        match problem.guess() {
            Some(guess) => {
                let mut guess: Vec<_> = guess.iter().copied().collect();
                for b in 0..batch {
                    guess[(b * max_steps + problem.steps(b)) * n..(b + 1) * max_steps * n]
                        .fill(D::Real::default());
                }
                states.write(0, Number::wrap(&guess))?;
            }
            None => states.clear(0, bytes)?,
        }
        Ok(CudaTrajectory { states, inputs, batch, max_steps, n, m, precision: PhantomData })
    }

    fn read_starts(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &Self::Trajectory,
        blocks: &[Block],
        states: &mut [D::Real],
    ) -> Result<()> {
        if blocks.is_empty() {
            return Ok(());
        }
        // Of a sequence's first block any state will do, since it is replaced.
        let places: Vec<u64> =
            blocks.iter().map(|block| trajectory.place(block).saturating_sub(1) as u64).collect();
        self.gather(trajectory, &places)?.read(0, Number::wrap_mut(states))?;
        let initial = problem.initial_state();
        for (block, state) in blocks.iter().zip(states.chunks_exact_mut(trajectory.n)) {
            if block.start == 0 {
                for (state, &initial) in state.iter_mut().zip(initial.row(block.batch)) {
                    *state = initial;
                }
            }
        }
        Ok(())
    }

    fn read_sizes(
        &self,
        _: &Problem<'_, D>,
        trajectory: &Self::Trajectory,
        blocks: &[Block],
        sizes: &mut [D::Real],
    ) -> Result<()> {
        if blocks.is_empty() {
            return Ok(());
        }
        let words: Vec<u64> = blocks
            .iter()
            .flat_map(|block| [0, trajectory.place(block) as u64, block.start as u64])
            .collect();
        let listed = self.device.upload(&words)?;
        let out = self.device.allocate(size_of_val(sizes))?;
        let arguments = Arguments::default()
            .buffer(&trajectory.states)
            .buffer(&listed)
            .word(blocks.len() as u64)
            .word(trajectory.n as u64)
            .buffer(&out)
            .word(Tolerance::SIZE_STEPS as u64);
        let kernel = format!("sizes_{}", suffix::<D::Real>());
        let grid = Grid::over(sizes.len(), THREADS, 1);
        // SAFETY: the arguments of the kernel; no block has more steps before it than its sequence.
        unsafe { self.modules.look()?.launch(&kernel, grid, &arguments) }?;
        out.read(0, Number::wrap_mut(sizes))
    }

    fn write_starts(
        &self,
        trajectory: &mut Self::Trajectory,
        blocks: &[Block],
        states: &[D::Real],
    ) -> Result<()> {
        let n = trajectory.n;
        let (mut places, mut moved) = (Vec::new(), Vec::new());
        for (block, state) in blocks.iter().zip(states.chunks_exact(n)) {
            if block.start > 0 {
                places.push(trajectory.place(block) as u64 - 1);
                moved.extend_from_slice(state);
            }
        }
        if places.is_empty() {
            return Ok(());
        }
        let words = trajectory.words();
        let listed = self.device.upload(&places)?;
        let from = self.device.upload(Number::wrap(&moved))?;
        let arguments = Arguments::default()
            .buffer(&trajectory.states)
            .buffer(&listed)
            .word(places.len() as u64)
            .word(words as u64)
            .buffer(&from);
        let grid = Grid::over(places.len() * words, THREADS, 1);
        // SAFETY: the arguments of `scatter`; all places are in the trajectory.
        unsafe { self.modules.states()?.launch("scatter", grid, &arguments) }
    }

    fn run_in_order(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        blocks: &[Block],
        starts: &[D::Real],
    ) -> Result<()> {
        self.roll(problem, trajectory, blocks, starts, None).map(drop)
    }

    fn roll(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        blocks: &[Block],
        starts: &[D::Real],
        merge: Option<Tolerance>,
    ) -> Result<Vec<Rolled>> {
        let listed = self.upload_blocks(problem, trajectory, blocks)?;
        let states = &trajectory.states;
        self.roll_blocks(problem, trajectory, states, &listed, blocks.len(), starts, merge)
    }

    fn cut(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &Self::Trajectory,
        len: usize,
    ) -> Result<Option<Self::Blocks>> {
        CudaBlocks::new(self, problem, trajectory, len).map(Some)
    }

    fn sweep_blocks(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        blocks: &mut Self::Blocks,
        tolerance: Tolerance,
        merge: bool,
    ) -> Result<BlockSweep> {
        blocks.sweep(self, problem, trajectory, tolerance, merge)
    }

    fn read_blocks(&self, blocks: &Self::Blocks) -> Result<(Vec<usize>, Vec<D::Real>)> {
        blocks.read()
    }

    fn settle_blocks(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        blocks: &Self::Blocks,
    ) -> Result<()> {
        blocks.settle(self, problem, trajectory)
    }

    fn linearize(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        chunks: &[Block],
        settings: &LinearizeSettings,
        starts: &mut [D::Real],
        ends: &mut [D::Real],
        maps: &mut [D::Real],
    ) -> Result<Vec<Linearized>> {
        let count = chunks.len();
        let several = chunks.iter().any(|chunk| chunk.len > settings.block);
        let (kernels, rows) = self.linearizing(problem, settings.linearization, several)?;
        self.read_starts(problem, trajectory, chunks, starts)?;
        let listed = self.upload_blocks(problem, trajectory, chunks)?;
        let from = self.device.upload(Number::wrap(starts))?;
        let to = self.device.allocate(size_of_val(ends))?;
        let map = self.device.allocate(size_of_val(maps))?;
        let mut results = self.device.allocate(count * 16)?;
        results.clear(0, count * 16)?;
        let arguments = trajectory
            .arguments(&trajectory.states, Some(settings.tolerance))
            .buffer(&listed)
            .word(count as u64)
            .word(0)
            .buffer(&from)
            .buffer(&to)
            .buffer(&map)
            .word((size_of_val(maps) / count.max(1)) as u64)
            .buffer(&results)
            .word(settings.block as u64)
            .word(kernels.columns as u64)
            .number(settings.factor);
        let grid = (count, rows);
        // SAFETY: the arguments of `linearize`; chunks are within the trajectory, and there is room for
        // each one's end and map.
        unsafe { kernels.launch("linearize", grid, &arguments, problem.params(), None) }?;
        to.read(0, Number::wrap_mut(ends))?;
        map.read(0, Number::wrap_mut(maps))?;
        let mut words = vec![0u64; 2 * count];
        results.read(0, &mut words)?;
        let result = |words: &[u64]| Linearized {
            residual: f64::from_bits(words[0]),
            converged: words[1] as u32 == 0,
        };
        Ok(words.chunks_exact(2).map(result).collect())
    }

    fn replay(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        chunks: &[Block],
        settings: &LinearizeSettings,
        starts: &[D::Real],
    ) -> Result<()> {
        let (kernels, _) = self.linearizing(problem, settings.linearization, true)?;
        let mut old = vec![D::Real::default(); starts.len()];
        self.read_starts(problem, trajectory, chunks, &mut old)?;
        let listed = self.upload_blocks(problem, trajectory, chunks)?;
        let old = self.device.upload(Number::wrap(&old))?;
        let new = self.device.upload(Number::wrap(starts))?;
        let arguments = trajectory
            .arguments(&trajectory.states, Some(settings.tolerance))
            .buffer(&listed)
            .word(chunks.len() as u64)
            .word(0)
            .buffer(&old)
            .buffer(&new)
            .word(settings.block as u64)
            .number(settings.factor);
        let grid = (chunks.len(), 1);
        // SAFETY: the arguments of `replay`; chunks are within the trajectory.
        unsafe { kernels.launch("replay", grid, &arguments, problem.params(), None) }
    }

    fn keep_maps(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &Self::Trajectory,
        chunks: &[Block],
        settings: &LinearizeSettings,
    ) -> Result<Option<Self::Maps>> {
        CudaMaps::new(self, problem, trajectory, chunks, settings)
    }

    fn linearize_kept(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        maps: &mut Self::Maps,
        active: &[usize],
        settings: &LinearizeSettings,
    ) -> Result<Vec<Linearized>> {
        maps.linearize(self, problem, trajectory, active, settings)
    }

    fn update_kept(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        maps: &mut Self::Maps,
        ranges: &[Range<usize>],
        settings: &LinearizeSettings,
    ) -> Result<()> {
        maps.update(self, problem, trajectory, ranges, settings)
    }

    fn read_ends(&self, maps: &Self::Maps) -> Result<Vec<D::Real>> {
        maps.read_ends()
    }

    fn load(
        &self,
        problem: &Problem<'_, D>,
        states: ArrayView3<'_, D::Real>,
    ) -> Result<Self::Trajectory> {
        let mut trajectory = Sweep::<D>::allocate(self, problem)?;
        let states: Vec<_> = states.iter().copied().collect();
        trajectory.states.write(0, Number::wrap(&states))?;
        Ok(trajectory)
    }

    fn copy(&self, from: &Self::Trajectory, to: &mut Self::Trajectory, batch: usize) -> Result<()> {
        let bytes = from.max_steps * from.n * size_of::<D::Real>();
        to.states.copy(&from.states, batch * bytes, bytes)
    }

    fn pilot_steps(&self, done: usize) -> usize {
        /// Steps that are worth a launch.
        const FIRST: usize = 128;
        done.max(FIRST)
    }

    fn roll_beside(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &Self::Trajectory,
        blocks: &[Block],
        starts: &[D::Real],
        states: &mut [D::Real],
    ) -> Result<()> {
        let words: Vec<u64> = blocks
            .iter()
            .enumerate()
            .flat_map(|(i, block)| block_words(block, trajectory.place(block), i * block.len, true))
            .collect();
        let listed = self.device.upload(&words)?;
        let beside = self.device.allocate(size_of_val(states))?;
        self.roll_blocks(problem, trajectory, &beside, &listed, blocks.len(), starts, None)?;
        beside.read(0, Number::wrap_mut(states))
    }

    fn first_non_finite(
        &self,
        _: &Problem<'_, D>,
        trajectory: &Self::Trajectory,
    ) -> Result<Vec<Option<usize>>> {
        let CudaTrajectory { batch, max_steps, n, .. } = *trajectory;
        let mut first = vec![u32::MAX; batch];
        let found = self.device.upload(&first)?;
        let wide = size_of::<D::Real>() / 4;
        let arguments = Arguments::default()
            .buffer(&trajectory.states)
            .word(max_steps as u64)
            .word(batch as u64)
            .word(trajectory.words() as u64)
            .word(wide as u64)
            .buffer(&found);
        let grid = Grid::over(batch * max_steps * n, THREADS, 1);
        // SAFETY: the arguments of `first_non_finite`.
        unsafe { self.modules.states()?.launch("first_non_finite", grid, &arguments) }?;
        found.read(0, &mut first)?;
        Ok(first.into_iter().map(|t| (t < u32::MAX).then_some(t as usize)).collect())
    }

    fn fetch(&self, trajectory: Self::Trajectory) -> Result<(Array3<D::Real>, Option<u64>)> {
        let states = trajectory.fetch()?;
        Ok((states, Some(self.keep_states(trajectory.states))))
    }
}
