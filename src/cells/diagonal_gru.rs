//! The gated recurrent unit with diagonal recurrent weights.

mod pull_back;

use super::by_hand::{ByHand, DiagonalGruDims};
use super::{init, layout, matvec, slope, units};
use crate::dynamics::{Dynamics, Structure};
use crate::error::Result;
use crate::scalar::{Isa, Param, Real, Scalar};
use ndarray::{ArrayView1, ArrayView2};

/// Gated recurrent unit whose units do not see each other: ParaGRU.
///
/// ```text
/// z  = σ(W_z u + a_z ⊙ h + b_z)
/// r  = σ(W_r u + a_r ⊙ h + b_r)
/// n  = tanh(W_n u + a_n ⊙ (r ⊙ h) + b_n)
/// h' = h + z ⊙ (n − h)
/// ```
///
/// As in that paper, `z` lets the new value in; in [`Gru`](super::Gru) it keeps the old one.
///
/// The state is `h` `[hidden]`. A step costs `3·hidden·(input + 2)` multiplications and `3·hidden`
/// exponentials; its Jacobian is diagonal.
///
/// Parameters; gates in the order `z, r, n`:
///
/// | view | shape | holds |
/// |---|---|---|
/// | [`weight_ih`](Self::weight_ih) | `[3·hidden, input]` | `W` |
/// | [`weight_hh`](Self::weight_hh) | `[3, hidden]` | `a` |
/// | [`bias`](Self::bias) | `[3·hidden]` | `b` |
///
/// Danieli et al. 2025, [arXiv:2510.21450](https://arxiv.org/abs/2510.21450).
///
/// # Example
/// ```
/// use deer_solver::{Dynamics, Structure, cells::DiagonalGru};
///
/// let gru = DiagonalGru::<f32>::random(2, 64, 0);
/// assert_eq!(gru.structure(), Structure::Diagonal);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DiagonalGru<R> {
    input: usize,
    hidden: usize,
    params: Vec<R>,
}

/// Lengths of the three pieces of the parameters.
#[inline(always)]
fn lengths(input: usize, hidden: usize) -> [usize; 3] {
    [3 * hidden * input, 3 * hidden, 3 * hidden]
}

/// A unit's gates.
#[derive(Clone, Copy)]
struct Gates<S> {
    z: S,
    r: S,
    n: S,
}

impl<S: Scalar> Gates<S> {
    #[inline(always)]
    fn next(self, h: S) -> S {
        self.z.mul_add(self.n - h, h)
    }

    /// `∂h'/∂h`, given the unit's recurrent weights.
    #[inline(always)]
    fn derivative(self, [a_z, a_r, a_n]: [Param<S>; 3], h: S) -> S {
        let Self { z, r, n } = self;
        let of_z = slope::sigmoid(z) * a_z;
        let of_r = slope::sigmoid(r) * a_r;
        let of_n = slope::tanh(n) * a_n * of_r.mul_add(h, r);
        (n - h).mul_add(of_z, z.mul_add(of_n, S::from_f64(1.0) - z))
    }
}

/// The weights, cut out of a step's parameters.
struct Weights<'a, S: Scalar> {
    hidden: usize,
    ih: &'a [Param<S>],
    hh: &'a [Param<S>],
    bias: &'a [Param<S>],
}

impl<'a, S: Scalar> Weights<'a, S> {
    #[inline(always)]
    fn new(params: &'a [Param<S>], input: usize, hidden: usize) -> Self {
        let [ih, hh, bias] = layout::split(params, lengths(input, hidden));
        Self { hidden, ih, hh, bias }
    }

    /// The recurrent weights of `unit`.
    #[inline(always)]
    fn recurrent(&self, unit: usize) -> [Param<S>; 3] {
        let n = self.hidden;
        [self.hh[unit], self.hh[n + unit], self.hh[2 * n + unit]]
    }

    #[inline(always)]
    fn gates(&self, unit: usize, h: S, u: &[S]) -> Gates<S> {
        let n = self.hidden;
        let mut sums = matvec::load::<S, 3, 1>(self.bias, n, unit);
        matvec::add_product(&mut sums, self.ih, n, unit, u);
        let [[z], [r], [n]] = sums;
        let [a_z, a_r, a_n] = self.recurrent(unit);
        let z = h.mul_add_param(a_z, z).sigmoid();
        let r = h.mul_add_param(a_r, r).sigmoid();
        Gates { z, r, n: (r * h).mul_add_param(a_n, n).tanh() }
    }
}

impl<R: Real> DiagonalGru<R> {
    /// Weights and biases uniform between ±1/√`hidden`: the numbers of ChaCha8 seeded with `seed`, in
    /// the order of the parameters.
    pub fn random(input: usize, hidden: usize, seed: u64) -> Self {
        let count = lengths(input, hidden).iter().sum();
        Self { input, hidden, params: init::uniform(count, hidden, seed) }
    }

