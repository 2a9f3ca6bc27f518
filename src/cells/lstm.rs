//! The long short-term memory.

mod pull_back;

use super::built_in::{BuiltIn, Kind};
use super::by_hand::{ByHand, LstmDims};
use super::{init, layout, matvec, slope, units};
use crate::dynamics::Dynamics;
use crate::error::Result;
use crate::scalar::{Isa, Param, Real, Scalar};
use ndarray::{ArrayView1, ArrayView2};

/// Long short-term memory, the form of PyTorch and Equinox.
///
/// ```text
/// i  = σ(W_i u + V_i h + b_i)        f = σ(W_f u + V_f h + b_f)
/// g  = tanh(W_g u + V_g h + b_g)     o = σ(W_o u + V_o h + b_o)
/// c' = f ⊙ c + i ⊙ g
/// h' = o ⊙ tanh(c')
/// ```
///
/// The state is `h` then `c`, `[2·hidden]`. A step costs `4·hidden·(hidden + input)`
/// multiplications and `5·hidden` exponentials. Its Jacobian is dense `[2·hidden, 2·hidden]`; the two
/// blocks of derivatives with respect to `c` are diagonal.
///
/// Parameters, whichever constructor made the cell; gates in the order `i, f, g, o`:
///
/// | view | shape | holds |
/// |---|---|---|
/// | [`weight_ih`](Self::weight_ih) | `[4·hidden, input]` | `W` |
/// | [`weight_hh`](Self::weight_hh) | `[4·hidden, hidden]` | `V` |
/// | [`bias`](Self::bias) | `[4·hidden]` | `b` |
///
/// Gers, Schmidhuber, Cummins 2000,
/// [doi:10.1162/089976600300015015](https://doi.org/10.1162/089976600300015015).
///
/// # Example
/// ```
/// use deer_solver::{Dynamics, cells::Lstm, scalar::Parameter};
///
/// let lstm = Lstm::<f64>::random(2, 3, 0);
/// let mut next = [0.0; 6];
/// lstm.step::<f64>(Parameter::from_slice(lstm.params()), &[0.0; 6], &[1.0, -1.0], &mut next);
/// let (h, c) = next.split_at(3);
/// assert!(h.iter().zip(c).all(|(h, c)| h.abs() < c.abs()));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Lstm<R> {
    input: usize,
    hidden: usize,
    params: Vec<R>,
}

/// Lengths of the three pieces of the parameters.
#[inline(always)]
fn lengths(input: usize, hidden: usize) -> [usize; 3] {
    [4 * hidden * input, 4 * hidden * hidden, 4 * hidden]
}

/// A unit's gates, and its new cell `c'` with `tanh c'`.
#[derive(Clone, Copy)]
struct Gates<S> {
    i: S,
    f: S,
    g: S,
    o: S,
    cell: S,
    tanh_cell: S,
}

impl<S: Scalar> Gates<S> {
    /// From the sums that go into the gates, and the cell.
    #[inline(always)]
    fn new([i, f, g, o]: [S; 4], c: S) -> Self {
        let (i, f, g, o) = (i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid());
        let cell = f.mul_add(c, i * g);
        Self { i, f, g, o, cell, tanh_cell: cell.tanh() }
    }

    #[inline(always)]
    fn hidden(self) -> S {
        self.o * self.tanh_cell
    }

    /// Derivatives of `c'` with respect to the sums in `i, f, g`.
    #[inline(always)]
    fn cell_slopes(self, c: S) -> [S; 3] {
        [self.g * slope::sigmoid(self.i), c * slope::sigmoid(self.f), self.i * slope::tanh(self.g)]
    }

