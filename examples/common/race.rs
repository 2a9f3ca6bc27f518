//! Timing several ways to do one job, in turn, so that what else the machine does hits them alike.

use super::cli::Misuse;
use std::time::{Duration, Instant};

/// What one run did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Time on the clock.
    pub(crate) time: Duration,
    /// Steps of the problem that it delivered.
    pub(crate) steps: usize,
    pub(crate) sweeps: usize,
    pub(crate) work: f64,
    /// The method that delivered, as the report names it.
    pub(crate) method: String,
    pub(crate) converged: bool,
}

impl Outcome {
    pub(crate) fn ns_per_step(&self) -> f64 {
        self.time.as_secs_f64() * 1e9 / self.steps.max(1) as f64
    }
}

/// One way to do the job.
pub(crate) type Runner<'r> = Box<dyn FnMut() -> Result<Outcome, Misuse> + 'r>;

/// How long each contestant runs before its turn counts. Linux lets threads that were idle share one core for the first
/// 10 ms or more, and a contestant on one thread leaves the others idle.
const WARM_UP: Duration = Duration::from_millis(50);
/// Runs of a turn that count.
const RUNS: usize = 3;

/// Runs all in turn, each one warmed up, for at most `turns` turns and about `share` in all; before that each once,
/// which counts where there is no time for more. Returns each one's run of median time, and how many runs that is the
/// median of.
///
/// # Errors
/// Those of the runners.
pub(crate) fn race(
    runners: &mut [Runner<'_>],
    turns: usize,
    share: Duration,
) -> Result<(Vec<Outcome>, usize), Misuse> {
    let started = Instant::now();
    let mut runs: Vec<Vec<Outcome>> = Vec::new();
    for runner in runners.iter_mut() {
        runs.push(vec![runner()?]);
    }
    let mut turn = started.elapsed() * (1 + RUNS as u32);
    let mut done = 0;
    while done < turns && started.elapsed() + turn < share {
        let turn_started = Instant::now();
        for (runner, runs) in runners.iter_mut().zip(&mut runs) {
            let warming = Instant::now();
            while warming.elapsed() < WARM_UP {
                runner()?;
            }
            for _ in 0..RUNS {
                runs.push(runner()?);
            }
        }
        turn = turn_started.elapsed();
        done += 1;
    }
    let medians = runs
        .into_iter()
        .map(|mut runs| {
            // The first run warmed up: it counts only where it is the only one.
            if runs.len() > 1 {
                runs.remove(0);
            }
            runs.sort_by_key(|run| run.time);
            runs.swap_remove(runs.len() / 2)
        })
        .collect();
    Ok((medians, (RUNS * done).max(1)))
}

/// Times and speed-ups over the first, a line each.
pub(crate) fn table(names: &[&str], outcomes: &[Outcome]) -> String {
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) + 2;
    let mut lines = vec![format!("{:<width$}{:>12}{:>13}{:>11}", "", "time", "a step", "speed-up")];
    for (name, outcome) in names.iter().zip(outcomes) {
        let time = format!("{:.3} ms", outcome.time.as_secs_f64() * 1e3);
        let step = format!("{:.1} ns", outcome.ns_per_step());
        let ratio = outcomes[0].time.as_secs_f64() / outcome.time.as_secs_f64();
        lines.push(format!("{name:<width$}{time:>12}{step:>13}{:>11}", format!("{ratio:.2}×")));
    }
    lines.join("\n")
}

/// Times `work`, which delivers `steps` steps and says how it went.
pub(crate) fn timed<R: deer_solver::Real>(
    steps: usize,
    work: impl FnOnce() -> Result<deer_solver::Solution<R>, Misuse>,
) -> Result<Outcome, Misuse> {
    let started = Instant::now();
    let solution = work()?;
    let time = started.elapsed();
    let report = solution.report();
    Ok(Outcome {
        time,
        steps,
        sweeps: report.sweeps,
        work: report.work,
        method: report.method.to_string(),
        converged: solution.converged(),
    })
}

/// Times a loop that is not the library's.
pub(crate) fn timed_loop<T>(steps: usize, name: &str, work: impl FnOnce() -> T) -> Outcome {
    let started = Instant::now();
    std::hint::black_box(work());
    let time = started.elapsed();
    Outcome { time, steps, sweeps: 1, work: 1.0, method: name.to_owned(), converged: true }
}
