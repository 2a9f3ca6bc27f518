//! Every method equals the loop, on random recurrences, shapes and settings.

use crate::common::reference::{Allowance, check_honest, difference, growth_of_errors, plain_loop};
use crate::maps::{Kind, Map, Noise, methods};
use deer_solver::cells::Gru;
use deer_solver::{Cpu, Dynamics, Problem, Real};
use ndarray::{Array2, Array3, ArrayView2};
use proptest::prelude::*;

/// A way to solve a problem, and the problem's shape.
#[derive(Clone, Debug)]
struct Setting {
    method: usize,
    block: Option<usize>,
    damping: f64,
    threads: usize,
    lengths: Vec<usize>,
    /// A guess of this size.
    guess: Option<f64>,
    seed: u64,
}

/// Lengths about the borders of blocks, tiles and groups.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        2 => 0usize..4,
        3 => prop::sample::select(vec![15, 16, 17, 31, 61, 64, 127, 128, 251, 257]),
        3 => 4usize..300,
        1 => 300usize..700,
    ]
}

fn setting() -> impl Strategy<Value = Setting> {
    let block = prop_oneof![
        2 => Just(None),
        4 => prop::sample::select(vec![1, 2, 7, 15, 16, 17, 32, 50, 100, 1000]).prop_map(Some),
    ];
    let damping = prop_oneof![3 => Just(0.0), 1 => 0.0..=1.0];
    let guess =
        prop_oneof![3 => Just(None), 1 => prop::sample::select(vec![1.0, 100.0]).prop_map(Some)];
    let lengths = prop_oneof![
        3 => prop::collection::vec(length(), 1..=1),
        2 => prop::collection::vec(length(), 0..6),
        1 => (length(), 10usize..40).prop_map(|(length, batch)| vec![length.min(64); batch]),
    ];
    (0usize..6, block, damping, 1usize..4, lengths, guess, any::<u64>()).prop_map(
        |(method, block, damping, threads, lengths, guess, seed)| Setting {
            method,
            block,
            damping,
            threads,
            lengths,
            guess,
            seed,
        },
    )
}

fn check<D: Dynamics>(dynamics: &D, setting: &Setting) {
    let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
    let mut noise = Noise::new(setting.seed);
    let batch = setting.lengths.len();
    let x0 = Array2::from_shape_vec((batch, n), noise.vec(batch * n, 1.0)).unwrap();
    let inputs: Vec<Array2<D::Real>> = setting
        .lengths
        .iter()
        .map(|&steps| Array2::from_shape_vec((steps, m), noise.vec(steps * m, 1.0)).unwrap())
        .collect();
    let views: Vec<ArrayView2<'_, D::Real>> = inputs.iter().map(|u| u.view()).collect();
    let steps = setting.lengths.iter().copied().max().unwrap_or(0);
    let guess = setting.guess.map(|scale| {
        Array3::from_shape_vec((batch, steps, n), noise.vec(batch * steps * n, scale)).unwrap()
    });
    let mut problem = Problem::ragged(dynamics, x0.view(), &views).unwrap();
    if let Some(guess) = &guess {
        problem = problem.with_guess(guess.view()).unwrap();
    }
    let mut solver = methods()[setting.method].clone().damping(setting.damping);
    solver.block = setting.block;
    let solution = solver.solve(&problem, &Cpu::with_threads(setting.threads).unwrap()).unwrap();
    let what = format!("{setting:?}\n{}", solution.report());
    assert!(solution.converged(), "{:?}, {what}", solution.terminations());
    check_honest(&what, &problem, &solution, Allowance::of::<D::Real>(1.0));
    let expected = plain_loop(&problem);
    let apart = difference(solution.states(), expected.view());
    // A step is off by a few roundings, a border by the tolerance, and those may add up with one sign. A random
    // network may take that hundreds of times further before it forgets it.
    let (rtol, epsilon) = (Allowance::of::<D::Real>(1.0).rtol, D::Real::EPSILON.to_f64());
    let growth = growth_of_errors(&problem, expected.view());
    let bound = (8.0 * rtol + 16.0 * epsilon) * growth;
    assert!(apart <= bound, "off by {apart:e}, growth {growth:e}, {what}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn tanh_networks(setting in setting(), n in 1usize..7, gain in 0.0..1.0) {
        check(&Map::<f64>::tanh(n, gain, setting.seed), &setting);
    }

    #[test]
    fn tanh_networks_in_single_precision(setting in setting(), n in 1usize..7, gain in 0.0..0.9) {
        check(&Map::<f32>::tanh(n, gain, setting.seed), &setting);
    }

    #[test]
    fn grus(setting in setting(), n in 1usize..6, m in 0usize..4) {
        check(&Gru::<f64>::random(m, n, setting.seed), &setting);
    }

    #[test]
    fn other_maps(setting in setting(), a in -0.7f64..0.7, b in -0.5f64..0.5, kind in 0usize..4) {
        let kind = [Kind::Workspace, Kind::Clip, Kind::Rotation, Kind::Cubic][kind];
        // A cubic map that stays in −1..1, where it is drawn to an end.
        let a = if kind == Kind::Cubic { 0.2 + a.abs() } else { a };
        check(&Map::<f64>::new(kind, &[a, b]), &setting);
    }
}