    /// Derivatives of `h'` with respect to `c'` and the sum in `o`.
    #[inline(always)]
    fn hidden_slopes(self) -> [S; 2] {
        [self.o * slope::tanh(self.tanh_cell), self.tanh_cell * slope::sigmoid(self.o)]
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

    /// The sums in the gates of `U` units from `first`.
    #[inline(always)]
    fn sums<const U: usize>(&self, first: usize, h: &[S], u: &[S]) -> [[S; U]; 4] {
        let n = self.hidden;
        let mut sums = matvec::load(self.bias, n, first);
        matvec::add_product(&mut sums, self.ih, n, first, u);
        matvec::add_product(&mut sums, self.hh, n, first, h);
        sums
    }

    /// The gates of `unit`.
    #[inline(always)]
    fn gates(&self, unit: usize, h: &[S], c: S, u: &[S]) -> Gates<S> {
        let [[i], [f], [g], [o]] = self.sums(unit, h, u);
        Gates::new([i, f, g, o], c)
    }

    /// The rows of `unit` in `weight_hh`.
    #[inline(always)]
    fn rows(&self, unit: usize) -> [&'a [Param<S>]; 4] {
        matvec::rows(self.hh, self.hidden, unit, self.hidden)
    }
}

impl<R: Real> Lstm<R> {
    /// Weights and biases uniform between ±1/√`hidden`, as PyTorch draws them: the numbers
    /// of ChaCha8 seeded with `seed`, in the order of the parameters.
    pub fn random(input: usize, hidden: usize, seed: u64) -> Self {
        let count = lengths(input, hidden).iter().sum();
        Self { input, hidden, params: init::uniform(count, hidden, seed) }
    }

    /// From the arrays of `torch.nn.LSTMCell`: `weight_ih` `[4·hidden, input]`, `weight_hh`
    /// `[4·hidden, hidden]`, `bias_ih` and `bias_hh` `[4·hidden]`, gates in the order `i, f, g, o`. The
    /// two biases are added up.
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
        let rows = ("4·hidden", 4 * hidden);
        let mut params = layout::join(&[
            ("weight_ih", weight_ih.into_dyn(), &[rows, ("input", input)]),
            ("weight_hh", weight_hh.into_dyn(), &[rows, ("hidden", hidden)]),
            ("bias_ih", bias_ih.into_dyn(), &[rows]),
            ("bias_hh", bias_hh.into_dyn(), &[rows]),
        ])?;
        layout::add_last(&mut params, 4 * hidden);
        Ok(Self { input, hidden, params })
    }

    /// From the arrays of `equinox.nn.LSTMCell`: `weight_ih` `[4·hidden, input]`, `weight_hh`
    /// `[4·hidden, hidden]`, `bias` `[4·hidden]`, gates in the order `i, f, g, o`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where an array does not fit `hidden`, the number of
    /// columns of `weight_hh`.
    pub fn from_equinox(
        weight_ih: ArrayView2<R>,
        weight_hh: ArrayView2<R>,
        bias: ArrayView1<R>,
    ) -> Result<Self> {
        let (input, hidden) = (weight_ih.ncols(), weight_hh.ncols());
        let rows = ("4·hidden", 4 * hidden);
        let params = layout::join(&[
            ("weight_ih", weight_ih.into_dyn(), &[rows, ("input", input)]),
            ("weight_hh", weight_hh.into_dyn(), &[rows, ("hidden", hidden)]),
            ("bias", bias.into_dyn(), &[rows]),
        ])?;
        Ok(Self { input, hidden, params })
    }
}

impl<R> Lstm<R> {
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

    /// Weights of the input, `[4·hidden, input]`.
    pub fn weight_ih(&self) -> ArrayView2<'_, R> {
        layout::matrix(self.piece(0), 4 * self.hidden, self.input)
    }

    /// Weights of `h`, `[4·hidden, hidden]`.
    pub fn weight_hh(&self) -> ArrayView2<'_, R> {
        layout::matrix(self.piece(1), 4 * self.hidden, self.hidden)
    }

    /// Biases of the gates, `[4·hidden]`.
    pub fn bias(&self) -> ArrayView1<'_, R> {
        self.piece(2).into()
    }
}

impl<R: Real> Dynamics for Lstm<R> {
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

