//! The elements of chunks.

use super::walk::{Place, Visit};
use super::{Shape, lane_shares};
use crate::backend::{Filtered, LinearizeSettings};
use crate::backends::cpu::carry::Vector;
use crate::backends::cpu::group::Lane;
use crate::backends::cpu::linearize::Check;
use crate::scalar::{Isa, Lanes, Real, Scalar};
use crate::scan::kalman::Smoothing;

/// Composes the elements of chunks.
pub(in super::super) struct Reduce<'k, R> {
    pub(super) shape: Shape,
    pub(super) settings: &'k LinearizeSettings,
    pub(super) lambdas: &'k [f64],
    pub(super) elements: &'k mut [R],
    pub(super) results: &'k mut [Filtered],
}

/// The elements so far, by lanes.
pub(in super::super) struct Reduced<R: Real, I: Isa> {
    shares: (Vector<R, I>, Vector<R, I>),
    step: Smoothing<Vector<R, I>>,
    a: Vec<Vector<R, I>>,
    b: Vec<Vector<R, I>>,
    c: Vec<Vector<R, I>>,
    eta: Vec<Vector<R, I>>,
    j: Vec<Vector<R, I>>,
    check: Check<R, I>,
    /// ½ Σ |jump|²
    merit: Vector<R, I>,
}

impl<R: Real, I: Isa> Visit<R, I> for Reduce<'_, R> {
    type State = Reduced<R, I>;
    const STORES: bool = true;

    #[inline(always)]
    fn begin(&self, _: &[Lane<'_, R>]) -> Reduced<R, I> {
        let zero = Vector::<R, I>::from_f64(0.0);
        let Shape { n, size, entries, .. } = self.shape;
        let mut a = vec![zero; entries];
        for i in 0..n {
            a[self.shape.structure.diagonal(n, i)] = Lanes::from_f64(1.0);
        }
        Reduced {
            shares: lane_shares(self.lambdas),
            step: Smoothing::new(size, zero),
            a,
            b: vec![zero; n],
            c: vec![zero; entries],
            eta: vec![zero; n],
            j: vec![zero; entries],
            check: Check::new(self.settings),
            merit: zero,
        }
    }

    #[inline(always)]
    fn visit(&mut self, state: &mut Reduced<R, I>, lanes: &[Lane<'_, R>], place: Place<'_, R, I>) {
        state.check.begin();
        for i in 0..self.shape.n {
            state.check.compare(place.end[i], place.stored[i], place.sizes[i]);
        }
        for (lane, chunk) in lanes.iter().enumerate() {
            // A sequence's end is no border.
            if chunk.len == place.after && chunk.last {
                self.write(state, lane);
            }
        }
        if !place.border {
            return;
        }
        state.check.commit();
        for &jump in place.jump {
            state.merit = (jump * R::from_f64(0.5)).mul_add(jump, state.merit);
        }
        for (places, entries) in self.shape.blocks() {
            let (f, d) = (&place.map[entries.clone()], &place.jump[places.clone()]);
            let (b, c) = (&mut state.b[places.clone()], &mut state.c[entries.clone()]);
            state.step.predict(places.len(), f, c);
            state.step.observe(state.shares, f, d, b, c);
            let (a, j) = (&mut state.a[entries.clone()], &mut state.j[entries]);
            state.step.extend(state.shares, f, a, &mut state.eta[places], j);
        }
        for (lane, chunk) in lanes.iter().enumerate() {
            if chunk.len == place.after && !chunk.last {
                self.write(state, lane);
            }
        }
    }

    #[inline(always)]
    fn finish(&mut self, _: Reduced<R, I>, _: &[Lane<'_, R>]) {}
}

impl<R: Real> Reduce<'_, R> {
    /// Writes the element of the chunk in `lane`.
    #[inline(always)]
    fn write<I: Isa>(&mut self, state: &Reduced<R, I>, lane: usize) {
        let width = 3 * self.shape.entries + 2 * self.shape.n;
        let parts = [&state.a, &state.b, &state.c, &state.eta, &state.j];
        let element = &mut self.elements[lane * width..(lane + 1) * width];
        for (number, entry) in element.iter_mut().zip(parts.into_iter().flatten()) {
            *number = entry.lane(lane);
        }
        self.results[lane] = Filtered {
            borders: state.check.result(lane, false),
            merit: state.merit.lane(lane).to_f64(),
        };
    }
}
