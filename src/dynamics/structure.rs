//! Which entries of a Jacobian can differ from zero.

use super::Order;
use std::ops::Range;

/// Which entries of the Jacobian `∂f/∂x` of a step can differ from zero.
///
/// The compact form of a Jacobian is its square blocks one after the other, each row-major. The rows of all blocks, one block after the
/// other, are its *places*; [`component`](Self::component) says which component of the state is where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Structure {
    /// Any: `n × n` entries.
    Dense,
    /// Each component depends on itself alone: `n` entries.
    Diagonal,
    /// `size × size` blocks, `n / size` of them. Block `q` couples the components
    /// `q, q + n/size, q + 2n/size, …` where `interleaved` (an LSTM's `h` then `c`), and
    /// `q·size, …, q·size + size − 1` where not.
    Blocks {
        /// Components of one block; divides `n`.
        size: usize,
        /// Whether a block's components lie `n / size` apart instead of side by side.
        interleaved: bool,
    },
    /// Square blocks, of one size or of several, of components that lie anywhere. Found, not declared.
    Permuted {
        /// The components of one block after the other.
        order: Order,
    },
}

/// A row of a compact Jacobian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The first place of its block.
    pub(crate) start: usize,
    /// Components of its block.
    pub(crate) size: usize,
    /// Its first entry.
    pub(crate) entry: usize,
}

impl Row {
    /// Its entries.
    #[inline(always)]
    pub(crate) fn entries(self) -> Range<usize> {
        self.entry..self.entry + self.size
    }
}

impl Structure {
    /// Components in the largest block: all have as many, but for those of [`Permuted`](Self::Permuted).
    #[inline(always)]
    pub fn block_size(self, state_dim: usize) -> usize {
        match self {
            Structure::Dense => state_dim,
            Structure::Diagonal => 1,
            Structure::Blocks { size, .. } => size,
            Structure::Permuted { order } => order.largest(),
        }
    }

    /// How many blocks there are; none where `state_dim` is 0.
    pub fn blocks(self, state_dim: usize) -> usize {
        match self {
            Structure::Permuted { order } => order.blocks(),
            _ => state_dim.checked_div(self.block_size(state_dim)).unwrap_or(0),
        }
    }

    /// Components in block `block`.
    pub fn rows(self, state_dim: usize, block: usize) -> usize {
        match self {
            Structure::Permuted { order } => order.row(order.start(block)).size,
            _ => self.block_size(state_dim),
        }
    }

    /// Entries of the Jacobian in compact form.
    #[inline(always)]
    pub fn entries(self, state_dim: usize) -> usize {
        match self {
            Structure::Permuted { order } => order.entries(),
            _ => state_dim * self.block_size(state_dim),
        }
    }

    /// The state's component that is `row` of block `block`.
    #[inline(always)]
    pub fn component(self, state_dim: usize, block: usize, row: usize) -> usize {
        match self {
            Structure::Dense => row,
            Structure::Diagonal => block,
            Structure::Blocks { size, interleaved: true } => block + row * (state_dim / size),
            Structure::Blocks { size, interleaved: false } => block * size + row,
            Structure::Permuted { order } => order.component(order.start(block) + row),
        }
    }

    /// The finest structure of blocks of one size that has all entries of this one: for kernels that know no others.
    pub fn in_equal_blocks(self) -> Self {
        match self {
            Structure::Permuted { order } => order.in_equal_blocks(),
            regular => regular,
        }
    }

    /// The state's component at `place`.
    #[inline(always)]
    pub(crate) fn component_at(self, state_dim: usize, place: usize) -> usize {
        match self {
            Structure::Blocks { size, interleaved: true } => {
                place / size + place % size * (state_dim / size)
            }
            Structure::Permuted { order } => order.component(place),
            _ => place,
        }
    }

    /// The place of the state's component `component`.
    #[inline(always)]
    pub(crate) fn place(self, state_dim: usize, component: usize) -> usize {
        match self {
            Structure::Blocks { size, interleaved: true } => {
                let blocks = state_dim / size;
                component % blocks * size + component / blocks
            }
            Structure::Permuted { order } => order.place(component),
            _ => component,
        }
    }

    /// The row at `place`.
    #[inline(always)]
    pub(crate) fn row(self, state_dim: usize, place: usize) -> Row {
        match self {
            Structure::Permuted { order } => order.row(place),
            _ => {
                let size = self.block_size(state_dim);
                Row { start: place - place % size, size, entry: place * size }
            }
        }
    }

    /// Places and entries of each block, in order.
    #[inline(always)]
    pub(crate) fn squares(self, state_dim: usize) -> Squares {
        Squares { structure: self, state_dim, place: 0 }
    }

    /// The entry on the diagonal at `place`.
    #[inline(always)]
    pub(crate) fn diagonal(self, state_dim: usize, place: usize) -> usize {
        let row = self.row(state_dim, place);
        row.entry + place - row.start
    }
}

/// The blocks of a compact Jacobian; see [`Structure::squares`].
pub(crate) struct Squares {
    structure: Structure,
    state_dim: usize,
    place: usize,
}

impl Iterator for Squares {
    type Item = (Range<usize>, Range<usize>);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.place == self.state_dim {
            return None;
        }
        let Row { start, size, entry } = self.structure.row(self.state_dim, self.place);
        self.place += size;
        Some((start..start + size, entry..entry + size * size))
    }
}
