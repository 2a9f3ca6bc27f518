//! A grid for a tolerance.
//!
//! 1. A pilot in order, at a tolerance so loose that it takes a few times fewer steps, tells where steps must be short.
//! 2. A grid of about the right density is solved, the error of all its steps is estimated at once, and steps are distributed anew
//!    until every one is within its share of the tolerance.
//! 3. The grid is halved and solved again. The difference gives the global error, by Richardson's extrapolation: `e ≈ Δ / (2^p − 1)`. If
//!    it is too large, all steps are made shorter.
//!
//! Every solve but the first is given the trajectory before it as a guess. For implicit schemes the pilot takes all steps that the tolerance asks
//! for, and takes them again for a smaller share of it.

use super::pilot::{self, Density, Pilot};
use super::steps::{Steps, interpolate};
use crate::error::Result;
use crate::scalar::Real;
use crate::solution::{self, Termination};
use ndarray::{Array1, Array2, ArrayView1, Axis, concatenate, s};

/// Share of the tolerance that is aimed at.
const AIM: f64 = 0.5;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) atol: f64,
    pub(super) rtol: f64,
    pub(super) max_points: usize,
    pub(super) max_grids: usize,
}

/// What was found.
#[derive(Debug)]
pub(super) struct Refined<R: Real> {
    pub(super) grid: Array1<R>,
    /// `[grid, n]`
    pub(super) states: Array2<R>,
    /// The places of the times asked for.
    pub(super) places: Vec<usize>,
    pub(super) last: solution::Solution<R>,
    pub(super) error: Option<f64>,
    pub(super) grids: usize,
    /// Whether the error is within the tolerance.
    pub(super) met: bool,
}

/// A trajectory on a grid.
struct Solved<R: Real> {
    grid: Array1<R>,
    states: Array2<R>,
    last: solution::Solution<R>,
}

impl<R: Real> Solved<R> {
    /// The first row that is not finite.
    fn first_non_finite(&self) -> Option<usize> {
        self.states.outer_iter().position(|row| row.iter().any(|x| !x.is_finite()))
    }
}

/// Finds a grid that contains `times` (at least two) and on which the scheme meets `wanted`.
pub(super) fn refine<R: Real>(
    steps: &dyn Steps<R>,
    y0: ArrayView1<'_, R>,
    times: &Array1<R>,
    wanted: Wanted,
) -> Result<Refined<R>> {
    let power = steps.order();
    let mut grids = 0;
    let mut solve = |grid: Array1<R>, before: Option<&Solved<R>>| -> Result<Solved<R>> {
        grids += 1;
        let guess = before
            .filter(|before| before.first_non_finite().is_none())
            .map(|before| interpolate(&before.grid, before.states.view(), &grid));
        let last = steps.solve(&grid, guess.as_ref())?;
        let states = concatenate![Axis(0), y0.insert_axis(Axis(0)), last.trajectory(0)];
        Ok(Solved { grid, states, last })
    };
    // The local tolerance as a share of the global one.
    let mut share = AIM;
    let pilot = |share: f64| pilot::run(steps, y0.len(), times, wanted, AIM * share);
    // Where the pilot could not go on there is no use in grids any finer.
    let Pilot { mut density, mut finished } = pilot(share)?;
    let mut before: Option<Solved<R>> = None;
    let mut round = 0;
    let give_up = |solved: Solved<R>, places, grids, error| {
        Ok(Refined {
            grid: solved.grid,
            states: solved.states,
            places,
            last: solved.last,
            error,
            grids,
            met: false,
        })
    };
    loop {
        let (grid, places, cut) = density.grid(times, wanted.max_points);
        let coarse = solve(grid, before.as_ref())?;
        round += 1;
        let stopped = !matches!(
            coarse.last.termination(),
            Termination::Converged | Termination::NonFinite { .. }
        );
        if !finished || cut || stopped || round >= wanted.max_grids {
            return give_up(coarse, places, grids, None);
        }
        // Steps within their share, and else how many times too long they are. A pilot in full has seen to that, but for steps
        // without a solution.
        if !steps.pilot_in_full() || coarse.last.termination() != Termination::Converged {
            let ratios = step_ratios(steps, &coarse, wanted, share)?;
            if ratios.iter().any(|&ratio| ratio > 1.0) {
                // Once the grid has its shape, steps only become shorter: so this ends.
                let longest = if round <= 2 && !steps.pilot_in_full() { 4.0 } else { 1.0 };
                density = Density::of_ratios(&coarse.grid, &ratios, AIM, power, longest);
                before = Some(coarse);
                continue;
            }
        }
        let (halved, places) = halve(&coarse.grid, &places);
        if halved.len() > wanted.max_points {
            return give_up(coarse, places.iter().map(|place| place / 2).collect(), grids, None);
        }
        let fine = solve(halved, Some(&coarse))?;
        round += 1;
        match fine.last.termination() {
            Termination::Converged => {}
            // A step that has no solution, though one twice as long had.
            Termination::NonFinite { .. } if round < wanted.max_grids => {
                let ratios = step_ratios(steps, &fine, wanted, share)?;
                density = Density::of_ratios(&fine.grid, &ratios, AIM, power, 1.0);
                before = Some(fine);
                continue;
            }
            _ => return give_up(fine, places, grids, None),
        }
        let reliable = steps.reliable_order();
        let Global { ratio, error } = global_error(&coarse, &fine, &places, reliable, wanted);
        if ratio <= AIM {
            let Solved { grid, states, last } = fine;
            let error = Some(error);
            return Ok(Refined { grid, states, places, last, error, grids, met: true });
        }
        if round >= wanted.max_grids {
            return give_up(fine, places, grids, Some(error));
        }
        // The global error goes with the step to the power p, the local one to p + 1.
        let factor = (2.0 * ratio / AIM).powf(1.0 / f64::from(power)).clamp(1.2, 4.0);
        share *= factor.powi(-power - 1);
        if steps.pilot_in_full() {
            Pilot { density, finished } = pilot(share)?;
        } else {
            density = Density::of_grid(&coarse.grid, factor);
        }
        before = Some(fine);
    }
}

