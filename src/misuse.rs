//! What must not compile. Each example is this one with a line changed:
//!
//! ```
//! use deer_solver::{Dynamics, Problem, scalar::{Constant, Param, Scalar}};
//! use ndarray::array;
//!
//! struct Logistic;
//!
//! impl Dynamics for Logistic {
//!     type Real = f64;
//!     fn state_dim(&self) -> usize { 1 }
//!     fn step<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], _: &[S], next: &mut [S]) {
//!         next[0] = (Constant(1.0) - x[0]) * x[0] * 3.0;
//!     }
//! }
//!
//! let _ = Problem::autonomous(&Logistic, array![0.3].view(), 10);
//! ```
//!
//! A branch on a value, which lanes of several values cannot take together:
//! ```compile_fail,E0369
//! use deer_solver::{Dynamics, Problem, scalar::{Constant, Param, Scalar}};
//! use ndarray::array;
//!
//! struct Logistic;
//!
//! impl Dynamics for Logistic {
//!     type Real = f64;
//!     fn state_dim(&self) -> usize { 1 }
//!     fn step<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], _: &[S], next: &mut [S]) {
//!         next[0] = if x[0] > x[0] * 2.0 { x[0] } else { (Constant(1.0) - x[0]) * x[0] * 3.0 };
//!     }
//! }
//!
//! let _ = Problem::autonomous(&Logistic, array![0.3].view(), 10);
//! ```
//!
//! A number where a scalar is meant:
//! ```compile_fail,E0308
//! use deer_solver::{Dynamics, Problem, scalar::{Constant, Param, Scalar}};
//! use ndarray::array;
//!
//! struct Logistic;
//!
//! impl Dynamics for Logistic {
//!     type Real = f64;
//!     fn state_dim(&self) -> usize { 1 }
//!     fn step<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], _: &[S], next: &mut [S]) {
//!         next[0] = 0.5;
//!     }
//! }
//!
//! let _ = Problem::autonomous(&Logistic, array![0.3].view(), 10);
//! ```
//!
//! A recurrence of one precision with data of another:
//! ```compile_fail,E0308
//! use deer_solver::{Dynamics, Problem, scalar::{Constant, Param, Scalar}};
//! use ndarray::array;
//!
//! struct Logistic;
//!
//! impl Dynamics for Logistic {
//!     type Real = f64;
//!     fn state_dim(&self) -> usize { 1 }
//!     fn step<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], _: &[S], next: &mut [S]) {
//!         next[0] = (Constant(1.0) - x[0]) * x[0] * 3.0;
//!     }
//! }
//!
//! let _ = Problem::autonomous(&Logistic, array![0.3f32].view(), 10);
//! ```
//!
//! A type that is no recurrence:
//! ```compile_fail,E0277
//! use deer_solver::Problem;
//! use ndarray::array;
//!
//! struct Logistic;
//!
//! let _ = Problem::autonomous(&Logistic, array![0.3].view(), 10);
//! ```
//!
//! A solution that outlives what it does not borrow is fine, a problem that outlives its inputs is not:
//! ```compile_fail,E0597
//! use deer_solver::{Problem, cells::Gru};
//! use ndarray::{Array1, Array2};
//!
//! let gru = Gru::<f64>::random(1, 2, 0);
//! let problem = {
//!     let inputs = Array2::zeros((10, 1));
//!     Problem::new(&gru, Array1::zeros(2).view(), inputs.view()).unwrap()
//! };
//! let _ = problem.steps(0);
//! ```
