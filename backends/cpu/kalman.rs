//! ELK's sweep: each chunk of blocks becomes one Kalman element, and between the smoothed states at its ends its borders
//! are smoothed by a pass back.
//!
//! The unknowns are the changes `δ` of the states at the borders of blocks: with a block's end `e` and the product `F` of its
//! Jacobians, `δ_{b+1} ≈ F δ_b + (e_b − s_{b+1})`, and `δ` itself is observed as 0. In changes, so that their rounding is
//! relative to them and not to the states.

use super::carry::Vector;
use super::group::{Group, Lane};
use super::jacobian::{Jacobian, multiply};
use super::linearize::Check;
use super::tile;
use crate::backend::{Filtered, LinearizeSettings, Spread};
use crate::dynamics::{Recurrence, Structure};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Isa, Lanes, Real, Scalar};
use crate::scan::kalman::matrix::{multiply as product_of, multiply_transposed};
use crate::scan::kalman::{Smoothing, shares};
use crate::solver::Tolerance;

/// Reduces one group of chunks to their elements.
pub(super) struct Filter<'k, 'g, D: Recurrence> {
    pub(super) group: Group<'k, D>,
    pub(super) lanes: &'k mut [Lane<'g, D::Real>],
    pub(super) settings: LinearizeSettings,
    pub(super) structure: Structure,
    /// Whether the structure keeps all that the Jacobian has.
    pub(super) whole: bool,
    /// λ of each chunk.
    pub(super) lambdas: &'k [f64],
    /// `[chunks, width]`
    pub(super) elements: &'k mut [D::Real],
    pub(super) results: &'k mut [Filtered],
}

impl<D: Recurrence> Kernel for Filter<'_, '_, D> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { group, lanes, settings, structure, whole, lambdas, elements, results } = self;
        let shape = Shape::of(group.dynamics.state_dim(), group.dynamics.input_dim(), structure);
        let model: &mut dyn Model<_, I> = &mut Stepper::<D, I>::new(group, structure, whole);
        let visit = Reduce { shape, settings: &settings, lambdas, elements, results };
        I::enter(Walk { model, shape, lanes, block: settings.block, visit });
    }
}

/// Smooths the borders of one group of chunks, whose lanes hold the states that are to move.
pub(super) struct Smooth<'k, 'g, D: Recurrence> {
    pub(super) group: Group<'k, D>,
    pub(super) lanes: &'k mut [Lane<'g, D::Real>],
    pub(super) settings: LinearizeSettings,
    pub(super) structure: Structure,
    pub(super) whole: bool,
    /// λ of each chunk.
    pub(super) lambdas: &'k [f64],
    /// Mean and variance of the change before each chunk, `[chunks, n + entries]`.
    pub(super) priors: &'k [D::Real],
    /// The change at the last border of each chunk, `[chunks, n]`.
    pub(super) ends: &'k [D::Real],
    /// Where the moved states go.
    pub(super) moved: &'k mut [Lane<'g, D::Real>],
}

impl<D: Recurrence> Kernel for Smooth<'_, '_, D> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { group, lanes, settings, structure, whole, lambdas, priors, ends, moved } = self;
        let shape = Shape::of(group.dynamics.state_dim(), group.dynamics.input_dim(), structure);
        let model: &mut dyn Model<_, I> = &mut Stepper::<D, I>::new(group, structure, whole);
        let visit = Back { shape, block: settings.block, lambdas, priors, ends, moved };
        I::enter(Walk { model, shape, lanes, block: settings.block, visit });
    }
}

/// Follows along one group of chunks of a solved trajectory what its residuals and rounding make of it.
pub(super) struct Follow<'k, 'g, D: Recurrence> {
    pub(super) group: Group<'k, D>,
    pub(super) lanes: &'k mut [Lane<'g, D::Real>],
    pub(super) structure: Structure,
    /// Mean and variance of the error before each chunk, `[chunks, n + entries]`.
    pub(super) priors: &'k [D::Real],
    /// `[chunks, 2 entries + n]`
    pub(super) elements: &'k mut [D::Real],
    pub(super) results: &'k mut [Spread],
}

impl<D: Recurrence> Kernel for Follow<'_, '_, D> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { group, lanes, structure, priors, elements, results } = self;
        let shape = Shape::of(group.dynamics.state_dim(), group.dynamics.input_dim(), structure);
        let model: &mut dyn Model<_, I> = &mut Stepper::<D, I>::new(group, structure, true);
        let visit = Error { shape, priors, elements, results };
        I::enter(Walk { model, shape, lanes, block: 1, visit });
    }
}

/// Sizes, and the order of components in compact matrices.
#[derive(Clone, Copy)]
struct Shape {
    n: usize,
    m: usize,
    structure: Structure,
    size: usize,
    entries: usize,
}

