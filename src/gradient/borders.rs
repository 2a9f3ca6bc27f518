//! Handing derivatives from block to block until nothing is left over.

use crate::backend::Block;
use crate::error::Result;
use crate::scalar::Real;

/// Up to this size of the state, where differences last, the blocks' maps are found and composed; beyond, blocks run one
/// after the other.
const COMPOSED: usize = 12;

/// More sweeps than this over all blocks cost more than that.
const MANY: f64 = 8.0;

/// Which way derivatives go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forwards,
    Backwards,
}

/// Runs blocks on borders `[blocks, n]`, which it replaces by what each hands over. Without the flag it records
/// nothing.
pub(super) trait Sweeping<R>: FnMut(&[Block], &mut [R], bool) -> Result<()> {}
impl<R, F: FnMut(&[Block], &mut [R], bool) -> Result<()>> Sweeping<R> for F {}

/// Blocks, and what is to be given to each.
struct Borders<'b, R> {
    blocks: &'b [Block],
    n: usize,
    direction: Direction,
    /// `[blocks, n]`
    pending: Vec<R>,
    /// What leaves each sequence at its end, `[B, n]`.
    left_over: Vec<R>,
}

/// Hands on what each block had left over, `[blocks, n]`, until that is nothing. Returns what leaves each of the `batch`
/// sequences at its end, `[B, n]`.
pub(super) fn close<R: Real>(
    blocks: &[Block],
    batch: usize,
    n: usize,
    direction: Direction,
    handed: &[R],
    mut sweep: impl Sweeping<R>,
) -> Result<Vec<R>> {
    let zero = R::default();
    let mut borders = Borders {
        blocks,
        n,
        direction,
        pending: vec![zero; blocks.len() * n],
        left_over: vec![zero; batch * n],
    };
    for (place, border) in handed.chunks_exact(n).enumerate() {
        borders.hand(place, border);
    }
    let mut active = borders.active();
    let mut before = borders.largest();
    while !active.is_empty() {
        borders.run(&active, &mut sweep)?;
        active = borders.active();
        let now = borders.largest();
        // Sweeps until what is left over would be lost in rounding. Not a number is no small one.
        let more = R::EPSILON.to_f64().ln() / (now / before).ln();
        before = now;
        if active.is_empty() || (0.0..=MANY).contains(&more) {
            continue;
        }
        let composed = n <= COMPOSED && active.len() > n + 2 && borders.compose(&mut sweep)?;
        while !composed && !borders.active().is_empty() {
            let front = borders.front();
            borders.run(&front, &mut sweep)?;
        }
        break;
    }
    Ok(borders.left_over)
}

impl<R: Real> Borders<'_, R> {
    /// Gives `border` to the block after `place` in the direction of the derivative.
    fn hand(&mut self, place: usize, border: &[R]) {
        let Block { batch, start, .. } = self.blocks[place];
        let follows = |next: &Block| next.batch == batch && next.start > start;
        let next = match self.direction {
            Direction::Backwards => (start > 0).then(|| place - 1),
            Direction::Forwards => {
                self.blocks.get(place + 1).is_some_and(follows).then_some(place + 1)
            }
        };
        let n = self.n;
        let target = match next {
            Some(next) => &mut self.pending[next * n..(next + 1) * n],
            None => &mut self.left_over[batch * n..(batch + 1) * n],
        };
        for (target, &x) in target.iter_mut().zip(border) {
            *target += x;
        }
    }

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
            sweep(self.blocks, column, false)?;
        }
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
