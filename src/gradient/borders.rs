//! Handing derivatives from block to block until nothing is left over.

use crate::backend::{Block, Borders, Direction, sweeps_until_lost};
use crate::error::Result;
use crate::scalar::Real;

/// Up to this size of the state, where differences last, the blocks' maps are found and composed; beyond, blocks run one
/// after the other.
const COMPOSED: usize = 12;

/// Runs blocks on borders `[blocks, n]`, which it replaces by what each hands over. Without the flag it records
/// nothing.
pub(super) trait Sweeping<R>: FnMut(&[Block], &mut [R], bool) -> Result<()> {}
impl<R, F: FnMut(&[Block], &mut [R], bool) -> Result<()>> Sweeping<R> for F {}

/// Hands on what each block had left over until that is nothing. Returns what leaves each sequence at its end, `[B, n]`.
pub(super) fn close<R: Real>(
    mut borders: Borders<'_, R>,
    mut sweep: impl Sweeping<R>,
) -> Result<Vec<R>> {
    let mut active = borders.active();
    let mut before = borders.largest();
    while !active.is_empty() && !borders.lasting {
        borders.run(&active, &mut sweep)?;
        active = borders.active();
        let now = borders.largest();
        borders.lasting = !active.is_empty() && sweeps_until_lost::<R>(before, now).is_none();
        before = now;
    }
    if active.is_empty() {
        return Ok(borders.left_over);
    }
    let composed =
        borders.n <= COMPOSED && active.len() > borders.n + 2 && borders.compose(&mut sweep)?;
    while !composed && !borders.active().is_empty() {
        let front = borders.front();
        borders.run(&front, &mut sweep)?;
    }
    Ok(borders.left_over)
}

impl<R: Real> Borders<'_, R> {
    /// The blocks to which something is to be given.
    fn active(&self) -> Vec<usize> {
        let given = |place: &usize| {
            self.pending[place * self.n..(place + 1) * self.n].iter().any(|x| x.to_f64() != 0.0)
        };
        (0..self.blocks.len()).filter(given).collect()
    }

    /// The largest entry of what is to be given.
    fn largest(&self) -> f64 {
        self.pending.iter().fold(0.0, |largest, x| {
            let x = x.to_f64().abs();
            if x <= largest { largest } else { x }
        })
    }

    /// The first of them in each sequence.
    fn front(&self) -> Vec<usize> {
        let mut active = self.active();
        if self.direction == Direction::Backwards {
            active.reverse();
        }
        active.dedup_by_key(|place| self.blocks[*place].batch);
        active.sort_unstable();
        active
    }

    /// Runs the blocks `places` on what is to be given to them.
    fn run(&mut self, places: &[usize], sweep: &mut impl Sweeping<R>) -> Result<()> {
        let n = self.n;
        let chosen: Vec<Block> = places.iter().map(|&place| self.blocks[place]).collect();
        let mut given = Vec::with_capacity(places.len() * n);
        for &place in places {
            let pending = &mut self.pending[place * n..(place + 1) * n];
            given.extend_from_slice(pending);
            pending.fill(R::default());
        }
        sweep(&chosen, &mut given, true)?;
        for (&place, border) in places.iter().zip(given.chunks_exact(n)) {
            self.hand(place, border);
        }
        Ok(())
    }

    /// Finds the linear map of every block, composes what each is given in the end, and runs all once more. False, and
    /// nothing done, where a map overflows.
    fn compose(&mut self, sweep: &mut impl Sweeping<R>) -> Result<bool> {
        let (n, count) = (self.n, self.blocks.len());
        // Column `j` of the map of block `place` is at `(j · count + place) · n`.
        let mut columns = vec![R::default(); n * count * n];
        for (j, column) in columns.chunks_exact_mut(count * n).enumerate() {
            for border in column.chunks_exact_mut(n) {
                border[j] = R::from_f64(1.0);
            }
        }
        sweep(&self.blocks.repeat(n), &mut columns, false)?;
        if !columns.iter().all(|x| x.is_finite()) {
            return Ok(false);
        }
        let order: Vec<usize> = match self.direction {
            Direction::Forwards => (0..count).collect(),
            Direction::Backwards => (0..count).rev().collect(),
        };
        let mut totals = self.pending.clone();
        for place in order {
            let given = self.pending[place * n..(place + 1) * n].to_vec();
            totals[place * n..(place + 1) * n].copy_from_slice(&given);
            let mut handed = vec![R::default(); n];
            for (j, &x) in given.iter().enumerate() {
                for (i, handed) in handed.iter_mut().enumerate() {
                    *handed += columns[(j * count + place) * n + i] * x;
                }
            }
            self.hand(place, &handed);
        }
        self.pending.fill(R::default());
        sweep(self.blocks, &mut totals, true)?;
        Ok(true)
    }
}
