//! Explicit Runge–Kutta schemes.
//!
//! $$ k_i = g\bigl(t + c_i \Delta t,\ y + \Delta t \sum_{j<i} a_{ij} k_j\bigr), \qquad
//!    y^+ = y + \Delta t \sum_i b_i k_i $$

mod forward_euler;
mod midpoint;
pub(super) mod modified;
mod rk4;
mod tsit5;

use super::sampling::Sample;
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
    /// The difference from the embedded scheme: `Δt Σ (b_i − b̂_i) k_i`.
    Error,
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

fn coefficients(tableau: &Tableau, output: Output) -> &'static [f64] {
    match output {
        Output::State => tableau.weights,
        Output::Error => tableau.error.unwrap_or(&[]),
    }
}

/// Components up to which a step of [`Scheme::Rk4`] has its workspace in registers.
const FEW: usize = 8;

/// One step from `y` `[n]`; `next` has `n` and [`scratch_dim`] entries.
#[inline(always)]
pub(super) fn step<O: Ode, S: Scalar<Real = O::Real>>(
    ode: &O,
    scheme: Scheme,
    output: Output,
    params: &[Param<S>],
    sample: Sample<'_, S>,
    y: &[S],
    next: &mut [S],
) {
    let (n, m) = (ode.state_dim(), ode.input_dim());
    let (next, work) = next.split_at_mut(n);
    let (stage, work) = work.split_at_mut(n);
    let (room, slopes) = work.split_at_mut(m);
    if scheme == Scheme::Rk4 && n <= FEW && ode.scratch_dim() == 0 {
        // What no one else sees need not be stored.
        let [mut sum, mut stage, mut slope] = [[S::from_f64(0.0); FEW]; 3];
        let (stage, slope) = (&mut stage[..n], &mut slope[..n]);
        rk4::step(ode, params, sample, y, &mut sum[..n], stage, room, slope);
        next.copy_from_slice(&sum[..n]);
        return;
    }
    if scheme == Scheme::Rk4 {
        rk4::step(ode, params, sample, y, next, stage, room, slopes);
        return;
    }
    let Some(tableau) = tableau(scheme) else {
        next.fill(S::from_f64(f64::NAN));
        return;
    };
    let mut field = Own { ode, params, sample, room };
    by_tableau(tableau, output, &mut field, sample.dt, y, next, stage, slopes);
}

/// What a step follows. Not a closure, which would be left out of line, and so without the instructions of its caller.
trait Field<S> {
    /// Writes the slope at `y` to the first `n` of `slope`, `node` of a step after its start.
    fn slope(&mut self, node: f64, y: &[S], slope: &mut [S]);
}

/// The field of `ode` itself.
struct Own<'s, O, S: Scalar> {
    ode: &'s O,
    params: &'s [Param<S>],
    sample: Sample<'s, S>,
    room: &'s mut [S],
}

impl<O: Ode, S: Scalar<Real = O::Real>> Field<S> for Own<'_, O, S> {
    #[inline(always)]
    fn slope(&mut self, node: f64, y: &[S], slope: &mut [S]) {
        let Self { ode, params, sample, room } = self;
        let t = sample.dt.mul_add(S::from_f64(node), sample.t);
        let u = sample.inputs_at(node, room);
        ode.rhs(params, t, y, u, &mut slope[..y.len() + ode.scratch_dim()]);
    }
}

/// One step of length `dt` from `y` `[n]`, `stage` `[n]` and `slopes` being workspace.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
fn by_tableau<S: Scalar>(
    tableau: &Tableau,
    output: Output,
    field: &mut impl Field<S>,
    dt: S,
    y: &[S],
    next: &mut [S],
    stage: &mut [S],
    slopes: &mut [S],
) {
    let weights = coefficients(tableau, output);
    for (i, &node) in tableau.nodes[..weights.len()].iter().enumerate() {
        // What `rhs` has for its workspace is where later slopes will be.
        let (done, slope) = slopes.split_at_mut(i * y.len());
        combine(tableau.stages[i], done, dt, y, stage);
        field.slope(node, stage, slope);
    }
    match output {
        Output::State => combine(weights, slopes, dt, y, next),
        Output::Error => {
            stage.fill(S::from_f64(0.0));
            combine(weights, slopes, dt, stage, next);
        }
    }
}

