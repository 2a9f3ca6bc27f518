//! The CPU conforms, with every instruction set.

use crate::conformance::{all_methods, conformance};
use crate::maps::{Kind, Map, Noise};
use deer_solver::cells::{Elman, Gru};
use deer_solver::scalar::{InstructionSet, Param, Scalar};
use deer_solver::{Cpu, Dynamics, Problem, Solver, Structure, Tangents, diagnostics};
use ndarray::{Array2, Array3, ArrayView2};

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

/// Components in random cycles: blocks of one size and of several.
#[test]
fn structures_are_found_after_a_permutation() {
    let cpu = Cpu::with_threads(2).unwrap();
    let mut noise = Noise::new(23);
    let pairs = ([5, 2, 1, 4, 3, 0], 6, Some(vec![2, 2, 2]));
    let unequal = ([3, 5, 2, 4, 0, 1], 6, Some(vec![3, 2, 1]));
    let no_divisor = ([3, 4, 2, 0, 1, 5], 5, Some(vec![2, 2, 1]));
    let three_and_one = ([2, 1, 3, 0, 4, 5], 4, Some(vec![3, 1]));
    let mut cases = vec![pairs, unequal, no_divisor, three_and_one, ([1, 2, 3, 4, 0, 5], 6, None)];
    for case in 0..18 {
        let n = 4 + case % 3;
        let mut after = [0, 1, 2, 3, 4, 5];
        for i in (1..n).rev() {
            after.swap(i, ((noise.next() + 1.0) / 2.0 * (i + 1) as f64) as usize);
        }
        cases.push((after, n, None));
    }
    let mut unequal = 0;
    for (after, n, sizes) in cases {
        let inputs = Array2::from_shape_vec((900, 1), noise.vec(900, 1.0)).unwrap();
        let x0 = ndarray::Array1::from(noise.vec(n, 0.9));
        let map = Map::<f64> { n, ..Map::new(Kind::Cycles(after), &[0.6, 0.5]) };
        let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
        let structure = problem.structure();
        let found: Vec<usize> = (0..structure.blocks(n)).map(|b| structure.rows(n, b)).collect();
        if let Some(sizes) = sizes {
            assert!(matches!(structure, Structure::Permuted { .. }), "{after:?}: {structure:?}");
            assert_eq!(found, sizes);
        }
        unequal += usize::from(found.iter().any(|&size| size != found[0]));
        assert_eq!(structure.entries(n), found.iter().map(|size| size * size).sum::<usize>());
        assert_eq!(structure.block_size(n), found.iter().copied().max().unwrap());
        // Components that meet are in one block, also where all blocks are to be of one size.
        for structure in [structure, structure.in_equal_blocks()] {
            let blocks: Vec<Vec<usize>> = (0..structure.blocks(n))
                .map(|b| (0..structure.rows(n, b)).map(|i| structure.component(n, b, i)).collect())
                .collect();
            for (i, j) in after[..n].iter().enumerate() {
                let shared = blocks.iter().any(|block| block.contains(&i) && block.contains(j));
                assert!(shared, "{after:?}: {blocks:?}");
            }
        }
        let even = structure.in_equal_blocks();
        assert_eq!(even.entries(n), n * even.block_size(n), "{after:?}: {even:?}");
        agrees_with_the_loop(&format!("{after:?}, {n}"), &problem, &mut noise, &cpu);
        let solution = Solver::deer().block(7).solve(&problem, &cpu).unwrap();
        if let Structure::Permuted { .. } = structure {
            let size = structure.block_size(n);
            let up_to = if found.iter().all(|size| *size == found[0]) { "" } else { "up to " };
            let said =
                format!("Jacobians in blocks of {up_to}{size} × {size}, after a permutation");
            assert!(solution.report().to_string().contains(&said), "{}", solution.report());
        }
    }
    assert!(unequal > 8, "{unequal}");
}

