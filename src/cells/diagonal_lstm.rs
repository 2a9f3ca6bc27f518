//! The long short-term memory with diagonal recurrent weights.

mod pull_back;

use super::by_hand::{ByHand, DiagonalLstmDims};
use super::{init, layout, matvec, slope, units};
use crate::dynamics::{Dynamics, Structure};
use crate::error::Result;
use crate::scalar::{Isa, Param, Real, Scalar};
use ndarray::{ArrayView1, ArrayView2};

/// Long short-term memory whose units do not see each other: ParaLSTM, with coupled input and
/// forget gates and peepholes.
///
/// ```text
/// f  = σ(W_f u + a_f ⊙ h + p_f ⊙ c + b_f)
/// g  = tanh(W_g u + a_g ⊙ h + b_g)
/// c' = f ⊙ c + (1 − f) ⊙ g
/// o  = σ(W_o u + a_o ⊙ h + p_o ⊙ c' + b_o)
/// h' = o ⊙ tanh(c')
/// ```
///
/// The state is `h` then `c`, `[2·hidden]`. A step costs `3·hidden·(input + 3)` multiplications
/// and `4·hidden` exponentials; its Jacobian is one 2 × 2 block for each unit's `h` and `c`.
///
/// Parameters; gates in the order `f, o, g`:
///
/// | view | shape | holds |
/// |---|---|---|
/// | [`weight_ih`](Self::weight_ih) | `[3·hidden, input]` | `W` |
/// | [`weight_hh`](Self::weight_hh) | `[3, hidden]` | `a` |
/// | [`peephole`](Self::peephole) | `[2, hidden]` | `p`, of `f` and `o` |
/// | [`bias`](Self::bias) | `[3·hidden]` | `b` |
///
/// Danieli et al. 2025, [arXiv:2510.21450](https://arxiv.org/abs/2510.21450); Greff et al. 2015,
/// [arXiv:1503.04069](https://arxiv.org/abs/1503.04069).
///
/// # Example
/// ```
/// use deer_solver::{Dynamics, Structure, cells::DiagonalLstm};
///
/// let lstm = DiagonalLstm::<f32>::random(2, 64, 0);
/// assert_eq!(lstm.structure(), Structure::Blocks { size: 2, interleaved: true });
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DiagonalLstm<R> {
    input: usize,
    hidden: usize,
    params: Vec<R>,
}

/// Lengths of the four pieces of the parameters.
#[inline(always)]
fn lengths(input: usize, hidden: usize) -> [usize; 4] {
    [3 * hidden * input, 3 * hidden, 2 * hidden, 3 * hidden]
}

/// A unit's gates, and its new cell `c'` with `tanh c'`.
#[derive(Clone, Copy)]
struct Gates<S> {
    f: S,
    o: S,
    g: S,
    cell: S,
    tanh_cell: S,
}

impl<S: Scalar> Gates<S> {
    #[inline(always)]
    fn hidden(self) -> S {
        self.o * self.tanh_cell
    }

    /// `[[∂h'/∂h, ∂h'/∂c], [∂c'/∂h, ∂c'/∂c]]`, given the unit's recurrent weights and peepholes.
    #[inline(always)]
    fn derivative(self, [a_f, a_o, a_g]: [Param<S>; 3], [p_f, p_o]: [Param<S>; 2], c: S) -> [S; 4] {
        let Self { f, o, g, tanh_cell, .. } = self;
        let in_f = (c - g) * slope::sigmoid(f);
        let in_g = (S::from_f64(1.0) - f) * slope::tanh(g);
        let c_by_h = in_f.mul_add_param(a_f, in_g * a_g);
        let c_by_c = in_f.mul_add_param(p_f, f);
        let in_o = tanh_cell * slope::sigmoid(o);
        let in_cell = in_o.mul_add_param(p_o, o * slope::tanh(tanh_cell));
        [in_cell.mul_add(c_by_h, in_o * a_o), in_cell * c_by_c, c_by_h, c_by_c]
    }
}

