//! Equations in time against exact solutions, published ones, and plain loops.

mod discretized;
mod systems;
