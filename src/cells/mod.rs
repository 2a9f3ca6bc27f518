//! Recurrent cells, ready to use.
//!
//! `h` is a hidden vector of `hidden` units, `u` an input of `input` numbers, `⊙` the product by
//! component, `σ` the logistic function.
//!
//! | cell | equation | state | Jacobian |
//! |---|---|---|---|
//! | [`Gru`] | `h' = (1 − z)⊙n + z⊙h`, gates from `W u + V h` | `h` | dense |

mod gru;
mod init;
mod layout;
mod matvec;

pub use gru::Gru;
