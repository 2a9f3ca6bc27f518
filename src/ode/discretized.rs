//! An equation on a grid: a recurrence.

use super::explicit::{self, Interval, Output};
use super::sampling::Sampling;
use super::{Ode, Scheme, grid};
use crate::dynamics::Dynamics;
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::scalar::{Param, Scalar};
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayView3, Axis, CowArray, Ix1};
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

    pub(super) fn with_output(mut self, output: Output) -> Self {
        self.output = output;
        self
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
    /// Times that are not at least one, finite and strictly increasing; an implicit scheme; `u` of another shape.
    pub fn inputs(&self, u: ArrayView2<'_, O::Real>) -> Result<Array2<O::Real>> {
        self.check()?;
        let m = self.ode.input_dim();
        if u.ncols() != m || m > 0 && u.nrows() != self.times.len() {
            let expected = format!("[times = {}, m = {m}]", self.times.len());
            return Err(Error::shape("u", expected, u.shape()));
        }
        let mut inputs = Array2::default((self.times.len() - 1, self.input_dim()));
        self.fill(u, inputs.view_mut());
        Ok(inputs)
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
        let n = self.ode.state_dim();
        if y0.len() != n {
            return Err(Error::shape("y0", format!("[n = {n}]"), y0.shape()));
        }
        finite("y0", y0.iter(), |entry| vec![entry])?;
        let m = self.ode.input_dim();
        let inputs = self.inputs(u)?;
        finite("u", u.iter(), |entry| vec![entry / m, entry % m])?;
        Problem::of_owned(self, y0.insert_axis(Axis(0)), vec![inputs])
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
        let (n, m, batch) = (self.ode.state_dim(), self.ode.input_dim(), y0.nrows());
        if y0.ncols() != n {
            return Err(Error::shape("y0", format!("[B, n = {n}]"), y0.shape()));
        }
        finite("y0", y0.iter(), |entry| vec![entry / n, entry % n])?;
        if u.len_of(Axis(0)) != batch {
            let expected = format!("[B = {batch}, times = {}, m = {m}]", self.times.len());
            return Err(Error::shape("u", expected, u.shape()));
        }
        let per_sequence = u.len_of(Axis(1)) * m;
        finite("u", u.iter(), |entry| {
            vec![entry / per_sequence, entry % per_sequence / m, entry % m]
        })?;
        let inputs: Result<Vec<_>> = u.outer_iter().map(|u| self.inputs(u)).collect();
        Problem::of_owned(self, y0, inputs?)
    }

    fn check(&self) -> Result<()> {
        grid::check(self.times.view())?;
        if self.scheme.is_implicit() {
            return Err(Error::setting(
                "scheme",
                "an explicit one (ForwardEuler, Midpoint, Rk4 or Tsit5): a step of an implicit one is no `Dynamics`",
                self.scheme,
            ));
        }
        Ok(())
    }

    /// Columns of `u` in an input.
    fn columns(&self) -> usize {
        match self.interpolation {
            Interpolation::Held => self.ode.input_dim(),
            Interpolation::Linear => 2 * self.ode.input_dim(),
        }
    }

    fn fill(&self, u: ArrayView2<'_, O::Real>, mut inputs: ndarray::ArrayViewMut2<'_, O::Real>) {
        let (m, columns) = (self.ode.input_dim(), self.columns());
        for (k, mut input) in inputs.outer_iter_mut().enumerate() {
            input[0] = self.times[k];
            input[1] = self.times[k + 1] - self.times[k];
            for j in 0..columns {
                input[2 + j] = u[[k + j / m, j % m]];
            }
        }
    }
}

/// An error if one of `values` is not a number that is finite.
fn finite<'v, R: crate::Real>(
    argument: &'static str,
    mut values: impl Iterator<Item = &'v R>,
    index: impl Fn(usize) -> Vec<usize>,
) -> Result<()> {
    let mut value = R::default();
    let found = values.position(|&x| {
        value = x;
        !x.is_finite()
    });
    match found {
        None => Ok(()),
        Some(entry) => {
            Err(Error::NonFinite { argument, index: index(entry), value: value.to_f64() })
        }
    }
}

/// For explicit schemes; the states of an implicit one are NaN.
impl<O: Ode> Dynamics for Discretized<'_, O> {
    type Real = O::Real;

    fn state_dim(&self) -> usize {
        self.ode.state_dim()
    }

    fn input_dim(&self) -> usize {
        2 + self.columns()
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
        let m = self.ode.input_dim();
        let to = match self.interpolation {
            Interpolation::Held => 2..2 + m,
            Interpolation::Linear => 2 + m..2 + 2 * m,
        };
        let interval = Interval { t: u[0], dt: u[1], from: &u[2..2 + m], to: &u[to] };
        explicit::step(self.ode, self.scheme, self.output, params, interval, x, next);
    }

    fn coarser(&self) -> Option<(Self, u32)> {
        let scheme = Scheme::Tsit5;
        let coarser = || (Self { scheme, ..self.clone() }, scheme.order());
        (self.output == Output::State).then(coarser)
    }

    fn coarsen(&self, inputs: &[O::Real], steps: usize, coarse: &mut [O::Real]) {
        let (m, interpolation) = (self.ode.input_dim(), self.interpolation);
        Sampling { m, interpolation, ratio: false }.coarsen(inputs, steps, coarse);
    }
}
