//! What blocks hand over to each other between two sweeps of derivatives.

use super::Block;
use crate::scalar::Real;

/// More sweeps than this over all blocks cost more than to find the blocks' maps, or to run blocks one after the other.
const MANY: f64 = 8.0;

/// How many sweeps it takes until what is handed over is lost in rounding, if its largest entry was `before` and is `now`: none where these
/// are too many.
pub(crate) fn sweeps_until_lost<R: Real>(before: f64, now: f64) -> Option<usize> {
    let sweeps = R::EPSILON.to_f64().ln() / (now / before).ln();
    // Not a number is no small one.
    (0.0..=MANY).contains(&sweeps).then_some(sweeps.ceil() as usize)
}

/// Which way derivatives go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Tangents.
    Forwards,
    /// Cotangents.
    Backwards,
}

/// What is still to be given to each block, and what has left the sequences.
#[derive(Clone, Debug)]
pub struct Borders<'b, R> {
    pub(crate) blocks: &'b [Block],
    pub(crate) n: usize,
    pub(crate) direction: Direction,
    /// `[blocks, n]`
    pub(crate) pending: Vec<R>,
    /// What left each sequence at its end, `[B, n]`.
    pub(crate) left_over: Vec<R>,
    /// Whether sweeps have shown that it becomes less slowly, if at all.
    pub(crate) lasting: bool,
}

impl<'b, R: Real> Borders<'b, R> {
    /// After the first sweep, in which blocks have `handed` over `[blocks, n]`, of `batch` sequences.
    pub(crate) fn after(
        blocks: &'b [Block],
        batch: usize,
        n: usize,
        direction: Direction,
        handed: &[R],
    ) -> Self {
        let zero = R::default();
        let mut borders = Self {
            blocks,
            n,
            direction,
            pending: vec![zero; blocks.len() * n],
            left_over: vec![zero; batch * n],
            lasting: false,
        };
        for (place, border) in handed.chunks_exact(n).enumerate() {
            borders.hand(place, border);
        }
        borders
    }

    /// Gives `border` to the block after `place` in the direction of the derivative.
    pub(crate) fn hand(&mut self, place: usize, border: &[R]) {
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
}
