//! The model: a GRU, the mean of its states over time, a linear layer, softmax and cross entropy.

use crate::common::adam::Adam;
use crate::options::Options;
use deer_solver::Dynamics;
use deer_solver::cells::Gru;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// Means over time differ little from class to class: they are multiplied by this.
const GAIN: f32 = 10.0;

/// The weights.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) gru: Gru<f32>,
    pub(crate) readout: Readout,
}

/// The linear layer: for each class a weight for each unit, and a bias.
#[derive(Clone, Debug)]
pub(crate) struct Readout {
    hidden: usize,
    /// `[classes, hidden + 1]`
    params: Vec<f32>,
}

/// What one sequence adds to a loss.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Score {
    pub(crate) loss: f64,
    pub(crate) correct: usize,
}

/// One batch, forward and back.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Mean over the batch.
    pub(crate) loss: f64,
    pub(crate) correct: usize,
    /// Of the GRU's parameters, then of the readout's.
    pub(crate) gradient: Vec<f32>,
    pub(crate) forward: Duration,
    pub(crate) backward: Duration,
}

impl Model {
    pub(crate) fn new(options: &Options) -> Self {
        let hidden = options.hiddensize;
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed.wrapping_add(4 << 32));
        let bound = 1.0 / (hidden as f32).sqrt();
        let count = options.classes * (hidden + 1);
        let params = (0..count).map(|_| rng.random_range(-bound..=bound)).collect();
        Self { gru: Gru::random(1, hidden, options.seed), readout: Readout { hidden, params } }
    }

    /// Numbers of parameters of the GRU and of the readout.
    pub(crate) fn sizes(&self) -> [usize; 2] {
        [self.gru.params().len(), self.readout.params.len()]
    }

    /// A step of `adam` down `gradient`.
    pub(crate) fn learn(&mut self, adam: &mut Adam<f32>, gradient: &[f32]) {
        adam.update(self.gru.params_mut().iter_mut().chain(&mut self.readout.params), gradient);
    }
}

impl Readout {
    /// Probabilities of the classes, given the means of the states over time.
    fn probabilities(&self, means: &[f32]) -> Vec<f32> {
        let mut p: Vec<f32> = self
            .params
            .chunks_exact(self.hidden + 1)
            .map(|row| {
                let sum: f32 = row.iter().zip(means).map(|(w, x)| w * x).sum();
                GAIN * sum + row[self.hidden]
            })
            .collect();
        let largest = p.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        p.iter_mut().for_each(|p| *p = (*p - largest).exp());
        let total: f32 = p.iter().sum();
        p.iter_mut().for_each(|p| *p /= total);
        p
    }

    /// Loss of one sequence.
    pub(crate) fn score(&self, means: &[f32], label: usize) -> Score {
        score(&self.probabilities(means), label)
    }

    /// Loss of one sequence. Adds its gradient, times `weight`, to `gradient`, and puts that of the means into
    /// `cotangent`.
    pub(crate) fn pull(
        &self,
        means: &[f32],
        label: usize,
        weight: f32,
        gradient: &mut [f32],
        cotangent: &mut [f32],
    ) -> Score {
        let p = self.probabilities(means);
        cotangent.fill(0.0);
        let rows = self.params.chunks_exact(self.hidden + 1);
        let gradients = gradient.chunks_exact_mut(self.hidden + 1);
        for (class, (row, gradient)) in rows.zip(gradients).enumerate() {
            let error = weight * (p[class] - if class == label { 1.0 } else { 0.0 });
            for i in 0..self.hidden {
                gradient[i] += GAIN * error * means[i];
                cotangent[i] += GAIN * error * row[i];
            }
            gradient[self.hidden] += error;
        }
        score(&p, label)
    }
}

fn score(p: &[f32], label: usize) -> Score {
    let likeliest = p.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class);
    // A probability that is rounded to zero has no finite logarithm.
    let loss = -f64::from(p[label].max(f32::MIN_POSITIVE)).ln();
    Score { loss, correct: usize::from(likeliest == Some(label)) }
}
