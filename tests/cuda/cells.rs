//! The built-in cells by a warp or a block of threads for each block of time, against the CPU.

use crate::common::reference::difference;
use crate::cuda;
use crate::maps::Noise;
use deer_solver::cells::{Elman, Gru, Lem, Lstm};
use deer_solver::{Backend, Cpu, Dynamics, Linearization, Method, Problem, Real, Solver};
use ndarray::{Array2, Array3, ArrayView2};

/// In order, and in blocks that hand their ends on: three are made of the longest sequence, so that no more than three sweeps are needed.
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
    let expected = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    for solver in [Solver::sequential(), Solver::jacobi().block(27)] {
        let solution = solver.solve(&problem, &cuda()).unwrap();
        let report = solution.report();
        assert!(solution.converged() && report.sweeps <= 3, "{report}");
        let apart = difference(solution.states(), expected.states());
        assert!(apart <= tolerance, "{n} components, {m} inputs: off by {apart:e}\n{report}");
    }
}

/// Blocks end where they meet their old trajectory.
fn check_meeting<D: Dynamics>(cell: &D) {
    let (n, m, steps, block) = (cell.state_dim(), cell.input_dim(), 700, 160);
    let mut noise = Noise::new(4);
    let x0 = Array2::from_shape_vec((2, n), noise.vec(2 * n, 0.5)).unwrap();
    let inputs = Array3::from_shape_vec((2, steps, m), noise.vec(2 * steps * m, 1.0)).unwrap();
    let problem = Problem::batch(cell, x0.view(), inputs.view()).unwrap();
    let solution = Solver::jacobi().block(block).solve(&problem, &cuda()).unwrap();
    let expected = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    let report = solution.report();
    let (first, second) = (&report.history[0], &report.history[1]);
    assert_eq!((first.active, first.steps), (10, 2 * steps), "{report}");
    assert!(second.active == 8 && second.steps < 8 * block, "{report}");
    let apart = difference(solution.states(), expected.states());
    let tolerance = if D::Real::SINGLE { 5e-6 } else { 1e-12 };
    assert!(solution.converged() && apart <= tolerance, "{n} components: off by {apart:e}");
    // The residual that was accepted is within the tolerance of numbers below 1.
    let most = if D::Real::SINGLE { 1e-6 } else { 1e-13 };
    assert!(report.residual > 0.0 && report.residual <= most, "{report}");
}

#[test]
fn blocks_of_cells_meet() {
    check_meeting(&Elman::<f64>::random(1, 7, 1));
    check_meeting(&Gru::<f32>::random(2, 18, 1));
    check_meeting(&Lstm::<f64>::random(1, 9, 1));
    check_meeting(&Gru::<f32>::random(2, 40, 1));
    check_meeting(&Lstm::<f32>::random(1, 35, 1));
    check_meeting(&Gru::<f64>::random(1, 66, 1));
    check_meeting(&Lem::<f32>::random(1, 34, 1).with_dt(0.5));
}

/// As many sequences as there are lanes, and so many that a thread for each is faster.
#[test]
fn many_sequences_of_cells() {
    let device = cuda();
    let described = device.describe();
    let processors: usize = described
        .rsplit(", ")
        .next()
        .and_then(|count| count.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("{described}"));
    let gru = Gru::<f32>::random(2, 5, 1);
    let wide = Gru::<f32>::random(2, 40, 1);
    for (cell, batch) in [(&gru, 40), (&gru, 5 * 8 * processors + 3), (&wide, 35)] {
        let (n, steps) = (cell.state_dim(), 4);
        let mut noise = Noise::new(3);
        let x0 = Array2::from_shape_vec((batch, n), noise.vec(batch * n, 0.5)).unwrap();
        let inputs = noise.vec(batch * steps * 2, 1.0);
        let inputs = Array3::from_shape_vec((batch, steps, 2), inputs).unwrap();
        let problem = Problem::batch(cell, x0.view(), inputs.view()).unwrap();
        let solution = Solver::sequential().solve(&problem, &device).unwrap();
        let expected = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
        let apart = difference(solution.states(), expected.states());
        assert!(apart <= 5e-6, "{batch} sequences of {n} components: off by {apart:e}");
    }
}

/// Sweeps that cost less than a pilot are tried before it.
#[test]
fn auto_on_a_cell() {
    let gru = Gru::<f32>::random(1, 6, 1);
    let mut noise = Noise::new(3);
    let inputs = Array2::from_shape_vec((9000, 1), noise.vec(9000, 1.0)).unwrap();
    let x0 = Array2::zeros((1, 6));
    let problem = Problem::new(&gru, x0.row(0), inputs.view()).unwrap();
    let solution = Solver::auto().solve(&problem, &cuda()).unwrap();
    let expected = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    let report = solution.report();
    assert!(report.reason.contains("a sweep costs"), "{report}");
    assert_eq!(report.method, Method::Sweeps(Linearization::Zero));
    assert!(solution.converged() && report.sweeps <= 3, "{report}");
    let apart = difference(solution.states(), expected.states());
    assert!(apart <= 5e-6, "off by {apart:e}");
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

/// Of more units than the registers of a block of threads hold weights for.
#[test]
fn large_cells_in_order() {
    check(&Elman::<f32>::random(1, 130, 1), 5e-6);
    check(&Elman::<f64>::random(0, 65, 1), 1e-14);
    check(&Gru::<f32>::random(2, 150, 1), 5e-6);
    check(&Gru::<f64>::random(3, 70, 1), 1e-14);
    check(&Lstm::<f32>::random(2, 66, 1), 5e-6);
    check(&Lstm::<f64>::random(0, 65, 1), 1e-14);
    check(&Lem::<f32>::random(1, 90, 1), 5e-6);
    check(&Lem::<f64>::random(2, 33, 1), 1e-14);
}

/// Differences that last, in more components than there are kernels for Newton's method for, leave the loop.
#[test]
fn auto_on_a_large_cell() {
    let lem = Lem::<f32>::random(1, 70, 1).with_dt(1e-3);
    let mut noise = Noise::new(3);
    let inputs = Array2::from_shape_vec((1500, 1), noise.vec(1500, 1.0)).unwrap();
    let x0 = Array2::zeros((1, 140));
    let problem = Problem::new(&lem, x0.row(0), inputs.view()).unwrap();
    let solution = Solver::auto().solve(&problem, &cuda()).unwrap();
    let expected = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    let apart = difference(solution.states(), expected.states());
    assert!(solution.converged() && apart <= 5e-6, "off by {apart:e}\n{}", solution.report());
    let error = Solver::deer().solve(&problem, &cuda()).unwrap_err().to_string();
    assert!(error.contains("at most 128") && error.contains("140"), "{error}");
}

sizes!(elman_in_order Elman);
sizes!(gru_in_order Gru);
sizes!(lstm_in_order Lstm);
sizes!(lem_in_order Lem);
