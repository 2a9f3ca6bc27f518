//! Backward Euler: the slope at the end of the step.

use super::Tableau;

pub(super) static TABLEAU: Tableau =
    Tableau { nodes: &[1.0], stages: &[&[1.0]], from_start: false };
