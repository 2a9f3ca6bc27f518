//! Tsitouras' scheme of order 5(4): Ch. Tsitouras, *Runge–Kutta pairs of order 5(4) satisfying only the first column
//! simplifying assumption*, Computers & Mathematics with Applications 62 (2011).

use super::Tableau;

/// The seventh stage, at the end of the step, is for the error only.
pub(super) const TABLEAU: Tableau = Tableau {
    nodes: &[0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0],
    stages: &[
        &[],
        &[0.161],
        &[-0.008480655492356989, 0.335480655492357],
        &[2.8971530571054935, -6.359448489975075, 4.3622954328695815],
        &[5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525],
        &[
            5.86145544294642,
            -12.92096931784711,
            8.159367898576159,
            -0.071584973281401,
            -0.02826905039406838,
        ],
        WEIGHTS,
    ],
    weights: WEIGHTS,
    error: Some(&[
        -0.001780011052225777,
        -0.0008164344596567469,
        0.007880878010261995,
        -0.1447110071732629,
        0.5823571654525552,
        -0.45808210592918697,
        1.0 / 66.0,
    ]),
};

const WEIGHTS: &[f64] = &[
    0.09646076681806523,
    0.01,
    0.4798896504144996,
    1.379008574103742,
    -3.290069515436081,
    2.324710524099774,
];
