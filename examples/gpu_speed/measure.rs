//! One job on the device, by each method, and on the CPU.

use crate::common::cli::Misuse;
use crate::common::data;
use crate::common::race::{Outcome, Runner, race};
use crate::jobs::{Cell, INPUT, Job};
use clap::ValueEnum;
use deer_solver::cells::{DiagonalGru, Gru};
use deer_solver::{Cpu, Cuda, CudaFault, Dynamics, Error, Problem, Solution, Solver};
use ndarray::{Array2, Array3, ArrayView3};
use serde::Serialize;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Largest difference between the device's states and the CPU's that is rounding: these cells forget.
const ROUNDING: f64 = 1e-4;

/// Ways to the states on the device.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Method {
    Auto,
    Sequential,
    Deer,
    Jacobi,
}

impl Method {
    fn solver(self) -> Solver {
        match self {
            Method::Auto => Solver::auto(),
            Method::Sequential => Solver::sequential(),
            Method::Deer => Solver::deer(),
            Method::Jacobi => Solver::jacobi(),
        }
    }
}

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
    /// Whether there is an error, here or of one way, that the device's limits do not explain.
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
    /// Runs that these two are medians of.
    pub(crate) runs: usize,
    /// `vjp` of all states on the device, from the host and back.
    pub(crate) gradient: Way,
    /// The loop on the device, the states left there.
    pub(crate) sequential: Way,
    /// DEER, likewise.
    pub(crate) deer: Way,
    /// Block Jacobi, likewise.
    pub(crate) jacobi: Way,
    /// `auto` on the CPU, all threads.
    pub(crate) cpu: Way,
    /// The fastest of the last four.
    pub(crate) best: Option<&'static str>,
    /// `resident` in its time.
    pub(crate) of_best: Option<f64>,
    /// Largest difference of `auto`'s states from the CPU's.
    pub(crate) difference: f64,
}

impl Timed {
    /// Their names, and what became of them.
    pub(crate) fn ways(&self) -> [(&'static str, &Way); 5] {
        [
            ("vjp", &self.gradient),
            ("sequential", &self.sequential),
            ("deer", &self.deer),
            ("jacobi", &self.jacobi),
            ("cpu", &self.cpu),
        ]
    }

    /// With `best` and `of_best`.
    fn compared(mut self) -> Self {
        let others = self.ways().into_iter().skip(1);
        let best = others
            .filter_map(|(name, way)| way.seconds.map(|seconds| (name, seconds)))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        self.best = best.map(|(name, _)| name);
        self.of_best = best.map(|(_, seconds)| self.resident / seconds);
        self
    }
}

/// One way to do a job, or part of it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Way {
    /// Median.
    pub(crate) seconds: Option<f64>,
    /// Runs that it is the median of.
    pub(crate) runs: usize,
    /// As its report says.
    pub(crate) sweeps: Option<usize>,
    /// Why there is no time.
    pub(crate) error: Option<String>,
    /// Whether the error is none that the device's limits explain.
    pub(crate) failed: bool,
}

impl Way {
    /// One that was refused, or failed.
    fn without(error: Error) -> Self {
        let failed = !is_limit(&error);
        Self { failed, ..Self::missing(Misuse::from(error)) }
    }

    fn missing(error: Misuse) -> Self {
        Self { error: Some(error.to_string()), ..Self::default() }
    }

    /// The only one of a race.
    fn of(raced: Result<(Vec<Outcome>, usize), Misuse>) -> Self {
        match raced {
            Ok((outcomes, runs)) => {
                Self { seconds: outcomes.first().map(seconds), runs, ..Self::default() }
            }
            Err(error) => Self { failed: true, ..Self::missing(error) },
        }
    }
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
        Ok(Ok(timed)) => {
            let failed = timed.ways().iter().any(|(_, way)| way.failed);
            Line { result: Some(timed), failed, ..blank }
        }
        Ok(Err(limit)) => Line { error: Some(limit), ..blank },
        Err(error) => Line { error: Some(error.to_string()), failed: true, ..blank },
    }
}

