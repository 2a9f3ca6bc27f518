//! How long a step takes, by every method and at every size: the tables of `docs/performance.md`.
//!
//! ```text
//! cargo run --release --example speed                           about seven minutes
//! cargo run --release --example speed -- --quick                half a minute
//! cargo run --release --example speed -- --only odes
//! cargo run --release --example speed -- --n 2,8 --t 1e6 --only table --json speed.json
//! ```
//!
//! The methods that a line compares run in turn, and each figure is a median. Times are of
//! `Solver::solve` with the problem at hand; the plain loop's is of steps and nothing else.

mod chart;
#[path = "../common/mod.rs"]
mod common;
#[path = "../diode_clipper/circuit.rs"]
mod diode_clipper;
mod job;
mod memory;
#[path = "../neural_ode/network.rs"]
mod neural_ode;
mod odes;
mod options;
#[path = "../pendulum_dae/pendulum.rs"]
mod pendulum;
mod table;
mod targets;
#[path = "../two_body/motion.rs"]
mod two_body;

use common::cli::{Misuse, main_with, say};
use common::machine::Machine;
use options::{Options, Part};
use serde::Serialize;
use std::process::ExitCode;

/// What `--json` writes.
#[derive(Serialize)]
struct Record {
    machine: Machine,
    command: String,
    version: &'static str,
    measurements: Vec<table::Measurement>,
    targets: Vec<common::figure::Target>,
    odes: Vec<odes::Line>,
}

fn main() -> ExitCode {
    main_with(run)
}

fn run(options: Options) -> Result<(), Misuse> {
    if let Some(steps) = options.memory {
        return memory::run(steps);
    }
    options.budget()?;
    if let Some(path) = &options.json {
        chart::writable("--json", path)?;
    }
    if let Some(path) = &options.plot {
        chart::check(path)?;
    }
    let machine = Machine::this();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = if arguments.is_empty() {
        "cargo run --release --example speed".to_owned()
    } else {
        format!("cargo run --release --example speed -- {}", arguments.join(" "))
    };
    say(format!("{machine}; deer-solver {}\n\n    {command}", env!("CARGO_PKG_VERSION")));

    let mut record = Record {
        machine,
        command,
        version: env!("CARGO_PKG_VERSION"),
        measurements: Vec::new(),
        targets: Vec::new(),
        odes: Vec::new(),
    };
    if options.only.has(Part::Table) {
        record.measurements = table::measure(&options, record.machine.cores)?;
        say(
            "\nNanoseconds a step, all sequences counted; in brackets the method that `auto` chose, sweeps, \
             and steps evaluated for each of the loop's. – : would not fit into the time or memory allowed. \
             ! : not converged.",
        );
        say(table::markdown(&options, &record.measurements));
    }
    if options.only.has(Part::Targets) {
        record.targets = targets::measure(&options, record.machine.cores)?;
        say(targets::markdown(&record.targets));
    }
    if options.only.has(Part::Odes) {
        record.odes = odes::measure(&options)?;
        say(odes::markdown(&record.odes));
    }
    if let Some(path) = &options.plot {
        chart::draw(path, &record.machine.to_string(), &record.measurements)?;
    }
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&record)?)?;
    }
    Ok(())
}
