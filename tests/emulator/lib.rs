//! A CUDA driver in software, for tests: PTX run on the CPU behind the driver's own interface. See `README.md` beside this file.
//!
//! Built as `libcuda.so.1` it stands in for the driver, so that all of a program is tested without a GPU, from the driver's bindings down to the
//! PTX that it ships and that it writes at run time.

#![allow(non_snake_case, reason = "the driver's functions have names of their own")]

mod api;
mod codes;
mod decode;
mod driver;
mod float;
mod lanes;
mod machine;
mod memory;
mod program;
mod ptx;
mod schedule;
mod settings;
