//! Decoded kernels: what the machine executes.

use std::sync::atomic::AtomicU32;

use crate::lanes::{Lanes, Slots};
use crate::ptx::Type;

/// A kernel with all functions that it calls, decoded.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) name: String,
    pub(crate) code: Vec<Instr>,
    /// The PTX text of the module, by lines, for messages.
    pub(crate) text: std::sync::Arc<Vec<String>>,
    pub(crate) words: usize,
    pub(crate) longs: usize,
    pub(crate) predicates: usize,
    pub(crate) word_constants: Vec<(u32, u32)>,
    pub(crate) long_constants: Vec<(u32, u64)>,
    pub(crate) specials: Vec<(u32, Special)>,
    /// Offset and bytes of each parameter.
    pub(crate) parameters: Vec<(usize, usize)>,
    pub(crate) parameter_bytes: usize,
    pub(crate) shared_bytes: usize,
    /// Whether every access that may be to shared memory is of at least four bytes.
    pub(crate) shared_words: bool,
    pub(crate) local_bytes: usize,
    pub(crate) max_threads: u32,
}

/// Registers whose value is known when a warp starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    Thread(u8),
    Block(u8),
    BlockSize(u8),
    GridSize(u8),
    Lane,
    Warp,
    Warps,
    Processor,
    Processors,
    DynamicShared,
    TotalShared,
    LanesEqual,
    LanesBelow,
    LanesUpTo,
    LanesAbove,
    LanesFrom,
    GridId,
}

/// One decoded instruction.
#[derive(Debug)]
pub(crate) struct Instr {
    pub(crate) action: Action,
    pub(crate) guard: Guard,
    pub(crate) slots: Slots,
    pub(crate) line: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    Always,
    If(u32),
    Unless(u32),
}

#[derive(Debug)]
pub(crate) enum Action {
    Lanes(Lanes),
    Load(Box<Access>),
    Store(Box<Access>),
    Atomic(Box<Atomic>),
    Branch(u32),
    /// Jumps to a function; `d` takes the place to return to.
    Call(u32),
    /// Returns to the place in `a`.
    Return,
    Exit,
    /// Copies a thread's local memory, of a `.param` variable.
    CopyLocal {
        from: u32,
        to: u32,
        bytes: u32,
    },
    Trap,
    /// `a` is the barrier, `b` the number of threads where `counted`, `c` the predicate of a reduction into `d`.
    Barrier {
        counted: bool,
        waits: bool,
        reduction: Option<Reduction>,
    },
    /// `a` is the mask of members, here and in what follows.
    WarpBarrier,
    /// `d`, and the predicate `e` where it is `predicate`; `b` the value, `c` the source, `clamp` a slot.
    Shuffle {
        mode: ShuffleMode,
        clamp: u32,
        predicate: bool,
    },
    /// The predicate `b` into `d`.
    Vote(Vote),
    /// `b` into `d`, and the predicate `e` where it is `all`.
    Match {
        all: bool,
        long: bool,
    },
    /// `b` into `d`.
    Reduce(WarpReduction),
    ActiveMask,
    /// A counter into the word `d`, or the long `d`.
    Clock {
        long: bool,
    },
    /// A hint that others should run.
    Sleep,
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduction {
    Count,
    And,
    Or,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShuffleMode {
    Up,
    Down,
    Butterfly,
    Index,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vote {
    All,
    Any,
    Uniform,
    Ballot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WarpReduction {
    Add,
    MinUnsigned,
    MaxUnsigned,
    MinSigned,
    MaxSigned,
    And,
    Or,
    Xor,
}

/// Where an access goes, before its address is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Global,
    Constant,
    Shared,
    Local,
    Parameter,
    Generic,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Base {
    Absolute,
    Word(u32),
    Long(u32),
}

/// A load or a store of one to four elements.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) place: Place,
    pub(crate) base: Base,
    pub(crate) offset: i64,
    /// The type in memory.
    pub(crate) ty: Type,
    pub(crate) elements: u8,
    /// The slots of the elements; those of a load are `u32::MAX` where the element is dropped.
    pub(crate) data: [u32; 4],
    /// Whether the registers are of 64 bits.
    pub(crate) long: bool,
    /// Bytes of the registers.
    pub(crate) register_bytes: u8,
    /// Volatile, relaxed, acquire or release: no race with others of its kind.
    pub(crate) strong: bool,
    /// A load that threads spin on.
    pub(crate) spins: bool,
    /// The number of the region that was last found to hold the address.
    pub(crate) hint: AtomicU32,
}

#[derive(Debug)]
pub(crate) struct Atomic {
    /// Of one element; its data is not used.
    pub(crate) access: Access,
    pub(crate) operation: AtomicOperation,
    /// No register takes the old value.
    pub(crate) discard: bool,
}

/// On the old value and the operand `b` (and `c`, of `Swap`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtomicOperation {
    Add,
    Min,
    Max,
    And,
    Or,
    Xor,
    Increment,
    Decrement,
    Exchange,
    Swap,
}
