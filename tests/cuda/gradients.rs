//! Derivatives, against the CPU's.

use crate::cuda;
use crate::maps::{Map, Noise};
use crate::newton::all_forms;
use crate::parts::{Assorted, Rotations};
use deer_solver::cells::{DiagonalGru, DiagonalLstm, Elman, Gru, Lem, Lstm};
use deer_solver::{Cpu, Cuda, Dynamics, Problem, Real, Solution, Solver, Tangents};
use ndarray::{Array, Array1, Array2, Array3, Axis, Dimension, ShapeBuilder};

fn array<R: Real, D: Dimension, S: ShapeBuilder<Dim = D>>(
    noise: &mut Noise,
    shape: S,
    len: usize,
) -> Array<R, D> {
    Array::from_shape_vec(shape, noise.vec(len, 1.0)).unwrap()
}

fn close<R: Real, D: Dimension>(what: &str, here: &Array<R, D>, there: &Array<R, D>, rtol: f64) {
    assert_eq!(here.shape(), there.shape(), "{what}");
    let size = there.iter().fold(0.0f64, |size, x| size.max(x.to_f64().abs()));
    for (index, (a, b)) in here.iter().zip(there).enumerate() {
        let apart = (a.to_f64() - b.to_f64()).abs();
        assert!(apart <= rtol * size, "{what}, entry {index}: {a:e} and {b:e} of {size:e}");
    }
}

