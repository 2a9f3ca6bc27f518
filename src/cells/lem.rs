//! The long expressive memory.

mod pull_back;

use super::built_in::{BuiltIn, Kind};
use super::by_hand::{ByHand, LemDims};
use super::{init, layout, matvec, slope, units};
use crate::dynamics::Dynamics;
use crate::error::Result;
use crate::scalar::{Constant, Isa, Param, Real, Scalar};
use ndarray::{ArrayView1, ArrayView2};

/// Long expressive memory: two coupled time scales, each with its own learned step.
///
/// ```text
/// d₁ = Δt σ(W₁ u + b₁ + V₁ y + c₁)
/// d₂ = Δt σ(W₂ u + b₂ + V₂ y + c₂)
/// z' = z + d₂ ⊙ (tanh(W_y u + b_y + V_y y + c_y) − z)
/// y' = y + d₁ ⊙ (tanh(W_z u + b_z + Z z' + e) − y)
/// ```
///
/// The state is `y` then `z`, `[2·hidden]`. A step costs `4·hidden·(hidden + input)`
/// multiplications and `4·hidden` exponentials. Its Jacobian is dense and costs `hidden³`, since
/// `y'` depends on `z'`.
///
/// Parameters, as in the authors' program: the rows for the input in the order `1, 2, z, y`, those
/// for `y` in the order `1, 2, y`. `Δt` is a setting of the cell and not among them.
///
/// | view | shape | holds |
/// |---|---|---|
/// | [`weight_ih`](Self::weight_ih) | `[4·hidden, input]` | `W` |
/// | [`bias_ih`](Self::bias_ih) | `[4·hidden]` | `b` |
/// | [`weight_hh`](Self::weight_hh) | `[3·hidden, hidden]` | `V` |
/// | [`bias_hh`](Self::bias_hh) | `[3·hidden]` | `c` |
/// | [`weight_z`](Self::weight_z) | `[hidden, hidden]` | `Z` |
/// | [`bias_z`](Self::bias_z) | `[hidden]` | `e` |
///
/// Rusch et al. 2022, [arXiv:2110.04744](https://arxiv.org/abs/2110.04744).
///
/// # Example
/// ```
/// use deer_solver::{Dynamics, cells::Lem};
///
/// let lem = Lem::<f64>::random(2, 4, 0).with_dt(0.5);
/// assert_eq!(lem.state_dim(), 8);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Lem<R> {
    input: usize,
    hidden: usize,
    dt: R,
    params: Vec<R>,
}

/// Lengths of the six pieces of the parameters.
#[inline(always)]
fn lengths(input: usize, hidden: usize) -> [usize; 6] {
    let square = hidden * hidden;
    [4 * hidden * input, 4 * hidden, 3 * square, 3 * hidden, square, hidden]
}

/// The part of a unit that does not wait for `z'`.
#[derive(Clone, Copy)]
struct Gates<S> {
    /// `d₁ / Δt` and `d₂ / Δt`.
    rates: [S; 2],
    /// What `z` tends to.
    target: S,
    /// `W_z u + b_z`.
    input_z: S,
}

impl<S: Scalar> Gates<S> {
    /// From the sums with the input, rows `1, 2, z, y`, and with `y`, rows `1, 2, y`.
    #[inline(always)]
    fn new([i1, i2, input_z, iy]: [S; 4], [h1, h2, hy]: [S; 3]) -> Self {
        Self {
            rates: [(i1 + h1).sigmoid(), (i2 + h2).sigmoid()],
            target: (iy + hy).tanh(),
            input_z,
        }
    }
}

/// `old + rate Δt (target − old)`.
#[inline(always)]
fn relax<S: Scalar>(old: S, rate: S, dt: S::Real, target: S) -> S {
    (rate * dt).mul_add(target - old, old)
}

/// Derivatives of [`relax`] with respect to the sums in `rate` and in `target`.
#[inline(always)]
fn relax_slopes<S: Scalar>(old: S, rate: S, dt: S::Real, target: S) -> [S; 2] {
    [(target - old) * slope::sigmoid(rate) * dt, rate * dt * slope::tanh(target)]
}

/// The weights, cut out of a step's parameters.
struct Weights<'a, S: Scalar> {
    hidden: usize,
    ih: &'a [Param<S>],
    bias_ih: &'a [Param<S>],
    hh: &'a [Param<S>],
    bias_hh: &'a [Param<S>],
    z: &'a [Param<S>],
    bias_z: &'a [Param<S>],
}

impl<'a, S: Scalar> Weights<'a, S> {
    #[inline(always)]
    fn new(params: &'a [Param<S>], input: usize, hidden: usize) -> Self {
        let [ih, bias_ih, hh, bias_hh, z, bias_z] = layout::split(params, lengths(input, hidden));
        Self { hidden, ih, bias_ih, hh, bias_hh, z, bias_z }
    }

