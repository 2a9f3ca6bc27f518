//! The transposed derivative of a step.

use super::{Gates, Weights};
use crate::cells::by_hand::{DiagonalLstmDims, PullBack, PulledBack, matrix};
use crate::cells::{matvec, slope};
use crate::graph::adjoint::Right;
use crate::scalar::{Param, Scalar};
use std::iter;

/// The left factors are the cotangents of the sums in `f, o, g`, each `[hidden]`; `c'` is a right one.
impl PullBack for DiagonalLstmDims {
    fn state_dim(self) -> usize {
        2 * self.hidden
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
            .chain((0..3 * n).map(|left| (left, Right::State(left % n))))
            .chain((0..n).map(|unit| (unit, Right::State(n + unit))))
            .chain((0..n).map(|unit| (n + unit, Right::Computed(unit))))
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
        let (h, c, u) = (&x[..n], &x[n..][..n], &u[..m]);
        let (of_next_h, of_next_c) = (&cotangent[..n], &cotangent[n..][..n]);
        let PulledBack { of_state, of_input, lefts, next } = pulled;
        let (of_h, of_c) = of_state[..2 * n].split_at_mut(n);
        let (next_h, next_c) = next[..2 * n].split_at_mut(n);
        let of_input = &mut of_input[..m];
        let (lefts, computed) = lefts[..4 * n].split_at_mut(3 * n);
        for i in 0..n {
            let gates = weights.gates(i, h[i], c[i], u);
            (next_h[i], next_c[i], computed[i]) = (gates.hidden(), gates.cell, gates.cell);
            let ([a_f, a_o, a_g], peepholes) = (weights.recurrent(i), weights.peepholes(i));
            let (of_sums, of_cell) = gates.pull_back(peepholes, c[i], of_next_h[i], of_next_c[i]);
            let [of_f, of_o, of_g] = of_sums;
            (lefts[i], lefts[n + i], lefts[2 * n + i]) = (of_f, of_o, of_g);
            of_h[i] = of_f.mul_add_param(a_f, of_o.mul_add_param(a_o, of_g * a_g));
            of_c[i] = of_cell;
        }
        of_input.fill(S::from_f64(0.0));
        matvec::add_transposed(of_input, weights.ih, lefts);
    }
}

impl<S: Scalar> Gates<S> {
    /// From the cotangents of `h'` and `c'` those of the sums in `f, o, g`, given the unit's peepholes; and that of `c`.
    #[inline(always)]
    fn pull_back(self, [p_f, p_o]: [Param<S>; 2], c: S, of_hidden: S, of_cell: S) -> ([S; 3], S) {
        let Self { f, o, g, tanh_cell, .. } = self;
        let of_o = of_hidden * tanh_cell * slope::sigmoid(o);
        let of_cell = (of_hidden * o).mul_add(slope::tanh(tanh_cell), of_cell);
        let of_cell = of_o.mul_add_param(p_o, of_cell);
        let of_f = of_cell * (c - g) * slope::sigmoid(f);
        let of_g = of_cell * (S::from_f64(1.0) - f) * slope::tanh(g);
        ([of_f, of_o, of_g], of_f.mul_add_param(p_f, of_cell * f))
    }
}
