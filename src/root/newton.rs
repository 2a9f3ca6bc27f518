//! Newton's method with a line search.
//!
//! At `x` it takes the direction `d` with `J d = −F` and goes along it as far as `½|F|²` falls by Armijo's rule (Dennis & Schnabel,
//! *Numerical Methods for Unconstrained Optimization and Nonlinear Equations*, chapter 6). Where `J` is singular, or no part of `d` is
//! good enough, it takes a step of Levenberg and Marquardt.

use super::linear::{damped_least_squares, solve};
use super::{Options, Root, System, Termination};
use crate::error::{Error, Result};
use crate::scalar::{Dual, Parameter, Real, Scalar};
use ndarray::{Array1, ArrayView1};

/// Tangents of a Jacobian that are taken at the same time.
const TANGENTS: usize = 4;
/// Halvings of a Newton step.
const HALVINGS: i32 = 12;
/// Of the decrease that the direction promises, this share is asked for.
const ARMIJO: f64 = 1e-4;
/// Iterations in a row whose decrease is at rounding.
const STALLED: usize = 3;

/// Looks for `x` with `F(x) = 0` from `guess` `[n]`.
///
/// # Errors
/// A guess of another length or with a number that is not finite, a tolerance that is none. That no root was found is no error: see
/// [`Root::termination`].
///
/// # Example
/// See [`root`](super).
pub fn newton<F: System>(
    system: &F,
    guess: ArrayView1<'_, F::Real>,
    options: &Options,
) -> Result<Root<F::Real>> {
    options.check()?;
    let n = system.dim();
    if guess.len() != n {
        return Err(Error::shape("guess", format!("[n = {n}]"), guess.shape()));
    }
    if let Some(j) = guess.iter().position(|x| !x.is_finite()) {
        let value = guess[j].to_f64();
        return Err(Error::NonFinite { argument: "guess", index: vec![j], value });
    }
    let atol = options.atol.unwrap_or(4096.0 * F::Real::EPSILON.to_f64());
    let mut at = Point { x: guess.to_vec(), residual: residual(system, &guess.to_vec()) };
    let mut lambda = 1e-3;
    let (mut iterations, mut stalled) = (0, 0);
    let termination = loop {
        let jacobian = jacobian(system, &at.x);
        if !at.merit().is_finite() || jacobian.iter().any(|entry| !entry.is_finite()) {
            break Termination::NonFinite;
        }
        if at.is_root(&jacobian, atol, options.rtol) {
            break Termination::Converged;
        }
        if stalled == STALLED {
            break Termination::Stationary;
        }
        if iterations == options.max_iterations {
            break Termination::IterationLimit;
        }
        let before = at.merit();
        let next = line_search(system, &at, &jacobian)
            .or_else(|| damped_step(system, &at, &jacobian, &mut lambda));
        let Some(next) = next else { break Termination::Stationary };
        at = next;
        iterations += 1;
        let rounding = 16.0 * F::Real::EPSILON.to_f64() * before;
        stalled = if before - at.merit() <= rounding { stalled + 1 } else { 0 };
    };
    Ok(Root {
        solution: Array1::from(at.x),
        residual: Array1::from(at.residual),
        iterations,
        termination,
    })
}

struct Point<R> {
    x: Vec<R>,
    residual: Vec<R>,
}

impl<R: Real> Point<R> {
    /// `½|F|²`
    fn merit(&self) -> f64 {
        0.5 * self.residual.iter().map(|r| r.to_f64() * r.to_f64()).sum::<f64>()
    }

    /// `−F`
    fn right(&self) -> Vec<f64> {
        self.residual.iter().map(|r| -r.to_f64()).collect()
    }

    fn is_root(&self, jacobian: &[f64], atol: f64, rtol: f64) -> bool {
        let n = self.x.len();
        self.residual.iter().enumerate().all(|(i, r)| {
            let row = &jacobian[i * n..(i + 1) * n];
            let size: f64 = row.iter().zip(&self.x).map(|(a, x)| (a * x.to_f64()).abs()).sum();
            r.to_f64().abs() <= atol + rtol * size
        })
    }

    /// The point `x + part · step`, if it is another one.
    fn moved<F: System<Real = R>>(&self, system: &F, step: &[f64], part: f64) -> Option<Self> {
        let x: Vec<R> = self
            .x
            .iter()
            .zip(step)
            .map(|(x, step)| R::from_f64(x.to_f64() + part * step))
            .collect();
        (x != self.x).then(|| Self { residual: residual(system, &x), x })
    }
}

/// `F` at `x`, `[n]`.
pub(crate) fn residual<F: System>(system: &F, x: &[F::Real]) -> Vec<F::Real> {
    let n = system.dim();
    let mut residual = vec![F::Real::default(); n + system.scratch_dim()];
    system.residual::<F::Real>(Parameter::from_slice(system.params()), x, &mut residual);
    residual.truncate(n);
    residual
}

/// `∂F/∂x`, `[n, n]` row-major.
pub(crate) fn jacobian<F: System>(system: &F, x: &[F::Real]) -> Vec<f64> {
    let n = system.dim();
    let params = Parameter::from_slice(system.params());
    let mut jacobian = vec![0.0; n * n];
    let mut residual = vec![Dual::from_f64(0.0); n + system.scratch_dim()];
    for first in (0..n).step_by(TANGENTS) {
        let variables: Vec<Dual<F::Real, TANGENTS>> = x
            .iter()
            .enumerate()
            .map(|(j, &x)| match j.checked_sub(first) {
                Some(k) if k < TANGENTS => Dual::variable(x, k),
                _ => Dual::constant(x),
            })
            .collect();
        system.residual(params, &variables, &mut residual);
        for i in 0..n {
            for j in first..(first + TANGENTS).min(n) {
                jacobian[i * n + j] = residual[i].tangents[j - first].to_f64();
            }
        }
    }
    jacobian
}

/// As much of Newton's step as makes the residual smaller by enough.
fn line_search<F: System>(
    system: &F,
    at: &Point<F::Real>,
    jacobian: &[f64],
) -> Option<Point<F::Real>> {
    let step = solve(jacobian, &at.right())?;
    let merit = at.merit();
    (0..=HALVINGS).map(|halvings| 0.5f64.powi(halvings)).find_map(|part| {
        let next = at.moved(system, &step, part)?;
        // Along Newton's direction ½|F|² falls by |F|² a unit.
        (next.merit() <= (1.0 - 2.0 * ARMIJO * part) * merit).then_some(next)
    })
}

/// A step of Levenberg and Marquardt that makes the residual smaller, with `λ` adapted.
fn damped_step<F: System>(
    system: &F,
    at: &Point<F::Real>,
    jacobian: &[f64],
    lambda: &mut f64,
) -> Option<Point<F::Real>> {
    while *lambda < 1e16 {
        let step = damped_least_squares(jacobian, &at.right(), *lambda)?;
        match at.moved(system, &step, 1.0) {
            Some(next) if next.merit() < at.merit() => {
                *lambda = (*lambda * 0.1).max(1e-12);
                return Some(next);
            }
            // The step is lost in rounding, and shorter ones will be.
            None => return None,
            Some(_) => *lambda *= 10.0,
        }
    }
    None
}
