//! Roots of systems of equations.
//!
//! [`newton()`] finds `x` with `F(x; θ) = 0` for a dense [`System`] of moderate size. It costs one Jacobian, by dual numbers, and one
//! factorisation an iteration, O(n³). What it returns says whether it is a root.
//!
//! # Example
//! ```
//! use deer_solver::root::{self, System};
//! use deer_solver::scalar::{Param, Scalar};
//! use ndarray::array;
//!
//! /// A circle and a parabola.
//! struct Crossing;
//!
//! impl System for Crossing {
//!     type Real = f64;
//!     fn dim(&self) -> usize { 2 }
//!     fn residual<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], r: &mut [S]) {
//!         r[0] = x[0] * x[0] + x[1] * x[1] - 2.0;
//!         r[1] = x[1] - x[0] * x[0];
//!     }
//! }
//!
//! let root = root::newton(&Crossing, array![3.0, 0.5].view(), &root::Options::default())?;
//! assert!(root.converged());
//! assert!((root.solution()[0] - 1.0).abs() < 1e-12);
//! # Ok::<(), deer_solver::Error>(())
//! ```

mod linear;
mod newton;

use crate::error::{Error, Result};
use crate::scalar::{Param, Real, Scalar};
use ndarray::{Array1, ArrayView1};

pub use newton::newton;
pub(crate) use newton::{jacobian, residual};

/// Whether a matrix `[n, n]`, row-major, is singular to working precision.
pub(crate) fn is_singular(matrix: &[f64], n: usize) -> bool {
    linear::solve(matrix, &vec![0.0; n]).is_none()
}

/// As many equations as unknowns: `F(x; θ) = 0`. The rules for a [step](crate::Dynamics::step) hold.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a system of equations",
    note = "implement `root::System` for it: `dim` and a generic `residual`"
)]
pub trait System {
    /// The precision: `f32` or `f64`.
    type Real: Real;

    /// Number `n` of equations and unknowns.
    fn dim(&self) -> usize;

    /// The parameters θ.
    fn params(&self) -> &[Self::Real] {
        &[]
    }

    /// Extra entries at the end of `r` that `residual` may use as its own workspace.
    fn scratch_dim(&self) -> usize {
        0
    }

    /// `F`: reads `params` and `x` `[n]`, writes all of `r[..n]`. `r` has `n + scratch_dim` entries.
    fn residual<S: Scalar<Real = Self::Real>>(&self, params: &[Param<S>], x: &[S], r: &mut [S]);
}

/// Settings of [`newton()`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Absolute tolerance, in the units of the residual. None means 4096 ε: 9e-13 in `f64`, 5e-4 in `f32`.
    pub atol: Option<f64>,
    /// Relative tolerance. An `x` is a root where `|F_i| ≤ atol + rtol · Σ_j |∂F_i/∂x_j| |x_j|` for every `i`. Default 0.
    pub rtol: f64,
    /// Iterations allowed. Default 100.
    pub max_iterations: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { atol: None, rtol: 0.0, max_iterations: 100 }
    }
}

impl Options {
    /// Sets [`atol`](Self::atol) and [`rtol`](Self::rtol).
    pub fn tolerance(mut self, atol: f64, rtol: f64) -> Self {
        (self.atol, self.rtol) = (Some(atol), rtol);
        self
    }

    /// Sets [`max_iterations`](Self::max_iterations).
    pub fn max_iterations(mut self, iterations: usize) -> Self {
        self.max_iterations = iterations;
        self
    }

    fn check(&self) -> Result<()> {
        for (setting, value) in [("atol", self.atol.unwrap_or(0.0)), ("rtol", self.rtol)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::setting(setting, "a finite number, at least 0", value));
            }
        }
        Ok(())
    }
}

/// Why the iteration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Termination {
    /// The residual is within the tolerance.
    Converged,
    /// No direction makes the residual smaller, yet it is not within the tolerance: a minimum, or another stationary point, of `|F|` that is
    /// no root, or rounding. Another guess may do.
    Stationary,
    /// The number of iterations allowed ran out first.
    IterationLimit,
    /// The residual or its Jacobian is not finite at the guess.
    NonFinite,
}

/// Where the iteration ended.
#[derive(Clone, Debug)]
pub struct Root<R> {
    solution: Array1<R>,
    residual: Array1<R>,
    iterations: usize,
    termination: Termination,
}

impl<R: Real> Root<R> {
    /// The last `x` `[n]`: a root if [`converged`](Self::converged).
    pub fn solution(&self) -> ArrayView1<'_, R> {
        self.solution.view()
    }

    /// `F` there, `[n]`.
    pub fn residual(&self) -> ArrayView1<'_, R> {
        self.residual.view()
    }

    /// Steps taken.
    pub fn iterations(&self) -> usize {
        self.iterations
    }

    /// Why the iteration ended.
    pub fn termination(&self) -> Termination {
        self.termination
    }

    /// Whether the residual is within the tolerance.
    pub fn converged(&self) -> bool {
        self.termination == Termination::Converged
    }
}
