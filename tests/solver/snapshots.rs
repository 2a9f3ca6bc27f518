//! Sweeps and residuals of some problems, kept in a file, so that a change of an algorithm shows as a
//! difference. With one instruction set, since residuals are rounded by its operations and blocks are as many
//! as its lanes.

use crate::maps::{Kind, Map, Noise};
use deer_solver::cells::{DiagonalGru, DiagonalLstm, Gru, Lem, Lstm};
use deer_solver::scalar::InstructionSet;
use deer_solver::{Cpu, Damping, Dynamics, Problem, Solver};
use ndarray::{Array2, Array3};
use std::fmt::Write;
use std::path::Path;

/// One line for each method: blocks, sweeps, and of each sweep blocks rolled and residual left.
fn describe<D: Dynamics>(
    text: &mut String,
    cpu: &Cpu,
    what: &str,
    dynamics: &D,
    batch: usize,
    steps: usize,
) {
    let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
    let mut noise = Noise::new(1);
    let x0 = Array2::from_shape_vec((batch, n), noise.vec(batch * n, 0.5)).unwrap();
    let inputs = Array3::from_shape_vec((batch, steps, m), noise.vec(batch * steps * m, 1.0));
    let inputs = inputs.unwrap();
    let problem = Problem::batch(dynamics, x0.view(), inputs.view()).unwrap();
    writeln!(text, "{what}, B = {batch}, T = {steps}").unwrap();
    let solvers = [
        ("auto", Solver::auto()),
        ("jacobi", Solver::jacobi()),
        ("picard, block 32", Solver::picard().block(32)),
        ("quasi-deer", Solver::quasi_deer()),
        ("quasi-deer, block 1", Solver::quasi_deer().block(1)),
        ("deer", Solver::deer()),
        ("deer, block 1", Solver::deer().block(1)),
        ("deer, block 8, damping 0.5", Solver::deer().block(8).damping(0.5)),
        ("deer, block 1, adaptive", Solver::deer().block(1).damping(Damping::Adaptive)),
        ("elk", Solver::elk(1.0)),
        ("quasi-elk", Solver::quasi_elk(1.0)),
    ];
    for (name, solver) in solvers {
        let solution = solver.max_sweeps(12).solve(&problem, cpu).unwrap();
        let report = solution.report();
        let chosen =
            if name == "auto" { format!(" chose {}", report.method) } else { String::new() };
        write!(
            text,
            "    {name}{chosen}: {:?}, {} blocks of {}, {} sweeps, work {:.2};",
            solution.termination(),
            report.blocks,
            report.block,
            report.sweeps,
            report.work
        )
        .unwrap();
        for sweep in &report.history {
            write!(text, " {}:{:.0e}", sweep.active, sweep.residual).unwrap();
        }
        writeln!(text).unwrap();
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn sweeps_and_residuals_are_as_before() {
    // A build for newer machines alone does not have it.
    let Ok(cpu) = Cpu::with_threads(2).unwrap().instruction_set(InstructionSet::Sse2) else {
        return;
    };
    let mut text = String::new();
    let t = &mut text;
    describe(t, &cpu, "GRU n = 3", &Gru::<f64>::random(2, 3, 1), 1, 1000);
    describe(t, &cpu, "GRU n = 5, f32", &Gru::<f32>::random(2, 5, 1), 2, 700);
    describe(t, &cpu, "LSTM n = 4", &Lstm::<f64>::random(2, 2, 1), 1, 1000);
    describe(t, &cpu, "LEM n = 4", &Lem::<f64>::random(2, 2, 1).with_dt(0.5), 1, 1000);
    describe(t, &cpu, "diagonal GRU n = 3", &DiagonalGru::<f64>::random(2, 3, 1), 1, 1000);
    describe(t, &cpu, "diagonal LSTM n = 6", &DiagonalLstm::<f64>::random(2, 3, 1), 1, 1000);
    describe(t, &cpu, "tanh n = 4, gain 1.5", &Map::<f64>::tanh(4, 1.5, 1), 1, 1000);
    describe(t, &cpu, "tanh n = 4, gain 4", &Map::<f64>::tanh(4, 4.0, 1), 1, 1000);
    describe(t, &cpu, "cubic", &Map::<f64>::new(Kind::Cubic, &[0.3]), 1, 1000);
    describe(t, &cpu, "rotation", &Map::<f64>::new(Kind::Rotation, &[0.6, 0.799]), 1, 1000);

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/sweeps.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    for (before, now) in before.lines().zip(text.lines()) {
        assert_eq!(
            before, now,
            "if it is meant to be so: UPDATE_SNAPSHOTS=1 cargo test --test solver"
        );
    }
    assert_eq!(before.lines().count(), text.lines().count());
}
