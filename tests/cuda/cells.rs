//! The built-in cells in order, a warp or a block of threads for each sequence, against the CPU.

use crate::common::reference::difference;
use crate::cuda;
use crate::maps::Noise;
use deer_solver::cells::{Elman, Gru, Lem, Lstm};
use deer_solver::{Cpu, Dynamics, Problem, Solver};
use ndarray::{Array2, ArrayView2};

/// Sequences of different length, so that warps of a block end at different times.
fn check<D: Dynamics>(cell: &D, tolerance: f64) {
    let (n, m) = (cell.state_dim(), cell.input_dim());
    let mut noise = Noise::new(3);
    let x0 = Array2::from_shape_vec((7, n), noise.vec(7 * n, 0.5)).unwrap();
    let inputs: Vec<Array2<D::Real>> = [1, 70, 33, 2, 5, 64, 0]
        .map(|steps| Array2::from_shape_vec((steps, m), noise.vec(steps * m, 1.0)).unwrap())
        .to_vec();
    let views: Vec<ArrayView2<D::Real>> = inputs.iter().map(|x| x.view()).collect();
    let problem = Problem::ragged(cell, x0.view(), &views).unwrap();
    let solution = Solver::sequential().solve(&problem, &cuda()).unwrap();
    let expected = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    let apart = difference(solution.states(), expected.states());
    assert!(apart <= tolerance, "{} components, {m} inputs: off by {apart:e}", n);
}

macro_rules! sizes {
    ($name:ident $cell:ident) => {
        #[test]
        fn $name() {
            for (m, n) in [(1, 5), (3, 16), (0, 17), (2, 32)] {
                check(&$cell::<f32>::random(m, n, 1), 5e-6);
                check(&$cell::<f64>::random(m, n, 1), 1e-14);
            }
        }
    };
}
/// Of more units than a warp has lanes.
#[test]
fn wide_cells_in_order() {
    for (m, n) in [(2, 33), (0, 50), (3, 64)] {
        check(&Elman::<f32>::random(m, n, 1), 5e-6);
        check(&Elman::<f64>::random(m, n, 1), 1e-14);
        check(&Gru::<f32>::random(m, n, 1), 5e-6);
        check(&Gru::<f64>::random(m, n, 1), 1e-14);
        check(&Lstm::<f32>::random(m, n, 1), 5e-6);
        check(&Lstm::<f64>::random(m, n, 1), 1e-14);
    }
    for (m, n) in [(1, 65), (2, 100), (3, 128)] {
        check(&Elman::<f32>::random(m, n, 1), 5e-6);
        check(&Gru::<f32>::random(m, n, 1), 5e-6);
    }
}

sizes!(elman_in_order Elman);
sizes!(gru_in_order Gru);
sizes!(lstm_in_order Lstm);
sizes!(lem_in_order Lem);
