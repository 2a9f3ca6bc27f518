//! Growth of small differences along a trajectory.

use super::check_shape;
use super::error_bound::products;
use crate::backend::Sweep;
use crate::dynamics::{Recurrence, Row, Structure};
use crate::error::Result;
use crate::problem::Problem;
use crate::scalar::Real;
use crate::solution::Solution;
use crate::solver::control::Control;
use crate::solver::stages::{OnBackend, Stages};
use std::fmt;

/// Steps of the shortest windows.
const WINDOW: usize = 16;

/// How small differences grow over windows of one length; factors are of the Euclidean norm, for the difference that grows most.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Growth {
    /// Steps of a window.
    pub steps: usize,
    /// Largest factor over all windows.
    pub largest: f64,
    /// Geometric mean of the factors.
    pub mean: f64,
    /// Logarithm of the largest.
    log: f64,
}

/// What becomes of small differences along a solved trajectory; see [`lyapunov`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Lyapunov {
    /// The largest Lyapunov exponent, per step, over the solved steps without the first tenth: the mean logarithm of the growth
    /// of a typical difference. Of a batch the largest; NaN where a Jacobian is not finite.
    pub exponent: f64,
    /// Growth over windows of 16, 32, 64, … steps, side by side, as long as the sequences have whole ones.
    pub growth: Vec<Growth>,
    /// Largest growth over any of these windows, at least 1: how far differences expand before they contract.
    pub overshoot: f64,
    /// Steps of the longest sequence.
    pub steps: usize,
}

impl Lyapunov {
    /// Of no steps, the longest sequence being of `steps`.
    fn empty(steps: usize) -> Self {
        Self { exponent: f64::NEG_INFINITY, growth: Vec::new(), overshoot: 1.0, steps }
    }

    /// Steps after which every small difference has shrunk to `share` of itself, wherever in the sequence it begins: by the largest
    /// growth over windows, interpolated between their lengths. None where the longest windows do not contract.
    pub fn memory(&self, share: f64) -> Option<usize> {
        let goal = share.ln();
        // Between the longest windows that are too short and the shortest that are not.
        let (mut steps, mut log) = (0.0, 0.0);
        for growth in &self.growth {
            let (longer, later) = (growth.steps as f64, growth.log);
            if later <= goal {
                let part =
                    if later == f64::NEG_INFINITY { 1.0 } else { (goal - log) / (later - log) };
                return Some((steps + part.min(1.0) * (longer - steps)).ceil().max(1.0) as usize);
            }
            (steps, log) = (longer, later);
        }
        // Or at the pace of the longest.
        (log < 0.0).then(|| (steps * goal / log).ceil() as usize)
    }

    /// Sweeps that block Jacobi is expected to need on blocks of `block` steps to the relative tolerance `rtol`:
    /// `1 + ⌈memory/block⌉`, at most one for each block. Newton needs no more.
    ///
    /// Of a guess that is far off, the growth of small differences says little: along a trajectory near a border between attractors, more
    /// are needed.
    pub fn sweeps(&self, block: usize, rtol: f64) -> usize {
        let blocks = self.steps.div_ceil(block.max(1)).max(1);
        match self.memory(rtol) {
            Some(memory) => blocks.min(1 + memory.div_ceil(block.max(1))),
            None => blocks,
        }
    }
}

impl fmt::Display for Lyapunov {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exponent   {:.4} a step", self.exponent)?;
        write!(f, "overshoot  {:.1e}", self.overshoot)?;
        for Growth { steps, largest, mean, .. } in &self.growth {
            write!(f, "\n{steps:>7} steps: growth {largest:.1e} at most, {mean:.1e} in the mean")?;
        }
        Ok(())
    }
}

