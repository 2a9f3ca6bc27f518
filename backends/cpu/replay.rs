//! The replay: hands the change of a chunk's start on through its blocks.

use super::group::{Group, Lane};
use super::jacobian::{Jacobian, apply};
use super::tile;
use crate::backend::LinearizeSettings;
use crate::dynamics::{Dynamics, Structure};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Dual, Isa, Lanes, Scalar};
use crate::solver::Linearization;

/// Replays one group of chunks, whose lanes start from the states before the update.
pub(super) struct Replay<'k, 'g, D: Dynamics> {
    pub(super) group: Group<'k, D>,
    pub(super) lanes: &'k mut [Lane<'g, D::Real>],
    pub(super) settings: LinearizeSettings,
    /// The new states before the chunks, `[chunks, n]`.
    pub(super) starts: &'k [D::Real],
}

impl<D: Dynamics> Kernel for Replay<'_, '_, D> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let (group, n) = (self.group, self.group.dynamics.state_dim());
        match self.settings.linearization {
            Linearization::Full => self.replay(Tangent::<D, I>::new(group)),
            Linearization::Diagonal => self.replay(Diagonal::<D, I> {
                jacobian: Jacobian::new(group, Structure::Diagonal),
                next: vec![Lanes::from_f64(0.0); n + group.dynamics.scratch_dim()],
                entries: vec![Lanes::from_f64(0.0); n],
                changed: vec![Lanes::from_f64(0.0); n],
            }),
            Linearization::Identity | Linearization::Zero => {
                self.replay(Tangent::<D, I> { change_stays: true, ..Tangent::new(group) });
            }
        }
    }
}

/// Takes a state and its change one step on. A trait and no closure: a closure would be left out of
/// line.
trait Advance<S> {
    fn advance(&mut self, state: &mut [S], change: &mut [S], u: &[S]);
}

/// One tangent: the exact Jacobian times the change.
struct Tangent<'k, D: Dynamics, I: Isa> {
    group: Group<'k, D>,
    /// Takes the value on but leaves the change as it is.
    change_stays: bool,
    x: Vec<Dual<Lanes<D::Real, I, 1>, 1>>,
    u: Vec<Dual<Lanes<D::Real, I, 1>, 1>>,
    next: Vec<Dual<Lanes<D::Real, I, 1>, 1>>,
}

impl<'k, D: Dynamics, I: Isa> Tangent<'k, D, I> {
    #[inline(always)]
    fn new(group: Group<'k, D>) -> Self {
        let (n, zero) = (group.dynamics.state_dim(), Dual::from_f64(0.0));
        Self {
            group,
            change_stays: false,
            x: vec![zero; n],
            u: vec![zero; group.dynamics.input_dim()],
            next: vec![zero; n + group.dynamics.scratch_dim()],
        }
    }
}

impl<D: Dynamics, I: Isa> Advance<Lanes<D::Real, I, 1>> for Tangent<'_, D, I> {
    #[inline(always)]
    fn advance(
        &mut self,
        state: &mut [Lanes<D::Real, I, 1>],
        change: &mut [Lanes<D::Real, I, 1>],
        u: &[Lanes<D::Real, I, 1>],
    ) {
        for (x, (&value, &tangent)) in self.x.iter_mut().zip(state.iter().zip(&*change)) {
            *x = Dual::new(value, [tangent]);
        }
        for (dual, &value) in self.u.iter_mut().zip(u) {
            dual.value = value;
        }
        self.group.step::<I, _>(&self.x, &self.u, &mut self.next);
        for (i, next) in self.next[..state.len()].iter().enumerate() {
            state[i] = next.value;
            if !self.change_stays {
                change[i] = next.tangents[0];
            }
        }
    }
}

/// The diagonal of the Jacobian times the change.
struct Diagonal<'k, D: Dynamics, I: Isa> {
    jacobian: Jacobian<'k, D, I>,
    next: Vec<Lanes<D::Real, I, 1>>,
    entries: Vec<Lanes<D::Real, I, 1>>,
    changed: Vec<Lanes<D::Real, I, 1>>,
}

impl<D: Dynamics, I: Isa> Advance<Lanes<D::Real, I, 1>> for Diagonal<'_, D, I> {
    #[inline(always)]
    fn advance(
        &mut self,
        state: &mut [Lanes<D::Real, I, 1>],
        change: &mut [Lanes<D::Real, I, 1>],
        u: &[Lanes<D::Real, I, 1>],
    ) {
        let n = state.len();
        self.jacobian.evaluate(state, u, &mut self.next, &mut self.entries);
        apply(Structure::Diagonal, n, &self.entries, change, &mut self.changed);
        state.copy_from_slice(&self.next[..n]);
        change.copy_from_slice(&self.changed);
    }
}

impl<D: Dynamics> Replay<'_, '_, D> {
    /// Walks the chunks and stores the new states at the borders inside them.
    #[inline(always)]
    fn replay<I: Isa>(self, mut step: impl Advance<Lanes<D::Real, I, 1>>) {
        let (n, m) = (self.group.dynamics.state_dim(), self.group.dynamics.input_dim());
        let zero = Lanes::<D::Real, I, 1>::from_f64(0.0);
        let factor = D::Real::from_f64(self.settings.factor);
        let mut inputs = vec![zero; tile::STEPS * m];
        let mut stored = vec![zero; tile::STEPS * n];
        let mut state = vec![zero; n];
        let mut change = vec![zero; n];
        for (lane, (chunk, start)) in self.lanes.iter().zip(self.starts.chunks_exact(n)).enumerate()
        {
            for i in 0..n {
                state[i].set_lane(lane, chunk.start[i]);
                change[i].set_lane(lane, start[i] - chunk.start[i]);
            }
        }
        let longest = self.lanes.iter().map(|lane| lane.len).max().unwrap_or(0);
        for t in (0..longest).step_by(tile::STEPS) {
            let steps = tile::STEPS.min(longest - t);
            tile::gather(self.lanes.iter().map(|lane| lane.inputs_at(t, steps, m)), &mut inputs);
            tile::gather(self.lanes.iter().map(|lane| lane.states_at(t, steps, n)), &mut stored);
            for k in 0..steps {
                step.advance(&mut state, &mut change, &inputs[k * m..(k + 1) * m]);
                let after = t + k + 1;
                if after % self.settings.block == 0 && after < longest {
                    for i in 0..n {
                        let predicted = state[i] + change[i] * factor;
                        // A prediction that is not finite falls back to the end that was rolled.
                        let moved =
                            predicted.abs().select(Lanes::from_f64(f64::MAX), predicted, state[i]);
                        let old = stored[k * n + i];
                        for (lane, chunk) in self.lanes.iter_mut().enumerate() {
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
