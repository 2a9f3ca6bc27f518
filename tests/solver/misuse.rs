//! Bad data and bad settings: errors that name the argument.

use crate::maps::{Kind, Map};
use deer_solver::{Cpu, Error, Problem, Solver};
use ndarray::{Array1, Array2, Array3};

fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

/// Two components, one input.
fn map() -> Map<f64> {
    Map::tanh(2, 0.9, 1)
}

#[test]
fn shapes() {
    let map = map();
    let vector = |n| Array1::<f64>::zeros(n);
    let matrix = |a, b| Array2::<f64>::zeros((a, b));
    let cube = |a, b, c| Array3::<f64>::zeros((a, b, c));
    let new = |n, m| message(Problem::new(&map, vector(n).view(), matrix(9, m).view()));
    assert_eq!(new(3, 1), "x0: expected shape [n = 2], got [3]");
    assert_eq!(new(2, 2), "inputs: expected shape [T, m = 1] for each sequence, got [9, 2]");
    let batch = |b, n, m| message(Problem::batch(&map, matrix(b, n).view(), cube(4, 9, m).view()));
    assert_eq!(batch(3, 2, 1), "x0: expected shape [B = 4, n = 2], got [3, 2]");
    assert_eq!(batch(4, 1, 1), "x0: expected shape [B = 4, n = 2], got [4, 1]");
    assert!(batch(4, 2, 3).starts_with("inputs: expected shape "), "{}", batch(4, 2, 3));
    assert!(batch(4, 2, 3).ends_with("3]"), "{}", batch(4, 2, 3));
    let (good, bad) = (matrix(5, 1), matrix(6, 2));
    let ragged = Problem::ragged(&map, matrix(2, 2).view(), &[good.view(), bad.view()]);
    let expected = "inputs: expected shape [T, m = 1] for each sequence, got [6, 2]";
    assert_eq!(message(ragged), expected);
    let ragged = Problem::ragged(&map, matrix(1, 2).view(), &[good.view(), good.view()]);
    assert_eq!(message(ragged), "x0: expected shape [B = 2, n = 2], got [1, 2]");
    let autonomous = message(Problem::autonomous(&map, vector(2).view(), 9));
    assert!(autonomous.starts_with("dynamics: "), "{autonomous}");
    let logistic = Map::<f64>::new(Kind::Logistic, &[4.0]);
    let autonomous = message(Problem::autonomous(&logistic, vector(2).view(), 9));
    assert_eq!(autonomous, "x0: expected shape [n = 1], got [2]");

    let x0 = vector(2);
    let problem = || Problem::new(&map, x0.view(), good.view()).unwrap();
    let guess = cube(1, 4, 2);
    let expected = "guess: expected shape [B = 1, T = 5, n = 2], got [1, 4, 2]";
    assert_eq!(message(problem().with_guess(guess.view())), expected);
    let params = problem().params().len();
    let expected = format!("params: expected shape [{params}], got [2]");
    assert_eq!(message(problem().with_params(&[0.0, 0.0])), expected);
}

#[test]
fn numbers_that_are_not_finite() {
    let map = map();
    for (bad, text) in [(f64::NAN, "NaN"), (f64::INFINITY, "inf"), (f64::NEG_INFINITY, "-inf")] {
        let end = format!(": expected a finite number, got {text}");
        let zeros = Array1::zeros(2);
        let mut x0 = zeros.clone();
        let mut inputs = Array2::zeros((3000, 1));
        let finite = inputs.clone();
        x0[1] = bad;
        inputs[[2500, 0]] = bad;
        inputs[[2600, 0]] = f64::NAN;
        let new = message(Problem::new(&map, x0.view(), finite.view()));
        assert_eq!(new, format!("x0[1]{end}"));
        let new = message(Problem::new(&map, zeros.view(), inputs.view()));
        assert_eq!(new, format!("inputs[2500, 0]{end}"));
        let ragged_x0 = Array2::zeros((2, 2));
        let views = [finite.view(), inputs.view()];
        let ragged = message(Problem::ragged(&map, ragged_x0.view(), &views));
        assert_eq!(ragged, format!("inputs[1, 2500, 0]{end}"));
        let mut ragged_x0 = ragged_x0;
        ragged_x0[[1, 0]] = bad;
        let ragged = message(Problem::ragged(&map, ragged_x0.view(), &views));
        assert_eq!(ragged, format!("x0[1, 0]{end}"));
        let autonomous = Map::<f64>::new(Kind::Rotation, &[0.0, 1.0]);
        let autonomous = message(Problem::autonomous(&autonomous, x0.view(), 3));
        assert_eq!(autonomous, format!("x0[1]{end}"));

        // In a batch whose axes lie in memory the other way round.
        let mut inputs = Array3::zeros((1, 70, 3));
        inputs[[0, 69, 2]] = bad;
        let inputs = inputs.reversed_axes();
        let zeros = Array2::zeros((3, 2));
        let batch = message(Problem::batch(&map, zeros.view(), inputs.view()));
        assert_eq!(batch, format!("inputs[2, 69, 0]{end}"));
        let mut x0 = Array2::zeros((2, 3));
        x0[[1, 2]] = bad;
        let good = Array3::zeros((3, 70, 1));
        let batch = message(Problem::batch(&map, x0.t(), good.view()));
        assert_eq!(batch, format!("x0[2, 1]{end}"));

        let problem = || Problem::batch(&map, zeros.view(), good.view()).unwrap();
        let mut guess = Array3::zeros((2, 70, 3));
        guess[[1, 69, 2]] = bad;
        let guess = message(problem().with_guess(guess.view().reversed_axes()));
        assert_eq!(guess, format!("guess[2, 69, 1]{end}"));
        let mut params = problem().params().to_vec();
        params[3] = bad;
        assert_eq!(message(problem().with_params(&params)), format!("params[3]{end}"));
    }
}

#[test]
fn settings() {
    let map = map();
    let (x0, inputs) = (Array1::zeros(2), Array2::zeros((30, 1)));
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    let solve = |solver: Solver| message(solver.solve(&problem, &Cpu::new()));
    assert_eq!(solve(Solver::deer().block(0)), "block: expected at least 1 step, got 0");
    for k in [2.0, -0.1, f64::NAN, f64::INFINITY] {
        let expected = format!("damping: expected a number from 0 to 1, got {k}");
        assert_eq!(solve(Solver::quasi_deer().damping(k)), expected);
    }
    for bad in [-1.0, f64::NAN, f64::INFINITY] {
        let expected = format!(": expected a finite number, at least 0, got {bad}");
        let atol = solve(Solver::auto().tolerance(bad, 0.0));
        assert_eq!(atol, format!("tolerance: atol{expected}"));
        let rtol = solve(Solver::sequential().tolerance(0.0, bad));
        assert_eq!(rtol, format!("tolerance: rtol{expected}"));
    }
    for solver in crate::maps::methods() {
        let none = solve(solver.max_sweeps(0));
        assert_eq!(none, "max_sweeps: expected at least 1 sweep, got 0");
    }
    assert_eq!(message(Cpu::with_threads(0)), "threads: expected at least 1, got 0");
}
