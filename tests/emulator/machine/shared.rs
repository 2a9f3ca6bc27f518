//! Shared memory of a block with a shadow that finds races and reads of what nobody wrote.
//!
//! Two accesses of different threads to the same bytes, one of them a write, race unless a barrier of the block, or of the warp
//! where both are in one, is between them. Barriers among a part of a block's threads count as barriers of the whole block.

use super::warp::Order;

/// Who touched a granule since the last barrier of the block.
#[derive(Clone, Copy, Debug, Default)]
struct Granule {
    /// Of the last write.
    writer: Record,
    /// Of the last read; its thread is the first lane's of `readers`.
    reader: Record,
    /// The lanes that read, all of `reader`'s warp.
    readers: u32,
    written: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    /// 0 where there is none.
    epoch: u32,
    /// The warp's count of barriers.
    count: u32,
    thread: u16,
    /// Atomic or volatile.
    strong: bool,
    /// Threads of several warps.
    several: bool,
}

/// The thread that makes an access.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accessor {
    pub(super) warp: u32,
    pub(super) lane: u32,
    pub(super) strong: bool,
}

impl Accessor {
    fn thread(self) -> u16 {
        (self.warp * 32 + self.lane) as u16
    }
}

/// What is wrong with an access; `thread` is the other's number in the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hazard {
    Unwritten,
    WriteAfterWrite { thread: u32 },
    WriteAfterRead { thread: u32 },
    ReadAfterWrite { thread: u32 },
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) data: Vec<u8>,
    granules: Vec<Granule>,
    /// The logarithm of a granule's bytes.
    shift: u32,
    epoch: u32,
}

impl Shared {
    /// `words` says that no access is of less than four bytes.
    pub(super) fn new(bytes: usize, words: bool) -> Self {
        let shift = if words { 2 } else { 0 };
        let granules = vec![Granule::default(); bytes.div_ceil(1 << shift)];
        Self { data: vec![0; bytes], granules, shift, epoch: 1 }
    }

    /// A barrier of the block: what was before is ordered before what comes.
    pub(super) fn barrier(&mut self) {
        self.epoch += 1;
    }

    /// Checks a read of `bytes` at `at`, which are inside.
    #[inline(always)]
    pub(super) fn reads(
        &mut self,
        at: usize,
        bytes: usize,
        who: Accessor,
        order: &Order,
    ) -> Result<(), Hazard> {
        let (first, last) = (at >> self.shift, (at + bytes - 1) >> self.shift);
        for granule in &mut self.granules[first..=last] {
            if !granule.written {
                return Err(Hazard::Unwritten);
            }
            let w = granule.writer;
            if w.epoch == self.epoch
                && w.thread != who.thread()
                && !(w.strong && who.strong)
                && !order.before(w.thread, w.count, who.warp, who.lane)
            {
                return Err(Hazard::ReadAfterWrite { thread: u32::from(w.thread) });
            }
            let r = granule.reader;
            let now = Record {
                epoch: self.epoch,
                count: order.count(),
                thread: who.thread(),
                strong: who.strong,
                several: false,
            };
            let bit = 1 << who.lane;
            if r.epoch != self.epoch {
                granule.reader = now;
                granule.readers = bit;
            } else if r.several {
            } else if u32::from(r.thread) / 32 != who.warp {
                granule.reader = Record { several: true, strong: r.strong && who.strong, ..now };
            } else {
                // Reads that are ordered before this one need no memory of their own.
                let still = if r.count == now.count {
                    granule.readers
                } else {
                    order.not_before(granule.readers, r.count, who.lane)
                };
                granule.readers = still | bit;
                granule.reader = Record { strong: now.strong && (r.strong || still == 0), ..now };
            }
        }
        Ok(())
    }

    /// Checks a write of `bytes` at `at`, which are inside.
    #[inline(always)]
    pub(super) fn writes(
        &mut self,
        at: usize,
        bytes: usize,
        who: Accessor,
        order: &Order,
    ) -> Result<(), Hazard> {
        let (first, last) = (at >> self.shift, (at + bytes - 1) >> self.shift);
        for granule in &mut self.granules[first..=last] {
            let w = granule.writer;
            if w.epoch == self.epoch
                && w.thread != who.thread()
                && !(w.strong && who.strong)
                && !order.before(w.thread, w.count, who.warp, who.lane)
            {
                return Err(Hazard::WriteAfterWrite { thread: u32::from(w.thread) });
            }
            let r = granule.reader;
            if r.epoch == self.epoch && !(r.strong && who.strong) {
                if r.several || u32::from(r.thread) / 32 != who.warp {
                    return Err(Hazard::WriteAfterRead { thread: u32::from(r.thread) });
                }
                let others =
                    order.not_before(granule.readers & !(1 << who.lane), r.count, who.lane);
                if others != 0 {
                    return Err(Hazard::WriteAfterRead {
                        thread: who.warp * 32 + others.trailing_zeros(),
                    });
                }
            }
            granule.writer = Record {
                epoch: self.epoch,
                count: order.count(),
                thread: who.thread(),
                strong: who.strong,
                several: false,
            };
            granule.written = true;
        }
        Ok(())
    }
}
