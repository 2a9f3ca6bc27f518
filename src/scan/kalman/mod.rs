//! Filtering and smoothing of linear-Gaussian models as associative scans.

// A closure handed to an iterator may be left out of line, without the kernel's instructions.
#![allow(clippy::needless_range_loop, clippy::manual_memcpy)]

pub(crate) mod matrix;
mod smoothing;
mod through;

use super::ScanOp;
use crate::dynamics::{Squares, Structure};
use crate::error::{Error, Result};
use crate::scalar::Real;
use matrix::{add_transposed_product, multiply, solve, symmetrise};
pub(crate) use smoothing::Smoothing;

/// Composition of the steps of a Kalman filter, for the model
///
/// ```text
/// x_t = F_t x_{t−1} + u_t + noise of variance 1,    y_t = x_t + noise of variance 1/λ
/// ```
///
/// whose most probable trajectory is the solution of a damped least-squares problem,
///
/// ```text
/// min ½ Σ ‖x_t − F_t x_{t−1} − u_t‖² + (λ/2) Σ ‖x_t − y_t‖²
/// ```
///
/// a Levenberg–Marquardt step of [`Solver::elk`](crate::Solver::elk).
///
/// An element `[A, b, C, η, J]` says what a run of steps makes of the state `z` before it: the state after it is
/// normal with mean `A z + b` and variance `C`, and the observations within it have the log-likelihood
/// `ηᵀz − ½ zᵀJz`. `A`, `C` and `J` are row-major `n × n`, or the blocks along their diagonals: [`dense`](Self::dense),
/// [`diagonal`](Self::diagonal), [`blocks`](Self::blocks) of `k × k`, which are closed under combination. Width
/// `3nk + 2n`, with `k = n` where dense.
///
/// A combine, `i` before `j`, with `W = (I + C_i J_j)⁻¹`:
///
/// ```text
/// A = A_j W A_i    b = A_j W (b_i + C_i η_j) + b_j    C = A_j W C_i A_jᵀ + C_j
/// η = (W A_i)ᵀ (η_j − J_j b_i) + η_i    J = (W A_i)ᵀ J_j A_i + J_i
/// ```
///
/// about `16 n k²` flops. The scan, from [`pack_first`](Self::pack_first) on, gives in `b` and `C` the mean and
/// variance of `x_t` given `y_1..y_t`. The most probable trajectory needs what comes later too: the
/// [`smoothing`](Self::smoothing) elements `x_t = E_t x_{t+1} + g_t`, scanned from the end by
/// [`Opposite`](super::Opposite) affine maps.
///
/// Source: Särkkä and García-Fernández, *Temporal parallelization of Bayesian smoothers*, IEEE TAC 2021,
/// [arXiv:1905.13002](https://arxiv.org/abs/1905.13002).
///
/// # Example
/// ```
/// use deer_solver::{Cpu, scan::{AffineDense, KalmanFilter, Opposite}};
///
/// // x_t = x_{t−1} observed as 3, 0, 0: min ½ Σ (x_t − x_{t−1})² + ½ Σ (x_t − y_t)², x_0 = 0.
/// let op = KalmanFilter::dense(1);
/// let (f, u, y) = ([1.0], [0.0], [3.0, 0.0, 0.0]);
/// let mut filtered = vec![0.0; 3 * op.width()];
/// for (t, element) in filtered.chunks_mut(op.width()).enumerate() {
///     match t {
///         0 => op.pack_first(&u, &y[..1], 1.0, element),
///         _ => op.pack(&f, &u, &y[t..t + 1], 1.0, element),
///     }
/// }
/// Cpu::new().scan(&op, &mut filtered)?;
///
/// let mut smoothed = vec![0.0; 3 * 2]; // [E, g] each
/// for (t, element) in smoothed.chunks_mut(2).enumerate() {
///     let next = (t < 2).then_some((&f[..], &u[..]));
///     op.smoothing(&filtered[t * op.width()..][..op.width()], next, element);
/// }
/// Cpu::new().scan_reverse(&Opposite(AffineDense::new(1)), &mut smoothed)?;
/// let x: Vec<f64> = smoothed.chunks(2).map(|element| element[1]).collect();
/// // 3 x_1 − x_2 = 3, −x_1 + 3 x_2 − x_3 = 0, −x_2 + 2 x_3 = 0.
/// assert!((x[0] - 15.0 / 13.0).abs() < 1e-15 && (x[2] - 3.0 / 13.0).abs() < 1e-15);
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KalmanFilter {
    n: usize,
    structure: Structure,
}

/// The parts of an element.
struct Parts<'e, R> {
    a: &'e [R],
    b: &'e [R],
    c: &'e [R],
    eta: &'e [R],
    j: &'e [R],
}

impl KalmanFilter {
    /// For states of `n` components.
    pub fn dense(n: usize) -> Self {
        Self { n, structure: Structure::Dense }
    }

