//! A first idea of how long steps may be.

use super::refine::Wanted;
use super::steps::Steps;
use crate::error::Result;
use crate::scalar::Real;
use ndarray::Array1;

/// How many times fewer steps a pilot is to take.
const FEWER: f64 = 8.0;
/// Largest error of a pilot's step, relative to the state.
const LOOSEST: f64 = 0.01;
/// Share of the points allowed that a pilot may take steps.
const SHARE: usize = 4;

/// How many steps there are to be in each interval of a grid.
#[derive(Clone, Debug)]
pub(super) struct Density<R> {
    /// Ascending.
    times: Vec<R>,
    /// Steps between `times[k]` and `times[k + 1]`; any positive number.
    steps: Vec<f64>,
}

impl<R: Real> Density<R> {
    /// As on `grid`, times `factor`.
    pub(super) fn of_grid(grid: &Array1<R>, factor: f64) -> Self {
        Self { times: grid.to_vec(), steps: vec![factor; grid.len() - 1] }
    }

    /// As on `grid`, where the errors of the steps are `ratios` of what they may be, such that all are `aim` of it; no step
    /// becomes longer than `longest` times what it is.
    pub(super) fn of_ratios(
        grid: &Array1<R>,
        ratios: &[f64],
        aim: f64,
        power: i32,
        longest: f64,
    ) -> Self {
        /// Steps become shorter by no more than this at once.
        const MOST: f64 = 8.0;
        let exponent = 1.0 / f64::from(power + 1);
        let steps: Vec<f64> = ratios
            .iter()
            .map(|ratio| (ratio / aim).powf(exponent).clamp(1.0 / longest, MOST))
            .collect();
        // Points move, so that a step may come to lie where its neighbour was.
        let around = |k: usize| {
            let neighbours = &steps[k.saturating_sub(1)..(k + 2).min(steps.len())];
            neighbours.iter().fold(0.0, |most: f64, &steps| most.max(steps))
        };
        Self { times: grid.to_vec(), steps: (0..steps.len()).map(around).collect() }
    }

    /// A grid of this density that has all of `times` on it, their places, and whether it had to be cut down to `most` points.
    pub(super) fn grid(&self, times: &Array1<R>, most: usize) -> (Array1<R>, Vec<usize>, bool) {
        // Steps from the start to each time of the density.
        let mut total = vec![0.0];
        for steps in &self.steps {
            total.push(total[total.len() - 1] + steps);
        }
        let wanted = total[total.len() - 1] + times.len() as f64;
        let cut = wanted > most as f64;
        let scale = if cut { (most as f64 - times.len() as f64).max(0.0) / wanted } else { 1.0 };
        let steps_until = |t: R, from: &mut usize| {
            while *from + 2 < self.times.len() && self.times[*from + 1] < t {
                *from += 1;
            }
            let (k, at) = (*from, t.to_f64());
            let (start, end) = (self.times[k].to_f64(), self.times[k + 1].to_f64());
            total[k] + self.steps[k] * ((at - start) / (end - start)).clamp(0.0, 1.0)
        };
        let (mut grid, mut places) = (vec![times[0]], vec![0]);
        let (mut at, mut inside) = (0, 0);
        let mut before = 0.0;
        for window in times.windows(2) {
            let (a, b) = (window[0], window[1]);
            let after = steps_until(b, &mut at);
            let count = ((after - before) * scale).ceil().max(1.0);
            for i in 1..count as usize {
                let level = before + (after - before) * i as f64 / count;
                while inside + 2 < total.len() && total[inside + 1] < level {
                    inside += 1;
                }
                let part = (level - total[inside]) / self.steps[inside];
                let (start, end) = (self.times[inside], self.times[inside + 1]);
                let t = start + (end - start) * R::from_f64(part);
                // Where steps are as short as numbers lie apart, points coincide.
                if t > grid[grid.len() - 1] && t > a && t < b {
                    grid.push(t);
                }
            }
            grid.push(b);
            places.push(grid.len() - 1);
            before = after;
        }
        (Array1::from(grid), places, cut)
    }
}

/// What a pilot found.
pub(super) struct Pilot<R> {
    pub(super) density: Density<R>,
    /// Whether it reached the end.
    pub(super) finished: bool,
}

