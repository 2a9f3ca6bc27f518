//! The loop that executes instructions for a group of threads of a warp.

use super::fault::Problem;
use super::{Block, Machine};
use crate::lanes::WARP;
use crate::program::{Action, Guard, Place};
use crate::schedule::Group;

/// A problem, the lane that has it, and where it stands.
pub(super) type Outcome = Result<(), (Problem, u32, u32)>;

impl Machine<'_> {
    /// Executes up to `budget` instructions with the threads of `group`, until they part or wait.
    pub(super) fn burst(
        &mut self,
        block: &mut Block,
        w: usize,
        group: Group,
        budget: &mut u32,
    ) -> Outcome {
        let kernel = self.kernel;
        let mut lanes = group.lanes;
        let mut place = group.place;
        let start = *budget;
        let mut left = *budget;
        let mut split = false;
        while left > 0 && !split {
            let instr = &kernel.code[place as usize];
            let warp = &mut block.warps[w];
            let active = match instr.guard {
                Guard::Always => lanes,
                Guard::If(p) => lanes & warp.registers.predicates[p as usize],
                Guard::Unless(p) => lanes & !warp.registers.predicates[p as usize],
            };
            left -= 1;
            let slots = &instr.slots;
            match &instr.action {
                Action::Lanes(f) => {
                    if active != 0 {
                        // SAFETY: the decoder chose the function for this processor.
                        unsafe { f(&mut warp.registers, slots, active) }
                    }
                    place += 1;
                }
                Action::Branch(target) => {
                    if active == lanes {
                        place = *target;
                    } else if active == 0 {
                        place += 1;
                    } else {
                        for (l, at) in warp.places.iter_mut().enumerate() {
                            if lanes >> l & 1 != 0 {
                                *at = if active >> l & 1 != 0 { *target } else { place + 1 };
                            }
                        }
                        lanes = 0;
                        split = true;
                    }
                }
                Action::Load(access) => {
                    if active != 0 {
                        self.load(block, w, access, active)
                            .map_err(|(problem, lane)| (problem, lane, place))?;
                        if access.spins {
                            self.spins += 1;
                            left = left.min(self.random.below(8));
                        }
                    }
                    place += 1;
                }
                Action::Store(access) => {
                    let mut active = active;
                    if active & (active.wrapping_sub(1)) != 0
                        && matches!(access.place, Place::Global | Place::Generic)
                    {
                        let now = self.policy.storing(&mut self.random, active);
                        let later = active & !now;
                        self.keep_places(block, w, later, place);
                        lanes &= !later;
                        self.held |= later;
                        active = now;
                    }
                    if active != 0 {
                        self.store(block, w, access, active)
                            .map_err(|(problem, lane)| (problem, lane, place))?;
                        self.progress();
                    }
                    place += 1;
                }
                Action::Atomic(atomic) => {
                    if active != 0 {
                        self.atomic(block, w, atomic, slots, active)
                            .map_err(|(problem, lane)| (problem, lane, place))?;
                        left = left.min(self.random.below(8));
                    }
                    place += 1;
                }
                Action::Call(target) => {
                    let row = &mut warp.registers.words[slots.d as usize];
                    for (l, back) in row.iter_mut().enumerate() {
                        if active >> l & 1 != 0 {
                            *back = place + 1;
                        }
                    }
                    if active == lanes {
                        place = *target;
                    } else if active == 0 {
                        place += 1;
                    } else {
                        for l in 0..WARP {
                            if lanes >> l & 1 != 0 {
                                warp.places[l] =
                                    if active >> l & 1 != 0 { *target } else { place + 1 };
                            }
                        }
                        lanes = 0;
                        split = true;
                    }
                }
                Action::Return => {
                    if active == 0 {
                        place += 1;
                    } else {
                        for l in 0..WARP {
                            if lanes >> l & 1 != 0 {
                                warp.places[l] = if active >> l & 1 != 0 {
                                    warp.registers.words[slots.a as usize][l]
                                } else {
                                    place + 1
                                };
                            }
                        }
                        lanes = 0;
                        split = true;
                    }
                }
                Action::CopyLocal { from, to, bytes } => {
                    let (from, to, bytes) = (*from as usize, *to as usize, *bytes as usize);
                    for l in (0..WARP).filter(|l| active >> l & 1 != 0) {
                        let first = l * kernel.local_bytes;
                        warp.local.copy_within(first + from..first + from + bytes, first + to);
                        warp.local_written
                            .copy_within(first + from..first + from + bytes, first + to);
                    }
                    place += 1;
                }
                Action::Exit => {
                    if active != 0 {
                        self.keep_places(block, w, lanes & !active, place + 1);
                        self.exit(block, w, active)?;
                        lanes &= !active;
                        // The others go on in a turn of their own.
                        split = true;
                    }
                    place += 1;
                }
                Action::Trap => {
                    if active != 0 {
                        return Err((Problem::Trap, active.trailing_zeros(), place));
                    }
                    place += 1;
                }
                Action::ActiveMask => {
                    let row = &mut warp.registers.words[slots.d as usize];
                    for (l, value) in row.iter_mut().enumerate() {
                        if active >> l & 1 != 0 {
                            *value = active;
                        }
                    }
                    place += 1;
                }
                Action::Clock { long } => {
                    let now = self.executed + u64::from(start - left);
                    for l in (0..WARP).filter(|l| active >> l & 1 != 0) {
                        if *long {
                            warp.registers.longs[slots.d as usize][l] = now;
                        } else {
                            warp.registers.words[slots.d as usize][l] = now as u32;
                        }
                    }
                    place += 1;
                }
                Action::Sleep => {
                    self.spins += 1;
                    left = left.min(self.random.below(4));
                    place += 1;
                }
                Action::Nothing => place += 1,
                Action::Barrier { .. }
                | Action::WarpBarrier
                | Action::Shuffle { .. }
                | Action::Vote(_)
                | Action::Match { .. }
                | Action::Reduce(_) => {
                    if active == 0 || active == lanes && self.whole(block, w, instr, active) {
                        place += 1;
                    } else {
                        // Those that do not take part go on; those that do wait where they are.
                        self.keep_places(block, w, lanes & !active, place + 1);
                        self.keep_places(block, w, active, place);
                        self.arrive(block, w, instr, active, place)?;
                        lanes = 0;
                        split = true;
                    }
                }
            }
            self.executed += u64::from(group.lanes.count_ones());
            if place == group.meeting {
                break;
            }
        }
        *budget = left;
        self.keep_places(block, w, lanes, place);
        Ok(())
    }

    fn keep_places(&self, block: &mut Block, w: usize, lanes: u32, place: u32) {
        for (l, at) in block.warps[w].places.iter_mut().enumerate() {
            if lanes >> l & 1 != 0 {
                *at = place;
            }
        }
    }

    /// Threads end. Barriers and collectives that waited for them only may open.
    fn exit(&mut self, block: &mut Block, w: usize, lanes: u32) -> Outcome {
        block.warps[w].live &= !lanes;
        block.live -= lanes.count_ones();
        self.progress();
        self.open_collectives(block, w)?;
        self.open_barriers(block);
        Ok(())
    }
}
