//! PTX from the graph of a step.
//!
//! The kernels of `ptx/sweeps.cu` and `ptx/derivatives.cu` are templates with markers; [`template`] puts in the place of
//! each the text that [`sweeps`] or [`derivatives`] makes for one recurrence. [`code`] is the straight-line text of a graph,
//! [`groups`] says which thread has which components, [`functions`] are the mathematical functions that PTX has no instruction for.

mod code;
mod derivatives;
mod equation;
mod functions;
mod groups;
mod sweeps;
mod template;
mod text;

pub(super) use code::Precision;
pub(super) use derivatives::{Factors, Pull, Push, Summand};
pub(super) use groups::{Groups, ReadFrom};
pub(super) use sweeps::{Columns, Step};
pub(super) use template::splice;

/// The name of the variable that holds θ.
pub(super) const PARAMS: &str = "theta";
/// The name of the variable that holds the tangent of θ.
pub(super) const TANGENTS: &str = "theta_tangent";
