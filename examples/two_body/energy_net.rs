//! A network as an energy.

use crate::motion::N;
use deer_solver::ode::Energy;
use deer_solver::scalar::{Param, Scalar};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Units of a hidden layer, and hidden layers.
const WIDTH: usize = 64;
const LAYERS: usize = 6;

/// A network 8–64–64–64–64–64–64–1 with softplus as the energy. Parameters: for each layer its matrix, row by row, then its
/// biases.
#[derive(Clone, Debug)]
pub(crate) struct EnergyNet {
    weights: Vec<f64>,
}

impl EnergyNet {
    /// Normal weights of variance 1 over the inputs of a unit.
    pub(crate) fn random(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut weights = Vec::new();
        for layer in 0..=LAYERS {
            let inputs = if layer == 0 { N } else { WIDTH };
            let units = if layer == LAYERS { 1 } else { WIDTH };
            for _ in 0..units * inputs {
                let x: f64 = StandardNormal.sample(&mut rng);
                weights.push(x / (inputs as f64).sqrt());
            }
            weights.resize(weights.len() + units, 0.0);
        }
        Self { weights }
    }
}

impl Energy for EnergyNet {
    type Real = f64;
    fn dim(&self) -> usize {
        N / 2
    }
    fn params(&self) -> &[f64] {
        &self.weights
    }
    #[inline(always)]
    fn energy<S: Scalar<Real = f64>>(&self, mut params: &[Param<S>], q: &[S], p: &[S]) -> S {
        let mut values = [S::from_f64(0.0); WIDTH];
        values[..N / 2].copy_from_slice(q);
        values[N / 2..N].copy_from_slice(p);
        let mut inputs = N;
        for _ in 0..LAYERS {
            let mut sums = [S::from_f64(0.0); WIDTH];
            let (matrix, rest) = params.split_at(WIDTH * inputs);
            let (biases, rest) = rest.split_at(WIDTH);
            for i in 0..WIDTH {
                let mut sum = S::from(biases[i]);
                for j in 0..inputs {
                    sum = values[j].mul_add_param(matrix[i * inputs + j], sum);
                }
                sums[i] = sum.softplus();
            }
            (values, params, inputs) = (sums, rest, WIDTH);
        }
        let mut energy = S::from(params[WIDTH]);
        for j in 0..WIDTH {
            energy = values[j].mul_add_param(params[j], energy);
        }
        energy
    }
}