    #[inline(always)]
    fn gates(&self, unit: usize, y: &[S], u: &[S]) -> Gates<S> {
        let n = self.hidden;
        let mut of_input = matvec::load::<S, 4, 1>(self.bias_ih, n, unit);
        matvec::add_product(&mut of_input, self.ih, n, unit, u);
        let mut of_y = matvec::load::<S, 3, 1>(self.bias_hh, n, unit);
        matvec::add_product(&mut of_y, self.hh, n, unit, y);
        let [[i1], [i2], [input_z], [iy]] = of_input;
        let [[h1], [h2], [hy]] = of_y;
        Gates::new([i1, i2, input_z, iy], [h1, h2, hy])
    }

    /// What `y` of a unit tends to, from all of `z'`.
    #[inline(always)]
    fn target_y(&self, unit: usize, input_z: S, next_z: &[S]) -> S {
        let mut sum = matvec::load::<S, 1, 1>(self.bias_z, self.hidden, unit);
        matvec::add_product(&mut sum, self.z, self.hidden, unit, next_z);
        (input_z + sum[0][0]).tanh()
    }

    /// Adds `in_targets[i] Σ_k Z[i, k] ∂z'[k]/∂y[j]` to `∂y'[i]/∂y[j]`, for `A` rows from `i` and `B` columns
    /// from `j`. Both Jacobians are rows of `2·hidden`.
    #[inline(always)]
    fn add_through_z<const A: usize, const B: usize>(
        &self,
        of_y: &mut [S],
        i: usize,
        j: usize,
        in_targets: &[S],
        of_z: &[S],
    ) {
        let n = self.hidden;
        let mut sums = [[S::from_f64(0.0); B]; A];
        let mut rows: [&[Param<S>]; A] = [&[]; A];
        for (a, row) in rows.iter_mut().enumerate() {
            *row = self.row_z(i + a);
        }
        for k in 0..n {
            let z_by_y = &of_z[2 * n * k + j..][..B];
            for a in 0..A {
                for b in 0..B {
                    sums[a][b] = z_by_y[b].mul_add_param(rows[a][k], sums[a][b]);
                }
            }
        }
        for a in 0..A {
            let y_by_y = &mut of_y[2 * n * (i + a) + j..][..B];
            for b in 0..B {
                y_by_y[b] = in_targets[i + a].mul_add(sums[a][b], y_by_y[b]);
            }
        }
    }

    /// The rows of `unit` in `weight_hh`.
    #[inline(always)]
    fn rows(&self, unit: usize) -> [&'a [Param<S>]; 3] {
        matvec::rows(self.hh, self.hidden, unit, self.hidden)
    }

    /// The row of `unit` in `weight_z`.
    #[inline(always)]
    fn row_z(&self, unit: usize) -> &'a [Param<S>] {
        &self.z[unit * self.hidden..][..self.hidden]
    }
}

/// `1 − rate · Δt`, what is kept of the old value.
#[inline(always)]
fn kept<S: Scalar>(rate: S, dt: S::Real) -> S {
    Constant(S::Real::from_f64(1.0)) - rate * dt
}

impl<R: Real> Lem<R> {
    /// Weights and biases uniform between ±1/√`hidden`: the numbers of ChaCha8 seeded with `seed`,
    /// in the order of the parameters. `Δt = 1`.
    pub fn random(input: usize, hidden: usize, seed: u64) -> Self {
        let count = lengths(input, hidden).iter().sum();
        let params = init::uniform(count, hidden, seed);
        Self { input, hidden, dt: R::from_f64(1.0), params }
    }

    /// From `weight_ih` `[4·hidden, input]` and `bias_ih` `[4·hidden]` (rows `1, 2, z, y`), `weight_hh`
    /// `[3·hidden, hidden]` and `bias_hh` `[3·hidden]` (rows `1, 2, y`), `weight_z` `[hidden, hidden]`
    /// and `bias_z` `[hidden]`, and the step `dt`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) where an array does not fit `hidden`, the number of
    /// columns of `weight_hh`.
    pub fn new(
        weight_ih: ArrayView2<R>,
        bias_ih: ArrayView1<R>,
        weight_hh: ArrayView2<R>,
        bias_hh: ArrayView1<R>,
        weight_z: ArrayView2<R>,
        bias_z: ArrayView1<R>,
        dt: R,
    ) -> Result<Self> {
        let (input, hidden) = (weight_ih.ncols(), weight_hh.ncols());
        let (four, three, one) =
            (("4·hidden", 4 * hidden), ("3·hidden", 3 * hidden), ("hidden", hidden));
        let params = layout::join(&[
            ("weight_ih", weight_ih.into_dyn(), &[four, ("input", input)]),
            ("bias_ih", bias_ih.into_dyn(), &[four]),
            ("weight_hh", weight_hh.into_dyn(), &[three, one]),
            ("bias_hh", bias_hh.into_dyn(), &[three]),
            ("weight_z", weight_z.into_dyn(), &[one, one]),
            ("bias_z", bias_z.into_dyn(), &[one]),
        ])?;
        Ok(Self { input, hidden, dt, params })
    }

