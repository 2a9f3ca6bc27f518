//! Every method of the solver against the plain loop.
//!
//! One program, since the kernels of a recurrence are compiled for each program that solves it.

mod adversarial;
mod bits;
mod check;
#[path = "../common/mod.rs"]
mod common;
mod conformance;
mod cpu;
mod domains;
mod edges;
mod elk;
mod golden;
mod gradients;
mod guesses;
mod hard;
mod lyapunov;
mod maps;
mod misuse;
mod properties;
mod snapshots;
mod trust;
