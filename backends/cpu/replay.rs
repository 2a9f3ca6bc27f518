//! The replay: hands the change of a chunk's start on through its blocks.

use super::group::{Group, Lane};
use super::jacobian::{Jacobian, apply};
use super::tile;
use crate::backend::LinearizeSettings;
use crate::dynamics::{Dynamics, Structure};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Dual, Isa, Lanes, Parameter, Real, Scalar};
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
        type L<D, I> = Lanes<<D as Dynamics>::Real, I, 1>;
        let dynamics = self.group.dynamics;
        let params = Parameter::from_slice(self.group.params);
        let n = dynamics.state_dim();
        let zero = L::<D, I>::from_f64(0.0);
        match self.settings.linearization {
            Linearization::Full => {
                // One tangent: the exact Jacobian times the change.
                let mut x = vec![Dual::<L<D, I>, 1>::from_f64(0.0); n];
                let mut u = vec![Dual::from_f64(0.0); dynamics.input_dim()];
                let mut next = vec![Dual::from_f64(0.0); n + dynamics.scratch_dim()];
                self.replay(|state, change, inputs| {
                    for (x, (&value, &tangent)) in x.iter_mut().zip(state.iter().zip(&*change)) {
                        *x = Dual::new(value, [tangent]);
                    }
                    for (u, &value) in u.iter_mut().zip(inputs) {
                        u.value = value;
                    }
                    dynamics.step(params, &x, &u, &mut next);
                    for (i, next) in next[..n].iter().enumerate() {
                        (state[i], change[i]) = (next.value, next.tangents[0]);
                    }
                });
            }
            Linearization::Diagonal => {
                let mut jacobian: Jacobian<'_, D, L<D, I>> =
                    Jacobian::new(self.group, Structure::Diagonal);
                let mut next = vec![zero; n + dynamics.scratch_dim()];
                let mut entries = vec![zero; n];
                let mut changed = vec![zero; n];
                self.replay(|state, change, inputs| {
                    jacobian.evaluate(state, inputs, &mut next, &mut entries);
                    apply(Structure::Diagonal, n, &entries, change, &mut changed);
                    state.copy_from_slice(&next[..n]);
                    change.copy_from_slice(&changed);
                });
            }
            Linearization::Identity | Linearization::Zero => {
                let mut next = vec![zero; n + dynamics.scratch_dim()];
                self.replay(|state, _, inputs| {
                    dynamics.step(params, state, inputs, &mut next);
                    state.copy_from_slice(&next[..n]);
                });
            }
        }
    }
}

impl<D: Dynamics> Replay<'_, '_, D> {
    /// Walks the chunks with `step`, which advances a state and its change, and stores the new states at the
    /// borders inside them.
    #[inline(always)]
    fn replay<I: Isa, const K: usize>(
        self,
        mut step: impl FnMut(
            &mut [Lanes<D::Real, I, K>],
            &mut [Lanes<D::Real, I, K>],
            &[Lanes<D::Real, I, K>],
        ),
    ) {
        let (n, m) = (self.group.dynamics.state_dim(), self.group.dynamics.input_dim());
        let zero = Lanes::<D::Real, I, K>::from_f64(0.0);
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
                step(&mut state, &mut change, &inputs[k * m..(k + 1) * m]);
                let after = t + k + 1;
                if after % self.settings.block == 0 && after < longest {
                    for i in 0..n {
                        let predicted = state[i] + change[i] * factor;
                        // A prediction that is not finite falls back to the end that was rolled.
                        let moved = predicted
                            .abs()
                            .select(Lanes::from_f64(f64::MAX), predicted, state[i]);
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
