//! The emulated CUDA driver, through the driver's bindings: run by
//! `scripts/emulated cargo test --features cuda --test emulated_cuda`.

mod arithmetic;
mod blocks;
mod card;
mod conversions;
mod faults;
mod memory;
mod modules;
mod settings;
mod warps;