/// The weights, cut out of a step's parameters.
struct Weights<'a, S: Scalar> {
    hidden: usize,
    ih: &'a [Param<S>],
    hh: &'a [Param<S>],
    peephole: &'a [Param<S>],
    bias: &'a [Param<S>],
}

impl<'a, S: Scalar> Weights<'a, S> {
    #[inline(always)]
    fn new(params: &'a [Param<S>], input: usize, hidden: usize) -> Self {
        let [ih, hh, peephole, bias] = layout::split(params, lengths(input, hidden));
        Self { hidden, ih, hh, peephole, bias }
    }

    /// The recurrent weights of `unit`.
    #[inline(always)]
    fn recurrent(&self, unit: usize) -> [Param<S>; 3] {
        let n = self.hidden;
        [self.hh[unit], self.hh[n + unit], self.hh[2 * n + unit]]
    }

    /// The peepholes of `unit`.
    #[inline(always)]
    fn peepholes(&self, unit: usize) -> [Param<S>; 2] {
        [self.peephole[unit], self.peephole[self.hidden + unit]]
    }

    #[inline(always)]
    fn gates(&self, unit: usize, h: S, c: S, u: &[S]) -> Gates<S> {
        let n = self.hidden;
        let mut sums = matvec::load::<S, 3, 1>(self.bias, n, unit);
        matvec::add_product(&mut sums, self.ih, n, unit, u);
        let [[f], [o], [g]] = sums;
        let ([a_f, a_o, a_g], [p_f, p_o]) = (self.recurrent(unit), self.peepholes(unit));
        let f = c.mul_add_param(p_f, h.mul_add_param(a_f, f)).sigmoid();
        let g = h.mul_add_param(a_g, g).tanh();
        let cell = f.mul_add(c - g, g);
        let o = cell.mul_add_param(p_o, h.mul_add_param(a_o, o)).sigmoid();
        Gates { f, o, g, cell, tanh_cell: cell.tanh() }
    }
}

impl<R: Real> DiagonalLstm<R> {
    /// Weights and biases uniform between ±1/√`hidden`: the numbers of ChaCha8 seeded with `seed`, in
    /// the order of the parameters.
    pub fn random(input: usize, hidden: usize, seed: u64) -> Self {
        let count = lengths(input, hidden).iter().sum();
        Self { input, hidden, params: init::uniform(count, hidden, seed) }
    }

    /// From `weight_ih` `[3·hidden, input]`, `weight_hh` `[3, hidden]` and `bias` `[3·hidden]`, gates in
    /// the order `f, o, g`, and `peephole` `[2, hidden]` of `f` and `o`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where an array does not fit `hidden`, the number of
    /// columns of `weight_hh`.
    pub fn new(
        weight_ih: ArrayView2<R>,
        weight_hh: ArrayView2<R>,
        peephole: ArrayView2<R>,
        bias: ArrayView1<R>,
    ) -> Result<Self> {
        let (input, hidden) = (weight_ih.ncols(), weight_hh.ncols());
        let rows = ("3·hidden", 3 * hidden);
        let params = layout::join(&[
            ("weight_ih", weight_ih.into_dyn(), &[rows, ("input", input)]),
            ("weight_hh", weight_hh.into_dyn(), &[("gates", 3), ("hidden", hidden)]),
            ("peephole", peephole.into_dyn(), &[("gates", 2), ("hidden", hidden)]),
            ("bias", bias.into_dyn(), &[rows]),
        ])?;
        Ok(Self { input, hidden, params })
    }
}

impl<R> DiagonalLstm<R> {
    /// Number of units: half of the state's length.
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

    /// Weights of `h`, `[3, hidden]`: a row for each gate.
    pub fn weight_hh(&self) -> ArrayView2<'_, R> {
        layout::matrix(self.piece(1), 3, self.hidden)
    }

    /// Weights of the cell in `f` and in `o`, `[2, hidden]`.
    pub fn peephole(&self) -> ArrayView2<'_, R> {
        layout::matrix(self.piece(2), 2, self.hidden)
    }

    /// Biases of the gates, `[3·hidden]`.
    pub fn bias(&self) -> ArrayView1<'_, R> {
        self.piece(3).into()
    }
}

