//! The implicit midpoint rule. Its stage is half-way, where the slope is taken.

use super::Tableau;

pub(super) static TABLEAU: Tableau =
    Tableau { nodes: &[0.5], stages: &[&[0.5]], from_start: false };
