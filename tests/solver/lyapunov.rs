//! Lyapunov exponents and growth over windows, where they are known; predicted sweeps against those needed.

use crate::maps::{Kind, Map, Noise};
use deer_solver::cells::{DiagonalGru, Gru, Lstm};
use deer_solver::{Cpu, Dynamics, Problem, Solution, Solver, diagnostics};
use ndarray::{Array1, Array2, Array3};

fn by_loop<D: Dynamics>(problem: &Problem<'_, D>) -> Solution<D::Real> {
    Solver::sequential().solve(problem, &Cpu::new()).unwrap()
}

fn exponent(map: &Map<f64>, x0: &[f64], steps: usize) -> f64 {
    let x0 = Array1::from(x0.to_vec());
    let problem = Problem::autonomous(map, x0.view(), steps).unwrap();
    diagnostics::lyapunov(&problem, &by_loop(&problem)).unwrap().exponent
}

#[test]
fn exponents_of_known_maps() {
    let near = |what: &str, got: f64, known: f64, tolerance: f64| {
        assert!((got - known).abs() <= tolerance, "{what}: {got} in place of {known}");
    };
    // Chaos: ln 2, and Hénon's 0.4192.
    let logistic = Map::new(Kind::Logistic, &[4.0]);
    near("logistic", exponent(&logistic, &[0.3], 20_000), 2f64.ln(), 0.01);
    let henon = Map::new(Kind::Henon, &[]);
    near("henon", exponent(&henon, &[0.1, 0.1], 50_000), 0.4192, 0.01);
    // Lorenz' 0.906 per unit of time, by short steps.
    let lorenz = Map::new(Kind::Lorenz, &[1e-3]);
    near("lorenz", exponent(&lorenz, &[1.0, 1.0, 20.0], 300_000) / 1e-3, 0.906, 0.1);
    // A period of two: half the logarithm of the product of the slopes p (1 − 2x).
    let period = |p: f64| (4.0 + 2.0 * p - p * p).abs().ln() / 2.0;
    let logistic = Map::new(Kind::Logistic, &[3.2]);
    near("period 2", exponent(&logistic, &[0.3], 5000), period(3.2), 1e-3);
    let rotation = Map::new(Kind::Rotation, &[0.9 * 0.6, 0.9 * 0.8]);
    near("rotation", exponent(&rotation, &[1.0, 0.0], 500), 0.9f64.ln(), 1e-12);
}

#[test]
fn growth_over_windows() {
    let rotation = Map::<f64>::new(Kind::Rotation, &[0.9 * 0.6, 0.9 * 0.8]);
    let x0 = Array1::from(vec![1.0, 0.0]);
    let problem = Problem::autonomous(&rotation, x0.view(), 250).unwrap();
    let lyapunov = diagnostics::lyapunov(&problem, &by_loop(&problem)).unwrap();
    let steps: Vec<usize> = lyapunov.growth.iter().map(|growth| growth.steps).collect();
    assert_eq!(steps, [16, 32, 64, 128]);
    for growth in &lyapunov.growth {
        let exact = 0.9f64.powi(growth.steps as i32);
        assert!((growth.largest / exact - 1.0).abs() < 1e-12, "{growth:?}");
        assert!((growth.mean / exact - 1.0).abs() < 1e-12, "{growth:?}");
    }
    assert_eq!(lyapunov.overshoot, 1.0);
    // 0.9^k ≤ 1e-6
    assert_eq!(lyapunov.memory(1e-6), Some(132));
    assert_eq!(lyapunov.sweeps(50, 1e-6), 4);
    assert_eq!(lyapunov.sweeps(250, 1e-6), 1);
}

/// Products overflow and vanish in between; a negative exponent hides that.
#[test]
fn expands_before_it_contracts() {
    let map = Map::<f64>::new(Kind::Affine, &[]);
    let gain = |t: usize| if t % 512 < 128 { 8.0 } else { 0.25 };
    let inputs = Array2::from_shape_fn((4096, 2), |(t, i)| if i == 0 { gain(t) } else { 0.0 });
    let x0 = Array1::from_elem(1, 1e-3);
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    let lyapunov = diagnostics::lyapunov(&problem, &by_loop(&problem)).unwrap();
    assert!(lyapunov.exponent < -0.3, "{lyapunov}");
    assert!((lyapunov.overshoot / 8f64.powi(128) - 1.0).abs() < 1e-9, "{lyapunov}");
    // 128 steps of expansion, 192 that undo them, and ten more.
    let memory = lyapunov.memory(1e-6).unwrap();
    assert!(memory.abs_diff(330) < 5, "{memory}, {lyapunov}");
    let mut printed = lyapunov.to_string().lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(printed[0].starts_with("exponent   -0.5"), "{printed:?}");
    assert!(printed.pop().unwrap().contains("4096 steps"));
}

