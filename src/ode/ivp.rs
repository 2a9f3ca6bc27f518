//! Initial value problems.

use super::implicit::ImplicitSteps;
use super::refine::{Wanted, refine};
use super::sampling::initial_state;
use super::solution::{Dense, Solution};
use super::steps::{Explicit, Steps};
use super::{Discretized, ImplicitDiscretized, Ode, Options, Scheme, StepEquation, grid, slopes};
use crate::backend::Sweep;
use crate::dynamics::Implicit;
use crate::error::{Error, Result};
use crate::scalar::Real;
use crate::solution::Termination;
use ndarray::{Array1, Array2, ArrayView1, Axis, concatenate};
use std::time::Instant;

/// Solves `ẏ = g(t, y)` from `y0` `[n]` at `times[0]`; the solution has the states at all of `times`.
///
/// Without a tolerance in `options` each interval between two times is one step of the scheme. With one, a grid is found that
/// contains `times` and keeps the estimated error within it: see [`Options`].
///
/// # Errors
/// Times that are not at least one, finite and strictly increasing; `y0` of another length or with a number that is not
/// finite; an equation with inputs (for which [`Discretized`] is there); a setting out of its range; failure of the device. That no
/// grid was good enough is no error: see [`Solution::termination`].
///
/// # Example
/// ```
/// # #[cfg(feature = "cpu")] {
/// use deer_solver::Cpu;
/// use deer_solver::ode::{self, Ode, Scheme};
/// use deer_solver::scalar::{Param, Scalar};
/// use ndarray::{Array1, array};
///
/// struct Circle;
///
/// impl Ode for Circle {
///     type Real = f64;
///     fn state_dim(&self) -> usize { 2 }
///     #[inline(always)]
///     fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
///         dy[0] = -y[1];
///         dy[1] = y[0];
///     }
/// }
///
/// let (y0, times) = (array![1.0, 0.0], Array1::linspace(0.0, 10.0, 101));
/// let options = ode::Options::default().scheme(Scheme::Tsit5).tolerance(1e-9, 1e-9);
/// let solution = ode::solve_ivp(&Circle, y0.view(), times.view(), &options, &Cpu::new())?;
/// assert!(solution.converged());
/// assert!((solution.states()[[100, 0]] - 10f64.cos()).abs() < 1e-9);
/// assert!((solution.at(5.05)?[1] - 5.05f64.sin()).abs() < 1e-6); // between two times
/// # }
/// # Ok::<(), deer_solver::Error>(())
/// ```
pub fn solve_ivp<'a, O, B>(
    ode: &'a O,
    y0: ArrayView1<'_, O::Real>,
    times: ArrayView1<'_, O::Real>,
    options: &Options,
    backend: &B,
) -> Result<Solution<O::Real>>
where
    O: Ode,
    B: Sweep<Discretized<'a, O>> + Sweep<Implicit<StepEquation<'a, O>>>,
{
    let started = Instant::now();
    let scheme = options.scheme.unwrap_or(Scheme::Rk4);
    check(ode, y0, times)?;
    let solver = &options.solver;
    let mut solution = if scheme.is_implicit() {
        let recurrence = *ImplicitDiscretized::new(ode, Array1::default(0), scheme).recurrence();
        trajectory(&ImplicitSteps { recurrence, y0, solver, backend }, y0, times, options)?
    } else {
        trajectory(&Explicit { ode, y0, scheme, solver, backend }, y0, times, options)?
    };
    solution.dense.slopes = match &solution.dense.refined {
        Some((times, states)) => slopes::along(ode, times.view(), states.view()),
        None => slopes::along(ode, solution.times.view(), solution.states.view()),
    };
    solution.report.elapsed = started.elapsed();
    Ok(solution)
}

fn check<O: Ode>(
    ode: &O,
    y0: ArrayView1<'_, O::Real>,
    times: ArrayView1<'_, O::Real>,
) -> Result<()> {
    if ode.input_dim() != 0 {
        return Err(Error::setting(
            "ode",
            "an equation without inputs (use ode::Discretized for one with inputs)",
            format!("input_dim() = {}", ode.input_dim()),
        ));
    }
    grid::check(times)?;
    initial_state(y0, ode.state_dim(), 1).map(drop)
}

/// The trajectory from `y0` at `times[0]`, without slopes: on the grid that `times` are, or, with a tolerance in `options`, on one
/// that is found.
pub(super) fn trajectory<R: Real>(
    steps: &dyn Steps<R>,
    y0: ArrayView1<'_, R>,
    times: ArrayView1<'_, R>,
    options: &Options,
) -> Result<Solution<R>> {
    let times = times.to_owned();
    match options.tolerances()? {
        Some((atol, rtol)) if times.len() > 1 => {
            let (max_points, max_grids) = (options.max_points, options.max_refinements);
            refined(steps, y0, times, Wanted { atol, rtol, max_points, max_grids })
        }
        _ => on_grid(steps, y0, times),
    }
}

/// The grid given is the grid solved.
fn on_grid<R: Real>(
    steps: &dyn Steps<R>,
    y0: ArrayView1<'_, R>,
    times: Array1<R>,
) -> Result<Solution<R>> {
    let solved = steps.solve(&times, None)?;
    let states = concatenate![Axis(0), y0.insert_axis(Axis(0)), solved.trajectory(0)];
    // The step t leads to the row t + 1.
    let termination = match solved.termination() {
        Termination::NonFinite { batch, t } => Termination::NonFinite { batch, t: t + 1 },
        other => other,
    };
    Ok(Solution {
        times,
        states,
        dense: Dense { refined: None, slopes: Array2::default((0, 0)) },
        termination,
        report: solved.report().clone(),
        error_estimate: None,
        grids: 1,
    })
}

/// A grid within a tolerance.
fn refined<R: Real>(
    steps: &dyn Steps<R>,
    y0: ArrayView1<'_, R>,
    times: Array1<R>,
    wanted: Wanted,
) -> Result<Solution<R>> {
    let found = refine(steps, y0, &times, wanted)?;
    let states = found.states.select(Axis(0), &found.places);
    let termination = match found.last.termination() {
        Termination::Converged if !found.met => Termination::RefinementLimit,
        Termination::NonFinite { batch, t } => {
            let t = found.places.iter().position(|&place| place > t).unwrap_or(0);
            Termination::NonFinite { batch, t }
        }
        other => other,
    };
    Ok(Solution {
        times,
        states,
        dense: Dense { refined: Some((found.grid, found.states)), slopes: Array2::default((0, 0)) },
        termination,
        report: found.last.report().clone(),
        error_estimate: found.error,
        grids: found.grids,
    })
}
