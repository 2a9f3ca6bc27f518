//! How much memory a long solve takes. It needs a process of its own: the system tells only the peak
//! since a process began.

use crate::common::cli::{Misuse, say};
use crate::common::data;
use deer_solver::cells::Gru;
use deer_solver::{Cpu, Problem, Solver};
use ndarray::{Array1, s};
use std::process::Command;

/// State and input size.
const N: usize = 2;

/// Solves once and prints the peak of this process and the share of inputs and outputs, in bytes.
pub(crate) fn run(steps: usize) -> Result<(), Misuse> {
    let gru = Gru::<f32>::random(N, N, 0);
    let inputs = data::normal::<f32>((1, steps, N), 1);
    let x0 = Array1::zeros(N);
    let problem = Problem::new(&gru, x0.view(), inputs.slice(s![0, .., ..]))?;
    let solution = Solver::auto().solve(&problem, &Cpu::new())?;
    let arrays = (inputs.len() + solution.states().len()) * size_of::<f32>();
    let peak =
        peak().ok_or_else(|| Misuse::new("--memory: works on Linux only (/proc/self/status)"))?;
    say(format!("{peak} {arrays}"));
    Ok(())
}

/// Megabytes beyond inputs and outputs, as a process of its own measures them.
pub(crate) fn beyond_arrays(steps: usize) -> Option<f64> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new(program).args(["--memory", &steps.to_string()]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (peak, arrays) = text.trim().split_once(' ')?;
    Some((peak.parse::<f64>().ok()? - arrays.parse::<f64>().ok()?) / 1e6)
}

/// Largest resident size so far, bytes.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}
