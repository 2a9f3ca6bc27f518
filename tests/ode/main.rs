//! Equations in time against exact solutions, published ones, and plain loops.

mod detest;
mod discretized;
mod ivp;
mod systems;
