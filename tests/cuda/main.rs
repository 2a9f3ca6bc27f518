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
use std::process::Command;

/// The first device.
fn cuda() -> Cuda {
    Cuda::new(0).unwrap_or_else(|error| {
        panic!("{error}: {:?}; without a card, run this by `scripts/emulated`", error)
    })
}

/// Runs the test `name` of this program, which is ignored otherwise, with another environment: on the emulated driver
/// alone, which can be told what to lack.
fn emulated(name: &str, variable: &str, value: &str) {
    if !format!("{:?}", cuda()).contains("Emulated") {
        return;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args(["--ignored", "--exact", name]);
    command.env(variable, value);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
