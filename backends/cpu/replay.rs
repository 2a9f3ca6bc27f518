//! The replay: hands the change of a chunk's start on through its blocks.

use super::carry::Vector;
use super::group::{Group, Lane};
use super::jacobian::{Jacobian, apply};
use super::tile;
use super::walks::Walks;
use crate::backend::LinearizeSettings;
use crate::dynamics::{Recurrence, Structure};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Dual, Isa, Lanes, Real, Scalar};
use crate::solver::Linearization;

/// Replays one group of chunks, whose lanes start from the states before the update.
pub(super) struct Replay<'k, 'g, D: Recurrence> {
    pub(super) group: Group<'k, D>,
    pub(super) lanes: &'k mut [Lane<'g, D::Real>],
    pub(super) settings: LinearizeSettings,
    /// The new states before the chunks, `[chunks, n]`.
    pub(super) starts: &'k [D::Real],
}

impl<D: Recurrence> Kernel for Replay<'_, '_, D> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { group, lanes, settings, starts } = self;
        let (n, m) = (group.dynamics.state_dim(), group.dynamics.input_dim());
        let settings = &settings;
        let mut tangent;
        let mut diagonal;
        let step: &mut dyn Advance<D::Real, I> = match settings.linearization {
            Linearization::Diagonal => {
                diagonal = Diagonal::<D, I>::new(group);
                &mut diagonal
            }
            linearization => {
                tangent = Tangent::<D, I>::new(group, linearization != Linearization::Full);
                &mut tangent
            }
        };
        Walks::replay(Walk { step, n, m, lanes, settings, starts }).run();
    }
}

/// Takes a state and its change one step on. Used as an object, so that the walk along a chunk is compiled
/// once for all recurrences.
pub(super) trait Advance<R: Real, I: Isa> {
    fn advance(
        &mut self,
        state: &mut [Vector<R, I>],
        change: &mut [Vector<R, I>],
        u: &[Vector<R, I>],
    );
}

/// One tangent: the exact Jacobian times the change.
struct Tangent<'k, D: Recurrence, I: Isa> {
    group: Group<'k, D>,
    /// Takes the value on but leaves the change as it is.
    change_stays: bool,
    x: Vec<Dual<Vector<D::Real, I>, 1>>,
    u: Vec<Dual<Vector<D::Real, I>, 1>>,
    next: Vec<Dual<Vector<D::Real, I>, 1>>,
    work: D::Work<Dual<Vector<D::Real, I>, 1>>,
}

impl<'k, D: Recurrence, I: Isa> Tangent<'k, D, I> {
    #[inline(always)]
    fn new(group: Group<'k, D>, change_stays: bool) -> Self {
        let (n, zero) = (group.dynamics.state_dim(), Dual::from_f64(0.0));
        Self {
            group,
            change_stays,
            x: vec![zero; n],
            u: vec![zero; group.dynamics.input_dim()],
            next: vec![zero; n + group.dynamics.scratch_dim()],
            work: group.dynamics.work(),
        }
    }
}

impl<D: Recurrence, I: Isa> Advance<D::Real, I> for Tangent<'_, D, I> {
    fn advance(
        &mut self,
        state: &mut [Vector<D::Real, I>],
        change: &mut [Vector<D::Real, I>],
        u: &[Vector<D::Real, I>],
    ) {
        for (x, (&value, &tangent)) in self.x.iter_mut().zip(state.iter().zip(&*change)) {
            *x = Dual::new(value, [tangent]);
        }
        for (dual, &value) in self.u.iter_mut().zip(u) {
            dual.value = value;
        }
        self.group.step::<I, _>(&self.x, &self.u, &mut self.next, &mut self.work);
        for (i, next) in self.next[..state.len()].iter().enumerate() {
            state[i] = next.value;
            if !self.change_stays {
                change[i] = next.tangents[0];
            }
        }
    }
}

