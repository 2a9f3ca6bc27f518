//! Every method against reference data made by other programs.

use crate::common::golden::{self, Case, Check};
use crate::maps::{methods, with_block};
use deer_solver::{Cpu, Dynamics, Problem, Real};

/// Every method, several block lengths, several numbers of threads.
struct EveryMethod {
    tolerance: f64,
    pools: Vec<Cpu>,
}

impl<R: Real> Check<R> for EveryMethod {
    fn check<D: Dynamics<Real = R>>(&mut self, case: &Case<D>) {
        let problem = Problem::new(&case.dynamics, case.x0.view(), case.inputs.view()).unwrap();
        let steps = case.inputs.nrows();
        // The worst case is a sweep of all steps for each block.
        let blocks: &[_] = match steps {
            0..=300 => &[None, Some(1), Some(3), Some(17), Some(64)],
            301..=1000 => &[None, Some(17), Some(64), Some(999)],
            _ => &[None, Some(500), Some(5001)],
        };
        for solver in methods() {
            for &block in blocks {
                let mut solver = with_block(&solver, block);
                if R::SINGLE || case.name == "gru_difficult" {
                    // What is asked for here is less than the default tolerance grows to in a
                    // recurrence of large weights, or with states beyond 1.
                    solver = solver.tolerance(0.0, R::EPSILON.to_f64());
                }
                for cpu in &self.pools {
                    let solution = solver.solve(&problem, cpu).unwrap();
                    let what = format!(
                        "{}, {}, block {block:?}, {} threads\n{}",
                        case.name,
                        solver.method,
                        cpu.threads(),
                        solution.report()
                    );
                    assert!(solution.converged(), "{what}: {:?}", solution.termination());
                    let worst = solution.trajectory(0).iter().zip(&case.states).fold(
                        0.0f64,
                        |worst, (x, expected)| {
                            let apart = (x.to_f64() - expected.to_f64()).abs();
                            if apart <= worst { worst } else { apart }
                        },
                    );
                    assert!(worst <= self.tolerance, "off by {worst:e}: {what}");
                }
            }
        }
    }
}

fn pools() -> Vec<Cpu> {
    [1, 2, 5].map(|threads| Cpu::with_threads(threads).unwrap()).to_vec()
}

#[test]
fn double_precision_equals_the_reference() {
    golden::each::<f64>(&mut EveryMethod { tolerance: 1e-12, pools: pools() });
}

#[test]
fn single_precision_equals_the_reference() {
    golden::each::<f32>(&mut EveryMethod { tolerance: 2e-6, pools: pools() });
}
