//! Empty, short, ragged and strided problems.

use crate::common::reference::{Allowance, bits, check_honest, difference, plain_loop};
use crate::maps::{Kind, Map, Noise, methods, with_block};
use deer_solver::cells::{DiagonalGru, DiagonalLstm, Elman, Gru, Lem, Lstm};
use deer_solver::{Cpu, Dynamics, Problem, Solution, Termination};
use ndarray::{Array1, Array2, Array3, ArrayView2, Axis, s};

/// Solves with every method and some blocks, and checks that the solution is the loop's.
fn every_method<D: Dynamics<Real = f64>>(what: &str, problem: &Problem<'_, D>) {
    let (cpu, expected) = (Cpu::with_threads(2).unwrap(), plain_loop(problem));
    for solver in methods() {
        for block in [None, Some(1), Some(16), Some(usize::MAX)] {
            let solution = with_block(&solver, block).solve(problem, &cpu).unwrap();
            let what = format!("{what}, {}, block {block:?}", solver.method);
            check_equal(&what, problem, &solution, &expected);
        }
    }
}

fn check_equal<D: Dynamics<Real = f64>>(
    what: &str,
    problem: &Problem<'_, D>,
    solution: &Solution<f64>,
    expected: &Array3<f64>,
) {
    assert!(solution.converged(), "{what}: {:?}", solution.terminations());
    assert!(solution.terminations().iter().all(|&t| t == Termination::Converged), "{what}");
    let apart = difference(solution.states(), expected.view());
    assert!(apart < 1e-12, "{what}: off by {apart:e}");
    check_honest(what, problem, solution, Allowance::of::<f64>(1.0));
    assert!(!solution.report().residual.is_nan(), "{what}");
    assert!(!solution.report().to_string().is_empty(), "{what}");
}

#[test]
fn no_steps_and_one_step() {
    for n in [0, 1, 2, 5] {
        let map = Map::<f64>::tanh(n, 0.7, 1);
        let x0 = Array1::from_elem(n, 0.3);
        for steps in [0, 1, 2] {
            let inputs = Array2::from_elem((steps, 1), 0.5);
            let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
            every_method(&format!("n = {n}, T = {steps}"), &problem);
            let solution = methods()[0].solve(&problem, &Cpu::new()).unwrap();
            assert_eq!(solution.states().shape(), [1, steps, n]);
            assert_eq!(solution.trajectory(0).shape(), [steps, n]);
        }
    }
}

#[test]
fn no_components() {
    let map = Map::<f64>::tanh(0, 1.0, 1);
    let inputs = Array2::from_elem((700, 1), 0.5);
    let problem = Problem::new(&map, Array1::zeros(0).view(), inputs.view()).unwrap();
    every_method("n = 0", &problem);
    let solution = methods()[0].solve(&problem, &Cpu::new()).unwrap();
    assert_eq!(solution.states().shape(), [1, 700, 0]);
}

#[test]
fn no_sequences() {
    let map = Map::<f64>::tanh(2, 0.7, 1);
    let (x0, inputs) = (Array2::zeros((0, 2)), Array3::zeros((0, 9, 1)));
    let problem = Problem::batch(&map, x0.view(), inputs.view()).unwrap();
    every_method("B = 0", &problem);
    let solution = methods()[0].solve(&problem, &Cpu::new()).unwrap();
    assert_eq!(solution.states().shape(), [0, 9, 2]);
    assert!(solution.terminations().is_empty());
    assert_eq!(solution.termination(), Termination::Converged);
    every_method("B = 0, guess", &problem.with_guess(solution.states()).unwrap());
    let problem = Problem::ragged(&map, x0.view(), &[]).unwrap();
    every_method("B = 0, ragged", &problem);
}

#[test]
fn no_inputs() {
    let map = Map::<f64>::new(Kind::Rotation, &[0.3, 0.4]);
    let x0 = Array1::from(vec![1.0, 2.0]);
    let autonomous = Problem::autonomous(&map, x0.view(), 50).unwrap();
    every_method("autonomous", &autonomous);
    let inputs = Array2::zeros((50, 0));
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    every_method("m = 0", &problem);
    let (x0, inputs) = (Array2::ones((3, 2)), Array3::zeros((3, 50, 0)));
    let problem = Problem::batch(&map, x0.view(), inputs.view()).unwrap();
    every_method("m = 0, batch", &problem);
    let gru = Gru::<f64>::random(0, 3, 1);
    let x0 = Array1::ones(3);
    every_method("cell without inputs", &Problem::autonomous(&gru, x0.view(), 300).unwrap());
}

#[test]
fn ragged_with_empty_sequences() {
    let map = Map::<f64>::tanh(3, 0.7, 1);
    for lengths in [vec![0, 40, 0, 17, 300, 1, 0], vec![0, 0], vec![33; 40]] {
        let mut noise = Noise::new(3);
        let inputs: Vec<Array2<f64>> = lengths
            .iter()
            .map(|&t| Array2::from_shape_vec((t, 1), noise.vec(t, 1.0)).unwrap())
            .collect();
        let views: Vec<ArrayView2<'_, f64>> = inputs.iter().map(|u| u.view()).collect();
        let x0 = Array2::from_shape_vec((lengths.len(), 3), noise.vec(3 * lengths.len(), 1.0));
        let x0 = x0.unwrap();
        let problem = Problem::ragged(&map, x0.view(), &views).unwrap();
        every_method(&format!("{lengths:?}"), &problem);
        let solution = methods()[5].solve(&problem, &Cpu::new()).unwrap();
        for (b, &steps) in lengths.iter().enumerate() {
            assert_eq!(solution.trajectory(b).shape(), [steps, 3]);
            assert!(solution.states().slice(s![b, steps.., ..]).iter().all(|&x| x == 0.0));
        }
    }
}