    #[inline(always)]
    fn step<S: Scalar<Real = R>>(&self, params: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
        let n = self.hidden;
        let weights = Weights::new(params, self.input, n);
        let (h, c, u) = (&x[..n], &x[n..][..n], &u[..self.input]);
        let (next_h, next_c) = next[..2 * n].split_at_mut(n);
        let tiled = matvec::tiled::<S, 4, 2>(n);
        for first in (0..tiled).step_by(2) {
            let [i, f, g, o] = weights.sums::<2>(first, h, u);
            for k in 0..2 {
                let gates = Gates::new([i[k], f[k], g[k], o[k]], c[first + k]);
                next_h[first + k] = gates.hidden();
                next_c[first + k] = gates.cell;
            }
        }
        for i in tiled..n {
            let gates = weights.gates(i, h, c[i], u);
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
        let (of_h, of_c) = jacobian[..4 * n * n].split_at_mut(2 * n * n);
        let zero = S::from_f64(0.0);
        for i in 0..n {
            let gates = weights.gates(i, h, c[i], u);
            next_h[i] = gates.hidden();
            next_c[i] = gates.cell;
            let [in_i, in_f, in_g] = gates.cell_slopes(c[i]);
            let [in_cell, in_o] = gates.hidden_slopes();
            let [v_i, v_f, v_g, v_o] = weights.rows(i);
            let (h_by_h, h_by_c) = of_h[2 * n * i..][..2 * n].split_at_mut(n);
            let (c_by_h, c_by_c) = of_c[2 * n * i..][..2 * n].split_at_mut(n);
            for j in 0..n {
                let cell = in_i.mul_add_param(v_i[j], in_f.mul_add_param(v_f[j], in_g * v_g[j]));
                c_by_h[j] = cell;
                h_by_h[j] = in_cell.mul_add(cell, in_o * v_o[j]);
            }
            h_by_c.fill(zero);
            c_by_c.fill(zero);
            h_by_c[i] = in_cell * gates.f;
            c_by_c[i] = gates.f;
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
            let gates = weights.gates(i, h, c[i], u);
            next_h[i] = gates.hidden();
            next_c[i] = gates.cell;
            let [in_i, in_f, in_g] = gates.cell_slopes(c[i]);
            let [in_cell, in_o] = gates.hidden_slopes();
            let [v_i, v_f, v_g, v_o] = weights.rows(i);
            let cell = in_i.mul_add_param(v_i[i], in_f.mul_add_param(v_f[i], in_g * v_g[i]));
            of_h[i] = in_cell.mul_add(cell, in_o * v_o[i]);
            of_c[i] = gates.f;
        }
        true
    }

    fn built_in(&self) -> Option<BuiltIn> {
        Some(BuiltIn::new(Kind::Lstm, self.hidden))
    }

    fn units_in_lanes(&self) -> bool {
        true
    }

    fn by_hand(&self) -> Option<ByHand> {
        Some(ByHand::Lstm(LstmDims { input: self.input, hidden: self.hidden }))
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
        let ih = units::Matrix::<R, I, 4>::new(ih, n, m);
        let hh = units::Matrix::<R, I, 4>::new(hh, n, n);
        let bias = units::Matrix::<R, I, 4>::new(bias, n, 1);
        let mut h = units::load::<R, I>(&x[..n]);
        let mut c = units::load::<R, I>(&x[n..]);
        let mut next_h = h.clone();
        for t in 0..steps {
            let u = &inputs[t * m..][..m];
            for block in 0..h.len() {
                let sums = ih.add_product::<2>(bias.column(block, 0), block, u);
                let gates = Gates::new(
                    hh.add_product::<2>(sums, block, units::Block::flatten(&h)),
                    c[block],
                );
                (next_h[block], c[block]) = (gates.hidden(), gates.cell);
            }
            std::mem::swap(&mut h, &mut next_h);
            let state = &mut states[2 * n * t..];
            units::store(&h, state, n);
            units::store(&c, &mut state[n..], n);
        }
        units::store(&h, x, n);
        units::store(&c, &mut x[n..], n);
    }
}
