//! The transposed derivative of a step.

use super::Weights;
use crate::cells::by_hand::{ElmanDims, PullBack, PulledBack, matrix};
use crate::cells::{matvec, slope};
use crate::graph::adjoint::Right;
use crate::scalar::{Param, Scalar};
use std::iter;

/// The left factors are the cotangents of the units' sums, `[hidden]`.
impl PullBack for ElmanDims {
    fn state_dim(self) -> usize {
        self.hidden
    }

    fn input_dim(self) -> usize {
        self.input
    }

    fn lefts(self) -> usize {
        self.hidden
    }

    fn products(self) -> Vec<(usize, Right)> {
        let (m, n) = (self.input, self.hidden);
        matrix(0..n, (0..m).map(Right::Input))
            .chain(matrix(0..n, (0..n).map(Right::State)))
            .chain(matrix(0..n, iter::once(Right::One)))
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
        let (lefts, next) = (&mut lefts[..n], &mut next[..n]);
        let tiled = matvec::tiled::<S, 1, 4>(n);
        for i in (0..tiled).step_by(4) {
            let tile: [S; 4] = weights.next(i, h, u);
            next[i..i + 4].copy_from_slice(&tile);
        }
        for (i, next) in next.iter_mut().enumerate().skip(tiled) {
            [*next] = weights.next(i, h, u);
        }
        for i in 0..n {
            lefts[i] = cotangent[i] * slope::tanh(next[i]);
        }
        of_state.fill(S::from_f64(0.0));
        matvec::add_transposed(of_state, weights.hh, lefts);
        of_input.fill(S::from_f64(0.0));
        matvec::add_transposed(of_input, weights.ih, lefts);
    }
}
