//! Forward derivatives over any scalar.

/// A value with `N` tangents.
#[derive(Clone, Copy, Debug)]
pub struct Dual<S, const N: usize> {
    /// The value.
    pub value: S,
    /// Its derivatives in `N` directions.
    pub tangents: [S; N],
}