impl Shape {
    fn of(n: usize, m: usize, structure: Structure) -> Self {
        let (size, entries) = (structure.block_size(n), structure.entries(n));
        Self { n, m, structure, size, entries }
    }

    /// The state's component at place `place` of the compact order.
    #[inline(always)]
    fn component(self, place: usize) -> usize {
        self.structure.component(self.n, place / self.size, place % self.size)
    }

    /// Places and entries of each block.
    #[inline(always)]
    fn blocks(self) -> impl Iterator<Item = (std::ops::Range<usize>, std::ops::Range<usize>)> {
        let (size, square) = (self.size, self.size * self.size);
        (0..self.n / size).map(move |q| (q * size..(q + 1) * size, q * square..(q + 1) * square))
    }
}

/// A step with its Jacobian; an object, so that the algebra is compiled once for all recurrences.
trait Model<R: Real, I: Isa> {
    /// Takes `x` one step on, and writes the entries of the Jacobian.
    fn step(&mut self, x: &mut [Vector<R, I>], u: &[Vector<R, I>], entries: &mut [Vector<R, I>]);
}

struct Stepper<'k, D: Recurrence, I: Isa> {
    jacobian: Jacobian<'k, D, I>,
    next: Vec<Vector<D::Real, I>>,
}

impl<'k, D: Recurrence, I: Isa> Stepper<'k, D, I> {
    #[inline(always)]
    fn new(group: Group<'k, D>, structure: Structure, whole: bool) -> Self {
        let len = group.dynamics.state_dim() + group.dynamics.scratch_dim();
        let next = vec![Lanes::from_f64(0.0); len];
        Self { jacobian: Jacobian::new(group, structure, whole), next }
    }
}

impl<D: Recurrence, I: Isa> Model<D::Real, I> for Stepper<'_, D, I> {
    fn step(
        &mut self,
        x: &mut [Vector<D::Real, I>],
        u: &[Vector<D::Real, I>],
        entries: &mut [Vector<D::Real, I>],
    ) {
        self.jacobian.evaluate(x, u, &mut self.next, entries);
        x.copy_from_slice(&self.next[..x.len()]);
    }
}

/// A border, or the end of a lane, as a walk comes to it.
struct Place<'w, R: Real, I: Isa> {
    /// Steps done.
    after: usize,
    /// Whether a block ends here, in those lanes that go on.
    border: bool,
    /// The end of the block, what is stored there, and how large the components lately were.
    end: &'w [Vector<R, I>],
    stored: &'w [Vector<R, I>],
    sizes: &'w [Vector<R, I>],
    /// The product of the block's Jacobians, compact.
    map: &'w [Vector<R, I>],
    /// `end − stored`, in the compact order.
    jump: &'w [Vector<R, I>],
}

