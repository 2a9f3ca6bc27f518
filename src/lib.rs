//! Nonlinear recurrences `x_t = f(x_{t−1}, u_t; θ)`, solved in parallel over time.
//!
//! The loop over `t` looks sequential: every state needs the one before it. Yet the whole trajectory is
//! the solution of one system of equations, `x_t − f(x_{t−1}, u_t; θ) = 0` for all `t`, and many recurrences
//! forget where they came from. [`Solver::auto`] measures whether yours does, and then rolls many
//! blocks of time at once, in SIMD lanes and on all cores, until they fit together; the answer is
//! the loop's, within a few units in the last place. Where time-parallelism cannot pay, it runs the loop.
//!
//! ```
//! # #[cfg(feature = "cpu")] {
//! use deer_solver::{cells::Gru, Cpu, Problem, Solver};
//! use ndarray::{Array1, Array2};
//!
//! let gru = Gru::<f32>::random(2, 32, 0); // input size, state size, seed
//! let x0 = Array1::zeros(32);
//! let inputs = Array2::from_shape_fn((10_000, 2), |(t, i)| (0.1 * t as f32 + i as f32).sin());
//! let problem = Problem::new(&gru, x0.view(), inputs.view())?; // [n], [T, m]
//! let solution = Solver::auto().solve(&problem, &Cpu::new())?;
//! assert!(solution.converged());
//! println!("{}", solution.trajectory(0).row(9_999)); // the last state
//! println!("{}", solution.report()); // method, sweeps, residual, work, time
//! # }
//! # Ok::<(), deer_solver::Error>(())
//! ```
//!
//! * A recurrence of your own: implement [`Dynamics`]. The step is written once, generic over its
//!   [`Scalar`]; the loop, SIMD lanes and exact Jacobians follow from it.
//! * Whether its derivatives are right, and every parameter has an effect: [`check`].
//! * How far a solution can be trusted: [`diagnostics`].
//! * Gradients: [`Solver::value_and_gradient`], [`Solution::vjp`], [`Solution::jvp`].
//! * Recurrent cells off the shelf: [`cells`].
//! * Methods and their settings: [`Solver`]. What was done and at what price: [`Report`].
//! * Differential equations: [`ode`]. Recurrences with delays: [`dynamics::Delayed`]. Roots of a system: [`root`].
//! * Linear recurrences and other associative scans by themselves: [`scan`].
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `cpu` (default) | the backend [`Cpu`]: threads by rayon, SIMD lanes chosen at run time, dense products by faer |
//! | `cuda` | the backend `Cuda`: NVIDIA GPUs, through the driver alone; see the guide's page *GPU* |
//! | `nalgebra`, `faer` | conversions of matrices, module `convert` |
//! | `safetensors` | PyTorch's weights from and to files: `load` and `save` of [`cells::Gru`], [`cells::Lstm`], [`cells::Elman`] |

// The vector instructions are there for the CPU backend alone, and some of graphs and problems for CUDA.
#![cfg_attr(not(feature = "cpu"), allow(unused_imports))]
#![cfg_attr(not(all(feature = "cpu", feature = "cuda")), allow(dead_code))]

pub mod backend;
#[path = "../backends/mod.rs"]
mod backends;
pub mod cells;
pub mod check;
#[cfg(any(feature = "nalgebra", feature = "faer"))]
pub mod convert;
pub mod diagnostics;
pub mod dynamics;
mod error;
mod gradient;
pub mod graph;
pub mod guide;
#[cfg(doctest)]
mod misuse;
pub mod ode;
mod problem;
mod report;
mod resident;
pub mod root;
pub mod scalar;
pub mod scan;
mod sequences;
mod solution;
mod solver;

/// The README's programs, as doctests.
#[cfg(all(doctest, feature = "cpu"))]
#[doc = include_str!("../README.md")]
struct Readme;

pub use backend::Backend;
#[cfg(feature = "cpu")]
pub use backends::cpu::Cpu;
#[cfg(feature = "cuda")]
pub use backends::cuda::{Cuda, CudaFault, DeviceElements, DeviceScan};
pub use dynamics::{Dynamics, Implicit, Order, Recurrence, Residual, Structure};
pub use error::{Error, Result};
pub use gradient::{Cotangents, Tangents};
pub use problem::Problem;
pub use report::{Report, SweepRecord};
pub use resident::Resident;
pub use scalar::{Constant, Dual, Lanes, Param, Parameter, Real, Scalar};
pub use scan::{AffineBlocks, AffineDense, AffineDiagonal, AffineScalar, ScanOp};
pub use solution::{Solution, Termination};
pub use solver::{Damping, Linearization, Method, Progress, Solver, Tolerance};
