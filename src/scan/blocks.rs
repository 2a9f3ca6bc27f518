//! Affine maps with block-diagonal matrices.

use super::ScanOp;
use super::affine::{Affine, Form};
use super::product::{multiply_add, product};
use crate::scalar::{Real, sealed::Sealed};
use crate::{Error, Result};

/// Composition of affine maps `x ↦ A x + b` with `A` of `n/k` blocks `k × k` along its diagonal.
///
/// Block `q` acts on the components `q·k, …, q·k + k − 1`. Element `[n/k blocks k × k row-major,
/// b n]`, width `nk + n`. A combine is `(A_j A_i, A_j b_i + b_j)` for `i` before `j`: `2nk² +
/// 2nk` flops.
///
/// # Example
/// ```
/// use deer_solver::scan::AffineBlocks;
///
/// assert_eq!(AffineBlocks::new(6, 2)?.width(), 3 * 4 + 6);
/// assert!(AffineBlocks::new(6, 4).is_err());
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AffineBlocks {
    n: usize,
    k: usize,
}

impl AffineBlocks {
    /// For states of `n` components in blocks of `k`.
    ///
    /// # Errors
    /// [`Error::Setting`] where `k` is 0 or does not divide `n`.
    pub fn new(n: usize, k: usize) -> Result<Self> {
        if k == 0 || !n.is_multiple_of(k) {
            return Err(Error::setting("k", format!("a divisor of n = {n}"), k));
        }
        Ok(Self { n, k })
    }

    /// Numbers in one element, `nk + n`.
    pub fn width(&self) -> usize {
        self.n * (self.k + 1)
    }
}

impl Sealed for AffineBlocks {}
impl Affine for AffineBlocks {
    fn form(&self) -> Form {
        Form { n: self.n, size: self.k, shared: false }
    }
}

impl<R: Real> ScanOp<R> for AffineBlocks {
    fn width(&self) -> usize {
        AffineBlocks::width(self)
    }

    fn identity(&self, out: &mut [R]) {
        out.fill(R::default());
        for i in 0..self.n {
            out[i * self.k + i % self.k] = R::one();
        }
    }

    #[inline]
    fn combine(&self, earlier: &[R], later: &[R], out: &mut [R], _: &mut [R]) {
        let k = self.k;
        let entries = self.n * k;
        let (a_i, b_i) = earlier.split_at(entries);
        let (a_j, b_j) = later.split_at(entries);
        let (a, b) = out.split_at_mut(entries);
        for q in 0..self.n / k {
            let (block, part) = (q * k * k..(q + 1) * k * k, q * k..(q + 1) * k);
            product(k, &a_j[block.clone()], &a_i[block.clone()], &mut a[block.clone()]);
            multiply_add(&a_j[block], &b_i[part.clone()], &b_j[part.clone()], &mut b[part]);
        }
    }
}
