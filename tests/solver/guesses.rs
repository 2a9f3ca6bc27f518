//! Where the iteration starts, where it stops, and what it tells meanwhile.

use crate::common::reference::{Allowance, check_honest, difference, plain_loop};
use crate::maps::{Kind, Map, Noise, always_delivers, methods, with_block};
use deer_solver::{Cpu, Method, Problem, Solver, Termination};
use ndarray::{Array1, Array2, Array3, ArrayView2, s};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

struct Data {
    map: Map<f64>,
    x0: Array2<f64>,
    inputs: Vec<Array2<f64>>,
}

impl Data {
    fn new(gain: f64, lengths: &[usize]) -> Self {
        let mut noise = Noise::new(2);
        let map = Map::tanh(3, gain, 1);
        let x0 = Array2::from_shape_vec((lengths.len(), 3), noise.vec(3 * lengths.len(), 1.0));
        let inputs =
            lengths.iter().map(|&t| Array2::from_shape_vec((t, 1), noise.vec(t, 1.0)).unwrap());
        Self { map, x0: x0.unwrap(), inputs: inputs.collect() }
    }

    fn problem(&self) -> Problem<'_, Map<f64>> {
        let views: Vec<ArrayView2<'_, f64>> = self.inputs.iter().map(|u| u.view()).collect();
        Problem::ragged(&self.map, self.x0.view(), &views).unwrap()
    }
}

const BLOCKS: [Option<usize>; 4] = [None, Some(1), Some(16), Some(50)];

#[test]
fn the_solution_as_a_guess_needs_one_sweep() {
    let data = Data::new(0.9, &[600, 411]);
    let cpu = Cpu::new();
    for solver in methods() {
        for block in BLOCKS {
            let solver = with_block(&solver, block);
            let what = format!("{}, block {block:?}", solver.method);
            let first = solver.solve(&data.problem(), &cpu).unwrap();
            let problem = data.problem().with_guess(first.states()).unwrap();
            let again = solver.solve(&problem, &cpu).unwrap();
            assert!(again.converged(), "{what}");
            assert_eq!(again.report().sweeps, 1, "{what}: {}", again.report());
            assert!(again.report().work <= 1.0, "{what}: {}", again.report());
            assert!(difference(again.states(), first.states()) < 1e-13, "{what}");
        }
    }
}

#[test]
fn a_bad_guess_changes_nothing() {
    let data = Data::new(0.9, &[300, 0, 211]);
    let cpu = Cpu::new();
    let expected = plain_loop(&data.problem());
    for scale in [0.1, 1e6, 1e300] {
        let guess = Array3::from_shape_vec((3, 300, 3), Noise::new(9).vec(2700, scale)).unwrap();
        let problem = data.problem().with_guess(guess.view()).unwrap();
        for solver in methods() {
            for block in BLOCKS {
                let solver = with_block(&solver, block);
                let what = format!("{}, block {block:?}, guess of {scale:e}", solver.method);
                let solution = solver.solve(&problem, &cpu).unwrap();
                assert!(solution.converged(), "{what}");
                check_honest(&what, &problem, &solution, Allowance::of::<f64>(1.0));
                let apart = difference(solution.states(), expected.view());
                assert!(apart < 1e-12, "{what}: off by {apart:e}");
                // Zero after the end of a shorter sequence, whatever the guess was there.
                for (b, end) in [(1, 0), (2, 211)] {
                    let after = solution.states();
                    assert!(after.slice(s![b, end.., ..]).iter().all(|&x| x == 0.0), "{what}");
                }
            }
        }
    }
}

#[test]
fn too_few_sweeps_are_told() {
    let data = Data::new(3.0, &[400]);
    let problem = data.problem();
    for solver in methods() {
        for sweeps in [1, 2] {
            for block in [Some(8), None] {
                let solution =
                    with_block(&solver, block).max_sweeps(sweeps).solve(&problem, &Cpu::new());
                let solution = solution.unwrap();
                let what = format!("{}, {sweeps} sweeps", solver.method);
                check_honest(&what, &problem, &solution, Allowance::of::<f64>(1.0));
                if always_delivers(&solver) {
                    assert!(solution.converged(), "{what}");
                } else if block.is_some() {
                    assert_eq!(solution.termination(), Termination::SweepLimit, "{what}");
                    assert!(!solution.converged(), "{what}");
                    assert_eq!(solution.report().sweeps, sweeps, "{what}");
                    assert!(solution.report().residual > 1e-6, "{what}");
                }
            }
        }
    }
}

/// Sequences stop on their own: the easy ones are done when the hard one runs out of sweeps.
#[test]
fn each_sequence_stops_on_its_own() {
    let data = Data::new(3.0, &[400, 8, 0]);
    for solver in methods().into_iter().filter(|solver| !always_delivers(solver)) {
        let problem = data.problem();
        let solution = with_block(&solver, Some(8)).max_sweeps(3).solve(&problem, &Cpu::new());
        let terminations = solution.unwrap().terminations().to_vec();
        let expected = [Termination::SweepLimit, Termination::Converged, Termination::Converged];
        assert_eq!(terminations, expected, "{}", solver.method);
    }
}

