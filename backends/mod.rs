//! Where recurrences are solved.

#[cfg(feature = "cpu")]
pub(crate) mod cpu;
