//! What methods ask of a backend, without the types of backend and recurrence: methods are compiled once for each precision.

use super::{Linearization, Tolerance};
use crate::backend::{
    Block, BlockSweep, Cost, Filtered, LinearizeSettings, Linearized, Rolled, Spread, Sweep,
};
use crate::dynamics::{Recurrence, Structure};
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::scalar::Real;
use crate::sequences::Sequences;
use ndarray::{Array2, ArrayView3};
use std::ops::Range;

/// Components up to which the Jacobians of a coarser grid are dense unless declared otherwise: to look at the step would take longer.
const FEW: usize = 8;

/// One of the trajectories of a solve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that becomes the solution.
    Own,
    /// That of a trial, which there is from [`Stages::begin_trial`] to [`Stages::end_trial`].
    Trial,
}

/// [`Sweep`] of one problem, with the trajectory, blocks and maps that it works on; errors are those of the device.
pub trait Stages<R: Real> {
    /// All of the problem but its recurrence.
    fn problem(&self) -> &Sequences<'_, R>;
    /// [`Backend::describe`](crate::Backend::describe).
    fn describe(&self) -> String;
    /// [`Backend::groups`](crate::Backend::groups).
    fn groups(&self) -> usize;
    /// [`Sweep::width`].
    fn width(&self) -> usize;
    /// [`Sweep::full`].
    fn full(&self) -> usize;
    /// [`Sweep::structure`].
    fn structure(&self) -> Structure;
    /// [`Sweep::chunk_steps`].
    fn chunk_steps(&self, linearization: Linearization) -> usize;
    /// [`Sweep::block_per_memory`].
    fn block_per_memory(&self) -> usize;
    /// [`Sweep::largest_map`].
    fn largest_map(&self) -> usize;
    /// [`Sweep::cost`].
    fn cost(&self) -> Cost;
    /// [`Sweep::pilot_steps`].
    fn pilot_steps(&self, done: usize) -> usize;
    /// [`Sweep::can_smooth`].
    fn can_smooth(&self) -> bool;

    /// [`Sweep::read_starts`].
    fn read_starts(&self, blocks: &[Block], states: &mut [R]) -> Result<()>;
    /// [`Sweep::read_sizes`].
    fn read_sizes(&self, blocks: &[Block], sizes: &mut [R]) -> Result<()>;
    /// [`Sweep::write_starts`].
    fn write_starts(&mut self, blocks: &[Block], states: &[R]) -> Result<()>;
    /// [`Sweep::run_in_order`].
    fn run_in_order(&mut self, blocks: &[Block], starts: &[R]) -> Result<()>;
    /// [`Sweep::roll`].
    fn roll(
        &mut self,
        blocks: &[Block],
        starts: &[R],
        merge: Option<Tolerance>,
    ) -> Result<Vec<Rolled>>;
    /// [`Sweep::roll_beside`].
    fn roll_beside(&self, blocks: &[Block], starts: &[R], states: &mut [R]) -> Result<()>;
    /// [`Sweep::first_non_finite`].
    fn first_non_finite(&self) -> Result<Vec<Option<usize>>>;

    /// [`Sweep::cut`]: whether the backend now keeps blocks.
    fn cut(&mut self, len: usize) -> Result<bool>;
    /// [`Sweep::sweep_blocks`].
    fn sweep_blocks(&mut self, tolerance: Tolerance, merge: bool) -> Result<BlockSweep>;
    /// [`Sweep::read_blocks`].
    fn read_blocks(&self) -> Result<(Vec<usize>, Vec<R>)>;
    /// [`Sweep::settle_blocks`].
    fn settle_blocks(&mut self) -> Result<()>;
    /// Drops the blocks that the backend keeps.
    fn drop_blocks(&mut self);

    /// [`Sweep::linearize`].
    fn linearize(
        &mut self,
        chunks: &[Block],
        settings: &LinearizeSettings,
        starts: &mut [R],
        ends: &mut [R],
        maps: &mut [R],
    ) -> Result<Vec<Linearized>>;
    /// [`Sweep::replay`].
    fn replay(
        &mut self,
        chunks: &[Block],
        settings: &LinearizeSettings,
        starts: &[R],
    ) -> Result<()>;
    /// [`Sweep::keep_maps`]: whether the backend now keeps maps.
    fn keep_maps(&mut self, chunks: &[Block], settings: &LinearizeSettings) -> Result<bool>;
    /// [`Sweep::linearize_kept`].
    fn linearize_kept(
        &mut self,
        active: &[usize],
        settings: &LinearizeSettings,
    ) -> Result<Vec<Linearized>>;
    /// [`Sweep::update_kept`].
    fn update_kept(&mut self, ranges: &[Range<usize>], settings: &LinearizeSettings) -> Result<()>;
    /// [`Sweep::read_ends`].
    fn read_ends(&self) -> Result<Vec<R>>;
    /// Drops the maps that the backend keeps.
    fn drop_maps(&mut self);

