//! Implicit schemes on a grid.

use super::{DaeEquation, StepEquation};
use crate::dynamics::{Implicit, Residual};
use crate::error::Result;
use crate::ode::sampling::{Sampling, initial_state};
use crate::ode::{Dae, Interpolation, Ode, Scheme};
use crate::problem::Problem;
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayView3, CowArray, Ix1};

/// The equation of a step on a grid: a [`StepEquation`] or a [`DaeEquation`].
pub trait GridEquation: Residual + Sized {
    /// How its inputs are made.
    #[doc(hidden)]
    fn sampling(&self) -> Sampling;
    /// Components of the differential equation.
    #[doc(hidden)]
    fn dim(&self) -> usize;
    #[doc(hidden)]
    fn scheme(&self) -> Scheme;
    #[doc(hidden)]
    fn interpolated(self, interpolation: Interpolation) -> Self;
    /// Whether the scheme is fit for it.
    #[doc(hidden)]
    fn check(&self) -> Result<()>;
}

/// The recurrence that an [`Ode`] or a [`Dae`] becomes on a grid of times by an implicit scheme: each step is an equation for its
/// end, solved by Newton's method ([`Implicit`]).
///
/// As [`Discretized`](crate::ode::Discretized), for schemes that are [implicit](Scheme::is_implicit). A grid of `T + 1` times gives `T`
/// steps. States are `[n]`; with [`Scheme::Bdf2`] they are `[2n]`, each followed by the one before it, in solutions, guesses and cotangents.
///
/// # Example
/// ```
/// # #[cfg(feature = "cpu")] {
/// use deer_solver::ode::{ImplicitDiscretized, Ode, Scheme};
/// use deer_solver::scalar::{Param, Scalar};
/// use deer_solver::{Cpu, Solver};
/// use ndarray::{Array1, Array2, array};
///
/// /// Relaxation to cos t, a million times as fast as that changes.
/// struct Stiff;
///
/// impl Ode for Stiff {
///     type Real = f64;
///     fn state_dim(&self) -> usize { 1 }
///     #[inline(always)]
///     fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], t: S, y: &[S], _: &[S], dy: &mut [S]) {
///         dy[0] = (t.cos() - y[0]) * 1e6;
///     }
/// }
///
/// let times = Array1::linspace(0.0, 10.0, 1001);
/// let discretized = ImplicitDiscretized::new(&Stiff, &times, Scheme::RadauIIA5);
/// let problem = discretized.problem(array![0.0].view(), Array2::zeros((0, 0)).view())?;
/// let solution = Solver::auto().solve(&problem, &Cpu::new())?;
/// assert!((solution.trajectory(0)[[999, 0]] - 10.0f64.cos()).abs() < 1e-5);
/// # }
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImplicitDiscretized<'a, E: GridEquation> {
    recurrence: Implicit<E>,
    times: CowArray<'a, E::Real, Ix1>,
}

impl<'a, O: Ode> ImplicitDiscretized<'a, StepEquation<'a, O>> {
    /// `ode` on the grid `times` (`[T + 1]`, owned or borrowed) by `scheme`.
    ///
    /// Whether they are fit for it is checked when a problem is made.
    pub fn new(ode: &'a O, times: impl Into<CowArray<'a, O::Real, Ix1>>, scheme: Scheme) -> Self {
        let equation = StepEquation { ode, scheme, interpolation: Interpolation::default() };
        Self { recurrence: Implicit::new(equation), times: times.into() }
    }
}

impl<'a, F: Dae> ImplicitDiscretized<'a, DaeEquation<'a, F>> {
    /// `dae` on the grid `times` (`[T + 1]`, owned or borrowed) by `scheme`: [`BackwardEuler`](Scheme::BackwardEuler),
    /// [`Bdf2`](Scheme::Bdf2) or [`RadauIIA5`](Scheme::RadauIIA5).
    ///
    /// Whether they are fit for it is checked when a problem is made.
    pub fn of_dae(
        dae: &'a F,
        times: impl Into<CowArray<'a, F::Real, Ix1>>,
        scheme: Scheme,
    ) -> Self {
        let equation = DaeEquation { dae, scheme, interpolation: Interpolation::default() };
        Self { recurrence: Implicit::new(equation), times: times.into() }
    }
}

impl<E: GridEquation> ImplicitDiscretized<'_, E> {
    /// Sets what inputs do between two points of the grid; by default they are linear.
    pub fn interpolation(mut self, interpolation: Interpolation) -> Self {
        self.recurrence =
            Implicit::new(self.recurrence.into_residual().interpolated(interpolation));
        self
    }

    /// The recurrence.
    pub fn recurrence(&self) -> &Implicit<E> {
        &self.recurrence
    }

    /// The grid, `[T + 1]`.
    pub fn times(&self) -> ArrayView1<'_, E::Real> {
        self.times.view()
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.recurrence.residual().scheme()
    }

    /// Inputs of the recurrence, `[T, 2 + m]` held or `[T, 2 + 2m]` linear, for [`Scheme::Bdf2`] one column more, from `u`
    /// on the grid, `[T + 1, m]`. Of an equation without inputs, `u` may have any number of rows of length 0.
    ///
    /// # Errors
    /// Times that are not at least one, finite and strictly increasing; an explicit scheme, and for a [`Dae`] any but
    /// [`BackwardEuler`](Scheme::BackwardEuler), [`Bdf2`](Scheme::Bdf2) and [`RadauIIA5`](Scheme::RadauIIA5); `u` of another shape, or with
    /// a number that is not finite.
    pub fn inputs(&self, u: ArrayView2<'_, E::Real>) -> Result<Array2<E::Real>> {
        self.recurrence.residual().check()?;
        self.recurrence.residual().sampling().inputs(self.times.view(), u)
    }

    /// The recurrence from `y0` `[n]` with the inputs `u` on the grid, `[T + 1, m]` (see [`inputs`](Self::inputs)).
    ///
    /// With [`Scheme::Bdf2`] the states of a solution have `2n` columns: the state at a time, then the one before it. The first starts from
    /// `y0` in both.
    ///
    /// # Errors
    /// Those of [`inputs`](Self::inputs); `y0` of another length; a number that is not finite.
    pub fn problem(
        &self,
        y0: ArrayView1<'_, E::Real>,
        u: ArrayView2<'_, E::Real>,
    ) -> Result<Problem<'_, Implicit<E>>> {
        let equation = self.recurrence.residual();
        let copies = equation.state_dim() / equation.dim().max(1);
        let x0 = initial_state(y0, equation.dim(), copies)?;
        Problem::of_owned(&self.recurrence, x0.view(), vec![self.inputs(u)?])
    }

    /// A batch: `y0` `[B, n]`, `u` `[B, T + 1, m]`, all on the same grid.
    ///
    /// # Errors
    /// As for [`problem`](Self::problem).
    pub fn problem_batch(
        &self,
        y0: ArrayView2<'_, E::Real>,
        u: ArrayView3<'_, E::Real>,
    ) -> Result<Problem<'_, Implicit<E>>> {
        let equation = self.recurrence.residual();
        equation.check()?;
        let (n, times) = (equation.dim(), self.times.view());
        let copies = equation.state_dim() / n.max(1);
        let (x0, inputs) = equation.sampling().batch(times, y0, u, n, copies)?;
        Problem::of_owned(&self.recurrence, x0.view(), inputs)
    }
}
