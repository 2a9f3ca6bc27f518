//! The linearising sweep: rolls the blocks of each chunk and composes the chunk's affine map.

use super::carry::{Carry, Matrix, Tangents, Unchanged};
use super::group::{Group, Lane};
use super::jacobian::TANGENTS;
use super::tile;
use crate::backend::{LinearizeSettings, Linearized};
use crate::dynamics::{Dynamics, Structure};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Isa, Lanes, Real, Scalar};

/// How a chunk's derivative is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Derivative {
    /// As tangents in lanes: few components, dense.
    Tangents,
    /// As a compact matrix in lanes (none: the linear part is zero or the identity).
    Compact(Option<Structure>),
    /// As a dense matrix, one chunk at a time.
    Product,
}

impl Derivative {
    /// Chunks that one kernel takes, given those in one vector.
    pub(super) fn lanes(self, width: usize) -> usize {
        if self == Derivative::Product { 1 } else { width }
    }

    /// Entries of a chunk's map.
    pub(super) fn entries(self, n: usize) -> usize {
        match self {
            Derivative::Tangents | Derivative::Product => n * n,
            Derivative::Compact(structure) => structure.map_or(0, |s| s.entries(n)),
        }
    }
}

/// Linearises one group of chunks.
pub(super) struct Linearize<'k, 'g, D: Dynamics> {
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

impl<D: Dynamics> Kernel for Linearize<'_, '_, D> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { group, lanes, settings, derivative, ends, maps, results } = self;
        let n = group.dynamics.state_dim();
        let entries = derivative.entries(n);
        match derivative {
            Derivative::Tangents => {
                let several = lanes.iter().any(|lane| lane.len > settings.block);
                for first in (0..n + usize::from(several)).step_by(TANGENTS) {
                    let mut carry = Tangents::<D, I>::new(group, first);
                    let report = (first == 0).then_some(&mut *results);
                    walk(group, lanes, &settings, &mut carry, report, |carry, lane, factor| {
                        for i in 0..n {
                            for column in first..(first + TANGENTS).min(n) {
                                maps[lane * entries + i * n + column] =
                                    carry.derivative(i, column).lane(lane) * factor;
                            }
                        }
                        add_end(carry, first == 0, lane, factor, &mut ends[lane * n..][..n]);
                    });
                }
            }
            Derivative::Compact(Some(structure)) => {
                let carry = Matrix::<D, I>::new(group, structure);
                with_matrix(group, lanes, &settings, carry, results, ends, maps);
            }
            Derivative::Compact(None) => {
                let mut carry = Unchanged::<D, I>::new(group);
                walk(group, lanes, &settings, &mut carry, Some(results), |carry, lane, factor| {
                    add_end(carry, true, lane, factor, &mut ends[lane * n..][..n]);
                });
            }
            Derivative::Product => {
                let carry = Matrix::<D, I::Single>::new(group, Structure::Dense);
                with_matrix(group, lanes, &settings, carry, results, ends, maps);
            }
        }
    }
}

/// The end of the chunk in `lane`: its value, unless that is there already, and how far it moves.
#[inline(always)]
fn add_end<R: Real, I: Isa, const K: usize, C: Carry<Lanes<R, I, K>>>(
    carry: &C,
    value: bool,
    lane: usize,
    factor: R,
    end: &mut [R],
) {
    for (i, end) in end.iter_mut().enumerate() {
        if value {
            *end = carry.value(i).lane(lane);
        }
        *end += carry.offset(i).lane(lane) * factor;
    }
}