    /// Makes room for a trial.
    fn begin_trial(&mut self) -> Result<()>;
    /// Drops it.
    fn end_trial(&mut self);
    /// [`Sweep::copy`] of the sequence `batch` to the trial.
    fn copy_to_trial(&mut self, batch: usize) -> Result<()>;
    /// The same from the trial.
    fn copy_from_trial(&mut self, batch: usize) -> Result<()>;
    /// [`Sweep::filter`].
    fn filter(
        &mut self,
        which: Which,
        chunks: &[Block],
        settings: &LinearizeSettings,
        lambdas: &[f64],
        elements: &mut [R],
    ) -> Result<Vec<Filtered>>;
    /// [`Sweep::smooth`], to the trial.
    fn smooth(
        &mut self,
        chunks: &[Block],
        settings: &LinearizeSettings,
        lambdas: &[f64],
        priors: &[R],
        ends: &[R],
    ) -> Result<()>;
    /// [`Sweep::spread`].
    fn spread(&mut self, chunks: &[Block], priors: &[R], elements: &mut [R])
    -> Result<Vec<Spread>>;

    /// The recurrence with longer steps, by cheaper ones if `explicit`, and the order of their error.
    fn coarser(&self, explicit: bool) -> Option<(Box<dyn Coarser<R> + '_>, u32)>;
}

/// A recurrence with longer steps than the problem's.
pub trait Coarser<R: Real>: Sync {
    /// Length of one step's input.
    fn input_dim(&self) -> usize;
    /// [`Recurrence::coarsen`] of the problem's own recurrence.
    fn coarsen(&self, inputs: &[R], steps: usize, coarse: &mut [R]);
    /// [`Recurrence::strain`].
    fn strain(&self, x: &[R], u: &[R], sizes: &[f64]) -> f64;
    /// What a step costs.
    fn cost(&self) -> Result<Cost>;
    /// [`Backend::each_here`](crate::Backend::each_here).
    fn each_here(&self, count: usize, work: &(dyn Fn(usize) + Sync));
    /// The problem from the same initial states with `inputs` for each sequence.
    fn stages(&self, inputs: Vec<Array2<R>>) -> Result<Box<dyn Stages<R> + '_>>;
}

/// A problem on a backend.
pub(crate) struct OnBackend<'r, 'a, D: Recurrence, B: Sweep<D>> {
    problem: Held<'r, Problem<'a, D>>,
    backend: &'r B,
    trajectory: B::Trajectory,
    trial: Option<B::Trajectory>,
    blocks: Option<B::Blocks>,
    maps: Option<B::Maps>,
}

enum Held<'r, T> {
    Borrowed(&'r T),
    Owned(Box<T>),
}

impl<T> std::ops::Deref for Held<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        match self {
            Held::Borrowed(held) => held,
            Held::Owned(held) => held,
        }
    }
}

impl<'r, 'a, D: Recurrence, B: Sweep<D>> OnBackend<'r, 'a, D, B> {
    /// Before anything is done.
    pub(crate) fn new(problem: &'r Problem<'a, D>, backend: &'r B) -> Result<Self> {
        let trajectory = backend.allocate(problem)?;
        Ok(Self::with(Held::Borrowed(problem), backend, trajectory))
    }

    /// With the trajectory `states`.
    pub(crate) fn loaded(
        problem: &'r Problem<'a, D>,
        backend: &'r B,
        states: ArrayView3<'_, D::Real>,
    ) -> Result<Self> {
        let trajectory = backend.load(problem, states)?;
        Ok(Self::with(Held::Borrowed(problem), backend, trajectory))
    }

    fn with(problem: Held<'r, Problem<'a, D>>, backend: &'r B, trajectory: B::Trajectory) -> Self {
        Self { problem, backend, trajectory, trial: None, blocks: None, maps: None }
    }

    /// The trajectory.
    pub(crate) fn into_trajectory(self) -> B::Trajectory {
        self.trajectory
    }
}

/// What was to be made before; no method forgets to.
fn missing(what: &str) -> Error {
    Error::setting("solver", format!("{what} before they are asked for"), "none")
}

