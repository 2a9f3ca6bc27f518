//! Small matrices, row-major `n × n`, of numbers or of lanes of them.
//!
//! Everything is inlined into the kernel that calls it. Positive definite matrices are factored
//! without a choice of pivots, which lanes could not make together; all that come here are at least the identity.

use crate::scalar::{Real, Scalar};

/// `out = left · right`, `left` `[n, n]`, `right` and `out` `[n, columns]`.
#[inline(always)]
pub(crate) fn multiply<S: Scalar>(
    n: usize,
    columns: usize,
    left: &[S],
    right: &[S],
    out: &mut [S],
) {
    for i in 0..n {
        let out = &mut out[i * columns..(i + 1) * columns];
        for j in 0..columns {
            out[j] = left[i * n] * right[j];
        }
        for k in 1..n {
            let factor = left[i * n + k];
            for j in 0..columns {
                out[j] = factor.mul_add(right[k * columns + j], out[j]);
            }
        }
    }
}

/// `out = left · rightᵀ`.
#[inline(always)]
pub(crate) fn multiply_transposed<S: Scalar>(n: usize, left: &[S], right: &[S], out: &mut [S]) {
    for i in 0..n {
        for j in 0..n {
            let mut sum = left[i * n] * right[j * n];
            for k in 1..n {
                sum = left[i * n + k].mul_add(right[j * n + k], sum);
            }
            out[i * n + j] = sum;
        }
    }
}

/// `out += leftᵀ · right`, `left` `[n, n]`, `right` and `out` `[n, columns]`.
#[inline(always)]
pub(crate) fn add_transposed_product<S: Scalar>(
    n: usize,
    columns: usize,
    left: &[S],
    right: &[S],
    out: &mut [S],
) {
    for k in 0..n {
        for i in 0..n {
            let factor = left[k * n + i];
            for j in 0..columns {
                out[i * columns + j] = factor.mul_add(right[k * columns + j], out[i * columns + j]);
            }
        }
    }
}

/// The mean of the matrix and its transpose.
#[inline(always)]
pub(crate) fn symmetrise<S: Scalar>(n: usize, matrix: &mut [S]) {
    for i in 0..n {
        for j in 0..i {
            let mean = (matrix[i * n + j] + matrix[j * n + i]) * S::from_f64(0.5);
            (matrix[i * n + j], matrix[j * n + i]) = (mean, mean);
        }
    }
}

/// Replaces the lower triangle of a positive definite matrix by its Cholesky factor, with the reciprocals of the
/// factor's diagonal on the diagonal. NaN where it is not positive definite.
#[inline(always)]
pub(crate) fn factor<S: Scalar>(n: usize, matrix: &mut [S]) {
    for j in 0..n {
        let mut pivot = matrix[j * n + j];
        for k in 0..j {
            pivot -= matrix[j * n + k] * matrix[j * n + k];
        }
        let reciprocal = pivot.sqrt().recip();
        matrix[j * n + j] = reciprocal;
        for i in j + 1..n {
            let mut entry = matrix[i * n + j];
            for k in 0..j {
                entry -= matrix[i * n + k] * matrix[j * n + k];
            }
            matrix[i * n + j] = entry * reciprocal;
        }
    }
}

/// Solves with a matrix that [`factor`] has factored; `right` `[n, columns]` becomes the solution.
#[inline(always)]
pub(crate) fn solve_factored<S: Scalar>(n: usize, columns: usize, factor: &[S], right: &mut [S]) {
    for i in 0..n {
        let (before, row) = right.split_at_mut(i * columns);
        for k in 0..i {
            let factor = factor[i * n + k];
            for j in 0..columns {
                row[j] -= factor * before[k * columns + j];
            }
        }
        for j in 0..columns {
            row[j] *= factor[i * n + i];
        }
    }
    for i in (0..n).rev() {
        let (row, after) = right[i * columns..].split_at_mut(columns);
        for k in i + 1..n {
            let factor = factor[k * n + i];
            for j in 0..columns {
                row[j] -= factor * after[(k - i - 1) * columns + j];
            }
        }
        for j in 0..columns {
            row[j] *= factor[i * n + i];
        }
    }
}

/// Solves `matrix · x = right` by elimination with row pivots; `matrix` is overwritten, `right` `[n, columns]`
/// becomes the solution. From `n = 17` on by faer, where that is there.
pub(crate) fn solve<R: Real>(n: usize, columns: usize, matrix: &mut [R], right: &mut [R]) {
    /// Up to here elimination in place takes no longer than setting faer's up.
    #[cfg(any(feature = "cpu", feature = "faer"))]
    const SMALL: usize = 16;
    #[cfg(any(feature = "cpu", feature = "faer"))]
    if n > SMALL {
        return R::faer_solve(n, columns, matrix, right);
    }
    for j in 0..n {
        let size = |i: &usize| matrix[i * n + j].to_f64().abs();
        let pivot = (j..n).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap_or(j);
        if pivot != j {
            for k in 0..n {
                matrix.swap(j * n + k, pivot * n + k);
            }
            for k in 0..columns {
                right.swap(j * columns + k, pivot * columns + k);
            }
        }
        let reciprocal = Scalar::recip(matrix[j * n + j]);
        for i in j + 1..n {
            let factor = matrix[i * n + j] * reciprocal;
            for k in j + 1..n {
                let above = matrix[j * n + k];
                matrix[i * n + k] -= factor * above;
            }
            for k in 0..columns {
                let above = right[j * columns + k];
                right[i * columns + k] -= factor * above;
            }
        }
    }
    for i in (0..n).rev() {
        let (row, after) = right[i * columns..].split_at_mut(columns);
        for k in i + 1..n {
            let factor = matrix[i * n + k];
            for j in 0..columns {
                row[j] -= factor * after[(k - i - 1) * columns + j];
            }
        }
        for x in row {
            *x /= matrix[i * n + i];
        }
    }
}
