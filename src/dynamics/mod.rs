//! The recurrence.

pub(crate) mod chord;
pub(crate) mod compact;
pub(crate) mod course;
mod delayed;
pub(crate) mod elimination;
mod extrapolation;
mod implicit;
pub(crate) mod linearized;
pub(crate) mod newton;
mod order;
pub(crate) mod packing;
pub(crate) mod recurrence;
mod residual;
mod structure;

use crate::cells::{BuiltIn, ByHand};
use crate::scalar::{Isa, Param, Real, Scalar};
use recurrence::step_in_order;

pub use delayed::{Delayed, DelayedStep};
pub use implicit::Implicit;
pub use order::Order;
pub use recurrence::Recurrence;
pub use residual::Residual;
pub use structure::Structure;
pub(crate) use structure::{Row, Squares};

/// A nonlinear recurrence `x_t = f(x_{t−1}, u_t; θ)`.
///
/// State `x` of length `n` = [`state_dim`](Self::state_dim), input `u` of length `m` =
/// [`input_dim`](Self::input_dim), parameters θ as one flat slice.
///
/// [`step`](Self::step) is generic over its [`Scalar`]: the same text runs one number at a time, on
/// SIMD lanes over time, and on dual numbers for derivatives. Mark it, and every helper it
/// calls, `#[inline(always)]`: a function left out of line is compiled without the machine's vector
/// instructions.
///
/// # Example
/// ```
/// use deer_solver::{Dynamics, scalar::{Param, Scalar}};
///
/// /// A leaky integrator with a saturating input: x' = a·x + tanh(u).
/// struct Leaky { theta: [f64; 1] }
///
/// impl Dynamics for Leaky {
///     type Real = f64;
///     fn state_dim(&self) -> usize { 1 }
///     fn input_dim(&self) -> usize { 1 }
///     fn params(&self) -> &[f64] { &self.theta }
///     #[inline(always)]
///     fn step<S: Scalar<Real = f64>>(&self, p: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
///         next[0] = x[0] * p[0] + u[0].tanh();
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a recurrence",
    note = "implement `Dynamics` for it: `state_dim` and a generic `step`"
)]
pub trait Dynamics: Sync {
    /// The precision: `f32` or `f64`.
    type Real: Real;

    /// Length `n` of the state.
    fn state_dim(&self) -> usize;

    /// Length `m` of one step's input.
    fn input_dim(&self) -> usize {
        0
    }

    /// The parameters θ that derivatives are taken with respect to.
    fn params(&self) -> &[Self::Real] {
        &[]
    }

    /// Extra entries at the end of `next` that a step may use as its own workspace. What they
    /// hold at the start of a step is unspecified.
    fn scratch_dim(&self) -> usize {
        0
    }

    /// One step: reads `params`, `x` `[n]` and `u` `[m]`, writes all of `next[..n]`.
    ///
    /// `next` has `n + scratch_dim` entries.
    fn step<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        next: &mut [S],
    );

    /// Which entries of `∂f/∂x` can differ from zero. A wrong claim gives wrong Newton
    /// updates, hence slow convergence, but never a wrong solution.
    fn structure(&self) -> Structure {
        Structure::Dense
    }

    /// A hand-written Jacobian: writes the step's value to `next` and `∂f/∂x` to `jacobian`, in the
    /// compact form of [`structure`](Self::structure) (blocks one after the other, each row-major;
    /// dense: `[n, n]` row-major), and returns true. The default returns false: dual numbers then
    /// give the derivative.
    fn jacobian<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        jacobian: &mut [S],
    ) -> bool {
        let _ = (params, x, u, next, jacobian);
        false
    }

    /// A hand-written diagonal of the Jacobian: writes the step's value to `next` and
    /// `∂f_i/∂x_i` to `diagonal` `[n]`, and returns true. The default returns false: dual numbers
    /// then give it, at the price of the whole Jacobian.
    fn jacobian_diagonal<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        diagonal: &mut [S],
    ) -> bool {
        let _ = (params, x, u, next, diagonal);
        false
    }

    /// Runs one sequence in order with the parameters `params`: from `x` `[n]` through `inputs` `[T, m]` to `states` `[T, n]`, both
    /// row-major, leaving the last state in `x`. `steps` is `T`.
    ///
    /// The default calls [`step`](Self::step) on single numbers. A cell whose step is wide may
    /// vectorise inside the step here, and say so in [`units_in_lanes`](Self::units_in_lanes); the result must be
    /// the same to rounding.
    #[doc(hidden)]
    #[inline(always)]
    fn run_in_order<I: Isa>(
        &self,
        params: &[Self::Real],
        x: &mut [Self::Real],
        inputs: &[Self::Real],
        states: &mut [Self::Real],
        steps: usize,
    ) {
        step_in_order::<Self, I>(self, params, x, inputs, states, steps);
    }

    /// The cell that this is, for backends with kernels for it; none for others.
    #[doc(hidden)]
    fn built_in(&self) -> Option<BuiltIn> {
        None
    }

    /// Whether [`run_in_order`](Self::run_in_order) vectorises inside the step.
    #[doc(hidden)]
    fn units_in_lanes(&self) -> bool {
        false
    }

    /// The transposed derivative of the step, where it is written by hand; none where it is to be made from the step's graph.
    #[doc(hidden)]
    fn by_hand(&self) -> Option<ByHand> {
        None
    }

    /// A recurrence whose longer steps lead about where many steps of this one do, to be run on inputs made by
    /// [`coarsen`](Self::coarsen), and the power of the step in its error; none where there is none.
    #[doc(hidden)]
    fn coarser(&self) -> Option<(Self, u32)>
    where
        Self: Sized,
    {
        None
    }

    /// Writes to `coarse` `[steps, m]` the inputs of `steps` steps of [`coarser`](Self::coarser) that lead over the same time
    /// as the steps with `inputs` `[T, m]`, `steps` ≤ T.
    #[doc(hidden)]
    fn coarsen(&self, inputs: &[Self::Real], steps: usize, coarse: &mut [Self::Real]) {
        let _ = (inputs, steps, coarse);
    }
}

impl<D: Dynamics> Dynamics for &D {
    type Real = D::Real;
    fn state_dim(&self) -> usize {
        D::state_dim(self)
    }
    fn input_dim(&self) -> usize {
        D::input_dim(self)
    }
    fn params(&self) -> &[Self::Real] {
        D::params(self)
    }
    fn scratch_dim(&self) -> usize {
        D::scratch_dim(self)
    }
    #[inline(always)]
    fn step<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        next: &mut [S],
    ) {
        D::step(self, params, x, u, next)
    }
    fn structure(&self) -> Structure {
        D::structure(self)
    }
    #[inline(always)]
    fn jacobian<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        jacobian: &mut [S],
    ) -> bool {
        D::jacobian(self, params, x, u, next, jacobian)
    }
    #[inline(always)]
    fn jacobian_diagonal<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        diagonal: &mut [S],
    ) -> bool {
        D::jacobian_diagonal(self, params, x, u, next, diagonal)
    }
    #[inline(always)]
    fn run_in_order<I: Isa>(
        &self,
        params: &[Self::Real],
        x: &mut [Self::Real],
        inputs: &[Self::Real],
        states: &mut [Self::Real],
        steps: usize,
    ) {
        D::run_in_order::<I>(self, params, x, inputs, states, steps)
    }
    fn built_in(&self) -> Option<BuiltIn> {
        D::built_in(self)
    }
    fn units_in_lanes(&self) -> bool {
        D::units_in_lanes(self)
    }
    fn by_hand(&self) -> Option<ByHand> {
        D::by_hand(self)
    }
}
