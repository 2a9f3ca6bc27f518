//! Transposition between `[T, n]` in memory and lane order, a tile at a time through the L1 cache.
//!
//! In lane order entry `e` of a tile is one [`Lanes`] value: that entry of every block of a group.

use crate::scalar::dispatch::Kernel;
use crate::scalar::vector::Vector;
use crate::scalar::{Isa, Lanes, Real};

/// Steps of a tile: two cache lines of a lane's inputs at least, and little enough of all lanes' to
/// stay in L1 beside the states.
pub(super) const STEPS: usize = 16;

/// Lanes of the widest group.
pub(super) const MOST_LANES: usize = 32;

/// Fills `tile` so that lane `l` of entry `e` is entry `e` of row `l`. Entries past the end of a row keep what
/// they hold; lanes without a row take the first one.
#[inline(always)]
pub(super) fn gather<'a, R: Real, I: Isa, const K: usize>(
    mut rows: impl Iterator<Item = &'a [R]>,
    tile: &mut [Lanes<R, I, K>],
) {
    let lanes = Lanes::<R, I, K>::LANES;
    let mut all = [rows.next().unwrap_or_default(); MOST_LANES];
    for (slot, row) in all[1..lanes].iter_mut().zip(rows) {
        *slot = row;
    }
    // Out of line: one copy for every recurrence.
    I::enter(Gather { rows: &all[..lanes], tile });
}

struct Gather<'k, 'a, R: Real, I: Isa, const K: usize> {
    rows: &'k [&'a [R]],
    tile: &'k mut [Lanes<R, I, K>],
}

impl<R: Real, I: Isa, const K: usize> Kernel for Gather<'_, '_, R, I, K> {
    type Output = ();
    #[inline(always)]
    fn run<J: Isa>(self) {
        match const { Lanes::<R, I, K>::LANES / K } {
            16 => gather_by::<R, I, K, 16>(self.rows, self.tile),
            8 => gather_by::<R, I, K, 8>(self.rows, self.tile),
            4 => gather_by::<R, I, K, 4>(self.rows, self.tile),
            2 => gather_by::<R, I, K, 2>(self.rows, self.tile),
            _ => gather_by::<R, I, K, 1>(self.rows, self.tile),
        }
    }
}

/// [`gather`] by squares of `W` lanes and entries, `W` those of a vector.
#[inline(always)]
fn gather_by<R: Real, I: Isa, const K: usize, const W: usize>(
    rows: &[&[R]],
    tile: &mut [Lanes<R, I, K>],
) {
    let lanes = Lanes::<R, I, K>::LANES;
    for first in (0..lanes).step_by(W) {
        let rows = &rows[first..first + W];
        let shortest = rows.iter().map(|row| row.len()).min().unwrap_or(0);
        let whole = shortest / W * W;
        for e in (0..whole).step_by(W) {
            Lanes::load_rows::<W>(&mut tile[e..e + W], first, rows, e);
        }
        let flat = Lanes::flatten_mut(tile);
        for (lane, row) in rows.iter().enumerate() {
            for (e, &value) in row.iter().enumerate().skip(whole) {
                flat[e * lanes + first + lane] = value;
            }
        }
    }
}

/// Writes lane `l` of the first entries of `tile` to row `l`.
#[inline(always)]
pub(super) fn scatter<R: Real, I: Isa, const K: usize>(
    tile: &[Lanes<R, I, K>],
    rows: &mut [&mut [R]],
) {
    I::enter(Scatter { tile, rows });
}

struct Scatter<'k, 'a, R: Real, I: Isa, const K: usize> {
    tile: &'k [Lanes<R, I, K>],
    rows: &'k mut [&'a mut [R]],
}

impl<R: Real, I: Isa, const K: usize> Kernel for Scatter<'_, '_, R, I, K> {
    type Output = ();
    #[inline(always)]
    fn run<J: Isa>(self) {
        match const { Lanes::<R, I, K>::LANES / K } {
            16 => scatter_by::<R, I, K, 16>(self.tile, self.rows),
            8 => scatter_by::<R, I, K, 8>(self.tile, self.rows),
            4 => scatter_by::<R, I, K, 4>(self.tile, self.rows),
            2 => scatter_by::<R, I, K, 2>(self.tile, self.rows),
            _ => scatter_by::<R, I, K, 1>(self.tile, self.rows),
        }
    }
}

/// [`scatter`] by squares of `W` lanes and entries, `W` those of a vector.
#[inline(always)]
fn scatter_by<R: Real, I: Isa, const K: usize, const W: usize>(
    tile: &[Lanes<R, I, K>],
    rows: &mut [&mut [R]],
) {
    for (group, rows) in rows.chunks_mut(W).enumerate() {
        let longest = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let whole = longest / W * W;
        for e in (0..whole).step_by(W) {
            let vectors = Lanes::rows::<W>(&tile[e..e + W], group * W);
            for (row, vector) in rows.iter_mut().zip(vectors) {
                if let Some(target) = row.get_mut(e..e + W) {
                    vector.store(target);
                }
            }
        }
        for (lane, row) in rows.iter_mut().enumerate() {
            // Of a row that is shorter than the longest, what the squares above left out.
            let from = (row.len() / W * W).min(whole);
            scatter_lane(&tile[from..], group * W + lane, &mut row[from..]);
        }
    }
}

/// Writes lane `lane` of the first entries of `tile` to `row`.
#[inline(always)]
pub(super) fn scatter_lane<R: Real, I: Isa, const K: usize>(
    tile: &[Lanes<R, I, K>],
    lane: usize,
    row: &mut [R],
) {
    let lanes = Lanes::<R, I, K>::LANES;
    let flat = Lanes::flatten(tile);
    for (e, value) in row.iter_mut().enumerate() {
        *value = flat[e * lanes + lane];
    }
}
