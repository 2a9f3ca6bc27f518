//! The gated recurrent unit.

mod pull_back;

use super::built_in::{BuiltIn, Kind};
use super::by_hand::{ByHand, GruDims};
use super::{init, layout, matvec, slope, units};
use crate::dynamics::Dynamics;
use crate::error::Result;
use crate::scalar::{Isa, Param, Real, Scalar};
use ndarray::{ArrayView1, ArrayView2};

/// Gated recurrent unit, the form of PyTorch and Equinox.
///
/// ```text
/// r  = σ(W_r u + V_r h + b_r)
/// z  = σ(W_z u + V_z h + b_z)
/// n  = tanh(W_n u + b_n + r ⊙ (V_n h + c_n))
/// h' = n + z ⊙ (h − n)
/// ```
///
/// The state is `h` `[hidden]`. A step costs `3·hidden·(hidden + input)` multiplications and
/// `3·hidden` exponentials; its Jacobian is dense and costs `3·hidden²` more.
///
/// Parameters, whichever constructor made the cell; gates in the order `r, z, n`:
///
/// | view | shape | holds |
/// |---|---|---|
/// | [`weight_ih`](Self::weight_ih) | `[3·hidden, input]` | `W` |
/// | [`weight_hh`](Self::weight_hh) | `[3·hidden, hidden]` | `V` |
/// | [`bias`](Self::bias) | `[3·hidden]` | `b` |
/// | [`bias_n`](Self::bias_n) | `[hidden]` | `c_n`, inside the product with `r` |
///
/// Cho et al. 2014, [arXiv:1406.1078](https://arxiv.org/abs/1406.1078), in the second form of
/// the authors, where `r` multiplies after the matrix.
///
/// # Example
/// ```
/// use deer_solver::{Dynamics, cells::Gru, scalar::Parameter};
///
/// let gru = Gru::<f64>::random(2, 4, 0);
/// let mut next = [0.0; 4];
/// gru.step::<f64>(Parameter::from_slice(gru.params()), &[0.0; 4], &[1.0, -1.0], &mut next);
/// assert!(next.iter().all(|h| h.abs() < 1.0));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Gru<R> {
    input: usize,
    hidden: usize,
    params: Vec<R>,
}

/// Lengths of the four pieces of the parameters.
#[inline(always)]
fn lengths(input: usize, hidden: usize) -> [usize; 4] {
    [3 * hidden * input, 3 * hidden * hidden, 3 * hidden, hidden]
}

/// A unit's gates, and the factor of `r` in `n`.
#[derive(Clone, Copy)]
struct Gates<S> {
    r: S,
    z: S,
    n: S,
    hidden_n: S,
}

impl<S: Scalar> Gates<S> {
    /// From the sums that go into them.
    #[inline(always)]
    fn new(r: S, z: S, input_n: S, hidden_n: S) -> Self {
        let (r, z) = (r.sigmoid(), z.sigmoid());
        Self { r, z, n: r.mul_add(hidden_n, input_n).tanh(), hidden_n }
    }

    #[inline(always)]
    fn next(self, h: S) -> S {
        self.z.mul_add(h - self.n, self.n)
    }

    /// Derivatives of `h'` with respect to the sums in `r`, `z` and `V_n h + c_n`.
    #[inline(always)]
    fn slopes(self, h: S) -> [S; 3] {
        let inside = (S::from_f64(1.0) - self.z) * slope::tanh(self.n);
        [
            inside * self.hidden_n * slope::sigmoid(self.r),
            (h - self.n) * slope::sigmoid(self.z),
            inside * self.r,
        ]
    }
}

/// The weights, cut out of a step's parameters.
struct Weights<'a, S: Scalar> {
    hidden: usize,
    ih: &'a [Param<S>],
    hh: &'a [Param<S>],
    bias: &'a [Param<S>],
    bias_n: &'a [Param<S>],
}

impl<'a, S: Scalar> Weights<'a, S> {
    #[inline(always)]
    fn new(params: &'a [Param<S>], input: usize, hidden: usize) -> Self {
        let [ih, hh, bias, bias_n] = layout::split(params, lengths(input, hidden));
        Self { hidden, ih, hh, bias, bias_n }
    }

