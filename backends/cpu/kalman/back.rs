//! The most probable changes at the borders inside chunks.

use super::walk::{Place, Visit};
use super::{Shape, lane_shares};
use crate::backends::cpu::carry::Vector;
use crate::backends::cpu::group::Lane;
use crate::scalar::{Isa, Real, Scalar};
use crate::scan::kalman::Smoothing;

/// Filters the borders of chunks, and smooths them from the last one back.
pub(in super::super) struct Back<'k, 'g, R> {
    pub(super) shape: Shape,
    pub(super) block: usize,
    pub(super) lambdas: &'k [f64],
    pub(super) priors: &'k [R],
    pub(super) ends: &'k [R],
    pub(super) moved: &'k mut [Lane<'g, R>],
}

pub(in super::super) struct Remembered<R: Real, I: Isa> {
    shares: (Vector<R, I>, Vector<R, I>),
    step: Smoothing<Vector<R, I>>,
    b: Vec<Vector<R, I>>,
    c: Vec<Vector<R, I>>,
    /// Of each border but the first: the map to the change at the one before it.
    gains: Vec<Vector<R, I>>,
    offsets: Vec<Vector<R, I>>,
    borders: usize,
}

impl<R: Real, I: Isa> Visit<R, I> for Back<'_, '_, R> {
    type State = Remembered<R, I>;
    const STORES: bool = false;

    #[inline(always)]
    fn begin(&self, lanes: &[Lane<'_, R>]) -> Remembered<R, I> {
        let zero = Vector::<R, I>::from_f64(0.0);
        let Shape { n, size, entries, .. } = self.shape;
        let (mut b, mut c) = (vec![zero; n], vec![zero; entries]);
        for (lane, prior) in self.priors.chunks_exact(n + entries).enumerate() {
            for (number, &prior) in b.iter_mut().chain(&mut c).zip(prior) {
                number.set_lane(lane, prior);
            }
        }
        let longest = lanes.iter().map(|lane| lane.len).max().unwrap_or(0) / self.block;
        Remembered {
            shares: lane_shares(self.lambdas),
            step: Smoothing::new(size, zero),
            b,
            c,
            gains: vec![zero; longest * entries],
            offsets: vec![zero; longest * n],
            borders: 0,
        }
    }

    #[inline(always)]
    fn visit(&mut self, state: &mut Remembered<R, I>, _: &[Lane<'_, R>], place: Place<'_, R, I>) {
        if !place.border {
            return;
        }
        let Shape { n, entries: all, .. } = self.shape;
        let gains = &mut state.gains[state.borders * all..(state.borders + 1) * all];
        let offsets = &mut state.offsets[state.borders * n..(state.borders + 1) * n];
        for (places, entries) in self.shape.blocks() {
            let (f, d) = (&place.map[entries.clone()], &place.jump[places.clone()]);
            let (b, c) = (&mut state.b[places.clone()], &mut state.c[entries.clone()]);
            state.step.predict(places.len(), f, c);
            if state.borders > 0 {
                state.step.smooth(f, b, d, &mut gains[entries], &mut offsets[places]);
            }
            state.step.observe(state.shares, f, d, b, c);
        }
        state.borders += 1;
    }

    #[inline(always)]
    fn finish(&mut self, state: Remembered<R, I>, lanes: &[Lane<'_, R>]) {
        let Shape { n, entries, .. } = self.shape;
        let zero = Vector::<R, I>::from_f64(0.0);
        let (mut change, mut before) = (vec![zero; n], vec![zero; n]);
        for border in (0..state.borders).rev() {
            let at = ((border + 1) * self.block - 1) * n;
            for (lane, chunk) in lanes.iter().enumerate() {
                // Of a sequence's last chunk the end is no border.
                let borders = (chunk.len - usize::from(chunk.last)) / self.block;
                if border + 1 == borders {
                    let end = &self.ends[lane * n..(lane + 1) * n];
                    for (change, &end) in change.iter_mut().zip(end) {
                        change.set_lane(lane, end);
                    }
                }
                if border < borders {
                    for (place, change) in change.iter().enumerate() {
                        let i = at + self.shape.component(place);
                        self.moved[lane].states[i] = chunk.states[i] + change.lane(lane);
                    }
                }
            }
            if border > 0 {
                let gains = &state.gains[border * entries..(border + 1) * entries];
                for (i, before) in before.iter_mut().enumerate() {
                    let row = self.shape.structure.row(n, i);
                    let mut sum = state.offsets[border * n + i];
                    for k in 0..row.size {
                        sum = gains[row.entry + k].mul_add(change[row.start + k], sum);
                    }
                    *before = sum;
                }
                std::mem::swap(&mut change, &mut before);
            }
        }
    }
}
