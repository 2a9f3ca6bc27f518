//! Equations in time against exact solutions, published ones, and plain loops.

mod delayed;
mod detest;
mod discretized;
mod golden;
mod ivp;
mod root;
mod systems;
