//! Transposed derivatives of cells' steps, written by hand.

use crate::graph::Leaves;
use crate::graph::adjoint::{Product, Right};
use crate::scalar::{Param, Scalar};

/// A cell whose transposed derivative is written by hand, as faster than the one made from the step's graph.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ByHand {
    /// [`Gru`](super::Gru).
    Gru(GruDims),
    /// [`Elman`](super::Elman).
    Elman(ElmanDims),
    /// [`Lstm`](super::Lstm).
    Lstm(LstmDims),
    /// [`Lem`](super::Lem).
    Lem(LemDims),
    /// [`DiagonalGru`](super::DiagonalGru).
    DiagonalGru(DiagonalGruDims),
    /// [`DiagonalLstm`](super::DiagonalLstm).
    DiagonalLstm(DiagonalLstmDims),
}

/// The sizes of a [`Gru`](super::Gru).
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GruDims {
    pub(super) input: usize,
    pub(super) hidden: usize,
}

/// The sizes of an [`Elman`](super::Elman).
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElmanDims {
    pub(super) input: usize,
    pub(super) hidden: usize,
}

/// The sizes of an [`Lstm`](super::Lstm).
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LstmDims {
    pub(super) input: usize,
    pub(super) hidden: usize,
}

/// The sizes of a [`Lem`](super::Lem), and its `Δt`.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LemDims {
    pub(super) input: usize,
    pub(super) hidden: usize,
    pub(super) dt: f64,
}

/// The sizes of a [`DiagonalGru`](super::DiagonalGru).
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiagonalGruDims {
    pub(super) input: usize,
    pub(super) hidden: usize,
}

/// The sizes of a [`DiagonalLstm`](super::DiagonalLstm).
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiagonalLstmDims {
    pub(super) input: usize,
    pub(super) hidden: usize,
}

/// What the cotangents of a step's state and input, and of θ, are made from.
///
/// The cotangent of an entry of θ is a sum over time of products of a left factor, which [`pull_back`](Self::pull_back)
/// finds, with a right one: a component of the state or the input before the step, 1, or a number that it finds too.
pub(crate) trait PullBack: Copy {
    /// Length of the state.
    fn state_dim(self) -> usize;
    /// Length of the input.
    fn input_dim(self) -> usize;
    /// Number of left factors.
    fn lefts(self) -> usize;
    /// Number of right factors that are neither state nor input.
    fn computed(self) -> usize {
        0
    }
    /// The factors of every entry of θ, in order.
    fn products(self) -> Vec<(usize, Right)>;
    /// From the cotangent `[n]` of the step's value those of its state `[n]` and of its input `[m]`, the left factors and behind them
    /// the computed right ones, and the value `next` `[n]` itself.
    fn pull_back<S: Scalar>(
        self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        cotangent: &[S],
        pulled: PulledBack<'_, S>,
    );
}

/// Results of [`PullBack::pull_back`].
#[derive(Debug)]
pub(crate) struct PulledBack<'p, S> {
    pub(crate) of_state: &'p mut [S],
    pub(crate) of_input: &'p mut [S],
    pub(crate) lefts: &'p mut [S],
    pub(crate) next: &'p mut [S],
}

impl ByHand {
    /// Numbers of left factors and computed right ones, the products that the cotangent of θ is made of, and sizes.
    pub(crate) fn describe(self) -> ([usize; 2], Vec<Product>, Leaves) {
        match self {
            Self::Gru(dims) => describe(dims),
            Self::Elman(dims) => describe(dims),
            Self::Lstm(dims) => describe(dims),
            Self::Lem(dims) => describe(dims),
            Self::DiagonalGru(dims) => describe(dims),
            Self::DiagonalLstm(dims) => describe(dims),
        }
    }
}

fn describe<C: PullBack>(cell: C) -> ([usize; 2], Vec<Product>, Leaves) {
    let factors = cell.products().into_iter().enumerate();
    let products: Vec<Product> =
        factors.map(|(param, (left, right))| Product { left, right, param }).collect();
    let leaves = Leaves {
        state: cell.state_dim(),
        input: cell.input_dim(),
        params: products.len(),
        seeds: cell.state_dim(),
    };
    ([cell.lefts(), cell.computed()], products, leaves)
}

/// The factors of a matrix `[lefts, rights]`, row by row.
pub(super) fn matrix(
    lefts: impl Iterator<Item = usize>,
    rights: impl Iterator<Item = Right> + Clone,
) -> impl Iterator<Item = (usize, Right)> {
    lefts.flat_map(move |left| rights.clone().map(move |right| (left, right)))
}
