//! Explicit Runge–Kutta schemes.
//!
//! $$ k_i = g\bigl(t + c_i \Delta t,\ y + \Delta t \sum_{j<i} a_{ij} k_j\bigr), \qquad
//!    y^+ = y + \Delta t \sum_i b_i k_i $$

mod forward_euler;
mod midpoint;
mod rk4;
mod tsit5;

use super::{Ode, Scheme};
use crate::scalar::{Param, Scalar};

/// The coefficients of a scheme.
#[derive(Debug)]
pub(super) struct Tableau {
    /// `c`, `[s]`
    nodes: &'static [f64],
    /// `a`, row `i` of length `i`
    stages: &'static [&'static [f64]],
    /// `b`, `[s]`; fewer where the last stages are for the error only
    weights: &'static [f64],
    /// `b − b̂`, `[s]`; none without an embedded scheme
    error: Option<&'static [f64]>,
}

/// What a step writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// The state at its end.
    State,
    #[allow(dead_code)]
    /// The difference from the embedded scheme: `Δt Σ (b_i − b̂_i) k_i`.
    Error,
}

/// One step's time, length, and inputs at both ends (the same where they are held).
#[derive(Clone, Copy)]
pub(super) struct Interval<'u, S> {
    pub(super) t: S,
    pub(super) dt: S,
    pub(super) from: &'u [S],
    pub(super) to: &'u [S],
}

impl<'u, S: Scalar> Interval<'u, S> {
    /// The inputs at `t + node · dt`, in `room` `[m]` where they are neither end's.
    #[inline(always)]
    fn inputs_at<'r>(&self, node: f64, room: &'r mut [S]) -> &'r [S]
    where
        'u: 'r,
    {
        if node == 0.0 {
            self.from
        } else if node == 1.0 {
            self.to
        } else {
            for (j, u) in room.iter_mut().enumerate() {
                *u = (self.to[j] - self.from[j]).mul_add(S::from_f64(node), self.from[j]);
            }
            room
        }
    }
}

/// The tableau of a scheme; none for those that are implicit, or written out.
#[inline(always)]
fn tableau(scheme: Scheme) -> Option<&'static Tableau> {
    match scheme {
        Scheme::ForwardEuler => Some(&forward_euler::TABLEAU),
        Scheme::Midpoint => Some(&midpoint::TABLEAU),
        Scheme::Tsit5 => Some(&tsit5::TABLEAU),
        _ => None,
    }
}

#[allow(dead_code)]
/// Whether the scheme estimates its own error.
pub(super) fn has_error_estimate(scheme: Scheme) -> bool {
    tableau(scheme).is_some_and(|tableau| tableau.error.is_some())
}

/// Entries of workspace that a step needs, for `n` states, `m` inputs and `scratch` entries of `rhs`.
pub(super) fn scratch_dim(
    scheme: Scheme,
    output: Output,
    n: usize,
    m: usize,
    scratch: usize,
) -> usize {
    let slopes = match tableau(scheme) {
        Some(tableau) => coefficients(tableau, output).len(),
        None => 1,
    };
    n + m + slopes * n + scratch
}

fn coefficients(tableau: &'static Tableau, output: Output) -> &'static [f64] {
    match output {
        Output::State => tableau.weights,
        Output::Error => tableau.error.unwrap_or(&[]),
    }
}

/// One step from `y` `[n]`; `next` has `n` and [`scratch_dim`] entries.
#[inline(always)]
pub(super) fn step<O: Ode, S: Scalar<Real = O::Real>>(
    ode: &O,
    scheme: Scheme,
    output: Output,
    params: &[Param<S>],
    interval: Interval<'_, S>,
    y: &[S],
    next: &mut [S],
) {
    let (n, m) = (ode.state_dim(), ode.input_dim());
    let (next, work) = next.split_at_mut(n);
    let (stage, work) = work.split_at_mut(n);
    let (room, slopes) = work.split_at_mut(m);
    if scheme == Scheme::Rk4 {
        rk4::step(ode, params, interval, y, next, stage, room, slopes);
        return;
    }
    let Some(tableau) = tableau(scheme) else {
        next.fill(S::from_f64(f64::NAN));
        return;
    };
    let weights = coefficients(tableau, output);
    for (i, &node) in tableau.nodes[..weights.len()].iter().enumerate() {
        // What `rhs` has for its workspace is where later slopes will be.
        let (done, slope) = slopes.split_at_mut(i * n);
        combine(tableau.stages[i], done, interval.dt, y, stage);
        let t = interval.dt.mul_add(S::from_f64(node), interval.t);
        let u = interval.inputs_at(node, room);
        ode.rhs(params, t, stage, u, &mut slope[..n + ode.scratch_dim()]);
    }
    match output {
        Output::State => combine(weights, slopes, interval.dt, y, next),
        Output::Error => {
            stage.fill(S::from_f64(0.0));
            combine(weights, slopes, interval.dt, stage, next);
        }
    }
}

/// `out = y + dt · Σ_i coefficients_i · slopes_i`, without the terms that are zero.
#[inline(always)]
fn combine<S: Scalar>(coefficients: &[f64], slopes: &[S], dt: S, y: &[S], out: &mut [S]) {
    let n = y.len();
    out.copy_from_slice(y);
    for (i, &coefficient) in coefficients.iter().enumerate() {
        if coefficient != 0.0 {
            let weight = dt * S::from_f64(coefficient);
            for j in 0..n {
                out[j] = slopes[i * n + j].mul_add(weight, out[j]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tableaus_are_consistent() {
        for scheme in [Scheme::ForwardEuler, Scheme::Midpoint, Scheme::Tsit5] {
            let tableau = tableau(scheme).unwrap();
            for (row, &node) in tableau.stages.iter().zip(tableau.nodes) {
                assert!((row.iter().sum::<f64>() - node).abs() < 1e-14, "{scheme}: {row:?}");
            }
            // Σ b_i c_i^k = 1/(k+1) up to the order.
            let moments = |weights: &[f64], k: i32| -> f64 {
                weights.iter().zip(tableau.nodes).map(|(b, c)| b * c.powi(k)).sum()
            };
            for k in 0..scheme.order() as i32 {
                let moment = moments(tableau.weights, k);
                assert!((moment - 1.0 / f64::from(k + 1)).abs() < 1e-13, "{scheme}: {k} {moment}");
                if let (Some(error), true) = (tableau.error, k < scheme.order() as i32 - 1) {
                    assert!(moments(error, k).abs() < 1e-13, "{scheme}: error {k}");
                }
            }
        }
    }
}
