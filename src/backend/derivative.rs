//! Derivatives of solutions, as backends take them.

use super::{Backend, Block};
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
    /// Of each sequence.
    pub(crate) steps: &'a [usize],
    pub(crate) max_steps: usize,
    pub(crate) n: usize,
    pub(crate) m: usize,
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

/// What a sweep of derivatives over one block came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Swept {
    /// Σ `|f(x_{t−1}) − x_t|` over steps and components, in the first sweep.
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

/// Cotangents as they accumulate over backward sweeps.
#[derive(Clone, Debug, Default)]
pub struct Pulled<R> {
    /// `[B, T, m]`
    pub(crate) inputs: Vec<R>,
    /// `[p]`
    pub(crate) params: Vec<f64>,
    /// Size of the cotangents of the states in each tile, `[B, tiles]`.
    pub(crate) sizes: Vec<R>,
    /// Size below which a tile's cotangents count as zero.
    pub(crate) floor: R,
}

/// Tangents as they accumulate over forward sweeps.
#[derive(Clone, Debug, Default)]
pub struct Pushed<R> {
    /// `[B, T, n]`
    pub(crate) states: Vec<R>,
    /// Size of the tangents in each tile, `[B, tiles]`.
    pub(crate) sizes: Vec<R>,
    /// Size below which a tile's tangents count as zero.
    pub(crate) floor: R,
}

/// What a backend goes back over steps by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdjointForm {
    /// The graph of the derivative, whose outputs are all factors.
    Graph,
    /// A program made from the graph, or what a cell has written by hand; factors that are components of state or input are
    /// read from there.
    Program,
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

    /// Takes a trajectory to where the backend keeps it.
    ///
    /// # Errors
    /// Device failure.
    #[doc(hidden)]
    fn track<'p>(&self, path: Path<'p, R>) -> Result<Self::Track<'p>>;

    /// What it goes back over steps by.
    #[doc(hidden)]
    fn adjoint_form(&self) -> AdjointForm {
        AdjointForm::Graph
    }

    /// Runs each block backwards from the cotangent in `borders` `[blocks, n]` that the block after it gives to its last
    /// state, with `cotangents` of the states (none after the first sweep, which replaces what `pulled`
    /// holds; later ones add). Replaces `borders` by what the block gives to the one before it: zero
    /// where that is lost in rounding. Without `pulled`, does that alone.
    ///
    /// # Errors
    /// Device failure.
    #[doc(hidden)]
    fn pull(
        &self,
        track: &mut Self::Track<'_>,
        adjoint: &Adjoint,
        cotangents: Option<StateCotangents<'_, R>>,
        blocks: &[Block],
        borders: &mut [R],
        pulled: Option<&mut Pulled<R>>,
    ) -> Result<Vec<Swept>>;

    /// Runs each block forwards from the tangent in `borders` `[blocks, n]` of the state before it, with tangents of θ
    /// `[p]` and of the inputs `B` × `[T_b, m]` (none after the first sweep, which replaces what `pushed` holds; later
    /// ones add). Replaces `borders` by the tangent of the block's last state: zero where that is lost in rounding.
    /// Without `pushed`, does that alone.
    ///
    /// # Errors
    /// Device failure.
    #[doc(hidden)]
    fn push(
        &self,
        track: &mut Self::Track<'_>,
        tangent: &Tangent,
        tangents: Option<(&[R], &[&[R]])>,
        blocks: &[Block],
        borders: &mut [R],
        pushed: Option<&mut Pushed<R>>,
    ) -> Result<Vec<Swept>>;

    /// Writes to `sums` what the sweeps have added up, to be called once at the end: the cotangents of the inputs or the tangents of
    /// the states, `[B, T, ..]`, which a backend may leave out of [`Pulled`] and [`Pushed`] until then.
    ///
    /// # Errors
    /// Device failure.
    #[doc(hidden)]
    fn collect(&self, track: Self::Track<'_>, sums: &mut [R]) -> Result<()> {
        let _ = (track, sums);
        Ok(())
    }
}
