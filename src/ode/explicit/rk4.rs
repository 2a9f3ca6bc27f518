//! The classical scheme of order 4, written out.

use super::{Ode, Sample};
use crate::scalar::{Param, Scalar};

/// One step from `y` `[n]`; of the workspace, `stage` has `[n]`, `room` `[m]`, `slope` `n` and what `rhs` needs.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) fn step<O: Ode, S: Scalar<Real = O::Real>>(
    ode: &O,
    params: &[Param<S>],
    sample: Sample<'_, S>,
    y: &[S],
    next: &mut [S],
    stage: &mut [S],
    room: &mut [S],
    slope: &mut [S],
) {
    let n = ode.state_dim();
    let Sample { t, dt, from, to, .. } = sample;
    let half = dt * S::from_f64(0.5);
    let sixth = dt * S::from_f64(1.0 / 6.0);
    let third = dt * S::from_f64(1.0 / 3.0);
    let middle = sample.inputs_at(0.5, room);
    // `next` gathers y + Δt (k₁/6 + k₂/3 + k₃/3), so that one operation is left after k₄.
    ode.rhs(params, t, y, from, slope);
    for j in 0..n {
        stage[j] = slope[j].mul_add(half, y[j]);
        next[j] = slope[j].mul_add(sixth, y[j]);
    }
    ode.rhs(params, t + half, stage, middle, slope);
    for j in 0..n {
        stage[j] = slope[j].mul_add(half, y[j]);
        next[j] = slope[j].mul_add(third, next[j]);
    }
    ode.rhs(params, t + half, stage, middle, slope);
    for j in 0..n {
        stage[j] = slope[j].mul_add(dt, y[j]);
        next[j] = slope[j].mul_add(third, next[j]);
    }
    ode.rhs(params, t + dt, stage, to, slope);
    for j in 0..n {
        next[j] = slope[j].mul_add(sixth, next[j]);
    }
}