    /// The gates of `U` units from `first`.
    #[inline(always)]
    fn gates<const U: usize>(&self, first: usize, h: &[S], u: &[S]) -> [Gates<S>; U] {
        let n = self.hidden;
        let mut sums = matvec::load::<S, 3, U>(self.bias, n, first);
        matvec::add_product(&mut sums, self.ih, n, first, u);
        let input_n = sums[2];
        [sums[2]] = matvec::load::<S, 1, U>(self.bias_n, n, first);
        matvec::add_product(&mut sums, self.hh, n, first, h);
        let [r, z, hidden_n] = sums;
        let mut gates = [Gates { r: r[0], z: r[0], n: r[0], hidden_n: r[0] }; U];
        for k in 0..U {
            gates[k] = Gates::new(r[k], z[k], input_n[k], hidden_n[k]);
        }
        gates
    }

    /// The rows of `unit` in `weight_hh`.
    #[inline(always)]
    fn rows(&self, unit: usize) -> [&'a [Param<S>]; 3] {
        matvec::rows(self.hh, self.hidden, unit, self.hidden)
    }
}

impl<R: Real> Gru<R> {
    /// Weights and biases uniform between ±1/√`hidden`, as PyTorch draws them: the numbers
    /// of ChaCha8 seeded with `seed`, in the order of the parameters.
    pub fn random(input: usize, hidden: usize, seed: u64) -> Self {
        let count = lengths(input, hidden).iter().sum();
        Self { input, hidden, params: init::uniform(count, hidden, seed) }
    }

    /// From the arrays of `torch.nn.GRUCell`: `weight_ih` `[3·hidden, input]`, `weight_hh`
    /// `[3·hidden, hidden]`, `bias_ih` and `bias_hh` `[3·hidden]`, gates in the order `r, z, n`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where an array does not fit `hidden`, the number of
    /// columns of `weight_hh`.
    pub fn from_torch(
        weight_ih: ArrayView2<R>,
        weight_hh: ArrayView2<R>,
        bias_ih: ArrayView1<R>,
        bias_hh: ArrayView1<R>,
    ) -> Result<Self> {
        let (input, hidden) = (weight_ih.ncols(), weight_hh.ncols());
        let rows = ("3·hidden", 3 * hidden);
        let mut params = layout::join(&[
            ("weight_ih", weight_ih.into_dyn(), &[rows, ("input", input)]),
            ("weight_hh", weight_hh.into_dyn(), &[rows, ("hidden", hidden)]),
            ("bias_ih", bias_ih.into_dyn(), &[rows]),
            ("bias_hh", bias_hh.into_dyn(), &[rows]),
        ])?;
        // [b_r, b_z, b_n, c_r, c_z, c_n]: c_r and c_z just add.
        let start = params.len() - 6 * hidden;
        for i in start..start + 2 * hidden {
            let c = params[i + 3 * hidden];
            params[i] += c;
        }
        params.drain(start + 3 * hidden..start + 5 * hidden);
        Ok(Self { input, hidden, params })
    }

    /// From the arrays of `equinox.nn.GRUCell`: `weight_ih` `[3·hidden, input]`, `weight_hh`
    /// `[3·hidden, hidden]`, `bias` `[3·hidden]`, `bias_n` `[hidden]`, gates in the order `r, z, n`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where an array does not fit `hidden`, the number of
    /// columns of `weight_hh`.
    pub fn from_equinox(
        weight_ih: ArrayView2<R>,
        weight_hh: ArrayView2<R>,
        bias: ArrayView1<R>,
        bias_n: ArrayView1<R>,
    ) -> Result<Self> {
        let (input, hidden) = (weight_ih.ncols(), weight_hh.ncols());
        let rows = ("3·hidden", 3 * hidden);
        let params = layout::join(&[
            ("weight_ih", weight_ih.into_dyn(), &[rows, ("input", input)]),
            ("weight_hh", weight_hh.into_dyn(), &[rows, ("hidden", hidden)]),
            ("bias", bias.into_dyn(), &[rows]),
            ("bias_n", bias_n.into_dyn(), &[("hidden", hidden)]),
        ])?;
        Ok(Self { input, hidden, params })
    }
}

