//! What the refinement of grids needs to know of a scheme.

use super::explicit::has_error_estimate;
use super::{Discretized, Ode, Scheme};
use crate::backend::Sweep;
use crate::dynamics::Dynamics;
use crate::error::Result;
use crate::problem::Problem;
use crate::scalar::{Parameter, Real, Scalar};
use crate::solution;
use crate::solver::Solver;
use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, Axis, s};

/// A scheme on whatever grid. An object, so that refinement is compiled once for each precision.
pub(super) trait Steps<R: Real> {
    /// The power of the step in the error at a fixed time.
    fn order(&self) -> i32;

    /// The power that errors can be relied on to fall with, whatever the equation: stiff ones reduce that of some schemes.
    fn reliable_order(&self) -> i32 {
        self.order()
    }

    /// Whether a pilot is to take all the steps that the tolerance asks for. Stiff equations jump at times that only an accurate
    /// trajectory tells, and where a grid has long steps there, steps have no solution.
    fn pilot_in_full(&self) -> bool {
        false
    }

    /// The scheme's own state at the start: the initial state `[n]`, or followed by what a step needs of the one before it.
    fn initial(&self) -> Vec<R>;

    /// The trajectory on `grid` `[T + 1]`, from a guess `[T, n]` for the states at `grid[1..]` if there is one.
    ///
    /// # Errors
    /// Device failure, misuse of the solver.
    fn solve(&self, grid: &Array1<R>, guess: Option<&Array2<R>>) -> Result<solution::Solution<R>>;

    /// The error that each step on `grid` makes from the state before it, `[T, n]`; `states` `[T + 1, n]` is the trajectory.
    ///
    /// # Errors
    /// Device failure.
    fn local_errors(&self, grid: &Array1<R>, states: &Array2<R>) -> Result<Array2<R>>;

    /// One step of length `dt`, `ratio` times the one before it (0 for none), from the scheme's own state `y` at `t`: writes that
    /// after it, and the error made, `[n]`.
    ///
    /// # Errors
    /// Device failure.
    fn step(&self, t: R, dt: R, ratio: R, y: &[R], next: &mut [R], error: &mut [R]) -> Result<()>;
}

/// Explicit schemes.
#[derive(Debug)]
pub(super) struct Explicit<'s, 'a, O: Ode, B> {
    pub(super) ode: &'a O,
    pub(super) y0: ArrayView1<'s, O::Real>,
    pub(super) scheme: Scheme,
    pub(super) solver: &'s Solver,
    pub(super) backend: &'s B,
}

impl<'a, O: Ode, B> Explicit<'_, 'a, O, B> {
    fn on(&self, grid: Array1<O::Real>) -> Discretized<'a, O> {
        Discretized::new(self.ode, grid, self.scheme)
    }
}

impl<'a, O: Ode, B: Sweep<Discretized<'a, O>>> Steps<O::Real> for Explicit<'_, 'a, O, B> {
    fn order(&self) -> i32 {
        self.scheme.order() as i32
    }

    fn initial(&self) -> Vec<O::Real> {
        self.y0.to_vec()
    }

    fn solve(
        &self,
        grid: &Array1<O::Real>,
        guess: Option<&Array2<O::Real>>,
    ) -> Result<solution::Solution<O::Real>> {
        let discretized = self.on(grid.clone());
        let none = Array2::default((0, 0));
        let mut problem = discretized.problem(self.y0, none.view())?;
        if let Some(guess) = guess {
            problem = problem.with_guess(guess.view().insert_axis(Axis(0)))?;
        }
        self.solver.solve(&problem, self.backend)
    }

    fn local_errors(
        &self,
        grid: &Array1<O::Real>,
        states: &Array2<O::Real>,
    ) -> Result<Array2<O::Real>> {
        let discretized = self.on(grid.clone());
        if has_error_estimate(self.scheme) {
            let (none, ends) = (Array2::default((0, 0)), states.slice(s![1.., ..]));
            return discretized.local_errors(states.row(0), none.view(), ends, self.backend);
        }
        let half = O::Real::from_f64(0.5);
        let steps = grid.len() - 1;
        let dt = |k: usize| grid[k + 1] - grid[k];
        let inputs = Array3::from_shape_fn((steps, 2, 2), |(k, second, i)| {
            let dt = dt(k) * half;
            [grid[k] + dt * O::Real::from_f64(second as f64), dt][i]
        });
        // Every step is a sequence of a batch.
        let problem = Problem::batch(&discretized, states.slice(s![..steps, ..]), inputs.view())?;
        let halves = Solver::sequential().solve(&problem, self.backend)?;
        let factor = O::Real::from_f64(doubling_factor(self.order()));
        let mut errors = halves.into_states().index_axis_move(Axis(1), 1);
        errors -= &states.slice(s![1.., ..]);
        errors.mapv_inplace(|error| error * factor);
        Ok(errors)
    }

    fn step(
        &self,
        t: O::Real,
        dt: O::Real,
        _: O::Real,
        y: &[O::Real],
        next: &mut [O::Real],
        error: &mut [O::Real],
    ) -> Result<()> {
        let n = y.len();
        let params = Parameter::from_slice(self.ode.params());
        let states = self.on(Array1::default(0));
        let errors = states.clone().into_errors();
        let run = |discretized: &Discretized<'a, O>, t, dt, y: &[O::Real]| {
            let mut next = vec![O::Real::default(); n + discretized.scratch_dim()];
            discretized.step::<O::Real>(params, y, &[t, dt], &mut next);
            next.truncate(n);
            next
        };
        next.copy_from_slice(&run(&states, t, dt, y));
        if has_error_estimate(self.scheme) {
            error.copy_from_slice(&run(&errors, t, dt, y));
        } else {
            let half = dt * O::Real::from_f64(0.5);
            let middle = run(&states, t, half, y);
            let end = run(&states, t + half, half, &middle);
            let factor = O::Real::from_f64(doubling_factor(self.order()));
            for j in 0..n {
                error[j] = (end[j] - next[j]) * factor;
            }
        }
        Ok(())
    }
}

/// Of the difference of two half steps from a whole one, the error of the whole one is this many times.
pub(super) fn doubling_factor(order: i32) -> f64 {
    let power = 2f64.powi(order);
    power / (power - 1.0)
}

/// `states` on `grid` at the times `[grid', ..]` of another grid from its second on, straight in between; `[T', n]`.
pub(super) fn interpolate<R: Real>(
    grid: &Array1<R>,
    states: ArrayView2<'_, R>,
    other: &Array1<R>,
) -> Array2<R> {
    let mut k = 0;
    let mut result = Array2::default((other.len() - 1, states.ncols()));
    for (mut row, &t) in result.outer_iter_mut().zip(other.iter().skip(1)) {
        while k + 2 < grid.len() && grid[k + 1] < t {
            k += 1;
        }
        let s = (t - grid[k]) / (grid[k + 1] - grid[k]);
        for j in 0..states.ncols() {
            row[j] = (states[[k + 1, j]] - states[[k, j]]) * s + states[[k, j]];
        }
    }
    result
}