impl<R: Real> Dynamics for DiagonalLstm<R> {
    type Real = R;

    fn state_dim(&self) -> usize {
        2 * self.hidden
    }

    fn input_dim(&self) -> usize {
        self.input
    }

    fn params(&self) -> &[R] {
        &self.params
    }

    fn structure(&self) -> Structure {
        Structure::Blocks { size: 2, interleaved: true }
    }

    #[inline(always)]
    fn step<S: Scalar<Real = R>>(&self, params: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
        let n = self.hidden;
        let weights = Weights::new(params, self.input, n);
        let (h, c, u) = (&x[..n], &x[n..][..n], &u[..self.input]);
        let (next_h, next_c) = next[..2 * n].split_at_mut(n);
        for i in 0..n {
            let gates = weights.gates(i, h[i], c[i], u);
            next_h[i] = gates.hidden();
            next_c[i] = gates.cell;
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
        let (h, c, u) = (&x[..n], &x[n..][..n], &u[..self.input]);
        let (next_h, next_c) = next[..2 * n].split_at_mut(n);
        for i in 0..n {
            let gates = weights.gates(i, h[i], c[i], u);
            next_h[i] = gates.hidden();
            next_c[i] = gates.cell;
            let block = gates.derivative(weights.recurrent(i), weights.peepholes(i), c[i]);
            jacobian[4 * i..][..4].copy_from_slice(&block);
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
        let n = self.hidden;
        let weights = Weights::new(params, self.input, n);
        let (h, c, u) = (&x[..n], &x[n..][..n], &u[..self.input]);
        let (next_h, next_c) = next[..2 * n].split_at_mut(n);
        let (of_h, of_c) = diagonal[..2 * n].split_at_mut(n);
        for i in 0..n {
            let gates = weights.gates(i, h[i], c[i], u);
            next_h[i] = gates.hidden();
            next_c[i] = gates.cell;
            [of_h[i], _, _, of_c[i]] =
                gates.derivative(weights.recurrent(i), weights.peepholes(i), c[i]);
        }
        true
    }

    fn units_in_lanes(&self) -> bool {
        true
    }

    fn by_hand(&self) -> Option<ByHand> {
        Some(ByHand::DiagonalLstm(DiagonalLstmDims { input: self.input, hidden: self.hidden }))
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
        let [ih, hh, peephole, bias] = layout::split(params, lengths(m, n));
        let ih = units::Matrix::<R, I, 3>::new(ih, n, m);
        let hh = units::Matrix::<R, I, 3>::new(hh, n, 1);
        let peephole = units::Matrix::<R, I, 2>::new(peephole, n, 1);
        let bias = units::Matrix::<R, I, 3>::new(bias, n, 1);
        let mut h = units::load::<R, I>(&x[..n]);
        let mut c = units::load::<R, I>(&x[n..]);
        for t in 0..steps {
            let u = &inputs[t * m..][..m];
            for block in 0..h.len() {
                let [f, o, g] = ih.add_product::<2>(bias.column(block, 0), block, u);
                let [a_f, a_o, a_g] = hh.column(block, 0);
                let [p_f, p_o] = peephole.column(block, 0);
                let (old_h, old_c) = (h[block], c[block]);
                let f = old_c.mul_add(p_f, old_h.mul_add(a_f, f)).sigmoid();
                let g = old_h.mul_add(a_g, g).tanh();
                let cell = f.mul_add(old_c - g, g);
                let o = cell.mul_add(p_o, old_h.mul_add(a_o, o)).sigmoid();
                (h[block], c[block]) = (o * cell.tanh(), cell);
            }
            let state = &mut states[2 * n * t..];
            units::store(&h, state, n);
            units::store(&c, &mut state[n..], n);
        }
        units::store(&h, x, n);
        units::store(&c, &mut x[n..], n);
    }
}
