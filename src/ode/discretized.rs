//! An equation on a grid: a recurrence.

use super::explicit::{self, Output};
use super::sampling::{Sampling, initial_state};
use super::{Ode, Scheme};
use crate::backend::Sweep;
use crate::dynamics::Dynamics;
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::scalar::{Param, Scalar};
use crate::solver::Solver;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayView3, Axis, CowArray, Ix1};
use std::fmt;

/// What inputs do between two points of the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Interpolation {
    /// `u(t) = u_k` for `t_k ≤ t < t_{k+1}`.
    Held,
    /// Straight from `u_k` to `u_{k+1}`.
    #[default]
    Linear,
}

/// The recurrence that an [`Ode`] becomes on a grid of times: `y_{k+1} = f(y_k; t_k, Δt_k, u)`.
///
/// For explicit schemes it is a [`Dynamics`] over the state `[n]` with the inputs `[t, Δt, u…]` of each step: the
/// time at its start, its length, and `u_k` where inputs are [held](Interpolation::Held), `u_k` and `u_{k+1}` where they
/// are [linear](Interpolation::Linear) in between. [`problem`](Self::problem) makes these from `u` on the grid. A solution then holds
/// the states at `times[1..]`, and its derivatives with respect to the inputs are those by `t`, `Δt` and `u`.
///
/// A grid of `T + 1` times gives `T` steps. [`Scheme::Rk4`] is written out for speed; other schemes run over their tableau.
///
/// # Example
/// See [`ode`](super).
pub struct Discretized<'a, O: Ode> {
    ode: &'a O,
    times: CowArray<'a, O::Real, Ix1>,
    scheme: Scheme,
    interpolation: Interpolation,
    output: Output,
}

impl<O: Ode> Clone for Discretized<'_, O> {
    fn clone(&self) -> Self {
        Self { times: self.times.clone(), ..*self }
    }
}

impl<O: Ode> fmt::Debug for Discretized<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discretized")
            .field("times", &self.times)
            .field("scheme", &self.scheme)
            .field("interpolation", &self.interpolation)
            .finish_non_exhaustive()
    }
}

impl<'a, O: Ode> Discretized<'a, O> {
    /// `ode` on the grid `times` (`[T + 1]`, owned or borrowed) by `scheme`.
    ///
    /// Whether they are fit for it is checked when a problem is made.
    pub fn new(ode: &'a O, times: impl Into<CowArray<'a, O::Real, Ix1>>, scheme: Scheme) -> Self {
        Self {
            ode,
            times: times.into(),
            scheme,
            interpolation: Interpolation::default(),
            output: Output::State,
        }
    }

    /// Sets what inputs do between two points of the grid; by default they are linear.
    pub fn interpolation(mut self, interpolation: Interpolation) -> Self {
        self.interpolation = interpolation;
        self
    }

    /// What leads to the error of a step instead of the state after it.
    pub(super) fn into_errors(self) -> Self {
        Self { output: Output::Error, ..self }
    }

