//! Steps that are given by an equation.

use super::compact::{self, MOST, Stages};
use super::linearized::{self, Room, System};
use crate::scalar::{Numeric, Param, Parameter, Real, Scalar};

/// A step that is defined by an equation: `F(z, x_{t−1}, u_t; θ) = 0` for the unknowns `z`, of which the next state is
/// made.
///
/// [`Implicit`](crate::Implicit) makes a recurrence of it. State `x` of length `n`, input `u` of length `m`, unknowns `z` of length
/// `k` = [`unknown_dim`](Self::unknown_dim), by default the next state itself. As with
/// [`Dynamics`](crate::Dynamics), every function is written once, generic over its [`Scalar`], and marked
/// `#[inline(always)]`.
///
/// # Example
/// ```
/// use deer_solver::{dynamics::Residual, scalar::{Param, Scalar}};
///
/// /// Backward Euler for y' = −y³ with a step of 0.1: z − x + 0.1 z³ = 0.
/// struct Decay;
///
/// impl Residual for Decay {
///     type Real = f64;
///     fn state_dim(&self) -> usize { 1 }
///     #[inline(always)]
///     fn residual<S: Scalar<Real = f64>>(&self, _: &[Param<S>], z: &[S], x: &[S], _: &[S], r: &mut [S]) {
///         r[0] = z[0] - x[0] + z[0].powi(3) * 0.1;
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the equation of a step",
    note = "implement `Residual` for it: `state_dim` and a generic `residual`"
)]
pub trait Residual: Sync {
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

    /// Unknowns of a step, and equations.
    fn unknown_dim(&self) -> usize {
        self.state_dim()
    }

    /// Extra entries at the end of `r` that [`residual`](Self::residual) may use as its own workspace. What they hold
    /// at the start is unspecified.
    fn scratch_dim(&self) -> usize {
        0
    }

    /// Writes `F(z, x, u; θ)` to `r[..k]`: reads `params`, `z` `[k]`, `x` `[n]`, `u` `[m]`.
    ///
    /// `r` has `k + scratch_dim` entries.
    fn residual<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        z: &[S],
        x: &[S],
        u: &[S],
        r: &mut [S],
    );

    /// Writes the state `[n]` that the unknowns `z` make to `next`. The default takes the first `n` of them.
    #[inline(always)]
    fn state<S: Scalar<Real = Self::Real>>(&self, z: &[S], x: &[S], u: &[S], next: &mut [S]) {
        let _ = (x, u);
        let n = next.len();
        next.copy_from_slice(&z[..n]);
    }

    /// Writes to `z` `[k]` what Newton's method starts from. The default repeats the state before the step.
    #[inline(always)]
    fn guess<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        z: &mut [S],
    ) {
        let _ = (params, u);
        for (i, z) in z.iter_mut().enumerate() {
            *z = x[i % x.len()];
        }
    }

    /// Whether [`prepare`](Self::prepare) has a part in `F`.
    #[doc(hidden)]
    #[inline(always)]
    fn prepares(&self) -> bool {
        false
    }

    /// Writes to `known` `[n]` what [`evaluate`](Self::evaluate) leaves to be subtracted from each stage of `z`, `work` being `[k + scratch]`.
    #[doc(hidden)]
    #[inline(always)]
    fn prepare<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        known: &mut [S],
        work: &mut [S],
    ) {
        let _ = (params, x, u, known, work);
    }

    /// Writes `F` at `z` to the first `k` of `r` `[k + scratch]`. Where it [`prepares`](Self::prepares), it does so without `z` itself and what is
    /// known, and `x` may be anything.
    #[doc(hidden)]
    #[inline(always)]
    fn evaluate<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        z: &[S],
        x: &[S],
        u: &[S],
        r: &mut [S],
    ) {
        self.residual(params, z, x, u, r);
    }

    /// Writes `F` and its derivatives at `z`, for the state `x` and the input `u`, which `room` has too.
    #[doc(hidden)]
    #[inline(always)]
    fn linearize<P: Numeric<Real = Self::Real, Plain = P>>(
        &self,
        params: &[Parameter<Self::Real>],
        z: &[P],
        x: &[P],
        u: &[P],
        room: &mut Room<P>,
        system: System<'_, P>,
    ) where
        Self: Sized,
    {
        let _ = u;
        linearized::linearize(self, params, z, x, room, system);
    }

    /// Stages of up to two unknowns each, 1 or 3, that [`linearize_stages`](Self::linearize_stages) is for; 0 where it is not.
    #[doc(hidden)]
    #[inline(always)]
    fn stages(&self) -> usize
    where
        Self: Sized,
    {
        compact::stages(self)
    }

    /// Unknowns of a stage, where there are any.
    #[doc(hidden)]
    #[inline(always)]
    fn stage_dim(&self) -> usize {
        self.unknown_dim()
    }

    /// Whether [`linearize_stages`](Self::linearize_stages) wants the state and the input in its `room`.
    #[doc(hidden)]
    #[inline(always)]
    fn lifts(&self) -> bool {
        true
    }

    /// `F` and `∂F/∂z` at `z`, stage by stage, for the state `x` and the input `u`, which `room` may have too.
    #[doc(hidden)]
    #[inline(always)]
    fn linearize_stages<P: Numeric<Real = Self::Real, Plain = P>, const S: usize>(
        &self,
        params: &[Parameter<Self::Real>],
        z: &[P; MOST],
        x: &[P],
        u: &[P],
        room: &mut Room<P>,
    ) -> Stages<P, S>
    where
        Self: Sized,
    {
        let _ = (x, u);
        compact::linearize(self, params, z, room)
    }

    /// How many unknowns [`linearize`](Self::linearize) varies one after the other.
    #[doc(hidden)]
    fn independent_dim(&self) -> usize {
        self.unknown_dim()
    }

    /// Whether what the guess lacked in the steps before is to correct it. The unknowns then depend, by their rounding, on these steps.
    #[doc(hidden)]
    fn learns(&self) -> bool {
        true
    }

    /// Whether Newton's method may go on with the matrix of an earlier step.
    #[doc(hidden)]
    #[inline(always)]
    fn may_keep_matrix(&self) -> bool
    where
        Self: Sized,
    {
        self.stages() == 0 && self.learns()
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

    /// The same with explicit steps, which are cheaper, where the equation is not [strained](Self::strain) by their length.
    #[doc(hidden)]
    fn coarser_explicit(&self) -> Option<(Self, u32)>
    where
        Self: Sized,
    {
        None
    }

    /// Where a step is not an equation but explicit, the entries of workspace that [`advance`](Self::advance) needs.
    #[doc(hidden)]
    #[inline(always)]
    fn explicit(&self) -> Option<usize> {
        None
    }

    /// An explicit step: writes the next state to `next` `[n + workspace]`. It stands for steps of `short` that are as many times as long as
    /// the number beside it, if that is given and it [can](Self::stands_for).
    #[doc(hidden)]
    #[inline(always)]
    fn advance<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        short: Option<(&Self, S)>,
        next: &mut [S],
    ) {
        let _ = (params, x, u, short, next);
    }

    /// Whether an explicit step can stand for many of `short` all by itself.
    #[doc(hidden)]
    fn stands_for(&self, short: &Self) -> bool {
        let _ = short;
        false
    }

    /// About how many time constants of the fastest component a step from `x` takes, for a state whose components are of `sizes`.
    #[doc(hidden)]
    fn strain(
        &self,
        params: &[Parameter<Self::Real>],
        x: &[Self::Real],
        u: &[Self::Real],
        sizes: &[f64],
    ) -> f64 {
        let _ = (params, x, u, sizes);
        0.0
    }

    /// This equation, if its steps of length `h` miss by a series in `h` that begins with the power `p` given beside it: 1, or 2 where the
    /// series has even powers only.
    #[doc(hidden)]
    fn extrapolated(&self) -> Option<(Self, u32)>
    where
        Self: Sized,
    {
        None
    }

    /// Writes to `part` the input of the one numbered `index` of `count` equal steps over the time of the one with the input `u`.
    #[doc(hidden)]
    #[inline(always)]
    fn divide_input<S: Scalar<Real = Self::Real>>(
        &self,
        u: &[S],
        index: usize,
        count: usize,
        part: &mut [S],
    ) {
        let _ = (index, count);
        part.copy_from_slice(u);
    }

    /// Writes to `coarse` `[steps, m]` the inputs of `steps` steps of [`coarser`](Self::coarser) that lead over the same time
    /// as the steps with `inputs` `[T, m]`, `steps` ≤ T.
    #[doc(hidden)]
    fn coarsen(&self, inputs: &[Self::Real], steps: usize, coarse: &mut [Self::Real]) {
        let _ = (inputs, steps, coarse);
    }
}