/// Views that are not contiguous give the bits of their contiguous copies.
#[test]
fn strided_views() {
    let gru = Gru::<f64>::random(2, 3, 1);
    let (batch, steps) = (3, 130);
    let mut noise = Noise::new(4);
    let wide = Array3::from_shape_vec((2 * steps, 4, batch), noise.vec(8 * steps * batch, 1.0));
    let wide = wide.unwrap();
    let inputs = wide.slice(s![..;-2, 1..3, ..]).permuted_axes([2, 0, 1]);
    let columns = Array2::from_shape_vec((3, 2 * batch), noise.vec(6 * batch, 1.0)).unwrap();
    let x0 = columns.slice(s![.., ..;2]).reversed_axes();
    let guesses = Array3::from_shape_vec((3, steps, batch), noise.vec(3 * steps * batch, 1.0));
    let guesses = guesses.unwrap();
    let guess = guesses.view().reversed_axes();
    assert!(
        !inputs.is_standard_layout() && !x0.is_standard_layout() && !guess.is_standard_layout()
    );
    let copy = |view: ndarray::ArrayView3<'_, f64>| view.as_standard_layout().into_owned();
    let (inputs_copy, guess_copy) = (copy(inputs), copy(guess));
    let x0_copy = x0.as_standard_layout().into_owned();
    let cpu = Cpu::new();
    let problem = Problem::batch(&gru, x0, inputs).unwrap();
    let same = Problem::batch(&gru, x0_copy.view(), inputs_copy.view()).unwrap();
    let solve = |problem: &Problem<'_, _>, method: usize| {
        bits(methods()[method].solve(problem, &cpu).unwrap().states())
    };
    every_method("strided", &problem);
    for method in 0..6 {
        assert_eq!(solve(&problem, method), solve(&same, method));
    }
    let problem = problem.with_guess(guess).unwrap();
    let same = same.with_guess(guess_copy.view()).unwrap();
    every_method("strided guess", &problem);
    for method in 0..6 {
        assert_eq!(solve(&problem, method), solve(&same, method));
    }
    // One sequence, and sequences of their own.
    let (first, x0_first) = (inputs.index_axis(Axis(0), 0), x0.row(0));
    assert!(!first.is_standard_layout());
    every_method("one strided", &Problem::new(&gru, x0_first, first).unwrap());
    let views: Vec<_> = inputs.axis_iter(Axis(0)).collect();
    every_method("ragged strided", &Problem::ragged(&gru, x0, &views).unwrap());
}

/// A cell's own parameters are never read where a problem has others.
fn other_params<D: Dynamics<Real = f64>>(what: &str, cell: &D) {
    let (n, m) = (cell.state_dim(), cell.input_dim());
    let mut noise = Noise::new(6);
    let params: Vec<f64> = cell.params().iter().map(|p| 0.5 * p + 0.1 * noise.next()).collect();
    let inputs = Array2::from_shape_vec((90, m), noise.vec(90 * m, 1.0)).unwrap();
    let x0 = Array1::from(noise.vec::<f64>(n, 1.0));
    let own = Problem::new(cell, x0.view(), inputs.view()).unwrap();
    let other = Problem::new(cell, x0.view(), inputs.view()).unwrap().with_params(&params).unwrap();
    assert_eq!(other.params(), params);
    assert!(difference(plain_loop(&own).view(), plain_loop(&other).view()) > 1e-3, "{what}");
    every_method(what, &other);
}

#[test]
fn parameters_of_the_problem() {
    for hidden in [2, 17] {
        other_params("gru", &Gru::<f64>::random(2, hidden, 1));
        other_params("elman", &Elman::<f64>::random(2, hidden, 2));
    }
    other_params("lstm", &Lstm::<f64>::random(2, 3, 3));
    other_params("lem", &Lem::<f64>::random(2, 3, 4).with_dt(0.9));
    other_params("diagonal gru", &DiagonalGru::<f64>::random(2, 17, 5));
    other_params("diagonal lstm", &DiagonalLstm::<f64>::random(2, 17, 6));
    other_params("tanh", &Map::<f64>::tanh(3, 0.9, 7));
}

#[test]
fn workspace_of_a_step() {
    let map = Map::<f64>::new(Kind::Workspace, &[0.6, 0.5]);
    let mut noise = Noise::new(8);
    let inputs = Array3::from_shape_vec((2, 211, 1), noise.vec(422, 1.0)).unwrap();
    let x0 = Array2::from_shape_vec((2, 2), noise.vec(4, 1.0)).unwrap();
    every_method("workspace", &Problem::batch(&map, x0.view(), inputs.view()).unwrap());
}