    /// For states of `n` components that do not mix.
    pub fn diagonal(n: usize) -> Self {
        Self { n, structure: Structure::Diagonal }
    }

    /// For states of `n` components that mix in blocks of `k` side by side.
    ///
    /// # Errors
    /// [`Error::Setting`] where `k` is 0 or does not divide `n`.
    pub fn blocks(n: usize, k: usize) -> Result<Self> {
        if k == 0 || !n.is_multiple_of(k) {
            return Err(Error::setting("k", format!("a divisor of n = {n}"), k));
        }
        Ok(Self { n, structure: Structure::Blocks { size: k, interleaved: false } })
    }

    /// With the matrices of `structure`, in its compact order.
    pub(crate) fn of(structure: Structure, n: usize) -> Self {
        Self { n, structure }
    }

    /// Numbers in one element.
    pub fn width(&self) -> usize {
        3 * self.entries() + 2 * self.n
    }

    /// Entries of one matrix, `nk`.
    pub fn entries(&self) -> usize {
        self.structure.entries(self.n)
    }

    /// Rows and entries of each block.
    fn squares(&self) -> Squares {
        self.structure.squares(self.n)
    }

    /// Rows of the largest block.
    fn largest(&self) -> usize {
        self.structure.block_size(self.n)
    }

    /// The element of a step: `f` is `F_t` in the operator's form, `u` and `y` are `[n]`, `λ ≥ 0`.
    pub fn pack<R: Real>(&self, f: &[R], u: &[R], y: &[R], lambda: f64, element: &mut [R]) {
        let (kappa, rest) = shares::<R>(lambda);
        let (a, b, c, eta, j) = self.parts_mut(element);
        eta.fill(R::default());
        j.fill(R::default());
        c.fill(R::default());
        for (i, b) in b.iter_mut().enumerate() {
            *b = u[i] + kappa * (y[i] - u[i]);
            c[self.structure.diagonal(self.n, i)] = rest;
        }
        for (rows, entries) in self.squares() {
            let size = rows.len();
            let f = &f[entries.clone()];
            for (a, &f) in a[entries.clone()].iter_mut().zip(f) {
                *a = rest * f;
            }
            let j = &mut j[entries];
            add_transposed_product(size, size, f, f, j);
            j.iter_mut().for_each(|j| *j *= kappa);
            let (y, u, eta) = (&y[rows.clone()], &u[rows.clone()], &mut eta[rows]);
            for k in 0..size {
                let difference = kappa * (y[k] - u[k]);
                for i in 0..size {
                    eta[i] += f[k * size + i] * difference;
                }
            }
        }
    }

    /// The element of the first step, after a known state: `mean` is `f_1(x_0)`.
    pub fn pack_first<R: Real>(&self, mean: &[R], y: &[R], lambda: f64, element: &mut [R]) {
        let (kappa, rest) = shares::<R>(lambda);
        element.fill(R::default());
        let (_, b, c, _, _) = self.parts_mut(element);
        for (i, b) in b.iter_mut().enumerate() {
            *b = mean[i] + kappa * (y[i] - mean[i]);
            c[self.structure.diagonal(self.n, i)] = rest;
        }
    }

    /// The mean `b` in an element: after a scan, that of `x_t` given all observations up to `t`.
    pub fn mean<'e, R: Real>(&self, element: &'e [R]) -> &'e [R] {
        self.parts(element).b
    }

    /// The variance `C` in an element.
    pub fn variance<'e, R: Real>(&self, element: &'e [R]) -> &'e [R] {
        self.parts(element).c
    }

    /// The affine map `x_t = E x_{t+1} + g` to the most probable `x_t`, as `[E, g]`, from the filtered element of `t` and the next
    /// step's `F` and `u`; of the last step, which has none, `E = 0` and `g` is the mean.
    ///
    /// ```text
    /// E = C Fᵀ (F C Fᵀ + I)⁻¹    g = b − E (F b + u)
    /// ```
    pub fn smoothing<R: Real>(
        &self,
        filtered: &[R],
        next: Option<(&[R], &[R])>,
        smoothing: &mut [R],
    ) {
        let (b, c) = (self.mean(filtered), self.variance(filtered));
        let (gain, g) = smoothing.split_at_mut(self.entries());
        let Some((f, u)) = next else {
            gain.fill(R::default());
            g.copy_from_slice(b);
            return;
        };
        let mut step = Smoothing::new(self.largest(), R::default());
        for (rows, entries) in self.squares() {
            step.predict(rows.len(), &f[entries.clone()], &c[entries.clone()]);
            let (b, u, f) = (&b[rows.clone()], &u[rows.clone()], &f[entries.clone()]);
            step.smooth(f, b, u, &mut gain[entries], &mut g[rows]);
        }
    }

    fn parts<'e, R>(&self, element: &'e [R]) -> Parts<'e, R> {
        let (a, rest) = element.split_at(self.entries());
        let (b, rest) = rest.split_at(self.n);
        let (c, rest) = rest.split_at(self.entries());
        let (eta, j) = rest.split_at(self.n);
        Parts { a, b, c, eta, j }
    }

    #[allow(clippy::type_complexity)]
    fn parts_mut<'e, R>(
        &self,
        element: &'e mut [R],
    ) -> (&'e mut [R], &'e mut [R], &'e mut [R], &'e mut [R], &'e mut [R]) {
        let (a, rest) = element.split_at_mut(self.entries());
        let (b, rest) = rest.split_at_mut(self.n);
        let (c, rest) = rest.split_at_mut(self.entries());
        let (eta, j) = rest.split_at_mut(self.n);
        (a, b, c, eta, j)
    }
}

