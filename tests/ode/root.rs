//! Roots of systems of equations.

use deer_solver::root::{Options, System, Termination, newton};
use deer_solver::scalar::{Constant, Param, Scalar};
use ndarray::{Array1, array};

/// Systems by name.
#[derive(Clone, Copy, Debug)]
enum Named {
    /// y² − 1
    Square,
    /// y² + 1, which has none
    NoRoot,
    /// y³, a triple root
    Triple,
    /// atan y, where plain Newton runs away from |y| > 1.39
    Arctangent,
    /// Rosenbrock's: 10 (y₁ − y₀²), 1 − y₀
    Rosenbrock,
    /// Powell's singular function: the Jacobian has rank 2 at the root 0
    Powell,
    /// Twice the same line: a line of roots
    Line,
    /// Units that differ by 1e12
    Scaled,
    /// Broyden's tridiagonal system of 10
    Broyden,
    /// 1/y: no root, infinite at 0
    Pole,
}

impl System for Named {
    type Real = f64;
    fn dim(&self) -> usize {
        match self {
            Named::Square | Named::NoRoot | Named::Triple | Named::Arctangent | Named::Pole => 1,
            Named::Rosenbrock | Named::Line | Named::Scaled => 2,
            Named::Powell => 4,
            Named::Broyden => 10,
        }
    }
    fn residual<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], r: &mut [S]) {
        match self {
            Named::Square => r[0] = x[0] * x[0] - 1.0,
            Named::NoRoot => r[0] = x[0] * x[0] + 1.0,
            Named::Triple => r[0] = x[0] * x[0] * x[0],
            Named::Arctangent => r[0] = x[0].atan(),
            Named::Pole => r[0] = x[0].recip(),
            Named::Rosenbrock => {
                r[0] = (x[1] - x[0] * x[0]) * 10.0;
                r[1] = Constant(1.0) - x[0];
            }
            Named::Powell => {
                r[0] = x[0] + x[1] * 10.0;
                r[1] = (x[2] - x[3]) * 5f64.sqrt();
                let (a, b) = (x[1] - x[2] * 2.0, x[0] - x[3]);
                r[2] = a * a;
                r[3] = b * b * 10f64.sqrt();
            }
            Named::Line => {
                r[0] = x[0] + x[1] * 2.0 - 3.0;
                r[1] = x[0] * 2.0 + x[1] * 4.0 - 6.0;
            }
            Named::Scaled => {
                r[0] = x[0] * 1e-6 - x[1] * 1e6;
                r[1] = x[0] * x[0] * 1e-12 + x[1] * 1e6 - 2.0;
            }
            Named::Broyden => {
                for i in 0..10 {
                    r[i] = (Constant(3.0) - x[i] * 2.0) * x[i] + 1.0;
                    if i > 0 {
                        r[i] -= x[i - 1];
                    }
                    if i < 9 {
                        r[i] -= x[i + 1] * 2.0;
                    }
                }
            }
        }
    }
}

#[test]
fn roots_are_found() {
    let cases = [
        (Named::Square, vec![3.0]),
        (Named::Square, vec![1e-8]),
        (Named::Triple, vec![1.0]),
        (Named::Arctangent, vec![20.0]),
        (Named::Rosenbrock, vec![-1.2, 1.0]),
        (Named::Powell, vec![3.0, -1.0, 0.0, 1.0]),
        (Named::Line, vec![5.0, 7.0]),
        (Named::Scaled, vec![1.0, 1.0]),
        (Named::Broyden, vec![-1.0; 10]),
    ];
    for (system, guess) in cases {
        let root = newton(&system, Array1::from(guess).view(), &Options::default()).unwrap();
        assert!(root.converged(), "{system:?}: {root:?}");
        assert!(root.residual().iter().all(|r| r.abs() < 1e-11), "{system:?}: {root:?}");
        let mut again = vec![0.0; system.dim()];
        system.residual::<f64>(&[], &root.solution().to_vec(), &mut again);
        assert_eq!(root.residual().to_vec(), again);
    }
    let root = newton(&Named::Square, array![3.0].view(), &Options::default()).unwrap();
    assert_eq!(root.solution()[0], 1.0);
    // From a root no step is taken.
    let root = newton(&Named::Square, array![-1.0].view(), &Options::default()).unwrap();
    assert_eq!((root.iterations(), root.solution()[0]), (0, -1.0));
}

/// Never a success where there is none.
#[test]
fn no_root_is_said() {
    let stationary = newton(&Named::Square, array![0.0].view(), &Options::default()).unwrap();
    assert!(!stationary.converged());
    assert_eq!(stationary.termination(), Termination::Stationary);
    assert_eq!(stationary.residual()[0], -1.0);
    for guess in [0.0, 0.3, 1.0, 5.0, -1e6] {
        let none = newton(&Named::NoRoot, array![guess].view(), &Options::default()).unwrap();
        assert!(!none.converged(), "{none:?}");
        assert!(none.solution()[0].abs() < 1e-3, "the minimum of |F|: {none:?}");
    }
    let pole = newton(&Named::Pole, array![0.0].view(), &Options::default()).unwrap();
    assert_eq!(pole.termination(), Termination::NonFinite);
    let few = Options::default().max_iterations(2);
    let few = newton(&Named::Rosenbrock, array![-1.2, 1.0].view(), &few).unwrap();
    assert_eq!((few.termination(), few.iterations()), (Termination::IterationLimit, 2));
}

#[test]
fn misuse_is_named() {
    let message = |guess: Array1<f64>, options| {
        newton(&Named::Square, guess.view(), &options).unwrap_err().to_string()
    };
    let plain = Options::default();
    assert_eq!(message(array![], plain.clone()), "guess: expected shape [n = 1], got [0]");
    assert_eq!(
        message(array![f64::NAN], plain.clone()),
        "guess[0]: expected a finite number, got NaN"
    );
    assert_eq!(
        message(array![1.0], plain.tolerance(-1.0, 0.0)),
        "atol: expected a finite number, at least 0, got -1"
    );
}
