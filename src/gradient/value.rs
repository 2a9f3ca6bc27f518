//! A loss and its gradient in one call.

use super::{Cotangents, check_solution};
use crate::backend::{Differentiate, Sweep};
use crate::dynamics::Recurrence;
use crate::error::Result;
use crate::problem::Problem;
use crate::scalar::Real;
use crate::solver::Solver;
use ndarray::{Array3, ArrayView3};

impl Solver {
    /// The value of a loss of the states, and its gradient with respect to parameters, inputs and initial states: a step of
    /// training.
    ///
    /// `loss` is given the states `[B, T, n]` (zero after the end of a shorter sequence) and returns its value and its
    /// derivative with respect to them, `[B, T, n]`. It is called once, and only if the solution converged. The same as
    /// [`solve`](Self::solve) and [`Solution::vjp`](crate::Solution::vjp).
    ///
    /// # Errors
    /// Those of the two. A solution that did not converge is an error here.
    ///
    /// # Example
    /// Ten steps down the gradient, for states that shall follow a target:
    /// ```
    /// # #[cfg(feature = "cpu")] {
    /// use deer_solver::{cells::Elman, Cpu, Problem, Solver};
    /// use ndarray::{Array1, Array2, Array3};
    ///
    /// let mut cell = Elman::<f64>::random(1, 2, 0);
    /// let (x0, inputs) = (Array1::zeros(2), Array2::ones((300, 1)));
    /// let target = Array3::from_elem((1, 300, 2), 0.5);
    /// let mut losses = Vec::new();
    /// for _ in 0..10 {
    ///     let problem = Problem::new(&cell, x0.view(), inputs.view())?;
    ///     let (loss, gradient) = Solver::auto().value_and_gradient(
    ///         &problem,
    ///         |states| {
    ///             let off = &states - &target;
    ///             (0.5 * off.mapv(|x| x * x).sum(), off)
    ///         },
    ///         &Cpu::new(),
    ///     )?;
    ///     for (p, slope) in cell.params_mut().iter_mut().zip(&gradient.params) {
    ///         *p -= 1e-3 * slope;
    ///     }
    ///     losses.push(loss);
    /// }
    /// assert!(losses[9] < 0.5 * losses[0]);
    /// # }
    /// # Ok::<(), deer_solver::Error>(())
    /// ```
    pub fn value_and_gradient<R: Real, D: Recurrence<Real = R>, B: Sweep<D> + Differentiate<R>>(
        &self,
        problem: &Problem<'_, D>,
        loss: impl FnOnce(ArrayView3<'_, R>) -> (R, Array3<R>),
        backend: &B,
    ) -> Result<(R, Cotangents<R>)> {
        let solution = self.solve(problem, backend)?;
        // A solution that cannot be differentiated has no loss either.
        check_solution(&solution, problem)?;
        let (value, cotangent) = loss(solution.states());
        Ok((value, solution.vjp(problem, cotangent.view(), backend)?))
    }
}
