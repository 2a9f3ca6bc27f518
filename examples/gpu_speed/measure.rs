//! One job on the device, in both ways, and on the CPU.

use crate::common::cli::Misuse;
use crate::common::data;
use crate::common::race::{Outcome, Runner, race};
use crate::jobs::{Cell, INPUT, Job};
use deer_solver::cells::{DiagonalGru, Gru};
use deer_solver::{Cpu, Cuda, CudaFault, Dynamics, Error, Problem, Solver};
use ndarray::{Array2, Array3, ArrayView3};
use serde::Serialize;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Largest difference between the device's states and the CPU's that is rounding: these cells forget.
const ROUNDING: f64 = 1e-4;

/// What became of a job.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) job: &'static str,
    pub(crate) cell: &'static str,
    pub(crate) dtype: &'static str,
    pub(crate) batch: usize,
    pub(crate) n: usize,
    pub(crate) inputsize: usize,
    pub(crate) steps: usize,
    pub(crate) result: Option<Timed>,
    /// Why there is no result.
    pub(crate) error: Option<String>,
    /// Whether the error is none that the device's limits explain.
    pub(crate) failed: bool,
}

/// Seconds, and how they came about.
#[derive(Debug, Serialize)]
pub(crate) struct Timed {
    /// The method that `auto` chose on the device.
    pub(crate) method: String,
    pub(crate) sweeps: usize,
    /// `auto` on the device, the states left there.
    pub(crate) resident: f64,
    /// The same with the states brought back.
    pub(crate) fetched: f64,
    /// `vjp` of all states on the device, from the host and back.
    pub(crate) gradient: f64,
    /// The loop on the device, the states left there.
    pub(crate) sequential: f64,
    /// `auto` on the CPU, all threads.
    pub(crate) cpu: f64,
    /// Runs that the times of `auto` on the device are medians of.
    pub(crate) runs: usize,
    /// Largest difference of the states from the CPU's.
    pub(crate) difference: f64,
}

/// Measures a job; a job that cannot be done is a line that says why.
pub(crate) fn line(job: &'static Job, quick: bool, device: usize) -> Line {
    let (batch, steps) = job.size(quick);
    let blank = Line {
        job: job.name,
        cell: job.cell.name(),
        dtype: "float32",
        batch,
        n: job.n,
        inputsize: INPUT,
        steps,
        result: None,
        error: None,
        failed: false,
    };
    let result = match job.cell {
        Cell::Gru => Given::new(Gru::random(INPUT, job.n, 0), batch, steps).timed(quick, device),
        Cell::DiagonalGru => {
            Given::new(DiagonalGru::random(INPUT, job.n, 0), batch, steps).timed(quick, device)
        }
    };
    match result {
        Ok(Ok(timed)) => Line { result: Some(timed), ..blank },
        Ok(Err(limit)) => Line { error: Some(limit), ..blank },
        Err(error) => Line { error: Some(error.to_string()), failed: true, ..blank },
    }
}

/// Runs `auto` and its gradient on the device, as the second of two runs.
pub(crate) fn once(job: &'static Job, quick: bool, device: usize) -> Result<(), Misuse> {
    let (batch, steps) = job.size(quick);
    match job.cell {
        Cell::Gru => Given::new(Gru::random(INPUT, job.n, 0), batch, steps).once(device),
        Cell::DiagonalGru => {
            Given::new(DiagonalGru::random(INPUT, job.n, 0), batch, steps).once(device)
        }
    }
}

/// A job's cell and arrays.
struct Given<D> {
    cell: D,
    /// `[B, n]`.
    initial: Array2<f32>,
    /// `[B, T, m]`.
    inputs: Array3<f32>,
}

impl<D: Dynamics<Real = f32>> Given<D> {
    fn new(cell: D, batch: usize, steps: usize) -> Self {
        let initial = Array2::zeros((batch, cell.state_dim()));
        Self { cell, initial, inputs: data::normal((batch, steps, INPUT), 1) }
    }