/// [`lyapunov_on`] the cores of this machine.
///
/// # Errors
/// A solution of another shape than the problem's.
///
/// # Example
/// ```
/// use deer_solver::{Cpu, Problem, Solver, cells::Gru, diagnostics};
/// use ndarray::{Array1, Array2};
///
/// let gru = Gru::<f64>::random(1, 3, 0);
/// let (x0, inputs) = (Array1::zeros(3), Array2::ones((2000, 1)));
/// let problem = Problem::new(&gru, x0.view(), inputs.view())?;
/// let solution = Solver::auto().solve(&problem, &Cpu::new())?;
/// let lyapunov = diagnostics::lyapunov(&problem, &solution)?;
/// assert!(lyapunov.exponent < 0.0); // forgets
/// assert_eq!(lyapunov.sweeps(500, 1e-13), 2);
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[cfg(feature = "cpu")]
pub fn lyapunov<D: Recurrence>(
    problem: &Problem<'_, D>,
    solution: &Solution<D::Real>,
) -> Result<Lyapunov> {
    lyapunov_on(problem, solution, &crate::Cpu::new())
}

/// The largest Lyapunov exponent along a solved trajectory, and the growth of small differences over windows of it.
///
/// The products `M_w` of the Jacobians over windows of 16 steps are made in parallel over time. A typical difference,
/// taken from window to window and scaled back each time, gives the exponent; products of neighbours give
/// longer windows. A negative exponent alone does not make the sweeps of a solve converge fast: trajectories may grow apart for a while before
/// they contract. What counts is the largest growth over windows.
///
/// Costs the Jacobian of each step and about `12 n³` flops a step where it is dense; memory `O(B·T·n)` and `n²` for each window.
///
/// # Errors
/// A solution of another shape than the problem's, or a failure of the device.
pub fn lyapunov_on<D: Recurrence, B: Sweep<D>>(
    problem: &Problem<'_, D>,
    solution: &Solution<D::Real>,
    backend: &B,
) -> Result<Lyapunov> {
    check_shape(problem, solution)?;
    if problem.state_dim() == 0 || problem.sequences().total_steps() == 0 {
        return Ok(Lyapunov::empty(problem.max_steps()));
    }
    D::Real::control_lyapunov(&mut OnBackend::loaded(problem, backend, solution.states.view())?)
}

/// [`lyapunov_on`] of a trajectory that is loaded.
pub(crate) fn lyapunov_of<R: Real>(stages: &mut dyn Stages<R>) -> Result<Lyapunov> {
    let problem = stages.problem();
    let (n, batch_size) = (problem.state_dim(), problem.batch_size());
    let steps = problem.max_steps();
    let mut result = Lyapunov::empty(steps);
    let (chunks, maps) = products(stages, WINDOW)?;
    let form = Form { n, structure: stages.structure() };
    let mut first = 0;
    let mut windows: Vec<Vec<Map>> = Vec::new();
    for batch in 0..batch_size {
        let count = chunks[first..].iter().take_while(|chunk| chunk.batch == batch).count();
        let (chunks, maps) = (&chunks[first..first + count], &maps[first..first + count]);
        let maps: Vec<Map> = maps.iter().map(|map| Map::new(map)).collect();
        let lens: Vec<usize> = chunks.iter().map(|chunk| chunk.len).collect();
        let exponent = form.exponent(&maps, &lens);
        if count > 0 {
            result.exponent = crate::solver::larger(result.exponent, exponent);
        }
        let whole = lens.iter().take_while(|&&len| len == WINDOW).count();
        windows.push(maps.into_iter().take(whole).collect());
        first += count;
    }
    let mut steps = WINDOW;
    while windows.iter().any(|maps| !maps.is_empty()) {
        let logs: Vec<f64> =
            windows.iter().flatten().map(|map| form.norm(map).ln() + map.scale).collect();
        // A NaN is larger than any number.
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, crate::solver::larger);
        let mean = logs.iter().sum::<f64>() / logs.len() as f64;
        let growth = Growth { steps, largest: largest.exp(), mean: mean.exp(), log: largest };
        result.growth.push(growth);
        result.overshoot = crate::solver::larger(result.overshoot, growth.largest);
        let joined = |maps: &Vec<Map>| {
            maps.as_chunks::<2>().0.iter().map(|[a, b]| form.product(b, a)).collect()
        };
        windows = windows.iter().map(joined).collect();
        steps *= 2;
    }
    Ok(result)
}

