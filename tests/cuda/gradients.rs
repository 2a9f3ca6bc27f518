//! Derivatives, against the CPU's.

use crate::cuda;
use crate::maps::{Map, Noise};
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

/// `vjp`, `vjp_last` and `jvp` of sequences of `lengths` steps.
fn same_derivatives<D: Dynamics>(what: &str, dynamics: &D, lengths: &[usize]) {
    let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
    let batch = lengths.len();
    let noise = &mut Noise::new(7);
    let x0: Array2<D::Real> = array(noise, (batch, n), batch * n);
    let inputs: Vec<Array2<D::Real>> =
        lengths.iter().map(|&steps| array(noise, (steps, m), steps * m)).collect();
    let views: Vec<_> = inputs.iter().map(|inputs| inputs.view()).collect();
    let problem = Problem::ragged(dynamics, x0.view(), &views).unwrap();
    let steps = problem.max_steps();
    let (cpu, cuda) = (Cpu::new(), cuda());
    let solution = Solver::sequential().solve(&problem, &cpu).unwrap();
    let rtol = if <D::Real as Real>::SINGLE { 2e-5 } else { 1e-12 };

    let cotangent: Array3<D::Real> = array(noise, (batch, steps, n), batch * steps * n);
    let here = solution.vjp(&problem, cotangent.view(), &cuda).unwrap();
    let there = solution.vjp(&problem, cotangent.view(), &cpu).unwrap();
    close(&format!("{what}: params"), &here.params, &there.params, rtol);
    close(&format!("{what}: inputs"), &here.inputs, &there.inputs, rtol);
    close(&format!("{what}: initial state"), &here.initial_state, &there.initial_state, rtol);

    let last: Array2<D::Real> = array(noise, (batch, n), batch * n);
    let here = solution.vjp_last(&problem, last.view(), &cuda).unwrap();
    let there = solution.vjp_last(&problem, last.view(), &cpu).unwrap();
    close(&format!("{what}: params, last"), &here.params, &there.params, rtol);
    close(&format!("{what}: initial state, last"), &here.initial_state, &there.initial_state, rtol);

    let row = last.view().insert_axis(Axis(1));
    let repeated = row.broadcast((batch, steps, n)).unwrap();
    let here = solution.vjp(&problem, repeated, &cuda).unwrap();
    let there = solution.vjp(&problem, repeated, &cpu).unwrap();
    close(&format!("{what}: params, repeated"), &here.params, &there.params, rtol);
    close(&format!("{what}: inputs, repeated"), &here.inputs, &there.inputs, rtol);

    let tangents = Tangents {
        params: array(noise, problem.params().len(), problem.params().len()),
        inputs: array(noise, (batch, steps, m), batch * steps * m),
        initial_state: array(noise, (batch, n), batch * n),
    };
    let here = solution.jvp(&problem, &tangents, &cuda).unwrap();
    let there = solution.jvp(&problem, &tangents, &cpu).unwrap();
    close(&format!("{what}: tangents"), &here, &there, rtol);
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
    // Under other parameters the states stay, and fit no more.
    let other = Gru::<f64>::random(1, 3, 9);
    let problem = Problem::new(&other, x0.view(), inputs[1].view()).unwrap();
    assert!(second.vjp(&problem, cotangent.view(), &cuda).is_err());
}