#[test]
fn single_precision_batches_and_nothing() {
    let map = Map::<f32>::new(Kind::Affine, &[]);
    // One contracts, one expands beyond single precision within a window: the worst counts.
    let inputs = Array3::from_shape_fn((2, 320, 2), |(b, _, i)| {
        if i == 1 {
            0.0
        } else if b == 0 {
            0.5
        } else {
            3.0
        }
    });
    let x0 = Array2::zeros((2, 1));
    let problem = Problem::batch(&map, x0.view(), inputs.view()).unwrap();
    let lyapunov = diagnostics::lyapunov(&problem, &by_loop(&problem)).unwrap();
    assert!((lyapunov.exponent - 3f64.ln()).abs() < 1e-6, "{lyapunov}");
    let longest = lyapunov.growth.last().unwrap();
    assert!((longest.largest.ln() / 256.0 - 3f64.ln()).abs() < 1e-6, "{lyapunov}");
    assert_eq!(lyapunov.memory(0.1), None);
    assert_eq!(lyapunov.sweeps(10, 0.1), 32);
    let inputs = Array3::zeros((2, 0, 2));
    let problem = Problem::batch(&map, x0.view(), inputs.view()).unwrap();
    let lyapunov = diagnostics::lyapunov(&problem, &by_loop(&problem)).unwrap();
    assert_eq!((lyapunov.exponent, lyapunov.sweeps(1, 0.1)), (f64::NEG_INFINITY, 1));
}

/// Block Jacobi takes as many sweeps as predicted, give or take one in five.
#[test]
fn sweeps_are_predicted() {
    let mut told = Vec::new();
    sweeps(&mut told, "gru", &Gru::<f64>::random(2, 3, 1));
    sweeps(&mut told, "gru 6", &Gru::<f64>::random(2, 6, 2));
    sweeps(&mut told, "diagonal gru", &DiagonalGru::<f64>::random(2, 3, 1));
    sweeps(&mut told, "lstm", &Lstm::<f64>::random(2, 2, 1));
    for gain in [0.5, 0.9, 1.1] {
        sweeps(&mut told, "tanh", &Map::<f64>::tanh(3, gain, 3));
    }
    let weak = 0.97 / 2f64.sqrt();
    sweeps(&mut told, "rotation", &Map::<f64>::new(Kind::Rotation, &[weak, weak]));
    let off = |told: &&(String, usize, usize)| {
        let (predicted, taken) = (told.1, told.2);
        predicted.abs_diff(taken) > 1 + taken / 5
    };
    let wrong: Vec<_> = told.iter().filter(off).collect();
    assert!(told.iter().any(|told| told.2 > 5), "{told:?}");
    assert!(wrong.is_empty(), "predicted and taken: {wrong:?} of {told:?}");
}

fn sweeps<D: Dynamics<Real = f64>>(
    told: &mut Vec<(String, usize, usize)>,
    what: &str,
    dynamics: &D,
) {
    let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
    let mut noise = Noise::new(5);
    let x0 = Array1::from(noise.vec::<f64>(n, 1.0));
    let inputs = Array2::from_shape_vec((2000, m), noise.vec(2000 * m, 1.0)).unwrap();
    let problem = Problem::batch(
        dynamics,
        x0.view().insert_axis(ndarray::Axis(0)),
        inputs.view().insert_axis(ndarray::Axis(0)),
    )
    .unwrap();
    let lyapunov = diagnostics::lyapunov(&problem, &by_loop(&problem)).unwrap();
    for block in [10, 40, 160] {
        let rtol = 1e-10;
        let solver = Solver::jacobi().tolerance(rtol, 0.0).block(block);
        let solution = solver.solve(&problem, &Cpu::new()).unwrap();
        let taken = solution.report().sweeps;
        told.push((format!("{what}, {block}"), lyapunov.sweeps(block, rtol), taken));
    }
}

#[test]
fn another_problem_is_refused() {
    let map = Map::<f64>::tanh(2, 0.5, 1);
    let x0 = Array1::zeros(2);
    let (long, short) = (Array2::zeros((10, 1)), Array2::zeros((9, 1)));
    let problem = Problem::new(&map, x0.view(), long.view()).unwrap();
    let other = Problem::new(&map, x0.view(), short.view()).unwrap();
    let solution = by_loop(&other);
    let error = diagnostics::lyapunov(&problem, &solution).unwrap_err().to_string();
    assert!(error.starts_with("solution: expected shape that of a solution"), "{error}");
    let error = diagnostics::error_bound(&problem, &solution, &Cpu::new()).unwrap_err();
    assert!(error.to_string().contains("got [1, 9, 2]"), "{error}");
}
