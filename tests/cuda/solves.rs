//! Solutions, against the CPU's.

use crate::common::reference::{difference, plain_loop};
use crate::conformance::conformance;
use crate::cuda;
use crate::maps::{Kind, Map, Noise};
use deer_solver::cells::{DiagonalGru, Elman, Gru};
use deer_solver::{Cpu, Dynamics, Method, Problem, Solver, Termination};
use ndarray::{Array1, Array2, Array3, array};

#[test]
fn cuda_conforms() {
    conformance(&cuda());
}

/// `auto` on a device, and its report.
fn auto<D: Dynamics>(dynamics: &D, batch: usize, steps: usize, tolerance: f64) -> String {
    let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
    let mut noise = Noise::new(3);
    let x0 = Array2::from_shape_vec((batch, n), noise.vec(batch * n, 0.5)).unwrap();
    let inputs =
        Array3::from_shape_vec((batch, steps, m), noise.vec(batch * steps * m, 1.0)).unwrap();
    let problem = Problem::batch(dynamics, x0.view(), inputs.view()).unwrap();
    let solution = Solver::auto().solve(&problem, &cuda()).unwrap();
    assert!(solution.converged());
    let apart = difference(solution.states(), plain_loop(&problem).view());
    assert!(apart <= tolerance, "off by {apart:e}\n{}", solution.report());
    solution.report().to_string()
}

#[test]
fn auto_rolls_blocks_of_what_forgets() {
    let report = auto(&Gru::<f32>::random(2, 2, 1), 3, 3001, 2e-6);
    assert!(report.contains("trajectories meet within"), "{report}");
    assert!(report.contains("cuda"), "{report}");
}

#[test]
fn auto_takes_newton_where_nothing_is_forgotten() {
    let slow = Map::<f64>::new(Kind::Rotation, &[0.994_9, 0.1]);
    let report = auto(&slow, 1, 12_001, 1e-12);
    assert!(report.contains("small differences change"), "{report}");
}

#[test]
fn a_few_steps_run_in_order() {
    let report = auto(&Elman::<f64>::random(2, 3, 1), 2, 20, 1e-13);
    assert!(report.contains("too few"), "{report}");
}

/// Chaos: what does not close in is run in order, and equals the loop.
#[test]
fn chaos_ends_in_the_loop() {
    let map = Map::<f64>::new(Kind::Logistic, &[3.9]);
    let x0 = array![0.3];
    let problem = Problem::autonomous(&map, x0.view(), 2000).unwrap();
    let solution = Solver::auto().solve(&problem, &cuda()).unwrap();
    assert!(solution.converged(), "{}", solution.report());
    // The loop's own roundings grow too; those of a device are the same where the step is of sums and products.
    let on_cpu = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    assert_eq!(solution.states(), on_cpu.states());
}

#[test]
fn what_leaves_the_finite_numbers_is_said() {
    let map = Map::<f64>::new(Kind::Logistic, &[5.0]);
    let x0 = array![-0.5];
    let problem = Problem::autonomous(&map, x0.view(), 300).unwrap();
    for solver in [Solver::sequential(), Solver::jacobi(), Solver::deer(), Solver::auto()] {
        let here = solver.solve(&problem, &cuda()).unwrap();
        let there = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
        assert!(matches!(here.termination(), Termination::NonFinite { .. }), "{}", solver.method);
        assert_eq!(here.termination(), there.termination(), "{}", solver.method);
    }
}

#[test]
fn the_same_bits_each_time() {
    let gru = Gru::<f32>::random(2, 3, 5);
    let inputs = Array2::from_shape_vec((1500, 2), Noise::new(4).vec(3000, 1.0)).unwrap();
    let x0 = Array1::zeros(3);
    let problem = Problem::new(&gru, x0.view(), inputs.view()).unwrap();
    for solver in [Solver::jacobi(), Solver::deer().block(16), Solver::auto()] {
        let first = solver.solve(&problem, &cuda()).unwrap();
        let again = solver.solve(&problem, &cuda()).unwrap();
        assert_eq!(first.states(), again.states());
        assert_eq!(first.report().history, again.report().history);
    }
}

