//! PTX from the graph of a step.
//!
//! The kernels of `ptx/sweeps.cu` are templates with markers; [`template`] puts in the place of each the
//! text that [`markers`] makes for one recurrence. [`code`] is the straight-line text of a graph, [`functions`] the
//! mathematical functions that PTX has no instruction for.

mod code;
mod functions;
mod markers;
mod template;

pub(super) use code::Precision;
pub(super) use markers::{Columns, Step};
pub(super) use template::splice;

/// The name of the variable that holds θ.
pub(super) const PARAMS: &str = "theta";
