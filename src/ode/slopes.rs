//! The right-hand side along a trajectory.

use super::Ode;
use crate::scalar::dispatch::{Kernel, dispatch};
use crate::scalar::{InstructionSet, Isa, Lanes, Parameter, Real, Scalar};
use ndarray::{Array2, ArrayView1, ArrayView2};

/// `g(t_k, y_k)` `[T, n]` of an equation without inputs for `times` `[T]` and `states` `[T, n]`.
pub(super) fn along<O: Ode>(
    ode: &O,
    times: ArrayView1<'_, O::Real>,
    states: ArrayView2<'_, O::Real>,
) -> Array2<O::Real> {
    let mut slopes = Array2::default(states.raw_dim());
    dispatch(InstructionSet::detect(), Slopes { ode, times, states, slopes: &mut slopes });
    slopes
}

/// `ẏ` `[T, n]` along `states` `[T, n]` at `times` `[T]` where there is no right-hand side: that of the parabola through each
/// point and both its neighbours. From a state that is not finite on they are 0.
pub(super) fn differences<R: Real>(
    times: ArrayView1<'_, R>,
    states: ArrayView2<'_, R>,
) -> Array2<R> {
    let finite = states.outer_iter().take_while(|y| y.iter().all(|y| y.is_finite())).count();
    let mut slopes = Array2::default(states.raw_dim());
    if finite < 2 {
        return slopes;
    }
    let dt = |k: usize| times[k + 1] - times[k];
    for j in 0..states.ncols() {
        let secant = |k: usize| (states[[k + 1, j]] - states[[k, j]]) / dt(k);
        for k in 0..finite {
            // The parabola's slope is linear in time, and a secant's in the middle.
            let left = k.saturating_sub(1).min(finite.saturating_sub(3));
            slopes[[k, j]] = if finite == 2 {
                secant(0)
            } else {
                let bend = (secant(left + 1) - secant(left)) / (dt(left) + dt(left + 1));
                let twice = (times[k] - times[left]) + (times[k] - times[left + 1]);
                secant(left) + bend * twice
            };
        }
    }
    slopes
}

struct Slopes<'k, O: Ode> {
    ode: &'k O,
    times: ArrayView1<'k, O::Real>,
    states: ArrayView2<'k, O::Real>,
    slopes: &'k mut Array2<O::Real>,
}

impl<O: Ode> Kernel for Slopes<'_, O> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { ode, times, states, slopes } = self;
        let (points, n) = states.dim();
        let zero = Lanes::<O::Real, I, 1>::from_f64(0.0);
        let lanes = Lanes::<O::Real, I, 1>::LANES;
        let params = Parameter::from_slice(ode.params());
        let (mut t, mut y) = (zero, vec![zero; n]);
        let mut slope = vec![zero; n + ode.scratch_dim()];
        for first in (0..points).step_by(lanes) {
            let used = lanes.min(points - first);
            for lane in 0..lanes {
                // Lanes that are left over repeat the last point.
                let k = first + lane.min(used - 1);
                t.set_lane(lane, times[k]);
                for j in 0..n {
                    y[j].set_lane(lane, states[[k, j]]);
                }
            }
            ode.rhs(params, t, &y, &[], &mut slope);
            for lane in 0..used {
                for j in 0..n {
                    slopes[[first + lane, j]] = slope[j].lane(lane);
                }
            }
        }
    }
}
