//! The linearising sweep: rolls the blocks of each chunk and composes the chunk's affine map.

use super::carry::{Carry, Matrix, Tangents, Unchanged, Vector};
use super::group::{Group, Lane};
use super::jacobian::TANGENTS;
use super::tile;
use super::walks::Walks;
use crate::backend::{LinearizeSettings, Linearized};
use crate::dynamics::{Recurrence, Structure};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Isa, Lanes, Real, Scalar};
use crate::solver::Tolerance;

/// How a chunk's derivative is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Derivative {
    /// As tangents: small blocks, or few components.
    Tangents(Structure),
    /// As the matrix itself, in compact form.
    Whole(Structure),
    /// As the matrix's diagonal, whatever else it has.
    Diagonal,
    /// Not at all: the linear part is zero or the identity.
    Constant,
}

impl Derivative {
    /// Entries of a chunk's map.
    pub(super) fn entries(self, n: usize) -> usize {
        match self {
            Derivative::Tangents(structure) | Derivative::Whole(structure) => structure.entries(n),
            Derivative::Diagonal => n,
            Derivative::Constant => 0,
        }
    }
}

/// Linearises one group of chunks.
pub(super) struct Linearize<'k, 'g, D: Recurrence> {
    pub(super) group: Group<'k, D>,
    pub(super) lanes: &'k mut [Lane<'g, D::Real>],
    pub(super) settings: LinearizeSettings,
    pub(super) derivative: Derivative,
    /// `[chunks, n]`
    pub(super) ends: &'k mut [D::Real],
    /// `[chunks, entries]`
    pub(super) maps: &'k mut [D::Real],
    pub(super) results: &'k mut [Linearized],
}

impl<D: Recurrence> Kernel for Linearize<'_, '_, D> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { group, lanes, settings, derivative, ends, maps, results } = self;
        let (n, m) = (group.dynamics.state_dim(), group.dynamics.input_dim());
        let settings = &settings;
        match derivative {
            Derivative::Tangents(structure) => {
                let several = lanes.iter().any(|lane| lane.len > settings.block);
                let columns = structure.block_size(n) + usize::from(several);
                for first in (0..columns).step_by(TANGENTS) {
                    let carry: &mut dyn Carry<_, I> =
                        &mut Tangents::<D, I>::new(group, structure, first);
                    let results = (first == 0).then_some(&mut *results);
                    Walks::linearize(Walk { carry, n, m, lanes, settings, results, ends, maps })
                        .run();
                }
            }
            Derivative::Whole(_) | Derivative::Diagonal => {
                let (structure, whole) = match derivative {
                    Derivative::Whole(structure) => (structure, true),
                    _ => (Structure::Diagonal, false),
                };
                let carry: &mut dyn Carry<_, I> = &mut Matrix::<D, I>::new(group, structure, whole);
                Walks::linearize(Walk {
                    carry,
                    n,
                    m,
                    lanes,
                    settings,
                    results: Some(results),
                    ends,
                    maps,
                })
                .run();
            }
            Derivative::Constant => {
                let carry: &mut dyn Carry<_, I> = &mut Unchanged::<D, I>::new(group);
                Walks::linearize(Walk {
                    carry,
                    n,
                    m,
                    lanes,
                    settings,
                    results: Some(results),
                    ends,
                    maps,
                })
                .run();
            }
        }
    }
}

/// Takes a carry along the chunks in lanes. With `results`, also stores the states inside of blocks and
/// the residuals at their borders, and starts the `ends` anew.
pub(super) struct Walk<'k, 'g, R: Real, I: Isa> {
    carry: &'k mut dyn Carry<R, I>,
    n: usize,
    m: usize,
    lanes: &'k mut [Lane<'g, R>],
    settings: &'k LinearizeSettings,
    results: Option<&'k mut [Linearized]>,
    ends: &'k mut [R],
    maps: &'k mut [R],
}

impl<R: Real, I: Isa> Walk<'_, '_, R, I> {
    /// Notes what the chunk in `lane` has come to.
    #[inline(always)]
    fn end(&mut self, lane: usize, factor: R, check: &Check<R, I>) {
        for (i, end) in self.ends[lane * self.n..][..self.n].iter_mut().enumerate() {
            if self.results.is_some() {
                *end = self.carry.value(i).lane(lane);
            }
            let moved = *end + self.carry.offset(i).lane(lane) * factor;
            // A slope that is not finite predicts nothing: what was rolled is left.
            if moved.is_finite() {
                *end = moved;
            }
        }
        let entries = self.maps.len() / self.lanes.len();
        self.carry.write_map(lane, factor, &mut self.maps[lane * entries..(lane + 1) * entries]);
        if let Some(results) = &mut self.results {
            results[lane] = check.result(lane, !self.lanes[lane].last);
        }
    }
}

impl<R: Real, I: Isa> Kernel for Walk<'_, '_, R, I> {
    type Output = ();