/// For each step the error that it makes in units of its tolerance, largest over components; infinite where it leads to no number. Of the
/// steps after that nothing is known, and they are to stay.
fn step_ratios<R: Real>(
    steps: &dyn Steps<R>,
    solved: &Solved<R>,
    wanted: Wanted,
    share: f64,
) -> Result<Vec<f64>> {
    // A batch must start from numbers.
    let usable = match solved.first_non_finite() {
        Some(row) => row - 1,
        None => solved.grid.len() - 1,
    };
    let mut ratios = vec![AIM; solved.grid.len() - 1];
    if let Some(ratio) = ratios.get_mut(usable) {
        *ratio = f64::INFINITY;
    }
    if usable == 0 {
        return Ok(ratios);
    }
    let grid = solved.grid.slice(s![..=usable]).to_owned();
    let states = solved.states.slice(s![..=usable, ..]).to_owned();
    let errors = steps.local_errors(&grid, &states)?;
    for (k, error) in errors.outer_iter().enumerate() {
        let components = error.iter().enumerate().map(|(j, error)| {
            let size = states[[k, j]].to_f64().abs().max(states[[k + 1, j]].to_f64().abs());
            // What rounding makes of a step is no error of the scheme.
            let rounding = 4.0 * R::EPSILON.to_f64() * size;
            let error = (error.to_f64().abs() - rounding).max(0.0);
            error / (share * (wanted.atol + wanted.rtol * size))
        });
        // A NaN counts as infinite.
        let largest = components.fold(0.0f64, |a, b| if b <= a { a } else { b });
        ratios[k] = if largest.is_nan() { f64::INFINITY } else { largest };
    }
    Ok(ratios)
}

/// The grid with every step halved, and the places on it.
fn halve<R: Real>(grid: &Array1<R>, places: &[usize]) -> (Array1<R>, Vec<usize>) {
    let half = R::from_f64(0.5);
    let halved = Array1::from_shape_fn(2 * grid.len() - 1, |k| match k % 2 {
        0 => grid[k / 2],
        _ => grid[k / 2] + (grid[k / 2 + 1] - grid[k / 2]) * half,
    });
    (halved, places.iter().map(|place| 2 * place).collect())
}

struct Global {
    /// The largest error in units of the tolerance.
    ratio: f64,
    /// The largest error.
    error: f64,
}

/// The error of `fine`, whose grid is that of `coarse` halved, at the times of `coarse`. At the times asked for, `places` on
/// the grid of `fine`, it is held against the state there; elsewhere against the component's largest magnitude of late, since nobody asked
/// for digits where it passes through zero.
fn global_error<R: Real>(
    coarse: &Solved<R>,
    fine: &Solved<R>,
    places: &[usize],
    power: i32,
    wanted: Wanted,
) -> Global {
    /// Steps that count as of late.
    const LATELY: usize = 16;
    let mut global = Global { ratio: 0.0, error: 0.0 };
    let factor = 1.0 / (2f64.powi(power) - 1.0);
    let mut asked = places.iter().map(|place| place / 2).peekable();
    for (k, row) in coarse.states.outer_iter().enumerate() {
        let asked = asked.next_if_eq(&k).is_some();
        for (j, y) in row.iter().enumerate() {
            let best = fine.states[[2 * k, j]].to_f64();
            let error = (best - y.to_f64()).abs() * factor;
            let size = if asked {
                best.abs()
            } else {
                let lately = coarse.states.slice(s![k.saturating_sub(LATELY)..=k, j]);
                lately.iter().fold(0.0, |size: f64, y| size.max(y.to_f64().abs()))
            };
            global.error = global.error.max(error);
            // Not 0/0, where a component is zero and nothing is allowed.
            if error > 0.0 {
                global.ratio = global.ratio.max(error / (wanted.atol + wanted.rtol * size));
            }
        }
    }
    global
}
