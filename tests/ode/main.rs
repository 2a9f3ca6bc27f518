//! Equations in time against exact solutions, published ones, and plain loops.

#[path = "../common/mod.rs"]
mod common;
mod delayed;
mod detest;
mod discretized;
mod golden;
mod implicit;
mod ivp;
mod root;
mod shooting;
mod systems;