impl<D: Recurrence, B: Sweep<D>> Stages<D::Real> for OnBackend<'_, '_, D, B> {
    fn problem(&self) -> &Sequences<'_, D::Real> {
        self.problem.sequences()
    }

    fn describe(&self) -> String {
        self.backend.describe()
    }

    fn groups(&self) -> usize {
        self.backend.groups()
    }

    fn width(&self) -> usize {
        self.backend.width()
    }

    fn full(&self) -> usize {
        self.backend.full(&self.problem)
    }

    fn structure(&self) -> Structure {
        self.backend.structure(&self.problem)
    }

    fn chunk_steps(&self, linearization: Linearization) -> usize {
        self.backend.chunk_steps(&self.problem, linearization)
    }

    fn block_per_memory(&self) -> usize {
        self.backend.block_per_memory()
    }

    fn largest_map(&self) -> usize {
        self.backend.largest_map()
    }

    fn cost(&self) -> Cost {
        self.backend.cost(&self.problem)
    }

    fn pilot_steps(&self, done: usize) -> usize {
        self.backend.pilot_steps(done)
    }

    fn can_smooth(&self) -> bool {
        self.backend.can_smooth()
    }

    fn read_starts(&self, blocks: &[Block], states: &mut [D::Real]) -> Result<()> {
        self.backend.read_starts(&self.problem, &self.trajectory, blocks, states)
    }

    fn read_sizes(&self, blocks: &[Block], sizes: &mut [D::Real]) -> Result<()> {
        self.backend.read_sizes(&self.problem, &self.trajectory, blocks, sizes)
    }

    fn write_starts(&mut self, blocks: &[Block], states: &[D::Real]) -> Result<()> {
        self.backend.write_starts(&mut self.trajectory, blocks, states)
    }

    fn run_in_order(&mut self, blocks: &[Block], starts: &[D::Real]) -> Result<()> {
        self.backend.run_in_order(&self.problem, &mut self.trajectory, blocks, starts)
    }

    fn roll(
        &mut self,
        blocks: &[Block],
        starts: &[D::Real],
        merge: Option<Tolerance>,
    ) -> Result<Vec<Rolled>> {
        self.backend.roll(&self.problem, &mut self.trajectory, blocks, starts, merge)
    }

    fn roll_beside(
        &self,
        blocks: &[Block],
        starts: &[D::Real],
        states: &mut [D::Real],
    ) -> Result<()> {
        self.backend.roll_beside(&self.problem, &self.trajectory, blocks, starts, states)
    }

    fn first_non_finite(&self) -> Result<Vec<Option<usize>>> {
        self.backend.first_non_finite(&self.problem, &self.trajectory)
    }

    fn cut(&mut self, len: usize) -> Result<bool> {
        self.blocks = self.backend.cut(&self.problem, &self.trajectory, len)?;
        Ok(self.blocks.is_some())
    }

    fn sweep_blocks(&mut self, tolerance: Tolerance, merge: bool) -> Result<BlockSweep> {
        let blocks = self.blocks.as_mut().ok_or_else(|| missing("blocks"))?;
        self.backend.sweep_blocks(&self.problem, &mut self.trajectory, blocks, tolerance, merge)
    }

    fn read_blocks(&self) -> Result<(Vec<usize>, Vec<D::Real>)> {
        self.backend.read_blocks(self.blocks.as_ref().ok_or_else(|| missing("blocks"))?)
    }

    fn settle_blocks(&mut self) -> Result<()> {
        let blocks = self.blocks.as_ref().ok_or_else(|| missing("blocks"))?;
        self.backend.settle_blocks(&self.problem, &mut self.trajectory, blocks)
    }

    fn drop_blocks(&mut self) {
        self.blocks = None;
    }

    fn linearize(
        &mut self,
        chunks: &[Block],
        settings: &LinearizeSettings,
        starts: &mut [D::Real],
        ends: &mut [D::Real],
        maps: &mut [D::Real],
    ) -> Result<Vec<Linearized>> {
        let trajectory = &mut self.trajectory;
        self.backend.linearize(&self.problem, trajectory, chunks, settings, starts, ends, maps)
    }

    fn replay(
        &mut self,
        chunks: &[Block],
        settings: &LinearizeSettings,
        starts: &[D::Real],
    ) -> Result<()> {
        self.backend.replay(&self.problem, &mut self.trajectory, chunks, settings, starts)
    }

    fn keep_maps(&mut self, chunks: &[Block], settings: &LinearizeSettings) -> Result<bool> {
        self.maps = self.backend.keep_maps(&self.problem, &self.trajectory, chunks, settings)?;
        Ok(self.maps.is_some())
    }

    fn linearize_kept(
        &mut self,
        active: &[usize],
        settings: &LinearizeSettings,
    ) -> Result<Vec<Linearized>> {
        let maps = self.maps.as_mut().ok_or_else(|| missing("maps"))?;
        self.backend.linearize_kept(&self.problem, &mut self.trajectory, maps, active, settings)
    }

    fn update_kept(&mut self, ranges: &[Range<usize>], settings: &LinearizeSettings) -> Result<()> {
        let maps = self.maps.as_mut().ok_or_else(|| missing("maps"))?;
        self.backend.update_kept(&self.problem, &mut self.trajectory, maps, ranges, settings)
    }

    fn read_ends(&self) -> Result<Vec<D::Real>> {
        self.backend.read_ends(self.maps.as_ref().ok_or_else(|| missing("maps"))?)
    }

    fn drop_maps(&mut self) {
        self.maps = None;
    }

    fn begin_trial(&mut self) -> Result<()> {
        self.trial = Some(self.backend.allocate(&self.problem)?);
        Ok(())
    }

    fn end_trial(&mut self) {
        self.trial = None;
    }

    fn copy_to_trial(&mut self, batch: usize) -> Result<()> {
        let trial = self.trial.as_mut().ok_or_else(|| missing("trials"))?;
        self.backend.copy(&self.trajectory, trial, batch)
    }

    fn copy_from_trial(&mut self, batch: usize) -> Result<()> {
        let trial = self.trial.as_ref().ok_or_else(|| missing("trials"))?;
        self.backend.copy(trial, &mut self.trajectory, batch)
    }

    fn filter(
        &mut self,
        which: Which,
        chunks: &[Block],
        settings: &LinearizeSettings,
        lambdas: &[f64],
        elements: &mut [D::Real],
    ) -> Result<Vec<Filtered>> {
        let trajectory = match which {
            Which::Own => &mut self.trajectory,
            Which::Trial => self.trial.as_mut().ok_or_else(|| missing("trials"))?,
        };
        self.backend.filter(&self.problem, trajectory, chunks, settings, lambdas, elements)
    }

    fn smooth(
        &mut self,
        chunks: &[Block],
        settings: &LinearizeSettings,
        lambdas: &[f64],
        priors: &[D::Real],
        ends: &[D::Real],
    ) -> Result<()> {
        let (problem, own) = (&*self.problem, &mut self.trajectory);
        let trial = self.trial.as_mut().ok_or_else(|| missing("trials"))?;
        self.backend.smooth(problem, own, chunks, settings, lambdas, priors, ends, trial)
    }

    fn spread(
        &mut self,
        chunks: &[Block],
        priors: &[D::Real],
        elements: &mut [D::Real],
    ) -> Result<Vec<Spread>> {
        self.backend.spread(&self.problem, &mut self.trajectory, chunks, priors, elements)
    }

    fn coarser(&self, explicit: bool) -> Option<(Box<dyn Coarser<D::Real> + '_>, u32)> {
        let fine = self.problem.dynamics();
        let (dynamics, order) = if explicit { fine.coarser_explicit() } else { fine.coarser() }?;
        let coarser = LongerSteps { dynamics, problem: &self.problem, backend: self.backend };
        Some((Box::new(coarser), order))
    }
}

