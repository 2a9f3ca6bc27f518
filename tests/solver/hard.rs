//! Bistable, chaotic and expanding-then-contracting recurrences through every method: right, or a termination that says that it is not.

use crate::adversarial::{BLOCKS, column, every_method, ones};
use crate::common::reference::{Allowance, check_honest, difference, plain_loop};
use crate::maps::{Kind, Map, Noise};
use deer_solver::{Cpu, Damping, Dynamics, Method, Problem, Solver, Termination};
use ndarray::{Array1, Array2};

/// All methods, those of adaptive damping, and ELK from several λ; of those that claim to have converged, the states are the loop's to
/// `accuracy`. Returns how many of ELK's solves converged.
fn check<D: Dynamics>(
    what: &str,
    problem: &Problem<'_, D>,
    allowance: Allowance,
    accuracy: f64,
) -> usize {
    every_method(what, problem, &BLOCKS, allowance);
    let expected = plain_loop(problem);
    let right = |what: &str, solver: &Solver| {
        let solution = solver.solve(problem, &Cpu::new()).unwrap();
        check_honest(what, problem, &solution, allowance);
        if solution.converged() {
            let apart = difference(solution.states(), expected.view());
            assert!(apart <= accuracy, "{what}: off by {apart:e}\n{}", solution.report());
        }
        solution
    };
    let mut converged = 0;
    for block in BLOCKS {
        for mut solver in [Solver::deer(), Solver::quasi_deer(), Solver::picard()] {
            solver.block = block;
            let solver = solver.damping(Damping::Adaptive);
            let what = format!("{what}, {}, adaptive, block {block:?}", solver.method);
            // After k sweeps the first k blocks are exact, however damped.
            let solution = right(&what, &solver);
            let ended = matches!(
                solution.termination(),
                Termination::Converged | Termination::NonFinite { .. }
            );
            assert!(ended, "{what}: {:?}", solution.termination());
        }
        for lambda in [1e-3, 1.0, 100.0] {
            for mut solver in [Solver::elk(lambda), Solver::quasi_elk(lambda)] {
                solver.block = block;
                let what = format!("{what}, {}, λ {lambda}, block {block:?}", solver.method);
                let solution = right(&what, &solver);
                let residual = solution.report().residual;
                if solution.converged() {
                    converged += 1;
                } else {
                    // What is given up says so for a reason.
                    let undetermined = solution.termination() == Termination::Undetermined;
                    assert!(undetermined || residual > 0.0 || residual.is_nan(), "{what}");
                }
            }
        }
    }
    converged
}

#[test]
fn bistable() {
    let map = Map::<f64>::new(Kind::Bistable, &[]);
    let x0 = ones();
    // Pushed over, and pushed but not over.
    for (at, push) in [(5, -9.0), (150, -9.0), (150, -2.0), (290, -9.0)] {
        let inputs = column((0..300).map(|t| if t == at { push } else { 0.01 }));
        let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
        check(&format!("bistable, {push} at {at}"), &problem, Allowance::of::<f64>(1.0), 1e-11);
    }
}

#[test]
fn logistic() {
    for rate in [3.2, 3.5, 3.9, 4.0] {
        let map = Map::<f64>::new(Kind::Logistic, &[rate]);
        let x0 = Array1::from_elem(1, 0.3);
        for steps in [40, 300] {
            let problem = Problem::autonomous(&map, x0.view(), steps).unwrap();
            // Chaos doubles a difference in each step: what converged is right or was stopped from saying so.
            let chaotic = rate > 3.6;
            let accuracy = if chaotic { 1e-5 } else { 1e-10 };
            let converged =
                check(&format!("logistic {rate}"), &problem, Allowance::of::<f64>(1.0), accuracy);
            assert!(chaotic || converged >= 12, "{rate}, {steps}: {converged}");
        }
    }
}

#[test]
fn henon() {
    let map = Map::<f64>::new(Kind::Henon, &[]);
    let x0 = Array1::from(vec![0.1, 0.1]);
    for steps in [30, 200] {
        let problem = Problem::autonomous(&map, x0.view(), steps).unwrap();
        check("henon", &problem, Allowance { slack: 64.0, ..Allowance::of::<f64>(1.0) }, 1e-5);
    }
}

#[test]
fn lorenz() {
    let map = Map::<f64>::new(Kind::Lorenz, &[0.01]);
    let x0 = Array1::from(vec![1.0, 1.0, 20.0]);
    for steps in [100, 400] {
        let problem = Problem::autonomous(&map, x0.view(), steps).unwrap();
        let allowance = Allowance { slack: 256.0, ..Allowance::of::<f64>(40.0) };
        check("lorenz", &problem, allowance, 1e-4);
    }
}

