//! Derivatives against differences: the first thing to try when a recurrence of your own does not do as it should.
//!
//! [`jacobian`] looks at one step: the derivative by dual numbers, and, where the recurrence has them, its hand-written
//! [`jacobian`](Dynamics::jacobian) and [`jacobian_diagonal`](Dynamics::jacobian_diagonal) and its claim of a
//! [`structure`](Dynamics::structure). [`gradient`](fn@gradient) looks at whole solutions. Both name parameters
//! that the step never reads.
//!
//! # Example
//! ```
//! use deer_solver::{Dynamics, check, scalar::{Param, Scalar}};
//! use ndarray::array;
//!
//! struct Leaky { theta: [f64; 1] }
//!
//! impl Dynamics for Leaky {
//!     type Real = f64;
//!     fn state_dim(&self) -> usize { 1 }
//!     fn params(&self) -> &[f64] { &self.theta }
//!     #[inline(always)]
//!     fn step<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], _: &[S], next: &mut [S]) {
//!         next[0] = x[0] * self.theta[0]; // should be p[0]
//!     }
//! }
//!
//! let found = check::jacobian(&Leaky { theta: [0.9] }, array![0.3].view(), array![].view())?;
//! assert!(!found.passed(1e-6));
//! assert_eq!(found.unread, [0]);
//! println!("{found}"); // … θ[0] never read by the step: read `params`, not `self`
//! # Ok::<(), deer_solver::Error>(())
//! ```

mod comparison;
mod difference;
mod gradient;
mod step;

pub use comparison::{Compared, Comparison, Quantity};
pub use gradient::gradient;
pub use step::jacobian;

#[allow(unused_imports, reason = "the documentation names it")]
use crate::dynamics::Dynamics;
use crate::graph::Graph;

/// A comparison of nothing yet, with the parameters that the step never reads.
fn unread(graph: &Graph) -> Comparison {
    let mut read = graph.params_used().into_iter().peekable();
    let unread = (0..graph.leaves().params).filter(|k| read.next_if_eq(k).is_none()).collect();
    Comparison { unread, ..Comparison::default() }
}
