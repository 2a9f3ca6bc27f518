//! Gaussian elimination in lanes.
//!
//! Each lane has a matrix of its own. Rows are exchanged by selection, lane by lane, for the largest pivot of the column
//! (partial pivoting; Golub and Van Loan, *Matrix Computations*, 4th edition, 3.4), as `k³/3` multiplications and
//! about as many selections where any lane needs one.

use crate::scalar::Scalar;

/// A matrix `[k, k]` as the product of triangular ones, with the exchanges of its rows.
#[derive(Clone, Debug)]
pub(crate) struct Elimination<P> {
    k: usize,
    /// Before [`factor`](Self::factor) the matrix, row-major; then the factors, with the reciprocals of the pivots on the
    /// diagonal.
    pub(crate) matrix: Vec<P>,
    /// For column `c` and each row below it, 1 where that row took the place of row `c`, one after the other.
    exchanged: Vec<P>,
}

impl<P: Scalar> Elimination<P> {
    #[inline(always)]
    pub(crate) fn new(k: usize) -> Self {
        let zero = P::from_f64(0.0);
        Self { k, matrix: vec![zero; k * k], exchanged: vec![zero; k * k.saturating_sub(1) / 2] }
    }

    /// Replaces the matrix by its factors. A lane whose matrix is singular gets infinities.
    #[inline(always)]
    pub(crate) fn factor(&mut self) {
        factor(self.k, &mut self.matrix, &mut self.exchanged);
    }

    /// Replaces the right-hand side `b` `[k]` by the solution.
    #[inline(always)]
    pub(crate) fn solve(&self, b: &mut [P]) {
        substitute(self.k, &self.matrix, &self.exchanged, b);
    }
}

#[inline(always)]
fn factor<P: Scalar>(k: usize, matrix: &mut [P], exchanged: &mut [P]) {
    let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
    let mut mark = 0;
    for c in 0..k {
        for row in c + 1..k {
            let (pivot, other) = (matrix[c * k + c].abs(), matrix[row * k + c].abs());
            let larger = pivot.select(other, one, zero);
            exchanged[mark] = larger;
            mark += 1;
            if other.all_at_most(pivot) {
                continue;
            }
            // Columns before `c` hold factors, which are exchanged with their rows.
            for j in 0..k {
                let (upper, lower) = (matrix[c * k + j], matrix[row * k + j]);
                matrix[c * k + j] = zero.select(larger, lower, upper);
                matrix[row * k + j] = zero.select(larger, upper, lower);
            }
        }
        let inverse = matrix[c * k + c].recip();
        matrix[c * k + c] = inverse;
        for row in c + 1..k {
            let factor = matrix[row * k + c] * inverse;
            matrix[row * k + c] = factor;
            for j in c + 1..k {
                let upper = matrix[c * k + j];
                matrix[row * k + j] -= factor * upper;
            }
        }
    }
}

/// Exchanges, forward and back substitution.
#[inline(always)]
fn substitute<P: Scalar>(k: usize, matrix: &[P], exchanged: &[P], b: &mut [P]) {
    let zero = P::from_f64(0.0);
    let mut mark = 0;
    for c in 0..k {
        for row in c + 1..k {
            let larger = exchanged[mark];
            mark += 1;
            if larger.all_at_most(zero) {
                continue;
            }
            let (upper, lower) = (b[c], b[row]);
            b[c] = zero.select(larger, lower, upper);
            b[row] = zero.select(larger, upper, lower);
        }
    }
    for c in 0..k {
        for row in c + 1..k {
            let upper = b[c];
            b[row] -= upper * matrix[row * k + c];
        }
    }
    for c in (0..k).rev() {
        b[c] *= matrix[c * k + c];
        for row in 0..c {
            let upper = b[c];
            b[row] -= upper * matrix[row * k + c];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scalar::Scalar;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn solves_what_needs_exchanges() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for k in [1, 2, 3, 5, 8, 13] {
            let mut elimination = Elimination::<f64>::new(k);
            for (entry, x) in elimination.matrix.iter_mut().enumerate() {
                // Zeros on the diagonal, where there is anything else.
                *x = if k > 1 && entry % (k + 1) == 0 {
                    0.0
                } else {
                    random.random_range(-1.0..1.0)
                };
            }
            let matrix = elimination.matrix.clone();
            let wanted: Vec<f64> = (0..k).map(|_| random.random_range(-1.0..1.0)).collect();
            let mut b: Vec<f64> = (0..k)
                .map(|i| (0..k).map(|j| matrix[i * k + j] * wanted[j]).sum::<f64>())
                .collect();
            elimination.factor();
            elimination.solve(&mut b);
            for i in 0..k {
                assert!((b[i] - wanted[i]).abs() < 1e-11, "{k} {i}: {} {}", b[i], wanted[i]);
            }
        }
    }

    #[test]
    fn singular_is_not_finite() {
        let mut elimination = Elimination::<f64>::new(2);
        elimination.matrix.copy_from_slice(&[1.0, 2.0, 2.0, 4.0]);
        elimination.factor();
        let mut b = [1.0f64, 1.0];
        elimination.solve(&mut b);
        assert!(!Scalar::abs(b[0]).is_finite());
    }
}
