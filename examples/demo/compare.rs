//! The plain loop, the solver's own loop and the chosen method, timed in turn.

use crate::common::cli::Misuse;
use crate::common::plain::plain_loop;
use crate::options::Options;
use deer_solver::{Cpu, Dynamics, Problem, Real, Solution, Solver};
use indicatif::{ProgressBar, ProgressStyle};
use ndarray::{Array3, ArrayView3};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// What was measured, and the answers.
pub(crate) struct Comparison<R: Real> {
    /// Medians of the plain loop, of `Solver::sequential` and of the chosen method.
    pub(crate) times: [Duration; 3],
    /// Runs of each that the medians are of.
    pub(crate) repeats: usize,
    /// The plain loop's states `[B, T, n]`.
    pub(crate) states: Array3<R>,
    /// The chosen method's.
    pub(crate) solution: Solution<R>,
}

/// Runs each once to warm up, then `options.repeats` times in turn, or until that took long enough.
pub(crate) fn run<D: Dynamics>(
    options: &Options,
    problem: &Problem<'_, D>,
    inputs: ArrayView3<'_, D::Real>,
    cpu: &Cpu,
) -> Result<Comparison<D::Real>, Misuse> {
    /// No further repeat once they have taken this long in all.
    const ENOUGH: Duration = Duration::from_secs(20);

    let bar = progress_bar(options.repeats);
    let solver = observed(options.solver(), &bar);
    let started = Instant::now();
    let mut times: [Vec<Duration>; 3] = Default::default();
    let mut answers = None;
    for repeat in 0..=options.repeats {
        bar.set_position(repeat as u64);
        // The answers of the run before are let go first: the timed runs then find the same memory.
        drop(answers.take());
        bar.set_message("plain loop");
        let (plain, states) =
            timed(|| plain_loop(problem.dynamics(), problem.initial_state(), inputs));
        bar.set_message("sequential");
        let (sequential, solution) = timed(|| Solver::sequential().solve(problem, cpu));
        drop(solution?);
        bar.set_message("solver");
        let (chosen, solution) = timed(|| solver.solve(problem, cpu));
        answers = Some((states, solution?));
        let long = started.elapsed() > ENOUGH;
        // The first run warms up: caches, the pool's threads. It counts where no other will follow.
        if repeat > 0 || long {
            for (times, time) in times.iter_mut().zip([plain, sequential, chosen]) {
                times.push(time);
            }
        }
        if long {
            break;
        }
    }
    bar.finish_and_clear();
    let (states, solution) =
        answers.ok_or_else(|| Misuse::new("--repeats: expected at least 1"))?;
    Ok(Comparison { repeats: times[0].len(), times: times.map(median), states, solution })
}

/// Shows the sweeps of long solves.
fn observed(solver: Solver, bar: &ProgressBar) -> Solver {
    if bar.is_hidden() {
        return solver;
    }
    let bar = bar.clone();
    solver.observe(move |progress| {
        bar.set_message(format!(
            "sweep {}: {} of {} blocks converged, residual {:.1e}",
            progress.sweep, progress.converged, progress.blocks, progress.residual
        ));
        ControlFlow::Continue(())
    })
}

/// On standard error, if that is a terminal.
fn progress_bar(repeats: usize) -> ProgressBar {
    let bar = ProgressBar::new(repeats as u64);
    if let Ok(style) = ProgressStyle::with_template("{spinner} run {pos}/{len} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let started = Instant::now();
    let result = work();
    (started.elapsed(), result)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
