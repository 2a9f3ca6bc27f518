//! The right-hand side along a trajectory.

use super::Ode;
use crate::scalar::dispatch::{Kernel, dispatch};
use crate::scalar::{InstructionSet, Isa, Lanes, Parameter, Scalar};
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
