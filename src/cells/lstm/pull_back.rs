//! The transposed derivative of a step.

use super::{Gates, Weights};
use crate::cells::by_hand::{LstmDims, PullBack, PulledBack, matrix};
use crate::cells::{matvec, slope};
use crate::graph::adjoint::Right;
use crate::scalar::{Param, Scalar};
use std::iter;

/// The left factors are the cotangents of the sums in `i, f, g, o`, each `[hidden]`.
impl PullBack for LstmDims {
    fn state_dim(self) -> usize {
        2 * self.hidden
    }

    fn input_dim(self) -> usize {
        self.input
    }

    fn lefts(self) -> usize {
        4 * self.hidden
    }

    fn products(self) -> Vec<(usize, Right)> {
        let (m, n) = (self.input, self.hidden);
        matrix(0..4 * n, (0..m).map(Right::Input))
            .chain(matrix(0..4 * n, (0..n).map(Right::State)))
            .chain(matrix(0..4 * n, iter::once(Right::One)))
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
        let (of_input, lefts) = (&mut of_input[..m], &mut lefts[..4 * n]);
        let tiled = matvec::tiled::<S, 4, 2>(n);
        for first in (0..tiled).step_by(2) {
            let [i, f, g, o] = weights.sums::<2>(first, h, u);
            for k in 0..2 {
                let unit = first + k;
                let gates = Gates::new([i[k], f[k], g[k], o[k]], c[unit]);
                (next_h[unit], next_c[unit]) = (gates.hidden(), gates.cell);
                let (of_sums, of_cell) = gates.pull_back(c[unit], of_next_h[unit], of_next_c[unit]);
                for g in 0..4 {
                    lefts[g * n + unit] = of_sums[g];
                }
                of_c[unit] = of_cell;
            }
        }
        for unit in tiled..n {
            let gates = weights.gates(unit, h, c[unit], u);
            (next_h[unit], next_c[unit]) = (gates.hidden(), gates.cell);
            let (of_sums, of_cell) = gates.pull_back(c[unit], of_next_h[unit], of_next_c[unit]);
            for g in 0..4 {
                lefts[g * n + unit] = of_sums[g];
            }
            of_c[unit] = of_cell;
        }
        of_h.fill(S::from_f64(0.0));
        matvec::add_transposed(of_h, weights.hh, lefts);
        of_input.fill(S::from_f64(0.0));
        matvec::add_transposed(of_input, weights.ih, lefts);
    }
}

impl<S: Scalar> Gates<S> {
    /// From the cotangents of `h'` and `c'` those of the sums in `i, f, g, o`; and that of `c`.
    #[inline(always)]
    fn pull_back(self, c: S, of_hidden: S, of_cell: S) -> ([S; 4], S) {
        let of_o = of_hidden * self.tanh_cell * slope::sigmoid(self.o);
        let of_cell = (of_hidden * self.o).mul_add(slope::tanh(self.tanh_cell), of_cell);
        let of_i = of_cell * self.g * slope::sigmoid(self.i);
        let of_f = of_cell * self.f;
        let of_g = of_cell * self.i * slope::tanh(self.g);
        // σ' = f (1 − f), of which the f is there.
        let of_sum_f = of_f * c * (S::from_f64(1.0) - self.f);
        ([of_i, of_sum_f, of_g, of_o], of_f)
    }
}
