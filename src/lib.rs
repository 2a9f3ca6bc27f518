//! Nonlinear recurrences `x_t = f(x_{t−1}, u_t; θ)`, solved in parallel over time.

#[path = "../backends/mod.rs"]
mod backends;
pub mod cells;
mod dynamics;
mod error;
pub mod scalar;
pub mod scan;

#[cfg(feature = "cpu")]
pub use backends::cpu::Cpu;
pub use dynamics::{Dynamics, Recurrence, Structure};
pub use error::{Error, Result};
