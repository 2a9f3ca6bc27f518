//! The simple recurrent network.

mod pull_back;

use super::built_in::{BuiltIn, Kind};
use super::by_hand::{ByHand, ElmanDims};
use super::{init, layout, matvec, slope, units};
use crate::dynamics::Dynamics;
use crate::error::Result;
use crate::scalar::{Isa, Param, Real, Scalar};
use ndarray::{ArrayView1, ArrayView2};

/// Elman's simple recurrent network, `torch.nn.RNN` with `tanh`.
///
/// ```text
/// h' = tanh(W u + V h + b)
/// ```
///
/// The state is `h` `[hidden]`. A step costs `hidden·(hidden + input)` multiplications and `hidden`
/// exponentials; its Jacobian is dense and costs `hidden²` more.
///
/// Parameters:
///
/// | view | shape | holds |
/// |---|---|---|
/// | [`weight_ih`](Self::weight_ih) | `[hidden, input]` | `W` |
/// | [`weight_hh`](Self::weight_hh) | `[hidden, hidden]` | `V` |
/// | [`bias`](Self::bias) | `[hidden]` | `b` |
///
/// Elman 1990, [doi:10.1207/s15516709cog1402_1](https://doi.org/10.1207/s15516709cog1402_1).
///
/// # Example
/// ```
/// use deer_solver::{Dynamics, cells::Elman, scalar::Parameter};
/// use ndarray::array;
///
/// let elman = Elman::new(array![[1.0]].view(), array![[0.5]].view(), array![0.0].view())?;
/// let mut next = [0.0];
/// elman.step::<f64>(Parameter::from_slice(elman.params()), &[0.4], &[0.1], &mut next);
/// assert!((next[0] - 0.3f64.tanh()).abs() < 1e-15);
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Elman<R> {
    input: usize,
    hidden: usize,
    params: Vec<R>,
}

/// Lengths of the three pieces of the parameters.
#[inline(always)]
fn lengths(input: usize, hidden: usize) -> [usize; 3] {
    [hidden * input, hidden * hidden, hidden]
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

    /// The next values of `U` units from `first`.
    #[inline(always)]
    fn next<const U: usize>(&self, first: usize, h: &[S], u: &[S]) -> [S; U] {
        let n = self.hidden;
        let mut sums = matvec::load::<S, 1, U>(self.bias, n, first);
        matvec::add_product(&mut sums, self.ih, n, first, u);
        matvec::add_product(&mut sums, self.hh, n, first, h);
        let [mut next] = sums;
        for unit in &mut next {
            *unit = unit.tanh();
        }
        next
    }
}

impl<R: Real> Elman<R> {
    /// Weights and biases uniform between ±1/√`hidden`, as PyTorch draws them: the numbers
    /// of ChaCha8 seeded with `seed`, in the order of the parameters.
    pub fn random(input: usize, hidden: usize, seed: u64) -> Self {
        let count = lengths(input, hidden).iter().sum();
        Self { input, hidden, params: init::uniform(count, hidden, seed) }
    }

    /// From `weight_ih` `[hidden, input]`, `weight_hh` `[hidden, hidden]` and `bias` `[hidden]`.
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
        let rows = ("hidden", hidden);
        let params = layout::join(&[
            ("weight_ih", weight_ih.into_dyn(), &[rows, ("input", input)]),
            ("weight_hh", weight_hh.into_dyn(), &[rows, rows]),
            ("bias", bias.into_dyn(), &[rows]),
        ])?;
        Ok(Self { input, hidden, params })
    }

    /// From the arrays of `torch.nn.RNNCell`: those of [`new`](Self::new) with a second bias. The
    /// two biases `[hidden]` are added up.
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
        let rows = ("hidden", hidden);
        let mut params = layout::join(&[
            ("weight_ih", weight_ih.into_dyn(), &[rows, ("input", input)]),
            ("weight_hh", weight_hh.into_dyn(), &[rows, rows]),
            ("bias_ih", bias_ih.into_dyn(), &[rows]),
            ("bias_hh", bias_hh.into_dyn(), &[rows]),
        ])?;
        layout::add_last(&mut params, hidden);
        Ok(Self { input, hidden, params })
    }
}

impl<R> Elman<R> {
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

    /// Weights of the input, `[hidden, input]`.
    pub fn weight_ih(&self) -> ArrayView2<'_, R> {
        layout::matrix(self.piece(0), self.hidden, self.input)
    }

    /// Weights of the state, `[hidden, hidden]`.
    pub fn weight_hh(&self) -> ArrayView2<'_, R> {
        layout::matrix(self.piece(1), self.hidden, self.hidden)
    }

    /// Biases, `[hidden]`.
    pub fn bias(&self) -> ArrayView1<'_, R> {
        self.piece(2).into()
    }
}

impl<R: Real> Dynamics for Elman<R> {
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
        let tiled = matvec::tiled::<S, 1, 4>(n);
        for i in (0..tiled).step_by(4) {
            let tile: [S; 4] = weights.next(i, h, u);
            next[i..i + 4].copy_from_slice(&tile);
        }
        for (i, next) in next.iter_mut().enumerate().skip(tiled) {
            [*next] = weights.next(i, h, u);
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
        self.step(params, x, u, next);
        let weights = Weights::<S>::new(params, self.input, n);
        for i in 0..n {
            let slope = slope::tanh(next[i]);
            let (v, row) = (&weights.hh[i * n..][..n], &mut jacobian[i * n..][..n]);
            for j in 0..n {
                row[j] = slope * v[j];
            }
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
        self.step(params, x, u, next);
        let weights = Weights::<S>::new(params, self.input, n);
        for i in 0..n {
            diagonal[i] = slope::tanh(next[i]) * weights.hh[i * n + i];
        }
        true
    }

    fn built_in(&self) -> Option<BuiltIn> {
        Some(BuiltIn::new(Kind::Elman, self.hidden))
    }

    fn units_in_lanes(&self) -> bool {
        true
    }

    fn by_hand(&self) -> Option<ByHand> {
        Some(ByHand::Elman(ElmanDims { input: self.input, hidden: self.hidden }))
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
        let ih = units::Matrix::<R, I, 1>::new(ih, n, m);
        let hh = units::Matrix::<R, I, 1>::new(hh, n, n);
        let bias = units::Matrix::<R, I, 1>::new(bias, n, 1);
        let mut h = units::load::<R, I>(x);
        let mut next = h.clone();
        for t in 0..steps {
            let u = &inputs[t * m..][..m];
            for (block, next) in next.iter_mut().enumerate() {
                let sum = ih.add_product::<2>(bias.column(block, 0), block, u);
                let [sum] = hh.add_product::<4>(sum, block, units::Block::flatten(&h));
                *next = sum.tanh();
            }
            std::mem::swap(&mut h, &mut next);
            units::store(&h, &mut states[t * n..], n);
        }
        units::store(&h, x, n);
    }
}
