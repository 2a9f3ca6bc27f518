//! Every size by every method.

use crate::common::cli::Misuse;
use crate::common::figure::{length, significant};
use crate::common::race::race;
use crate::common::{data, machine};
use crate::job::Job;
use crate::options::{Cell, Dtype, Method, Options, name};
use deer_solver::cells::{DiagonalGru, Gru};
use deer_solver::{Cpu, Dynamics, Real};
use indicatif::ProgressBar;
use ndarray::Array3;
use serde::Serialize;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Steps that the plain loop is timed over.
pub(crate) const PLAIN_STEPS: usize = 20_000;
/// Repeats at most.
const TURNS: usize = 5;

/// One method on one size.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measurement {
    pub(crate) cell: String,
    pub(crate) dtype: String,
    pub(crate) threads: usize,
    pub(crate) batch: usize,
    pub(crate) n: usize,
    pub(crate) inputsize: usize,
    pub(crate) steps: usize,
    pub(crate) method: String,
    /// None where it was left out.
    pub(crate) result: Option<Timed>,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Timed {
    pub(crate) ns_per_step: f64,
    /// Runs that the time is the median of.
    pub(crate) runs: usize,
    pub(crate) sweeps: usize,
    pub(crate) work: f64,
    /// The method that delivered.
    pub(crate) delivered_by: String,
    pub(crate) converged: bool,
}

/// One line of the table: a size, on so many threads.
#[derive(Clone, Copy, Debug)]
struct Size {
    dtype: Dtype,
    threads: usize,
    batch: usize,
    n: usize,
    steps: usize,
}

