//! Affine maps with one factor for all components.

use super::ScanOp;
use super::affine::{Affine, Form};
use super::componentwise::{Pass, pass};
use crate::scalar::{Real, sealed::Sealed};

/// Composition of affine maps `x ↦ a x + b` with a scalar `a`.
///
/// Element `[a, b n]`, width `n + 1`. A combine is `(a_j a_i, a_j b_i + b_j)` for `i` before
/// `j`: `2n + 1` flops. With every `a = 1` the scan is the cumulative sum of the `b`.
///
/// # Example
/// ```
/// use deer_solver::{Cpu, scan::AffineScalar};
///
/// // Exponential smoothing, s_t = s_{t−1}/2 + u_t/2.
/// let mut elements: Vec<f64> = [8.0, 4.0, 4.0].iter().flat_map(|u| [0.5, 0.5 * u]).collect();
/// Cpu::new().scan(&AffineScalar::new(1), &mut elements)?;
/// let smooth: Vec<f64> = elements.chunks(2).map(|e| e[1]).collect(); // from s = 0
/// assert_eq!(smooth, [4.0, 4.0, 4.0]);
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AffineScalar {
    n: usize,
}

impl AffineScalar {
    /// For states of `n` components.
    pub fn new(n: usize) -> Self {
        Self { n }
    }

    /// Numbers in one element, `n + 1`.
    pub fn width(&self) -> usize {
        self.n + 1
    }
}

impl Sealed for AffineScalar {}
impl Affine for AffineScalar {
    fn form(&self) -> Form {
        Form { n: self.n, size: 1, shared: true }
    }
}

impl<R: Real> ScanOp<R> for AffineScalar {
    fn width(&self) -> usize {
        AffineScalar::width(self)
    }

    fn identity(&self, out: &mut [R]) {
        out.fill(R::default());
        out[0] = R::one();
    }

    #[inline]
    fn combine(&self, earlier: &[R], later: &[R], out: &mut [R], _: &mut [R]) {
        let factor = later[0];
        out[0] = factor * earlier[0];
        for ((out, b_i), b_j) in out[1..].iter_mut().zip(&earlier[1..]).zip(&later[1..]) {
            *out = factor.mul_add(*b_i, *b_j);
        }
    }

    fn reduce_chunks(&self, elements: &[R], chunk: usize, totals: &mut [R], _: &mut [R]) {
        pass(self.form(), chunk, false, Pass::Reduce { elements, totals });
    }

    fn replay_chunks(
        &self,
        elements: &mut [R],
        chunk: usize,
        reverse: bool,
        prefixes: &[R],
        _: &mut [R],
    ) {
        pass(self.form(), chunk, reverse, Pass::Replay { elements, prefixes });
    }
}
