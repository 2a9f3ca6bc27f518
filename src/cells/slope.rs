//! Derivatives of the gates' functions, from their values.

use crate::scalar::Scalar;

/// `σ' = σ (1 − σ)`.
#[inline(always)]
pub(super) fn sigmoid<S: Scalar>(value: S) -> S {
    value * (S::from_f64(1.0) - value)
}

/// `tanh' = 1 − tanh²`.
#[inline(always)]
pub(super) fn tanh<S: Scalar>(value: S) -> S {
    (-value).mul_add(value, S::from_f64(1.0))
}
