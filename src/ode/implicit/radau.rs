//! Radau IIA with three stages, of order 5 (Hairer & Wanner, *Solving Ordinary Differential Equations II*, table IV.5.6).

use super::Tableau;

/// √6
const ROOT: f64 = 2.449_489_742_783_178;

pub(super) static TABLEAU: Tableau = Tableau {
    nodes: &[(4.0 - ROOT) / 10.0, (4.0 + ROOT) / 10.0, 1.0],
    stages: &[
        &[
            (88.0 - 7.0 * ROOT) / 360.0,
            (296.0 - 169.0 * ROOT) / 1800.0,
            (-2.0 + 3.0 * ROOT) / 225.0,
        ],
        &[
            (296.0 + 169.0 * ROOT) / 1800.0,
            (88.0 + 7.0 * ROOT) / 360.0,
            (-2.0 - 3.0 * ROOT) / 225.0,
        ],
        &[(16.0 - ROOT) / 36.0, (16.0 + ROOT) / 36.0, 1.0 / 9.0],
    ],
    from_start: false,
};
