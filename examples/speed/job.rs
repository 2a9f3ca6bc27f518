//! One problem, and the ways to solve it.

use crate::common::backprop::backpropagate;
use crate::common::cli::Misuse;
use crate::common::plain::plain_loop;
use crate::common::race::{Outcome, Runner};
use crate::options::Method;
use deer_solver::cells::Gru;
use deer_solver::{Cpu, Dynamics, Problem, Solver};
use ndarray::{Array2, Array3, ArrayView3, s};
use std::hint::black_box;
use std::time::Instant;

/// A recurrence from a zero state over inputs `[B, T, m]`.
pub(crate) struct Job<'j, D: Dynamics> {
    pub(crate) cell: &'j D,
    pub(crate) inputs: ArrayView3<'j, D::Real>,
    pub(crate) initial: Array2<D::Real>,
}

impl<'j, D: Dynamics> Job<'j, D> {
    pub(crate) fn new(cell: &'j D, inputs: &'j Array3<D::Real>) -> Self {
        let initial = Array2::zeros((inputs.dim().0, cell.state_dim()));
        Self { cell, inputs: inputs.view(), initial }
    }

    /// From another initial state, one value for all components.
    pub(crate) fn starting_at(mut self, value: f64) -> Self {
        self.initial.fill(deer_solver::Scalar::from_f64(value));
        self
    }

    /// `method` on `cpu`. The plain loop, whose time a step does not depend on the length, runs over at most
    /// `plain_steps` steps.
    pub(crate) fn runner(&self, method: Method, cpu: &Cpu, plain_steps: usize) -> Runner<'_> {
        match method.solver() {
            Some(solver) => self.solve(solver, cpu),
            None => self.plain(plain_steps),
        }
    }

    pub(crate) fn solve(&self, solver: Solver, cpu: &Cpu) -> Runner<'_> {
        let cpu = cpu.clone();
        Box::new(move || {
            let problem = Problem::batch(self.cell, self.initial.view(), self.inputs)?;
            let started = Instant::now();
            let solution = solver.solve(&problem, &cpu)?;
            let time = started.elapsed();
            let report = solution.report();
            Ok(Outcome {
                time,
                steps: self.inputs.dim().0 * self.inputs.dim().1,
                sweeps: report.sweeps,
                work: report.work,
                method: report.method.to_string(),
                converged: solution.converged(),
            })
        })
    }

    fn plain(&self, most_steps: usize) -> Runner<'_> {
        Box::new(move || {
            let (batch, length, _) = self.inputs.dim();
            let steps = length.min(most_steps);
            let sequences = batch.min((most_steps / steps.max(1)).max(1));
            // A copy where it is a part, so that the loop finds its inputs side by side.
            let inputs = self.inputs.slice(s![..sequences, ..steps, ..]);
            let inputs = inputs.as_standard_layout();
            let initial = self.initial.slice(s![..sequences, ..]);
            let started = Instant::now();
            black_box(plain_loop(self.cell, initial, inputs.view()));
            Ok(Outcome {
                time: started.elapsed(),
                steps: sequences * steps,
                sweeps: 1,
                work: 1.0,
                method: "plain loop".to_owned(),
                converged: true,
            })
        })
    }
}

impl<'j> Job<'j, Gru<f32>> {
    /// The gradient of `½ Σ x²` along the solution.
    pub(crate) fn gradient(&self, cpu: &Cpu) -> Result<Runner<'_>, Misuse> {
        let cpu = cpu.clone();
        let problem = Problem::batch(self.cell, self.initial.view(), self.inputs)?;
        let solution = Solver::auto().solve(&problem, &cpu)?;
        Ok(Box::new(move || {
            let started = Instant::now();
            black_box(solution.vjp(&problem, solution.states(), &cpu)?);
            Ok(self.outcome(started, "vjp"))
        }))
    }

    /// The same by a plain loop backwards over the states of the solution.
    pub(crate) fn backpropagation(&self, cpu: &Cpu) -> Result<Runner<'_>, Misuse> {
        let problem = Problem::batch(self.cell, self.initial.view(), self.inputs)?;
        let states = Solver::auto().solve(&problem, cpu)?.into_states();
        Ok(Box::new(move || {
            let mut params = vec![0.0; self.cell.params().len()];
            let started = Instant::now();
            for (inputs, states) in self.inputs.outer_iter().zip(states.outer_iter()) {
                let (Some(inputs), Some(states)) = (inputs.to_slice(), states.to_slice()) else {
                    continue;
                };
                backpropagate(self.cell, inputs, states, states, &mut params);
            }
            black_box(&params);
            Ok(self.outcome(started, "plain loop backwards"))
        }))
    }

    fn outcome(&self, started: Instant, method: &str) -> Outcome {
        Outcome {
            time: started.elapsed(),
            steps: self.inputs.dim().0 * self.inputs.dim().1,
            sweeps: 1,
            work: 1.0,
            method: method.to_owned(),
            converged: true,
        }
    }
}
