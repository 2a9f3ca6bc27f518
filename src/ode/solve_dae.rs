//! Initial value problems of differential-algebraic equations.

use super::consistent::Start;
use super::implicit::{DaeEquation, GridEquation, ImplicitDiscretized, ImplicitSteps};
use super::ivp::trajectory;
use super::sampling::initial_state;
use super::solution::Solution;
use super::{Dae, Options, Scheme, consistent, grid, slopes};
use crate::backend::Sweep;
use crate::dynamics::Implicit;
use crate::error::{Error, Result};
use crate::scalar::Real;
use crate::solution::Termination;
use ndarray::{Array1, ArrayView1};
use std::time::Instant;

/// Solves `F(t, ẏ, y) = 0` from `y0` `[n]` at `times[0]`; the solution has the states at all of `times`.
///
/// The scheme is [`Scheme::BackwardEuler`] (the default), [`Scheme::Bdf2`] or [`Scheme::RadauIIA5`]. Where no slopes fit `y0`, its
/// algebraic components, whose slope does not occur in `F`, are solved for first; the others stay.
///
/// Without a tolerance in `options` each interval between two times is one step. With one, a grid is found as by
/// [`solve_ivp`](super::solve_ivp); that is for an index of 1, since of a higher one some components have an error that shorter steps
/// do not make smaller.
///
/// # Errors
/// Times that are not at least one, finite and strictly increasing; `y0` of another length, with a number that is not
/// finite, or with residuals that its algebraic components cannot make zero; a singular `∂F/∂y + (1/Δ) ∂F/∂ẏ`, at the start or where a
/// step had no solution; an equation with inputs (for which [`ImplicitDiscretized::of_dae`] is there); another scheme, a setting out of its
/// range; failure of the device.
///
/// # Example
/// ```
/// # #[cfg(feature = "cpu")] {
/// use deer_solver::Cpu;
/// use deer_solver::ode::{self, Dae, Options, Scheme};
/// use deer_solver::scalar::{Param, Scalar};
/// use ndarray::array;
///
/// /// ẏ₀ = −y₁, where y₁ = y₀².
/// struct Decay;
///
/// impl Dae for Decay {
///     type Real = f64;
///     fn state_dim(&self) -> usize { 2 }
///     #[inline(always)]
///     fn residual<S: Scalar<Real = f64>>(
///         &self, _: &[Param<S>], _: S, dy: &[S], y: &[S], _: &[S], r: &mut [S],
///     ) {
///         r[0] = dy[0] + y[1];
///         r[1] = y[1] - y[0] * y[0];
///     }
/// }
///
/// let options = Options::default().scheme(Scheme::RadauIIA5).tolerance(1e-9, 1e-9);
/// // y₁ is found to be 1.
/// let solution = ode::solve_dae(&Decay, array![1.0, 0.0].view(), array![0.0, 3.0].view(), &options, &Cpu::new())?;
/// assert!(solution.converged());
/// assert_eq!(solution.states()[[0, 1]], 1.0);
/// assert!((solution.states()[[1, 0]] - 0.25).abs() < 1e-9); // 1 / (1 + t)
/// # }
/// # Ok::<(), deer_solver::Error>(())
/// ```
pub fn solve_dae<'a, F, B>(
    dae: &'a F,
    y0: ArrayView1<'_, F::Real>,
    times: ArrayView1<'_, F::Real>,
    options: &Options,
    backend: &B,
) -> Result<Solution<F::Real>>
where
    F: Dae,
    B: Sweep<Implicit<DaeEquation<'a, F>>>,
{
    let started = Instant::now();
    if dae.input_dim() != 0 {
        return Err(Error::setting(
            "dae",
            "an equation without inputs (use ode::ImplicitDiscretized::of_dae for one with inputs)",
            format!("input_dim() = {}", dae.input_dim()),
        ));
    }
    grid::check(times)?;
    initial_state(y0, dae.state_dim(), 1)?;
    let scheme = options.scheme.unwrap_or(Scheme::BackwardEuler);
    let recurrence = *ImplicitDiscretized::of_dae(dae, Array1::default(0), scheme).recurrence();
    recurrence.residual().check()?;
    // Misuse is said before anything is computed.
    options.tolerances()?;
    let Start { y: y0, dy } = consistent::initial(dae, times[0], y0)?;
    if times.len() > 1 {
        let start = (y0.as_slice().unwrap_or_default(), &dy[..]);
        let dt = times[1] - times[0];
        consistent::check_step(dae, times[0], dt, start, false)?;
    }
    let steps = ImplicitSteps { recurrence, y0: y0.view(), solver: &options.solver, backend };
    let mut solution = trajectory(&steps, y0.view(), times, options)?;
    let (grid, states) = match &solution.dense.refined {
        Some((grid, states)) => (grid.view(), states.view()),
        None => (solution.times.view(), solution.states.view()),
    };
    let slopes = slopes::differences(grid, states);
    if let Termination::NonFinite { .. } = solution.termination {
        let last = states.outer_iter().take_while(|y| y.iter().all(|y| y.is_finite())).count() - 1;
        if last + 1 < grid.len() {
            let at = (&states.row(last).to_vec()[..], &slopes.row(last).to_vec()[..]);
            consistent::check_step(dae, grid[last + 1], grid[last + 1] - grid[last], at, true)?;
        }
    }
    solution.dense.slopes = slopes;
    solution.report.elapsed = started.elapsed();
    Ok(solution)
}