/// A compact matrix times `e^scale`.
#[derive(Clone, Debug)]
struct Map {
    entries: Vec<f64>,
    scale: f64,
}

impl Map {
    fn new<R: Real>(entries: &[R]) -> Self {
        Self { entries: entries.iter().map(|x| x.to_f64()).collect(), scale: 0.0 }.scaled()
    }

    /// The same with a largest entry of 1.
    fn scaled(mut self) -> Self {
        let largest = self.entries.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        if largest > 0.0 && largest.is_finite() {
            self.entries.iter_mut().for_each(|x| *x /= largest);
            self.scale += largest.ln();
        }
        self
    }
}

/// Compact matrices, and vectors in the order of their rows.
#[derive(Clone, Copy)]
struct Form {
    n: usize,
    structure: Structure,
}

impl Form {
    fn apply(self, map: &[f64], x: &[f64]) -> Vec<f64> {
        let row = |i| self.structure.row(self.n, i);
        let dot =
            |row: Row| map[row.entries()].iter().zip(&x[row.start..]).map(|(a, x)| a * x).sum();
        (0..self.n).map(row).map(dot).collect()
    }

    fn apply_transposed(self, map: &[f64], x: &[f64]) -> Vec<f64> {
        let mut out = vec![0.0; self.n];
        for (i, &x) in x.iter().enumerate() {
            let row = self.structure.row(self.n, i);
            for (out, a) in out[row.start..].iter_mut().zip(&map[row.entries()]) {
                *out += a * x;
            }
        }
        out
    }

    fn product(self, later: &Map, earlier: &Map) -> Map {
        let mut entries = vec![0.0; earlier.entries.len()];
        for (rows, block) in self.structure.squares(self.n) {
            crate::scan::product::product(
                rows.len(),
                &later.entries[block.clone()],
                &earlier.entries[block.clone()],
                &mut entries[block],
            );
        }
        Map { entries, scale: later.scale + earlier.scale }.scaled()
    }

    /// The largest singular value, by power iteration; NaN where an entry is not finite.
    fn norm(self, map: &Map) -> f64 {
        const ITERATIONS: usize = 40;
        if self.structure == Structure::Diagonal {
            return map
                .entries
                .iter()
                .fold(0.0, |largest, x| crate::solver::larger(largest, x.abs()));
        }
        // Not orthogonal to the singular vector but by chance.
        let mut x: Vec<f64> = (0..self.n).map(typical).collect();
        let mut norm = 0.0;
        for _ in 0..ITERATIONS {
            let size = length(&x);
            if size == 0.0 {
                return 0.0;
            }
            x.iter_mut().for_each(|x| *x /= size);
            let image = self.apply(&map.entries, &x);
            norm = length(&image);
            x = self.apply_transposed(&map.entries, &image);
        }
        norm
    }

    /// Mean logarithm of the growth of a typical difference, per step.
    fn exponent(self, maps: &[Map], lens: &[usize]) -> f64 {
        let begin = maps.len() / 10;
        let mut x: Vec<f64> = (0..self.n).map(typical).collect();
        let (mut log, mut steps) = (0.0, 0);
        for (window, (map, &len)) in maps.iter().zip(lens).enumerate() {
            let before = length(&x);
            x = self.apply(&map.entries, &x);
            let after = length(&x);
            if window >= begin {
                log += (after / before).ln() + map.scale;
                steps += len;
            }
            if after == 0.0 {
                return f64::NEG_INFINITY;
            }
            x.iter_mut().for_each(|x| *x /= after);
        }
        log / steps as f64
    }
}

/// Component `i` of a vector that is parallel to nothing in particular.
fn typical(i: usize) -> f64 {
    1.0 + 0.5 * (7.3 * i as f64).sin()
}

fn length(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}
