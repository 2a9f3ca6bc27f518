//! The state of a warp and of its threads.

use crate::lanes::{Registers, WARP};
use crate::program::{Kernel, Special};

/// The order that barriers of a warp give to the accesses of its lanes: a vector clock for each lane.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// Barriers of this warp so far.
    count: u32,
    /// `clocks[j][i]`: what lane `i` did before this count is before what lane `j` does now. None before the first barrier.
    clocks: Option<Box<[[u32; WARP]; WARP]>>,
}

impl Order {
    #[inline(always)]
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// A barrier among `lanes`.
    pub(super) fn barrier(&mut self, lanes: u32) {
        self.count += 1;
        let clocks = self.clocks.get_or_insert_with(|| Box::new([[0; WARP]; WARP]));
        let members = (0..WARP).filter(|l| lanes >> l & 1 != 0);
        let mut joined = [0; WARP];
        for j in members.clone() {
            for i in 0..WARP {
                joined[i] = joined[i].max(clocks[j][i]);
            }
        }
        for i in members.clone() {
            joined[i] = self.count;
        }
        for j in members {
            clocks[j] = joined;
        }
    }

    /// Whether what `thread` of the block did at `count` is before what `lane` of `warp`, whose order this is, does now.
    #[inline(always)]
    pub(super) fn before(&self, thread: u16, count: u32, warp: u32, lane: u32) -> bool {
        u32::from(thread) / 32 == warp && self.clock(lane, u32::from(thread) % 32) > count
    }

    /// Those of `lanes` whose accesses at `count` are not before what `lane` does now.
    #[inline(always)]
    pub(super) fn not_before(&self, lanes: u32, count: u32, lane: u32) -> u32 {
        let mut left = 0;
        let mut rest = lanes;
        while rest != 0 {
            let i = rest.trailing_zeros();
            rest &= rest - 1;
            if self.clock(lane, i) <= count {
                left |= 1 << i;
            }
        }
        left
    }

    #[inline(always)]
    fn clock(&self, of: u32, about: u32) -> u32 {
        self.clocks.as_ref().map_or(0, |clocks| clocks[of as usize][about as usize])
    }
}

#[derive(Debug)]
pub(super) struct Warp {
    pub(super) index: u32,
    pub(super) registers: Registers,
    /// Where each thread stands; a thread that waits stands at what it waits for.
    pub(super) places: [u32; WARP],
    /// Threads that exist and have not exited.
    pub(super) live: u32,
    pub(super) at_barrier: u32,
    pub(super) at_collective: u32,
    /// The barrier that a thread waits at.
    pub(super) barrier: [u8; WARP],
    /// The members of the collective that a thread waits in.
    pub(super) members: [u32; WARP],
    /// Local memory of all lanes, one after the other, and which bytes were written.
    pub(super) local: Vec<u8>,
    pub(super) local_written: Vec<bool>,
    pub(super) order: Order,
}

/// What special registers say about a block and its launch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coordinates {
    pub(super) block: [u32; 3],
    pub(super) grid_size: [u32; 3],
    pub(super) block_size: [u32; 3],
    pub(super) shared_static: u32,
    pub(super) shared_total: u32,
    pub(super) processor: u32,
    pub(super) processors: u32,
    pub(super) launch: u32,
}

impl Warp {
    /// `registers` may be those of a warp that has ended.
    pub(super) fn new(
        kernel: &Kernel,
        index: u32,
        at: &Coordinates,
        mut registers: Registers,
    ) -> Self {
        let threads: u32 = at.block_size.iter().product();
        let first = index * 32;
        let lanes = (threads - first).min(32);
        // What nobody wrote is a NaN or a large number, so that its use shows.
        refill(&mut registers.words, kernel.words, [0x7fb0_dead; WARP]);
        refill(&mut registers.longs, kernel.longs, [0x7ff4_dead_7fb0_dead; WARP]);
        refill(&mut registers.predicates, kernel.predicates, 0xaaaa_aaaa);
        registers.predicates[0] = 0;
        for &(slot, value) in &kernel.word_constants {
            registers.words[slot as usize] = [value; WARP];
        }
        for &(slot, value) in &kernel.long_constants {
            registers.longs[slot as usize] = [value; WARP];
        }
        for &(slot, special) in &kernel.specials {
            let row = &mut registers.words[slot as usize];
            for (l, value) in row.iter_mut().enumerate() {
                *value = special_value(special, at, index, l as u32);
            }
        }
        let local = kernel.local_bytes * WARP;
        Self {
            index,
            registers,
            places: [0; WARP],
            live: if lanes == 32 { u32::MAX } else { (1 << lanes) - 1 },
            at_barrier: 0,
            at_collective: 0,
            barrier: [0; WARP],
            members: [0; WARP],
            local: vec![0; local],
            local_written: vec![false; local],
            order: Order::default(),
        }
    }

    pub(super) fn runnable(&self) -> u32 {
        self.live & !self.at_barrier & !self.at_collective
    }
}

fn refill<T: Copy>(rows: &mut Vec<T>, count: usize, value: T) {
    rows.resize(count, value);
    rows.fill(value);
}

/// The index of a thread of the block by its number.
pub(super) fn thread_index(number: u32, size: [u32; 3]) -> [u32; 3] {
    [number % size[0], number / size[0] % size[1], number / (size[0] * size[1])]
}

fn special_value(special: Special, at: &Coordinates, warp: u32, lane: u32) -> u32 {
    match special {
        Special::Thread(axis) => thread_index(warp * 32 + lane, at.block_size)[axis as usize],
        Special::Block(axis) => at.block[axis as usize],
        Special::BlockSize(axis) => at.block_size[axis as usize],
        Special::GridSize(axis) => at.grid_size[axis as usize],
        Special::Lane => lane,
        Special::Warp => warp,
        Special::Warps => at.block_size.iter().product::<u32>().div_ceil(32),
        Special::Processor => at.processor,
        Special::Processors => at.processors,
        Special::DynamicShared => at.shared_static,
        Special::TotalShared => at.shared_total,
        Special::LanesEqual => 1 << lane,
        Special::LanesBelow => (1 << lane) - 1,
        Special::LanesUpTo => u32::MAX >> (31 - lane),
        Special::LanesAbove => !(u32::MAX >> (31 - lane)),
        Special::LanesFrom => u32::MAX << lane,
        Special::GridId => at.launch,
    }
}
