//! Random weights.

use crate::scalar::Real;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// `count` numbers, uniform between ±1/√`hidden`, from the ChaCha8 stream of `seed`.
///
/// Drawn as `f64` and rounded: an `f32` cell has the weights of the `f64` cell of the same seed.
pub(super) fn uniform<R: Real>(count: usize, hidden: usize, seed: u64) -> Vec<R> {
    let bound = 1.0 / (hidden.max(1) as f64).sqrt();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| R::from_f64(rng.random_range(-bound..=bound))).collect()
}