/// Measures all sizes, short ones first, so that time left over goes to the long ones.
pub(crate) fn measure(options: &Options, cores: usize) -> Result<Vec<Measurement>, Misuse> {
    let budget = Duration::from_secs_f64(options.budget()?);
    let mut sizes = Vec::new();
    for dtype in options.dtype() {
        for threads in options.threads(cores) {
            for batch in options.b() {
                for n in options.n() {
                    for steps in options.t() {
                        sizes.push(Size { dtype, threads, batch, n, steps });
                    }
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&i| sizes[i].batch * sizes[i].steps * (sizes[i].n + 4));

    let bar = ProgressBar::new(sizes.len() as u64);
    let started = Instant::now();
    let mut expected = Expected::default();
    let mut rows: Vec<Vec<Measurement>> = vec![Vec::new(); sizes.len()];
    for (done, &i) in order.iter().enumerate() {
        let Size { dtype, threads, batch, n, steps } = sizes[i];
        bar.set_message(format!("{} n = {n}, T = {steps}, B = {batch}", name(dtype)));
        let left = budget.saturating_sub(started.elapsed());
        let share = left / (sizes.len() - done) as u32;
        let cpu = Cpu::with_threads(threads)?;
        rows[i] = match dtype {
            Dtype::Float32 => row::<f32>(options, sizes[i], &cpu, share, &mut expected)?,
            Dtype::Float64 => row::<f64>(options, sizes[i], &cpu, share, &mut expected)?,
        };
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(rows.concat())
}

/// Nanoseconds that a step last took, to tell what would take too long.
#[derive(Default)]
struct Expected(HashMap<(bool, usize, Method), f64>);

fn row<R: Real>(
    options: &Options,
    size: Size,
    cpu: &Cpu,
    share: Duration,
    expected: &mut Expected,
) -> Result<Vec<Measurement>, Misuse> {
    let Size { batch, n, steps, .. } = size;
    let numbers = batch as f64 * steps as f64 * (options.inputsize + 2 * n) as f64;
    let bytes = numbers * size_of::<R>() as f64;
    if bytes > 0.6 * machine::available_memory().unwrap_or(u64::MAX) as f64 {
        return Ok(options
            .methods()
            .into_iter()
            .map(|method| unmeasured(options, size, method))
            .collect());
    }
    let inputs = data::normal::<R>((batch, steps, options.inputsize), 1);
    match options.cell {
        Cell::Gru => {
            let cell = Gru::<R>::random(options.inputsize, n, 0);
            row_of(options, size, &cell, &inputs, cpu, share, expected)
        }
        Cell::DiagonalGru => {
            let cell = DiagonalGru::<R>::random(options.inputsize, n, 0);
            row_of(options, size, &cell, &inputs, cpu, share, expected)
        }
    }
}

fn row_of<D: Dynamics>(
    options: &Options,
    size: Size,
    cell: &D,
    inputs: &Array3<D::Real>,
    cpu: &Cpu,
    share: Duration,
    expected: &mut Expected,
) -> Result<Vec<Measurement>, Misuse> {
    let job = Job::new(cell, inputs);
    let methods = options.methods();
    let total = (size.batch * size.steps) as f64;
    // A warm-up and a run of every method are to fit.
    let most = share.as_secs_f64() / 4.0;
    let single = size.dtype == Dtype::Float32;
    let fits = |method: &Method| {
        let ns = expected.0.get(&(single, size.n, *method));
        *method == Method::Plain || ns.is_none_or(|ns| ns * total * 1e-9 < most)
    };
    let chosen: Vec<Method> = methods.iter().copied().filter(fits).collect();
    let mut runners: Vec<_> =
        chosen.iter().map(|&method| job.runner(method, cpu, PLAIN_STEPS)).collect();
    let (outcomes, runs) = race(&mut runners, TURNS, share)?;
    let mut measured = HashMap::new();
    for (&method, outcome) in chosen.iter().zip(outcomes) {
        expected.0.insert((single, size.n, method), outcome.ns_per_step());
        measured.insert(method, outcome);
    }
    let measurement = |&method: &Method| Measurement {
        result: measured.get(&method).map(|outcome| Timed {
            ns_per_step: outcome.ns_per_step(),
            runs,
            sweeps: outcome.sweeps,
            work: outcome.work,
            delivered_by: outcome.method.clone(),
            converged: outcome.converged,
        }),
        ..unmeasured(options, size, method)
    };
    Ok(methods.iter().map(measurement).collect())
}

fn unmeasured(options: &Options, size: Size, method: Method) -> Measurement {
    Measurement {
        cell: name(options.cell),
        dtype: name(size.dtype),
        threads: size.threads,
        batch: size.batch,
        n: size.n,
        inputsize: options.inputsize,
        steps: size.steps,
        method: name(method),
        result: None,
    }
}

/// One Markdown table for each precision, batch and number of threads.
pub(crate) fn markdown(options: &Options, all: &[Measurement]) -> String {
    let methods = options.methods();
    let mut text = String::new();
    let mut heading = None;
    for row in all.chunks(methods.len()) {
        let first = &row[0];
        let key = (first.dtype.clone(), first.threads, first.batch);
        if heading.as_ref() != Some(&key) {
            let threads = if first.threads == 1 { "thread" } else { "threads" };
            text.push_str(&format!(
                "\n**{}, {}, B = {}, {} {threads}**\n\n| n | T |",
                first.cell, first.dtype, first.batch, first.threads
            ));
            for method in &methods {
                text.push_str(&format!(" {} |", column(*method)));
            }
            text.push_str(&format!("\n|---:|---:|{}\n", "---:|".repeat(methods.len())));
            heading = Some(key);
        }
        text.push_str(&format!("| {} | {} |", first.n, length(first.steps)));
        for cell in row {
            text.push_str(&match &cell.result {
                None => " – |".to_owned(),
                Some(timed) => format!(" {} |", entry(cell, timed)),
            });
        }
        text.push('\n');
    }
    text
}

fn column(method: Method) -> &'static str {
    match method {
        Method::Plain => "plain loop",
        Method::Sequential => "`sequential`",
        Method::Auto => "`auto`",
        Method::Deer => "`deer`",
        Method::QuasiDeer => "`quasi_deer`",
    }
}

/// `ns (sweeps, work)`, and what `auto` chose.
fn entry(cell: &Measurement, timed: &Timed) -> String {
    let mut text = significant(timed.ns_per_step);
    match cell.method.as_str() {
        "plain" | "sequential" => {}
        "auto" => {
            text.push_str(&format!(
                " ({}, {}, {:.2})",
                timed.delivered_by, timed.sweeps, timed.work
            ));
        }
        _ => text.push_str(&format!(" ({}, {:.2})", timed.sweeps, timed.work)),
    }
    if !timed.converged {
        text.push('!');
    }
    text
}
