//! Recurrences with delays against the loop over their history.

use deer_solver::dynamics::{Delayed, DelayedStep};
use deer_solver::scalar::{Param, Scalar};
use deer_solver::{Cpu, Dynamics, Solver, check};
use ndarray::{Array1, Array2, Array3, array};

/// x_t = tanh(Σ_i a_i x_{t−s_i} + u_t) for both components, which the last delay exchanges.
struct Taps {
    delays: Vec<usize>,
    weights: Vec<f64>,
}

impl Taps {
    fn new(delays: &[usize]) -> Self {
        let weights = (0..delays.len()).map(|i| 0.9 / (1.0 + i as f64) - 0.3).collect();
        Self { delays: delays.to_vec(), weights }
    }

    /// The loop over all states there have been.
    fn reference(&self, history: &Array2<f64>, inputs: &Array2<f64>) -> Array2<f64> {
        let mut all: Vec<[f64; 2]> = history.outer_iter().map(|x| [x[0], x[1]]).collect();
        for u in inputs.outer_iter() {
            let mut sum = [u[0], -u[0]];
            for (i, delay) in self.delays.iter().enumerate() {
                let past = all[all.len() - delay];
                let swap = usize::from(i + 1 == self.delays.len());
                for j in 0..2 {
                    sum[j] += self.weights[i] * past[(j + swap) % 2];
                }
            }
            all.push(sum.map(f64::tanh));
        }
        Array2::from_shape_fn((inputs.nrows(), 2), |(t, j)| all[history.nrows() + t][j])
    }
}

impl DelayedStep for Taps {
    type Real = f64;
    fn state_dim(&self) -> usize {
        2
    }
    fn delays(&self) -> &[usize] {
        &self.delays
    }
    fn input_dim(&self) -> usize {
        1
    }
    fn params(&self) -> &[f64] {
        &self.weights
    }
    fn scratch_dim(&self) -> usize {
        1
    }
    #[inline(always)]
    fn step<S: Scalar<Real = f64>>(&self, p: &[Param<S>], past: &[S], u: &[S], next: &mut [S]) {
        let taps = self.delays.len();
        next[2] = u[0];
        (next[0], next[1]) = (next[2], -next[2]);
        for i in 0..taps {
            let swap = usize::from(i + 1 == taps);
            for j in 0..2 {
                next[j] = past[2 * i + (j + swap) % 2].mul_add_param(p[i], next[j]);
            }
        }
        (next[0], next[1]) = (next[0].tanh(), next[1].tanh());
    }
}

#[test]
fn delays_are_those_of_the_loop() {
    for delays in [&[1][..], &[1, 2], &[1, 2, 3], &[3], &[2, 5], &[7, 1, 4]] {
        let delayed = Delayed::new(Taps::new(delays)).unwrap();
        let longest = delayed.longest_delay();
        assert_eq!(longest, *delays.iter().max().unwrap());
        assert_eq!(Dynamics::state_dim(&delayed), 2 * longest);
        let history =
            Array2::from_shape_fn((longest, 2), |(k, j)| (k as f64 + 0.3 * j as f64).cos());
        let inputs = Array2::from_shape_fn((700, 1), |(t, _)| (0.37 * t as f64).sin());
        let problem = delayed.problem(history.view(), inputs.view()).unwrap();
        let expected = delayed.step_of().reference(&history, &inputs);
        for solver in [Solver::sequential(), Solver::auto(), Solver::deer(), Solver::jacobi()] {
            let solution = solver.solve(&problem, &Cpu::new()).unwrap();
            assert!(solution.converged());
            let states = delayed.states(&solution);
            assert_eq!(states.dim(), (1, 700, 2));
            let difference = states.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            assert!(difference.fold(0.0, f64::max) < 1e-12, "{delays:?} {solver:?}");
        }
        // Derivatives by the weights and the history.
        let cotangent = Array3::from_shape_fn((1, 700, 2 * longest), |(_, t, j)| {
            if j < 2 { (t as f64 + j as f64).sin() } else { 0.0 }
        });
        let compared =
            check::gradient(&problem, &Solver::auto(), cotangent.view(), &Cpu::new()).unwrap();
        assert!(compared.passed(1e-6), "{compared}");
    }
}

#[test]
fn misuse_is_named() {
    let error = Delayed::new(Taps::new(&[])).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "delays: expected one or more, each at least 1, got []");
    let error = Delayed::new(Taps::new(&[2, 0])).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "delays: expected one or more, each at least 1, got [2, 0]");
    let delayed = Delayed::new(Taps::new(&[1, 3])).unwrap();
    let inputs = Array2::zeros((4, 1));
    let error = delayed.problem(Array2::zeros((2, 2)).view(), inputs.view()).unwrap_err();
    assert_eq!(error.to_string(), "history: expected shape [longest delay = 3, n = 2], got [2, 2]");
    let history = array![[0.0, 0.0], [0.0, f64::NAN], [0.0, 0.0]];
    let error = delayed.problem(history.view(), inputs.view()).unwrap_err();
    assert_eq!(error.to_string(), "history[1, 1]: expected a finite number, got NaN");
    let initial = delayed.initial_state(array![[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]].view()).unwrap();
    assert_eq!(initial, Array1::from(vec![5.0, 6.0, 3.0, 4.0, 1.0, 2.0]));
}
