//! Where trajectories live and sweeps run.
//!
//! The methods of [`Solver`](crate::Solver) are written once, over what [`Sweep`] has: one call for each
//! stage over the whole trajectory, so that a backend can fuse what a stage does and never
//! store Jacobians for all of time.

mod borders;
mod derivative;

use crate::dynamics::{Recurrence, Structure};
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::solver::{Linearization, Tolerance};
use ndarray::{Array3, ArrayView3};
use std::fmt::Debug;

pub(crate) use borders::sweeps_until_lost;
pub use borders::{Borders, Direction};
pub use derivative::{
    AdjointForm, Begun, Collected, Differentiate, GivenTangents, Path, StateCotangents, Swept,
};

/// A device. A handle is a value: nothing is global.
pub trait Backend: Debug + Sync {
    /// Name, threads and instruction set, for the report.
    fn describe(&self) -> String;

    /// Groups, of as many blocks as fill the backend's width once, beyond which more gain nothing.
    fn groups(&self) -> usize {
        32
    }

    /// Does `work` for each index below `count`, on the machine that the backend is called from, in any order.
    fn each_here(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(work);
    }
}

/// A run of consecutive steps of one sequence: `states[batch, start..start + len]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The sequence.
    pub batch: usize,
    /// Its first step.
    pub start: usize,
    /// Its number of steps.
    pub len: usize,
}

/// What rolling one block came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rolled {
    /// Steps evaluated.
    pub steps: usize,
    /// Largest difference, in the units of the state, at the step where the new trajectory met the
    /// stored one; 0 where it ran to the end.
    pub residual: f64,
}

/// What a sweep of block Jacobi over all blocks came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockSweep {
    /// Blocks that were rolled.
    pub rolled: usize,
    /// Steps evaluated.
    pub steps: usize,
    /// Blocks that were not started from the state that is now before them.
    pub open: usize,
    /// Largest difference where a new trajectory met the stored one, in the units of the state.
    pub met: f64,
    /// Largest difference of the start of an open block from the state before it; NaN where one is not finite.
    pub residual: f64,
    /// That of all blocks.
    pub all: f64,
}

/// What linearising one chunk of blocks came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linearized {
    /// Largest residual at the borders inside the chunk and at its end, in the units of the state.
    pub residual: f64,
    /// Whether every one of them is within the tolerance.
    pub converged: bool,
}

/// What making a Kalman element of one chunk of blocks came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filtered {
    /// The residuals at its borders.
    pub borders: Linearized,
    /// Half of the sum of their squares.
    pub merit: f64,
}

/// What following errors along one chunk came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread {
    /// Largest component of the error that residuals make, to first order; NaN where one is not finite.
    pub residual: f64,
    /// Largest standard deviation of a component that roundings of one unit make.
    pub rounding: f64,
}

/// How the pairs of trajectories of a probe went.
#[derive(Clone, Debug, Default)]
pub struct Probe {
    /// Steps after which every pair had met to within the tolerance, if all did.
    pub merged_after: Option<usize>,
    /// Steps that each pair ran.
    pub steps: usize,
    /// Steps after which they would meet if they went on closing in as they did, if they did.
    pub predicted: Option<usize>,
    /// Geometric mean of the growth per step of a small difference; below 1 contracts.
    pub growth: f64,
}

/// What a step of a problem is expected to cost on average, in cycles of one core; by counting, so that the same problem is
/// always judged alike.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// A step of the loop.
    pub in_order: f64,
    /// A step of one block, rolled beside as many others as fill the backend's width.
    pub in_blocks: f64,
    /// A step of a pilot, which takes a few trajectories a short way.
    pub pilot: f64,
}

/// A backend that can run sweeps of the recurrence `D`.
#[diagnostic::on_unimplemented(
    message = "the backend `{Self}` cannot run sweeps of `{D}`",
    note = "a backend runs every type that implements `Dynamics`; pass a reference to the backend: `&Cpu::new()`"
)]
pub trait Sweep<D: Recurrence>: Backend {
    /// States `[B, T, n]` where the backend keeps them.
    type Trajectory;

    /// The blocks of all sequences with the states that they start from, where the backend keeps them.
    type Blocks;