#[inline(always)]
fn with_matrix<D: Dynamics, I: Isa>(
    group: Group<'_, D>,
    lanes: &mut [Lane<'_, D::Real>],
    settings: &LinearizeSettings,
    mut carry: Matrix<'_, D, I>,
    results: &mut [Linearized],
    ends: &mut [D::Real],
    maps: &mut [D::Real],
) {
    let n = group.dynamics.state_dim();
    let entries = carry.map().len();
    walk(group, lanes, settings, &mut carry, Some(results), |carry, lane, factor| {
        add_end(carry, true, lane, factor, &mut ends[lane * n..][..n]);
        for (map, entry) in maps[lane * entries..(lane + 1) * entries].iter_mut().zip(carry.map()) {
            *map = entry.lane(lane) * factor;
        }
    });
}

/// Takes `carry` along the chunks in lanes and calls `at_end` for each lane when its chunk has ended (its last
/// block not scaled yet). With `results`, also stores the states inside of blocks and the residuals at
/// their borders.
#[inline(always)]
fn walk<D: Dynamics, I: Isa, const K: usize, C: Carry<Lanes<D::Real, I, K>>>(
    group: Group<'_, D>,
    lanes: &mut [Lane<'_, D::Real>],
    settings: &LinearizeSettings,
    carry: &mut C,
    mut results: Option<&mut [Linearized]>,
    mut at_end: impl FnMut(&C, usize, D::Real),
) {
    let (n, m) = (group.dynamics.state_dim(), group.dynamics.input_dim());
    let zero = Lanes::<D::Real, I, K>::from_f64(0.0);
    let factor = D::Real::from_f64(settings.factor);
    let mut inputs = vec![zero; tile::STEPS * m];
    let mut stored = vec![zero; tile::STEPS * n];
    let mut states = vec![zero; tile::STEPS * n];
    let mut check = Check::new(settings);
    for i in 0..n {
        let mut start = zero;
        for (lane, chunk) in lanes.iter().enumerate() {
            start.set_lane(lane, chunk.start[i]);
        }
        carry.set(i, start, zero);
    }
    let longest = lanes.iter().map(|lane| lane.len).max().unwrap_or(0);
    for t in (0..longest).step_by(tile::STEPS) {
        let steps = tile::STEPS.min(longest - t);
        tile::gather(lanes.iter().map(|lane| lane.inputs_at(t, steps, m)), &mut inputs);
        tile::gather(lanes.iter().map(|lane| lane.states_at(t, steps, n)), &mut stored);
        for k in 0..steps {
            carry.step(&inputs[k * m..(k + 1) * m]);
            for i in 0..n {
                states[k * n + i] = carry.value(i);
            }
            let after = t + k + 1;
            let border = after % settings.block == 0;
            let ends = lanes.iter().any(|lane| lane.len == after);
            if border || ends {
                check.begin();
                for i in 0..n {
                    check.compare(carry.value(i), stored[k * n + i]);
                }
            }
            if ends {
                for (lane, chunk) in lanes.iter().enumerate() {
                    if chunk.len == after {
                        at_end(carry, lane, factor);
                        if let Some(results) = &mut results {
                            results[lane] = check.result(lane, !chunk.last);
                        }
                    }
                }
            }
            if border || ends {
                check.commit();
            }
            if border && after < longest {
                carry.scale(factor);
                for i in 0..n {
                    let start = stored[k * n + i];
                    let moved = carry.value(i) + carry.offset(i) - start;
                    carry.set(i, start, moved);
                }
            }
        }
        if results.is_some() {
            for (lane, chunk) in lanes.iter_mut().enumerate() {
                chunk.store_inside(&states, lane, t, steps, n, settings.block);
            }
        }
    }
}

/// Residuals at borders, lane-wise.
struct Check<R: Real, I: Isa, const K: usize> {
    atol: R,
    rtol: R,
    /// Largest residual so far; a NaN in `tainted` where one was not finite.
    largest: Lanes<R, I, K>,
    tainted: Lanes<R, I, K>,
    /// 1 where a residual was beyond the tolerance.
    beyond: Lanes<R, I, K>,
    /// The same of the border at hand.
    now: [Lanes<R, I, K>; 3],
}

impl<R: Real, I: Isa, const K: usize> Check<R, I, K> {
    #[inline(always)]
    fn new(settings: &LinearizeSettings) -> Self {
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
    fn begin(&mut self) {
        self.now = [Lanes::from_f64(0.0); 3];
    }

    #[inline(always)]
    fn compare(&mut self, new: Lanes<R, I, K>, old: Lanes<R, I, K>) {
        let [largest, tainted, beyond] = &mut self.now;
        let zero = Lanes::from_f64(0.0);
        let difference = (new - old).abs();
        let bound = new.abs().max(old.abs()) * self.rtol + self.atol;
        *largest = largest.max(difference);
        *tainted += difference * zero;
        // Written so that a NaN is beyond.
        let within = Lanes::from_f64(1.0) - bound.select(difference, Lanes::from_f64(1.0), zero);
        let number = difference.select(Lanes::from_f64(f64::MAX), within, zero);
        *beyond = beyond.max(Lanes::from_f64(1.0) - number);
    }

    /// Takes the border at hand into account for every lane.
    #[inline(always)]
    fn commit(&mut self) {
        let [largest, tainted, beyond] = self.now;
        self.largest = self.largest.max(largest);
        self.tainted += tainted;
        self.beyond = self.beyond.max(beyond);
    }

    /// What the borders of `lane` came to, with the one at hand or without.
    #[inline(always)]
    fn result(&self, lane: usize, with_this: bool) -> Linearized {
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
