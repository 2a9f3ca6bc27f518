//! The CPU conforms, with every instruction set.

use crate::conformance::{all_methods, conformance};
use crate::maps::{Kind, Map, Noise};
use deer_solver::cells::{Elman, Gru};
use deer_solver::scalar::InstructionSet;
use deer_solver::{Cpu, Problem, Solver, Structure};
use ndarray::{Array2, Array3};

#[test]
fn the_cpu_conforms() {
    conformance(&Cpu::with_threads(2).unwrap());
}

#[test]
fn every_instruction_set_conforms() {
    let best = InstructionSet::detect();
    for set in InstructionSet::available() {
        if set != best {
            let cpu = Cpu::with_threads(2).unwrap().instruction_set(set).unwrap();
            all_methods("tanh 4", &cpu, &Map::<f64>::tanh(4, 0.8, 8), &[127, 0, 64, 1]);
            all_methods("gru 5, f32", &cpu, &Gru::<f32>::random(1, 5, 2), &[97]);
            all_methods("elman 17", &cpu, &Elman::<f64>::random(2, 17, 3), &[65]);
        }
    }
}

#[test]
fn undeclared_structures_are_found() {
    let inputs = Array2::zeros((200, 1));
    let x0 = ndarray::Array1::zeros(6);
    for (kind, structure, said) in [
        (Kind::Apart, Structure::Diagonal, "diagonal"),
        (Kind::Pairs, Structure::Blocks { size: 2, interleaved: true }, "2 × 2"),
    ] {
        let map = Map::<f64>::new(kind, &[0.1; 6]);
        let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
        assert_eq!(problem.structure(), structure);
        let solution = Solver::deer().solve(&problem, &Cpu::new()).unwrap();
        assert!(solution.report().to_string().contains(said), "{}", solution.report());
    }
}

#[test]
fn structures_are_found_after_a_permutation() {
    let cpu = Cpu::with_threads(2).unwrap();
    let mut noise = Noise::new(23);
    let inputs = Array2::from_shape_vec((900, 1), noise.vec(900, 1.0)).unwrap();
    let x0 = ndarray::Array1::from(noise.vec(6, 0.9));
    let pairs = [5, 2, 1, 4, 3, 0];
    let threes = [3, 5, 2, 4, 0, 1];
    let mut cases = vec![(pairs, Some(2)), (threes, Some(3)), ([1, 2, 3, 4, 0, 5], None)];
    for _ in 0..12 {
        let mut after = [0, 1, 2, 3, 4, 5];
        for i in (1..6).rev() {
            after.swap(i, ((noise.next() + 1.0) / 2.0 * (i + 1) as f64) as usize);
        }
        cases.push((after, None));
    }
    for (after, expected) in cases {
        let map = Map::<f64>::new(Kind::Cycles(after), &[0.6, 0.5]);
        let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
        let size = problem.structure().block_size(6);
        if let Some(expected) = expected {
            assert!(matches!(problem.structure(), Structure::Permuted { .. }), "{after:?}");
            assert_eq!(size, expected);
        }
        // Components that meet are in one block.
        let structure = problem.structure();
        let blocks: Vec<Vec<usize>> = (0..6 / size)
            .map(|block| (0..size).map(|row| structure.component(6, block, row)).collect())
            .collect();
        for (i, j) in after.iter().enumerate() {
            let shared = blocks.iter().any(|block| block.contains(&i) && block.contains(j));
            assert!(shared, "{after:?}: {blocks:?}");
        }
        let solution = Solver::deer().block(7).solve(&problem, &cpu).unwrap();
        if let Structure::Permuted { .. } = structure {
            let said = format!("Jacobians in blocks of {size} × {size}, after a permutation");
            assert!(solution.report().to_string().contains(&said), "{}", solution.report());
        }
        let weights = Array3::from_shape_vec((1, 900, 6), noise.vec(5400, 1.0)).unwrap();
        let looped = Solver::sequential().solve(&problem, &cpu).unwrap();
        let expected = looped.vjp(&problem, weights.view(), &cpu).unwrap();
        for solver in [Solver::deer().block(7), Solver::auto(), Solver::elk(0.1)] {
            let solution = solver.tolerance(0.0, f64::EPSILON).solve(&problem, &cpu).unwrap();
            assert!(solution.converged(), "{after:?}: {}", solution.report());
            let apart = &solution.states() - &looped.states();
            assert!(apart.iter().all(|x| x.abs() < 1e-13), "{after:?}: {}", solution.report());
            let gradient = solution.vjp(&problem, weights.view(), &cpu).unwrap();
            let apart = &gradient.params - &expected.params;
            assert!(apart.iter().all(|x| x.abs() < 1e-10), "{after:?}: {apart}");
        }
    }
}