    #[inline(always)]
    fn run<J: Isa>(mut self) {
        let (n, m) = (self.n, self.m);
        let block = self.settings.block;
        let zero = Vector::<R, I>::from_f64(0.0);
        let factor = R::from_f64(self.settings.factor);
        let mut inputs = vec![zero; tile::STEPS * m];
        let mut stored = vec![zero; tile::STEPS * n];
        let mut states = vec![zero; tile::STEPS * n];
        // A component's size: its largest magnitude lately, forgotten at the pace of a window.
        let forgotten = R::from_f64(1.0 - 1.0 / Tolerance::SIZE_STEPS as f64);
        let mut sizes = vec![zero; n];
        let mut check = Check::<R, I>::new(self.settings);
        for i in 0..n {
            let mut start = zero;
            for (lane, chunk) in self.lanes.iter().enumerate() {
                start.set_lane(lane, chunk.start[i]);
            }
            self.carry.set(i, start, zero);
        }
        let longest = self.lanes.iter().map(|lane| lane.len).max().unwrap_or(0);
        for t in (0..longest).step_by(tile::STEPS) {
            let steps = tile::STEPS.min(longest - t);
            tile::gather(self.lanes.iter().map(|lane| lane.inputs_at(t, steps, m)), &mut inputs);
            tile::gather(self.lanes.iter().map(|lane| lane.states_at(t, steps, n)), &mut stored);
            for k in 0..steps {
                self.carry.step(&inputs[k * m..(k + 1) * m]);
                for i in 0..n {
                    let value = self.carry.value(i);
                    states[k * n + i] = value;
                    // An infinity lately says nothing about the size now.
                    let magnitude = value.abs();
                    let finite = magnitude.select(Lanes::from_f64(f64::MAX), magnitude, zero);
                    sizes[i] = finite.max(sizes[i] * forgotten);
                }
                let after = t + k + 1;
                let border = after % block == 0;
                let ends = self.lanes.iter().any(|lane| lane.len == after);
                if !border && !ends {
                    continue;
                }
                check.begin();
                for i in 0..n {
                    check.compare(states[k * n + i], stored[k * n + i], sizes[i]);
                }
                for lane in 0..self.lanes.len() {
                    if self.lanes[lane].len == after {
                        self.end(lane, factor, &check);
                    }
                }
                if border {
                    check.commit();
                }
                if border && after < longest {
                    self.carry.scale(factor);
                    for i in 0..n {
                        let start = stored[k * n + i];
                        let moved = states[k * n + i] + self.carry.offset(i) - start;
                        self.carry.set(i, start, moved);
                    }
                }
            }
            if self.results.is_some() {
                for (lane, chunk) in self.lanes.iter_mut().enumerate() {
                    chunk.store_inside(&states, lane, t, steps, n, block);
                }
            }
        }
    }
}

/// Residuals at borders, lane-wise.
pub(super) struct Check<R: Real, I: Isa> {
    atol: R,
    rtol: R,
    /// Largest residual so far; a NaN in `tainted` where one was not finite.
    largest: Vector<R, I>,
    tainted: Vector<R, I>,
    /// 1 where a residual was beyond the tolerance.
    beyond: Vector<R, I>,
    /// The same of the border at hand.
    now: [Vector<R, I>; 3],
}

impl<R: Real, I: Isa> Check<R, I> {
    #[inline(always)]
    pub(super) fn new(settings: &LinearizeSettings) -> Self {
        let zero = Lanes::from_f64(0.0);
        Self {
            atol: R::from_f64(settings.tolerance.atol),
            rtol: R::from_f64(settings.tolerance.rtol),
            largest: zero,
            tainted: zero,
            beyond: zero,
            now: [zero; 3],
        }
    }

    #[inline(always)]
    pub(super) fn begin(&mut self) {
        self.now = [Lanes::from_f64(0.0); 3];
    }

    #[inline(always)]
    pub(super) fn compare(&mut self, new: Vector<R, I>, old: Vector<R, I>, size: Vector<R, I>) {
        let [largest, tainted, beyond] = &mut self.now;
        let zero = Lanes::from_f64(0.0);
        let difference = (new - old).abs();
        let now = new.abs().max(old.abs());
        let size = size.min(now * R::from_f64(Tolerance::SIZE_RATIO)).max(now);
        let bound = size * self.rtol + self.atol;
        *largest = largest.max(difference);
        *tainted += difference * zero;
        // Written so that a NaN is beyond.
        let within = Lanes::from_f64(1.0) - bound.select(difference, Lanes::from_f64(1.0), zero);
        let number = difference.select(Lanes::from_f64(f64::MAX), within, zero);
        *beyond = beyond.max(Lanes::from_f64(1.0) - number);
    }

    /// Takes the border at hand into account for every lane.
    #[inline(always)]
    pub(super) fn commit(&mut self) {
        let [largest, tainted, beyond] = self.now;
        self.largest = self.largest.max(largest);
        self.tainted += tainted;
        self.beyond = self.beyond.max(beyond);
    }

    /// What the borders of `lane` came to, with the one at hand or without.
    #[inline(always)]
    pub(super) fn result(&self, lane: usize, with_this: bool) -> Linearized {
        let mut largest = self.largest.lane(lane).to_f64() + self.tainted.lane(lane).to_f64();
        let mut beyond = self.beyond.lane(lane).to_f64();
        if with_this {
            let [now, tainted, now_beyond] = self.now;
            let now = now.lane(lane).to_f64() + tainted.lane(lane).to_f64();
            largest = if now <= largest { largest } else { now };
            beyond = beyond.max(now_beyond.lane(lane).to_f64());
        }
        Linearized { residual: largest, converged: beyond == 0.0 }
    }
}