/// What is done along a walk.
trait Visit<R: Real, I: Isa> {
    type State;
    fn begin(&self, lanes: &[Lane<'_, R>]) -> Self::State;
    fn visit(&mut self, state: &mut Self::State, lanes: &[Lane<'_, R>], place: Place<'_, R, I>);
    /// Whether the states inside of blocks are to be stored.
    const STORES: bool;
    fn finish(&mut self, state: Self::State, lanes: &[Lane<'_, R>]);
}

/// Rolls the blocks of the chunks in lanes, with their Jacobians.
struct Walk<'k, 'g, R: Real, I: Isa, V> {
    model: &'k mut dyn Model<R, I>,
    shape: Shape,
    lanes: &'k mut [Lane<'g, R>],
    block: usize,
    visit: V,
}

impl<R: Real, I: Isa, V: Visit<R, I>> Kernel for Walk<'_, '_, R, I, V> {
    type Output = ();

    #[inline(always)]
    fn run<J: Isa>(self) {
        let Self { model, shape, lanes, block, mut visit } = self;
        let Shape { n, m, structure, entries, .. } = shape;
        let zero = Vector::<R, I>::from_f64(0.0);
        let mut inputs = vec![zero; tile::STEPS * m];
        let mut stored = vec![zero; tile::STEPS * n];
        let mut states = vec![zero; tile::STEPS * n];
        let (mut x, mut jump, mut sizes) = (vec![zero; n], vec![zero; n], vec![zero; n]);
        let mut jacobian = vec![zero; entries];
        let (mut map, mut product) = (jacobian.clone(), jacobian.clone());
        let forgotten = R::from_f64(1.0 - 1.0 / Tolerance::SIZE_STEPS as f64);
        for (lane, chunk) in lanes.iter().enumerate() {
            for (x, &start) in x.iter_mut().zip(chunk.start) {
                x.set_lane(lane, start);
            }
        }
        let mut state = visit.begin(lanes);
        let mut fresh = true;
        let longest = lanes.iter().map(|lane| lane.len).max().unwrap_or(0);
        for t in (0..longest).step_by(tile::STEPS) {
            let steps = tile::STEPS.min(longest - t);
            tile::gather(lanes.iter().map(|lane| lane.inputs_at(t, steps, m)), &mut inputs);
            tile::gather(lanes.iter().map(|lane| lane.states_at(t, steps, n)), &mut stored);
            for k in 0..steps {
                model.step(&mut x, &inputs[k * m..(k + 1) * m], &mut jacobian);
                if fresh {
                    map.copy_from_slice(&jacobian);
                } else {
                    multiply(structure, n, &jacobian, &map, &mut product);
                    std::mem::swap(&mut map, &mut product);
                }
                fresh = false;
                for i in 0..n {
                    states[k * n + i] = x[i];
                    // An infinity lately says nothing about the size now.
                    let magnitude = x[i].abs();
                    let finite = magnitude.select(Lanes::from_f64(f64::MAX), magnitude, zero);
                    sizes[i] = finite.max(sizes[i] * forgotten);
                }
                let after = t + k + 1;
                let border = after % block == 0;
                if !border && !lanes.iter().any(|lane| lane.len == after) {
                    continue;
                }
                let stored = &stored[k * n..(k + 1) * n];
                for (place, jump) in jump.iter_mut().enumerate() {
                    let i = shape.component(place);
                    *jump = x[i] - stored[i];
                }
                let place =
                    Place { after, border, end: &x, stored, sizes: &sizes, map: &map, jump: &jump };
                visit.visit(&mut state, lanes, place);
                if border {
                    x.copy_from_slice(stored);
                    fresh = true;
                }
            }
            if V::STORES {
                for (lane, chunk) in lanes.iter_mut().enumerate() {
                    chunk.store_inside(&states, lane, t, steps, n, block);
                }
            }
        }
        visit.finish(state, lanes);
    }
}

/// κ and 1 − κ of each lane.
#[inline(always)]
fn lane_shares<R: Real, I: Isa>(lambdas: &[f64]) -> (Vector<R, I>, Vector<R, I>) {
    let (mut kappa, mut rest) = (Lanes::from_f64(0.0), Lanes::from_f64(1.0));
    for (lane, &lambda) in lambdas.iter().enumerate() {
        let (of_observation, of_prediction) = shares::<R>(lambda);
        kappa.set_lane(lane, of_observation);
        rest.set_lane(lane, of_prediction);
    }
    (kappa, rest)
}

/// Composes the elements of chunks.
struct Reduce<'k, R> {
    shape: Shape,
    settings: &'k LinearizeSettings,
    lambdas: &'k [f64],
    elements: &'k mut [R],
    results: &'k mut [Filtered],
}

/// The elements so far, by lanes.
struct Reduced<R: Real, I: Isa> {
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
            a[i * size + i % size] = Lanes::from_f64(1.0);
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
            state.step.predict(f, c);
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

/// Filters the borders of chunks, and smooths them from the last one back.
struct Back<'k, 'g, R> {
    shape: Shape,
    block: usize,
    lambdas: &'k [f64],
    priors: &'k [R],
    ends: &'k [R],
    moved: &'k mut [Lane<'g, R>],
}

struct Remembered<R: Real, I: Isa> {
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
            state.step.predict(f, c);
            if state.borders > 0 {
                state.step.smooth(f, b, d, &mut gains[entries], &mut offsets[places]);
            }
            state.step.observe(state.shares, f, d, b, c);
        }
        state.borders += 1;
    }

    #[inline(always)]
    fn finish(&mut self, state: Remembered<R, I>, lanes: &[Lane<'_, R>]) {
        let Shape { n, size, entries, .. } = self.shape;
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
                for i in 0..n {
                    let first = i - i % size;
                    let mut sum = state.offsets[border * n + i];
                    for k in 0..size {
                        sum = gains[i * size + k].mul_add(change[first + k], sum);
                    }
                    before[i] = sum;
                }
                std::mem::swap(&mut change, &mut before);
            }
        }
    }
}

/// The error `ε_t = A_t ε_{t−1} + r_t`, and the variance `C_t = A_t C_{t−1} A_tᵀ + D_t` that independent roundings of the
/// steps, `D` in units of rounding, come to.
struct Error<'k, R> {
    shape: Shape,
    priors: &'k [R],
    elements: &'k mut [R],
    results: &'k mut [Spread],
}

struct Followed<R: Real, I: Isa> {
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
            state.a[i * size + i % size] = Lanes::from_f64(1.0);
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
        let size = self.shape.size;
        let zero = Vector::<R, I>::from_f64(0.0);
        for (places, entries) in self.shape.blocks() {
            let f = &place.map[entries.clone()];
            let (a, b) = (&mut state.a[entries.clone()], &mut state.b[places.clone()]);
            let c = &mut state.c[entries];
            product_of(size, size, f, a, &mut state.product);
            a.copy_from_slice(&state.product);
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
