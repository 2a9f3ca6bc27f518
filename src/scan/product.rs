//! Products of small dense matrices.

use crate::scalar::Real;

/// What products need of `f32` and `f64` themselves.
pub trait Product: Sized {
    /// `out = left · right`, all `n × n` row-major, by faer.
    #[cfg(any(feature = "cpu", feature = "faer"))]
    #[doc(hidden)]
    fn faer_product(n: usize, left: &[Self], right: &[Self], out: &mut [Self]);
    /// Solves `matrix · x = right` by faer, `matrix` `[n, n]` and `right` `[n, columns]` row-major; `right` becomes `x`.
    #[cfg(any(feature = "cpu", feature = "faer"))]
    #[doc(hidden)]
    fn faer_solve(n: usize, columns: usize, matrix: &[Self], right: &mut [Self]);
}

macro_rules! product {
    ($real:ty) => {
        impl Product for $real {
            #[cfg(any(feature = "cpu", feature = "faer"))]
            fn faer_product(n: usize, left: &[$real], right: &[$real], out: &mut [$real]) {
                use faer::{Accum, MatMut, MatRef, Par, linalg::matmul::matmul};
                matmul(
                    MatMut::from_row_major_slice_mut(out, n, n),
                    Accum::Replace,
                    MatRef::from_row_major_slice(left, n, n),
                    MatRef::from_row_major_slice(right, n, n),
                    1.0,
                    Par::Seq,
                );
            }
            #[cfg(any(feature = "cpu", feature = "faer"))]
            fn faer_solve(n: usize, columns: usize, matrix: &[$real], right: &mut [$real]) {
                use faer::linalg::solvers::Solve;
                use faer::{MatMut, MatRef};
                let factored = MatRef::from_row_major_slice(matrix, n, n).partial_piv_lu();
                factored.solve_in_place(MatMut::from_row_major_slice_mut(right, n, columns));
            }
        }
    };
}
product!(f32);
product!(f64);

/// `out = left · right`, all `n × n` row-major. `2n³` flops.
///
/// Up to `n = 4` a loop in registers takes no longer than faer's product, from `n = 5` on
/// faer's is as fast as register tiles with AVX-512 (`n = 8`, 16) or faster (1.1–2.7 times between).
#[inline]
pub(crate) fn product<R: Real>(n: usize, left: &[R], right: &[R], out: &mut [R]) {
    match n {
        0 => {}
        1 => out[0] = left[0] * right[0],
        2 => unrolled::<R, 2>(left, right, out),
        3 => unrolled::<R, 3>(left, right, out),
        4 => unrolled::<R, 4>(left, right, out),
        #[cfg(any(feature = "cpu", feature = "faer"))]
        _ => R::faer_product(n, left, right, out),
        #[cfg(not(any(feature = "cpu", feature = "faer")))]
        _ => plain(n, left, right, out),
    }
}

#[inline(always)]
fn unrolled<R: Real, const N: usize>(left: &[R], right: &[R], out: &mut [R]) {
    for (row, out) in left.chunks_exact(N).zip(out.chunks_exact_mut(N)) {
        let mut sum = [R::default(); N];
        for j in 0..N {
            sum[j] = row[0] * right[j];
        }
        for k in 1..N {
            for j in 0..N {
                sum[j] += row[k] * right[k * N + j];
            }
        }
        out.copy_from_slice(&sum);
    }
}

#[cfg(not(any(feature = "cpu", feature = "faer")))]
fn plain<R: Real>(n: usize, left: &[R], right: &[R], out: &mut [R]) {
    for (row, out) in left.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        out.fill(R::default());
        for (factor, right) in row.iter().zip(right.chunks_exact(n)) {
            for (out, right) in out.iter_mut().zip(right) {
                *out += *factor * *right;
            }
        }
    }
}

/// `out = matrix · x + b`, `matrix` row-major `[n, n]`.
#[inline(always)]
pub(crate) fn multiply_add<R: Real>(matrix: &[R], x: &[R], b: &[R], out: &mut [R]) {
    /// Sums side by side: one alone would wait for each addition.
    const SUMS: usize = 8;
    let n = x.len().max(1);
    let (x_groups, x_rest) = x.as_chunks::<SUMS>();
    for ((row, b), out) in matrix.chunks_exact(n).zip(b).zip(out) {
        let (groups, rest) = row.as_chunks::<SUMS>();
        let mut sum = R::default();
        if !groups.is_empty() {
            let mut sums = [R::default(); SUMS];
            for (a, x) in groups.iter().zip(x_groups) {
                for j in 0..SUMS {
                    sums[j] += a[j] * x[j];
                }
            }
            sum = ((sums[0] + sums[4]) + (sums[1] + sums[5]))
                + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
        }
        for (a, x) in rest.iter().zip(x_rest) {
            sum += *a * *x;
        }
        *out = sum + *b;
    }
}
