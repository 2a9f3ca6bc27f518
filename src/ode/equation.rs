//! The explicit form of an equation.

use crate::scalar::{Param, Real, Scalar};

/// An ordinary differential equation `ẏ = g(t, y, u; θ)`.
///
/// State `y` of length `n` = [`state_dim`](Self::state_dim), input `u(t)` of length `m` =
/// [`input_dim`](Self::input_dim), parameters θ as one flat slice.
///
/// [`rhs`](Self::rhs) is generic over its [`Scalar`], under the same rules as
/// [`Dynamics::step`](crate::Dynamics::step): no branches on values, and `#[inline(always)]` on it and on every helper
/// that it calls.
///
/// # Example
/// ```
/// use deer_solver::ode::Ode;
/// use deer_solver::scalar::{Constant, Param, Scalar};
///
/// /// Van der Pol's oscillator.
/// struct VanDerPol { mu: f64 }
///
/// impl Ode for VanDerPol {
///     type Real = f64;
///     fn state_dim(&self) -> usize { 2 }
///     #[inline(always)]
///     fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _t: S, y: &[S], _: &[S], dy: &mut [S]) {
///         dy[0] = y[1];
///         dy[1] = (Constant(1.0) - y[0] * y[0]) * y[1] * self.mu - y[0];
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an ordinary differential equation",
    note = "implement `Ode` for it: `state_dim` and a generic `rhs`"
)]
pub trait Ode: Sync {
    /// The precision: `f32` or `f64`.
    type Real: Real;

    /// Length `n` of the state.
    fn state_dim(&self) -> usize;

    /// Length `m` of the input at one time.
    fn input_dim(&self) -> usize {
        0
    }

    /// The parameters θ that derivatives are taken with respect to.
    fn params(&self) -> &[Self::Real] {
        &[]
    }

    /// Extra entries at the end of `dy` that `rhs` may use as its own workspace. What they hold at
    /// its start is unspecified.
    fn scratch_dim(&self) -> usize {
        0
    }

    /// The right-hand side: reads `params`, the time `t`, `y` `[n]` and `u` `[m]`, writes all of `dy[..n]`.
    ///
    /// `dy` has `n + scratch_dim` entries.
    fn rhs<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        t: S,
        y: &[S],
        u: &[S],
        dy: &mut [S],
    );
}

impl<O: Ode> Ode for &O {
    type Real = O::Real;
    fn state_dim(&self) -> usize {
        O::state_dim(self)
    }
    fn input_dim(&self) -> usize {
        O::input_dim(self)
    }
    fn params(&self) -> &[Self::Real] {
        O::params(self)
    }
    fn scratch_dim(&self) -> usize {
        O::scratch_dim(self)
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        t: S,
        y: &[S],
        u: &[S],
        dy: &mut [S],
    ) {
        O::rhs(self, params, t, y, u, dy)
    }
}
