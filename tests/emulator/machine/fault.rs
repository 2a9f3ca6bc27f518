//! What ends a kernel, and how it is told.

use super::shared::Hazard;
use super::warp::thread_index;
use super::{Block, Machine};
use crate::codes::Code;

/// The end of a launch: the driver's code, and one line that says who did what.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) message: String,
}

#[derive(Debug)]
pub(super) enum Problem {
    Outside {
        space: &'static str,
        address: u64,
        bytes: u64,
        near: Option<(u64, usize)>,
    },
    Misaligned {
        address: u64,
        bytes: u64,
    },
    Unwritten {
        space: &'static str,
        address: u64,
    },
    ReadOnly {
        address: u64,
    },
    Shared {
        address: u64,
        hazard: Hazard,
    },
    Trap,
    /// Not among the members of the collective that it executes.
    NoMember {
        members: u32,
    },
    /// Two threads at one collective whose sets of members differ.
    Members {
        members: u32,
        others: u32,
    },
    BarrierNumber {
        number: u32,
    },
    BarrierCount {
        count: u32,
    },
    NoProgress,
}

impl Problem {
    fn code(&self) -> Code {
        match self {
            Self::Misaligned { .. } => Code::MisalignedAddress,
            Self::Trap | Self::BarrierNumber { .. } | Self::BarrierCount { .. } => {
                Code::IllegalInstruction
            }
            Self::NoMember { .. } | Self::Members { .. } => Code::LaunchFailed,
            Self::NoProgress => Code::LaunchTimeout,
            _ => Code::IllegalAddress,
        }
    }

    fn text(&self, block: &Block, size: [u32; 3]) -> String {
        match *self {
            Self::Outside { space, address, bytes, near } => {
                let nearest = near.map_or(String::new(), |(base, length)| {
                    format!("; the nearest allocation is of {length} bytes at {base:#x}")
                });
                format!(
                    "{bytes} bytes of {space} memory at {address:#x} are outside of every allocation{nearest}"
                )
            }
            Self::Misaligned { address, bytes } => {
                format!("address {address:#x} is no multiple of {bytes}")
            }
            Self::Unwritten { space, address } => {
                format!("{space} memory at {address:#x} was never written")
            }
            Self::ReadOnly { address } => format!("memory at {address:#x} is constant"),
            Self::Shared { address, hazard } => {
                let (what, thread) = match hazard {
                    Hazard::Unwritten => {
                        return format!("shared memory at {address:#x} was never written");
                    }
                    Hazard::WriteAfterWrite { thread } => {
                        ("written, and thread {} wrote it", thread)
                    }
                    Hazard::WriteAfterRead { thread } => ("written, and thread {} read it", thread),
                    Hazard::ReadAfterWrite { thread } => ("read, and thread {} wrote it", thread),
                };
                let what = what.replace("{}", &format!("{:?}", thread_index(thread, size)));
                format!("a race: shared memory at {address:#x} is {what} with no barrier between")
            }
            Self::Trap => "a trap".to_owned(),
            Self::NoMember { members } => {
                format!("the thread is not in the mask {members:#010x} that it gives")
            }
            Self::Members { members, others } => format!(
                "threads of the warp give different masks, {members:#010x} and {others:#010x}"
            ),
            Self::BarrierNumber { number } => {
                format!("there is no barrier {number}: they are 0 to 15")
            }
            Self::BarrierCount { count } => format!(
                "a barrier cannot be of {count} threads: a multiple of 32, of at most {}, expected",
                block.warps.len() * 32
            ),
            Self::NoProgress => {
                "no thread gets any further: threads wait for what never comes".to_owned()
            }
        }
    }
}

impl Machine<'_> {
    pub(super) fn fault(
        &self,
        block: &Block,
        warp: u32,
        lane: u32,
        place: u32,
        problem: Problem,
    ) -> Fault {
        let thread = thread_index(warp * 32 + lane, self.launch.block);
        let what = problem.text(block, self.launch.block);
        Fault {
            code: problem.code(),
            message: format!("{}: {what}", self.who(block, thread, place)),
        }
    }

    fn who(&self, block: &Block, thread: [u32; 3], place: u32) -> String {
        let instr = &self.kernel.code[place as usize];
        let line = self
            .kernel
            .text
            .get((instr.line as usize).wrapping_sub(1))
            .map_or("", |line| line.trim());
        format!(
            "kernel {}, block {:?}, thread {thread:?}, line {} `{line}`",
            self.kernel.name, block.index, instr.line
        )
    }

    /// All threads of all resident blocks wait.
    pub(super) fn deadlock(&self, block: &Block) -> Fault {
        let mut message = format!("kernel {}: deadlock", self.kernel.name);
        for warp in &block.warps {
            let mut told = Vec::new();
            for lane in (0..32).filter(|lane| warp.live >> lane & 1 != 0) {
                let place = warp.places[lane as usize];
                if told.contains(&place) {
                    continue;
                }
                told.push(place);
                let thread = thread_index(warp.index * 32 + lane, self.launch.block);
                let waits = if warp.at_barrier >> lane & 1 != 0 {
                    let barrier = block.barriers[warp.barrier[lane as usize] as usize];
                    let expected =
                        if barrier.expected == 0 { block.live } else { barrier.expected };
                    format!("waits for {expected} threads, {} came", barrier.arrived)
                } else {
                    format!("waits for the lanes {:#010x}", warp.members[lane as usize])
                };
                message.push_str(&format!("\n  {}: {waits}", self.who(block, thread, place)));
            }
        }
        Fault { code: Code::LaunchTimeout, message }
    }
}
