//! A bound on the error against the loop.

use super::check_shape;
use crate::backend::{Block, Spread, Sweep};
use crate::dynamics::{Recurrence, Structure};
use crate::error::Result;
use crate::problem::Problem;
use crate::scalar::Real;
use crate::solution::Solution;
use crate::solver::blocks::partition;
use crate::solver::control::Control;
use crate::solver::larger;
use crate::solver::stages::{OnBackend, Stages};

/// How far a trajectory can be from the loop's; see [`error_bound`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ErrorBound {
    /// Largest component of the error that the trajectory's own residuals make, to first order, in the units of the
    /// state.
    pub residual: f64,
    /// Largest standard deviation of a component, over all steps, of the difference that rounding of one unit in each step
    /// makes.
    pub rounding: f64,
}

impl ErrorBound {
    /// Roundings are not all of one standard deviation, nor of one unit.
    const ROUNDINGS: f64 = 8.0;

    /// The bound: `2 · residual + 8 · rounding`, in the units of the state; infinite where the errors left the
    /// finite numbers.
    pub fn total(&self) -> f64 {
        let total = 2.0 * self.residual + Self::ROUNDINGS * self.rounding;
        if total.is_nan() { f64::INFINITY } else { total }
    }

    /// The larger of each.
    fn join(self, other: Self) -> Self {
        Self {
            residual: larger(self.residual, other.residual),
            rounding: larger(self.rounding, other.rounding),
        }
    }
}

/// How far `solution` can be from the trajectory that a loop over the steps gives, in the largest component over all steps and
/// sequences.
///
/// With the residuals `r_t = x_t − f(x_{t−1})` of all steps, inside of blocks and at their borders, and the Jacobians `A_t`, the error is
/// to first order
///
/// ```text
/// ε_t = A_t ε_{t−1} + r_t,    ε_0 = 0
/// ```
///
/// with signs, so that what the dynamics cancel is cancelled: the last correction of Newton's method. It is followed in parallel over
/// time, beside the variance `C_t = A_t C_{t−1} A_tᵀ + D_t` of what independent roundings come to, one unit in each of the terms
/// `A_ij x_j` of a step and in its result. [`ErrorBound::total`] is twice the first and eight standard deviations of the second.
///
/// It covers loops in any arithmetic that rounds each step to a few units, such as one with the standard library's `exp` in place
/// of the lanes'. It is an estimate and no proof: of first order in the error, and statistical in the roundings. A bound that is not small
/// against the states says that there is no telling: of chaotic dynamics two loops do not agree either.
///
/// Costs the Jacobian of each step and about `12 n³` flops a step where it is dense, twice; memory `O(B·T·n)` beside the solution's.
///
/// # Errors
/// A solution of another shape than the problem's, or a failure of the device.
///
/// # Example
/// ```
/// use deer_solver::{Cpu, Problem, Solver, cells::Gru, diagnostics};
/// use ndarray::{Array1, Array2};
///
/// let gru = Gru::<f64>::random(1, 3, 0);
/// let (x0, inputs) = (Array1::zeros(3), Array2::ones((2000, 1)));
/// let problem = Problem::new(&gru, x0.view(), inputs.view())?;
/// let cpu = Cpu::new();
/// let rough = Solver::jacobi().tolerance(1e-6, 1e-4).solve(&problem, &cpu)?;
/// let bound = diagnostics::error_bound(&problem, &rough, &cpu)?.total();
///
/// let exact = Solver::sequential().solve(&problem, &cpu)?;
/// let error = (&rough.states() - &exact.states()).iter().fold(0.0f64, |e, x| e.max(x.abs()));
/// assert!(error <= bound && bound < 1e-3);
/// # Ok::<(), deer_solver::Error>(())
/// ```
pub fn error_bound<D: Recurrence, B: Sweep<D>>(
    problem: &Problem<'_, D>,
    solution: &Solution<D::Real>,
    backend: &B,
) -> Result<ErrorBound> {
    check_shape(problem, solution)?;
    let mut stages = OnBackend::loaded(problem, backend, solution.states.view())?;
    let bounds = D::Real::control_error_bounds(&mut stages)?;
    Ok(bounds.into_iter().fold(ErrorBound::default(), ErrorBound::join))
}

