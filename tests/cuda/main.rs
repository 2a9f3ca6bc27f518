//! The CUDA backend, on whatever device the driver gives: a card, or the emulated one of `scripts/emulated`.

mod cells;
#[path = "../common/mod.rs"]
mod common;
#[path = "../solver/conformance.rs"]
mod conformance;
mod equations;
mod faults;
mod functions;
mod generated;
mod gradients;
#[path = "../solver/maps.rs"]
#[allow(dead_code, reason = "the solver's tests read the rest")]
mod maps;
mod newton;
mod parts;
mod scans;
mod solves;

use deer_solver::Cuda;

/// The first device.
fn cuda() -> Cuda {
    Cuda::new(0).unwrap_or_else(|error| {
        panic!("{error}: {:?}; without a card, run this by `scripts/emulated`", error)
    })
}
