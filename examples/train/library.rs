//! Training steps by this library: states and gradients in parallel over time.

use crate::common::cli::Misuse;
use crate::model::{Model, Score, Step};
use crate::task::Labelled;
use crate::threads::share;
use deer_solver::{Cpu, Problem, Solution, Solver};
use ndarray::{Array2, Array3};
use std::time::Instant;

/// The solver and where it runs.
#[derive(Debug)]
pub(crate) struct Library {
    cpu: Cpu,
    solver: Solver,
}

impl Library {
    pub(crate) fn new(cpu: &Cpu) -> Self {
        Self { cpu: cpu.clone(), solver: Solver::auto() }
    }

    /// Loss, and its gradient.
    pub(crate) fn step(&self, model: &Model, batch: &Labelled) -> Result<Step, Misuse> {
        let started = Instant::now();
        let [gru_size, readout_size] = model.sizes();
        let x0 = Array2::zeros((batch.len(), model.gru.hidden()));
        let problem = Problem::batch(&model.gru, x0.view(), batch.inputs.view())?;
        let solution = self.solver.solve(&problem, &self.cpu)?;
        let means = self.means(&solution);
        let forward = started.elapsed();

        let started = Instant::now();
        let (sequences, steps, n) = solution.states().dim();
        let mut readout = vec![0.0; readout_size];
        let mut total = Score::default();
        // Of the mean over time each state has an equal part.
        let mut cotangents = Array3::zeros((sequences, 1, n));
        for (b, (means, &label)) in means.iter().zip(&batch.labels).enumerate() {
            let mut cotangent = vec![0.0; n];
            let weight = 1.0 / batch.len() as f32;
            let score = model.readout.pull(means, label, weight, &mut readout, &mut cotangent);
            total.loss += score.loss;
            total.correct += score.correct;
            for (i, x) in cotangent.into_iter().enumerate() {
                cotangents[[b, 0, i]] = x / steps as f32;
            }
        }
        let repeated = cotangents
            .broadcast((sequences, steps, n))
            .ok_or_else(|| Misuse::new("cotangents of one step do not fit the states"))?;
        let gru = solution.vjp(&problem, repeated, &self.cpu)?.params;
        let mut gradient = Vec::with_capacity(gru_size + readout_size);
        gradient.extend(gru);
        gradient.extend(readout);
        Ok(Step {
            loss: total.loss / batch.len() as f64,
            correct: total.correct,
            gradient,
            forward,
            backward: started.elapsed(),
        })
    }

    /// Scores without gradients, as many sequences at a time as `batchsize` says.
    pub(crate) fn score(
        &self,
        model: &Model,
        data: &Labelled,
        batchsize: usize,
    ) -> Result<Score, Misuse> {
        let mut total = Score::default();
        let indices: Vec<usize> = (0..data.len()).collect();
        for chunk in indices.chunks(batchsize) {
            let batch = data.batch(chunk);
            let x0 = Array2::zeros((batch.len(), model.gru.hidden()));
            let problem = Problem::batch(&model.gru, x0.view(), batch.inputs.view())?;
            let solution = self.solver.solve(&problem, &self.cpu)?;
            for (means, &label) in self.means(&solution).iter().zip(&batch.labels) {
                let score = model.readout.score(means, label);
                total.loss += score.loss / data.len() as f64;
                total.correct += score.correct;
            }
        }
        Ok(total)
    }

    /// The mean of each sequence's states over time.
    fn means(&self, solution: &Solution<f32>) -> Vec<Vec<f32>> {
        let states = solution.states();
        let (_, steps, n) = states.dim();
        let each = states.as_slice().unwrap_or_default().chunks_exact(steps * n).collect();
        share(&mut vec![(); self.cpu.threads()], each, |(), states| {
            let mut sums = vec![0.0; n];
            for state in states.chunks_exact(n) {
                sums.iter_mut().zip(state).for_each(|(sum, &x)| *sum += f64::from(x));
            }
            sums.into_iter().map(|sum| (sum / steps as f64) as f32).collect()
        })
    }
}
