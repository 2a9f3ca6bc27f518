//! The CPU: SIMD lanes over blocks of time, threads over groups of lanes.
//!
//! A group is as many blocks as there are lanes; each group is one task of a rayon pool. Blocks and
//! groups follow from the problem alone and every lane computes as if it were alone, so that the bits of
//! a solution do not depend on the number of threads.

mod carry;
pub(crate) mod derivative;
mod group;
mod jacobian;
mod kalman;
mod linearize;
mod memory;
mod replay;
mod roll;
mod scan;
mod tile;
mod trajectory;
pub(crate) mod walks;

use crate::backend::{
    Backend, Block, Cost, Filtered, LinearizeSettings, Linearized, Rolled, Spread, Sweep,
};
use crate::dynamics::recurrence::Counted;
use crate::dynamics::{Recurrence, Structure};
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::scalar::count::{ARITHMETIC, Operations};
use crate::scalar::dispatch::{Kernel, dispatch};
use crate::scalar::{InstructionSet, Parameter, Real};
use crate::scan::{KalmanFilter, ScanOp};
use crate::solver::{Linearization, Tolerance};
use group::{Group, Lane};
use kalman::{Filter, Follow, Smooth};
use linearize::{Derivative, Linearize};
use ndarray::{Array3, ArrayView3};
use rayon::prelude::*;
use replay::Replay;
use roll::{InOrder, Roll};
use std::sync::{Arc, Mutex, PoisonError};
use trajectory::CpuTrajectory;

/// The cores of this machine.
///
/// # Example
/// ```
/// use deer_solver::Cpu;
///
/// let shared = Cpu::new(); // all threads of rayon's global pool
/// let two = Cpu::with_threads(2)?; // a pool of its own
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Cpu {
    pool: Option<Arc<rayon::ThreadPool>>,
    instruction_set: InstructionSet,
}

#[allow(clippy::new_without_default)] // a device handle is made on purpose
impl Cpu {
    /// On rayon's global pool.
    pub fn new() -> Self {
        Self { pool: None, instruction_set: InstructionSet::detect() }
    }