    fn problem(&self) -> deer_solver::Result<Problem<'_, D>> {
        Problem::batch(&self.cell, self.initial.view(), self.inputs.view())
    }

    /// The inner error is a limit of the device.
    fn timed(&self, quick: bool, device: usize) -> Result<Result<Timed, String>, Misuse> {
        let cuda = Cuda::new(device)?;
        let problem = self.problem()?;
        let solution = match Solver::auto().solve(&problem, &cuda) {
            Ok(solution) => solution,
            Err(error) if is_limit(&error) => return Ok(Err(Misuse::from(error).to_string())),
            Err(error) => return Err(error.into()),
        };
        let cpu = Cpu::new();
        let expected = Solver::auto().solve(&problem, &cpu)?;
        let difference = difference(solution.states(), expected.states());
        drop(expected);
        if difference > ROUNDING || !solution.converged() {
            return Err(Misuse::new(format!(
                "the states differ from the CPU's by {difference:.1e} ({:?})",
                solution.termination()
            )));
        }
        let report = solution.report();
        let (method, sweeps) = (report.method.to_string(), report.sweeps);

        let resident = |solver: Solver| -> Runner<'_> {
            let (problem, cuda) = (&problem, &cuda);
            Box::new(move || {
                let started = Instant::now();
                let resident = solver.solve_resident(problem, cuda)?;
                let time = started.elapsed();
                drop(resident);
                Ok(Outcome { time, ..Outcome::default() })
            })
        };
        let fetched: Runner<'_> = Box::new(|| after(|| Solver::auto().solve(&problem, &cuda)));
        let gradient: Runner<'_> =
            Box::new(|| after(|| solution.vjp(&problem, solution.states(), &cuda)));
        let on_cpu: Runner<'_> = Box::new(|| after(|| Solver::auto().solve(&problem, &cpu)));

        // The loop can take a thousand times as long: were they to take turns, it would have all of the time.
        let (turns, share) = if quick { (1, 1.0) } else { (7, 10.0) };
        let share = Duration::from_secs_f64(share);
        let mut parallel = [resident(Solver::auto()), fetched, gradient];
        let (parallel, runs) = race(&mut parallel, turns, share)?;
        let (sequential, _) = race(&mut [resident(Solver::sequential())], turns, share)?;
        let (on_cpu, _) = race(&mut [on_cpu], turns, share)?;
        let seconds = |outcome: &Outcome| outcome.time.as_secs_f64();
        Ok(Ok(Timed {
            method,
            sweeps,
            resident: seconds(&parallel[0]),
            fetched: seconds(&parallel[1]),
            gradient: seconds(&parallel[2]),
            sequential: seconds(&sequential[0]),
            cpu: seconds(&on_cpu[0]),
            runs,
            difference,
        }))
    }

    fn once(&self, device: usize) -> Result<(), Misuse> {
        let cuda = Cuda::new(device)?;
        let problem = self.problem()?;
        let solution = Solver::auto().solve(&problem, &cuda)?;
        black_box(solution.vjp(&problem, solution.states(), &cuda)?);
        Ok(())
    }
}

/// The time of `work`, its result thrown away after it.
fn after<T>(work: impl FnOnce() -> deer_solver::Result<T>) -> Result<Outcome, Misuse> {
    let started = Instant::now();
    let result = work()?;
    let time = started.elapsed();
    drop(black_box(result));
    Ok(Outcome { time, ..Outcome::default() })
}

/// Whether the problem is larger than the device takes.
fn is_limit(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let fault = source.and_then(|source| source.downcast_ref::<CudaFault>());
    matches!(error, Error::Setting { .. }) || matches!(fault, Some(CudaFault::OutOfMemory))
}

/// Largest one; infinite where either is not finite.
fn difference(a: ArrayView3<'_, f32>, b: ArrayView3<'_, f32>) -> f64 {
    a.iter().zip(b).fold(0.0, |largest, (&a, &b)| {
        let apart = f64::from(a - b).abs();
        if apart.is_nan() { f64::INFINITY } else { apart.max(largest) }
    })
}
