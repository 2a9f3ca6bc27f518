//! A recurrent cell over a long sequence: the plain loop, and the same states found in parallel over time.
//!
//! ```text
//! cargo run --release --example demo
//! cargo run --release --example demo -- --cell lstm --hiddensize 8 --length 1e6 --batchsize 1
//! cargo run --release --example demo -- --input examples/data/co2.csv --plot co2.svg
//! ```

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod options;
mod plot;
mod print;
mod series;

use common::cli::{Misuse, main_with, say};
use common::{data, machine};
use deer_solver::cells::{DiagonalGru, DiagonalLstm, Elman, Gru, Lem, Lstm};
use deer_solver::{Cpu, Dynamics, Problem, Real};
use ndarray::{Array2, Array3, Axis};
use options::{Cell, Dtype, Options};
use std::process::ExitCode;

fn main() -> ExitCode {
    main_with(|options: Options| match options.dtype {
        Dtype::Float32 => with_precision::<f32>(&options),
        Dtype::Float64 => with_precision::<f64>(&options),
    })
}

fn with_precision<R: Real>(options: &Options) -> Result<(), Misuse> {
    if let Some(path) = &options.plot {
        plot::check(path)?;
    }
    let inputs = inputs::<R>(options)?;
    let (input, hidden, seed) = (inputs.dim().2, options.hiddensize, options.seed);
    match options.cell {
        Cell::Gru => with_cell(options, &Gru::random(input, hidden, seed), inputs),
        Cell::Lstm => with_cell(options, &Lstm::random(input, hidden, seed), inputs),
        Cell::Elman => with_cell(options, &Elman::random(input, hidden, seed), inputs),
        Cell::Lem => with_cell(options, &Lem::random(input, hidden, seed), inputs),
        Cell::DiagonalGru => with_cell(options, &DiagonalGru::random(input, hidden, seed), inputs),
        Cell::DiagonalLstm => {
            with_cell(options, &DiagonalLstm::random(input, hidden, seed), inputs)
        }
    }
}

/// `[B, T, m]`: the file's series, or random numbers.
fn inputs<R: Real>(options: &Options) -> Result<Array3<R>, Misuse> {
    let Some(path) = &options.input else {
        let shape = (options.batchsize(), options.length(), options.inputsize());
        check_memory(options, shape, size_of::<R>())?;
        // Another stream of random numbers than that of the weights.
        return Ok(data::normal(shape, options.seed.wrapping_add(1)));
    };
    let series = series::read(path)?;
    let series = series::choose(&series, options)?;
    let (steps, m) = series.dim();
    check_memory(options, (1, steps, m), size_of::<R>())?;
    Ok(series.mapv(R::from_f64).insert_axis(Axis(0)))
}

/// Refuses what would not fit, before the allocator aborts.
fn check_memory(
    options: &Options,
    (batch, steps, m): (usize, usize, usize),
    bytes: usize,
) -> Result<(), Misuse> {
    /// Trajectories held at a time: the loop's, a solution, and the next one.
    const TRAJECTORIES: f64 = 3.0;
    let available = machine::available_memory().unwrap_or(u64::MAX >> 24) as f64;
    let (hidden, m) = (options.hiddensize as f64, m as f64);
    let states = 2.0 * hidden;
    let weights = 8.0 * hidden * (hidden + m) * 8.0;
    let needed = batch as f64 * steps as f64 * (m + TRAJECTORIES * states) * bytes as f64 + weights;
    if needed > available {
        return Err(Misuse::new(format!(
            "--batchsize {batch} --length {steps} --hiddensize {} need about {:.0} GB of memory, \
             and {:.0} GB are free: choose smaller ones",
            options.hiddensize,
            needed / 1e9,
            available / 1e9,
        )));
    }
    Ok(())
}

fn with_cell<D: Dynamics>(
    options: &Options,
    cell: &D,
    inputs: Array3<D::Real>,
) -> Result<(), Misuse> {
    let cpu = match options.threads {
        Some(threads) => Cpu::with_threads(threads)?,
        None => Cpu::new(),
    };
    let x0 = Array2::zeros((inputs.dim().0, cell.state_dim()));
    let problem = Problem::batch(cell, x0.view(), inputs.view())?;
    say(print::setup(options, &problem, &cpu));
    let comparison = compare::run(options, &problem, inputs.view(), &cpu)?;
    say(print::comparison(options, &comparison));
    if let Some(path) = &options.plot {
        plot::draw(path, options, &comparison)?;
        say(format!("drawn     {}", path.display()));
    }
    Ok(())
}
