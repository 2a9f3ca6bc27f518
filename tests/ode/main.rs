//! Equations in time against exact solutions, published ones, and plain loops.

#[path = "../common/mod.rs"]
mod common;
mod discretized;
mod implicit;
mod systems;
