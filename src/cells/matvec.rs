//! Inner products of weight rows with an input or a state.

use crate::scalar::{Param, Scalar};

/// The rows of `unit` in the matrices of `G` gates, `[G · units, columns]`.
#[inline(always)]
pub(super) fn rows<T, const G: usize>(
    weights: &[T],
    units: usize,
    unit: usize,
    columns: usize,
) -> [&[T]; G] {
    let mut rows: [&[T]; G] = [&[]; G];
    for g in 0..G {
        rows[g] = &weights[(g * units + unit) * columns..][..columns];
    }
    rows
}

/// `acc[g][k] += Σ_j W[g·units + first + k, j] · x[j]` for `G` gates of `U` units from `first`.
///
/// `weights` is `[G · units, x.len()]`, row-major. One load of `x[j]` serves `G · U` rows. A row's
/// sum is in ascending `j` whatever `U`.
#[inline(always)]
pub(super) fn add_product<S: Scalar, const G: usize, const U: usize>(
    acc: &mut [[S; U]; G],
    weights: &[Param<S>],
    units: usize,
    first: usize,
    x: &[S],
) {
    let columns = x.len();
    let mut tile: [[&[Param<S>]; G]; U] = [[&[]; G]; U];
    for (k, rows_of_unit) in tile.iter_mut().enumerate() {
        *rows_of_unit = rows(weights, units, first + k, columns);
    }
    for j in 0..columns {
        let x = x[j];
        for g in 0..G {
            for k in 0..U {
                acc[g][k] = x.mul_add_param(tile[k][g][j], acc[g][k]);
            }
        }
    }
}

/// `sums[j] += Σ_i W[i, j] · factors[i]`; `weights` is `[factors.len(), sums.len()]`, row-major.
#[inline(always)]
pub(super) fn add_transposed<S: Scalar>(sums: &mut [S], weights: &[Param<S>], factors: &[S]) {
    const COLUMNS: usize = 4;
    let columns = sums.len();
    let tiled = columns - columns % COLUMNS;
    for first in (0..tiled).step_by(COLUMNS) {
        let mut tile = [sums[first]; COLUMNS];
        tile.copy_from_slice(&sums[first..first + COLUMNS]);
        for (row, &factor) in weights.chunks_exact(columns).zip(factors) {
            let row = &row[first..first + COLUMNS];
            for k in 0..COLUMNS {
                tile[k] = factor.mul_add_param(row[k], tile[k]);
            }
        }
        sums[first..first + COLUMNS].copy_from_slice(&tile);
    }
    for j in tiled..columns {
        // Several sums, so that none waits for its last addition.
        let mut parts = [S::from_f64(0.0); COLUMNS];
        let mut rows = weights.chunks_exact(COLUMNS * columns);
        let mut fours = factors.chunks_exact(COLUMNS);
        for (rows, factors) in (&mut rows).zip(&mut fours) {
            for k in 0..COLUMNS {
                parts[k] = factors[k].mul_add_param(rows[k * columns + j], parts[k]);
            }
        }
        for (row, &factor) in rows.remainder().chunks_exact(columns).zip(fours.remainder()) {
            parts[0] = factor.mul_add_param(row[j], parts[0]);
        }
        sums[j] += (parts[0] + parts[1]) + (parts[2] + parts[3]);
    }
}

/// `G` gates of `U` units from `first`, out of `[G · units]`.
#[inline(always)]
pub(super) fn load<S: Scalar, const G: usize, const U: usize>(
    vector: &[Param<S>],
    units: usize,
    first: usize,
) -> [[S; U]; G] {
    let mut out = [[S::from_f64(0.0); U]; G];
    for g in 0..G {
        let gate = &vector[g * units + first..][..U];
        for k in 0..U {
            out[g][k] = S::from(gate[k]);
        }
    }
    out
}

/// How many of `units` units to process in tiles of `U`, which share the loads of `x`: as many as
/// make tiles, or none where there are few units or the accumulators of a tile, `G` for each, would not
/// fit in registers.
#[inline(always)]
pub(super) fn tiled<S, const G: usize, const U: usize>(units: usize) -> usize {
    // A scalar is a number of registers, to which it is aligned; there are 32 of 64 bytes or 16 of less.
    let registers = size_of::<S>() / align_of::<S>();
    let enough = if align_of::<S>() >= 64 { 24 } else { 8 };
    if units >= 16 && G * U * registers <= enough { units - units % U } else { 0 }
}
