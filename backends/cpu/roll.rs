//! Rolling blocks, lanes at a time, and running them in order.

use super::group::{Group, Lane};
use super::tile;
use crate::backend::Rolled;
use crate::dynamics::Dynamics;
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Isa, Lanes, Parameter, Scalar};
use crate::solver::{Tolerance, distance};

/// Rolls one group of blocks from their starts and stores their states.
pub(super) struct Roll<'k, 'g, D: Dynamics> {
    pub(super) group: Group<'k, D>,
    pub(super) lanes: &'k mut [Lane<'g, D::Real>],
    pub(super) merge: Option<Tolerance>,
    pub(super) rolled: &'k mut [Rolled],
}

impl<D: Dynamics> Kernel for Roll<'_, '_, D> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        type L<D, I> = Lanes<<D as Dynamics>::Real, I, 2>;
        let Group { dynamics, params } = self.group;
        let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
        let params = Parameter::from_slice(params);
        let zero = L::<D, I>::from_f64(0.0);
        let mut inputs = vec![zero; tile::STEPS * m];
        // The state before the tile, the states of its steps, the last step's scratch.
        let mut states = vec![zero; (tile::STEPS + 1) * n + dynamics.scratch_dim()];
        for (lane, block) in self.lanes.iter().enumerate() {
            for (x, &start) in states.iter_mut().zip(block.start) {
                x.set_lane(lane, start);
            }
        }
        let longest = self.lanes.iter().map(|lane| lane.len).max().unwrap_or(0);
        let mut alive: Vec<bool> = vec![true; self.lanes.len()];
        for t in (0..longest).step_by(tile::STEPS) {
            let steps = tile::STEPS.min(longest - t);
            tile::gather(self.lanes.iter().map(|lane| lane.inputs_at(t, steps, m)), &mut inputs);
            for k in 0..steps {
                let (before, after) = states.split_at_mut((k + 1) * n);
                dynamics.step(params, &before[k * n..], &inputs[k * m..(k + 1) * m], after);
            }
            for (lane, block) in self.lanes.iter_mut().enumerate() {
                if alive[lane] {
                    let steps = steps.min(block.len - t);
                    self.rolled[lane].steps += steps;
                    alive[lane] = t + steps < block.len;
                    let target = &mut block.states[t * n..(t + steps) * n];
                    match self.merge {
                        Some(tolerance) => {
                            if let Some(residual) = met(&states[n..], lane, target, n, tolerance) {
                                self.rolled[lane].residual = residual;
                                alive[lane] = false;
                            }
                        }
                        None => tile::scatter_lane(&states[n..], lane, target),
                    }
                }
            }
            if !alive.contains(&true) {
                break;
            }
            states.copy_within(steps * n..(steps + 1) * n, 0);
        }
    }
}

/// Stores a tile's states of one lane. If the last one agrees with what is stored there, keeps that
/// one and returns their distance.
#[inline(always)]
fn met<R: crate::Real, I: Isa, const K: usize>(
    tile: &[Lanes<R, I, K>],
    lane: usize,
    stored: &mut [R],
    n: usize,
    tolerance: Tolerance,
) -> Option<f64> {
    let (earlier, last) = stored.split_at_mut(stored.len() - n);
    tile::scatter_lane(tile, lane, earlier);
    let new = &tile[earlier.len()..];
    if new.iter().zip(&*last).all(|(new, &old)| tolerance.accepts(new.lane(lane), old)) {
        let mut largest = 0.0f64;
        for (new, &old) in new.iter().zip(&*last) {
            largest = largest.max(distance(&[new.lane(lane)], &[old]));
        }
        return Some(largest);
    }
    tile::scatter_lane(new, lane, last);
    None
}

/// Runs one block as the loop would.
pub(super) struct InOrder<'k, 'g, D: Dynamics> {
    pub(super) group: Group<'k, D>,
    pub(super) lane: Lane<'g, D::Real>,
}

impl<D: Dynamics> Kernel for InOrder<'_, '_, D> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Group { dynamics, params } = self.group;
        let mut x = self.lane.start.to_vec();
        dynamics.run_in_order::<I>(
            params,
            &mut x,
            self.lane.inputs,
            self.lane.states,
            self.lane.len,
        );
    }
}
