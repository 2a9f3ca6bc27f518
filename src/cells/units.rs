//! One sequence in order, with a cell's units in the lanes of a vector.
//!
//! Weights are copied once for a sequence: columns one after the other, in each the gates of a block
//! of as many units as a vector holds, zeros where units run out. A step's product is then, for each
//! `j`, `acc += W[:, j]·h_j`: no sum across lanes.
//!
//! A padded unit has weights 0 and starts at 0, from which every cell's step leads to 0.

use crate::scalar::{Isa, Lanes, Real, Scalar};

/// A block of units.
pub(super) type Block<R, I> = Lanes<R, I, 1>;

/// From this number of columns on, [`Matrix::add_product`] sums in chains.
const CHAINS_FROM: usize = 8;

/// A matrix `[G · units, columns]` of `G` gates.
#[derive(Debug)]
pub(super) struct Matrix<R: Real, I: Isa, const G: usize> {
    columns: usize,
    /// `[blocks, columns]`.
    weights: Vec<[Block<R, I>; G]>,
}

impl<R: Real, I: Isa, const G: usize> Matrix<R, I, G> {
    /// From `weights`, row-major.
    #[inline(always)]
    pub(super) fn new(weights: &[R], units: usize, columns: usize) -> Self {
        let lanes = Block::<R, I>::LANES;
        let zero = [Block::<R, I>::from_f64(0.0); G];
        let mut packed = vec![zero; units.div_ceil(lanes) * columns];
        for g in 0..G {
            for unit in 0..units {
                for j in 0..columns {
                    packed[unit / lanes * columns + j][g]
                        .set_lane(unit % lanes, weights[(g * units + unit) * columns + j]);
                }
            }
        }
        Self { columns, weights: packed }
    }

    /// Column `j` of `block`.
    #[inline(always)]
    pub(super) fn column(&self, block: usize, j: usize) -> [Block<R, I>; G] {
        self.weights[block * self.columns + j]
    }

    /// `acc + W x` in the rows of `block`, for `x` `[columns]`.
    ///
    /// Few columns are summed in ascending order, as `step` does it. More are summed in `CHAINS`
    /// chains, of every `CHAINS`-th column each: less latency, and a difference of rounding.
    #[inline(always)]
    pub(super) fn add_product<const CHAINS: usize>(
        &self,
        acc: [Block<R, I>; G],
        block: usize,
        x: &[R],
    ) -> [Block<R, I>; G] {
        let columns = &self.weights[block * self.columns..][..self.columns];
        let x = &x[..self.columns];
        if self.columns < CHAINS_FROM {
            return add_columns(acc, columns, x);
        }
        let mut chains = [[Block::<R, I>::from_f64(0.0); G]; CHAINS];
        chains[0] = acc;
        let whole = self.columns - self.columns % CHAINS;
        for first in (0..whole).step_by(CHAINS) {
            let (columns, x) = (&columns[first..][..CHAINS], &x[first..][..CHAINS]);
            for c in 0..CHAINS {
                let x = Block::<R, I>::constant(x[c]);
                for g in 0..G {
                    chains[c][g] = x.mul_add(columns[c][g], chains[c][g]);
                }
            }
        }
        let mut acc = add_columns(chains[0], &columns[whole..], &x[whole..]);
        for chain in &chains[1..] {
            for g in 0..G {
                acc[g] += chain[g];
            }
        }
        acc
    }
}

/// `acc + Σ_j columns[j] · x[j]`, in ascending order.
#[inline(always)]
fn add_columns<R: Real, I: Isa, const G: usize>(
    mut acc: [Block<R, I>; G],
    columns: &[[Block<R, I>; G]],
    x: &[R],
) -> [Block<R, I>; G] {
    let x = &x[..columns.len()];
    for j in 0..columns.len() {
        let (column, x) = (&columns[j], Block::<R, I>::constant(x[j]));
        for g in 0..G {
            acc[g] = x.mul_add(column[g], acc[g]);
        }
    }
    acc
}

/// `vector` in blocks.
#[inline(always)]
pub(super) fn load<R: Real, I: Isa>(vector: &[R]) -> Vec<Block<R, I>> {
    let zero = Block::<R, I>::from_f64(0.0);
    let mut packed = vec![zero; vector.len().div_ceil(Block::<R, I>::LANES)];
    Block::<R, I>::flatten_mut(&mut packed)[..vector.len()].copy_from_slice(vector);
    packed
}

/// Writes `units` numbers to the start of `out`, and what pads the last block if there is room
/// after them: whole vectors are faster, and what lies after is written later.
#[inline(always)]
pub(super) fn store<R: Real, I: Isa>(packed: &[Block<R, I>], out: &mut [R], units: usize) {
    let lanes = Block::<R, I>::LANES;
    let blocks = packed.len();
    let packed = Block::<R, I>::flatten(packed);
    if out.len() < packed.len() {
        out[..units].copy_from_slice(&packed[..units]);
        return;
    }
    for block in 0..blocks {
        let (from, to) = (&packed[block * lanes..][..lanes], &mut out[block * lanes..][..lanes]);
        to.copy_from_slice(from);
    }
}
