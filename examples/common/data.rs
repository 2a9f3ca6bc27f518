//! Inputs to run on.

use deer_solver::Real;
use ndarray::Array3;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Independent numbers of mean 0 and standard deviation 1, `[B, T, m]`, from the ChaCha8 stream of
/// `seed`. The same in both precisions, but for rounding.
pub(crate) fn normal<R: Real>(shape: (usize, usize, usize), seed: u64) -> Array3<R> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array3::from_shape_simple_fn(shape, || {
        let x: f64 = StandardNormal.sample(&mut rng);
        R::from_f64(x)
    })
}