/// A coarser grid of a problem on a backend.
struct LongerSteps<'s, 'a, D: Recurrence, B> {
    dynamics: D,
    problem: &'s Problem<'a, D>,
    backend: &'s B,
}

impl<D: Recurrence, B: Sweep<D>> Coarser<D::Real> for LongerSteps<'_, '_, D, B> {
    fn input_dim(&self) -> usize {
        self.dynamics.input_dim()
    }

    fn coarsen(&self, inputs: &[D::Real], steps: usize, coarse: &mut [D::Real]) {
        self.problem.dynamics().coarsen(inputs, steps, coarse);
    }

    fn strain(&self, x: &[D::Real], u: &[D::Real], sizes: &[f64]) -> f64 {
        self.dynamics.strain(self.problem.params(), x, u, sizes)
    }

    fn cost(&self) -> Result<Cost> {
        let none = self.problem.initial_state().slice_move(ndarray::s![..0, ..]);
        Ok(self.backend.cost(&Problem::of_owned(&self.dynamics, none, Vec::new())?))
    }

    fn each_here(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        self.backend.each_here(count, work);
    }

    fn stages(&self, inputs: Vec<Array2<D::Real>>) -> Result<Box<dyn Stages<D::Real> + '_>> {
        let initial = self.problem.initial_state();
        let problem = Problem::of_owned(&self.dynamics, initial, inputs)?
            .with_params(self.problem.params())?;
        let few = problem.state_dim() <= FEW;
        let problem = if few { problem.with_declared_structure() } else { problem };
        let trajectory = self.backend.allocate(&problem)?;
        let problem = Held::Owned(Box::new(problem));
        Ok(Box::new(OnBackend::with(problem, self.backend, trajectory)))
    }
}