#[test]
fn two_threads_share_a_handle_or_have_their_own() {
    let shared = cuda();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let device = if seed % 2 == 0 { shared.clone() } else { cuda() };
            scope.spawn(move || {
                // The same module with other parameters.
                let gru = DiagonalGru::<f64>::random(2, 3, seed);
                let inputs = Array2::from_elem((400, 2), 0.1 + seed as f64);
                let x0 = Array1::zeros(3);
                let problem = Problem::new(&gru, x0.view(), inputs.view()).unwrap();
                let expected = plain_loop(&problem);
                for _ in 0..3 {
                    let solution = Solver::jacobi().block(32).solve(&problem, &device).unwrap();
                    assert!(difference(solution.states(), expected.view()) < 1e-13);
                }
            });
        }
    });
}

#[test]
fn a_step_in_ptx_of_the_users_own() {
    // x' = u_0 x + u_1, as the map of that kind.
    let text = ".reg .f64 %a, %b;
        ld.global.nc.f64 %a, [%at];
        ld.global.nc.f64 %b, [%at+8];
        mul.rn.f64 %x0, %a, %x0;
        add.rn.f64 %x0, %x0, %b;";
    let map = Map::<f64>::new(Kind::Affine, &[]);
    let inputs = Array2::from_shape_vec((700, 2), Noise::new(2).vec(1400, 0.9)).unwrap();
    let x0 = array![0.3];
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    let device = cuda().with_step(text);
    for solver in [Solver::sequential(), Solver::jacobi(), Solver::auto()] {
        let solution = solver.solve(&problem, &device).unwrap();
        assert!(difference(solution.states(), plain_loop(&problem).view()) < 1e-13);
    }
    // That it is this text which runs: with another one the answer is another.
    let other = cuda().with_step("mov.f64 %x0, 0d3FF0000000000000;");
    let ones = Solver::sequential().solve(&problem, &other).unwrap();
    assert!(ones.states().iter().all(|&x| x == 1.0));
    let refused = Solver::sequential().solve(&problem, &cuda().with_step("add.f64 %x0, %y;"));
    let fault = refused.unwrap_err();
    let source = std::error::Error::source(&fault).unwrap().to_string();
    assert!(source.starts_with("the driver refused the PTX"), "{source}");
}

#[test]
fn a_resident_solution_is_fetched_later() {
    let gru = Gru::<f64>::random(1, 2, 5);
    let inputs = Array2::from_elem((600, 1), 0.3);
    let x0 = Array1::zeros(2);
    let problem = Problem::new(&gru, x0.view(), inputs.view()).unwrap();
    let device = cuda();
    let resident = Solver::jacobi().block(50).solve_resident(&problem, &device).unwrap();
    assert!(resident.converged());
    let sweeps = resident.report().sweeps;
    let solution = resident.fetch().unwrap();
    assert_eq!(solution.report().sweeps, sweeps);
    assert!(difference(solution.states(), plain_loop(&problem).view()) < 1e-13);
}

#[test]
fn a_guess_is_used() {
    let gru = Gru::<f64>::random(1, 2, 5);
    let inputs = Array2::from_elem((600, 1), 0.3);
    let x0 = Array1::zeros(2);
    let problem = Problem::new(&gru, x0.view(), inputs.view()).unwrap();
    let guess = plain_loop(&problem);
    let problem = problem.with_guess(guess.view()).unwrap();
    let solution = Solver::jacobi().block(50).solve(&problem, &cuda()).unwrap();
    assert_eq!(solution.report().sweeps, 1, "{}", solution.report());
}

#[test]
fn a_large_theta_is_read_from_global_memory() {
    // 3 · 60 · 62 + … entries, more than constant memory holds in double precision.
    let gru = Gru::<f64>::random(1, 60, 5);
    let inputs = Array2::from_elem((40, 1), 0.3);
    let x0 = Array1::zeros(60);
    let problem = Problem::new(&gru, x0.view(), inputs.view()).unwrap();
    let solution = Solver::jacobi().block(10).solve(&problem, &cuda()).unwrap();
    assert!(difference(solution.states(), plain_loop(&problem).view()) < 1e-13);
    assert_eq!(solution.report().method, Method::Sweeps(deer_solver::Linearization::Zero));
}
