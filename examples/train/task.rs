//! Sequences made on the spot: noise, and in it bursts of tones.
//!
//! Tones of every class sound in every sequence. Its class is the tone that sounds most often: a burst alone tells
//! nothing of it, only the whole sequence does.

use crate::options::Options;
use ndarray::{Array3, Axis};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::f32::consts::TAU;

/// Steps in which there is one burst.
const SLOT: usize = 128;
/// Steps of a burst.
const BURST: usize = 64;
/// Steps of a period of the tone of each class.
const PERIODS: [f32; 4] = [4.0, 8.0, 16.0, 32.0];
/// Of all bursts of a sequence, those of its class.
const SHARE: f32 = 0.6;
const AMPLITUDE: f32 = 2.0;
/// Standard deviation.
const NOISE: f32 = 1.0;

/// Sequences `[B, T, 1]` and their classes.
#[derive(Clone, Debug)]
pub(crate) struct Labelled {
    pub(crate) inputs: Array3<f32>,
    pub(crate) labels: Vec<usize>,
}

impl Labelled {
    /// `count` sequences from the ChaCha8 stream of `seed`, the classes in turn.
    fn new(count: usize, length: usize, classes: usize, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let labels: Vec<usize> = (0..count).map(|index| index % classes).collect();
        let mut inputs = Array3::zeros((count, length, 1));
        for (mut sequence, &label) in inputs.axis_iter_mut(Axis(0)).zip(&labels) {
            if let Some(sequence) = sequence.as_slice_mut() {
                fill(sequence, label, classes, &mut rng);
            }
        }
        Self { inputs, labels }
    }

    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// Those of the given indices.
    pub(crate) fn batch(&self, indices: &[usize]) -> Self {
        Self {
            inputs: self.inputs.select(Axis(0), indices),
            labels: indices.iter().map(|&index| self.labels[index]).collect(),
        }
    }
}

/// One sequence.
fn fill(sequence: &mut [f32], label: usize, classes: usize, rng: &mut ChaCha8Rng) {
    for x in sequence.iter_mut() {
        let noise: f32 = StandardNormal.sample(rng);
        *x = NOISE * noise;
    }
    let slots = sequence.len() / SLOT;
    let own = (SHARE * slots as f32).ceil() as usize;
    let mut tones: Vec<usize> = (0..slots)
        .map(|slot| if slot < own { label } else { (label + 1 + slot % (classes - 1)) % classes })
        .collect();
    tones.shuffle(rng);
    for (slot, tone) in sequence.chunks_exact_mut(SLOT).zip(tones) {
        let start = rng.random_range(0..=SLOT - BURST);
        let phase = rng.random_range(0.0..TAU);
        for (t, x) in slot[start..start + BURST].iter_mut().enumerate() {
            *x += AMPLITUDE * (TAU * t as f32 / PERIODS[tone] + phase).sin();
        }
    }
}

/// What is trained on, and what is held out.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) train: Labelled,
    pub(crate) heldout: Labelled,
    seed: u64,
}

impl Task {
    pub(crate) fn new(options: &Options) -> Self {
        let make = |count, stream| {
            let seed = options.seed.wrapping_add(stream);
            Labelled::new(count, options.length(), options.classes, seed)
        };
        // Other streams of random numbers than that of the weights.
        Self {
            train: make(options.sequences(), 1 << 32),
            heldout: make(options.heldout(), 2 << 32),
            seed: options.seed.wrapping_add(3 << 32),
        }
    }

    /// The batches of an epoch, as indices: another order each time.
    pub(crate) fn batches(&self, epoch: usize, size: usize) -> Vec<Vec<usize>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed.wrapping_add(epoch as u64));
        let mut order: Vec<usize> = (0..self.train.len()).collect();
        order.shuffle(&mut rng);
        order.chunks(size).map(<[usize]>::to_vec).collect()
    }
}
