//! The CPU conforms, with every instruction set.

use crate::conformance::{all_methods, conformance};
use crate::maps::{Kind, Map};
use deer_solver::cells::{Elman, Gru};
use deer_solver::scalar::InstructionSet;
use deer_solver::{Cpu, Problem, Solver, Structure};
use ndarray::Array2;

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
