//! Figures, and what they should be.

use serde::Serialize;

/// With three digits.
pub(crate) fn significant(x: f64) -> String {
    match x {
        x if x >= 99.95 => format!("{x:.0}"),
        x if x >= 9.995 => format!("{x:.1}"),
        _ => format!("{x:.2}"),
    }
}

/// `1e6` for a million.
pub(crate) fn length(steps: usize) -> String {
    let power = steps.max(1).ilog10();
    if power >= 3 && steps == 10usize.pow(power) { format!("1e{power}") } else { steps.to_string() }
}

/// The side of its bound that a figure must be on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One promise.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) target: String,
    /// None where this machine cannot tell.
    pub(crate) measured: Option<f64>,
    pub(crate) unit: &'static str,
    pub(crate) met: Option<bool>,
}

impl Target {
    pub(crate) fn new(
        what: String,
        bound: Bound,
        measured: Option<f64>,
        unit: &'static str,
    ) -> Self {
        let (target, met) = match bound {
            Bound::AtLeast(least) => {
                (format!("≥ {least}{unit}"), measured.map(|measured| measured >= least))
            }
            Bound::AtMost(most) => {
                (format!("≤ {most}{unit}"), measured.map(|measured| measured <= most))
            }
        };
        Self { what, target, measured, unit, met }
    }
}

/// The rows of a Markdown table, with its head.
pub(crate) fn targets(targets: &[Target]) -> String {
    let mut text = "| | target | measured | |\n|---|---:|---:|---|\n".to_owned();
    for Target { what, target, measured, unit, met } in targets {
        let measured = measured.map_or("–".to_owned(), |x| format!("{}{unit}", significant(x)));
        let verdict = match met {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "–",
        };
        text.push_str(&format!("| {what} | {target} | {measured} | {verdict} |\n"));
    }
    text
}
