//! How far a solution can be trusted.
//!
//! [`Solution::converged`](crate::Solution::converged) says that every step of the trajectory fits the one before it, within the tolerance.
//! What that leaves open is how much the dynamics make of it:
//!
//! * [`error_bound`]: how far the trajectory can be from the one that the loop would give.
//! * [`lyapunov`]: how fast small differences grow or decay along the trajectory, and how many sweeps that makes.
//!
//! Both cost about as much as a few sweeps of Newton: they are computed when asked for.
//! [Trusting the answer](crate::guide::trusting_the_answer) says what to make of them.

mod error_bound;
mod lyapunov;

pub use error_bound::{ErrorBound, error_bound};
#[cfg(feature = "cpu")]
pub use lyapunov::lyapunov;
pub use lyapunov::{Growth, Lyapunov, lyapunov_on};

pub(crate) use error_bound::bounds_of;
pub(crate) use lyapunov::lyapunov_of;

use crate::dynamics::Recurrence;
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::solution::Solution;

/// Whether a solution can be one of a problem, by its shape.
fn check_shape<D: Recurrence>(
    problem: &Problem<'_, D>,
    solution: &Solution<D::Real>,
) -> Result<()> {
    let (batch, steps, n) = (problem.batch_size(), problem.max_steps(), problem.state_dim());
    if solution.states.shape() == [batch, steps, n]
        && (0..batch).all(|b| solution.steps[b] == problem.steps(b))
    {
        return Ok(());
    }
    let expected =
        format!("that of a solution of this problem, [B = {batch}, T = {steps}, n = {n}]");
    Err(Error::shape("solution", expected, solution.states.shape()))
}
