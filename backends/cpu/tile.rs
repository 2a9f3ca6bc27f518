//! Transposition between `[T, n]` in memory and lane order, a tile at a time through the L1 cache.
//!
//! In lane order entry `e` of a tile is one [`Lanes`] value: that entry of every block of a group.

use crate::scalar::{Isa, Lanes, Real};

/// Steps of a tile: two cache lines of a lane's inputs at least, and little enough of all lanes' to
/// stay in L1 beside the states.
pub(super) const STEPS: usize = 16;

/// Fills `tile` so that lane `l` of entry `e` is `rows[l][e]`; entries past the end of a row, and lanes without
/// one, keep what they hold.
#[inline(always)]
pub(super) fn gather<'a, R: Real, I: Isa, const K: usize>(
    rows: impl Iterator<Item = &'a [R]>,
    tile: &mut [Lanes<R, I, K>],
) {
    let lanes = Lanes::<R, I, K>::LANES;
    let flat = Lanes::flatten_mut(tile);
    for (lane, row) in rows.enumerate() {
        for (e, &value) in row.iter().enumerate() {
            flat[e * lanes + lane] = value;
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