/// Steps from the initial state `[n]` over all of `times`, each within a loose tolerance, and takes from its steps how many there are to be for `wanted`; where
/// the scheme asks for it, each within `share` of the tolerance.
pub(super) fn run<R: Real>(
    steps: &dyn Steps<R>,
    n: usize,
    times: &Array1<R>,
    wanted: Wanted,
    share: f64,
) -> Result<Pilot<R>> {
    let power = steps.order();
    let exponent = 1.0 / f64::from(power + 1);
    let in_full = steps.pilot_in_full();
    let loose = FEWER.powi(power + 1);
    let most = if in_full { wanted.max_points } else { wanted.max_points / SHARE + 16 };
    let end = times[times.len() - 1];
    let mut t = times[0];
    let mut y = steps.initial();
    let (mut next, mut error) = (y.clone(), vec![R::default(); n]);
    let span = (end - t).to_f64();
    let mut dt = first_step(steps, t, &y, n, span, wanted)?;
    let mut taken: Option<R> = None;
    let mut density = Density { times: vec![t], steps: Vec::new() };
    let mut tried = 0;
    let mut finished = true;
    while t < end {
        tried += 1;
        let left = (end - t).to_f64();
        let last = dt >= left;
        let reached = if last { end } else { t + R::from_f64(dt) };
        if reached <= t || tried > most {
            // No step is short enough, or too many would be needed.
            density.times.push(end);
            density.steps.push(1.0);
            finished = false;
            break;
        }
        let step = reached - t;
        let longer = taken.map_or(R::default(), |before| step / before);
        steps.step(t, step, longer, &y, &mut next, &mut error)?;
        let (mut ratio, mut needed) = (0.0f64, 0.0f64);
        for ((error, y), next) in error.iter().zip(&y).zip(&next) {
            let size = y.to_f64().abs().max(next.to_f64().abs());
            let error = error.to_f64().abs();
            let tight = wanted.atol + wanted.rtol * size;
            let allowed = match in_full {
                true => tight * share,
                false => (tight * loose).min(LOOSEST * size).max(tight),
            };
            if error > 0.0 {
                ratio = ratio.max(error / allowed);
            } else if error.is_nan() {
                ratio = f64::INFINITY;
            }
            needed = if error > 0.0 { needed.max(error / tight) } else { needed };
        }
        if !ratio.is_finite() || !next.iter().all(|x| x.is_finite()) {
            dt = step.to_f64() * 0.1;
            continue;
        }
        let change = (0.9 * ratio.max(1e-10).powf(-exponent)).clamp(0.2, 5.0);
        if ratio > 1.0 {
            dt = step.to_f64() * change;
            continue;
        }
        y.copy_from_slice(&next);
        t = reached;
        taken = Some(step);
        density.times.push(t);
        density.steps.push(match in_full {
            true => 1.0,
            false => (needed / 0.25).powf(exponent).max(0.5),
        });
        dt = step.to_f64() * change;
    }
    Ok(Pilot { density, finished })
}

/// A step to begin with (Hairer, Nørsett & Wanner, *Solving Ordinary Differential Equations I*, II.4, its first half): such that Euler's
/// rule moves the state by a hundredth.
fn first_step<R: Real>(
    steps: &dyn Steps<R>,
    t: R,
    y: &[R],
    n: usize,
    span: f64,
    wanted: Wanted,
) -> Result<f64> {
    let tiny = (1e-6 * span).max(64.0 * R::EPSILON.to_f64() * t.to_f64().abs());
    let (mut next, mut error) = (y.to_vec(), vec![R::default(); n]);
    steps.step(t, R::from_f64(tiny), R::default(), y, &mut next, &mut error)?;
    let (mut size, mut slope) = (0.0f64, 0.0f64);
    for (y, next) in y.iter().zip(&next).take(n) {
        let weight = wanted.atol + wanted.rtol * y.to_f64().abs();
        size = size.max(y.to_f64().abs() / weight);
        slope = slope.max((next.to_f64() - y.to_f64()).abs() / tiny / weight);
    }
    let step = if size > 1e-5 && slope > 1e-5 { 0.01 * size / slope } else { tiny };
    Ok(if step.is_finite() { step.clamp(tiny * 1e-3, span) } else { tiny })
}
