//! Derivatives of solutions, as backends take them.

use super::borders::Borders;
use super::{Backend, Block};
use crate::cells::BuiltIn;
use crate::error::Result;
use crate::graph::adjoint::Adjoint;
use crate::graph::tangent::Tangent;
use crate::scalar::Real;
use std::borrow::Cow;

/// A solved trajectory, along which derivatives are taken.
#[derive(Clone, Debug)]
pub struct Path<'a, R> {
    /// `[B, n]`
    pub(crate) initial: &'a [R],
    /// `B` × `[T_b, m]`
    pub(crate) inputs: Vec<&'a [R]>,
    /// `[B, T, n]`
    pub(crate) states: &'a [R],
    pub(crate) params: &'a [R],
    /// The identity of these parameters.
    pub(crate) params_of: u64,
    /// Of each sequence.
    pub(crate) steps: &'a [usize],
    pub(crate) max_steps: usize,
    pub(crate) n: usize,
    pub(crate) m: usize,
    /// The cell whose steps these are, if it is one that backends may know.
    pub(crate) cell: Option<BuiltIn>,
    /// The identity of the problem that has these inputs, if they are just those.
    pub(crate) inputs_of: Option<u64>,
    /// The number under which a backend may keep the states.
    pub(crate) kept: Option<u64>,
}

impl<R> Path<'_, R> {
    /// The first step of `block` among those of all sequences.
    pub(crate) fn place(&self, block: &Block) -> usize {
        block.batch * self.max_steps + block.start
    }
}

/// What the first sweep of derivatives came to, of one block or of all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Swept {
    /// Σ `|f(x_{t−1}) − x_t|` over steps and components.
    pub difference: f64,
    /// Σ `|x_t|` over the same.
    pub magnitude: f64,
}

impl Swept {
    /// Blocks begin at a multiple of so many steps, and the size of a derivative is kept for as many.
    pub const TILE: usize = 16;
}

/// Cotangents of the states.
#[derive(Clone, Copy, Debug)]
pub enum StateCotangents<'c, R> {
    /// `[B, T, n]`
    EachStep(&'c [R]),
    /// The same at every step of a sequence, `[B, n]`.
    AllSteps(&'c [R]),
    /// Those of the last step of each sequence, `[B, n]`; zero before.
    LastSteps(&'c [R]),
}

impl<'c, R: Real> StateCotangents<'c, R> {
    /// All `[B, T, n]`.
    pub fn each_step(self, path: &Path<'_, R>) -> Cow<'c, [R]> {
        match self {
            Self::EachStep(all) => Cow::Borrowed(all),
            Self::AllSteps(rows) => {
                let rows = rows.chunks_exact(path.n.max(1));
                rows.flat_map(|row| row.repeat(path.max_steps)).collect()
            }
            Self::LastSteps(rows) => {
                let n = path.n;
                let mut all = vec![R::default(); path.steps.len() * path.max_steps * n];
                for (b, row) in rows.chunks_exact(n.max(1)).enumerate() {
                    if let Some(last) = path.steps[b].checked_sub(1) {
                        all[(b * path.max_steps + last) * n..][..n].copy_from_slice(row);
                    }
                }
                Cow::Owned(all)
            }
        }
    }
}

impl std::iter::Sum for Swept {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, swept| Self {
            difference: sum.difference + swept.difference,
            magnitude: sum.magnitude + swept.magnitude,
        })
    }
}

/// Where derivatives stand after the first sweep, and after others that a backend has done at once.
#[derive(Clone, Debug)]
pub struct Begun<'b, R> {
    pub(crate) borders: Borders<'b, R>,
    /// Of all blocks together.
    pub(crate) swept: Swept,
    /// Whether all derivatives were finite in the first sweep.
    pub(crate) finite: bool,
}

/// What derivatives came to.
#[derive(Clone, Debug, Default)]
pub struct Collected<R> {
    /// The cotangents of the inputs `[B, T, m]`, or the tangents of the states `[B, T, n]`.
    pub(crate) rows: Vec<R>,
    /// The cotangents of θ, `[p]`; none of tangents.
    pub(crate) params: Vec<f64>,
}

/// Tangents of what a solution follows from.
#[derive(Clone, Copy, Debug)]
pub struct GivenTangents<'t, R> {
    /// `[B, n]`
    pub(crate) initial: &'t [R],
    /// `[p]`
    pub(crate) params: &'t [R],
    /// `B` × `[T_b, m]`
    pub(crate) inputs: &'t [&'t [R]],
}

