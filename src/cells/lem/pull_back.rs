//! The transposed derivative of a step.

use super::{Weights, relax, relax_slopes};
use crate::cells::by_hand::{LemDims, PullBack, PulledBack, matrix};
use crate::cells::matvec;
use crate::graph::adjoint::Right;
use crate::scalar::{Param, Scalar};
use std::iter;

/// The left factors are the cotangents of the sums with the rows `1, 2, z, y`, each `[hidden]`; `z'` is a right one.
impl PullBack for LemDims {
    fn state_dim(self) -> usize {
        2 * self.hidden
    }

    fn input_dim(self) -> usize {
        self.input
    }

    fn lefts(self) -> usize {
        4 * self.hidden
    }

    fn computed(self) -> usize {
        self.hidden
    }

    fn products(self) -> Vec<(usize, Right)> {
        let (m, n) = (self.input, self.hidden);
        let with_y = || (0..2 * n).chain(3 * n..4 * n);
        matrix(0..4 * n, (0..m).map(Right::Input))
            .chain(matrix(0..4 * n, iter::once(Right::One)))
            .chain(matrix(with_y(), (0..n).map(Right::State)))
            .chain(matrix(with_y(), iter::once(Right::One)))
            .chain(matrix(2 * n..3 * n, (0..n).map(Right::Computed)))
            .chain(matrix(2 * n..3 * n, iter::once(Right::One)))
            .collect()
    }

    #[inline(always)]
    fn pull_back<S: Scalar>(
        self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        cotangent: &[S],
        pulled: PulledBack<'_, S>,
    ) {
        let (m, n) = (self.input, self.hidden);
        let (one, zero) = (S::from_f64(1.0), S::from_f64(0.0));
        let dt = S::Real::from_f64(self.dt);
        let weights = Weights::<S>::new(params, m, n);
        let (y, z, u) = (&x[..n], &x[n..][..n], &u[..m]);
        let (of_next_y, of_next_z) = (&cotangent[..n], &cotangent[n..][..n]);
        let PulledBack { of_state, of_input, lefts, next } = pulled;
        let (of_y, of_z) = of_state[..2 * n].split_at_mut(n);
        let (next_y, next_z) = next[..2 * n].split_at_mut(n);
        let (lefts, computed) = lefts[..5 * n].split_at_mut(4 * n);
        let (of_rates, of_targets) = lefts.split_at_mut(2 * n);
        let ((of_1, of_2), (of_sum_z, of_sum_y)) =
            (of_rates.split_at_mut(n), of_targets.split_at_mut(n));
        for i in 0..n {
            let gates = weights.gates(i, y, u);
            next_z[i] = relax(z[i], gates.rates[1], dt, gates.target);
            // Rates and target of z, and what goes into y's, wait in the places of their cotangents.
            [of_1[i], of_2[i]] = gates.rates;
            (of_sum_z[i], of_sum_y[i]) = (gates.input_z, gates.target);
        }
        for i in 0..n {
            let (rate, target) = (of_1[i], weights.target_y(i, of_sum_z[i], next_z));
            next_y[i] = relax(y[i], rate, dt, target);
            let [in_rate, in_target] = relax_slopes(y[i], rate, dt, target);
            of_1[i] = of_next_y[i] * in_rate;
            of_sum_z[i] = of_next_y[i] * in_target;
            of_y[i] = of_next_y[i] * (one - rate * dt);
        }
        computed.copy_from_slice(next_z);
        of_z.copy_from_slice(of_next_z);
        matvec::add_transposed(of_z, weights.z, of_sum_z);
        for i in 0..n {
            let (rate, target) = (of_2[i], of_sum_y[i]);
            let [in_rate, in_target] = relax_slopes(z[i], rate, dt, target);
            of_2[i] = of_z[i] * in_rate;
            of_sum_y[i] = of_z[i] * in_target;
            of_z[i] *= one - rate * dt;
        }
        let (of_1_and_2, of_sum_y) = (&lefts[..2 * n], &lefts[3 * n..]);
        let (rates, target) = weights.hh.split_at(2 * n * n);
        matvec::add_transposed(of_y, rates, of_1_and_2);
        matvec::add_transposed(of_y, target, of_sum_y);
        of_input.fill(zero);
        matvec::add_transposed(&mut of_input[..m], weights.ih, lefts);
    }
}