/// Blocks that products and systems of whole matrices are for, beside small ones.
#[test]
fn large_blocks_of_unequal_size() {
    let cpu = Cpu::with_threads(2).unwrap();
    let mut noise = Noise::new(29);
    let n = 26;
    // 18 components meet, 2 meet 5, and the other six are alone.
    let set = |i: usize| match i {
        2 | 5 => 2,
        8 | 11 | 14 | 17 | 20 | 23 => i,
        _ => 0,
    };
    let mut weights = vec![0.0; n * n + n];
    for i in 0..n {
        for j in 0..n {
            if set(i) == set(j) {
                weights[i * n + j] = 0.3 * noise.next();
            }
        }
        weights[n * n + i] = noise.next();
    }
    let map = Map::<f64> { n, ..Map::new(Kind::SparseTanh, &weights) };
    let inputs = Array2::from_shape_vec((700, 1), noise.vec(700, 1.0)).unwrap();
    let x0 = ndarray::Array1::from(noise.vec(n, 0.9));
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    let structure = problem.structure();
    let sizes: Vec<usize> = (0..structure.blocks(n)).map(|b| structure.rows(n, b)).collect();
    assert_eq!(sizes, [18, 2, 1, 1, 1, 1, 1, 1]);
    agrees_with_the_loop("18 and 2", &problem, &mut noise, &cpu);
}

/// States, growth, bounds and derivatives of a problem as the loop has them.
fn agrees_with_the_loop(what: &str, problem: &Problem<'_, Map<f64>>, noise: &mut Noise, cpu: &Cpu) {
    let (steps, n) = (problem.max_steps(), problem.state_dim());
    let weights = Array3::from_shape_vec((1, steps, n), noise.vec(steps * n, 1.0)).unwrap();
    let mut tangents = Tangents::zeros(problem);
    tangents.params.iter_mut().for_each(|x| *x = noise.next());
    tangents.initial_state.iter_mut().for_each(|x| *x = noise.next());
    let looped = Solver::sequential().solve(problem, cpu).unwrap();
    let expected = looped.vjp(problem, weights.view(), cpu).unwrap();
    let pushed = looped.jvp(problem, &tangents, cpu).unwrap();
    for solver in [Solver::deer().block(7), Solver::auto(), Solver::elk(0.1).block(5)] {
        let solution = solver.tolerance(0.0, 1e-14).solve(problem, cpu).unwrap();
        assert!(solution.converged(), "{what}: {}", solution.report());
        let apart = &solution.states() - &looped.states();
        assert!(apart.iter().all(|x| x.abs() < 1e-13), "{what}: {}", solution.report());
        let gradient = solution.vjp(problem, weights.view(), cpu).unwrap();
        let apart = &gradient.params - &expected.params;
        assert!(apart.iter().all(|x| x.abs() < 1e-10), "{what}: {apart}");
        let apart = &solution.jvp(problem, &tangents, cpu).unwrap() - &pushed;
        assert!(apart.iter().all(|x| x.abs() < 1e-10), "{what}");
    }
    // ⟨v, J t⟩ = ⟨Jᵀ v, t⟩
    let forward = (&weights * &pushed).sum();
    let back = expected.params.dot(&tangents.params)
        + (&expected.initial_state * &tangents.initial_state).sum();
    assert!((forward - back).abs() < 1e-9 * (1.0 + forward.abs()), "{what}: {forward} {back}");
    // Growth and bounds as without a structure.
    let whole = Whole(problem.dynamics());
    let inputs = ArrayView2::from_shape((steps, 1), problem.inputs(0)).unwrap();
    let dense = Problem::new(&whole, problem.initial_state().row(0), inputs).unwrap();
    let growth = [
        diagnostics::lyapunov_on(problem, &looped, cpu).unwrap().growth,
        diagnostics::lyapunov_on(&dense, &looped, cpu).unwrap().growth,
    ];
    for (found, dense) in growth[0].iter().zip(&growth[1]) {
        assert!((found.mean / dense.mean - 1.0).abs() < 1e-2, "{what}: {found:?} {dense:?}");
    }
    let bound = diagnostics::error_bound(problem, &looped, cpu).unwrap();
    let whole = diagnostics::error_bound(&dense, &looped, cpu).unwrap();
    assert!((bound.rounding / whole.rounding - 1.0).abs() < 1e-9, "{what}: {bound:?} {whole:?}");
    assert!((bound.residual - whole.residual).abs() < 1e-15, "{what}: {bound:?} {whole:?}");
}

/// A map whose Jacobian is declared to be one block.
struct Whole<'m>(&'m Map<f64>);

impl Dynamics for Whole<'_> {
    type Real = f64;
    fn state_dim(&self) -> usize {
        self.0.n
    }
    fn input_dim(&self) -> usize {
        1
    }
    fn params(&self) -> &[f64] {
        &self.0.params
    }
    fn structure(&self) -> Structure {
        Structure::Blocks { size: self.0.n, interleaved: false }
    }
    #[inline(always)]
    fn step<S: Scalar<Real = f64>>(&self, p: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
        self.0.step(p, x, u, next);
    }
}