impl<R: Real> GivenTangents<'_, R> {
    /// What comes in before each block, `[blocks, n]`.
    pub(crate) fn borders(&self, blocks: &[Block], n: usize) -> Vec<R> {
        let mut borders = vec![R::default(); blocks.len() * n];
        for (border, block) in borders.chunks_exact_mut(n).zip(blocks) {
            if block.start == 0 {
                border.copy_from_slice(&self.initial[block.batch * n..][..n]);
            }
        }
        borders
    }
}

/// What a backend goes back over steps by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdjointForm {
    /// The graph of the derivative, whose outputs are all factors.
    Graph,
    /// A program made from the graph, or what a cell has written by hand; factors that are components of state or input are
    /// read from there.
    Program,
    /// What a cell has written by hand, of which the backend has kernels of its own.
    Cell,
}

/// A backend that can take derivatives of solutions.
#[diagnostic::on_unimplemented(
    message = "the backend `{Self}` cannot differentiate",
    note = "pass a reference to a backend that can: `&Cpu::new()`"
)]
pub trait Differentiate<R: Real>: Backend {
    /// A solved trajectory where the backend keeps it.
    #[doc(hidden)]
    type Track<'p>;

    /// Blocks that fill the backend's width once.
    fn lanes(&self) -> usize;

    /// Steps of a block, where that does not make more blocks than the [`groups`](Backend::groups) hold.
    #[doc(hidden)]
    fn block_steps(&self) -> usize {
        1024
    }

    /// Takes a trajectory to where the backend keeps it, with what the sweeps of derivatives along it add up.
    ///
    /// # Errors
    /// Device failure.
    #[doc(hidden)]
    fn track<'p>(&self, path: Path<'p, R>) -> Result<Self::Track<'p>>;

    /// What it goes back over the steps of a trajectory by.
    #[doc(hidden)]
    fn adjoint_form(&self, path: &Path<'_, R>) -> AdjointForm {
        let _ = path;
        AdjointForm::Graph
    }

    /// The first sweep of cotangents: runs all `blocks`, which are in the order of sequences and time, backwards with `cotangents` of the
    /// states, as if none came in at their ends.
    ///
    /// # Errors
    /// Device failure.
    #[doc(hidden)]
    fn pull_first<'b>(
        &self,
        track: &mut Self::Track<'_>,
        adjoint: &Adjoint,
        cotangents: StateCotangents<'_, R>,
        blocks: &'b [Block],
    ) -> Result<Begun<'b, R>>;

    /// Runs some of these blocks backwards once more, from the cotangents in `borders` `[blocks, n]` that come in at their ends, and adds what
    /// comes of them. Replaces `borders` by what each block gives to the one before it: zero where that is lost in rounding.
    /// Unless told to `record`, does that alone, and may be given a block many times.
    ///
    /// # Errors
    /// Device failure.
    #[doc(hidden)]
    fn pull_again(
        &self,
        track: &mut Self::Track<'_>,
        adjoint: &Adjoint,
        blocks: &[Block],
        borders: &mut [R],
        record: bool,
    ) -> Result<()>;

    /// The first sweep of tangents: runs all `blocks` forwards, the first of each sequence from the tangents of the initial states `[B, n]`,
    /// the others from zero, with tangents of θ `[p]` and of the inputs `B` × `[T_b, m]`.
    ///
    /// # Errors
    /// Device failure.
    #[doc(hidden)]
    fn push_first<'b>(
        &self,
        track: &mut Self::Track<'_>,
        tangent: &Tangent,
        tangents: GivenTangents<'_, R>,
        blocks: &'b [Block],
    ) -> Result<Begun<'b, R>>;

    /// As [`pull_again`](Self::pull_again), forwards: from the tangents of the states before the blocks, to those of their last states.
    ///
    /// # Errors
    /// Device failure.
    #[doc(hidden)]
    fn push_again(
        &self,
        track: &mut Self::Track<'_>,
        tangent: &Tangent,
        blocks: &[Block],
        borders: &mut [R],
        record: bool,
    ) -> Result<()>;

    /// What all sweeps have added up.
    ///
    /// # Errors
    /// Device failure.
    #[doc(hidden)]
    fn collect(&self, track: Self::Track<'_>) -> Result<Collected<R>>;
}
