//! The pilot: pairs of trajectories over the same inputs, and how their distance goes.

use super::group::{Group, Lane};
use super::roll::Roll;
use super::tile;
use crate::backend::{Probe, Rolled};
use crate::dynamics::Recurrence;
use crate::problem::Problem;
use crate::scalar::dispatch::dispatch;
use crate::scalar::{InstructionSet, Real, Scalar};
use crate::solver::{Tolerance, distance};

/// Steps that one trajectory of a pair runs ahead of the window, so that the pair starts from two states that
/// the recurrence is really in.
const AHEAD: usize = tile::STEPS;
/// Steps after which a pilot whose pairs do not close in has told enough.
const ENOUGH: usize = 128;

/// Steps over which a small difference is followed: it must not have time to become a large one.
const SMALL_STEPS: usize = tile::STEPS;

/// Where a window begins.
#[derive(Clone, Copy)]
struct Window {
    batch: usize,
    start: usize,
}

/// Pairs of trajectories in windows over the problem, one tile of steps at a time.
struct Pilot<'k, 'a, D: Recurrence> {
    problem: &'k Problem<'a, D>,
    set: InstructionSet,
    windows: Vec<Window>,
    /// The state of trajectory `2w + odd` of window `w`, `[2 windows, n]`.
    states: Vec<D::Real>,
    /// The states of a tile, `[2 windows, tile, n]`.
    tile: Vec<D::Real>,
}

/// Runs `lanes / 2` pairs for at most `steps` steps, until all have met, or clearly will not.
pub(super) fn probe<D: Recurrence>(
    problem: &Problem<'_, D>,
    set: InstructionSet,
    lanes: usize,
    steps: usize,
    tolerance: Tolerance,
) -> Probe {
    let steps = steps.min(problem.max_steps().saturating_sub(AHEAD));
    let windows = windows(problem, lanes / 2, steps);
    if windows.is_empty() {
        return Probe { growth: f64::NAN, ..Probe::default() };
    }
    let n = Recurrence::state_dim(problem.dynamics());
    let zero = D::Real::default();
    let mut pilot = Pilot {
        problem,
        set,
        states: vec![zero; 2 * windows.len() * n],
        tile: vec![zero; 2 * windows.len() * tile::STEPS * n],
        windows,
    };
    pilot.reset(1);
    pilot.advance(0, AHEAD);
    pilot.reset(0);
    let before = pilot.distances();
    let mut probe = Probe::default();
    while probe.steps < steps {
        let now = tile::STEPS.min(steps - probe.steps);
        pilot.advance(AHEAD + probe.steps, now);
        probe.steps += now;
        if pilot.merged(now, tolerance) {
            probe.merged_after = Some(probe.steps);
            break;
        }
        let growth = mean_growth(&before, &pilot.distances(), probe.steps);
        probe.predicted = pilot.meeting(&before, probe.steps, tolerance);
        if probe.steps >= ENOUGH && (growth >= 1.0 || growth.is_nan()) {
            break;
        }
    }
    if probe.merged_after.is_none() {
        // Two trajectories that wander about each other say little: a small difference says whether it
        // would stay small.
        let steps = SMALL_STEPS.min(steps);
        pilot.nudge();
        let before = pilot.distances();
        pilot.advance(AHEAD, steps);
        probe.growth = mean_growth(&before, &pilot.distances(), steps);
    }
    probe
}

/// Windows of `steps` steps with `AHEAD` before them, evenly over the steps of all sequences.
fn windows<D: Recurrence>(problem: &Problem<'_, D>, count: usize, steps: usize) -> Vec<Window> {
    let room: Vec<usize> = (0..problem.batch_size())
        .map(|b| (problem.steps(b) + 1).saturating_sub(AHEAD + steps))
        .collect();
    let total: usize = room.iter().sum();
    let count = count.min(total);
    (0..count)
        .map(|w| {
            let mut place = (2 * w + 1) * total / (2 * count);
            let mut batch = 0;
            while place >= room[batch] {
                place -= room[batch];
                batch += 1;
            }
            Window { batch, start: place + AHEAD }
        })
        .collect()
}

