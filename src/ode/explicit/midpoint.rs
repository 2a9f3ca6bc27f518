//! The explicit midpoint rule (Runge 1895).

use super::Tableau;

pub(super) const TABLEAU: Tableau =
    Tableau { nodes: &[0.0, 0.5], stages: &[&[], &[0.5]], weights: &[0.0, 1.0], error: None };
