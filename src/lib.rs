//! Nonlinear recurrences `x_t = f(x_{t−1}, u_t; θ)`, solved in parallel over time.

pub mod backend;
#[path = "../backends/mod.rs"]
mod backends;
pub mod cells;
mod dynamics;
mod error;
mod problem;
mod report;
pub mod scalar;
pub mod scan;
mod solution;
mod solver;

pub use backend::Backend;
#[cfg(feature = "cpu")]
pub use backends::cpu::Cpu;
pub use dynamics::{Dynamics, Recurrence, Structure};
pub use error::{Error, Result};
pub use problem::Problem;
pub use report::{Report, SweepRecord};
pub use scalar::{Real, Scalar};
pub use scan::ScanOp;
pub use solution::{Solution, Termination};
pub use solver::{Linearization, Method, Progress, Solver, Tolerance};
