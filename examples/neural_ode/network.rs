//! A small network as the right-hand side of an equation, and the loop that one would write for it.

use crate::common::cli::Misuse;
use deer_solver::ode::Ode;
use deer_solver::scalar::{Param, Scalar};
use ndarray::{Array, Array1, Array2, Dimension};
use ndarray_npy::NpzReader;
use std::fs::File;

/// Components of the state, and units of the hidden layer.
pub(crate) const N: usize = 4;

/// ẏ = −6 tanh(A₁ relu(A₀ y)) − 10 y³ + 30 sin 6t + 3, with the parameters A₀, then A₁, row by row.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) weights: Vec<f64>,
}

/// The network and the initial state of the reference data.
pub(crate) fn reference() -> Result<(Network, Array1<f64>), Misuse> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/neural_ode_test_solve_ivp.npz");
    let mut archive = NpzReader::new(File::open(path)?)?;
    let a0: Array2<f64> = read(&mut archive, "A0.npy")?;
    let a1: Array2<f64> = read(&mut archive, "A1.npy")?;
    let y0: Array1<f64> = read(&mut archive, "y0.npy")?;
    Ok((Network { weights: a0.into_iter().chain(a1).collect() }, y0))
}

fn read<D: Dimension>(archive: &mut NpzReader<File>, name: &str) -> Result<Array<f64, D>, Misuse> {
    Ok(archive.by_name::<ndarray::OwnedRepr<f64>, D>(name)?)
}

impl Network {
    /// RK4 step by step in plain numbers: `steps` of `dt` from `y0` at 0, `[steps][N]`.
    #[inline(never)]
    pub(crate) fn step_by_step(&self, y0: [f64; N], dt: f64, steps: usize) -> Vec<[f64; N]> {
        let slope = |t: f64, y: &[f64; N]| -> [f64; N] {
            let (a0, a1) = self.weights.split_at(N * N);
            let layer = |matrix: &[f64], x: &[f64; N], i: usize| -> f64 {
                (0..N).map(|j| matrix[N * i + j] * x[j]).sum()
            };
            let hidden = std::array::from_fn(|i| layer(a0, y, i).max(0.0));
            let force = 30.0 * (6.0 * t).sin() + 3.0;
            std::array::from_fn(|i| {
                force - 6.0 * layer(a1, &hidden, i).tanh() - 10.0 * y[i] * y[i] * y[i]
            })
        };
        let along = |y: &[f64; N], k: &[f64; N], h: f64| std::array::from_fn(|i| y[i] + h * k[i]);
        let mut y = y0;
        (0..steps)
            .map(|step| {
                let t = step as f64 * dt;
                let k1 = slope(t, &y);
                let k2 = slope(t + 0.5 * dt, &along(&y, &k1, 0.5 * dt));
                let k3 = slope(t + 0.5 * dt, &along(&y, &k2, 0.5 * dt));
                let k4 = slope(t + dt, &along(&y, &k3, dt));
                for i in 0..N {
                    y[i] += dt / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]);
                }
                y
            })
            .collect()
    }
}

impl Ode for Network {
    type Real = f64;
    fn state_dim(&self) -> usize {
        N
    }
    fn params(&self) -> &[f64] {
        &self.weights
    }
    fn scratch_dim(&self) -> usize {
        N
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, p: &[Param<S>], t: S, y: &[S], _: &[S], dy: &mut [S]) {
        let (dy, hidden) = dy.split_at_mut(N);
        for i in 0..N {
            let mut sum = y[0] * p[N * i];
            for j in 1..N {
                sum = y[j].mul_add_param(p[N * i + j], sum);
            }
            hidden[i] = sum.relu();
        }
        let force = (t * 6.0).sin() * 30.0 + 3.0;
        for i in 0..N {
            let mut sum = hidden[0] * p[N * (N + i)];
            for j in 1..N {
                sum = hidden[j].mul_add_param(p[N * (N + i) + j], sum);
            }
            dy[i] = force - sum.tanh() * 6.0 - y[i] * y[i] * y[i] * 10.0;
        }
    }
}
