//! What steps are expected to cost on a device: by counting, none of it was measured on a card.

use super::Cuda;
use super::cells::threads_of;
use super::programs::parts_of;
use crate::backend::Cost;
use crate::dynamics::Recurrence;
use crate::dynamics::recurrence::Counted;
use crate::problem::Problem;
use crate::scalar::Parameter;
use crate::scalar::count::Operations;

impl Cuda {
    /// Threads that roll a block of `problem`, of so many.
    pub(super) fn threads<D: Recurrence>(&self, problem: &Problem<'_, D>, blocks: usize) -> usize {
        // To look at the step takes time, and these cells' units all depend on each other.
        match self.cell(problem, blocks) {
            Some(cell) => threads_of::<D::Real>(cell),
            None => parts_of(problem.state_dim(), self.modules.structure(problem)).max(1),
        }
    }

    /// What a step of `problem` is expected to cost, in cycles: [`Sweep::cost`](crate::backend::Sweep::cost).
    pub(super) fn cost_of<D: Recurrence>(&self, problem: &Problem<'_, D>) -> Cost {
        /// Cycles between a step's loads and what needs them, where nothing else is there to do.
        const MEMORY: f64 = 500.0;
        /// Steps of the shortest blocks.
        const BLOCK: f64 = 128.0;
        /// Instructions that a multiprocessor issues in a cycle, each for 32 threads.
        const ISSUED: f64 = 4.0;
        /// Cycles of a sweep besides its steps: to launch it, and to read what it came to.
        const SWEEP: f64 = 3e4;
        let params = Parameter::from_slice(problem.params());
        let Counted { operations: Operations { vector, single }, chain } =
            problem.dynamics().count(params);
        let (total, batch) =
            (problem.sequences().total_steps() as f64, problem.batch_size() as f64);
        let blocks = (total / BLOCK).max(batch);
        let threads = self.threads(problem, blocks as usize);
        let shared_by = match self.cell(problem, blocks as usize) {
            Some(cell) => cell.hidden,
            None => threads,
        };
        let instructions = (vector + single) as f64 / shared_by as f64;
        // A warp issues an instruction every other cycle at best.
        let alone = f64::from(chain).max(2.0 * instructions) + MEMORY;
        let throughput =
            threads as f64 * instructions / (32.0 * ISSUED * self.device.processors() as f64);
        Cost {
            // Sequences are beside each other.
            in_order: alone * problem.max_steps() as f64 / total,
            in_blocks: (alone / blocks).max(throughput) + SWEEP / total,
            pilot: 2.0 * alone,
        }
    }
}
