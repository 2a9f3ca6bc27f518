//! The implicit form of an equation.

use crate::scalar::{Param, Real, Scalar};

/// A differential-algebraic equation `F(t, ẏ, y, u; θ) = 0`, fully implicit.
///
/// `F` has as many components as the state; those that do not involve `ẏ` are algebraic constraints, and
/// components of `y` whose derivative does not occur are algebraic variables. The rules for a step hold: see
/// [`Ode`](super::Ode).
///
/// # Example
/// ```
/// use deer_solver::ode::Dae;
/// use deer_solver::scalar::{Constant, Param, Scalar};
///
/// /// Decay of y₀ at the rate y₁, where y₁ + y₁³ = 2 y₀ is algebraic.
/// struct Decay;
///
/// impl Dae for Decay {
///     type Real = f64;
///     fn state_dim(&self) -> usize { 2 }
///     #[inline(always)]
///     fn residual<S: Scalar<Real = f64>>(
///         &self, _: &[Param<S>], _t: S, dy: &[S], y: &[S], _u: &[S], r: &mut [S],
///     ) {
///         r[0] = dy[0] + y[1];
///         r[1] = y[1] * (Constant(1.0) + y[1] * y[1]) - y[0] * 2.0;
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a differential-algebraic equation",
    note = "implement `Dae` for it: `state_dim` and a generic `residual`"
)]
pub trait Dae: Sync {
    /// The precision: `f32` or `f64`.
    type Real: Real;

    /// Length `n` of the state, and of the residual.
    fn state_dim(&self) -> usize;

    /// Length `m` of the input at one time.
    fn input_dim(&self) -> usize {
        0
    }

    /// The parameters θ that derivatives are taken with respect to.
    fn params(&self) -> &[Self::Real] {
        &[]
    }

    /// Extra entries at the end of `r` that `residual` may use as its own workspace. What they hold at
    /// its start is unspecified.
    fn scratch_dim(&self) -> usize {
        0
    }

    /// The residual `F`: reads `params`, the time `t`, `dy` `[n]`, `y` `[n]` and `u` `[m]`, writes all of `r[..n]`.
    ///
    /// `r` has `n + scratch_dim` entries.
    fn residual<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        t: S,
        dy: &[S],
        y: &[S],
        u: &[S],
        r: &mut [S],
    );
}

impl<F: Dae> Dae for &F {
    type Real = F::Real;
    fn state_dim(&self) -> usize {
        F::state_dim(self)
    }
    fn input_dim(&self) -> usize {
        F::input_dim(self)
    }
    fn params(&self) -> &[Self::Real] {
        F::params(self)
    }
    fn scratch_dim(&self) -> usize {
        F::scratch_dim(self)
    }
    #[inline(always)]
    fn residual<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        t: S,
        dy: &[S],
        y: &[S],
        u: &[S],
        r: &mut [S],
    ) {
        F::residual(self, params, t, dy, y, u, r)
    }
}
