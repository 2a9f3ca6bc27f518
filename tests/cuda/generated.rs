//! The PTX that is made for steps, written to files: `ptx/build --assemble` shows that ptxas takes it for every architecture, and
//! that none of these spills registers.

use crate::common::equations::{Switched, VanDerPol};
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
    let all = &["roll", "deer", "newton", "pull", "push", "push_state"];
    let without_pull = &["roll", "deer", "newton", "push_state"];
    let columns = &["deer", "newton", "push_state"];
    let one_launch = &["newton", "push_state"];
    let newton = &["newton"];
    let modules = [
        write("gru_1_f32", &Gru::<f32>::random(2, 1, 0), all),
        write("gru_2_f32", &Gru::<f32>::random(2, 2, 0), all),
        write("gru_2_f64", &Gru::<f64>::random(2, 2, 0), &["roll", "deer", "newton", "push"]),
        write("gru_4_f32", &Gru::<f32>::random(2, 4, 0), all),
        write("gru_4_f64", &Gru::<f64>::random(2, 4, 0), without_pull),
        write("gru_6_f32", &Gru::<f32>::random(2, 6, 0), &["roll", "deer", "newton", "pull"]),
        write("gru_8_f32", &Gru::<f32>::random(2, 8, 0), &["roll", "newton", "push_state"]),
        write("gru_16_f32", &Gru::<f32>::random(2, 16, 0), &["roll"]),
        write("gru_24_f32", &Gru::<f32>::random(2, 24, 0), newton),
        write("elman_32_f32", &Elman::<f32>::random(2, 32, 0), newton),
        write("blocks_of_3_f64", &Blocks::<f64>::new(3, 6, false), newton),
        write("blocks_of_4_f32", &Blocks::<f32>::new(4, 6, false), newton),
        write("blocks_of_5_f64", &Blocks::<f64>::new(5, 6, false), newton),
        write("van_der_pol_f64", &Implicit::new(VanDerPol), &["roll", "deer", "newton"]),
        write("switched_f64", &Implicit::new(Switched), &["roll", "newton"]),
        write("elman_1_f64", &Elman::<f64>::random(2, 1, 0), &["roll", "deer", "pull"]),
        write("elman_3_f32", &Elman::<f32>::random(2, 3, 0), one_launch),
        write("elman_4_f64", &Elman::<f64>::random(2, 4, 0), &["deer", "newton", "push"]),
        write("elman_5_f32", &Elman::<f32>::random(2, 5, 0), one_launch),
        write("elman_7_f32", &Elman::<f32>::random(2, 7, 0), one_launch),
        write("lstm_3_f64", &Lstm::<f64>::random(2, 3, 0), &["deer", "newton"]),
        write("lstm_4_f32", &Lstm::<f32>::random(2, 4, 0), all),
        write("lem_2_f64", &Lem::<f64>::random(2, 2, 0), without_pull),
        write("tanh_5_f64", &Map::<f64>::tanh(5, 1.0, 0), all),
        write("tanh_6_f64", &Map::<f64>::tanh(6, 1.0, 0), columns),
        write("lorenz_f64", &Map::<f64>::new(Kind::Lorenz, &[0.01]), all),
        write("diagonal_gru_16_f32", &DiagonalGru::<f32>::random(2, 16, 0), without_pull),
        write("diagonal_gru_256_f32", &DiagonalGru::<f32>::random(2, 256, 0), all),
        write("diagonal_lstm_256_f64", &DiagonalLstm::<f64>::random(2, 256, 0), all),
        write("assorted_f64", &Assorted::new(), &["roll", "deer", "pull", "push_state"]),
        write("rotations_f64", &Rotations::new(false), all),
    ];
    // One of the steps has three kinds of parts, blocks have two.
    let expected = [
        6, 6, 4, 6, 4, 4, 3, 1, 1, 1, 2, 2, 2, 3, 2, 3, 2, 3, 2, 2, 2, 6, 4, 6, 3, 6, 4, 6, 6, 12,
        6,
    ];
    assert_eq!(modules, expected);
}
