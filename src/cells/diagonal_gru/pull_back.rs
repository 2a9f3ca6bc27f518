//! The transposed derivative of a step.

use super::{Gates, Weights};
use crate::cells::by_hand::{DiagonalGruDims, PullBack, PulledBack, matrix};
use crate::cells::{matvec, slope};
use crate::graph::adjoint::Right;
use crate::scalar::{Param, Scalar};
use std::iter;

/// The left factors are the cotangents of the sums in `z, r, n`, each `[hidden]`; `r ⊙ h` is a right one.
impl PullBack for DiagonalGruDims {
    fn state_dim(self) -> usize {
        self.hidden
    }

    fn input_dim(self) -> usize {
        self.input
    }

    fn lefts(self) -> usize {
        3 * self.hidden
    }

    fn computed(self) -> usize {
        self.hidden
    }

    fn products(self) -> Vec<(usize, Right)> {
        let (m, n) = (self.input, self.hidden);
        matrix(0..3 * n, (0..m).map(Right::Input))
            .chain((0..2 * n).map(|left| (left, Right::State(left % n))))
            .chain((0..n).map(|unit| (2 * n + unit, Right::Computed(unit))))
            .chain(matrix(0..3 * n, iter::once(Right::One)))
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
        let (lefts, computed) = lefts[..4 * n].split_at_mut(3 * n);
        let next = &mut next[..n];
        for i in 0..n {
            let gates = weights.gates(i, h[i], u);
            next[i] = gates.next(h[i]);
            computed[i] = gates.r * h[i];
            let (of_sums, of_h) = gates.pull_back(weights.recurrent(i), h[i], cotangent[i]);
            for g in 0..3 {
                lefts[g * n + i] = of_sums[g];
            }
            of_state[i] = of_h;
        }
        of_input.fill(S::from_f64(0.0));
        matvec::add_transposed(of_input, weights.ih, lefts);
    }
}

impl<S: Scalar> Gates<S> {
    /// From the cotangent of `h'` those of the sums in `z, r, n`, given the unit's recurrent weights; and that of `h`.
    #[inline(always)]
    fn pull_back(self, [a_z, a_r, a_n]: [Param<S>; 3], h: S, cotangent: S) -> ([S; 3], S) {
        let Self { z, r, n } = self;
        let of_z = cotangent * (n - h) * slope::sigmoid(z);
        let of_n = cotangent * z * slope::tanh(n);
        // Of r ⊙ h.
        let of_product = of_n * a_n;
        let of_r = of_product * h * slope::sigmoid(r);
        let direct = (-cotangent).mul_add(z, cotangent);
        let of_h = of_z.mul_add_param(a_z, of_r.mul_add_param(a_r, of_product.mul_add(r, direct)));
        ([of_z, of_r, of_n], of_h)
    }
}