#[test]
fn an_observer_sees_every_sweep() {
    let data = Data::new(1.3, &[300, 7]);
    let problem = data.problem();
    for solver in methods() {
        for block in [None, Some(1), Some(16)] {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let log = Arc::clone(&seen);
            let solver = with_block(&solver, block).observe(move |progress| {
                log.lock().unwrap().push(*progress);
                ControlFlow::Continue(())
            });
            let solution = solver.clone().solve(&problem, &Cpu::new()).unwrap();
            let (seen, report) = (seen.lock().unwrap(), solution.report());
            let what = format!("{}, block {block:?}: {seen:?}", solver.method);
            assert!(solution.converged(), "{what}");
            assert_eq!(seen.len(), report.history.len(), "{what}");
            for (k, (progress, record)) in seen.iter().zip(&report.history).enumerate() {
                assert_eq!(progress.sweep, k + 1, "{what}");
                assert_eq!(progress.residual, record.residual, "{what}");
                assert_eq!(progress.blocks, report.blocks, "{what}");
                assert!(progress.converged <= progress.blocks, "{what}");
                assert!(record.active <= report.blocks, "{what}");
            }
            if report.method != Method::Sequential {
                assert_eq!(report.sweeps, seen.len(), "{what}");
                if !report.reason.contains("in order") {
                    let last = seen.last().unwrap();
                    assert_eq!(last.converged, last.blocks, "{what}");
                }
            }
        }
    }
}

#[test]
fn an_observer_stops_the_iteration() {
    let data = Data::new(3.0, &[400, 8]);
    let problem = data.problem();
    for solver in methods() {
        for last in [1, 3] {
            let solver = with_block(&solver, Some(8)).observe(move |progress| {
                if progress.sweep == last {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            let solution = solver.solve(&problem, &Cpu::new()).unwrap();
            let what = format!("{}, stopped after {last}", solver.method);
            check_honest(&what, &problem, &solution, Allowance::of::<f64>(1.0));
            if !always_delivers(&solver) {
                assert_eq!(solution.termination(), Termination::Stopped, "{what}");
                assert_eq!(solution.terminations()[1], Termination::Converged, "{what}");
                assert_eq!(solution.report().sweeps, last, "{what}");
            }
        }
    }
    // With nothing left to do, a wish to stop changes nothing.
    let problem = data.problem();
    let solution = Solver::jacobi().solve(&problem, &Cpu::new()).unwrap();
    let problem = data.problem().with_guess(solution.states()).unwrap();
    for solver in methods() {
        let solution = solver.observe(|_| ControlFlow::Break(())).solve(&problem, &Cpu::new());
        assert!(solution.unwrap().converged());
    }
}

/// A residual is within the tolerance asked for, and the report does not understate it.
#[test]
fn loose_tolerances_are_kept() {
    for gain in [0.9, 1.5] {
        let data = Data::new(gain, &[500, 333]);
        let problem = data.problem();
        for solver in methods() {
            for block in BLOCKS {
                for (atol, rtol) in [(1e-3, 0.0), (0.0, 1e-4), (1e-6, 1e-2), (0.0, 0.0)] {
                    let solver = with_block(&solver, block).tolerance(atol, rtol);
                    let solution = solver.solve(&problem, &Cpu::new()).unwrap();
                    let what =
                        format!("{}, block {block:?}, atol {atol}, rtol {rtol}", solver.method);
                    assert!(solution.converged(), "{what}: {:?}", solution.terminations());
                    let allowance = Allowance { atol, rtol, ..Allowance::of::<f64>(1.0) };
                    check_honest(&what, &problem, &solution, allowance);
                    let told = solution.report().residual;
                    let told = Allowance { atol: told, rtol: 0.0, ..allowance };
                    check_honest(&format!("{what}, as told"), &problem, &solution, told);
                }
            }
        }
    }
}

/// From a guess that is wrong by about the tolerance, what is accepted at a border and what is accepted
/// inside of a block do not add up.
#[test]
fn a_guess_within_the_tolerance() {
    let (steps, atol) = (3000, 1e-3);
    let map = Map::<f64>::new(Kind::Affine, &[]);
    let mut noise = Noise::new(12);
    let inputs: Vec<f64> = (0..steps).flat_map(|_| [0.9, noise.next()]).collect();
    let inputs = Array2::from_shape_vec((steps, 2), inputs).unwrap();
    let x0 = Array1::zeros(1);
    let problem = || Problem::new(&map, x0.view(), inputs.view()).unwrap();
    let guess = plain_loop(&problem()).mapv(|x| x + 0.95 * atol * noise.next().signum());
    let problem = problem().with_guess(guess.view()).unwrap();
    for solver in methods() {
        for block in BLOCKS {
            let solver = with_block(&solver, block).tolerance(atol, 0.0);
            let solution = solver.solve(&problem, &Cpu::new()).unwrap();
            let what = format!("{}, block {block:?}", solver.method);
            assert!(solution.converged(), "{what}");
            let told = solution.report().residual;
            assert!(told <= atol, "{what}: {told:e}");
            let allowance = Allowance { atol: told, rtol: 0.0, ..Allowance::of::<f64>(1.0) };
            check_honest(&what, &problem, &solution, allowance);
        }
    }
}