impl<R> Gru<R> {
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

    /// Weights of the state, `[3·hidden, hidden]`.
    pub fn weight_hh(&self) -> ArrayView2<'_, R> {
        layout::matrix(self.piece(1), 3 * self.hidden, self.hidden)
    }

    /// Biases of the gates, `[3·hidden]`.
    pub fn bias(&self) -> ArrayView1<'_, R> {
        self.piece(2).into()
    }

    /// Bias inside the product with `r`, `[hidden]`.
    pub fn bias_n(&self) -> ArrayView1<'_, R> {
        self.piece(3).into()
    }
}

impl<R: Real> Dynamics for Gru<R> {
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

    #[inline(always)]
    fn step<S: Scalar<Real = R>>(&self, params: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
        let n = self.hidden;
        let weights = Weights::new(params, self.input, n);
        let (h, u, next) = (&x[..n], &u[..self.input], &mut next[..n]);
        let tiled = matvec::tiled::<S, 3, 2>(n);
        for i in (0..tiled).step_by(2) {
            let gates = weights.gates::<2>(i, h, u);
            next[i] = gates[0].next(h[i]);
            next[i + 1] = gates[1].next(h[i + 1]);
        }
        for i in tiled..n {
            let [gates] = weights.gates::<1>(i, h, u);
            next[i] = gates.next(h[i]);
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
        let (h, u, next) = (&x[..n], &u[..self.input], &mut next[..n]);
        for i in 0..n {
            let [gates] = weights.gates::<1>(i, h, u);
            next[i] = gates.next(h[i]);
            let [in_r, in_z, in_n] = gates.slopes(h[i]);
            let [v_r, v_z, v_n] = weights.rows(i);
            let row = &mut jacobian[i * n..][..n];
            for j in 0..n {
                row[j] = in_r.mul_add_param(v_r[j], in_z.mul_add_param(v_z[j], in_n * v_n[j]));
            }
            row[i] += gates.z;
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
        let (h, u, next) = (&x[..n], &u[..self.input], &mut next[..n]);
        for i in 0..n {
            let [gates] = weights.gates::<1>(i, h, u);
            next[i] = gates.next(h[i]);
            let [in_r, in_z, in_n] = gates.slopes(h[i]);
            let [v_r, v_z, v_n] = weights.rows(i);
            let through = in_r.mul_add_param(v_r[i], in_z.mul_add_param(v_z[i], in_n * v_n[i]));
            diagonal[i] = through + gates.z;
        }
        true
    }

    fn built_in(&self) -> Option<BuiltIn> {
        Some(BuiltIn::new(Kind::Gru, self.hidden))
    }

    fn units_in_lanes(&self) -> bool {
        true
    }

    fn by_hand(&self) -> Option<ByHand> {
        Some(ByHand::Gru(GruDims { input: self.input, hidden: self.hidden }))
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
        let [ih, hh, bias, bias_n] = layout::split(params, lengths(m, n));
        let ih = units::Matrix::<R, I, 3>::new(ih, n, m);
        let hh = units::Matrix::<R, I, 3>::new(hh, n, n);
        let bias = units::Matrix::<R, I, 3>::new(bias, n, 1);
        let bias_n = units::Matrix::<R, I, 1>::new(bias_n, n, 1);
        let mut h = units::load::<R, I>(x);
        let mut next = h.clone();
        for t in 0..steps {
            let u = &inputs[t * m..][..m];
            for block in 0..h.len() {
                let [r, z, input_n] = ih.add_product::<2>(bias.column(block, 0), block, u);
                let [hidden_n] = bias_n.column(block, 0);
                let [r, z, hidden_n] =
                    hh.add_product::<2>([r, z, hidden_n], block, units::Block::flatten(&h));
                next[block] = Gates::new(r, z, input_n, hidden_n).next(h[block]);
            }
            std::mem::swap(&mut h, &mut next);
            units::store(&h, &mut states[t * n..], n);
        }
        units::store(&h, x, n);
    }
}
