//! The machine that runs a launch: resident blocks in a seeded random order, threads of a warp each by itself.
//!
//! Threads of a warp that stand at the same instruction are run together, all lanes of an instruction at once. Who runs, in what groups and for how
//! long is drawn at random; one host thread runs the whole launch, so that a seed gives the same run again.

mod access;
mod burst;
mod collective;
mod fault;
mod shared;
mod warp;

use std::sync::Arc;

use crate::memory::Regions;
use crate::program::Kernel;
use crate::schedule::{Policy, Random, shuffled};
pub(crate) use fault::Fault;
use fault::Problem;
use shared::Shared;
use warp::{Coordinates, Warp};

/// A launch, ready to run.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) dynamic_shared: usize,
    /// The bytes of the kernel's parameters.
    pub(crate) parameters: Vec<u8>,
    pub(crate) regions: Regions,
    pub(crate) seed: u64,
    /// Blocks that run at a time, drawn where it is not given.
    pub(crate) resident: Option<usize>,
    pub(crate) processors: u32,
    pub(crate) number: u32,
}

/// Loads that spin until the launch is given up, if no turn is without one and memory does not change.
const SPINS: u64 = 1_000_000;
/// Instructions without a store, a barrier or an exit until the launch is given up.
const IDLE: u64 = 20_000_000_000;

struct Block {
    index: [u32; 3],
    warps: Vec<Warp>,
    shared: Shared,
    barriers: [Barrier; 16],
    live: u32,
}

/// One of the sixteen barriers of a block.
#[derive(Clone, Copy, Debug, Default)]
struct Barrier {
    arrived: u32,
    /// Threads that it wants; 0 for all.
    expected: u32,
    /// Of the predicates of a reduction.
    holding: u32,
}

struct Machine<'a> {
    launch: &'a Launch,
    kernel: &'a Kernel,
    random: Random,
    policy: Policy,
    /// Thread instructions executed.
    executed: u64,
    /// Instructions and spinning loads since memory changed, a thread exited or a barrier opened.
    idle: u64,
    spins: u64,
    /// Threads of the warp whose turn it is that stay where they are until the next.
    held: u32,
}

impl Launch {
    /// Runs the kernel to its end.
    ///
    /// Returns the number of instructions that its threads executed.
    ///
    /// # Errors
    /// What a thread did that it must not.
    pub(crate) fn run(&self) -> Result<u64, Fault> {
        let mut random = Random::new(self.seed ^ u64::from(self.number) << 32);
        let policy = Policy::draw(&mut random);
        let blocks: u32 = self.grid.iter().product();
        let resident = self.resident.unwrap_or_else(|| 4 + random.below(9) as usize);
        let mut order = shuffled(blocks, &mut random).into_iter();
        let mut machine = Machine {
            launch: self,
            kernel: &self.kernel,
            random,
            policy,
            executed: 0,
            idle: 0,
            spins: 0,
            held: 0,
        };
        let mut running: Vec<Block> =
            order.by_ref().take(resident).map(|b| machine.block(b, Vec::new())).collect();
        while !running.is_empty() {
            let b = machine.random.below(running.len() as u32) as usize;
            let Some(w) = machine.runnable_warp(&running[b]) else {
                if running.iter().all(|block| block.warps.iter().all(|warp| warp.runnable() == 0)) {
                    return Err(machine.deadlock(&running[b]));
                }
                continue;
            };
            machine.turn(&mut running[b], w)?;
            if running[b].live == 0 {
                match order.next() {
                    Some(next) => {
                        let ended = std::mem::take(&mut running[b].warps);
                        running[b] = machine.block(next, ended);
                    }
                    None => {
                        running.swap_remove(b);
                    }
                }
            }
        }
        Ok(machine.executed)
    }
}

impl Machine<'_> {
    /// The block of that number, in the memory of warps that have ended.
    fn block(&self, number: u32, ended: Vec<Warp>) -> Block {
        let launch = self.launch;
        let index = warp::thread_index(number, launch.grid);
        let threads: u32 = launch.block.iter().product();
        let shared_static = self.kernel.shared_bytes.next_multiple_of(16);
        let at = Coordinates {
            block: index,
            grid_size: launch.grid,
            block_size: launch.block,
            shared_static: shared_static as u32,
            shared_total: (shared_static + launch.dynamic_shared) as u32,
            processor: number % launch.processors,
            processors: launch.processors,
            launch: launch.number,
        };
        let mut registers = ended.into_iter().map(|warp| warp.registers);
        let warps = (0..threads.div_ceil(32))
            .map(|w| Warp::new(self.kernel, w, &at, registers.next().unwrap_or_default()))
            .collect();
        Block {
            index,
            warps,
            shared: Shared::new(shared_static + launch.dynamic_shared, self.kernel.shared_words),
            barriers: [Barrier::default(); 16],
            live: threads,
        }
    }

    fn runnable_warp(&mut self, block: &Block) -> Option<usize> {
        let count = block.warps.len();
        let first = self.random.below(count as u32) as usize;
        (first..count).chain(0..first).find(|&w| block.warps[w].runnable() != 0)
    }

    /// Runs a warp for a while.
    fn turn(&mut self, block: &mut Block, w: usize) -> Result<(), Fault> {
        let mut budget = self.policy.turn(&mut self.random);
        let spins = self.spins;
        self.held = 0;
        while budget > 0 {
            let warp = &block.warps[w];
            let runnable = warp.runnable() & !self.held;
            if runnable == 0 {
                break;
            }
            let group = self.policy.group(&mut self.random, &warp.places, runnable);
            self.held |= group.left;
            let before = budget;
            let outcome = self.burst(block, w, group, &mut budget);
            self.idle += u64::from(before - budget);
            if let Err((problem, lane, place)) = outcome {
                return Err(self.fault(block, w as u32, lane, place, problem));
            }
        }
        if self.spins == spins {
            self.spins = 0;
        }
        if self.spins > SPINS || self.idle > IDLE {
            let warp = &block.warps[w];
            let lane = warp.live.trailing_zeros() % 32;
            return Err(self.fault(
                block,
                w as u32,
                lane,
                warp.places[lane as usize],
                Problem::NoProgress,
            ));
        }
        Ok(())
    }

    fn progress(&mut self) {
        self.idle = 0;
        self.spins = 0;
    }
}