    /// On a pool of `threads` threads of its own.
    ///
    /// # Errors
    /// No threads, or threads that the system does not give.
    pub fn with_threads(threads: usize) -> Result<Self> {
        if threads == 0 {
            return Err(Error::setting("threads", "at least 1", threads));
        }
        let pool =
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|source| {
                Error::Backend {
                    backend: "cpu",
                    operation: format!("starting {threads} threads"),
                    source: Box::new(source),
                }
            })?;
        Ok(Self { pool: Some(Arc::new(pool)), ..Self::new() })
    }

    /// With the vector instructions of `set` in place of the machine's best.
    ///
    /// # Errors
    /// A set that this machine cannot run.
    pub fn instruction_set(mut self, set: InstructionSet) -> Result<Self> {
        if !set.is_available() {
            return Err(Error::setting(
                "instruction_set",
                format!("one of {:?}", InstructionSet::available()),
                format!("{set:?}"),
            ));
        }
        self.instruction_set = set;
        Ok(self)
    }

    /// Threads that work at the same time.
    pub fn threads(&self) -> usize {
        match &self.pool {
            Some(pool) => pool.current_num_threads(),
            None => rayon::current_num_threads(),
        }
    }

    /// Inclusive scan in place: element `t` becomes the combination of elements `0..=t`.
    ///
    /// `elements` are `T` elements of [`op.width()`](ScanOp::width) numbers, one after the
    /// other. The order of combination follows from `T` and the width alone: the bits are the
    /// same for any number of threads. At most `2T` combinations; `O(threads · width)` memory
    /// beside `elements`, or `O(T · width / 32)` for elements wider than 64.
    ///
    /// # Errors
    /// [`Error::Shape`] where the length is not a multiple of the width.
    ///
    /// # Example
    /// ```
    /// use deer_solver::{Cpu, scan::AffineScalar};
    ///
    /// let mut sums = vec![1.0f64, 1.0, 1.0, 2.0, 1.0, 3.0]; // [a, b] with a = 1
    /// Cpu::new().scan(&AffineScalar::new(1), &mut sums)?;
    /// assert_eq!(sums, [1.0, 1.0, 1.0, 3.0, 1.0, 6.0]);
    /// # Ok::<(), deer_solver::Error>(())
    /// ```
    pub fn scan<R: Real, Op: ScanOp<R>>(&self, op: &Op, elements: &mut [R]) -> Result<()> {
        scan::scan(self.pool.as_deref(), op, elements, 1, false)
    }

    /// Inclusive scan from the end, in place: element `t` becomes the combination of
    /// elements `t..T` in the natural order of time,
    /// `combine(element[t], combine(element[t+1], …))`.
    ///
    /// For a recurrence that runs backwards, where the element at `t` is applied *after*
    /// those at `t+1..T`, wrap the operator in [`Opposite`](crate::scan::Opposite).
    /// Otherwise as [`scan`](Self::scan).
    ///
    /// # Errors
    /// [`Error::Shape`] where the length is not a multiple of the width.
    pub fn scan_reverse<R: Real, Op: ScanOp<R>>(&self, op: &Op, elements: &mut [R]) -> Result<()> {
        scan::scan(self.pool.as_deref(), op, elements, 1, true)
    }

    /// [`scan`](Self::scan) of each of `batch` sequences of one length, in place.
    ///
    /// `elements` are `[batch, T, width]` flat. The bits are those of each sequence scanned by itself.
    ///
    /// # Errors
    /// [`Error::Shape`] where the length is not a multiple of `batch · width`.
    ///
    /// # Example
    /// ```
    /// use deer_solver::{Cpu, scan::AffineScalar};
    ///
    /// // [a, b] with a = 1: two sequences of two.
    /// let mut sums = vec![1.0f64, 1.0, 1.0, 2.0, 1.0, 3.0, 1.0, 4.0];
    /// Cpu::new().scan_batch(&AffineScalar::new(1), &mut sums, 2)?;
    /// assert_eq!(sums, [1.0, 1.0, 1.0, 3.0, 1.0, 3.0, 1.0, 7.0]);
    /// # Ok::<(), deer_solver::Error>(())
    /// ```
    pub fn scan_batch<R: Real, Op: ScanOp<R>>(
        &self,
        op: &Op,
        elements: &mut [R],
        batch: usize,
    ) -> Result<()> {
        scan::scan(self.pool.as_deref(), op, elements, batch, false)
    }

    /// [`scan_reverse`](Self::scan_reverse) of each of `batch` sequences of one length, in place. Otherwise as
    /// [`scan_batch`](Self::scan_batch).
    ///
    /// # Errors
    /// As [`scan_batch`](Self::scan_batch).
    pub fn scan_batch_reverse<R: Real, Op: ScanOp<R>>(
        &self,
        op: &Op,
        elements: &mut [R],
        batch: usize,
    ) -> Result<()> {
        scan::scan(self.pool.as_deref(), op, elements, batch, true)
    }

    fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Runs one kernel for each of `jobs`, which are independent of each other.
    fn run<J: Send, K: Kernel<Output = ()>>(&self, jobs: Vec<J>, kernel: impl Fn(J) -> K + Sync) {
        self.share(jobs, &|job| dispatch(self.instruction_set, kernel(job)));
    }

    /// Does `work` on each of `jobs`. Through a pointer, as [`each`](Self::each).
    fn share<J: Send>(&self, jobs: Vec<J>, work: &(dyn Fn(J) + Sync)) {
        let jobs: Vec<_> = jobs.into_iter().map(|job| Mutex::new(Some(job))).collect();
        self.each(jobs.len(), &|index| {
            let job = jobs[index].lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(job) = job {
                work(job);
            }
        });
    }

    /// Does `work` for each index below `count`. By index and through a pointer, so that rayon's machinery is
    /// compiled once and not for every recurrence.
    fn each(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        if count == 1 || self.threads() == 1 {
            // No need to wake another thread.
            (0..count).for_each(work);
        } else {
            self.install(|| (0..count).into_par_iter().with_max_len(1).for_each(work));
        }
    }

    /// Lanes of one vector of `R`.
    fn vector_width<R: Real>(&self) -> usize {
        let bytes = match self.instruction_set {
            InstructionSet::Avx512 => 64,
            InstructionSet::Avx2 => 32,
            InstructionSet::Sse2 | InstructionSet::Portable => 16,
        };
        bytes / size_of::<R>()
    }

    fn derivative<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        linearization: Linearization,
    ) -> Derivative {
        /// Blocks from this size on cost more as tangents than as Jacobians and products of whole matrices.
        const LARGE: usize = 16;
        match linearization {
            Linearization::Zero | Linearization::Identity => Derivative::Constant,
            Linearization::Diagonal => Derivative::Diagonal,
            Linearization::Full => {
                let structure = problem.structure();
                // A structure that was declared may come with a Jacobian written by hand.
                let found = structure != problem.dynamics().declared_structure();
                let small = structure.block_size(problem.state_dim()) < LARGE;
                if small && (found || structure == Structure::Dense) {
                    Derivative::Tangents(structure)
                } else {
                    Derivative::Whole(structure)
                }
            }
        }
    }
}

