//! Products of small dense matrices.

use crate::scalar::Real;
use crate::scalar::dispatch::{InstructionSet, Isa, Kernel, dispatch};
use crate::scalar::vector::Vector;

/// From this size on, faer's product is faster than the loop below.
pub(crate) const FAER_FROM: usize = 16;

/// What products need of `f32` and `f64` themselves.
pub trait Product: Sized {
    /// `self · a + b`, rounded once, by the machine's instruction where the code around has it.
    #[doc(hidden)]
    fn fused(self, a: Self, b: Self) -> Self;
    /// `out = left · right`, all `n × n` row-major, by faer.
    #[cfg(any(feature = "cpu", feature = "faer"))]
    #[doc(hidden)]
    fn faer_product(n: usize, left: &[Self], right: &[Self], out: &mut [Self]);
}

macro_rules! product {
    ($real:ty) => {
        impl Product for $real {
            #[inline(always)]
            fn fused(self, a: $real, b: $real) -> $real {
                self.mul_add(a, b)
            }
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
        }
    };
}
product!(f32);
product!(f64);

/// `out = left · right`, all `n × n` row-major. `2n³` flops.
#[inline]
pub(crate) fn product<R: Real>(
    set: InstructionSet,
    n: usize,
    left: &[R],
    right: &[R],
    out: &mut [R],
) {
    match n {
        0 => {}
        1 => out[0] = left[0] * right[0],
        2 => unrolled::<R, 2>(left, right, out),
        3 => unrolled::<R, 3>(left, right, out),
        4 => unrolled::<R, 4>(left, right, out),
        #[cfg(any(feature = "cpu", feature = "faer"))]
        FAER_FROM.. => R::faer_product(n, left, right, out),
        _ => dispatch(set, Tiled { n, left, right, out }),
    }
}

/// Too small for the call through [`dispatch`] to pay.
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

struct Tiled<'a, R> {
    n: usize,
    left: &'a [R],
    right: &'a [R],
    out: &'a mut [R],
}

impl<R: Real> Tiled<'_, R> {
    /// Columns `first..` in tiles of `W`; the first column left over.
    #[inline(always)]
    fn columns<I: Isa, const W: usize>(&mut self, mut first: usize) -> usize {
        while first + W <= self.n {
            let mut row = 0;
            while row + 4 <= self.n {
                self.tile::<I, 4, W>(row, first);
                row += 4;
            }
            while row < self.n {
                self.tile::<I, 1, W>(row, first);
                row += 1;
            }
            first += W;
        }
        first
    }

    /// `M × W` entries of the product, in registers.
    #[inline(always)]
    fn tile<I: Isa, const M: usize, const W: usize>(&mut self, row: usize, column: usize) {
        let n = self.n;
        let mut sums = [[R::default(); W]; M];
        for (k, right) in self.right.chunks_exact(n).enumerate() {
            let right = &right[column..][..W];
            for (m, sums) in sums.iter_mut().enumerate() {
                let factor = self.left[(row + m) * n + k];
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = if <R::Vector<I> as Vector>::FMA {
                        factor.fused(*right, *sum)
                    } else {
                        *sum + factor * *right
                    };
                }
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            self.out[(row + m) * n + column..][..W].copy_from_slice(sums);
        }
    }
}

impl<R: Real> Kernel for Tiled<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(mut self) {
        let column = self.columns::<I, 16>(0);
        let column = self.columns::<I, 8>(column);
        let column = self.columns::<I, 4>(column);
        let column = self.columns::<I, 2>(column);
        self.columns::<I, 1>(column);
    }
}

/// `out = matrix · x + b`, `matrix` row-major `[n, n]`.
#[inline(always)]
pub(crate) fn multiply_add<R: Real>(matrix: &[R], x: &[R], b: &[R], out: &mut [R]) {
    let n = x.len().max(1);
    for ((row, b), out) in matrix.chunks_exact(n).zip(b).zip(out) {
        let mut sum = R::default();
        for (a, x) in row.iter().zip(x) {
            sum += *a * *x;
        }
        *out = sum + *b;
    }
}
