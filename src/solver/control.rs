//! The control of solves and diagnostics, compiled here and not with every recurrence.

use super::Solver;
use super::run::run;
use super::stages::Stages;
use crate::diagnostics::{self, ErrorBound, Lyapunov};
use crate::error::Result;
use crate::scalar::Real;
use crate::solution::Solution;

/// What is the same for every recurrence of a precision. Sealed. The names are not to be in the way of users' own, as a bound of
/// [`Real`] brings them along.
pub trait Control: Sized {
    /// The solution but for its states and the time that it took, which stay on the stages.
    #[doc(hidden)]
    fn control_solve(settings: &Solver, stages: &mut dyn Stages<Self>) -> Result<Solution<Self>>
    where
        Self: Real;
    /// The bound of each sequence of a trajectory.
    #[doc(hidden)]
    fn control_error_bounds(stages: &mut dyn Stages<Self>) -> Result<Vec<ErrorBound>>;
    /// The growth of small differences along a trajectory.
    #[doc(hidden)]
    fn control_lyapunov(stages: &mut dyn Stages<Self>) -> Result<Lyapunov>;
}

macro_rules! control {
    ($real:ty) => {
        impl Control for $real {
            fn control_solve(
                settings: &Solver,
                stages: &mut dyn Stages<Self>,
            ) -> Result<Solution<Self>> {
                run(settings, stages)
            }
            fn control_error_bounds(stages: &mut dyn Stages<Self>) -> Result<Vec<ErrorBound>> {
                diagnostics::bounds_of(stages)
            }
            fn control_lyapunov(stages: &mut dyn Stages<Self>) -> Result<Lyapunov> {
                diagnostics::lyapunov_of(stages)
            }
        }
    };
}
control!(f32);
control!(f64);