impl Cpu {
    /// The structure that a linear part keeps of the Jacobian, and whether that is all of it.
    fn kept<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        linearization: Linearization,
    ) -> (Structure, bool) {
        match linearization {
            Linearization::Full => (problem.structure(), true),
            _ => (Structure::Diagonal, problem.structure() == Structure::Diagonal),
        }
    }
}

impl Backend for Cpu {
    fn describe(&self) -> String {
        let threads = self.threads();
        let plural = if threads == 1 { "" } else { "s" };
        let set = format!("{:?}", self.instruction_set).to_uppercase();
        format!("cpu, {threads} thread{plural}, {set}")
    }

    fn each_here(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        self.each(count, work);
    }
}

impl<D: Recurrence> Sweep<D> for Cpu {
    type Trajectory = CpuTrajectory<D::Real>;
    type Blocks = ();
    type Maps = ();

    fn width(&self) -> usize {
        2 * self.vector_width::<D::Real>()
    }

    fn full(&self, _: &Problem<'_, D>) -> usize {
        8 * Sweep::<D>::width(self)
    }

    fn structure(&self, problem: &Problem<'_, D>) -> Structure {
        problem.structure()
    }

    fn cost(&self, problem: &Problem<'_, D>) -> Cost {
        let (dynamics, params) = (problem.dynamics(), Parameter::from_slice(problem.params()));
        let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
        let Counted { operations: Operations { vector, single }, chain } = dynamics.count(params);
        let chain = f64::from(chain);
        // Cycles, calibrated on Zen 4: instructions a cycle, of 512 bits or fewer; loads and stores
        // with their share of the transposition; what each tile of a pilot costs besides.
        let rate = if self.instruction_set == InstructionSet::Avx512 { 1.0 } else { 2.0 };
        let lanes = Sweep::<D>::width(self) as f64;
        let (vector, single, moves) = (vector as f64, single as f64, (n + m) as f64);
        let group = 2.0 * vector / rate + single * lanes;
        let in_order = if dynamics.units_in_lanes() {
            // The sums over the state are not in the chain but shared out.
            let width = self.vector_width::<D::Real>() as f64;
            (chain - f64::from(ARITHMETIC.0) * n as f64).max(0.0) + vector / (rate * width)
        } else {
            chain.max((vector + single) / 3.0) + moves
        };
        Cost {
            in_order,
            in_blocks: group / lanes + 0.5 * moves * size_of::<D::Real>() as f64 + 2.0,
            pilot: chain.max(group) + moves * lanes + 100.0,
        }
    }

    fn allocate(&self, problem: &Problem<'_, D>) -> Result<Self::Trajectory> {
        Ok(CpuTrajectory::new(self, problem.sequences()))
    }

    fn read_starts(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &Self::Trajectory,
        blocks: &[Block],
        states: &mut [D::Real],
    ) -> Result<()> {
        trajectory.read_starts(problem.sequences(), blocks, states);
        Ok(())
    }

    fn read_sizes(
        &self,
        _: &Problem<'_, D>,
        trajectory: &Self::Trajectory,
        blocks: &[Block],
        sizes: &mut [D::Real],
    ) -> Result<()> {
        trajectory.read_sizes(blocks, sizes);
        Ok(())
    }