/// Runs one method on the device, once, and after `auto` its gradient.
pub(crate) fn once(
    job: &'static Job,
    method: Method,
    quick: bool,
    device: usize,
) -> Result<(), Misuse> {
    let (batch, steps) = job.size(quick);
    match job.cell {
        Cell::Gru => Given::new(Gru::random(INPUT, job.n, 0), batch, steps).once(method, device),
        Cell::DiagonalGru => {
            Given::new(DiagonalGru::random(INPUT, job.n, 0), batch, steps).once(method, device)
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

/// How long to measure: turns of a race, and what they may take in all.
#[derive(Clone, Copy)]
struct Pace {
    turns: usize,
    share: Duration,
}

impl Pace {
    fn race(self, runners: &mut [Runner<'_>]) -> Result<(Vec<Outcome>, usize), Misuse> {
        race(runners, self.turns, self.share)
    }
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
        let difference = agreed(&solution, &expected)?;
        if !solution.converged() {
            return Err(Misuse::new(unfinished(&solution)));
        }
        let report = solution.report();
        let (method, sweeps) = (report.method.to_string(), report.sweeps);

        let (turns, share) = if quick { (1, 1.0) } else { (7, 10.0) };
        let pace = Pace { turns, share: Duration::from_secs_f64(share) };
        let fetched: Runner<'_> = Box::new(|| after(|| Solver::auto().solve(&problem, &cuda)));
        // Each along a solution of its own, as in training.
        let gradient: Runner<'_> = Box::new(|| {
            let solution = Solver::auto().solve(&problem, &cuda)?;
            after(|| solution.vjp(&problem, solution.states(), &cuda))
        });
        let on_cpu: Runner<'_> = Box::new(|| after(|| Solver::auto().solve(&problem, &cpu)));

        let differentiated = solution.vjp(&problem, solution.states(), &cuda).map(drop);
        let mut parallel = vec![resident(Method::Auto, &problem, &cuda), fetched];
        parallel.extend(differentiated.is_ok().then_some(gradient));
        let (parallel, runs) = pace.race(&mut parallel)?;
        let gradient = match differentiated {
            Ok(()) => Way { seconds: parallel.get(2).map(seconds), runs, ..Way::default() },
            Err(error) => Way::without(error),
        };
        // The loop can take a thousand times as long: were they to take turns, it would have all of the time.
        let way = |method| by(method, &problem, &cuda, &expected, pace);
        let timed = Timed {
            method,
            sweeps,
            resident: seconds(&parallel[0]),
            fetched: seconds(&parallel[1]),
            runs,
            gradient,
            sequential: way(Method::Sequential),
            deer: way(Method::Deer),
            jacobi: way(Method::Jacobi),
            cpu: Way {
                sweeps: Some(expected.report().sweeps),
                ..Way::of(pace.race(&mut [on_cpu]))
            },
            best: None,
            of_best: None,
            difference,
        };
        Ok(Ok(timed.compared()))
    }

    fn once(&self, method: Method, device: usize) -> Result<(), Misuse> {
        let cuda = Cuda::new(device)?;
        let problem = self.problem()?;
        let solution = method.solver().solve(&problem, &cuda)?;
        if method == Method::Auto {
            black_box(solution.vjp(&problem, solution.states(), &cuda)?);
        }
        Ok(())
    }
}

/// A method on the device, the states left there.
fn resident<'r, D: Dynamics<Real = f32>>(
    method: Method,
    problem: &'r Problem<'_, D>,
    cuda: &'r Cuda,
) -> Runner<'r> {
    Box::new(move || {
        let started = Instant::now();
        let resident = method.solver().solve_resident(problem, cuda)?;
        let time = started.elapsed();
        drop(resident);
        Ok(Outcome { time, ..Outcome::default() })
    })
}

/// The same, timed after its states were seen to be the `expected` ones.
fn by<D: Dynamics<Real = f32>>(
    method: Method,
    problem: &Problem<'_, D>,
    cuda: &Cuda,
    expected: &Solution<f32>,
    pace: Pace,
) -> Way {
    let solution = match method.solver().solve(problem, cuda) {
        Ok(solution) => solution,
        Err(error) => return Way::without(error),
    };
    let sweeps = Some(solution.report().sweeps);
    if !solution.converged() {
        return Way { sweeps, ..Way::missing(Misuse::new(unfinished(&solution))) };
    }
    if let Err(error) = agreed(&solution, expected) {
        return Way { sweeps, failed: true, ..Way::missing(error) };
    }
    drop(solution);
    Way { sweeps, ..Way::of(pace.race(&mut [resident(method, problem, cuda)])) }
}

/// The time of `work`, its result thrown away after it.
fn after<T>(work: impl FnOnce() -> deer_solver::Result<T>) -> Result<Outcome, Misuse> {
    let started = Instant::now();
    let result = work()?;
    let time = started.elapsed();
    drop(black_box(result));
    Ok(Outcome { time, ..Outcome::default() })
}

fn seconds(outcome: &Outcome) -> f64 {
    outcome.time.as_secs_f64()
}

/// Whether the problem is larger than the device takes.
fn is_limit(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let fault = source.and_then(|source| source.downcast_ref::<CudaFault>());
    matches!(error, Error::Setting { .. }) || matches!(fault, Some(CudaFault::OutOfMemory))
}

fn unfinished(solution: &Solution<f32>) -> String {
    format!("ended by {:?} after {} sweeps", solution.termination(), solution.report().sweeps)
}

/// The largest difference between two solutions' states; an error where it is more than rounding.
fn agreed(solution: &Solution<f32>, expected: &Solution<f32>) -> Result<f64, Misuse> {
    let difference = difference(solution.states(), expected.states());
    if difference > ROUNDING {
        return Err(Misuse::new(format!(
            "the states differ from the CPU's by {difference:.1e} ({:?})",
            solution.termination()
        )));
    }
    Ok(difference)
}

/// Largest one; infinite where either is not finite.
fn difference(a: ArrayView3<'_, f32>, b: ArrayView3<'_, f32>) -> f64 {
    a.iter().zip(b).fold(0.0, |largest, (&a, &b)| {
        let apart = f64::from(a - b).abs();
        if apart.is_nan() { f64::INFINITY } else { apart.max(largest) }
    })
}
