//! What several tests need.

#[allow(dead_code, reason = "a test solves what it checks")]
pub(crate) mod equations;
#[allow(dead_code, reason = "a test reads what it checks")]
pub(crate) mod golden;
#[allow(dead_code, reason = "a test reads what it checks")]
pub(crate) mod reference;
