//! What a backend with kernels of its own for the cells here asks of them.

/// A cell, with what its parameters and its state leave open.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BuiltIn {
    pub(crate) kind: Kind,
    pub(crate) hidden: usize,
    /// `Δt` of [`Kind::Lem`], else 0.
    pub(crate) dt: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Elman,
    Gru,
    Lem,
    Lstm,
}

impl BuiltIn {
    pub(super) fn new(kind: Kind, hidden: usize) -> Self {
        Self { kind, hidden, dt: 0.0 }
    }
}