/// The diagonal of the Jacobian times the change.
struct Diagonal<'k, D: Recurrence, I: Isa> {
    jacobian: Jacobian<'k, D, I>,
    next: Vec<Vector<D::Real, I>>,
    entries: Vec<Vector<D::Real, I>>,
    changed: Vec<Vector<D::Real, I>>,
}

impl<'k, D: Recurrence, I: Isa> Diagonal<'k, D, I> {
    #[inline(always)]
    fn new(group: Group<'k, D>) -> Self {
        let (n, zero) = (group.dynamics.state_dim(), Lanes::from_f64(0.0));
        Self {
            jacobian: Jacobian::new(
                group,
                Structure::Diagonal,
                group.dynamics.declared_structure() == Structure::Diagonal,
            ),
            next: vec![zero; n + group.dynamics.scratch_dim()],
            entries: vec![zero; n],
            changed: vec![zero; n],
        }
    }
}

impl<D: Recurrence, I: Isa> Advance<D::Real, I> for Diagonal<'_, D, I> {
    fn advance(
        &mut self,
        state: &mut [Vector<D::Real, I>],
        change: &mut [Vector<D::Real, I>],
        u: &[Vector<D::Real, I>],
    ) {
        let n = state.len();
        self.jacobian.evaluate(state, u, &mut self.next, &mut self.entries);
        apply(Structure::Diagonal, &self.entries, change, &mut self.changed);
        state.copy_from_slice(&self.next[..n]);
        change.copy_from_slice(&self.changed);
    }
}

/// Walks the chunks and stores the new states at the borders inside them.
pub(super) struct Walk<'k, 'g, R: Real, I: Isa> {
    step: &'k mut dyn Advance<R, I>,
    n: usize,
    m: usize,
    lanes: &'k mut [Lane<'g, R>],
    settings: &'k LinearizeSettings,
    starts: &'k [R],
}

impl<R: Real, I: Isa> Kernel for Walk<'_, '_, R, I> {
    type Output = ();

    #[inline(always)]
    fn run<J: Isa>(self) {
        let Self { step, n, m, lanes, settings, starts } = self;
        let zero = Vector::<R, I>::from_f64(0.0);
        let factor = R::from_f64(settings.factor);
        let mut inputs = vec![zero; tile::STEPS * m];
        let mut stored = vec![zero; tile::STEPS * n];
        let mut state = vec![zero; n];
        let mut change = vec![zero; n];
        for (lane, (chunk, start)) in lanes.iter().zip(starts.chunks_exact(n)).enumerate() {
            for i in 0..n {
                state[i].set_lane(lane, chunk.start[i]);
                change[i].set_lane(lane, start[i] - chunk.start[i]);
            }
        }
        let longest = lanes.iter().map(|lane| lane.len).max().unwrap_or(0);
        for t in (0..longest).step_by(tile::STEPS) {
            let steps = tile::STEPS.min(longest - t);
            tile::gather(lanes.iter().map(|lane| lane.inputs_at(t, steps, m)), &mut inputs);
            tile::gather(lanes.iter().map(|lane| lane.states_at(t, steps, n)), &mut stored);
            for k in 0..steps {
                step.advance(&mut state, &mut change, &inputs[k * m..(k + 1) * m]);
                let after = t + k + 1;
                if after % settings.block == 0 && after < longest {
                    for i in 0..n {
                        let predicted = state[i] + change[i] * factor;
                        // A prediction that is not finite falls back to the end that was rolled.
                        let largest = Lanes::from_f64(f64::MAX);
                        let moved = predicted.abs().select(largest, predicted, state[i]);
                        let old = stored[k * n + i];
                        for (lane, chunk) in lanes.iter_mut().enumerate() {
                            if after < chunk.len {
                                chunk.states[(after - 1) * n + i] = moved.lane(lane);
                            }
                        }
                        (state[i], change[i]) = (old, moved - old);
                    }
                }
            }
        }
    }
}