    /// The same cell with another `Δt`.
    pub fn with_dt(mut self, dt: R) -> Self {
        self.dt = dt;
        self
    }

    /// `Δt`.
    pub fn dt(&self) -> R {
        self.dt
    }
}

impl<R> Lem<R> {
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

    /// Biases beside the input, `[4·hidden]`.
    pub fn bias_ih(&self) -> ArrayView1<'_, R> {
        self.piece(1).into()
    }

    /// Weights of `y`, `[3·hidden, hidden]`.
    pub fn weight_hh(&self) -> ArrayView2<'_, R> {
        layout::matrix(self.piece(2), 3 * self.hidden, self.hidden)
    }

    /// Biases beside `y`, `[3·hidden]`.
    pub fn bias_hh(&self) -> ArrayView1<'_, R> {
        self.piece(3).into()
    }

    /// Weights of `z'`, `[hidden, hidden]`.
    pub fn weight_z(&self) -> ArrayView2<'_, R> {
        layout::matrix(self.piece(4), self.hidden, self.hidden)
    }

    /// Biases beside `z'`, `[hidden]`.
    pub fn bias_z(&self) -> ArrayView1<'_, R> {
        self.piece(5).into()
    }
}

impl<R: Real> Dynamics for Lem<R> {
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

    fn scratch_dim(&self) -> usize {
        3 * self.hidden
    }