impl<R: Real> ScanOp<R> for KalmanFilter {
    fn width(&self) -> usize {
        KalmanFilter::width(self)
    }

    fn identity(&self, out: &mut [R]) {
        out.fill(R::default());
        for i in 0..self.n {
            out[self.structure.diagonal(self.n, i)] = R::one();
        }
    }

    /// `I + C_i J_j`, the right-hand sides of its systems, and a product.
    fn workspace(&self) -> usize {
        let size = self.largest();
        size * size + 2 * size * (2 * size + 1) + size
    }

    fn combine(&self, earlier: &[R], later: &[R], out: &mut [R], work: &mut [R]) {
        let (i, j) = (self.parts(earlier), self.parts(later));
        let (out_a, out_b, out_c, out_eta, out_j) = self.parts_mut(out);
        for (rows, entries) in self.squares() {
            let (size, square) = (rows.len(), entries.len());
            let columns = 2 * size + 1;
            let (matrix, work) = work.split_at_mut(square);
            let (right, work) = work.split_at_mut(size * columns);
            let (product, left) = work.split_at_mut(size * columns);
            let (a_i, a_j) = (&i.a[entries.clone()], &j.a[entries.clone()]);
            let (c_i, j_j) = (&i.c[entries.clone()], &j.j[entries.clone()]);
            one_plus_product(size, c_i, j_j, matrix);
            // Columns: W A_i, W C_i, W (b_i + C_i η_j).
            for row in 0..size {
                let right = &mut right[row * columns..(row + 1) * columns];
                let c_row = &c_i[row * size..(row + 1) * size];
                right[..size].copy_from_slice(&a_i[row * size..(row + 1) * size]);
                right[size..2 * size].copy_from_slice(c_row);
                right[2 * size] = i.b[rows.start + row] + dot(c_row, &j.eta[rows.clone()]);
            }
            solve(size, columns, matrix, right);
            multiply(size, columns, a_j, right, product);
            for row in 0..size {
                let product = &product[row * columns..(row + 1) * columns];
                out_a[entries.clone()][row * size..(row + 1) * size]
                    .copy_from_slice(&product[..size]);
                out_b[rows.start + row] = product[2 * size] + j.b[rows.start + row];
                for k in 0..size {
                    let entry = entries.start + row * size + k;
                    out_c[entry] =
                        dot(&product[size..2 * size], &a_j[k * size..(k + 1) * size]) + j.c[entry];
                }
                // η_j − J_j b_i
                left[row] = j.eta[rows.start + row]
                    - dot(&j_j[row * size..(row + 1) * size], &i.b[rows.clone()]);
            }
            symmetrise(size, &mut out_c[entries.clone()]);
            // W A_i, without the other columns.
            for row in 1..size {
                right.copy_within(row * columns..row * columns + size, row * size);
            }
            let solved = &right[..square];
            multiply(size, size, j_j, a_i, &mut product[..square]);
            out_j[entries.clone()].copy_from_slice(&i.j[entries.clone()]);
            out_eta[rows.clone()].copy_from_slice(&i.eta[rows.clone()]);
            add_transposed_product(size, size, solved, product, &mut out_j[entries.clone()]);
            add_transposed_product(size, 1, solved, left, &mut out_eta[rows]);
            symmetrise(size, &mut out_j[entries]);
        }
    }
}

/// κ = λ/(1 + λ), the share of an observation in a mean, and 1 − κ.
pub(crate) fn shares<R: Real>(lambda: f64) -> (R, R) {
    let rest = 1.0 / (1.0 + lambda);
    (R::from_f64(lambda * rest), R::from_f64(rest))
}

fn dot<R: Real>(a: &[R], b: &[R]) -> R {
    a.iter().zip(b).fold(R::default(), |sum, (&a, &b)| sum + a * b)
}

/// `out = I + left · right`
fn one_plus_product<R: Real>(n: usize, left: &[R], right: &[R], out: &mut [R]) {
    multiply(n, n, left, right, out);
    for i in 0..n {
        out[i * (n + 1)] += R::one();
    }
}
