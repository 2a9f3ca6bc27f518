//! What residuals and rounding make of a solved trajectory.

use super::Shape;
use super::walk::{Place, Visit};
use crate::backend::Spread;
use crate::backends::cpu::carry::Vector;
use crate::backends::cpu::group::Lane;
use crate::scalar::{Isa, Lanes, Real, Scalar};
use crate::scan::kalman::matrix::{multiply as product_of, multiply_transposed};

/// The error `ε_t = A_t ε_{t−1} + r_t`, and the variance `C_t = A_t C_{t−1} A_tᵀ + D_t` that independent roundings of the
/// steps, `D` in units of rounding, come to.
pub(in super::super) struct Error<'k, R> {
    pub(super) shape: Shape,
    pub(super) priors: &'k [R],
    pub(super) elements: &'k mut [R],
    pub(super) results: &'k mut [Spread],
}

pub(in super::super) struct Followed<R: Real, I: Isa> {
    /// The product of Jacobians since the chunk's start.
    a: Vec<Vector<R, I>>,
    b: Vec<Vector<R, I>>,
    c: Vec<Vector<R, I>>,
    product: Vec<Vector<R, I>>,
    vector: Vec<Vector<R, I>>,
    /// The state before the step, compact.
    before: Vec<Vector<R, I>>,
    /// Largest so far: of `|b|`, of the variances; whether one was no number.
    largest: [Vector<R, I>; 2],
    tainted: Vector<R, I>,
}

impl<R: Real, I: Isa> Visit<R, I> for Error<'_, R> {
    type State = Followed<R, I>;
    const STORES: bool = false;

    #[inline(always)]
    fn begin(&self, lanes: &[Lane<'_, R>]) -> Followed<R, I> {
        let zero = Vector::<R, I>::from_f64(0.0);
        let Shape { n, size, entries, .. } = self.shape;
        let mut state = Followed {
            a: vec![zero; entries],
            b: vec![zero; n],
            c: vec![zero; entries],
            product: vec![zero; size * size],
            vector: vec![zero; size],
            before: vec![zero; n],
            largest: [zero; 2],
            tainted: zero,
        };
        for i in 0..n {
            state.a[self.shape.structure.diagonal(n, i)] = Lanes::from_f64(1.0);
        }
        for (lane, chunk) in lanes.iter().enumerate() {
            let prior = &self.priors[lane * (n + entries)..(lane + 1) * (n + entries)];
            for (number, &prior) in state.b.iter_mut().chain(&mut state.c).zip(prior) {
                number.set_lane(lane, prior);
            }
            for (place, before) in state.before.iter_mut().enumerate() {
                before.set_lane(lane, chunk.start[self.shape.component(place)]);
            }
        }
        state
    }

    #[inline(always)]
    fn visit(&mut self, state: &mut Followed<R, I>, lanes: &[Lane<'_, R>], place: Place<'_, R, I>) {
        let zero = Vector::<R, I>::from_f64(0.0);
        for (places, entries) in self.shape.blocks() {
            let size = places.len();
            let f = &place.map[entries.clone()];
            let (a, b) = (&mut state.a[entries.clone()], &mut state.b[places.clone()]);
            let c = &mut state.c[entries];
            product_of(size, size, f, a, &mut state.product);
            a.copy_from_slice(&state.product[..size * size]);
            product_of(size, 1, f, b, &mut state.vector);
            for (i, b) in b.iter_mut().enumerate() {
                // What is stored is ahead of the step by −jump.
                *b = state.vector[i] - place.jump[places.start + i];
                state.largest[0] = state.largest[0].max(b.abs());
                state.tainted += *b * zero;
            }
            product_of(size, size, f, c, &mut state.product);
            multiply_transposed(size, &state.product, f, c);
            for i in 0..size {
                let after = place.stored[self.shape.component(places.start + i)];
                let mut rounding = after * after;
                for k in 0..size {
                    let term = f[i * size + k] * state.before[places.start + k];
                    rounding = term.mul_add(term, rounding);
                }
                let variance = c[i * (size + 1)] + rounding;
                c[i * (size + 1)] = variance;
                state.largest[1] = state.largest[1].max(variance);
                state.tainted += variance * zero;
            }
        }
        for (place_of, before) in state.before.iter_mut().enumerate() {
            *before = place.stored[self.shape.component(place_of)];
        }
        for (lane, chunk) in lanes.iter().enumerate() {
            if chunk.len == place.after {
                self.write(state, lane);
            }
        }
    }

    #[inline(always)]
    fn finish(&mut self, _: Followed<R, I>, _: &[Lane<'_, R>]) {}
}

impl<R: Real> Error<'_, R> {
    /// Writes what the chunk in `lane` has come to.
    #[inline(always)]
    fn write<I: Isa>(&mut self, state: &Followed<R, I>, lane: usize) {
        let width = 2 * self.shape.entries + self.shape.n;
        let element = &mut self.elements[lane * width..(lane + 1) * width];
        let parts = [&state.a, &state.b, &state.c];
        for (number, entry) in element.iter_mut().zip(parts.into_iter().flatten()) {
            *number = entry.lane(lane);
        }
        let tainted = state.tainted.lane(lane).to_f64();
        let [residual, variance] = state.largest.map(|x| x.lane(lane).to_f64() + tainted);
        self.results[lane] = Spread { residual, rounding: R::EPSILON.to_f64() * variance.sqrt() };
    }
}