    /// The equation.
    pub fn ode(&self) -> &'a O {
        self.ode
    }

    /// The grid, `[T + 1]`.
    pub fn times(&self) -> ArrayView1<'_, O::Real> {
        self.times.view()
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Inputs of the recurrence, `[T, 2 + m]` held or `[T, 2 + 2m]` linear, from `u` on the grid, `[T + 1, m]`. Of an equation
    /// without inputs, `u` may have any number of rows of length 0.
    ///
    /// # Errors
    /// Times that are not at least one, finite and strictly increasing; an implicit scheme; `u` of another shape, or with a number that is not finite.
    pub fn inputs(&self, u: ArrayView2<'_, O::Real>) -> Result<Array2<O::Real>> {
        self.check()?;
        self.sampling().inputs(self.times.view(), u)
    }

    /// The recurrence from `y0` `[n]` with the inputs `u` on the grid, `[T + 1, m]` (see [`inputs`](Self::inputs)).
    ///
    /// # Errors
    /// Those of [`inputs`](Self::inputs); `y0` of another length; a number that is not finite.
    pub fn problem(
        &self,
        y0: ArrayView1<'_, O::Real>,
        u: ArrayView2<'_, O::Real>,
    ) -> Result<Problem<'_, Self>> {
        let x0 = initial_state(y0, self.ode.state_dim(), 1)?;
        Problem::of_owned(self, x0.view(), vec![self.inputs(u)?])
    }

    /// A batch: `y0` `[B, n]`, `u` `[B, T + 1, m]`, all on the same grid.
    ///
    /// # Errors
    /// As for [`problem`](Self::problem).
    pub fn problem_batch(
        &self,
        y0: ArrayView2<'_, O::Real>,
        u: ArrayView3<'_, O::Real>,
    ) -> Result<Problem<'_, Self>> {
        self.check()?;
        let (x0, inputs) =
            self.sampling().batch(self.times.view(), y0, u, self.ode.state_dim(), 1)?;
        Problem::of_owned(self, x0.view(), inputs)
    }

    /// The error that each step makes from the state before it, as the embedded scheme tells: `Δt Σ (b_i − b̂_i) k_i`, `[T, n]`, in the units of the
    /// state. `states` `[T, n]` is the trajectory from `y0` with the inputs `u` (see [`problem`](Self::problem)), such as
    /// [`Solution::trajectory`](crate::Solution::trajectory) has it. All steps are looked at at once.
    ///
    /// # Errors
    /// A scheme other than [`Tsit5`](Scheme::Tsit5), which alone has an embedded one; those of [`problem`](Self::problem); `states` of another shape, or not
    /// finite but for the last; failure of the device.
    pub fn local_errors<B: Sweep<Self>>(
        &self,
        y0: ArrayView1<'_, O::Real>,
        u: ArrayView2<'_, O::Real>,
        states: ArrayView2<'_, O::Real>,
        backend: &B,
    ) -> Result<Array2<O::Real>> {
        if !explicit::has_error_estimate(self.scheme) {
            return Err(Error::setting(
                "scheme",
                "one with an embedded scheme (Tsit5)",
                self.scheme,
            ));
        }
        let (n, inputs) = (self.ode.state_dim(), self.inputs(u)?);
        initial_state(y0, n, 1)?;
        if states.dim() != (inputs.nrows(), n) {
            let expected = format!("[T = {}, n = {n}]", inputs.nrows());
            return Err(Error::shape("states", expected, states.shape()));
        }
        let starts = Array2::from_shape_fn(states.raw_dim(), |(k, j)| match k {
            0 => y0[j],
            _ => states[[k - 1, j]],
        });
        let own = self.clone().into_errors();
        // Every step is a sequence of a batch.
        let problem = Problem::batch(&own, starts.view(), inputs.view().insert_axis(Axis(1)))?;
        let errors = Solver::sequential().solve(&problem, backend)?;
        Ok(errors.into_states().index_axis_move(Axis(1), 0))
    }

    fn check(&self) -> Result<()> {
        if self.scheme.is_implicit() {
            return Err(Error::setting(
                "scheme",
                "an explicit one (ForwardEuler, Midpoint, Rk4 or Tsit5): a step of an implicit one is no `Dynamics`",
                self.scheme,
            ));
        }
        Ok(())
    }

    #[inline(always)]
    fn sampling(&self) -> Sampling {
        let (m, interpolation) = (self.ode.input_dim(), self.interpolation);
        Sampling { m, interpolation, ratio: false }
    }
}

/// For explicit schemes; the states of an implicit one are NaN.
impl<O: Ode> Dynamics for Discretized<'_, O> {
    type Real = O::Real;

    fn state_dim(&self) -> usize {
        self.ode.state_dim()
    }

    fn input_dim(&self) -> usize {
        self.sampling().columns()
    }

    fn params(&self) -> &[O::Real] {
        self.ode.params()
    }

    fn scratch_dim(&self) -> usize {
        let (n, m, scratch) = (self.ode.state_dim(), self.ode.input_dim(), self.ode.scratch_dim());
        explicit::scratch_dim(self.scheme, self.output, n, m, scratch)
    }

    #[inline(always)]
    fn step<S: Scalar<Real = O::Real>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        next: &mut [S],
    ) {
        let sample = self.sampling().of(u);
        explicit::step(self.ode, self.scheme, self.output, params, sample, x, next);
    }

    fn coarser(&self) -> Option<(Self, u32)> {
        let scheme = Scheme::Tsit5;
        let coarser = || Self {
            ode: self.ode,
            // Of its inputs `coarsen` takes care.
            times: Array1::default(0).into(),
            scheme,
            interpolation: self.interpolation,
            output: self.output,
        };
        (self.output == Output::State).then(|| (coarser(), scheme.order()))
    }

    fn coarsen(&self, inputs: &[O::Real], steps: usize, coarse: &mut [O::Real]) {
        self.sampling().coarsen(inputs, steps, coarse);
    }
}