    fn write_starts(
        &self,
        trajectory: &mut Self::Trajectory,
        blocks: &[Block],
        states: &[D::Real],
    ) -> Result<()> {
        trajectory.write_starts(blocks, states);
        Ok(())
    }

    fn run_in_order(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        blocks: &[Block],
        starts: &[D::Real],
    ) -> Result<()> {
        let group = Group::of(problem);
        let lanes = trajectory.lanes(problem.sequences(), blocks, starts);
        self.run(lanes, |lane| InOrder { group, lane });
        Ok(())
    }

    fn roll(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        blocks: &[Block],
        starts: &[D::Real],
        merge: Option<Tolerance>,
    ) -> Result<Vec<Rolled>> {
        let group = Group::of(problem);
        let width = Sweep::<D>::width(self);
        let mut rolled = vec![Rolled::default(); blocks.len()];
        let mut lanes = trajectory.lanes(problem.sequences(), blocks, starts);
        let jobs = lanes.chunks_mut(width).zip(rolled.chunks_mut(width)).collect();
        self.run(jobs, |(lanes, rolled)| Roll { group, lanes, merge, rolled });
        drop(lanes);
        Ok(rolled)
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
        trajectory.read_starts(problem.sequences(), chunks, starts);
        let group = Group::of(problem);
        let n = trajectory.state_dim();
        let derivative = self.derivative(problem, settings.linearization);
        let width = self.vector_width::<D::Real>();
        let entries = derivative.entries(n);
        let mut results = vec![Linearized::default(); chunks.len()];
        let mut lanes = trajectory.lanes(problem.sequences(), chunks, starts);
        let mut maps = maps;
        let mut jobs = Vec::new();
        for ((lanes, results), ends) in
            lanes.chunks_mut(width).zip(results.chunks_mut(width)).zip(ends.chunks_mut(width * n))
        {
            let (head, tail) = maps.split_at_mut(lanes.len() * entries);
            maps = tail;
            jobs.push((lanes, results, ends, head));
        }
        self.run(jobs, |(lanes, results, ends, maps)| Linearize {
            group,
            lanes,
            settings: *settings,
            derivative,
            ends,
            maps,
            results,
        });
        drop(lanes);
        Ok(results)
    }

    fn replay(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        chunks: &[Block],
        settings: &LinearizeSettings,
        starts: &[D::Real],
    ) -> Result<()> {
        let group = Group::of(problem);
        let n = trajectory.state_dim();
        let width = self.vector_width::<D::Real>();
        let mut old = vec![D::Real::default(); chunks.len() * n];
        trajectory.read_starts(problem.sequences(), chunks, &mut old);
        let mut lanes = trajectory.lanes(problem.sequences(), chunks, &old);
        let jobs = lanes.chunks_mut(width).zip(starts.chunks(width * n)).collect();
        self.run(jobs, |(lanes, starts)| Replay { group, lanes, settings: *settings, starts });
        Ok(())
    }

    fn can_smooth(&self) -> bool {
        true
    }