/// Differences grow by 3 a step for as long as states are small, then contract.
#[test]
fn expanding_then_contracting() {
    let map = Map::<f64>::new(Kind::Gain, &[]);
    let mut noise = Noise::new(7);
    let schedules: [&dyn Fn(usize) -> f64; 3] =
        [&|t| if t < 40 { 3.0 } else { 0.3 }, &|t| if t % 60 < 12 { 3.0 } else { 0.5 }, &|t| {
            if t > 200 { 2.0 } else { 0.9 }
        }];
    for (which, gain) in schedules.into_iter().enumerate() {
        let inputs: Vec<f64> = (0..300).flat_map(|t| [gain(t), 1e-3 * noise.next()]).collect();
        let inputs = Array2::from_shape_vec((300, 2), inputs).unwrap();
        let x0 = Array1::from_elem(1, 1e-6);
        let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
        let what = format!("expanding, schedule {which}");
        check(&what, &problem, Allowance::of::<f64>(1e-3), 1e-7);
    }
}

/// Newton overshoots on blocks of one step, damping that adapts does not.
#[test]
fn adaptive_damping_keeps_residuals_down() {
    let network = Map::<f64>::tanh(4, 4.0, 1);
    let mut noise = Noise::new(1);
    let x0 = Array1::from(noise.vec::<f64>(4, 0.5));
    let inputs = column(noise.vec::<f64>(1000, 1.0));
    let problem = Problem::new(&network, x0.view(), inputs.view()).unwrap();
    let largest = |solver: Solver| {
        let solution = solver.block(1).max_sweeps(20).solve(&problem, &Cpu::new()).unwrap();
        let history = &solution.report().history[6..];
        history.iter().fold(0.0f64, |largest, sweep| largest.max(sweep.residual))
    };
    let (plain, adaptive) =
        (largest(Solver::deer()), largest(Solver::deer().damping(Damping::Adaptive)));
    assert!(plain > 200.0 && adaptive < 20.0, "{plain:e} and {adaptive:e}");
}

/// `auto` where Newton overshoots: damped, by ELK where the loop is slow enough, and in the loop at last.
#[test]
fn auto_delivers_where_newton_overshoots() {
    let mut said = String::new();
    for (amplitude, height, number) in [(0.5, 0.05, 3.0), (0.5, 0.02, 10.0), (0.3, 0.02, 3.0)] {
        let map = Map::<f32>::new(Kind::Chain, &[height, number]);
        let x0 = Array1::from_elem(1, 0.3f32);
        let mut noise = Noise::new(5);
        let inputs = column::<f32>((0..40_000).map(|_| amplitude * noise.next()));
        let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
        let solution = Solver::auto().solve(&problem, &Cpu::new()).unwrap();
        assert!(solution.converged(), "{}", solution.report());
        let loops = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
        let apart = difference(solution.states(), loops.states());
        assert!(apart < 1e-2, "off by {apart:e}\n{}", solution.report());
        said.push_str(&solution.report().to_string());
        assert_ne!(solution.report().method, Method::Auto);
    }
    assert!(said.contains("Newton overshot and was damped"), "{said}");
}

/// A push takes the state from an unstable point to a slow well. Blocks guessed at the unstable point expand, so that Newton overshoots;
/// damping that adapts brings it back, and no step is left to the loop.
#[test]
fn auto_solves_by_damping() {
    let map = Map::<f32>::new(Kind::Wells, &[1e-4]);
    let x0 = Array1::zeros(1);
    for (noise, push) in [(1e-4, 0.3), (1e-4, 1.0), (1e-3, 0.3), (1e-3, 1.0)] {
        let mut random = Noise::new(1);
        let inputs = (0..40_000).map(|t| noise * random.next() + if t == 100 { push } else { 0.0 });
        let inputs = column::<f32>(inputs);
        let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
        let solution = Solver::auto().solve(&problem, &Cpu::new()).unwrap();
        let report = solution.report();
        let what = format!("noise {noise}, push {push}\n{report}");
        assert!(solution.converged(), "{what}");
        assert!(report.reason.ends_with("Newton overshot and was damped"), "{what}");
        assert!(report.history[1].residual > report.history[0].residual, "{what}");
        let loops = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
        let apart = difference(solution.states(), loops.states());
        assert!(apart < 1e-4, "off by {apart:e}, {what}");
    }
}
