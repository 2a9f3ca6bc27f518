//! Recurrent cells, ready to use.
//!
//! | cell | step | state | Jacobian |
//! |---|---|---|---|
//! | [`Gru`] | `h' = n + z⊙(h − n)` | `h` | dense |
//! | [`Lstm`] | `c' = f⊙c + i⊙g`, `h' = o⊙tanh(c')` | `h, c` | dense |
//! | [`Elman`] | `h' = tanh(W u + V h + b)` | `h` | dense |
//! | [`Lem`] | `z' = z + d₂⊙(tanh(…) − z)`, `y' = y + d₁⊙(tanh(…z'…) − y)` | `y, z` | dense |
//! | [`DiagonalGru`] | `h' = h + z⊙(n − h)`, units apart | `h` | diagonal |
//! | [`DiagonalLstm`] | `c' = g + f⊙(c − g)`, `h' = o⊙tanh(c')`, units apart | `h, c` | 2 × 2 blocks |
//!
//! `u` is the input, `⊙` the product by component, `σ` the logistic function. Each cell has
//! `random(input, hidden, seed)`, a constructor from arrays, views of its weights, and
//! `params_mut()`; its parameters are in one order, whatever made it, documented at the cell. With the
//! feature `safetensors`, [`Gru`], [`Lstm`] and [`Elman`] `load` and `save` PyTorch's weights.

mod built_in;
pub(crate) mod by_hand;
mod diagonal_gru;
mod diagonal_lstm;
mod elman;
mod gru;
mod init;
mod layout;
mod lem;
mod lstm;
mod matvec;
mod slope;
#[cfg(test)]
mod tests;
mod units;
#[cfg(feature = "safetensors")]
mod weights;

#[doc(hidden)]
pub use built_in::BuiltIn;
#[cfg(feature = "cuda")]
pub(crate) use built_in::Kind;
#[doc(hidden)]
pub use by_hand::ByHand;
pub use diagonal_gru::DiagonalGru;
pub use diagonal_lstm::DiagonalLstm;
pub use elman::Elman;
pub use gru::Gru;
pub use lem::Lem;
pub use lstm::Lstm;
