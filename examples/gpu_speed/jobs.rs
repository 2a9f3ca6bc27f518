//! What is to be done.

/// Numbers of one step's input, in every job.
pub(crate) const INPUT: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell {
    Gru,
    DiagonalGru,
}

impl Cell {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Cell::Gru => "GRU",
            Cell::DiagonalGru => "diagonal GRU",
        }
    }
}

/// A cell in single precision over a batch of sequences.
#[derive(Debug, PartialEq)]
pub(crate) struct Job {
    pub(crate) name: &'static str,
    pub(crate) cell: Cell,
    pub(crate) n: usize,
    /// Sequences.
    pub(crate) batch: usize,
    /// Steps of each.
    pub(crate) steps: usize,
    /// Sequences and steps of `--quick`.
    quick: (usize, usize),
    /// Seconds on an H200 that the states should take, left on the device.
    pub(crate) at_most: Option<f64>,
}

impl Job {
    /// Sequences and steps.
    pub(crate) fn size(&self, quick: bool) -> (usize, usize) {
        if quick { self.quick } else { (self.batch, self.steps) }
    }
}

pub(crate) static JOBS: [Job; 8] = [
    // DEER's own demonstration.
    Job {
        name: "demo",
        cell: Cell::Gru,
        n: 2,
        batch: 16,
        steps: 10_000,
        quick: (2, 700),
        at_most: Some(100e-6),
    },
    Job {
        name: "long",
        cell: Cell::Gru,
        n: 1,
        batch: 16,
        steps: 1_000_000,
        quick: (2, 1500),
        at_most: Some(1e-3),
    },
    Job {
        name: "wide",
        cell: Cell::Gru,
        n: 16,
        batch: 1,
        steps: 100_000,
        quick: (1, 300),
        at_most: None,
    },
    // Many sequences: small states that give each multiprocessor hundreds of threads, and wide ones that share their weights.
    Job {
        name: "batch",
        cell: Cell::Gru,
        n: 2,
        batch: 65_536,
        steps: 256,
        quick: (512, 4),
        at_most: None,
    },
    Job {
        name: "wide-batch",
        cell: Cell::Gru,
        n: 64,
        batch: 256,
        steps: 2048,
        quick: (2, 3),
        at_most: None,
    },
    // Those of ParaRNN, and what there is room for in registers.
    Job {
        name: "diagonal",
        cell: Cell::DiagonalGru,
        n: 256,
        batch: 8,
        steps: 2048,
        quick: (1, 300),
        at_most: None,
    },
    Job {
        name: "diagonal-long",
        cell: Cell::DiagonalGru,
        n: 256,
        batch: 8,
        steps: 131_072,
        quick: (1, 300),
        at_most: None,
    },
    Job {
        name: "diagonal-half",
        cell: Cell::DiagonalGru,
        n: 128,
        batch: 8,
        steps: 131_072,
        quick: (1, 300),
        at_most: None,
    },
];
