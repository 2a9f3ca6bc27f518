//! The PTX that is made for steps, written to files: `ptx/build --assemble` shows that ptxas takes it for every architecture, and
//! that none of these spills registers.

use crate::maps::{Kind, Map};
use crate::parts::{Assorted, Rotations};
use deer_solver::cells::{DiagonalGru, DiagonalLstm, Elman, Gru, Lem, Lstm};
use deer_solver::{Cuda, Dynamics, Linearization, Problem};
use ndarray::{Array1, Array2};
use std::fs;
use std::path::Path;

const ROLL: Option<Linearization> = None;
const DEER: Option<Linearization> = Some(Linearization::Full);

/// Writes the modules of these sweeps, and says how many there are.
fn write(
    folder: &Path,
    name: &str,
    dynamics: &impl Dynamics,
    sweeps: &[Option<Linearization>],
) -> usize {
    let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
    let (x0, inputs) = (Array1::default(n), Array2::default((4, m)));
    let problem = Problem::new(dynamics, x0.view(), inputs.view()).unwrap();
    let mut written = 0;
    for &linearization in sweeps {
        let text = Cuda::ptx(&problem, linearization).unwrap();
        let sweep = if linearization == DEER { "deer" } else { "roll" };
        for (kind, module) in text.split(".version").skip(1).enumerate() {
            let path = folder.join(format!("{name}_{sweep}_{kind}.ptx"));
            fs::write(path, format!(".version{module}")).unwrap();
            written += 1;
        }
    }
    written
}

#[test]
fn ptx_of_traced_steps_is_written() {
    let folder = &Path::new(env!("CARGO_TARGET_TMPDIR")).join("generated");
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).unwrap();
    let both = &[ROLL, DEER];
    let modules = [
        write(folder, "gru_2_f32", &Gru::<f32>::random(2, 2, 0), both),
        write(folder, "gru_8_f32", &Gru::<f32>::random(2, 8, 0), &[ROLL]),
        write(folder, "gru_16_f32", &Gru::<f32>::random(2, 16, 0), &[ROLL]),
        write(folder, "elman_4_f64", &Elman::<f64>::random(2, 4, 0), &[DEER]),
        write(folder, "lstm_3_f64", &Lstm::<f64>::random(2, 3, 0), &[DEER]),
        write(folder, "lem_2_f64", &Lem::<f64>::random(2, 2, 0), both),
        write(folder, "lorenz_f64", &Map::<f64>::new(Kind::Lorenz, &[0.01]), both),
        write(folder, "diagonal_gru_256_f32", &DiagonalGru::<f32>::random(2, 256, 0), both),
        write(folder, "diagonal_lstm_256_f64", &DiagonalLstm::<f64>::random(2, 256, 0), both),
        write(folder, "assorted_f64", &Assorted::new(), &[ROLL]),
        write(folder, "rotations_f64", &Rotations::new(false), both),
    ];
    // One of the steps has three kinds of parts.
    assert_eq!(modules, [2, 1, 1, 1, 1, 2, 2, 2, 2, 3, 2]);
}