fn with_problem<D: Dynamics>(dynamics: &D, lengths: &[usize], test: impl FnOnce(&Problem<'_, D>)) {
    let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
    let batch = lengths.len();
    let noise = &mut Noise::new(7);
    let x0: Array2<D::Real> = array(noise, (batch, n), batch * n);
    let inputs: Vec<Array2<D::Real>> =
        lengths.iter().map(|&steps| array(noise, (steps, m), steps * m)).collect();
    let views: Vec<_> = inputs.iter().map(|inputs| inputs.view()).collect();
    test(&Problem::ragged(dynamics, x0.view(), &views).unwrap());
}

fn rtol<R: Real>() -> f64 {
    if R::SINGLE { 2e-5 } else { 1e-12 }
}

/// `vjp` and `vjp_last` of a problem.
fn same_cotangents<D: Dynamics>(
    what: &str,
    problem: &Problem<'_, D>,
    cuda: &Cuda,
) -> Solution<D::Real> {
    let (batch, steps, n) = (problem.batch_size(), problem.max_steps(), problem.state_dim());
    let noise = &mut Noise::new(8);
    let cpu = Cpu::new();
    let solution = Solver::sequential().solve(problem, &cpu).unwrap();
    let rtol = rtol::<D::Real>();

    let cotangent: Array3<D::Real> = array(noise, (batch, steps, n), batch * steps * n);
    let here = solution.vjp(problem, cotangent.view(), cuda).unwrap();
    let there = solution.vjp(problem, cotangent.view(), &cpu).unwrap();
    close(&format!("{what}: params"), &here.params, &there.params, rtol);
    close(&format!("{what}: inputs"), &here.inputs, &there.inputs, rtol);
    close(&format!("{what}: initial state"), &here.initial_state, &there.initial_state, rtol);

    let last: Array2<D::Real> = array(noise, (batch, n), batch * n);
    let here = solution.vjp_last(problem, last.view(), cuda).unwrap();
    let there = solution.vjp_last(problem, last.view(), &cpu).unwrap();
    close(&format!("{what}: params, last"), &here.params, &there.params, rtol);
    close(&format!("{what}: initial state, last"), &here.initial_state, &there.initial_state, rtol);

    let row = last.view().insert_axis(Axis(1));
    let repeated = row.broadcast((batch, steps, n)).unwrap();
    let here = solution.vjp(problem, repeated, cuda).unwrap();
    let there = solution.vjp(problem, repeated, &cpu).unwrap();
    close(&format!("{what}: params, repeated"), &here.params, &there.params, rtol);
    close(&format!("{what}: inputs, repeated"), &here.inputs, &there.inputs, rtol);
    solution
}

/// `vjp`, `vjp_last` and `jvp` of sequences of `lengths` steps.
fn same_derivatives<D: Dynamics>(what: &str, dynamics: &D, lengths: &[usize]) {
    with_problem(dynamics, lengths, |problem| {
        let (batch, steps) = (problem.batch_size(), problem.max_steps());
        let (n, m) = (problem.state_dim(), problem.input_dim());
        let (cpu, cuda) = (Cpu::new(), cuda());
        let solution = same_cotangents(what, problem, &cuda);
        let noise = &mut Noise::new(9);
        let tangents = Tangents {
            params: array(noise, problem.params().len(), problem.params().len()),
            inputs: array(noise, (batch, steps, m), batch * steps * m),
            initial_state: array(noise, (batch, n), batch * n),
        };
        let here = solution.jvp(problem, &tangents, &cuda).unwrap();
        let there = solution.jvp(problem, &tangents, &cpu).unwrap();
        close(&format!("{what}: tangents"), &here, &there, rtol::<D::Real>());
    });
}

#[test]
fn derivatives_are_the_cpus() {
    same_derivatives("gru", &Gru::<f64>::random(2, 3, 1), &[1100, 67]);
    same_derivatives("gru, f32", &Gru::<f32>::random(2, 2, 1), &[700]);
    same_derivatives("elman", &Elman::<f64>::random(1, 4, 2), &[130, 0, 33]);
    same_derivatives("lstm", &Lstm::<f64>::random(2, 2, 3), &[129]);
    same_derivatives("lem", &Lem::<f64>::random(1, 2, 4).with_dt(0.5), &[200]);
    same_derivatives("diagonal gru", &DiagonalGru::<f64>::random(2, 3, 5), &[333]);
    same_derivatives("diagonal lstm", &DiagonalLstm::<f32>::random(2, 3, 6), &[222, 100]);
    same_derivatives("tanh", &Map::<f64>::tanh(4, 0.8, 8), &[127, 1]);
    // Differences last: the maps of blocks are composed.
    same_derivatives("linear, lasting", &Map::<f64>::tanh(2, 1.05, 9), &[1500]);
    // Others have no steps.
    same_derivatives(
        "few of many",
        &Gru::<f64>::random(1, 2, 12),
        &[[500].as_slice(), &[0; 40]].concat(),
    );
    // Too many to compose: blocks follow each other.
    same_derivatives("many, lasting", &Map::<f64>::tanh(13, 1.05, 9), &[300, 200]);
    // Handed on from block to block several times before it is lost.
    same_derivatives("fading", &Map::<f64>::tanh(2, 0.9, 10), &[1500, 40, 700]);
}

/// Kernels with a thread for each unit.
#[test]
fn cotangents_of_cells_are_the_cpus() {
    fn same<D: Dynamics>(what: &str, cell: &D, lengths: &[usize]) {
        with_problem(cell, lengths, |problem| {
            same_cotangents(what, problem, &cuda());
        });
    }
    same("gru 7, f32", &Gru::<f32>::random(2, 7, 1), &[300, 1, 67]);
    same("gru 16", &Gru::<f64>::random(3, 16, 2), &[200, 0, 130]);
    same("gru 20, f32", &Gru::<f32>::random(1, 20, 3), &[170]);
    same("gru 33", &Gru::<f64>::random(40, 33, 4), &[66]);
    same("gru 150, f32", &Gru::<f32>::random(2, 150, 5), &[70]);
    same("elman 5", &Elman::<f64>::random(1, 5, 6), &[150, 149]);
    same("elman 40, f32", &Elman::<f32>::random(2, 40, 7), &[90]);
    same("lstm 6, f32", &Lstm::<f32>::random(2, 6, 8), &[140, 20]);
    same("lstm 17", &Lstm::<f64>::random(2, 17, 9), &[100]);
    same("lstm 70, f32", &Lstm::<f32>::random(1, 70, 10), &[65, 3]);
    same("lem 5", &Lem::<f64>::random(1, 5, 11).with_dt(0.5), &[130, 40]);
    same("lem 18, f32", &Lem::<f32>::random(2, 18, 12).with_dt(0.5), &[100]);
    same("lem 35", &Lem::<f64>::random(2, 35, 13).with_dt(0.5), &[70]);
    same("elman 6, f32", &Elman::<f32>::random(1, 6, 16), &[80]);
    same("elman 32, f32", &Elman::<f32>::random(1, 32, 17), &[80]);
    same("elman 36", &Elman::<f64>::random(1, 36, 18), &[40]);
    same("lem 8, f32", &Lem::<f32>::random(1, 8, 19).with_dt(0.5), &[80]);
    same("lem 40, f32", &Lem::<f32>::random(1, 40, 20).with_dt(0.5), &[40]);
    same("lstm 9", &Lstm::<f64>::random(1, 9, 21), &[80]);
    same("gru 6, no inputs", &Gru::<f64>::random(0, 6, 23), &[90]);
    same("lstm 31, f32", &Lstm::<f32>::random(1, 31, 22), &[60]);
    // What is handed on lasts: the maps of blocks are composed, or blocks follow each other.
    same("lem 5, lasting", &Lem::<f64>::random(1, 5, 14).with_dt(1e-3), &[900]);
    same("lem 7, lasting", &Lem::<f64>::random(1, 7, 15).with_dt(1e-3), &[400, 200]);
}

/// On a card with little memory what steps leave is found for some blocks after others.
#[test]
fn cotangents_piece_by_piece_are_the_cpus() {
    crate::emulated("gradients::with_some_memory", "EMULATED_CUDA_MEMORY", "8000000");
    crate::emulated("gradients::with_little_memory", "EMULATED_CUDA_MEMORY", "1200000");
}

#[test]
#[ignore = "run by another test, with some memory"]
fn with_some_memory() {
    piece_by_piece();
}

#[test]
#[ignore = "run by another test, with so little memory that a piece is one block"]
fn with_little_memory() {
    piece_by_piece();
}

fn piece_by_piece() {
    fn same<D: Dynamics>(what: &str, dynamics: &D, lengths: &[usize]) {
        with_problem(dynamics, lengths, |problem| {
            same_cotangents(what, problem, &cuda());
        });
    }
    same("gru 33, pieces", &Gru::<f64>::random(20, 33, 4), &[130, 40]);
    same("lem 5, lasting, pieces", &Lem::<f64>::random(1, 5, 14).with_dt(1e-3), &[900]);
    same("tanh, pieces", &Map::<f64>::tanh(13, 0.9, 9), &[700, 200]);
    same("diagonal gru, pieces", &DiagonalGru::<f64>::random(9, 64, 3), &[150, 33]);
}

/// Other parameters of a problem take the place of those that were solved with before.
#[test]
fn other_parameters_of_a_cell() {
    let (gru, other) = (Gru::<f64>::random(1, 6, 1), Gru::<f64>::random(1, 6, 2));
    let (x0, inputs) = (Array1::zeros(6), Array2::ones((40, 1)));
    let cuda = cuda();
    let problem = Problem::new(&gru, x0.view(), inputs.view()).unwrap();
    Solver::sequential().solve(&problem, &cuda).unwrap();
    let problem = problem.with_params(other.params()).unwrap();
    same_cotangents("other parameters", &problem, &cuda);
    let here = Solver::sequential().solve(&problem, &cuda).unwrap();
    let there = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    let states = |solution: &Solution<f64>| solution.states().to_owned();
    close("states", &states(&here), &states(&there), 1e-13);
}

/// Blocks so long that the sums of their products leave the registers more than once.
#[test]
fn derivatives_over_long_blocks_are_the_cpus() {
    let elman = Elman::<f32>::random(1, 1, 2);
    let cuda = cuda().with_chunk_steps(512);
    with_problem(&elman, &[9700], |problem| {
        same_cotangents("long blocks", problem, &cuda);
    });
}

/// Where kernels lack registers, they read θ from shared memory.
#[test]
fn theta_comes_from_shared_memory_where_registers_are_lacking() {
    assert_eq!(modules_of_a_gradient(), 5);
    crate::emulated("gradients::with_few_registers", "EMULATED_CUDA_SPILLS", "100000");
}

#[test]
#[ignore = "run by another test, on a device that lacks registers"]
fn with_few_registers() {
    // The loop's and that of `vjp` are compiled in both forms.
    assert_eq!(modules_of_a_gradient(), 7);
    same_derivatives("gru", &Gru::<f64>::random(2, 3, 1), &[200, 67]);
    same_derivatives("gru, f32", &Gru::<f32>::random(2, 8, 1), &[100]);
    same_derivatives("lstm", &Lstm::<f64>::random(2, 2, 3), &[129]);
    same_derivatives("without parameters", &Map::<f64>::tanh(2, 0.9, 8), &[127, 1]);
    all_forms("gru 2, f32", &Gru::<f32>::random(2, 2, 1), &[101, 1, 64]);
    all_forms("tanh 10, f64", &Map::<f64>::tanh(10, 0.9, 10), &[89]);
}

/// Modules that are compiled for a solution by the loop, and a gradient along it.
fn modules_of_a_gradient() -> usize {
    // None of its kernels spills on any card: ptx/generated.md.
    let elman = Elman::<f64>::random(2, 1, 0);
    let (x0, inputs) = (Array1::zeros(1), Array2::ones((100, 2)));
    let problem = Problem::new(&elman, x0.view(), inputs.view()).unwrap();
    let cuda = cuda();
    let solution = Solver::sequential().solve(&problem, &cuda).unwrap();
    solution.vjp(&problem, solution.states(), &cuda).unwrap();
    cuda.compiled_modules()
}

/// States that fall into parts, of which each thread has one.
#[test]
fn derivatives_of_many_components_are_the_cpus() {
    same_derivatives("diagonal gru, f32", &DiagonalGru::<f32>::random(2, 256, 1), &[70, 33]);
    same_derivatives("diagonal lstm", &DiagonalLstm::<f64>::random(1, 256, 2), &[50]);
    same_derivatives("diagonal gru, many blocks", &DiagonalGru::<f64>::random(2, 20, 3), &[900, 1]);
    same_derivatives("three kinds", &Assorted::new(), &[41, 64]);
    same_derivatives("interleaved", &Rotations::new(true), &[40]);
    same_derivatives("side by side", &Rotations::new(false), &[20, 0, 30]);
}

#[test]
fn a_loss_is_differentiated_on_the_device() {
    let gru = Gru::<f64>::random(1, 2, 0);
    let inputs = Array2::from_elem((300, 1), 0.2);
    let x0 = Array1::zeros(2);
    let problem = Problem::new(&gru, x0.view(), inputs.view()).unwrap();
    let loss = |states: ndarray::ArrayView3<'_, f64>| {
        (0.5 * states.iter().map(|x| x * x).sum::<f64>(), states.to_owned())
    };
    let (here, gradient) = Solver::auto().value_and_gradient(&problem, loss, &cuda()).unwrap();
    let (there, expected) = Solver::auto().value_and_gradient(&problem, loss, &Cpu::new()).unwrap();
    assert!((here - there).abs() <= 1e-12 * there);
    close("params", &gradient.params, &expected.params, 1e-12);
}

