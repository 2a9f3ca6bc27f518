//! The command line.

use crate::common::cli::{Misuse, count, threads};
use clap::{Parser, ValueEnum};
use deer_solver::Solver;
use std::path::PathBuf;

/// Prints tables of speeds, of targets and of equations in time, as Markdown.
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub(crate) struct Options {
    /// Few sizes and few repeats: for a look, not for figures to quote
    #[arg(long)]
    pub(crate) quick: bool,
    /// What to print
    #[arg(long, value_enum, default_value_t = Part::All)]
    pub(crate) only: Part,
    #[arg(long, value_enum, default_value_t = Cell::Gru)]
    pub(crate) cell: Cell,
    /// State sizes, such as 1,2,4 [default: 1,2,4,8,16,32,64]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = count)]
    n: Vec<usize>,
    /// Lengths, such as 1e4,1e6 [default: 1e3,1e4,1e5,1e6]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = count)]
    t: Vec<usize>,
    /// Batch sizes [default: 1,16]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = count)]
    b: Vec<usize>,
    /// Precisions [default: float32,float64]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    dtype: Vec<Dtype>,
    /// Numbers of threads [default: 1 and all cores]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = threads)]
    threads: Vec<usize>,
    /// Methods [default: all of them]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    methods: Vec<Method>,
    /// Length of one step's input
    #[arg(long, default_value = "2", value_parser = count)]
    pub(crate) inputsize: usize,
    /// Seconds for the table; sizes that would not fit are left out, and named [default: 360]
    #[arg(long)]
    budget: Option<f64>,
    /// Write the measurements to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draw the speed-up over the plain loop (B = 1, all threads, first precision)
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Solve one problem of this many steps (n = 2, float32) and print the memory it took
    #[arg(long, value_name = "STEPS", value_parser = count)]
    pub(crate) memory: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Part {
    Table,
    Targets,
    Odes,
    All,
}

impl Part {
    /// Whether `part` is asked for.
    pub(crate) fn has(self, part: Part) -> bool {
        self == part || self == Part::All
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Cell {
    Gru,
    DiagonalGru,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(crate) enum Dtype {
    Float32,
    Float64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Method {
    Plain,
    Sequential,
    Auto,
    Deer,
    QuasiDeer,
}

impl Method {
    /// None for the plain loop, which is not the library's.
    pub(crate) fn solver(self) -> Option<Solver> {
        match self {
            Method::Plain => None,
            Method::Sequential => Some(Solver::sequential()),
            Method::Auto => Some(Solver::auto()),
            Method::Deer => Some(Solver::deer()),
            Method::QuasiDeer => Some(Solver::quasi_deer()),
        }
    }
}

impl Options {
    pub(crate) fn n(&self) -> Vec<usize> {
        self.listed(&self.n, &[1, 2, 4, 8, 16, 32, 64], &[1, 2, 8])
    }

    pub(crate) fn t(&self) -> Vec<usize> {
        self.listed(&self.t, &[1_000, 10_000, 100_000, 1_000_000], &[1_000, 10_000, 100_000])
    }

    pub(crate) fn b(&self) -> Vec<usize> {
        self.listed(&self.b, &[1, 16], &[1, 16])
    }

    pub(crate) fn dtype(&self) -> Vec<Dtype> {
        self.listed(&self.dtype, &[Dtype::Float32, Dtype::Float64], &[Dtype::Float32])
    }

    pub(crate) fn threads(&self, cores: usize) -> Vec<usize> {
        let all = if cores == 1 { vec![1] } else { vec![1, cores] };
        self.listed(&self.threads, &all, &[cores])
    }

    /// The plain loop always, since the others are compared with it.
    pub(crate) fn methods(&self) -> Vec<Method> {
        let mut methods =
            self.listed(&self.methods, Method::value_variants(), Method::value_variants());
        if !methods.contains(&Method::Plain) {
            methods.insert(0, Method::Plain);
        }
        methods
    }

    pub(crate) fn budget(&self) -> Result<f64, Misuse> {
        let budget = self.budget.unwrap_or(if self.quick { 8.0 } else { 360.0 });
        if budget > 0.0 && budget < 1e6 {
            Ok(budget)
        } else {
            Err(Misuse::new(format!(
                "--budget: expected seconds, above 0 and below 1e6, got {budget}"
            )))
        }
    }

    fn listed<T: Copy + PartialEq>(&self, asked: &[T], full: &[T], quick: &[T]) -> Vec<T> {
        let chosen = match (asked, self.quick) {
            ([], false) => full,
            ([], true) => quick,
            _ => asked,
        };
        let mut once = Vec::new();
        for &value in chosen {
            if !once.contains(&value) {
                once.push(value);
            }
        }
        once
    }
}

/// The name of an option's value, as it is typed.
pub(crate) fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
}
