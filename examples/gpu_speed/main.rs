//! How long the jobs take that `docs/gpu.md` names, on a CUDA device and on this machine's CPU.
//!
//! ```text
//! cargo run --release --features cuda --example gpu_speed -- --json speed.json
//! cargo run --release --features cuda --example gpu_speed -- --job demo --once --method deer     one run, for a profiler
//! scripts/emulated cargo run --release --features cuda --example gpu_speed -- --quick
//! ```
//!
//! Times are on the clock and medians; the device, its kernels and the problem are warm. *Resident* has the states
//! left on the device (`Solver::solve_resident`), where the inputs are from an earlier run; *fetched* is `Solver::solve`, which
//! brings the states back. A method that is refused or fails has a reason in place of a time.

#[path = "../common/mod.rs"]
mod common;
mod jobs;
mod measure;
mod scan;
mod table;

use clap::Parser;
use common::cli::{Misuse, count, main_with, say};
use common::figure::Target;
use common::machine::Machine;
use cust::CudaApiVersion;
use deer_solver::{Backend, Cuda};
use indicatif::{ProgressBar, ProgressStyle};
use jobs::{JOBS, Job};
use measure::{Line, Method};
use scan::Scan;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Times jobs on a CUDA device, by each method, and on the CPU.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Small sizes and few repeats: to see that all runs, not for figures to quote
    #[arg(long)]
    quick: bool,
    /// These jobs alone [default: all of them]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = job)]
    job: Vec<Chosen>,
    /// Run each job once on the device and measure nothing: for a profiler
    #[arg(long)]
    once: bool,
    /// What --once runs; `auto` with its gradient
    #[arg(long, value_enum, default_value = "auto", requires = "once")]
    method: Method,
    /// The device's number
    #[arg(long, default_value = "0", value_parser = count)]
    device: usize,
    /// Write the measurements to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug)]
enum Chosen {
    Job(&'static Job),
    Scan,
}

impl Chosen {
    fn name(&self) -> &'static str {
        match self {
            Chosen::Job(job) => job.name,
            Chosen::Scan => "scan",
        }
    }
}

fn all() -> Vec<Chosen> {
    JOBS.iter().map(Chosen::Job).chain([Chosen::Scan]).collect()
}

fn job(name: &str) -> Result<Chosen, String> {
    let names = || all().iter().map(Chosen::name).collect::<Vec<_>>().join(", ");
    all()
        .into_iter()
        .find(|chosen| chosen.name() == name)
        .ok_or_else(|| format!("possible values: {}", names()))
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
    scan: Option<Scan>,
    targets: Vec<Target>,
}

fn main() -> ExitCode {
    main_with(run)
}

fn run(options: Options) -> Result<(), Misuse> {
    let device = Cuda::new(options.device)?.describe();
    let driver = CudaApiVersion::get()?;
    let Options { quick, once, method, device: number, .. } = options;
    let jobs = if options.job.is_empty() { all() } else { options.job };
    if once {
        return jobs.into_iter().try_for_each(|job| match job {
            Chosen::Job(job) => measure::once(job, method, quick, number),
            Chosen::Scan => scan::once(quick, number),
        });
    }
    let mut record = Record {
        machine: Machine::this(),
        device,
        driver: format!("{}.{}", driver.major(), driver.minor()),
        version: env!("CARGO_PKG_VERSION"),
        quick,
        jobs: Vec::new(),
        scan: None,
        targets: Vec::new(),
    };
    let Record { machine, device, driver, version, .. } = &record;
    say(format!("{device}, driver for CUDA {driver}; {machine}; deer-solver {version}\n"));
    let bar = ProgressBar::new(jobs.len() as u64)
        .with_style(ProgressStyle::with_template("{pos}/{len} {msg}")?);
    for job in jobs {
        bar.set_message(job.name());
        match job {
            Chosen::Job(job) => {
                let line = measure::line(job, quick, number);
                // Targets are of the full sizes.
                if !quick {
                    record.targets.extend(table::targets(job, &line));
                }
                record.jobs.push(line);
            }
            Chosen::Scan => {
                let scan = scan::measure(quick, number);
                if !quick {
                    record.targets.push(table::scan_target(&scan));
                }
                record.scan = Some(scan);
            }
        }
        // What is measured is there, whatever the next job does.
        if let Some(path) = &options.json {
            std::fs::write(path, serde_json::to_string_pretty(&record)?)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    say(table::markdown(&record.jobs, !quick));
    if let Some(scan) = &record.scan {
        say(scan::sentence(scan));
    }
    if !record.targets.is_empty() {
        say(format!("\n{}", common::figure::targets(&record.targets)));
    }
    let mut failed: Vec<&str> =
        record.jobs.iter().filter(|line| line.failed).map(|line| line.job).collect();
    if record.scan.is_some_and(|scan| scan.failed) {
        failed.push("scan");
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Misuse::new(format!("jobs that failed on the device: {}", failed.join(", "))))
}
