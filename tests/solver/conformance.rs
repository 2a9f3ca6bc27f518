//! What every backend must do: each method equals the plain loop.

use crate::common::reference::{Allowance, check_honest, difference, plain_loop};
use crate::maps::{Kind, Map, Noise, ignores_damping, methods, with_block};
use deer_solver::backend::Sweep;
use deer_solver::cells::{DiagonalGru, DiagonalLstm, Elman, Gru, Lem, Lstm};
use deer_solver::{Dynamics, Method, Problem, Real, Solution};
use ndarray::{Array2, Array3};

/// Runs on a backend everything that it must get right, on recurrences that contract.
pub(crate) fn conformance<B>(backend: &B)
where
    B: Sweep<Gru<f64>>
        + Sweep<Gru<f32>>
        + Sweep<Elman<f64>>
        + Sweep<Lstm<f64>>
        + Sweep<Lem<f64>>
        + Sweep<DiagonalGru<f64>>
        + Sweep<DiagonalLstm<f64>>
        + Sweep<Map<f64>>
        + Sweep<Map<f32>>,
{
    // n = 1..4 and 5..: one pass of tangents and several; 17: dense products.
    all_methods("gru 3", backend, &Gru::<f64>::random(2, 3, 1), &[150, 67]);
    all_methods("gru 5, f32", backend, &Gru::<f32>::random(1, 5, 2), &[97]);
    all_methods("lstm", backend, &Lstm::<f64>::random(2, 2, 4), &[83, 83]);
    all_methods("lem", backend, &Lem::<f64>::random(1, 2, 5).with_dt(0.9), &[81]);
    all_methods("diagonal gru", backend, &DiagonalGru::<f64>::random(2, 5, 6), &[129]);
    all_methods("diagonal lstm", backend, &DiagonalLstm::<f64>::random(2, 3, 7), &[131]);
    all_methods("tanh 4", backend, &Map::<f64>::tanh(4, 0.8, 8), &[127, 0, 64, 1]);
    all_methods("tanh 2, f32", backend, &Map::<f32>::tanh(2, 0.8, 9), &[129]);
    let apart = Map::<f64>::new(Kind::Apart, &[0.1, 0.5, -0.7, 0.9, -0.3, 0.2]);
    all_methods("undeclared diagonal", backend, &apart, &[130]);
    let pairs = Map::<f64>::new(Kind::Pairs, &[0.6, 0.5]);
    all_methods("undeclared pairs", backend, &pairs, &[131]);
    let cycles = Map::<f64>::new(Kind::Cycles([3, 5, 2, 4, 0, 1]), &[0.6, 0.5]);
    all_methods("undeclared blocks of 3 and 2 + 1", backend, &cycles, &[131]);
    all_methods("elman 17", backend, &Elman::<f64>::random(2, 17, 3), &[65]);
}

/// Every method, block length and damping on sequences of `lengths` steps.
pub(crate) fn all_methods<D: Dynamics, B: Sweep<D>>(
    what: &str,
    backend: &B,
    dynamics: &D,
    lengths: &[usize],
) {
    let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
    let mut noise = Noise::new(11);
    let x0 = Array2::from_shape_vec((lengths.len(), n), noise.vec(lengths.len() * n, 0.9)).unwrap();
    let inputs: Vec<Array2<D::Real>> = lengths
        .iter()
        .map(|&steps| Array2::from_shape_vec((steps, m), noise.vec(steps * m, 1.0)).unwrap())
        .collect();
    let views: Vec<_> = inputs.iter().map(|inputs| inputs.view()).collect();
    let problem = Problem::ragged(dynamics, x0.view(), &views).unwrap();
    let expected = plain_loop(&problem);
    let steps = problem.max_steps();
    let blocks = [None, Some(1), Some(3), Some(17), Some(64), Some(steps), Some(steps + 5)];
    for solver in methods() {
        for block in blocks {
            for damping in [0.0, 0.5] {
                if damping > 0.0 && ignores_damping(&solver) {
                    continue;
                }
                let solver = with_block(&solver, block).damping(damping);
                let what = format!("{what}, {}, block {block:?}, damping {damping}", solver.method);
                let solution = solver.solve(&problem, backend).unwrap();
                check(&what, &problem, solver.method, &solution, &expected);
            }
        }
    }
}

fn check<D: Dynamics>(
    what: &str,
    problem: &Problem<'_, D>,
    method: Method,
    solution: &Solution<D::Real>,
    expected: &Array3<D::Real>,
) {
    let report = solution.report();
    assert!(solution.converged(), "{what}: {:?}\n{report}", solution.terminations());
    let single = <D::Real as Real>::SINGLE;
    let apart = difference(solution.states(), expected.view());
    assert!(apart <= if single { 1e-5 } else { 1e-12 }, "{what}: off by {apart:e}\n{report}");
    // States below 1: the relative tolerance bounds the absolute residual.
    assert!(report.residual <= if single { 1e-6 } else { 1e-13 }, "{what}: {report}");
    check_honest(what, problem, solution, Allowance::of::<D::Real>(1.0));
    if method == Method::Auto {
        assert_ne!(report.method, Method::Auto, "{what}");
    } else {
        assert_eq!(report.method, method, "{what}");
    }
    assert!(report.work >= 1.0 || problem.max_steps() == 0, "{what}: {report}");
}
