//! States and inputs on the device.

use super::driver::{Arguments, Buffer, Grid, Number};
use super::kernels::THREADS;
use super::{Cuda, Inputs};
use crate::backend::Block;
use crate::dynamics::Recurrence;
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::scalar::Real;
use crate::solver::Tolerance;
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
        let last = || self.inputs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Inputs { problem, all }) = &*last()
            && *problem == identity
        {
            return Ok(Arc::clone(all));
        }
        let (batch, steps, m) = (problem.batch_size(), problem.max_steps(), problem.input_dim());
        let mut inputs = self.device.allocate(batch * steps * m * size_of::<D::Real>())?;
        for b in 0..batch {
            let offset = b * steps * m * size_of::<D::Real>();
            inputs.write(offset, Number::wrap(problem.inputs(b)))?;
        }
        let inputs = Arc::new(inputs);
        *last() = Some(Inputs { problem: identity, all: Arc::clone(&inputs) });
        Ok(inputs)
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
