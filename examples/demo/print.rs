//! What the demo says.

use crate::common::machine::Machine;
use crate::compare::Comparison;
use crate::options::{Options, name};
use deer_solver::{Backend, Cpu, Dynamics, Problem, Real, Termination};
use std::time::Duration;

/// What will be run, on what.
pub(crate) fn setup<D: Dynamics>(options: &Options, problem: &Problem<'_, D>, cpu: &Cpu) {
    let cell = name(options.cell);
    let source = match &options.input {
        Some(path) if options.raw => path.display().to_string(),
        Some(path) => format!("{}, columns at mean 0 and deviation 1", path.display()),
        None => format!("random, normal, seed {}", options.seed),
    };
    println!("x_t = f(x_(t-1), u_t): one step after the other, and in parallel over time\n");
    println!("machine   {}", Machine::this());
    println!("solver    deer-solver {}, {}", env!("CARGO_PKG_VERSION"), cpu.describe());
    println!(
        "cell      {cell}, {} in, {} units, state of {}, {} random weights",
        problem.input_dim(),
        options.hiddensize,
        problem.state_dim(),
        problem.params().len()
    );
    println!("inputs    {source}");
    println!(
        "length    {} steps, batch of {}, {}\n",
        problem.max_steps(),
        problem.batch_size(),
        name(options.dtype)
    );
}

/// Times, deviation, range and the solver's report.
pub(crate) fn comparison<D: Dynamics>(
    options: &Options,
    problem: &Problem<'_, D>,
    comparison: &Comparison<D::Real>,
) {
    let steps = problem.batch_size() * problem.max_steps();
    let method = format!("Solver::{}()", name(options.method).replace('-', "_"));
    let rows = ["plain loop in Rust", "Solver::sequential()", &method];
    println!("{:<22}{:>12}{:>15}{:>12}", "", "time", "a step", "speed-up");
    for (row, time) in rows.iter().zip(comparison.times) {
        let per_step = match steps {
            0 => "–".to_owned(),
            _ => format!("{:.1} ns", time.as_secs_f64() * 1e9 / steps as f64),
        };
        let speed_up = ratio(comparison.times[0], time);
        println!("{row:<22}{:>12}{per_step:>15}{speed_up:>12}", milliseconds(time));
    }
    let times = if comparison.repeats == 1 {
        "1 run".to_owned()
    } else {
        format!("{} runs", comparison.repeats)
    };
    println!(
        "(median of {times}; {method} is {} as fast as Solver::sequential())\n",
        ratio(comparison.times[1], comparison.times[2])
    );

    let (deviation, range) = answers(comparison);
    println!("largest deviation from the plain loop   {deviation}");
    println!("states from                             {range}\n");
    println!("{}", comparison.solution.report());
    let termination = comparison.solution.termination();
    match termination {
        Termination::Converged => println!("ended     converged"),
        Termination::NonFinite { batch, t } => println!(
            "ended     sequence {batch} leaves the finite numbers at step {t}, as it does in the loop"
        ),
        other => println!("ended     {other:?}: this is not the solution; try --method auto"),
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

fn ratio(of: Duration, to: Duration) -> String {
    if of.is_zero() || to.is_zero() {
        return "–".to_owned();
    }
    format!("{:.1}×", of.as_secs_f64() / to.as_secs_f64())
}

/// Largest difference from the loop, and the range of the states.
fn answers<R: Real>(comparison: &Comparison<R>) -> (String, String) {
    let (mut deviation, mut smallest, mut largest) = (0.0f64, f64::INFINITY, f64::NEG_INFINITY);
    for (a, b) in comparison.solution.states().iter().zip(&comparison.states) {
        let (a, b) = (a.to_f64(), b.to_f64());
        smallest = smallest.min(a);
        largest = largest.max(a);
        // Both infinite or both NaN is no difference; one of them alone is not to be overlooked.
        if a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan()) {
            let difference = (a - b).abs();
            deviation = if difference.is_nan() { f64::INFINITY } else { deviation.max(difference) };
        }
    }
    if comparison.states.is_empty() {
        return ("– (no states)".to_owned(), "– (no states)".to_owned());
    }
    (format!("{deviation:.1e}"), format!("{smallest:.4} to {largest:.4}"))
}
