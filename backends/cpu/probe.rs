//! The pilot: pairs of trajectories over the same inputs, and how their distance goes.

use super::group::Group;
use super::tile;
use crate::backend::Probe;
use crate::dynamics::Dynamics;
use crate::problem::Problem;
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Isa, Lanes, Parameter, Real, Scalar};
use crate::solver::{Tolerance, distance};

/// Steps that one trajectory of a pair runs ahead of the window, so that the pair starts from two states that
/// the recurrence is really in.
const AHEAD: usize = tile::STEPS;

/// Pairs of lanes: lane `2w` starts window `w` from the initial state, lane `2w + 1` comes from `AHEAD` steps
/// before.
pub(super) struct Pilot<'k, 'a, D: Dynamics> {
    pub(super) problem: &'k Problem<'a, D>,
    /// Steps in a window, at most.
    pub(super) steps: usize,
    pub(super) tolerance: Tolerance,
}

/// Where a window begins.
#[derive(Clone, Copy)]
struct Window {
    batch: usize,
    start: usize,
}

impl<D: Dynamics> Pilot<'_, '_, D> {
    /// Windows of `steps` steps with `AHEAD` before them, evenly over the steps of all sequences.
    fn windows(&self, count: usize, steps: usize) -> Vec<Window> {
        let room: Vec<usize> = (0..self.problem.batch_size())
            .map(|b| (self.problem.steps(b) + 1).saturating_sub(AHEAD + steps))
            .collect();
        let total: usize = room.iter().sum();
        (0..count.min(total))
            .map(|w| {
                let mut place = (2 * w + 1) * total / (2 * count.min(total));
                let mut batch = 0;
                while place >= room[batch] {
                    place -= room[batch];
                    batch += 1;
                }
                Window { batch, start: place + AHEAD }
            })
            .collect()
    }
}

impl<D: Dynamics> Kernel for Pilot<'_, '_, D> {
    type Output = Probe;

    #[inline(always)]
    fn run<I: Isa>(self) -> Probe {
        type L<D, I> = Lanes<<D as Dynamics>::Real, I, 2>;
        let (problem, dynamics) = (self.problem, self.problem.dynamics());
        let Group { params, .. } = Group::of(problem);
        let params = Parameter::from_slice(params);
        let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
        let steps = self.steps.min(problem.max_steps().saturating_sub(AHEAD));
        let windows = self.windows(L::<D, I>::LANES / 2, steps);
        if windows.is_empty() {
            return Probe { merged_after: None, steps: 0, growth: f64::NAN };
        }
        let zero = L::<D, I>::from_f64(0.0);
        let mut inputs = vec![zero; tile::STEPS * m];
        let mut states = vec![zero; n];
        let mut next = vec![zero; n + dynamics.scratch_dim()];
        let reset = |states: &mut [L<D, I>], odd: usize| {
            for (w, window) in windows.iter().enumerate() {
                for (x, &start) in states.iter_mut().zip(problem.initial_state().row(window.batch)) {
                    x.set_lane(2 * w + odd, start);
                }
            }
        };
        let mut advance = |states: &mut [L<D, I>], from: usize, steps: usize| {
            let rows = (0..2 * windows.len()).map(|lane| {
                let window = windows[lane / 2];
                let from = window.start + from - AHEAD;
                &problem.inputs(window.batch)[from * m..(from + steps) * m]
            });
            tile::gather(rows, &mut inputs);
            for k in 0..steps {
                dynamics.step(params, states, &inputs[k * m..(k + 1) * m], &mut next);
                states.copy_from_slice(&next[..n]);
            }
        };
        let pair = |states: &[L<D, I>], w: usize| -> [Vec<D::Real>; 2] {
            [2 * w, 2 * w + 1].map(|lane| states.iter().map(|x| x.lane(lane)).collect())
        };
        reset(&mut states, 1);
        advance(&mut states, 0, AHEAD);
        reset(&mut states, 0);
        let distances = |states: &[L<D, I>]| -> Vec<f64> {
            (0..windows.len())
                .map(|w| {
                    let [a, b] = pair(states, w);
                    distance(&a, &b)
                })
                .collect()
        };
        let before = distances(&states);
        let mut done = 0;
        let mut merged_after = None;
        let mut growth = f64::NAN;
        while done < steps {
            let now = tile::STEPS.min(steps - done);
            advance(&mut states, AHEAD + done, now);
            done += now;
            let merged = (0..windows.len()).all(|w| {
                let [a, b] = pair(&states, w);
                a.iter().zip(&b).all(|(&a, &b)| self.tolerance.accepts(a, b))
            });
            if merged {
                merged_after = Some(done);
                break;
            }
            growth = mean_growth(&before, &distances(&states), done);
            // Not contracting over a hundred steps and more: the rest would tell nothing new.
            if done >= 128 && !(growth < 1.0) {
                break;
            }
        }
        Probe { merged_after, steps: done, growth }
    }
}

/// Geometric mean of the growth per step of those pairs that began apart and have not met to the bit.
fn mean_growth(before: &[f64], after: &[f64], steps: usize) -> f64 {
    let logs: Vec<f64> = before
        .iter()
        .zip(after)
        .filter(|(before, after)| **before > 0.0 && **after != 0.0)
        .map(|(before, after)| (after / before).ln())
        .collect();
    (logs.iter().sum::<f64>() / (logs.len().max(1) * steps) as f64).exp()
}