/// `out = y + dt · Σ_i coefficients_i · slopes_i`.
#[inline(always)]
fn combine<S: Scalar>(coefficients: &[f64], slopes: &[S], dt: S, y: &[S], out: &mut [S]) {
    let n = y.len();
    let Some((&first, others)) = coefficients.split_first() else {
        out.copy_from_slice(y);
        return;
    };
    for j in 0..n {
        let mut sum = slopes[j] * <S::Real as Scalar>::from_f64(first);
        for (i, &coefficient) in others.iter().enumerate() {
            let coefficient = <S::Real as Scalar>::from_f64(coefficient);
            sum = slopes[(i + 1) * n + j].mul_add_constant(coefficient, sum);
        }
        out[j] = sum.mul_add(dt, y[j]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Σ_i b_i Φ_i − 1/γ` for every rooted tree of up to `order` nodes (Hairer, Nørsett & Wanner, *Solving Ordinary
    /// Differential Equations I*, II.2), for order up to 5.
    fn defects(tableau: &Tableau, weights: &[f64], order: u32, target: f64) -> Vec<f64> {
        let s = weights.len();
        let c = &tableau.nodes[..s];
        let a = |v: &[f64]| -> Vec<f64> {
            tableau.stages[..s]
                .iter()
                .map(|row| row.iter().zip(v).map(|(a, v)| a * v).sum())
                .collect()
        };
        let times =
            |v: &[f64], w: &[f64]| -> Vec<f64> { v.iter().zip(w).map(|(v, w)| v * w).collect() };
        let power = |k: i32| -> Vec<f64> { c.iter().map(|c| c.powi(k)).collect() };
        let (ac, ac2) = (a(c), a(&power(2)));
        let trees = [
            (1, power(0), 1.0),
            (2, power(1), 2.0),
            (3, power(2), 3.0),
            (3, ac.clone(), 6.0),
            (4, power(3), 4.0),
            (4, times(c, &ac), 8.0),
            (4, ac2.clone(), 12.0),
            (4, a(&ac), 24.0),
            (5, power(4), 5.0),
            (5, times(&power(2), &ac), 10.0),
            (5, times(&ac, &ac), 20.0),
            (5, times(c, &ac2), 15.0),
            (5, a(&power(3)), 20.0),
            (5, times(c, &a(&ac)), 30.0),
            (5, a(&times(c, &ac)), 40.0),
            (5, a(&ac2), 60.0),
            (5, a(&a(&ac)), 120.0),
        ];
        let up_to_order = trees.iter().filter(|(nodes, ..)| *nodes <= order);
        up_to_order
            .map(|(_, phi, gamma)| {
                phi.iter().zip(weights).map(|(phi, b)| phi * b).sum::<f64>() - target / gamma
            })
            .collect()
    }

    #[test]
    fn tableaus_meet_the_order_conditions() {
        for scheme in [Scheme::ForwardEuler, Scheme::Midpoint, Scheme::Tsit5] {
            let tableau = tableau(scheme).unwrap();
            for (row, &node) in tableau.stages.iter().zip(tableau.nodes) {
                assert!((row.iter().sum::<f64>() - node).abs() < 1e-14, "{scheme}: {row:?}");
            }
            for defect in defects(tableau, tableau.weights, scheme.order(), 1.0) {
                assert!(defect.abs() < 1e-14, "{scheme}: {defect}");
            }
            // The embedded scheme is of one order less.
            if let Some(error) = tableau.error {
                for defect in defects(tableau, error, scheme.order() - 1, 0.0) {
                    assert!(defect.abs() < 1e-14, "{scheme}: {defect}");
                }
            }
        }
    }
}