impl<D: Recurrence> Pilot<'_, '_, D> {
    fn n(&self) -> usize {
        Recurrence::state_dim(self.problem.dynamics())
    }

    /// Sets one trajectory of each pair to the initial state.
    fn reset(&mut self, odd: usize) {
        let n = self.n();
        let initial = self.problem.initial_state();
        for (pair, window) in self.states.chunks_exact_mut(2 * n).zip(&self.windows) {
            for (x, &start) in pair[odd * n..].iter_mut().zip(initial.row(window.batch)) {
                *x = start;
            }
        }
    }

    /// Sets one trajectory of each pair to a small distance from the other.
    fn nudge(&mut self) {
        let n = self.n();
        let small = D::Real::EPSILON.to_f64().sqrt();
        for pair in self.states.chunks_exact_mut(2 * n) {
            let (a, b) = pair.split_at_mut(n);
            let size = a.iter().fold(0.0f64, |size, x| size.max(x.to_f64().abs()));
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
                *b = *a + D::Real::from_f64(sign * small * size.max(small));
            }
        }
    }

    /// Steps after which the slowest pair would meet at the pace of the first `steps`.
    fn meeting(&self, before: &[f64], steps: usize, tolerance: Tolerance) -> Option<usize> {
        let n = self.n();
        let pairs = self.states.chunks_exact(2 * n).zip(before).zip(self.distances());
        pairs
            .map(|((pair, &before), after)| {
                let size = pair.iter().fold(0.0f64, |size, x| size.max(x.to_f64().abs()));
                let goal = tolerance.atol + tolerance.rtol * size;
                if after <= goal {
                    return Some(steps);
                }
                let pace = (after / before).ln() / steps as f64;
                let more = (goal / after).ln() / pace;
                (pace < 0.0 && more.is_finite()).then(|| steps + more.ceil() as usize)
            })
            .try_fold(0, |slowest, steps| steps.map(|steps| slowest.max(steps)))
    }

    /// Takes all states on by `steps` steps, at most a tile, from step `from` of the windows (counted from `AHEAD`
    /// before they begin).
    fn advance(&mut self, from: usize, steps: usize) {
        let n = self.n();
        let m = Recurrence::input_dim(self.problem.dynamics());
        let mut lanes: Vec<Lane<'_, D::Real>> = self
            .states
            .chunks_exact(n)
            .zip(self.tile.chunks_exact_mut(tile::STEPS * n))
            .enumerate()
            .map(|(lane, (start, states))| {
                let window = self.windows[lane / 2];
                let from = window.start + from - AHEAD;
                let inputs = &self.problem.inputs(window.batch)[from * m..(from + steps) * m];
                Lane { len: steps, start, inputs, states: &mut states[..steps * n], last: false }
            })
            .collect();
        let mut rolled = vec![Rolled::default(); lanes.len()];
        let group = Group::of(self.problem);
        dispatch(self.set, Roll { group, lanes: &mut lanes, merge: None, rolled: &mut rolled });
        drop(lanes);
        for (state, states) in
            self.states.chunks_exact_mut(n).zip(self.tile.chunks_exact(tile::STEPS * n))
        {
            state.copy_from_slice(&states[(steps - 1) * n..steps * n]);
        }
    }

    /// Distance of each pair.
    fn distances(&self) -> Vec<f64> {
        let n = self.n();
        self.states.chunks_exact(2 * n).map(|pair| distance(&pair[..n], &pair[n..])).collect()
    }

    /// Whether all pairs have met, after a tile of `steps` steps.
    fn merged(&self, steps: usize, tolerance: Tolerance) -> bool {
        let n = self.n();
        let mut sizes = vec![D::Real::default(); n];
        self.states.chunks_exact(2 * n).zip(self.tile.chunks_exact(2 * tile::STEPS * n)).all(
            |(pair, tile)| {
                sizes.fill(D::Real::default());
                for state in tile[..steps * n].chunks_exact(n) {
                    for (size, &x) in sizes.iter_mut().zip(state) {
                        *size = Scalar::max(*size, Scalar::abs(x));
                    }
                }
                let (a, b) = pair.split_at(n);
                tolerance.accepts_state(a, b, &sizes)
            },
        )
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
