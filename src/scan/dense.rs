//! Affine maps with dense matrices.

use super::ScanOp;
use super::affine::{Affine, Form};
use super::product::{multiply_add, product};
use crate::scalar::{Real, sealed::Sealed};

/// Composition of affine maps `x ↦ A x + b` with dense `A`.
///
/// Element `[A row-major n × n, b n]`, width `n² + n`. A combine is `(A_j A_i, A_j b_i + b_j)`
/// for `i` before `j`: `2n³ + 2n²` flops. From `n = 5` on, the product is faer's where the
/// feature `cpu` or `faer` is on.
///
/// # Example
/// ```
/// use deer_solver::scan::{AffineDense, ScanOp};
///
/// let mut out = [0.0; 2];
/// AffineDense::new(1).combine(&[2.0, 1.0], &[3.0, 5.0], &mut out, &mut []);
/// assert_eq!(out, [6.0, 8.0]); // 3 (2x + 1) + 5
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AffineDense {
    n: usize,
}

impl AffineDense {
    /// For states of `n` components.
    pub fn new(n: usize) -> Self {
        Self { n }
    }

    /// Numbers in one element, `n² + n`.
    pub fn width(&self) -> usize {
        self.n * (self.n + 1)
    }
}

impl Sealed for AffineDense {}
impl Affine for AffineDense {
    fn form(&self) -> Form {
        Form { n: self.n, size: self.n, shared: false }
    }
}

impl<R: Real> ScanOp<R> for AffineDense {
    fn width(&self) -> usize {
        AffineDense::width(self)
    }

    fn identity(&self, out: &mut [R]) {
        out.fill(R::default());
        for i in 0..self.n {
            out[i * (self.n + 1)] = R::one();
        }
    }

    #[inline]
    fn combine(&self, earlier: &[R], later: &[R], out: &mut [R], _: &mut [R]) {
        let entries = self.n * self.n;
        let (a_i, b_i) = earlier.split_at(entries);
        let (a_j, b_j) = later.split_at(entries);
        let (a, b) = out.split_at_mut(entries);
        product(self.n, a_j, a_i, a);
        multiply_add(a_j, b_i, b_j, b);
    }
}