/// The bound of each sequence of a trajectory, where it is.
pub(crate) fn bounds_of<R: Real>(stages: &mut dyn Stages<R>) -> Result<Vec<ErrorBound>> {
    let problem = stages.problem();
    let mut bounds = vec![ErrorBound::default(); problem.batch_size()];
    let n = problem.state_dim();
    if n == 0 || problem.total_steps() == 0 {
        return Ok(bounds);
    }
    let chunks = partition(problem, chunk_len(n));
    let structure = stages.structure();
    let entries = structure.entries(n);
    let zero = R::default();
    let mut priors = vec![zero; chunks.len() * (n + entries)];
    let mut elements = vec![zero; chunks.len() * (n + 2 * entries)];
    let mut spread = stages.spread(&chunks, &priors, &mut elements)?;
    if chunks.iter().any(|chunk| chunk.start > 0) {
        // What comes in at the chunks' starts; then once more along them.
        for (i, pair) in chunks.windows(2).enumerate() {
            if pair[1].start > 0 {
                let (before, after) = priors.split_at_mut((i + 1) * (n + entries));
                let before = &before[i * (n + entries)..];
                let element = &elements[i * (n + 2 * entries)..(i + 1) * (n + 2 * entries)];
                hand_on(structure, n, element, before, &mut after[..n + entries]);
            }
        }
        spread = stages.spread(&chunks, &priors, &mut elements)?;
    }
    for (chunk, Spread { residual, rounding }) in chunks.iter().zip(spread) {
        let bound = &mut bounds[chunk.batch];
        *bound = bound.join(ErrorBound { residual, rounding });
    }
    Ok(bounds)
}

/// Steps in a chunk: enough that the chunks' matrices take no more room than the trajectory.
fn chunk_len(n: usize) -> usize {
    64.max(3 * n)
}

/// `(ε, C)` after a chunk, given those before it: `A ε + ε_j`, `A C Aᵀ + C_j`.
fn hand_on<R: Real>(structure: Structure, n: usize, element: &[R], before: &[R], after: &mut [R]) {
    let (a, rest) = element.split_at(structure.entries(n));
    let (mean, variance) = before.split_at(n);
    let (after_mean, after_variance) = after.split_at_mut(n);
    let (of_chunk_mean, of_chunk_variance) = rest.split_at(n);
    let largest = structure.block_size(n);
    let mut product = vec![R::default(); largest * largest];
    for (rows, entries) in structure.squares(n) {
        let size = rows.len();
        let (a, c) = (&a[entries.clone()], &variance[entries.clone()]);
        crate::scan::kalman::matrix::multiply(size, size, a, c, &mut product);
        let after = &mut after_variance[entries.clone()];
        crate::scan::kalman::matrix::multiply_transposed(size, &product, a, after);
        for (after, &of_chunk) in after.iter_mut().zip(&of_chunk_variance[entries]) {
            *after += of_chunk;
        }
        let after = &mut after_mean[rows.clone()];
        crate::scan::kalman::matrix::multiply(size, 1, a, &mean[rows.clone()], after);
        for (after, &of_chunk) in after.iter_mut().zip(&of_chunk_mean[rows]) {
            *after += of_chunk;
        }
    }
}

/// Chunks, and the product of the Jacobians along each, compact.
pub(super) type Products<R> = (Vec<Block>, Vec<Vec<R>>);

/// The products over `len` steps each of every sequence.
pub(super) fn products<R: Real>(stages: &mut dyn Stages<R>, len: usize) -> Result<Products<R>> {
    let problem = stages.problem();
    let n = problem.state_dim();
    let chunks = partition(problem, len);
    let entries = stages.structure().entries(n);
    let zero = R::default();
    let priors = vec![zero; chunks.len() * (n + entries)];
    let mut elements = vec![zero; chunks.len() * (n + 2 * entries)];
    stages.spread(&chunks, &priors, &mut elements)?;
    let maps =
        elements.chunks_exact(n + 2 * entries).map(|element| element[..entries].to_vec()).collect();
    Ok((chunks, maps))
}
