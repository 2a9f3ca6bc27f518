//! Trains a GRU on long sequences by gradients that are exact and found in parallel over time.
//!
//! ```text
//! cargo run --release --example train
//! cargo run --release --example train -- --quick
//! cargo run --release --example train -- --plot train.svg --compare 20
//! ```

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod fit;
mod library;
mod model;
mod options;
mod plain_bptt;
mod plot;
mod task;
mod threads;

use common::cli::{Misuse, main_with, say};
use common::machine::{Machine, available_memory};
use deer_solver::{Backend, Cpu};
use options::Options;
use std::process::ExitCode;
use task::Task;

fn main() -> ExitCode {
    main_with(|options: Options| run(&options))
}

fn run(options: &Options) -> Result<(), Misuse> {
    if let Some(path) = &options.plot {
        plot::check(path)?;
    }
    check_memory(options)?;
    let cpu = match options.threads {
        Some(threads) => Cpu::with_threads(threads)?,
        None => Cpu::new(),
    };
    say(setup(options, &cpu));
    let task = Task::new(options);
    if options.compare() > 0 {
        compare::run(options, &task, &cpu)?;
    }
    if options.epochs() == 0 {
        return Ok(());
    }
    let history = fit::run(options, &task, &cpu)?;
    if let Some(path) = &options.plot {
        plot::draw(path, &history)?;
        say(format!("drawn     {}", path.display()));
    }
    Ok(())
}

/// What will be trained, on what.
fn setup(options: &Options, cpu: &Cpu) -> String {
    let (hidden, length) = (options.hiddensize, options.length());
    [
        format!("machine   {}", Machine::this()),
        format!("solver    deer-solver {}, {}", env!("CARGO_PKG_VERSION"), cpu.describe()),
        format!("model     GRU of {hidden} units, mean of the states, linear layer, softmax"),
        format!(
            "task      {} classes: which of {0} tones occurs most often in {length} steps of noise",
            options.classes
        ),
        format!(
            "data      {} sequences to train on, {} held out, batches of {}, seed {}\n",
            options.sequences(),
            options.heldout(),
            options.batchsize,
            options.seed
        ),
    ]
    .join("\n")
}

/// Refuses what would not fit, before the allocator aborts.
fn check_memory(options: &Options) -> Result<(), Misuse> {
    let (hidden, length) = (options.hiddensize as f64, options.length() as f64);
    let batch = options.batchsize.max(1) as f64;
    // The sequences; of a batch its states twice, their cotangents and what solvers hold beside them.
    let sequences = (options.sequences() + options.heldout()) as f64 * length;
    let states = 6.0 * batch * length * hidden;
    let weights = 40.0 * hidden * (hidden + 1.0);
    let needed = 4.0 * (sequences + states + weights);
    let available = available_memory().unwrap_or(u64::MAX >> 24) as f64;
    if needed > available {
        return Err(Misuse::new(format!(
            "--length, --batchsize, --hiddensize and --sequences need about {:.0} GB of memory, and \
             {:.0} GB are free: choose smaller ones",
            needed / 1e9,
            available / 1e9,
        )));
    }
    Ok(())
}
