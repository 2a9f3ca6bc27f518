//! A pendulum by its position, velocity and tension, and the loop that one would write for it.

use deer_solver::ode::Dae;
use deer_solver::scalar::{Param, Scalar};

/// Components of the state `x, y, u, v, T`.
pub(crate) const N: usize = 5;

/// x' = u, y' = v, u' = −T x, v' = −T y − g, x² + y² = 1: of index 3, since the constraint has to be differentiated
/// three times to give an equation for T.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pendulum {
    /// Metre a second².
    pub(crate) gravity: [f64; 1],
}

impl Pendulum {
    /// Level, at rest.
    pub(crate) const START: [f64; N] = [1.0, 0.0, 0.0, 0.0, 0.0];

    /// Backward Euler step by step: Newton's method from the state before, the derivative by hand, elimination with
    /// partial pivoting. `steps` of `dt` from [`START`](Self::START), `[steps][N]`.
    #[inline(never)]
    pub(crate) fn step_by_step(&self, dt: f64, steps: usize) -> Vec<[f64; N]> {
        /// The next correction is about the square of this one: below rounding.
        const ENOUGH: f64 = 1e-8;
        const MOST: usize = 50;
        let (rate, g) = (1.0 / dt, self.gravity[0]);
        let mut state = Self::START;
        (0..steps)
            .map(|_| {
                let before = state;
                for _ in 0..MOST {
                    let [x, y, u, v, tension] = state;
                    let mut residual = [
                        (x - before[0]) * rate - u,
                        (y - before[1]) * rate - v,
                        (u - before[2]) * rate + tension * x,
                        (v - before[3]) * rate + tension * y + g,
                        x * x + y * y - 1.0,
                    ];
                    let matrix = [
                        [rate, 0.0, -1.0, 0.0, 0.0],
                        [0.0, rate, 0.0, -1.0, 0.0],
                        [tension, 0.0, rate, 0.0, x],
                        [0.0, tension, 0.0, rate, y],
                        [2.0 * x, 2.0 * y, 0.0, 0.0, 0.0],
                    ];
                    solve(matrix, &mut residual);
                    let mut largest = 0.0f64;
                    for (state, correction) in state.iter_mut().zip(residual) {
                        *state -= correction;
                        largest = largest.max(correction.abs() / (1.0 + state.abs()));
                    }
                    if largest < ENOUGH {
                        break;
                    }
                }
                state
            })
            .collect()
    }
}

/// Replaces `b` by the solution of `matrix · x = b`.
fn solve(mut matrix: [[f64; N]; N], b: &mut [f64; N]) {
    for c in 0..N {
        let pivot =
            (c..N).fold(
                c,
                |best, row| {
                    if matrix[row][c].abs() > matrix[best][c].abs() { row } else { best }
                },
            );
        matrix.swap(c, pivot);
        b.swap(c, pivot);
        let upper = matrix[c];
        for row in c + 1..N {
            let factor = matrix[row][c] / upper[c];
            for (lower, upper) in matrix[row].iter_mut().zip(upper).skip(c) {
                *lower -= factor * upper;
            }
            b[row] -= factor * b[c];
        }
    }
    for c in (0..N).rev() {
        let known: f64 = (c + 1..N).map(|j| matrix[c][j] * b[j]).sum();
        b[c] = (b[c] - known) / matrix[c][c];
    }
}

impl Dae for Pendulum {
    type Real = f64;
    fn state_dim(&self) -> usize {
        N
    }
    fn params(&self) -> &[f64] {
        &self.gravity
    }
    #[inline(always)]
    fn residual<S: Scalar<Real = f64>>(
        &self,
        gravity: &[Param<S>],
        _t: S,
        dy: &[S],
        y: &[S],
        _u: &[S],
        r: &mut [S],
    ) {
        r[0] = dy[0] - y[2];
        r[1] = dy[1] - y[3];
        r[2] = dy[2] + y[4] * y[0];
        r[3] = dy[3] + y[4] * y[1] + gravity[0];
        r[4] = y[0] * y[0] + y[1] * y[1] - 1.0;
    }
}
