//! Affine maps with diagonal matrices.

use super::ScanOp;
use super::affine::{Affine, Form};
use super::componentwise::{Pass, pass};
use crate::scalar::{Real, sealed::Sealed};

/// Composition of affine maps `x ↦ a ⊙ x + b`, each component by itself.
///
/// Element `[a n, b n]`, width `2n`. A combine is `(a_j a_i, a_j b_i + b_j)` for `i` before `j`:
/// `3n` flops.
///
/// # Example
/// ```
/// use deer_solver::scan::{AffineDiagonal, ScanOp};
///
/// let mut out = [0.0; 4];
/// let op = AffineDiagonal::new(2);
/// op.combine(&[2.0, 3.0, 1.0, 1.0], &[5.0, 7.0, 0.0, 1.0], &mut out, &mut []);
/// assert_eq!(out, [10.0, 21.0, 5.0, 8.0]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AffineDiagonal {
    n: usize,
}

impl AffineDiagonal {
    /// For states of `n` components.
    pub fn new(n: usize) -> Self {
        Self { n }
    }

    /// Numbers in one element, `2n`.
    pub fn width(&self) -> usize {
        2 * self.n
    }
}

impl Sealed for AffineDiagonal {}
impl Affine for AffineDiagonal {
    fn form(&self) -> Form {
        Form { n: self.n, size: 1, shared: false }
    }
}

impl<R: Real> ScanOp<R> for AffineDiagonal {
    fn width(&self) -> usize {
        AffineDiagonal::width(self)
    }

    fn identity(&self, out: &mut [R]) {
        out[..self.n].fill(R::one());
        out[self.n..].fill(R::default());
    }

    #[inline]
    fn combine(&self, earlier: &[R], later: &[R], out: &mut [R], _: &mut [R]) {
        let (a_i, b_i) = earlier.split_at(self.n);
        let (a_j, b_j) = later.split_at(self.n);
        let (a, b) = out.split_at_mut(self.n);
        for q in 0..self.n {
            a[q] = a_j[q] * a_i[q];
            b[q] = a_j[q].mul_add(b_i[q], b_j[q]);
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
