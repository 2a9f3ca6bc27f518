//! How long the jobs take that `docs/gpu.md` names, on a CUDA device and on this machine's CPU.
//!
//! ```text
//! cargo run --release --features cuda --example gpu_speed -- --json speed.json
//! cargo run --release --features cuda --example gpu_speed -- --job demo --once     one run, for a profiler
//! scripts/emulated cargo run --release --features cuda --example gpu_speed -- --quick
//! ```
//!
//! Times are on the clock and medians; the device, its kernels and the problem are warm. *Resident* has the states
//! left on the device (`Solver::solve_resident`) and the inputs come from the host; *fetched* is `Solver::solve`.

#[path = "../common/mod.rs"]
mod common;
mod jobs;
mod measure;
mod table;

use clap::Parser;
use common::cli::{Misuse, count, main_with, say};
use common::figure::Target;
use common::machine::Machine;
use cust::CudaApiVersion;
use deer_solver::{Backend, Cuda};
use jobs::{JOBS, Job};
use measure::Line;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Times jobs on a CUDA device, in order and in parallel over time, and on the CPU.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Small sizes and few repeats: to see that all runs, not for figures to quote
    #[arg(long)]
    quick: bool,
    /// These jobs alone [default: all of them]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = job)]
    job: Vec<&'static Job>,
    /// Run each job once on the device and measure nothing: for a profiler
    #[arg(long)]
    once: bool,
    /// The device's number
    #[arg(long, default_value = "0", value_parser = count)]
    device: usize,
    /// Write the measurements to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn job(name: &str) -> Result<&'static Job, String> {
    let names = || JOBS.iter().map(|job| job.name).collect::<Vec<_>>().join(", ");
    JOBS.iter().find(|job| job.name == name).ok_or_else(|| format!("possible values: {}", names()))
}

/// What `--json` writes.
#[derive(Serialize)]
struct Record {
    machine: Machine,
    device: String,
    /// The newest CUDA that the driver knows.
    driver: String,
    version: &'static str,
    quick: bool,
    jobs: Vec<Line>,
    targets: Vec<Target>,
}

fn main() -> ExitCode {
    main_with(run)
}

fn run(options: Options) -> Result<(), Misuse> {
    let device = Cuda::new(options.device)?.describe();
    let driver = CudaApiVersion::get()?;
    let jobs = if options.job.is_empty() { JOBS.iter().collect() } else { options.job };
    if options.once {
        return jobs
            .into_iter()
            .try_for_each(|job| measure::once(job, options.quick, options.device));
    }
    let mut record = Record {
        machine: Machine::this(),
        device,
        driver: format!("{}.{}", driver.major(), driver.minor()),
        version: env!("CARGO_PKG_VERSION"),
        quick: options.quick,
        jobs: Vec::new(),
        targets: Vec::new(),
    };
    let Record { machine, device, driver, version, .. } = &record;
    say(format!("{device}, driver for CUDA {driver}; {machine}; deer-solver {version}\n"));
    for job in jobs {
        let line = measure::line(job, options.quick, options.device);
        // The targets are of the full sizes.
        if !options.quick {
            record.targets.extend(table::targets(job, &line));
        }
        record.jobs.push(line);
    }
    say(table::markdown(&record.jobs));
    if !record.targets.is_empty() {
        say(format!("\n{}", common::figure::targets(&record.targets)));
    }
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_string_pretty(&record)?)?;
    }
    let failed: Vec<&str> =
        record.jobs.iter().filter(|line| line.failed).map(|line| line.job).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Misuse::new(format!("jobs that failed on the device: {}", failed.join(", "))))
}
