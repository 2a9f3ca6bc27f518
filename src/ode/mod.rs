//! Ordinary differential equations as recurrences.
//!
//! ```math
//! \dot y = g(t, y, u(t); \theta), \qquad y_{k+1} = f(y_k; t_k, \Delta t_k, u)
//! ```
//!
//! A one-step scheme on a grid of times `t_0 < t_1 < …` makes a recurrence of an equation, and that is
//! solved in parallel over time like any other. The grid need not be uniform.
//!
//! * [`Ode`]: the equation, written once, generic over its scalar; [`Dae`]: the implicit form `F(ẏ, y, u, t) = 0`.
//! * [`solve_ivp`]: an initial value problem on given times, or within a tolerance, for which it finds a grid; [`solve_dae`]: the same
//!   for the implicit form.
//! * [`Hamiltonian`]: equations of motion from an [`Energy`] `H(q, p)`.
//! * [`ImplicitDiscretized`]: the same by an implicit scheme, whose steps are equations.
//! * [`Discretized`]: an equation on a grid by a [`Scheme`], a [`Dynamics`](crate::Dynamics): with inputs, in batches, with
//!   derivatives.
//!
//! # Example
//! ```
//! # #[cfg(feature = "cpu")] {
//! use deer_solver::ode::{Discretized, Ode, Scheme};
//! use deer_solver::scalar::{Param, Scalar};
//! use deer_solver::{Cpu, Solver};
//! use ndarray::{Array1, Array2, array};
//!
//! /// A damped oscillator pushed by u(t).
//! struct Oscillator;
//!
//! impl Ode for Oscillator {
//!     type Real = f64;
//!     fn state_dim(&self) -> usize { 2 }
//!     fn input_dim(&self) -> usize { 1 }
//!     #[inline(always)]
//!     fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], u: &[S], dy: &mut [S]) {
//!         dy[0] = y[1];
//!         dy[1] = u[0] - y[0] - y[1] * 0.1;
//!     }
//! }
//!
//! let times = Array1::linspace(0.0, 100.0, 10_001);
//! let push = Array2::from_shape_fn((10_001, 1), |(k, _)| times[k].sin()); // u on the grid, [times, m]
//! let discretized = Discretized::new(&Oscillator, &times, Scheme::Rk4);
//! let problem = discretized.problem(array![1.0, 0.0].view(), push.view())?;
//! let solution = Solver::auto().solve(&problem, &Cpu::new())?;
//! println!("{}", solution.trajectory(0).row(9_999)); // y(100)
//! # }
//! # Ok::<(), deer_solver::Error>(())
//! ```

mod consistent;
mod dae;
mod discretized;
mod equation;
mod explicit;
mod grid;
mod hamiltonian;
mod implicit;
mod ivp;
mod options;
mod pilot;
mod refine;
mod sampling;
mod scheme;
mod slopes;
mod solution;
mod solve_dae;
mod steps;

pub use dae::Dae;
pub use discretized::{Discretized, Interpolation};
pub use equation::Ode;
pub use hamiltonian::{Energy, Hamiltonian};
pub use implicit::{DaeEquation, GridEquation, ImplicitDiscretized, StepEquation};
pub use ivp::solve_ivp;
pub use options::Options;
pub use scheme::Scheme;
pub use solution::Solution;
pub use solve_dae::solve_dae;