    /// The affine maps of all chunks, where the backend keeps them.
    type Maps;

    /// Blocks that fill the backend's width once; follows from the machine type alone, not
    /// from the number of threads.
    fn width(&self) -> usize;

    /// Sequences of a problem that need not be cut, since they keep the backend busy as they are.
    fn full(&self, problem: &Problem<'_, D>) -> usize;

    /// The structure of the Jacobian that a sweep can exploit.
    fn structure(&self, problem: &Problem<'_, D>) -> Structure;

    /// Steps of a chunk of a sweep with that linear part, where that does not make more chunks than the
    /// [`groups`](Backend::groups) hold.
    fn chunk_steps(&self, problem: &Problem<'_, D>, linearization: Linearization) -> usize {
        let _ = (problem, linearization);
        256
    }

    /// How many times as long as the dynamics remember a block is to be, where the trajectory allows: the longer, the less work is done
    /// twice; the shorter, the more blocks are beside each other.
    fn block_per_memory(&self) -> usize {
        8
    }

    /// Components of the largest block of a Jacobian that it takes.
    fn largest_map(&self) -> usize {
        usize::MAX
    }

    /// What a step is expected to cost.
    fn cost(&self, problem: &Problem<'_, D>) -> Cost;

    /// A trajectory of zeros, or of the problem's guess.
    ///
    /// # Errors
    /// Device failure.
    fn allocate(&self, problem: &Problem<'_, D>) -> Result<Self::Trajectory>;

    /// Copies the state before each block (the initial one at a sequence's start) to `states` `[blocks, n]`.
    ///
    /// # Errors
    /// Device failure.
    fn read_starts(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &Self::Trajectory,
        blocks: &[Block],
        states: &mut [D::Real],
    ) -> Result<()>;

    /// Writes the size of each component before each block to `sizes` `[blocks, n]`: its largest magnitude
    /// over the last [`Tolerance::SIZE_STEPS`] steps.
    ///
    /// # Errors
    /// Device failure.
    fn read_sizes(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &Self::Trajectory,
        blocks: &[Block],
        sizes: &mut [D::Real],
    ) -> Result<()>;

    /// Stores `states` `[blocks, n]` as the state before each block, but for those at a sequence's start.
    ///
    /// # Errors
    /// Device failure.
    fn write_starts(
        &self,
        trajectory: &mut Self::Trajectory,
        blocks: &[Block],
        states: &[D::Real],
    ) -> Result<()>;

    /// Runs each block from its state in `starts` `[blocks, n]`, in order, as the loop would.
    ///
    /// # Errors
    /// Device failure.
    fn run_in_order(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        blocks: &[Block],
        starts: &[D::Real],
    ) -> Result<()>;

    /// Rolls every block from its state in `starts` `[blocks, n]` and stores its states. With
    /// `merge`, a block stops where its new trajectory meets the stored one within the tolerance,
    /// and keeps what is stored from there on.
    ///
    /// # Errors
    /// Device failure.
    fn roll(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        blocks: &[Block],
        starts: &[D::Real],
        merge: Option<Tolerance>,
    ) -> Result<Vec<Rolled>>;

    /// Cuts every sequence into blocks of `len` steps, all open, to be started from the initial state, or from the problem's
    /// guess. None from a backend that keeps no blocks: [`roll`](Self::roll) and the like are then called.
    ///
    /// # Errors
    /// Device failure.
    fn cut(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &Self::Trajectory,
        len: usize,
    ) -> Result<Option<Self::Blocks>> {
        let _ = (problem, trajectory, len);
        Ok(None)
    }

    /// Rolls the open blocks as [`roll`](Self::roll) does, and opens those that were not started from what is now before
    /// them.
    ///
    /// # Errors
    /// Device failure.
    fn sweep_blocks(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        blocks: &mut Self::Blocks,
        tolerance: Tolerance,
        merge: bool,
    ) -> Result<BlockSweep> {
        let _ = (problem, trajectory, blocks, tolerance, merge);
        Err(lacks(self, "blocks of its own"))
    }

    /// The open blocks in order, and the states that all were started from, `[blocks, n]`.
    ///
    /// # Errors
    /// Device failure.
    fn read_blocks(&self, blocks: &Self::Blocks) -> Result<(Vec<usize>, Vec<D::Real>)> {
        let _ = blocks;
        Err(lacks(self, "blocks of its own"))
    }

    /// Stores as the state before each block the one that it was started from.
    ///
    /// # Errors
    /// Device failure.
    fn settle_blocks(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        blocks: &Self::Blocks,
    ) -> Result<()> {
        let _ = (problem, trajectory, blocks);
        Err(lacks(self, "blocks of its own"))
    }

    /// Rolls the blocks of `block` steps inside each chunk from the states stored before them,
    /// stores the states inside of the blocks (not those at their borders), and composes the
    /// chunk's affine map: for a chunk started from `s`, its end as a function of its start is
    /// `x ↦ end + M (x − s)`. Writes `starts` (`s`, `[chunks, n]`), `ends` `[chunks, n]` and `maps`
    /// (`[chunks, entries]`: `n` for [`Linearization::Diagonal`], else by the structure; `M` is not written for
    /// the others).
    ///
    /// # Errors
    /// Device failure.
    #[allow(clippy::too_many_arguments)]
    fn linearize(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        chunks: &[Block],
        settings: &LinearizeSettings,
        starts: &mut [D::Real],
        ends: &mut [D::Real],
        maps: &mut [D::Real],
    ) -> Result<Vec<Linearized>>;

    /// Moves the states at the borders inside each chunk to their new values, given the new state
    /// before the chunk, `starts` `[chunks, n]`.
    ///
    /// # Errors
    /// Device failure.
    fn replay(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        chunks: &[Block],
        settings: &LinearizeSettings,
        starts: &[D::Real],
    ) -> Result<()>;

    /// Room for the maps of `chunks`. None from a backend that keeps none: [`linearize`](Self::linearize) and
    /// [`replay`](Self::replay) are then called.
    ///
    /// # Errors
    /// Device failure.
    fn keep_maps(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &Self::Trajectory,
        chunks: &[Block],
        settings: &LinearizeSettings,
    ) -> Result<Option<Self::Maps>> {
        let _ = (problem, trajectory, chunks, settings);
        Ok(None)
    }

    /// Does what [`linearize`](Self::linearize) does to the chunks `active`, and keeps their maps.
    ///
    /// # Errors
    /// Device failure.
    fn linearize_kept(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        maps: &mut Self::Maps,
        active: &[usize],
        settings: &LinearizeSettings,
    ) -> Result<Vec<Linearized>> {
        let _ = (problem, trajectory, maps, active, settings);
        Err(lacks(self, "maps of its own"))
    }

    /// Moves the states at the borders of the chunks in each of `ranges`, which begin with a chunk whose start stays, to where the
    /// maps take them.
    ///
    /// # Errors
    /// Device failure.
    fn update_kept(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        maps: &mut Self::Maps,
        ranges: &[std::ops::Range<usize>],
        settings: &LinearizeSettings,
    ) -> Result<()> {
        let _ = (problem, trajectory, maps, ranges, settings);
        Err(lacks(self, "maps of its own"))
    }

    /// The states at the ends of the chunks, `[chunks, n]`.
    ///
    /// # Errors
    /// Device failure.
    fn read_ends(&self, maps: &Self::Maps) -> Result<Vec<D::Real>> {
        let _ = maps;
        Err(lacks(self, "maps of its own"))
    }

    /// Whether it can [`filter`](Self::filter) and [`smooth`](Self::smooth).
    fn can_smooth(&self) -> bool {
        false
    }

    /// Rolls the blocks inside each chunk as [`linearize`](Self::linearize) does, and composes for each chunk the
    /// Kalman element of the changes of the states at its borders, with λ = `lambdas[chunk]`. Writes `elements`
    /// `[chunks, width]`, of the [`KalmanFilter`](crate::scan::KalmanFilter) that the linear part's structure asks for.
    ///
    /// # Errors
    /// Device failure.
    fn filter(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        chunks: &[Block],
        settings: &LinearizeSettings,
        lambdas: &[f64],
        elements: &mut [D::Real],
    ) -> Result<Vec<Filtered>> {
        let _ = (problem, trajectory, chunks, settings, lambdas, elements);
        Err(lacks(self, "ELK"))
    }

    /// Writes to `moved` the states at the borders of each chunk with their most probable changes, given mean and variance of
    /// the change before each chunk (`priors`, `[chunks, n + entries]`) and the change at its last border (`ends`,
    /// `[chunks, n]`), both in the order of the compact form.
    ///
    /// # Errors
    /// Device failure.
    #[allow(clippy::too_many_arguments)]
    fn smooth(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        chunks: &[Block],
        settings: &LinearizeSettings,
        lambdas: &[f64],
        priors: &[D::Real],
        ends: &[D::Real],
        moved: &mut Self::Trajectory,
    ) -> Result<()> {
        let _ = (problem, trajectory, chunks, settings, lambdas, priors, ends, moved);
        Err(lacks(self, "ELK"))
    }

    /// Follows along each chunk of a solved trajectory how its residuals `r_t = x_t − f(x_{t−1})` and the rounding of its
    /// steps add up: `ε_t = A_t ε_{t−1} + r_t`, and the variance `C_t = A_t C_{t−1} A_tᵀ + D_t`, `D_t` diagonal with the squares of the terms
    /// `A_ij x_j` and of `x_i`. `priors` `[chunks, n + entries]` are `ε` and `C` before the chunks; writes `elements` `[chunks, entries + n +
    /// entries]`, the product of the Jacobians and `ε` and `C` at the end, all compact by the problem's structure.
    ///
    /// # Errors
    /// Device failure.
    fn spread(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        chunks: &[Block],
        priors: &[D::Real],
        elements: &mut [D::Real],
    ) -> Result<Vec<Spread>> {
        let _ = (problem, trajectory, chunks, priors, elements);
        Err(lacks(self, "error bounds and exponents"))
    }

    /// The trajectory with the states `[B, T, n]`.
    ///
    /// # Errors
    /// Device failure.
    fn load(
        &self,
        problem: &Problem<'_, D>,
        states: ArrayView3<'_, D::Real>,
    ) -> Result<Self::Trajectory>;

    /// Copies the states of the sequence `batch`.
    ///
    /// # Errors
    /// Device failure.
    fn copy(&self, from: &Self::Trajectory, to: &mut Self::Trajectory, batch: usize) -> Result<()>;

    /// Steps that a pilot which has run `done` goes on before it is looked at again.
    fn pilot_steps(&self, done: usize) -> usize;

    /// Rolls blocks of the same length, which may overlap, from their states in `starts` `[blocks, n]` beside any trajectory:
    /// writes `states` `[blocks, len, n]`.
    ///
    /// # Errors
    /// Device failure.
    fn roll_beside(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &Self::Trajectory,
        blocks: &[Block],
        starts: &[D::Real],
        states: &mut [D::Real],
    ) -> Result<()>;

    /// First step of each sequence with a NaN or an infinity.
    ///
    /// # Errors
    /// Device failure.
    fn first_non_finite(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &Self::Trajectory,
    ) -> Result<Vec<Option<usize>>>;

    /// The trajectory on the host, `[B, T, n]`, zero after the end of a shorter sequence; and the number under which the backend keeps
    /// it for derivatives along it, if it does.
    ///
    /// # Errors
    /// Device failure.
    fn fetch(&self, trajectory: Self::Trajectory) -> Result<(Array3<D::Real>, Option<u64>)>;
}

/// What a backend says that lacks a stage.
fn lacks<B: Backend + ?Sized>(backend: &B, what: &str) -> Error {
    Error::setting("backend", format!("one with {what}, such as `Cpu`"), backend.describe())
}

/// How chunks are linearised and replayed.
#[derive(Clone, Copy, Debug)]
pub struct LinearizeSettings {
    /// Steps between two borders; a chunk is a whole number of blocks, but for a sequence's last.
    pub block: usize,
    /// The linear part.
    pub linearization: Linearization,
    /// The factor `1 − k` on the linear part of each block.
    pub factor: f64,
    /// What a residual is tested against.
    pub tolerance: Tolerance,
}
