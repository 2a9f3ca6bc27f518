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
    /// For each column whether any lane has exchanged rows there.
    exchanges: Vec<bool>,
    /// If so, for each row below the diagonal, 1 where it took the place of the one on it, one after the other.
    exchanged: Vec<P>,
}

impl<P: Scalar> Elimination<P> {
    #[inline(always)]
    pub(crate) fn new(k: usize) -> Self {
        let zero = P::from_f64(0.0);
        Self {
            k,
            matrix: vec![zero; k * k],
            exchanges: vec![false; k],
            exchanged: vec![zero; k * k.saturating_sub(1) / 2],
        }
    }

    /// Replaces the matrix by its factors. A lane whose matrix is singular gets infinities.
    #[inline(always)]
    pub(crate) fn factor(&mut self) {
        let Self { k, matrix, exchanges, exchanged } = self;
        let (k, mut exchanged) = (*k, &mut exchanged[..]);
        for (c, exchanges) in exchanges.iter_mut().enumerate() {
            let (upper, lower) = matrix.split_at_mut((c + 1) * k);
            let upper = &mut upper[c * k..];
            let (marks, others) = exchanged.split_at_mut(k - c - 1);
            exchanged = others;
            *exchanges = !is_pivot(c, upper, lower);
            if *exchanges {
                exchange_rows(c, upper, lower, marks);
            }
            upper[c] = upper[c].recip();
            for lower in lower.chunks_exact_mut(k) {
                lower[c] *= upper[c];
                let factor = -lower[c];
                for (lower, &upper) in lower[c + 1..].iter_mut().zip(&upper[c + 1..]) {
                    *lower = upper.mul_add(factor, *lower);
                }
            }
        }
    }

    /// Replaces the right-hand side `b` `[k]` by the solution.
    #[inline(always)]
    pub(crate) fn solve(&self, b: &mut [P]) {
        let (k, mut exchanged) = (self.k, &self.exchanged[..]);
        let b = &mut b[..k];
        for (c, &exchanges) in self.exchanges.iter().enumerate() {
            let (marks, others) = exchanged.split_at(k - c - 1);
            exchanged = others;
            if exchanges {
                let (upper, lower) = b.split_at_mut(c + 1);
                for (lower, &mark) in lower.iter_mut().zip(marks) {
                    exchange(mark, &mut upper[c], lower);
                }
            }
        }
        for c in 0..k {
            let (upper, lower) = b.split_at_mut(c + 1);
            let known = -upper[c];
            for (lower, row) in lower.iter_mut().zip(self.matrix[(c + 1) * k..].chunks_exact(k)) {
                *lower = row[c].mul_add(known, *lower);
            }
        }
        for c in (0..k).rev() {
            let (upper, lower) = b.split_at_mut(c);
            lower[0] *= self.matrix[c * k + c];
            let known = -lower[0];
            for (upper, row) in upper.iter_mut().zip(self.matrix.chunks_exact(k)) {
                *upper = row[c].mul_add(known, *upper);
            }
        }
    }
}

/// Whether in every lane no row of `lower` has a larger entry in column `c` than `upper`.
#[inline(always)]
fn is_pivot<P: Scalar>(c: usize, upper: &[P], lower: &[P]) -> bool {
    let pivot = upper[c].abs();
    let mut all = true;
    for row in lower.chunks_exact(upper.len()) {
        all &= row[c].abs().all_at_most(pivot);
    }
    all
}

/// Brings the largest entry of column `c` to `upper`, row by row of `lower`, with a mark for each where that was done.
#[inline(always)]
fn exchange_rows<P: Scalar>(c: usize, upper: &mut [P], lower: &mut [P], marks: &mut [P]) {
    let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
    for (lower, mark) in lower.chunks_exact_mut(upper.len()).zip(marks) {
        *mark = upper[c].abs().select(lower[c].abs(), one, zero);
        // Columns before `c` hold factors, which are exchanged with their rows.
        for (upper, lower) in upper.iter_mut().zip(lower) {
            exchange(*mark, upper, lower);
        }
    }
}

/// Exchanges `upper` and `lower` where `mark` is 1.
#[inline(always)]
fn exchange<P: Scalar>(mark: P, upper: &mut P, lower: &mut P) {
    let zero = P::from_f64(0.0);
    (*upper, *lower) = (zero.select(mark, *lower, *upper), zero.select(mark, *upper, *lower));
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
