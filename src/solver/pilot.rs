//! The pilot: pairs of trajectories over the same inputs, and how their distance goes.

use super::stages::Stages;
use super::{Tolerance, distance};
use crate::backend::{Block, Probe};
use crate::error::Result;
use crate::scalar::{Real, Scalar};
use crate::sequences::Sequences;

/// Steps after which it is looked whether pairs have met.
const TILE: usize = Tolerance::SIZE_STEPS;
/// Steps that one trajectory of a pair runs ahead of the window, so that the pair starts from two states that
/// the recurrence is really in.
const AHEAD: usize = TILE;
/// Steps after which a pilot whose pairs do not close in has told enough.
const ENOUGH: usize = 128;
/// Steps over which a small difference is followed: it must not have time to become a large one.
const SMALL_STEPS: usize = TILE;

/// Where a window begins.
#[derive(Clone, Copy)]
struct Window {
    batch: usize,
    start: usize,
}

/// Pairs of trajectories in windows over the problem.
struct Pilot<'k, R> {
    /// Those of the solve: a pilot runs beside it.
    stages: &'k dyn Stages<R>,
    windows: Vec<Window>,
    /// The state of trajectory `2w + odd` of window `w`, `[2 windows, n]`.
    states: Vec<R>,
    /// The states of the last steps, `[2 windows, steps, n]`.
    rolled: Vec<R>,
}

/// Runs pairs of trajectories from different states over the same inputs in `stages.width() / 2` windows of the problem, at
/// most `steps` steps, until all have met, or clearly will not; measures whether and how fast they meet.
pub(super) fn probe<R: Real>(
    stages: &dyn Stages<R>,
    steps: usize,
    tolerance: Tolerance,
) -> Result<Probe> {
    let problem = stages.problem();
    let steps = steps.min(problem.max_steps().saturating_sub(AHEAD));
    let windows = windows(problem, stages.width() / 2, steps);
    if windows.is_empty() {
        return Ok(Probe { growth: f64::NAN, ..Probe::default() });
    }
    let n = problem.state_dim();
    let states = vec![R::default(); 2 * windows.len() * n];
    let mut pilot = Pilot { stages, states, windows, rolled: Vec::new() };
    pilot.reset(1);
    pilot.advance(0, AHEAD)?;
    pilot.reset(0);
    let before = pilot.distances();
    let mut probe = Probe::default();
    while probe.steps < steps {
        let now = stages.pilot_steps(probe.steps).min(steps - probe.steps);
        pilot.advance(AHEAD + probe.steps, now)?;
        if let Some(met) = pilot.merged(now, tolerance) {
            probe.steps += met;
            probe.merged_after = Some(probe.steps);
            break;
        }
        probe.steps += now;
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
        pilot.advance(AHEAD, steps)?;
        probe.growth = mean_growth(&before, &pilot.distances(), steps);
    }
    Ok(probe)
}

/// Windows of `steps` steps with `AHEAD` before them, evenly over the steps of all sequences.
fn windows<R: Real>(problem: &Sequences<'_, R>, count: usize, steps: usize) -> Vec<Window> {
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

impl<R: Real> Pilot<'_, R> {
    fn n(&self) -> usize {
        self.stages.problem().state_dim()
    }

    /// Sets one trajectory of each pair to the initial state.
    fn reset(&mut self, odd: usize) {
        let n = self.n();
        let initial = self.stages.problem().initial_state();
        for (pair, window) in self.states.chunks_exact_mut(2 * n).zip(&self.windows) {
            for (x, &start) in pair[odd * n..].iter_mut().zip(initial.row(window.batch)) {
                *x = start;
            }
        }
    }

    /// Sets one trajectory of each pair to a small distance from the other.
    fn nudge(&mut self) {
        let n = self.n();
        let small = R::EPSILON.to_f64().sqrt();
        for pair in self.states.chunks_exact_mut(2 * n) {
            let (a, b) = pair.split_at_mut(n);
            let size = a.iter().fold(0.0f64, |size, x| size.max(x.to_f64().abs()));
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                let sign = if i % 2 == 0 { 1.0 } else { -1.0 };
                *b = *a + R::from_f64(sign * small * size.max(small));
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

    /// Takes all states on by `steps` steps, from step `from` of the windows (counted from `AHEAD` before they begin).
    fn advance(&mut self, from: usize, steps: usize) -> Result<()> {
        let n = self.n();
        let blocks: Vec<Block> = (0..2 * self.windows.len())
            .map(|trajectory| {
                let Window { batch, start } = self.windows[trajectory / 2];
                Block { batch, start: start + from - AHEAD, len: steps }
            })
            .collect();
        self.rolled.resize(blocks.len() * steps * n, R::default());
        self.stages.roll_beside(&blocks, &self.states, &mut self.rolled)?;
        let last = self.rolled.chunks_exact(steps * n).map(|rolled| &rolled[(steps - 1) * n..]);
        for (state, last) in self.states.chunks_exact_mut(n).zip(last) {
            state.copy_from_slice(last);
        }
        Ok(())
    }

    /// Distance of each pair.
    fn distances(&self) -> Vec<f64> {
        let n = self.n();
        self.states.chunks_exact(2 * n).map(|pair| distance(&pair[..n], &pair[n..])).collect()
    }

    /// After how many of the last `steps` steps, in whole tiles, all pairs had met.
    fn merged(&self, steps: usize, tolerance: Tolerance) -> Option<usize> {
        let n = self.n();
        let mut sizes = vec![R::default(); n];
        let mut met = |from: usize, to: usize| {
            self.rolled.chunks_exact(2 * steps * n).all(|pair| {
                sizes.fill(R::default());
                let (a, b) = pair.split_at(steps * n);
                for state in [a, b].iter().flat_map(|rolled| rolled[from * n..to * n].chunks(n)) {
                    for (size, &x) in sizes.iter_mut().zip(state) {
                        *size = Scalar::max(*size, Scalar::abs(x));
                    }
                }
                let last = (to - 1) * n..to * n;
                tolerance.accepts_state(&a[last.clone()], &b[last], &sizes)
            })
        };
        (0..steps)
            .step_by(TILE)
            .map(|from| (from, (from + TILE).min(steps)))
            .find(|&(from, to)| met(from, to))
            .map(|(_, to)| to)
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
