//! Two bodies in the plane, by their right-hand side and by their energy.

use deer_solver::ode::{Energy, Ode};
use deer_solver::scalar::{Param, Scalar};

/// Components of the state: positions of both, then velocities.
pub(crate) const N: usize = 8;

/// Two bodies of unit mass that attract each other, the constant of gravity 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TwoBody;

impl TwoBody {
    #[inline(always)]
    fn slope(y: &[f64; N]) -> [f64; N] {
        let (dx, dz) = (y[2] - y[0], y[3] - y[1]);
        let square = dx * dx + dz * dz;
        let pull = 1.0 / (square * square.sqrt());
        let (ax, az) = (dx * pull, dz * pull);
        [y[4], y[5], y[6], y[7], ax, az, -ax, -az]
    }

    /// RK4 step by step in plain numbers: `steps` of `dt` from `y`, `[steps][N]`.
    #[inline(never)]
    pub(crate) fn step_by_step(y: [f64; N], dt: f64, steps: usize) -> Vec<[f64; N]> {
        rk4(Self::slope, y, dt, steps)
    }
}

/// The classical scheme, written out.
#[inline(always)]
pub(crate) fn rk4<const M: usize>(
    slope: impl Fn(&[f64; M]) -> [f64; M],
    mut y: [f64; M],
    dt: f64,
    steps: usize,
) -> Vec<[f64; M]> {
    let along = |y: &[f64; M], k: &[f64; M], h: f64| -> [f64; M] {
        std::array::from_fn(|i| y[i] + h * k[i])
    };
    (0..steps)
        .map(|_| {
            let k1 = slope(&y);
            let k2 = slope(&along(&y, &k1, 0.5 * dt));
            let k3 = slope(&along(&y, &k2, 0.5 * dt));
            let k4 = slope(&along(&y, &k3, dt));
            for i in 0..M {
                y[i] += dt / 6.0 * (k1[i] + 2.0 * (k2[i] + k3[i]) + k4[i]);
            }
            y
        })
        .collect()
}

impl Ode for TwoBody {
    type Real = f64;
    fn state_dim(&self) -> usize {
        N
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
        let (dx, dz) = (y[2] - y[0], y[3] - y[1]);
        let square = dx * dx + dz * dz;
        let pull = (square * square.sqrt()).recip();
        dy[..4].copy_from_slice(&y[4..N]);
        (dy[4], dy[5]) = (dx * pull, dz * pull);
        (dy[6], dy[7]) = (-(dx * pull), -(dz * pull));
    }
}

impl Energy for TwoBody {
    type Real = f64;
    fn dim(&self) -> usize {
        N / 2
    }
    #[inline(always)]
    fn energy<S: Scalar<Real = f64>>(&self, _: &[Param<S>], q: &[S], p: &[S]) -> S {
        let (dx, dz) = (q[2] - q[0], q[3] - q[1]);
        let mut kinetic = S::from_f64(0.0);
        for &p in p {
            kinetic += p * p * 0.5;
        }
        kinetic - (dx * dx + dz * dz).sqrt().recip()
    }
}