    fn filter(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        chunks: &[Block],
        settings: &LinearizeSettings,
        lambdas: &[f64],
        elements: &mut [D::Real],
    ) -> Result<Vec<Filtered>> {
        let group = Group::of(problem);
        let n = trajectory.state_dim();
        let (structure, whole) = self.kept(problem, settings.linearization);
        let operator = KalmanFilter::of(structure, n);
        let width = self.vector_width::<D::Real>();
        let mut results = vec![Filtered::default(); chunks.len()];
        let mut starts = vec![D::Real::default(); chunks.len() * n];
        trajectory.read_starts(problem.sequences(), chunks, &mut starts);
        let mut lanes = trajectory.lanes(problem.sequences(), chunks, &starts);
        let jobs = lanes
            .chunks_mut(width)
            .zip(results.chunks_mut(width))
            .zip(lambdas.chunks(width))
            .zip(elements.chunks_mut(width * operator.width()))
            .collect();
        self.run(jobs, |(((lanes, results), lambdas), elements)| Filter {
            group,
            lanes,
            settings: *settings,
            structure,
            whole,
            lambdas,
            elements,
            results,
        });
        drop(lanes);
        Ok(results)
    }

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
        let group = Group::of(problem);
        let n = trajectory.state_dim();
        let (structure, whole) = self.kept(problem, settings.linearization);
        let width = self.vector_width::<D::Real>();
        let mut starts = vec![D::Real::default(); chunks.len() * n];
        trajectory.read_starts(problem.sequences(), chunks, &mut starts);
        let mut moved = moved.lanes(problem.sequences(), chunks, &starts);
        let mut lanes = trajectory.lanes(problem.sequences(), chunks, &starts);
        let jobs = lanes
            .chunks_mut(width)
            .zip(moved.chunks_mut(width))
            .zip(lambdas.chunks(width))
            .zip(priors.chunks(width * (n + structure.entries(n))))
            .zip(ends.chunks(width * n))
            .collect();
        self.run(jobs, |((((lanes, moved), lambdas), priors), ends)| Smooth {
            group,
            lanes,
            settings: *settings,
            structure,
            whole,
            lambdas,
            priors,
            ends,
            moved,
        });
        Ok(())
    }

    fn spread(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &mut Self::Trajectory,
        chunks: &[Block],
        priors: &[D::Real],
        elements: &mut [D::Real],
    ) -> Result<Vec<Spread>> {
        let group = Group::of(problem);
        let n = trajectory.state_dim();
        let structure = problem.structure();
        let entries = structure.entries(n);
        let width = self.vector_width::<D::Real>();
        let mut results = vec![Spread::default(); chunks.len()];
        let mut starts = vec![D::Real::default(); chunks.len() * n];
        trajectory.read_starts(problem.sequences(), chunks, &mut starts);
        let mut lanes = trajectory.lanes(problem.sequences(), chunks, &starts);
        let jobs = lanes
            .chunks_mut(width)
            .zip(results.chunks_mut(width))
            .zip(priors.chunks(width * (n + entries)))
            .zip(elements.chunks_mut(width * (n + 2 * entries)))
            .collect();
        self.run(jobs, |(((lanes, results), priors), elements)| Follow {
            group,
            lanes,
            structure,
            priors,
            elements,
            results,
        });
        drop(lanes);
        Ok(results)
    }

    fn load(
        &self,
        _: &Problem<'_, D>,
        states: ArrayView3<'_, D::Real>,
    ) -> Result<Self::Trajectory> {
        Ok(CpuTrajectory::of(states))
    }

    fn copy(&self, from: &Self::Trajectory, to: &mut Self::Trajectory, batch: usize) -> Result<()> {
        from.copy_to(to, batch);
        Ok(())
    }

    fn pilot_steps(&self, _: usize) -> usize {
        tile::STEPS
    }

    fn roll_beside(
        &self,
        problem: &Problem<'_, D>,
        _: &Self::Trajectory,
        blocks: &[Block],
        starts: &[D::Real],
        states: &mut [D::Real],
    ) -> Result<()> {
        let (n, m) = (problem.state_dim(), problem.input_dim());
        let len = blocks.first().map_or(0, |block| block.len);
        let mut lanes: Vec<Lane<'_, D::Real>> = blocks
            .iter()
            .zip(starts.chunks_exact(n).zip(states.chunks_exact_mut(len * n)))
            .map(|(block, (start, states))| {
                let inputs = &problem.inputs(block.batch)[block.start * m..][..len * m];
                Lane { len, start, inputs, states, last: false }
            })
            .collect();
        let group = Group::of(problem);
        let mut rolled = vec![Rolled::default(); lanes.len()];
        let width = Sweep::<D>::width(self);
        // On this thread: a pilot is too short to share out.
        for (lanes, rolled) in lanes.chunks_mut(width).zip(rolled.chunks_mut(width)) {
            dispatch(self.instruction_set, Roll { group, lanes, merge: None, rolled });
        }
        Ok(())
    }

    fn first_non_finite(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &Self::Trajectory,
    ) -> Result<Vec<Option<usize>>> {
        Ok(trajectory.first_non_finite(self, problem.sequences()))
    }

    fn fetch(&self, trajectory: Self::Trajectory) -> Result<(Array3<D::Real>, Option<u64>)> {
        Ok((trajectory.into_states()?, None))
    }
}
