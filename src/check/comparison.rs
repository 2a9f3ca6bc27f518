//! What a check found.

use crate::dynamics::Structure;
use std::fmt;

/// One of the numbers that are compared. `L` is the loss `Σ cotangent · states`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Quantity {
    /// `∂f[row]/∂x[column]`, by dual numbers.
    Step {
        /// Component of the next state.
        row: usize,
        /// Component of the state.
        column: usize,
    },
    /// `∂f[row]/∂x[column]`, zero by [`Dynamics::structure`](crate::Dynamics::structure).
    Structure {
        /// Component of the next state.
        row: usize,
        /// Component of the state.
        column: usize,
        /// What is claimed.
        claim: Structure,
    },
    /// `∂f[row]/∂x[column]`, as [`Dynamics::jacobian`](crate::Dynamics::jacobian) writes it.
    Jacobian {
        /// Component of the next state.
        row: usize,
        /// Component of the state.
        column: usize,
    },
    /// `f[row]`, as [`Dynamics::jacobian`](crate::Dynamics::jacobian) writes it; compared with `step`.
    JacobianValue {
        /// Component of the next state.
        row: usize,
    },
    /// `∂f[row]/∂x[row]`, as [`Dynamics::jacobian_diagonal`](crate::Dynamics::jacobian_diagonal) writes it.
    Diagonal {
        /// Component of the state.
        row: usize,
    },
    /// `f[row]`, as [`Dynamics::jacobian_diagonal`](crate::Dynamics::jacobian_diagonal) writes it; compared with `step`.
    DiagonalValue {
        /// Component of the next state.
        row: usize,
    },
    /// `∂L/∂θ[index]`.
    Param {
        /// Entry of the parameters.
        index: usize,
    },
    /// `∂L/∂u[batch, step, index]`.
    Input {
        /// The sequence.
        batch: usize,
        /// The step, from 0.
        step: usize,
        /// Component of the input.
        index: usize,
    },
    /// `∂L/∂x0[batch, index]`.
    InitialState {
        /// The sequence.
        batch: usize,
        /// Component of the state.
        index: usize,
    },
}

/// A number that was compared, both ways.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Compared {
    /// Which one.
    pub quantity: Quantity,
    /// What the library or the hand-written method gives.
    pub derivative: f64,
    /// What differences give; of a value, what `step` gives.
    pub difference: f64,
    /// How far differences with steps of several sizes are apart: large at a kink.
    pub spread: f64,
    /// `|derivative − difference|`, less what rounding can have done to the difference, as a share of the larger one of the two;
    /// infinite where either is no finite number.
    pub error: f64,
}

impl Compared {
    pub(super) fn new(
        quantity: Quantity,
        derivative: f64,
        difference: f64,
        spread: f64,
        rounding: f64,
    ) -> Self {
        let apart = (derivative - difference).abs();
        let error = if !apart.is_finite() {
            f64::INFINITY
        } else if apart <= rounding {
            0.0
        } else {
            (apart - rounding) / derivative.abs().max(difference.abs())
        };
        Self { quantity, derivative, difference, spread, error }
    }
}

/// What a check found: the worst of what was compared, and parameters without effect.
///
/// `Display` says in a line or two what is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// Numbers that were compared.
    pub compared: usize,
    /// The one with the largest error; none if nothing was compared.
    pub worst: Option<Compared>,
    /// Entries of the parameters that the step never reads, ascending: the derivative with respect to them is zero. Most
    /// often the step reads `self` where it should read `params`.
    pub unread: Vec<usize>,
}

impl Comparison {
    /// The largest error; 0 if nothing was compared.
    pub fn error(&self) -> f64 {
        self.worst.map_or(0.0, |worst| worst.error)
    }

    /// Whether every error is at most `tolerance`, and every parameter is read.
    ///
    /// For right derivatives of a smooth step, errors are below 1e-6 in `f64` and 1e-2 in `f32`.
    pub fn passed(&self, tolerance: f64) -> bool {
        self.error() <= tolerance && self.unread.is_empty()
    }

