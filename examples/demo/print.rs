//! What the demo says.

use crate::common::machine::Machine;
use crate::compare::Comparison;
use crate::options::{Options, name};
use deer_solver::{Backend, Cpu, Dynamics, Problem, Real, Termination};
use std::time::Duration;

/// What will be run, on what.
pub(crate) fn setup<D: Dynamics>(options: &Options, problem: &Problem<'_, D>, cpu: &Cpu) -> String {
    let source = match &options.input {
        Some(path) if options.raw => path.display().to_string(),
        Some(path) => format!("{}, columns at mean 0 and deviation 1", path.display()),
        None => format!("random, normal, seed {}", options.seed),
    };
    [
        "x_t = f(x_(t-1), u_t): one step after the other, and in parallel over time\n".to_owned(),
        format!("machine   {}", Machine::this()),
        format!("solver    deer-solver {}, {}", env!("CARGO_PKG_VERSION"), cpu.describe()),
        format!(
            "cell      {}, {} in, {} units, state of {}, {} random weights",
            name(options.cell),
            problem.input_dim(),
            options.hiddensize,
            problem.state_dim(),
            problem.params().len()
        ),
        format!("inputs    {source}"),
        format!(
            "length    {} steps, batch of {}, {}\n",
            problem.max_steps(),
            problem.batch_size(),
            name(options.dtype)
        ),
    ]
    .join("\n")
}

/// Times, deviation, range and the solver's report.
pub(crate) fn comparison<R: Real>(options: &Options, comparison: &Comparison<R>) -> String {
    let (batch, length, _) = comparison.states.dim();
    let steps = batch * length;
    let method = format!("Solver::{}()", name(options.method).replace('-', "_"));
    let mut lines = vec![format!("{:<22}{:>12}{:>13}{:>11}", "", "time", "a step", "speed-up")];
    let [plain, sequential, chosen] = comparison.times;
    for (row, time) in [
        ("plain loop in Rust", plain),
        ("Solver::sequential()", sequential),
        (method.as_str(), chosen),
    ] {
        let per_step = match steps {
            0 => "–".to_owned(),
            _ => format!("{:.1} ns", time.as_secs_f64() * 1e9 / steps as f64),
        };
        let time_text = format!("{:.3} ms", time.as_secs_f64() * 1e3);
        lines.push(format!("{row:<22}{time_text:>12}{per_step:>13}{:>11}", ratio(plain, time)));
    }
    let of = match comparison.repeats {
        1 => "one run each".to_owned(),
        repeats => format!("median of {repeats} runs each"),
    };
    lines.push(format!(
        "({of}; {method} against Solver::sequential(): {})\n",
        ratio(sequential, chosen)
    ));

    let (deviation, range) = answers(comparison);
    let states = format!("{batch} × {length} × {}", comparison.states.dim().2);
    lines.push(format!("states    {states}, from {range}"));
    lines.push(format!("deviation {deviation} at most from those of the plain loop\n"));
    lines.push(comparison.solution.report().to_string());
    lines.push(match comparison.solution.termination() {
        Termination::Converged => "ended     converged".to_owned(),
        Termination::NonFinite { batch, t } => {
            format!("ended     sequence {batch} leaves the finite numbers at step {t}, in any loop")
        }
        other => format!("ended     {other:?}: not the solution; --method auto always delivers it"),
    });
    lines.join("\n")
}

fn ratio(of: Duration, to: Duration) -> String {
    if of.is_zero() || to.is_zero() {
        return "–".to_owned();
    }
    format!("{:.1}×", of.as_secs_f64() / to.as_secs_f64())
}

/// Largest difference from the loop, and the range of the states.
fn answers<R: Real>(comparison: &Comparison<R>) -> (String, String) {
    if comparison.states.is_empty() {
        return ("–".to_owned(), "– to –".to_owned());
    }
    let (mut deviation, mut smallest, mut largest) = (0.0f64, f64::INFINITY, f64::NEG_INFINITY);
    for (a, b) in comparison.solution.states().iter().zip(&comparison.states) {
        let (a, b) = (a.to_f64(), b.to_f64());
        smallest = smallest.min(a);
        largest = largest.max(a);
        // Two NaN or the same infinity are no difference; one alone is not to be overlooked.
        if a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan()) {
            let difference = (a - b).abs();
            deviation = if difference.is_nan() { f64::INFINITY } else { deviation.max(difference) };
        }
    }
    (format!("{deviation:.1e}"), format!("{smallest:.4} to {largest:.4}"))
}
