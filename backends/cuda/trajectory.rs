//! States and inputs on the device.

use super::driver::{Arguments, Buffer, Grid, Number};
use super::kernels::THREADS;
use super::{Cuda, Inputs, Kept};
use crate::backend::Block;
use crate::dynamics::Recurrence;
use crate::error::{Error, Result};
use crate::graph::identity;
use crate::problem::Problem;
use crate::scalar::Real;
use crate::solver::Tolerance;
use ndarray::Array3;
use std::marker::PhantomData;
use std::sync::{Arc, PoisonError};

/// States `[B, T, n]` on the device, with the inputs `[B, T, m]` that they are driven by.
#[derive(Debug)]
pub struct CudaTrajectory<R> {
    pub(super) states: Buffer,
    pub(super) inputs: Arc<Buffer>,
    pub(super) batch: usize,
    pub(super) max_steps: usize,
    pub(super) n: usize,
    pub(super) m: usize,
    pub(super) precision: PhantomData<R>,
}

impl<R: Real> CudaTrajectory<R> {
    pub(super) fn states(&self) -> &Buffer {
        &self.states
    }

    /// The states on the host, `[B, T, n]`.
    pub(super) fn fetch(&self) -> Result<Array3<R>> {
        let mut states = Array3::default((self.batch, self.max_steps, self.n));
        if let Some(all) = states.as_slice_mut() {
            self.states.read(0, Number::wrap_mut(all))?;
        }
        Ok(states)
    }

    /// The first argument of kernels that sweep.
    pub(super) fn arguments(&self, states: &Buffer, tolerance: Option<Tolerance>) -> Arguments {
        let bytes = |count: usize| (count * size_of::<R>()) as u64;
        let (atol, rtol) = tolerance.map_or((0.0, 0.0), |t| (t.atol, t.rtol));
        Arguments::default().structure(&[
            states.address(),
            self.inputs.address(),
            bytes(self.n),
            bytes(self.m),
            atol.to_bits(),
            rtol.to_bits(),
        ])
    }

    /// A block's place among the steps of all sequences.
    pub(super) fn place(&self, block: &Block) -> usize {
        block.batch * self.max_steps + block.start
    }

    /// Words of 4 bytes in a state.
    pub(super) fn words(&self) -> usize {
        self.n * size_of::<R>() / 4
    }
}

/// Steps of the longest sequence: kernels count them in words of 32 bits, by loops that go one further.
const MOST_STEPS: usize = i32::MAX as usize;

/// An error for sequences that are too long for the kernels.
pub(super) fn check_steps(steps: usize) -> Result<()> {
    if steps <= MOST_STEPS {
        return Ok(());
    }
    Err(Error::setting(
        "problem: steps",
        format!(
            "at most {MOST_STEPS} in a sequence on `Cuda` (solve pieces, each from the last state of the one before, or use `Cpu`)"
        ),
        steps,
    ))
}

/// Blocks as the kernels want them: where their inputs and states begin, their length, whether a sequence ends or begins with them.
pub(super) fn block_words(block: &Block, input: usize, state: usize, last: bool) -> [u64; 3] {
    let flags = u64::from(last) | u64::from(block.start == 0) << 1;
    [input as u64, state as u64, block.len as u64 | flags << 32]
}

impl Cuda {
    pub(super) fn upload_blocks<D: Recurrence>(
        &self,
        problem: &Problem<'_, D>,
        trajectory: &CudaTrajectory<D::Real>,
        blocks: &[Block],
    ) -> Result<Buffer> {
        let words: Vec<u64> = blocks
            .iter()
            .flat_map(|block| {
                let place = trajectory.place(block);
                let last = block.start + block.len == problem.steps(block.batch);
                block_words(block, place, place, last)
            })
            .collect();
        self.device.upload(&words)
    }

    /// The inputs `[B, T, m]` on the device; those of the last problem are there still.
    pub(super) fn inputs<D: Recurrence>(&self, problem: &Problem<'_, D>) -> Result<Arc<Buffer>> {
        let identity = problem.graph_identity();
        if let Some(inputs) = self.kept_inputs(identity) {
            return Ok(inputs);
        }
        let sequences: Vec<_> = (0..problem.batch_size()).map(|b| problem.inputs(b)).collect();
        let row = problem.max_steps() * problem.input_dim();
        let inputs = Arc::new(self.upload_inputs(&sequences, row)?);
        *self.inputs.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Inputs { problem: identity, all: Arc::clone(&inputs) });
        Ok(inputs)
    }

    /// The inputs of the last problem, if it is this one.
    pub(super) fn kept_inputs(&self, identity: u64) -> Option<Arc<Buffer>> {
        let last = self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        let own = last.as_ref().filter(|inputs| inputs.problem == identity)?;
        Some(Arc::clone(&own.all))
    }

    /// Sequences of at most `row` numbers, each in a row of so many.
    pub(super) fn upload_inputs<R: Real>(&self, sequences: &[&[R]], row: usize) -> Result<Buffer> {
        let row = row * size_of::<R>();
        let mut inputs = self.device.allocate(sequences.len() * row)?;
        for (b, sequence) in sequences.iter().enumerate() {
            inputs.write(b * row, Number::wrap(sequence))?;
        }
        Ok(inputs)
    }

    /// The states of the last solution, if that is its number.
    pub(super) fn kept_states(&self, number: Option<u64>) -> Option<Arc<Buffer>> {
        let last = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let own = last.as_ref().filter(|kept| Some(kept.number) == number)?;
        Some(Arc::clone(&own.states))
    }

    /// Keeps the states of a solution until there is another trajectory; their number.
    pub(super) fn keep_states(&self, states: Buffer) -> u64 {
        let kept = Kept { number: identity(), states: Arc::new(states) };
        let number = kept.number;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        number
    }

    /// Gives up the states that were kept.
    pub(super) fn drop_states(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The states at `places` of a trajectory.
    pub(super) fn gather<R: Real>(
        &self,
        trajectory: &CudaTrajectory<R>,
        places: &[u64],
    ) -> Result<Buffer> {
        let words = trajectory.words();
        let listed = self.device.upload(places)?;
        let out = self.device.allocate(places.len() * words * 4)?;
        let arguments = Arguments::default()
            .buffer(&trajectory.states)
            .buffer(&listed)
            .word(places.len() as u64)
            .word(words as u64)
            .buffer(&out);
        let grid = Grid::over(places.len() * words, THREADS, 1);
        // SAFETY: the arguments of `gather`; all places are in the trajectory, and `out` has room for them.
        unsafe { self.modules.states()?.launch("gather", grid, &arguments) }?;
        Ok(out)
    }
}
