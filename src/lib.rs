//! Nonlinear recurrences `x_t = f(x_{t−1}, u_t; θ)`, solved in parallel over time.

pub mod cells;
mod dynamics;
mod error;
pub mod scalar;
pub mod scan;

pub use dynamics::{Dynamics, Recurrence, Structure};
pub use error::{Error, Result};
