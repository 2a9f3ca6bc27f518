//! The PTX that is made for steps, written to files: `ptx/build --check-generated` shows that ptxas takes it for every architecture, and
//! that it needs what `ptx/generated.md` says.

use crate::common::equations::Equation::{Switched, VanDerPol};
use crate::maps::{Kind, Map};
use crate::parts::{Assorted, Blocks, Rotations};
use deer_solver::cells::{DiagonalGru, DiagonalLstm, Elman, Gru, Lem, Lstm};
use deer_solver::dynamics::Recurrence;
use deer_solver::{Cuda, Implicit, Problem};
use ndarray::{Array1, Array2};
use std::fs;
use std::path::PathBuf;

/// The modules of the kernels that are named, and how many there are.
fn write(name: &str, dynamics: &impl Recurrence, kernels: &[&str]) -> usize {
    let folder: PathBuf = [env!("CARGO_TARGET_TMPDIR"), "generated"].iter().collect();
    let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
    let (x0, inputs) = (Array1::default(n), Array2::default((4, m)));
    let problem = Problem::new(dynamics, x0.view(), inputs.view()).unwrap();
    let mut written = 0;
    for (module, text) in Cuda::ptx_modules(&problem).unwrap() {
        let (kernel, _) = module.rsplit_once('_').unwrap();
        if kernels.contains(&kernel) {
            fs::write(folder.join(format!("{name}_{module}.ptx")), text).unwrap();
            written += 1;
        }
    }
    written
}

#[test]
fn ptx_of_traced_steps_is_written() {
    let folder: PathBuf = [env!("CARGO_TARGET_TMPDIR"), "generated"].iter().collect();
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let all = &["roll", "deer", "newton", "pull", "push", "push_state"][..];
    let deer = &["deer", "newton"];
    let newton = &["newton"];
    // Where much goes to local memory, there is a form that reads θ from shared memory.
    let near = ["newton_near", "pull_near", "push_near", "push_state_near"];
    let with_near = &[all, &near[..]].concat();
    let modules = [
        write("gru_1_f32", &Gru::<f32>::random(2, 1, 0), all),
        write("gru_2_f32", &Gru::<f32>::random(2, 2, 0), all),
        write("gru_2_f64", &Gru::<f64>::random(2, 2, 0), all),
        write("gru_4_f32", &Gru::<f32>::random(2, 4, 0), all),
        write("gru_4_f64", &Gru::<f64>::random(2, 4, 0), with_near),
        write("gru_6_f32", &Gru::<f32>::random(2, 6, 0), with_near),
        write("gru_7_f64", &Gru::<f64>::random(2, 7, 0), &["deer", "newton", "newton_near"]),
        write("gru_8_f32", &Gru::<f32>::random(2, 8, 0), with_near),
        write(
            "gru_8_f64",
            &Gru::<f64>::random(2, 8, 0),
            &["deer", "deer_near", "newton", "newton_near", "pull"],
        ),
        write("gru_12_f32", &Gru::<f32>::random(2, 12, 0), &["newton", "newton_near"]),
        write(
            "gru_16_f32",
            &Gru::<f32>::random(2, 16, 0),
            &["roll", "newton", "pull", "newton_near", "pull_near"],
        ),
        write("gru_24_f32", &Gru::<f32>::random(2, 24, 0), newton),
        write("elman_1_f64", &Elman::<f64>::random(2, 1, 0), all),
        write("elman_3_f32", &Elman::<f32>::random(2, 3, 0), all),
        write("elman_4_f64", &Elman::<f64>::random(2, 4, 0), all),
        write("elman_5_f32", &Elman::<f32>::random(2, 5, 0), all),
        write("elman_7_f32", &Elman::<f32>::random(2, 7, 0), all),
        write("elman_12_f64", &Elman::<f64>::random(2, 12, 0), newton),
        write("elman_16_f64", &Elman::<f64>::random(2, 16, 0), &["newton", "newton_near"]),
        write("elman_32_f32", &Elman::<f32>::random(2, 32, 0), newton),
        write("lstm_3_f64", &Lstm::<f64>::random(2, 3, 0), deer),
        write("lstm_4_f32", &Lstm::<f32>::random(2, 4, 0), all),
        write("lem_2_f64", &Lem::<f64>::random(2, 2, 0), all),
        write("tanh_5_f64", &Map::<f64>::tanh(5, 1.0, 0), all),
        write("tanh_6_f64", &Map::<f64>::tanh(6, 1.0, 0), with_near),
        write("lorenz_f64", &Map::<f64>::new(Kind::Lorenz, &[0.01]), all),
        write("van_der_pol_f64", &Implicit::new(VanDerPol), all),
        write("switched_f64", &Implicit::new(Switched), all),
        write("blocks_of_2_f32", &Blocks::<f32>::new(2, 6, false), newton),
        write("blocks_of_3_f64", &Blocks::<f64>::new(3, 6, false), newton),
        write("blocks_of_4_f32", &Blocks::<f32>::new(4, 6, false), newton),
        write("blocks_of_5_f64", &Blocks::<f64>::new(5, 6, false), newton),
        write("blocks_of_8_f32", &Blocks::<f32>::new(8, 6, false), newton),
        write("blocks_of_13_f64", &Blocks::<f64>::new(13, 6, false), newton),
        write("rotations_f64", &Rotations::new(false), all),
        write("assorted_f64", &Assorted::new(), &["roll", "deer", "pull", "push_state"]),
        write("diagonal_gru_16_f32", &DiagonalGru::<f32>::random(2, 16, 0), with_near),
        write(
            "diagonal_gru_16_f64",
            &DiagonalGru::<f64>::random(2, 16, 0),
            &["deer", "newton", "newton_near"],
        ),
        write("diagonal_gru_256_f32", &DiagonalGru::<f32>::random(2, 256, 0), all),
        write("diagonal_lstm_256_f64", &DiagonalLstm::<f64>::random(2, 256, 0), all),
    ];
    // One of the steps has three kinds of parts, blocks have two.
    let expected = [
        6, 6, 6, 6, 10, 10, 3, 10, 5, 2, 5, 1, 6, 6, 6, 6, 6, 1, 2, 1, 2, 6, 6, 6, 10, 6, 6, 6, 2,
        2, 2, 2, 2, 2, 6, 12, 10, 3, 6, 6,
    ];
    assert_eq!(modules, expected);
}