    #[inline(always)]
    fn step<S: Scalar<Real = R>>(&self, params: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
        let n = self.hidden;
        let weights = Weights::<S>::new(params, self.input, n);
        let (y, z, u) = (&x[..n], &x[n..][..n], &u[..self.input]);
        let [next_y, next_z, inputs_z] = parts(next, n);
        for i in 0..n {
            let gates = weights.gates(i, y, u);
            next_z[i] = relax(z[i], gates.rates[1], self.dt, gates.target);
            // The rate of y waits in the place of y'.
            next_y[i] = gates.rates[0];
            inputs_z[i] = gates.input_z;
        }
        for i in 0..n {
            let target = weights.target_y(i, inputs_z[i], next_z);
            next_y[i] = relax(y[i], next_y[i], self.dt, target);
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
        let weights = Weights::<S>::new(params, self.input, n);
        let (y, z, u) = (&x[..n], &x[n..][..n], &u[..self.input]);
        let [next_y, next_z, inputs_z] = parts(next, n);
        let (of_y, of_z) = jacobian[..4 * n * n].split_at_mut(2 * n * n);
        for i in 0..n {
            let gates = weights.gates(i, y, u);
            next_z[i] = relax(z[i], gates.rates[1], self.dt, gates.target);
            next_y[i] = gates.rates[0];
            inputs_z[i] = gates.input_z;
            let [in_2, in_target] = relax_slopes(z[i], gates.rates[1], self.dt, gates.target);
            let [_, v_2, v_y] = weights.rows(i);
            let (by_y, by_z) = of_z[2 * n * i..][..2 * n].split_at_mut(n);
            for j in 0..n {
                by_y[j] = in_2.mul_add_param(v_2[j], in_target * v_y[j]);
            }
            by_z.fill(S::from_f64(0.0));
            by_z[i] = kept(gates.rates[1], self.dt);
        }
        for i in 0..n {
            let rate = next_y[i];
            let target = weights.target_y(i, inputs_z[i], next_z);
            next_y[i] = relax(y[i], rate, self.dt, target);
            let [in_1, in_target] = relax_slopes(y[i], rate, self.dt, target);
            let ([v_1, _, _], row_z) = (weights.rows(i), weights.row_z(i));
            let (by_y, by_z) = of_y[2 * n * i..][..2 * n].split_at_mut(n);
            for j in 0..n {
                by_y[j] = in_1 * v_1[j];
                by_z[j] = in_target * row_z[j] * of_z[2 * n * j + n + j];
            }
            by_y[i] += kept(rate, self.dt);
            inputs_z[i] = in_target;
        }
        let in_targets = inputs_z;
        let (rows, columns) = (n - n % 4, n - n % 2);
        for i in (0..rows).step_by(4) {
            for j in (0..columns).step_by(2) {
                weights.add_through_z::<4, 2>(of_y, i, j, in_targets, of_z);
            }
            for j in columns..n {
                weights.add_through_z::<4, 1>(of_y, i, j, in_targets, of_z);
            }
        }
        for i in rows..n {
            for j in 0..n {
                weights.add_through_z::<1, 1>(of_y, i, j, in_targets, of_z);
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
        let weights = Weights::<S>::new(params, self.input, n);
        let (y, z, u) = (&x[..n], &x[n..][..n], &u[..self.input]);
        let [next_y, next_z, inputs_z, in_2, in_target_z] = parts(next, n);
        let (of_y, of_z) = diagonal[..2 * n].split_at_mut(n);
        for i in 0..n {
            let gates = weights.gates(i, y, u);
            next_z[i] = relax(z[i], gates.rates[1], self.dt, gates.target);
            next_y[i] = gates.rates[0];
            inputs_z[i] = gates.input_z;
            [in_2[i], in_target_z[i]] = relax_slopes(z[i], gates.rates[1], self.dt, gates.target);
            of_z[i] = kept(gates.rates[1], self.dt);
        }
        let [_, v_2, v_y] = [0, 1, 2].map(|gate| &weights.hh[gate * n * n..][..n * n]);
        for i in 0..n {
            let rate = next_y[i];
            let target = weights.target_y(i, inputs_z[i], next_z);
            next_y[i] = relax(y[i], rate, self.dt, target);
            let [in_1, in_target] = relax_slopes(y[i], rate, self.dt, target);
            let row_z = weights.row_z(i);
            let mut through_z = S::from_f64(0.0);
            for k in 0..n {
                let at = k * n + i;
                let z_by_y = in_2[k].mul_add_param(v_2[at], in_target_z[k] * v_y[at]);
                through_z = z_by_y.mul_add_param(row_z[k], through_z);
            }
            of_y[i] = in_1.mul_add_param(
                weights.rows(i)[0][i],
                in_target.mul_add(through_z, kept(rate, self.dt)),
            );
        }
        true
    }

    fn built_in(&self) -> Option<BuiltIn> {
        Some(BuiltIn { dt: self.dt.to_f64(), ..BuiltIn::new(Kind::Lem, self.hidden) })
    }

    fn units_in_lanes(&self) -> bool {
        true
    }

    fn by_hand(&self) -> Option<ByHand> {
        let (input, hidden, dt) = (self.input, self.hidden, self.dt.to_f64());
        Some(ByHand::Lem(LemDims { input, hidden, dt }))
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
        let [ih, bias_ih, hh, bias_hh, weight_z, bias_z] = layout::split(params, lengths(m, n));
        let ih = units::Matrix::<R, I, 4>::new(ih, n, m);
        let bias_ih = units::Matrix::<R, I, 4>::new(bias_ih, n, 1);
        let hh = units::Matrix::<R, I, 3>::new(hh, n, n);
        let bias_hh = units::Matrix::<R, I, 3>::new(bias_hh, n, 1);
        let weight_z = units::Matrix::<R, I, 1>::new(weight_z, n, n);
        let bias_z = units::Matrix::<R, I, 1>::new(bias_z, n, 1);
        let mut y = units::load::<R, I>(&x[..n]);
        let mut z = units::load::<R, I>(&x[n..]);
        // The rate of y and its input, which wait for all of z'.
        let mut waiting = vec![[units::Block::<R, I>::from_f64(0.0); 2]; y.len()];
        for t in 0..steps {
            let u = &inputs[t * m..][..m];
            for block in 0..z.len() {
                let of_input = ih.add_product::<2>(bias_ih.column(block, 0), block, u);
                let of_y =
                    hh.add_product::<2>(bias_hh.column(block, 0), block, units::Block::flatten(&y));
                let gates = Gates::new(of_input, of_y);
                z[block] = relax(z[block], gates.rates[1], self.dt, gates.target);
                waiting[block] = [gates.rates[0], gates.input_z];
            }
            for block in 0..y.len() {
                let [rate, input_z] = waiting[block];
                let [sum] = weight_z.add_product::<4>(
                    bias_z.column(block, 0),
                    block,
                    units::Block::flatten(&z),
                );
                y[block] = relax(y[block], rate, self.dt, (input_z + sum).tanh());
            }
            let state = &mut states[2 * n * t..];
            units::store(&y, state, n);
            units::store(&z, &mut state[n..], n);
        }
        units::store(&y, x, n);
        units::store(&z, &mut x[n..], n);
    }
}

/// `next` and its scratch cut into the first `N` vectors of `n`.
#[inline(always)]
fn parts<S, const N: usize>(next: &mut [S], n: usize) -> [&mut [S]; N] {
    let mut rest = next;
    std::array::from_fn(|_| {
        let (part, after) = std::mem::take(&mut rest).split_at_mut(n);
        rest = after;
        part
    })
}