/// States and inputs that are on the device still are taken from there, and never another solution's.
#[test]
fn derivatives_along_the_last_solution_and_others() {
    let gru = Gru::<f64>::random(1, 3, 0);
    let x0 = Array1::zeros(3);
    let inputs = [0.3, -0.8].map(|u| Array2::from_elem((150, 1), u));
    let problems = inputs.each_ref().map(|u| Problem::new(&gru, x0.view(), u.view()).unwrap());
    let cotangent = Array3::ones((1, 150, 3));
    let gradient = |problem, solution: &Solution<f64>, cuda: &Cuda| {
        solution.vjp(problem, cotangent.view(), cuda).unwrap()
    };
    let fresh = |problem| {
        let solution = Solver::sequential().solve(problem, &cuda()).unwrap();
        gradient(problem, &solution, &cuda())
    };
    let cuda = cuda();
    let first = Solver::sequential().solve(&problems[0], &cuda).unwrap();
    let expected = problems.each_ref().map(fresh);
    let copied = |problem: usize, solution: &Solution<f64>| {
        let before = cuda.copied_bytes();
        assert_eq!(gradient(&problems[problem], solution, &cuda), expected[problem]);
        cuda.copied_bytes() - before
    };
    // What is copied once comes with the first.
    copied(0, &first);
    let along_kept = copied(0, &first);
    let second = Solver::sequential().solve(&problems[1], &cuda).unwrap();
    for _ in 0..2 {
        copied(1, &second.clone());
        // Three components, and an input.
        assert_eq!(copied(0, &first), along_kept + 150 * (3 + 1) * 8);
    }
    // A cotangent that is no number is named.
    let mut bad = cotangent.clone();
    bad[(0, 149, 1)] = f64::NAN;
    let error = second.vjp(&problems[1], bad.view(), &cuda).unwrap_err().to_string();
    assert!(error.contains("cotangent") && error.contains("149, 1"), "{error}");
    // Under other parameters the states stay, and fit no more.
    let other = Gru::<f64>::random(1, 3, 9);
    let problem = Problem::new(&other, x0.view(), inputs[1].view()).unwrap();
    assert!(second.vjp(&problem, cotangent.view(), &cuda).is_err());
}
