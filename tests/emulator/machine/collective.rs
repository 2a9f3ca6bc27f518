//! Barriers of a block, and what lanes of a warp do together.

use super::burst::Outcome;
use super::fault::Problem;
use super::{Barrier, Block, Machine};
use crate::lanes::{Registers, WARP};
use crate::program::{Action, Instr, Reduction, ShuffleMode, Vote, WarpReduction};

/// Lanes of a mask, from the lowest.
fn lanes_of(mask: u32) -> impl Iterator<Item = usize> {
    (0..WARP).filter(move |l| mask >> l & 1 != 0)
}

impl Machine<'_> {
    /// Executes a collective of a warp at once, if the lanes that came are all that it wants.
    pub(super) fn whole(
        &mut self,
        block: &mut Block,
        w: usize,
        instr: &Instr,
        active: u32,
    ) -> bool {
        if matches!(instr.action, Action::Barrier { .. }) {
            return false;
        }
        let warp = &mut block.warps[w];
        let masks = &warp.registers.words[instr.slots.a as usize];
        let first = active.trailing_zeros();
        let members = masks[first as usize];
        if members & warp.live != active || lanes_of(active).any(|l| masks[l] != members) {
            return false;
        }
        self.perform(block, w, instr, active);
        true
    }

    /// Threads come to a barrier or a collective and wait, or open it.
    pub(super) fn arrive(
        &mut self,
        block: &mut Block,
        w: usize,
        instr: &Instr,
        active: u32,
        place: u32,
    ) -> Outcome {
        if let Action::Barrier { counted, waits, reduction } = instr.action {
            let slots = &instr.slots;
            for l in lanes_of(active) {
                let warp = &mut block.warps[w];
                let number = warp.registers.words[slots.a as usize][l];
                let Some(barrier) = block.barriers.get_mut(number as usize) else {
                    return Err((Problem::BarrierNumber { number }, l as u32, place));
                };
                let count = if counted { warp.registers.words[slots.b as usize][l] } else { 0 };
                if counted
                    && (count == 0 || count % 32 != 0 || count as usize > block.warps.len() * 32)
                    || barrier.arrived > 0 && barrier.expected != count
                {
                    return Err((Problem::BarrierCount { count }, l as u32, place));
                }
                let warp = &mut block.warps[w];
                barrier.expected = count;
                barrier.arrived += 1;
                if reduction.is_some() {
                    barrier.holding += warp.registers.predicates[slots.c as usize] >> l & 1;
                }
                if waits {
                    warp.at_barrier |= 1 << l;
                    warp.barrier[l] = number as u8;
                } else {
                    warp.places[l] = place + 1;
                }
            }
            self.open_barriers(block);
            return Ok(());
        }
        let warp = &mut block.warps[w];
        for l in lanes_of(active) {
            let members = warp.registers.words[instr.slots.a as usize][l];
            if members >> l & 1 == 0 {
                return Err((Problem::NoMember { members }, l as u32, place));
            }
            warp.members[l] = members;
        }
        warp.at_collective |= active;
        self.open_collectives(block, w)
    }

    /// Opens the barriers of a block that all of their threads have come to.
    pub(super) fn open_barriers(&mut self, block: &mut Block) {
        for number in 0..block.barriers.len() {
            let barrier = block.barriers[number];
            let expected = if barrier.expected == 0 { block.live } else { barrier.expected };
            if barrier.arrived == 0 || barrier.arrived < expected {
                continue;
            }
            let kernel = self.kernel;
            for warp in &mut block.warps {
                for l in lanes_of(warp.at_barrier) {
                    if warp.barrier[l] as usize != number {
                        continue;
                    }
                    warp.at_barrier &= !(1 << l);
                    let instr = &kernel.code[warp.places[l] as usize];
                    warp.places[l] += 1;
                    if let Action::Barrier { reduction: Some(reduction), .. } = instr.action {
                        let d = instr.slots.d as usize;
                        let (predicates, bit) = (&mut warp.registers.predicates, 1 << l);
                        let holds = match reduction {
                            Reduction::Count => {
                                warp.registers.words[d][l] = barrier.holding;
                                continue;
                            }
                            Reduction::And => barrier.holding == barrier.arrived,
                            Reduction::Or => barrier.holding > 0,
                        };
                        predicates[d] = predicates[d] & !bit | if holds { bit } else { 0 };
                    }
                }
            }
            block.barriers[number] = Barrier::default();
            block.shared.barrier();
            self.progress();
        }
    }

    /// Executes every collective of a warp whose members have all come.
    pub(super) fn open_collectives(&mut self, block: &mut Block, w: usize) -> Outcome {
        let kernel = self.kernel;
        loop {
            let warp = &block.warps[w];
            let mut open = None;
            let mut seen = 0u32;
            for l in lanes_of(warp.at_collective) {
                let (members, place) = (warp.members[l], warp.places[l]);
                if seen >> l & 1 != 0 {
                    continue;
                }
                let is_barrier =
                    |place: u32| matches!(kernel.code[place as usize].action, Action::WarpBarrier);
                let together = |other: &usize| {
                    warp.places[*other] == place
                        || is_barrier(place) && is_barrier(warp.places[*other])
                };
                let there = lanes_of(warp.at_collective & members)
                    .filter(together)
                    .fold(0u32, |mask, l| mask | 1 << l);
                seen |= there;
                if let Some(other) = lanes_of(there).find(|&other| warp.members[other] != members) {
                    let others = warp.members[other];
                    return Err((Problem::Members { members, others }, l as u32, place));
                }
                if members & warp.live == there {
                    open = Some((there, place));
                    break;
                }
            }
            let Some((lanes, place)) = open else {
                return Ok(());
            };
            self.perform(block, w, &kernel.code[place as usize], lanes);
            let warp = &mut block.warps[w];
            warp.at_collective &= !lanes;
            for l in lanes_of(lanes) {
                warp.places[l] += 1;
            }
        }
    }

    fn perform(&mut self, block: &mut Block, w: usize, instr: &Instr, lanes: u32) {
        let warp = &mut block.warps[w];
        let registers = &mut warp.registers;
        let slots = instr.slots;
        match instr.action {
            Action::WarpBarrier => warp.order.barrier(lanes),
            Action::Shuffle { mode, clamp, predicate } => {
                let (value, source, clamp) = (
                    registers.words[slots.b as usize],
                    registers.words[slots.c as usize],
                    registers.words[clamp as usize],
                );
                // Data of a lane that takes no part is not defined.
                let garbage = self.random.next() as u32;
                for l in lanes_of(lanes) {
                    let (from, inside) = shuffled_from(mode, l as u32, source[l], clamp[l]);
                    let there = lanes >> from & 1 != 0;
                    registers.words[slots.d as usize][l] =
                        if there { value[from as usize] } else { garbage };
                    if predicate {
                        set(registers, slots.e, l, inside);
                    }
                }
            }
            Action::Vote(vote) => {
                let bits = registers.predicates[slots.b as usize] & lanes;
                let holds = match vote {
                    Vote::All => bits == lanes,
                    Vote::Any => bits != 0,
                    Vote::Uniform => bits == 0 || bits == lanes,
                    Vote::Ballot => {
                        for l in lanes_of(lanes) {
                            registers.words[slots.d as usize][l] = bits;
                        }
                        return;
                    }
                };
                for l in lanes_of(lanes) {
                    set(registers, slots.d, l, holds);
                }
            }
            Action::Match { all, long } => {
                let values = if long {
                    registers.longs[slots.b as usize]
                } else {
                    registers.words[slots.b as usize].map(u64::from)
                };
                for l in lanes_of(lanes) {
                    let same = lanes_of(lanes)
                        .filter(|&o| values[o] == values[l])
                        .fold(0u32, |mask, o| mask | 1 << o);
                    registers.words[slots.d as usize][l] =
                        if !all || same == lanes { same } else { 0 };
                    set(registers, slots.e, l, same == lanes);
                }
            }
            Action::Reduce(reduction) => {
                let values = registers.words[slots.b as usize];
                let combined = lanes_of(lanes)
                    .map(|l| values[l])
                    .reduce(|a, b| reduced(reduction, a, b))
                    .unwrap_or(0);
                for l in lanes_of(lanes) {
                    registers.words[slots.d as usize][l] = combined;
                }
            }
            _ => {}
        }
    }
}

