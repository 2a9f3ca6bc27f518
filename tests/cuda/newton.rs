//! Newton's sweeps in one launch each, against those in stages and the CPU's.

use crate::common::reference::{bits, difference, plain_loop};
use crate::cuda;
use crate::maps::{Kind, Map, Noise};
use crate::parts::{Assorted, Blocks, Rotations};
use deer_solver::cells::{DiagonalGru, DiagonalLstm, Elman, Gru, Lem, Lstm};
use deer_solver::scalar::{Constant, Param, Scalar};
use deer_solver::{
    Cpu, Cuda, Damping, Dynamics, Problem, Real, Report, Solution, Solver, Termination,
};
use ndarray::{Array2, ArrayView2, array};
use proptest::prelude::*;

/// A problem with sequences of `lengths` steps, for `work`.
fn with_problem<D: Dynamics, T>(
    dynamics: &D,
    lengths: &[usize],
    seed: u64,
    work: impl FnOnce(&Problem<'_, D>) -> T,
) -> T {
    let (n, m, batch) = (dynamics.state_dim(), dynamics.input_dim(), lengths.len());
    let noise = &mut Noise::new(seed);
    let x0 = Array2::from_shape_vec((batch, n), noise.vec(batch * n, 0.9)).unwrap();
    let inputs: Vec<Array2<D::Real>> = lengths
        .iter()
        .map(|&steps| Array2::from_shape_vec((steps, m), noise.vec(steps * m, 1.0)).unwrap())
        .collect();
    let views: Vec<ArrayView2<D::Real>> = inputs.iter().map(|inputs| inputs.view()).collect();
    work(&Problem::ragged(dynamics, x0.view(), &views).unwrap())
}

fn precision<R: Real>() -> f64 {
    if R::SINGLE { 2e-5 } else { 1e-11 }
}

/// The solution by one launch a sweep and by stages: the same sweeps, residuals and states, to rounding.
fn both<D: Dynamics>(
    what: &str,
    problem: &Problem<'_, D>,
    solver: &Solver,
    device: &Cuda,
) -> Solution<D::Real> {
    let fused = solver.solve(problem, device).unwrap();
    let staged = solver.solve(problem, &device.with_fused_sweeps(false)).unwrap();
    let (one, other) = (fused.report(), staged.report());
    let what = format!("{what}\none launch: {one}\nstages: {other}");
    assert_eq!(fused.terminations(), staged.terminations(), "{what}");
    let rounding = precision::<D::Real>();
    // Whether a residual of that size is within the tolerance is a matter of rounding.
    let needed = |report: &Report| {
        report
            .history
            .iter()
            .filter(|sweep| sweep.residual.is_nan() || sweep.residual > rounding)
            .count()
    };
    assert!(needed(one).abs_diff(needed(other)) <= 1, "{what}");
    for (a, b) in one.history.iter().zip(&other.history) {
        let apart = (a.residual - b.residual).abs();
        assert!(
            a.residual.is_nan() && b.residual.is_nan()
                || apart <= 1e-2 * b.residual + 10.0 * rounding,
            "{what}\n{a:?}\n{b:?}"
        );
    }
    let apart = difference(fused.states(), staged.states());
    assert!(apart <= rounding, "off by {apart:e}, {what}");
    fused
}

/// One launch and stages, and the loop, over blocks and damping.
pub(crate) fn all_forms<D: Dynamics>(what: &str, dynamics: &D, lengths: &[usize]) {
    with_problem(dynamics, lengths, 11, |problem| {
        let expected = plain_loop(problem);
        assert!(expected.iter().any(|x| x.to_f64().abs() > 0.05), "{what}: nothing to compare");
        for (chunk, block) in [(5, None), (64, None), (23, Some(1)), (40, Some(7))] {
            for solver in [Solver::deer(), Solver::quasi_deer()] {
                let solver = match block {
                    Some(block) => solver.block(block),
                    None => solver,
                };
                let device = cuda().with_chunk_steps(chunk);
                let what = format!("{what}, {}, chunk {chunk}, block {block:?}", solver.method);
                let solution = both(&what, problem, &solver, &device);
                assert!(solution.converged(), "{what}: {}", solution.report());
                let apart = difference(solution.states(), expected.view());
                assert!(
                    apart <= precision::<D::Real>(),
                    "{what}: off by {apart:e}\n{}",
                    solution.report()
                );
            }
        }
    });
}

#[test]
fn dense_states_of_two_to_eight_components() {
    all_forms("gru 2, f32", &Gru::<f32>::random(2, 2, 1), &[701, 1, 333, 64]);
    all_forms("elman 3, f64", &Elman::<f64>::random(1, 3, 2), &[500, 499]);
    all_forms("lem 2, f64", &Lem::<f64>::random(1, 2, 2), &[411]);
    all_forms("lstm 3, f32", &Lstm::<f32>::random(2, 3, 2), &[97, 206]);
    for n in 4..9 {
        all_forms(&format!("tanh {n}, f64"), &Map::<f64>::tanh(n, 0.9, n as u64), &[259, 130]);
        all_forms(&format!("tanh {n}, f32"), &Map::<f32>::tanh(n, 0.8, n as u64), &[301]);
    }
}

/// Maps that threads multiply together, in room for 12, 16, 24 and 32 components.
#[test]
fn dense_states_of_nine_to_thirty_two_components() {
    for n in [9, 12, 16, 17, 24, 29, 32] {
        all_forms(&format!("tanh {n}, f64"), &Map::<f64>::tanh(n, 0.9, n as u64), &[189, 60]);
    }
    for n in [10, 14, 21, 32] {
        all_forms(&format!("tanh {n}, f32"), &Map::<f32>::tanh(n, 0.8, n as u64), &[131]);
    }
    all_forms("gru 11, f32", &Gru::<f32>::random(2, 11, 1), &[97, 1, 64]);
    all_forms("lem 5, f64", &Lem::<f64>::random(1, 5, 2), &[71]);
}

/// Blocks of components, of one kind and of two, in one thread each and in several.
#[test]
fn states_in_blocks() {
    all_forms("rotations", &Rotations::new(false), &[70, 31]);
    all_forms("interleaved rotations", &Rotations::new(true), &[60]);
    all_forms("diagonal lstm 3, f32", &DiagonalLstm::<f32>::random(2, 3, 1), &[150, 33]);
    all_forms("diagonal lstm 20, f64", &DiagonalLstm::<f64>::random(2, 20, 1), &[90]);
    for (size, count) in [(2, 3), (3, 5), (4, 2), (4, 7), (5, 2), (6, 3), (8, 3), (9, 2), (13, 3)] {
        let what = format!("{count} blocks of {size}");
        all_forms(&what, &Blocks::<f64>::new(size, count, count % 2 == 0), &[90, 41]);
        all_forms(&what, &Blocks::<f32>::new(size, count, count % 2 == 1), &[75]);
    }
}

#[test]
fn diagonal_states_in_one_thread() {
    all_forms("elman 1, f64", &Elman::<f64>::random(1, 1, 5), &[800, 13]);
    for n in [2, 3, 5, 11, 16] {
        all_forms("diagonal, f32", &DiagonalGru::<f32>::random(2, n, 1), &[317, 100]);
    }
    for n in [2, 4, 7, 13] {
        all_forms("diagonal, f64", &DiagonalGru::<f64>::random(2, n, 1), &[290]);
    }
}

#[test]
fn states_in_parts() {
    all_forms("diagonal 37, f32", &DiagonalGru::<f32>::random(2, 37, 1), &[211, 80]);
    all_forms("diagonal 24, f64", &DiagonalGru::<f64>::random(2, 24, 1), &[170]);
    all_forms("three kinds", &Assorted::new(), &[40, 33]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any lengths, chunks and blocks, with and without damping, against the CPU's solution.
    #[test]
    fn any_batch_is_the_cpus(
        n in 1usize..=13,
        lengths in prop::collection::vec(1usize..420, 1..6),
        chunk in 1usize..60,
        block in prop::option::of(1usize..25),
        damping in prop::option::of(0.0f64..0.4),
        gain in 0.3f64..1.2,
        seed in 0u64..1000,
    ) {
        let map = Map::<f64>::tanh(n, gain, seed);
        let solver = Solver::deer();
        let solver = block.map_or(solver.clone(), |block| solver.block(block));
        let solver = damping.map_or(solver.clone(), |k| solver.damping(k));
        with_problem(&map, &lengths, seed, |problem| {
            let there = solver.solve(problem, &Cpu::new()).unwrap();
            let here = solver.solve(problem, &cuda().with_chunk_steps(chunk)).unwrap();
            assert!(here.converged() && there.converged(), "{}", here.report());
            let apart = difference(here.states(), there.states());
            assert!(apart <= 1e-11, "off by {apart:e}\n{}", here.report());
        });
    }
}

/// As many tiles as make more than two groups, with other tiles between those of a sequence.
#[test]
fn many_tiles() {
    let lengths = [2801, 5, 1999, 3000, 1, 1, 77];
    let device = cuda().with_chunk_steps(1);
    let check = |solution: Solution<f64>, expected: &ndarray::Array3<f64>| {
        assert!(solution.converged() && solution.report().sweeps > 2, "{}", solution.report());
        assert!(difference(solution.states(), expected.view()) < 1e-11);
    };
    let five = Map::<f64>::tanh(5, 1.0, 3);
    with_problem(&five, &lengths, 2, |problem| {
        check(both("five", problem, &Solver::deer(), &device), &plain_loop(problem));
    });
    let diagonal = DiagonalGru::<f64>::random(2, 18, 3);
    with_problem(&diagonal, &[2900, 411], 2, |problem| {
        check(both("parts", problem, &Solver::deer(), &device), &plain_loop(problem));
    });
    let ten = Map::<f64>::tanh(10, 1.0, 3);
    with_problem(&ten, &[1001, 5, 299], 2, |problem| {
        check(both("ten", problem, &Solver::deer(), &device), &plain_loop(problem));
    });
    let blocks = Blocks::<f64>::new(3, 6, true);
    with_problem(&blocks, &[1201, 311], 2, |problem| {
        check(both("blocks", problem, &Solver::deer(), &device), &plain_loop(problem));
    });
    let one = Elman::<f64>::random(1, 1, 3);
    with_problem(&one, &[9000, 411], 2, |problem| {
        check(both("one", problem, &Solver::deer(), &device), &plain_loop(problem));
    });
}

#[test]
fn damped_sweeps() {
    let gru = Gru::<f64>::random(2, 3, 7);
    with_problem(&gru, &[300, 211], 4, |problem| {
        for damping in [Damping::Fixed(0.3), Damping::Fixed(1.0), Damping::Adaptive] {
            for block in [None, Some(3)] {
                let solver = Solver::deer().damping(damping);
                let solver = block.map_or(solver.clone(), |block| solver.block(block));
                both("damped", problem, &solver, &cuda().with_chunk_steps(9));
            }
        }
    });
}

/// A limit on sweeps leaves what the stages leave: the borders as they were in the last sweep.
#[test]
fn sweeps_that_run_out() {
    let map = Map::<f64>::tanh(4, 1.2, 9);
    with_problem(&map, &[400, 300], 4, |problem| {
        for block in [None, Some(1), Some(4)] {
            for limit in 1..3 {
                let solver = Solver::deer().max_sweeps(limit);
                let solver = block.map_or(solver.clone(), |block| solver.block(block));
                let solution = both("limited", problem, &solver, &cuda().with_chunk_steps(8));
                assert_eq!(solution.termination(), Termination::SweepLimit);
            }
        }
    });
}

/// Chaos, trajectories that leave the finite numbers, and slopes that do.
#[test]
fn what_cannot_be_predicted() {
    let cases = [(Kind::Logistic, 3.9, 0.3), (Kind::Logistic, 5.0, -0.5), (Kind::Steep, 0.0, 0.5)];
    for (kind, parameter, start) in cases {
        let map = Map::<f64>::new(kind, &[parameter]);
        let x0 = Array2::from_elem((2, 1), start);
        let inputs = ndarray::Array3::from_elem((2, 300, map.input_dim()), 0.05);
        let problem = Problem::batch(&map, x0.view(), inputs.view()).unwrap();
        let device = cuda().with_chunk_steps(6);
        for solver in [Solver::deer(), Solver::deer().block(2), Solver::auto()] {
            let here = solver.solve(&problem, &device).unwrap();
            let staged = solver.solve(&problem, &device.with_fused_sweeps(false)).unwrap();
            assert_eq!(here.terminations(), staged.terminations(), "{kind:?}\n{}", here.report());
            if here.converged() {
                let there = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
                assert!(there.converged(), "{kind:?}");
            }
        }
    }
}

/// x' = u x (1 − x): chaos for u = 4, slowly to a point for u = 2.9.
struct Driven;

impl Dynamics for Driven {
    type Real = f32;
    fn state_dim(&self) -> usize {
        1
    }
    fn input_dim(&self) -> usize {
        1
    }
    #[inline(always)]
    fn step<S: Scalar<Real = f32>>(&self, _: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
        next[0] = u[0] * x[0] * (Constant(1.0) - x[0]);
    }
}

/// Slopes of a sequence whose product overflows leave the next one alone: it closes in as if there were no other.
#[test]
fn an_overflow_stays_in_its_sequence() {
    for (chunk, steps) in [(1, 700), (5, 1500), (24, 2500)] {
        let inputs = [4.0f32, 2.9].map(|u| Array2::from_elem((steps, 1), u));
        let views: Vec<ArrayView2<f32>> = inputs.iter().map(|inputs| inputs.view()).collect();
        let x0 = array![[0.3f32], [0.2]];
        let both = Problem::ragged(&Driven, x0.view(), &views).unwrap();
        let alone = Problem::new(&Driven, x0.row(1), views[1]).unwrap();
        let device = cuda().with_chunk_steps(chunk);
        let mut converged = Vec::new();
        for sweeps in 1..=6 {
            let solver = Solver::deer().max_sweeps(sweeps);
            let (both, alone) =
                (solver.solve(&both, &device).unwrap(), solver.solve(&alone, &device).unwrap());
            assert_eq!(both.terminations()[0], Termination::SweepLimit, "{}", both.report());
            let what = format!("chunk {chunk}, {sweeps} sweeps");
            assert_eq!(both.terminations()[1], alone.termination(), "{what}\n{}", both.report());
            converged.push(alone.converged());
        }
        assert!(!converged[0] && converged[5], "{converged:?}");
    }
}

/// The order of combination is that of the chunks, whichever tile comes first.
#[test]
fn the_same_bits_by_every_schedule() {
    fn same<D: Dynamics>(dynamics: &D, lengths: &[usize]) {
        with_problem(dynamics, lengths, 4, |problem| {
            for (chunk, block) in [(1, 1), (12, 5)] {
                let device = cuda().with_chunk_steps(chunk);
                let solve = || Solver::deer().block(block).solve(problem, &device).unwrap();
                let first = solve();
                for _ in 0..3 {
                    // Each launch is scheduled in its own way.
                    let again = solve();
                    assert_eq!(bits(first.states()), bits(again.states()));
                    assert_eq!(first.report().history, again.report().history);
                }
            }
        });
    }
    same(&Map::<f32>::tanh(6, 1.0, 3), &[1501, 700, 31]);
    same(&Map::<f64>::tanh(11, 1.0, 3), &[321, 32]);
    same(&Blocks::<f32>::new(2, 5, false), &[601, 70]);
}

/// Prints how many sweeps blocks of so many steps take, which is the same on every backend.
#[test]
#[ignore = "prints a table of docs/gpu.md"]
fn sweeps_by_the_length_of_chunks() {
    fn row<D: Dynamics>(what: &str, dynamics: &D, batch: usize, steps: usize) {
        with_problem(dynamics, &vec![steps; batch], 1, |problem| {
            let sweeps = [8, 16, 32, 64, 256].map(|block| {
                let solution = Solver::deer().block(block).solve(problem, &Cpu::new()).unwrap();
                format!("{}", solution.report().sweeps)
            });
            println!("| {what} | {} |", sweeps.join(" | "));
        });
    }
    row("GRU f32, n = 2, B = 16, T = 10,000", &Gru::<f32>::random(2, 2, 0), 16, 10_000);
    row("GRU f32, n = 8, T = 100,000", &Gru::<f32>::random(2, 8, 0), 1, 100_000);
    row("LSTM f64, n = 4, B = 2, T = 30,000", &Lstm::<f64>::random(2, 4, 0), 2, 30_000);
    row("LEM f64, n = 2, B = 2, T = 30,000", &Lem::<f64>::random(2, 2, 0), 2, 30_000);
    row("diagonal GRU f32, n = 64, T = 8192", &DiagonalGru::<f32>::random(2, 64, 0), 1, 8192);
    let slow = Map::<f64>::new(Kind::Rotation, &[0.994_9, 0.1]);
    row("damped rotation f64, T = 12,000", &slow, 1, 12_000);
}