impl<F: Residual> Residual for &F {
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
    fn unknown_dim(&self) -> usize {
        F::unknown_dim(self)
    }
    fn scratch_dim(&self) -> usize {
        F::scratch_dim(self)
    }
    #[inline(always)]
    fn residual<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        z: &[S],
        x: &[S],
        u: &[S],
        r: &mut [S],
    ) {
        F::residual(self, params, z, x, u, r);
    }
    #[inline(always)]
    fn state<S: Scalar<Real = Self::Real>>(&self, z: &[S], x: &[S], u: &[S], next: &mut [S]) {
        F::state(self, z, x, u, next);
    }
    #[inline(always)]
    fn guess<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        z: &mut [S],
    ) {
        F::guess(self, params, x, u, z);
    }
    #[inline(always)]
    fn prepare<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        known: &mut [S],
        work: &mut [S],
    ) {
        F::prepare(self, params, x, u, known, work);
    }
    #[inline(always)]
    fn evaluate<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        z: &[S],
        x: &[S],
        u: &[S],
        r: &mut [S],
    ) {
        F::evaluate(self, params, z, x, u, r);
    }
    fn prepares(&self) -> bool {
        F::prepares(self)
    }
    #[inline(always)]
    fn linearize<P: Numeric<Real = Self::Real, Plain = P>>(
        &self,
        params: &[Parameter<Self::Real>],
        z: &[P],
        x: &[P],
        u: &[P],
        room: &mut Room<P>,
        system: System<'_, P>,
    ) {
        F::linearize(self, params, z, x, u, room, system);
    }
    fn stages(&self) -> usize {
        F::stages(self)
    }
    #[inline(always)]
    fn stage_dim(&self) -> usize {
        F::stage_dim(self)
    }
    #[inline(always)]
    fn lifts(&self) -> bool {
        F::lifts(self)
    }
    #[inline(always)]
    fn linearize_stages<P: Numeric<Real = Self::Real, Plain = P>, const S: usize>(
        &self,
        params: &[Parameter<Self::Real>],
        z: &[P; MOST],
        x: &[P],
        u: &[P],
        room: &mut Room<P>,
    ) -> Stages<P, S> {
        F::linearize_stages(self, params, z, x, u, room)
    }
    fn independent_dim(&self) -> usize {
        F::independent_dim(self)
    }
    fn learns(&self) -> bool {
        F::learns(self)
    }
    fn may_keep_matrix(&self) -> bool {
        F::may_keep_matrix(self)
    }
}
