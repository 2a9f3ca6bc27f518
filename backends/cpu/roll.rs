//! Rolling blocks, lanes at a time, and running them in order.

use super::group::{Group, Lane};
use super::tile;
use crate::backend::Rolled;
use crate::dynamics::Recurrence;
use crate::scalar::dispatch::Kernel;
use crate::scalar::vector::prefetch;
use crate::scalar::{Isa, Lanes, Parameter, Real, Scalar};
use crate::solver::{Tolerance, distance};

/// Rolls one group of blocks from their starts and stores their states.
pub(super) struct Roll<'k, 'g, D: Recurrence> {
    pub(super) group: Group<'k, D>,
    pub(super) lanes: &'k mut [Lane<'g, D::Real>],
    pub(super) merge: Option<Tolerance>,
    pub(super) rolled: &'k mut [Rolled],
}

impl<D: Recurrence> Kernel for Roll<'_, '_, D> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        type L<D, I> = Lanes<<D as Recurrence>::Real, I, 2>;
        let Group { dynamics, params } = self.group;
        let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
        let params = Parameter::from_slice(params);
        let zero = L::<D, I>::from_f64(0.0);
        let mut work = dynamics.work();
        let mut inputs = vec![zero; tile::STEPS * m];
        // The state before the tile, the states of its steps, the last step's scratch.
        let mut states = vec![zero; (tile::STEPS + 1) * n + dynamics.scratch_dim()];
        for (lane, block) in self.lanes.iter().enumerate() {
            for (x, &start) in states.iter_mut().zip(block.start) {
                x.set_lane(lane, start);
            }
        }
        let longest = self.lanes.iter().map(|lane| lane.len).max().unwrap_or(0);
        let mut sizes = vec![zero; n];
        let mut alive: Vec<bool> = vec![true; self.lanes.len()];
        for t in (0..longest).step_by(tile::STEPS) {
            let steps = tile::STEPS.min(longest - t);
            tile::gather(self.lanes.iter().map(|lane| lane.inputs_at(t, steps, m)), &mut inputs);
            for k in 0..steps {
                // The lanes are too many streams for the hardware to look ahead of. A few at each step: all of them at
                // once would wait for each other.
                for lane in self.lanes.iter().skip(k).step_by(tile::STEPS) {
                    prefetch(lane.inputs_at(t + tile::STEPS, tile::STEPS, m));
                    prefetch(lane.states_at(t + tile::STEPS, tile::STEPS, n));
                }
                let (before, after) = states.split_at_mut((k + 1) * n);
                let u = &inputs[k * m..(k + 1) * m];
                dynamics.advance(params, &before[k * n..], u, after, &mut work);
            }
            if self.merge.is_some() {
                sizes.fill(zero);
                for k in 1..=steps {
                    for i in 0..n {
                        sizes[i] = sizes[i].max(states[k * n + i].abs());
                    }
                }
            }
            let count = self.lanes.len();
            let mut rows: [&mut [D::Real]; tile::MOST_LANES] = std::array::from_fn(|_| &mut [][..]);
            for (lane, block) in self.lanes.iter_mut().enumerate() {
                if alive[lane] {
                    let steps = steps.min(block.len - t);
                    self.rolled[lane].steps += steps;
                    alive[lane] = t + steps < block.len;
                    let target = &mut block.states[t * n..(t + steps) * n];
                    let (earlier, last) = target.split_at((steps - 1) * n);
                    let new = &states[steps * n..];
                    // At the end nothing is left to save, and a state that was kept there would be
                    // held against the next block's start a second time.
                    let merge = self.merge.filter(|_| alive[lane]);
                    let met = merge.and_then(|tolerance| met(new, lane, last, &sizes, tolerance));
                    rows[lane] = match met {
                        Some(residual) => {
                            self.rolled[lane].residual = residual;
                            alive[lane] = false;
                            // What is stored at the last step stays.
                            let kept = earlier.len();
                            &mut target[..kept]
                        }
                        None => target,
                    };
                }
            }
            tile::scatter(&states[n..], &mut rows[..count]);
            if !alive.contains(&true) {
                break;
            }
            states.copy_within(steps * n..(steps + 1) * n, 0);
        }
    }
}

/// The distance of lane `lane` of the state `new` from the stored one, if they agree.
#[inline(always)]
fn met<R: Real, I: Isa, const K: usize>(
    new: &[Lanes<R, I, K>],
    lane: usize,
    stored: &[R],
    sizes: &[Lanes<R, I, K>],
    tolerance: Tolerance,
) -> Option<f64> {
    let mut largest = 0.0f64;
    for (i, &stored) in stored.iter().enumerate() {
        let new = new[i].lane(lane);
        if !tolerance.accepts(new, stored, sizes[i].lane(lane)) {
            return None;
        }
        largest = largest.max(distance(&[new], &[stored]));
    }
    Some(largest)
}

/// Runs one block as the loop would.
pub(super) struct InOrder<'k, 'g, D: Recurrence> {
    pub(super) group: Group<'k, D>,
    pub(super) lane: Lane<'g, D::Real>,
}

impl<D: Recurrence> Kernel for InOrder<'_, '_, D> {
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
