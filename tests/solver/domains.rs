//! Recurrences that leave the finite numbers on the way: as the loop does, and not beyond their sequence.

use crate::adversarial::{BLOCKS, auto, column, every_method};
use crate::common::reference::{Allowance, check_honest, difference, plain_loop};
use crate::maps::{Kind, Map, always_delivers, methods, with_block};
use deer_solver::{Cpu, Problem, Termination};
use ndarray::{Array1, Array2, Array3, ArrayView2, s};

/// `kind` on three sequences of which the middle one leaves its domain at step 77.
fn leaves_its_domain(kind: Kind, inside: f64, outside: f64) {
    let map = Map::<f64>::new(kind, &[]);
    let x0 = Array2::from_elem((3, 1), 1.0);
    for steps in [150, 4000] {
        let good = column::<f64>((0..steps).map(|t| inside + 0.1 * (t as f64).sin()));
        let mut bad = good.clone();
        bad[[77, 0]] = outside;
        let views: [ArrayView2<'_, f64>; 3] = [good.view(), bad.view(), good.view()];
        let problem = Problem::ragged(&map, x0.view(), &views).unwrap();
        let expected = plain_loop(&problem);
        assert!(expected[[1, 77, 0]].is_nan() && expected[[1, 76, 0]].is_finite());
        let cpu = Cpu::new();
        for solver in methods() {
            for block in [None, Some(1), Some(16)] {
                if steps > 1000 && (!always_delivers(&solver) || block == Some(1)) {
                    continue;
                }
                let solver = with_block(&solver, block);
                let what = format!("{kind:?}, {}, block {block:?}", solver.method);
                let solution = solver.solve(&problem, &cpu).unwrap();
                check_honest(&what, &problem, &solution, Allowance::of::<f64>(1.0));
                assert!(!solution.converged(), "{what}");
                let terminations = solution.terminations();
                assert_eq!(terminations[0], Termination::Converged, "{what}");
                assert_eq!(terminations[2], Termination::Converged, "{what}");
                if always_delivers(&solver) {
                    let left = Termination::NonFinite { batch: 1, t: 77 };
                    assert_eq!(terminations[1], left, "{what}");
                    assert_eq!(solution.termination(), left, "{what}");
                    assert!(solution.report().residual.is_nan(), "{what}");
                    let apart = difference(solution.states(), expected.view());
                    assert!(apart < 1e-12, "{what}: off by {apart:e}");
                }
            }
        }
    }
}

#[test]
fn logarithm_leaves_its_domain() {
    leaves_its_domain(Kind::Log, 2.0, -5.0);
}

#[test]
fn square_root_leaves_its_domain() {
    leaves_its_domain(Kind::Root, 1.0, -5.0);
}

/// Sequences side by side in lanes do not touch each other.
#[test]
fn one_of_many_leaves_its_domain() {
    let map = Map::<f64>::new(Kind::Log, &[]);
    for batch in [20, 200] {
        let x0 = Array2::from_elem((batch, 1), 1.0);
        let mut inputs = Array3::from_elem((batch, 40, 1), 2.0);
        inputs[[7, 11, 0]] = -5.0;
        let problem = Problem::batch(&map, x0.view(), inputs.view()).unwrap();
        let expected = plain_loop(&problem);
        for solver in methods() {
            let solution = solver.solve(&problem, &Cpu::new()).unwrap();
            let what = format!("{} of {batch}", solver.method);
            check_honest(&what, &problem, &solution, Allowance::of::<f64>(1.0));
            for (b, &termination) in solution.terminations().iter().enumerate() {
                if b != 7 {
                    assert_eq!(termination, Termination::Converged, "{what}: sequence {b}");
                    let (x, loops) = (solution.states(), expected.view());
                    let (x, loops) = (x.slice(s![b..=b, .., ..]), loops.slice(s![b..=b, .., ..]));
                    assert!(difference(x, loops) < 1e-12, "{what}: sequence {b}");
                }
            }
            if always_delivers(&solver) {
                assert_eq!(solution.termination(), Termination::NonFinite { batch: 7, t: 11 });
                assert!(difference(solution.states(), expected.view()) < 1e-12, "{what}");
            }
        }
    }
}

/// A NaN that a `max` drops two steps later: what follows is finite and right.
#[test]
fn a_nan_that_vanishes() {
    let map = Map::<f64>::new(Kind::Passing, &[]);
    for (steps, at) in [(200, 100), (200, 15), (200, 16), (3000, 1000)] {
        let inputs = column::<f64>(
            (0..steps).map(|t| if t == at { -0.3 } else { 1.0 + 0.1 * (t as f64).sin() }),
        );
        let x0 = Array1::from_elem(2, 1.0);
        let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
        let expected = plain_loop(&problem);
        assert!(expected[[0, at + 1, 1]].is_nan() && expected[[0, at + 3, 1]].is_finite());
        let solution = auto("passing", &problem, Allowance::of::<f64>(1.0));
        assert!(difference(solution.states(), expected.view()) < 1e-12);
        assert_eq!(solution.termination(), Termination::NonFinite { batch: 0, t: at + 1 });
        if steps < 1000 {
            every_method("passing", &problem, &BLOCKS, Allowance::of::<f64>(1.0));
        }
    }
}
