//! The command line.

use crate::common::cli::{count, positive, threads};
use clap::{Parser, ValueEnum};
use deer_solver::Solver;
use std::path::PathBuf;

/// Runs a recurrent cell over a long sequence, as a plain loop and in parallel over time, and compares.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Seed of the weights and of the random inputs
    #[arg(long, default_value_t = 0, value_parser = seed, allow_negative_numbers = true)]
    pub(crate) seed: u64,
    #[arg(long, value_enum, default_value_t = Cell::Gru)]
    pub(crate) cell: Cell,
    /// Length of one step's input [default: 2, or the columns of --input]
    #[arg(long, value_parser = count, allow_negative_numbers = true)]
    inputsize: Option<usize>,
    /// Units of the cell
    #[arg(long, default_value = "2", value_parser = count, allow_negative_numbers = true)]
    pub(crate) hiddensize: usize,
    /// Sequences [default: 16, or 1 with --input]
    #[arg(long, value_parser = count, allow_negative_numbers = true)]
    batchsize: Option<usize>,
    /// Steps of a sequence, such as 1e6 [default: 10000, or the rows of --input]
    #[arg(long, value_parser = count, allow_negative_numbers = true)]
    length: Option<usize>,
    #[arg(long, value_enum, default_value_t = Dtype::Float32)]
    pub(crate) dtype: Dtype,
    /// How the parallel solver works
    #[arg(long, value_enum, default_value_t = MethodName::Auto)]
    pub(crate) method: MethodName,
    /// Threads of the solver [default: all cores]
    #[arg(long, value_parser = threads, allow_negative_numbers = true)]
    pub(crate) threads: Option<usize>,
    /// A real series in place of random inputs: .csv or .npy, a row a step, a column a component
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Take the columns of --input as they are, not brought to mean 0 and standard deviation 1
    #[arg(long, requires = "input")]
    pub(crate) raw: bool,
    /// Draw residual against sweep, and the first states
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Times that each method is run; the median is shown
    #[arg(long, default_value = "5", value_parser = positive, allow_negative_numbers = true)]
    pub(crate) repeats: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Cell {
    Gru,
    Lstm,
    Elman,
    Lem,
    DiagonalGru,
    DiagonalLstm,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Dtype {
    Float32,
    Float64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum MethodName {
    Auto,
    Sequential,
    Jacobi,
    Picard,
    QuasiDeer,
    Deer,
}

impl Options {
    pub(crate) fn inputsize(&self) -> usize {
        self.inputsize.unwrap_or(2)
    }

    pub(crate) fn batchsize(&self) -> usize {
        self.batchsize.unwrap_or(if self.input.is_some() { 1 } else { 16 })
    }

    pub(crate) fn length(&self) -> usize {
        self.length.unwrap_or(10_000)
    }

    /// Sizes that were asked for by name, and so must agree with a file: input size and length.
    pub(crate) fn asked(&self) -> (Option<usize>, Option<usize>) {
        (self.inputsize, self.length)
    }

    pub(crate) fn solver(&self) -> Solver {
        match self.method {
            MethodName::Auto => Solver::auto(),
            MethodName::Sequential => Solver::sequential(),
            MethodName::Jacobi => Solver::jacobi(),
            MethodName::Picard => Solver::picard(),
            MethodName::QuasiDeer => Solver::quasi_deer(),
            MethodName::Deer => Solver::deer(),
        }
    }
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "expected a whole number from 0 to 2^64 - 1".to_owned())
}

/// The name of an option's value, as it is typed.
pub(crate) fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
}