    pub(super) fn add(&mut self, compared: Compared) {
        self.compared += 1;
        if self.worst.is_none_or(|worst| compared.error > worst.error) {
            self.worst = Some(compared);
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quantity::Step { row, column } => write!(f, "∂f[{row}]/∂x[{column}]"),
            Quantity::Structure { row, column, claim } => {
                write!(f, "∂f[{row}]/∂x[{column}], zero by `structure` ({claim:?})")
            }
            Quantity::Jacobian { row, column } => {
                write!(f, "∂f[{row}]/∂x[{column}] by `jacobian`")
            }
            Quantity::JacobianValue { row } => write!(f, "f[{row}] by `jacobian`"),
            Quantity::Diagonal { row } => write!(f, "∂f[{row}]/∂x[{row}] by `jacobian_diagonal`"),
            Quantity::DiagonalValue { row } => write!(f, "f[{row}] by `jacobian_diagonal`"),
            Quantity::Param { index } => write!(f, "∂L/∂θ[{index}]"),
            Quantity::Input { batch, step, index } => {
                write!(f, "∂L/∂u[{batch}, {step}, {index}]")
            }
            Quantity::InitialState { batch, index } => write!(f, "∂L/∂x0[{batch}, {index}]"),
        }
    }
}

impl fmt::Display for Compared {
    /// `∂f[1]/∂x[0]: derivative 0.25, difference 0.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (got, expected) = (Short(self.derivative), Short(self.difference));
        match self.quantity {
            Quantity::JacobianValue { .. } | Quantity::DiagonalValue { .. } => {
                write!(f, "{}: {got}, by `step` {expected}", self.quantity)
            }
            _ => {
                write!(f, "{}: derivative {got}, difference {expected}", self.quantity)?;
                // Where differences do not know either.
                if self.spread > 1e-2 * self.difference.abs() && self.error > 0.0 {
                    write!(
                        f,
                        " ± {:.1e} (a kink, a pole, or too steep for differences)",
                        self.spread
                    )?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.worst {
            None => write!(f, "nothing to compare")?,
            Some(worst) if worst.error == 0.0 => {
                write!(f, "{} numbers compared, all equal to rounding", self.compared)?;
            }
            Some(worst) => write!(
                f,
                "{worst}\nrelative error {}, the largest of {} numbers compared",
                Rough(worst.error),
                self.compared
            )?,
        }
        if !self.unread.is_empty() {
            write!(
                f,
                "\n{} never read by the step: read `params`, not `self`",
                Runs(&self.unread)
            )?;
        }
        Ok(())
    }
}

/// A number with the digits that it needs, at most nine.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Short(x) = *self;
        let rounded = format!("{x:.8e}").parse().unwrap_or(x);
        if x == 0.0 || !x.is_finite() || (1e-3..1e6).contains(&x.abs()) {
            write!(f, "{rounded}")
        } else {
            write!(f, "{rounded:e}")
        }
    }
}

/// A number to two digits.
struct Rough(f64);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            x if (0.01..100.0).contains(&x) || !x.is_finite() => write!(f, "{x:.2}"),
            x => write!(f, "{x:.1e}"),
        }
    }
}

/// `θ[0], θ[2..=5]`.
struct Runs<'a>(&'a [usize]);

impl fmt::Display for Runs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Runs that are named.
        const MOST: usize = 6;
        let runs = self.0.chunk_by(|a, b| a + 1 == *b);
        for (place, run) in runs.enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            match run {
                _ if place == MOST => return write!(f, ", … ({} in all)", self.0.len()),
                [only] => write!(f, "{separator}θ[{only}]")?,
                [first, .., last] => write!(f, "{separator}θ[{first}..={last}]")?,
                [] => {}
            }
        }
        Ok(())
    }
}
