//! The transposed derivative of a step.

use super::Weights;
use crate::cells::by_hand::{GruDims, PullBack, PulledBack, matrix};
use crate::cells::{matvec, slope};
use crate::graph::adjoint::Right;
use crate::scalar::{Param, Scalar};
use std::iter;

/// The left factors are the cotangents of the sums in `r`, in `z`, of `V_n h + c_n`, and of the sum in `n`, each `[hidden]`.
impl PullBack for GruDims {
    fn state_dim(self) -> usize {
        self.hidden
    }

    fn input_dim(self) -> usize {
        self.input
    }

    fn lefts(self) -> usize {
        4 * self.hidden
    }

    fn products(self) -> Vec<(usize, Right)> {
        let (m, n) = (self.input, self.hidden);
        let of_sums = || (0..2 * n).chain(3 * n..4 * n);
        matrix(of_sums(), (0..m).map(Right::Input))
            .chain(matrix(0..3 * n, (0..n).map(Right::State)))
            .chain(matrix(of_sums(), iter::once(Right::One)))
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
        let weights = Weights::<S>::new(params, m, n);
        let (h, u, cotangent) = (&x[..n], &u[..m], &cotangent[..n]);
        let PulledBack { of_state, of_input, lefts, next } = pulled;
        let (of_state, of_input) = (&mut of_state[..n], &mut of_input[..m]);
        let (lefts, next) = (&mut lefts[..4 * n], &mut next[..n]);
        let tiled = matvec::tiled::<S, 3, 2>(n);
        for i in (0..tiled).step_by(2) {
            let gates = weights.gates::<2>(i, h, u);
            for k in 0..2 {
                next[i + k] = gates[k].next(h[i + k]);
                let (of_sums, direct) = gates[k].pull_back(h[i + k], cotangent[i + k]);
                for g in 0..4 {
                    lefts[g * n + i + k] = of_sums[g];
                }
                of_state[i + k] = direct;
            }
        }
        for i in tiled..n {
            let [gates] = weights.gates::<1>(i, h, u);
            next[i] = gates.next(h[i]);
            let (of_sums, direct) = gates.pull_back(h[i], cotangent[i]);
            for g in 0..4 {
                lefts[g * n + i] = of_sums[g];
            }
            of_state[i] = direct;
        }
        matvec::add_transposed(of_state, weights.hh, &lefts[..3 * n]);
        of_input.fill(S::from_f64(0.0));
        let (of_r_and_z, of_n) = weights.ih.split_at(2 * n * m);
        matvec::add_transposed(of_input, of_r_and_z, &lefts[..2 * n]);
        matvec::add_transposed(of_input, of_n, &lefts[3 * n..]);
    }
}

impl<S: Scalar> super::Gates<S> {
    /// From the cotangent of `h'` those of the sums in `r`, in `z`, of `V_n h + c_n` and of the sum in `n`; and that of `h`
    /// where it is added in.
    #[inline(always)]
    fn pull_back(self, h: S, cotangent: S) -> ([S; 4], S) {
        let of_n = cotangent * (S::from_f64(1.0) - self.z) * slope::tanh(self.n);
        let of_z = cotangent * (h - self.n) * slope::sigmoid(self.z);
        let of_hidden_n = of_n * self.r;
        // σ' = r (1 − r), of which the r is there.
        let of_r = of_hidden_n * self.hidden_n * (S::from_f64(1.0) - self.r);
        ([of_r, of_z, of_hidden_n, of_n], cotangent * self.z)
    }
}
