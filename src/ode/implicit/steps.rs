//! Implicit schemes on whatever grid.

use super::{GridEquation, bdf2};
use crate::backend::Sweep;
use crate::dynamics::{Implicit, Residual};
use crate::error::Result;
use crate::ode::Scheme;
use crate::ode::steps::{Steps, doubling_factor};
use crate::problem::Problem;
use crate::scalar::{Real, Scalar};
use crate::solution::Solution;
use crate::solver::Solver;
use ndarray::{Array1, Array2, Array3, ArrayView1, Axis, s};

/// The equation of a step without inputs, to be solved on grids. Single steps go through the backend too, which saves
/// another compilation of Newton's method.
#[derive(Debug)]
pub(in crate::ode) struct ImplicitSteps<'s, E: Residual, B> {
    pub(in crate::ode) recurrence: Implicit<E>,
    /// `[n]`
    pub(in crate::ode) y0: ArrayView1<'s, E::Real>,
    pub(in crate::ode) solver: &'s Solver,
    pub(in crate::ode) backend: &'s B,
}

impl<E: GridEquation, B> ImplicitSteps<'_, E, B> {
    fn equation(&self) -> &E {
        self.recurrence.residual()
    }

    /// One step over `[t, t + dt]`, in a row of `inputs`.
    fn fill(
        &self,
        t: E::Real,
        dt: E::Real,
        ratio: E::Real,
        mut inputs: impl FnMut(usize, E::Real),
    ) {
        inputs(0, t);
        inputs(1, dt);
        if self.equation().sampling().ratio {
            inputs(2, ratio);
        }
    }

    /// Of the difference of two half steps from a whole one, the error of the whole one is this many times.
    fn factor(&self, ratio: f64) -> f64 {
        match self.equation().scheme() {
            Scheme::Bdf2 => bdf2::doubling_factor(ratio),
            scheme => doubling_factor(scheme.order() as i32),
        }
    }

    /// The two halves of a step as inputs of a sequence.
    fn halves(
        &self,
        t: E::Real,
        dt: E::Real,
        ratio: E::Real,
        mut inputs: impl FnMut(usize, usize, E::Real),
    ) {
        let number = E::Real::from_f64;
        let half = dt * number(0.5);
        self.fill(t, half, ratio * number(0.5), |i, x| inputs(0, i, x));
        self.fill(t + half, half, number(1.0), |i, x| inputs(1, i, x));
    }

    /// Rows `[T, n]` of states as the scheme's own, the row before the first being `y0`.
    fn own(&self, states: &Array2<E::Real>) -> Array2<E::Real> {
        let n = self.equation().dim();
        Array2::from_shape_fn((states.nrows(), self.equation().state_dim()), |(k, j)| match k {
            _ if j < n => states[[k, j]],
            0 => self.y0[j - n],
            _ => states[[k - 1, j - n]],
        })
    }
}

impl<E: GridEquation, B: Sweep<Implicit<E>>> Steps<E::Real> for ImplicitSteps<'_, E, B> {
    fn order(&self) -> i32 {
        self.equation().scheme().order() as i32
    }

    fn reliable_order(&self) -> i32 {
        match self.equation().scheme() {
            // That of its stages.
            Scheme::RadauIIA5 => 3,
            scheme => scheme.order() as i32,
        }
    }

    fn pilot_in_full(&self) -> bool {
        true
    }

    fn initial(&self) -> Vec<E::Real> {
        let n = self.equation().dim();
        (0..self.equation().state_dim()).map(|j| self.y0[j % n]).collect()
    }

    fn solve(
        &self,
        grid: &Array1<E::Real>,
        guess: Option<&Array2<E::Real>>,
    ) -> Result<Solution<E::Real>> {
        let none = Array2::default((0, 0));
        let inputs = self.equation().sampling().inputs(grid.view(), none.view())?;
        let x0 = Array1::from(self.initial());
        let guess = guess.map(|guess| self.own(guess));
        let mut problem =
            Problem::of_owned(&self.recurrence, x0.view().insert_axis(Axis(0)), vec![inputs])?;
        if let Some(guess) = &guess {
            problem = problem.with_guess(guess.view().insert_axis(Axis(0)))?;
        }
        let mut solution = self.solver.solve(&problem, self.backend)?;
        let n = self.equation().dim();
        if n < self.equation().state_dim() {
            solution.states = solution.states.slice(s![.., .., ..n]).to_owned();
            // What the backend keeps is wider.
            solution.kept = None;
        }
        Ok(solution)
    }

    fn local_errors(
        &self,
        grid: &Array1<E::Real>,
        states: &Array2<E::Real>,
    ) -> Result<Array2<E::Real>> {
        let steps = grid.len() - 1;
        let dt = |k: usize| grid[k + 1] - grid[k];
        let ratio = |k: usize| if k == 0 { E::Real::default() } else { dt(k) / dt(k - 1) };
        // Every step is a sequence of a batch.
        let starts = self.own(&states.slice(s![..steps, ..]).to_owned());
        let mut inputs = Array3::default((steps, 2, self.equation().input_dim()));
        for k in 0..steps {
            self.halves(grid[k], dt(k), ratio(k), |half, i, x| inputs[[k, half, i]] = x);
        }
        let problem = Problem::batch(&self.recurrence, starts.view(), inputs.view())?;
        let halves = Solver::sequential().solve(&problem, self.backend)?;
        let ends = halves.states();
        Ok(Array2::from_shape_fn((steps, states.ncols()), |(k, j)| {
            let factor = E::Real::from_f64(self.factor(ratio(k).to_f64()));
            (ends[[k, 1, j]] - states[[k + 1, j]]) * factor
        }))
    }

    fn step(
        &self,
        t: E::Real,
        dt: E::Real,
        ratio: E::Real,
        y: &[E::Real],
        next: &mut [E::Real],
        error: &mut [E::Real],
    ) -> Result<()> {
        let m = self.equation().input_dim();
        let (mut whole, mut halves) = (Array2::default((1, m)), Array2::default((2, m)));
        self.fill(t, dt, ratio, |i, x| whole[[0, i]] = x);
        self.halves(t, dt, ratio, |half, i, x| halves[[half, i]] = x);
        let starts = Array2::from_shape_fn((2, y.len()), |(_, j)| y[j]);
        let inputs = [whole.view(), halves.view()];
        let problem = Problem::ragged(&self.recurrence, starts.view(), &inputs)?;
        let solution = Solver::sequential().solve(&problem, self.backend)?;
        let states = solution.states();
        let factor = E::Real::from_f64(self.factor(ratio.to_f64()));
        for (j, next) in next.iter_mut().enumerate() {
            *next = states[[0, 0, j]];
        }
        for (j, error) in error.iter_mut().enumerate() {
            *error = (states[[1, 1, j]] - states[[0, 0, j]]) * factor;
        }
        Ok(())
    }
}