fn set(registers: &mut Registers, slot: u32, lane: usize, holds: bool) {
    let row = &mut registers.predicates[slot as usize];
    *row = *row & !(1 << lane) | u32::from(holds) << lane;
}

/// The lane that `shfl` reads from, and whether it is inside of its segment.
fn shuffled_from(mode: ShuffleMode, lane: u32, source: u32, clamp: u32) -> (u32, bool) {
    let source = source & 31;
    let segment = clamp >> 8 & 31;
    let clamp = clamp & 31;
    let last = lane & segment | clamp & !segment;
    let first = lane & segment;
    let (from, inside) = match mode {
        ShuffleMode::Up => (lane.wrapping_sub(source), lane as i32 - source as i32 >= last as i32),
        ShuffleMode::Down => (lane + source, lane + source <= last),
        ShuffleMode::Butterfly => (lane ^ source, lane ^ source <= last),
        ShuffleMode::Index => (first | source & !segment, first | source & !segment <= last),
    };
    if inside { (from & 31, true) } else { (lane, false) }
}

fn reduced(reduction: WarpReduction, a: u32, b: u32) -> u32 {
    match reduction {
        WarpReduction::Add => a.wrapping_add(b),
        WarpReduction::MinUnsigned => a.min(b),
        WarpReduction::MaxUnsigned => a.max(b),
        WarpReduction::MinSigned => (a as i32).min(b as i32) as u32,
        WarpReduction::MaxSigned => (a as i32).max(b as i32) as u32,
        WarpReduction::And => a & b,
        WarpReduction::Or => a | b,
        WarpReduction::Xor => a ^ b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_that_shuffles_read() {
        // As `__shfl_up_sync`, `__shfl_down_sync`, `__shfl_xor_sync` and `__shfl_sync` of width 8 compile.
        assert_eq!(shuffled_from(ShuffleMode::Up, 9, 1, 0x1800), (8, true));
        assert_eq!(shuffled_from(ShuffleMode::Up, 8, 1, 0x1800), (8, false));
        assert_eq!(shuffled_from(ShuffleMode::Down, 15, 1, 0x181f), (15, false));
        assert_eq!(shuffled_from(ShuffleMode::Down, 14, 1, 0x181f), (15, true));
        assert_eq!(shuffled_from(ShuffleMode::Butterfly, 12, 3, 0x181f), (15, true));
        assert_eq!(shuffled_from(ShuffleMode::Index, 13, 2, 0x181f), (10, true));
        assert_eq!(shuffled_from(ShuffleMode::Index, 13, 2, 0x1f), (2, true));
    }
}