    /// From `weight_ih` `[3·hidden, input]`, `weight_hh` `[3, hidden]` and `bias` `[3·hidden]`, gates in
    /// the order `z, r, n`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where an array does not fit `hidden`, the number of
    /// columns of `weight_hh`.
    pub fn new(
        weight_ih: ArrayView2<R>,
        weight_hh: ArrayView2<R>,
        bias: ArrayView1<R>,
    ) -> Result<Self> {
        let (input, hidden) = (weight_ih.ncols(), weight_hh.ncols());
        let rows = ("3·hidden", 3 * hidden);
        let params = layout::join(&[
            ("weight_ih", weight_ih.into_dyn(), &[rows, ("input", input)]),
            ("weight_hh", weight_hh.into_dyn(), &[("gates", 3), ("hidden", hidden)]),
            ("bias", bias.into_dyn(), &[rows]),
        ])?;
        Ok(Self { input, hidden, params })
    }
}

impl<R> DiagonalGru<R> {
    /// Number of units.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// The parameters, in the order of the table above.
    pub fn params_mut(&mut self) -> &mut [R] {
        &mut self.params
    }

    fn piece(&self, index: usize) -> &[R] {
        layout::split(&self.params, lengths(self.input, self.hidden))[index]
    }

    /// Weights of the input, `[3·hidden, input]`.
    pub fn weight_ih(&self) -> ArrayView2<'_, R> {
        layout::matrix(self.piece(0), 3 * self.hidden, self.input)
    }

    /// Recurrent weights, `[3, hidden]`: a row for each gate.
    pub fn weight_hh(&self) -> ArrayView2<'_, R> {
        layout::matrix(self.piece(1), 3, self.hidden)
    }

    /// Biases of the gates, `[3·hidden]`.
    pub fn bias(&self) -> ArrayView1<'_, R> {
        self.piece(2).into()
    }
}

impl<R: Real> Dynamics for DiagonalGru<R> {
    type Real = R;

    fn state_dim(&self) -> usize {
        self.hidden
    }

    fn input_dim(&self) -> usize {
        self.input
    }

    fn params(&self) -> &[R] {
        &self.params
    }

    fn structure(&self) -> Structure {
        Structure::Diagonal
    }

    #[inline(always)]
    fn step<S: Scalar<Real = R>>(&self, params: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
        let n = self.hidden;
        let weights = Weights::new(params, self.input, n);
        let (h, u, next) = (&x[..n], &u[..self.input], &mut next[..n]);
        for i in 0..n {
            next[i] = weights.gates(i, h[i], u).next(h[i]);
        }
    }

    #[inline(always)]
    fn jacobian<S: Scalar<Real = R>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        jacobian: &mut [S],
    ) -> bool {
        let n = self.hidden;
        let weights = Weights::new(params, self.input, n);
        let (h, u, next, jacobian) =
            (&x[..n], &u[..self.input], &mut next[..n], &mut jacobian[..n]);
        for i in 0..n {
            let gates = weights.gates(i, h[i], u);
            next[i] = gates.next(h[i]);
            jacobian[i] = gates.derivative(weights.recurrent(i), h[i]);
        }
        true
    }

    #[inline(always)]
    fn jacobian_diagonal<S: Scalar<Real = R>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        diagonal: &mut [S],
    ) -> bool {
        self.jacobian(params, x, u, next, diagonal)
    }

    fn units_in_lanes(&self) -> bool {
        true
    }

    fn by_hand(&self) -> Option<ByHand> {
        Some(ByHand::DiagonalGru(DiagonalGruDims { input: self.input, hidden: self.hidden }))
    }

    #[inline(always)]
    fn run_in_order<I: Isa>(
        &self,
        params: &[R],
        x: &mut [R],
        inputs: &[R],
        states: &mut [R],
        steps: usize,
    ) {
        let (m, n) = (self.input, self.hidden);
        let [ih, hh, bias] = layout::split(params, lengths(m, n));
        let ih = units::Matrix::<R, I, 3>::new(ih, n, m);
        let hh = units::Matrix::<R, I, 3>::new(hh, n, 1);
        let bias = units::Matrix::<R, I, 3>::new(bias, n, 1);
        let mut h = units::load::<R, I>(x);
        for t in 0..steps {
            let u = &inputs[t * m..][..m];
            for (block, h) in h.iter_mut().enumerate() {
                let [z, r, n] = ih.add_product::<2>(bias.column(block, 0), block, u);
                let [a_z, a_r, a_n] = hh.column(block, 0);
                let old = *h;
                let z = old.mul_add(a_z, z).sigmoid();
                let r = old.mul_add(a_r, r).sigmoid();
                let n = (r * old).mul_add(a_n, n).tanh();
                *h = Gates { z, r, n }.next(old);
            }
            units::store(&h, &mut states[t * n..], n);
        }
        units::store(&h, x, n);
    }
}
