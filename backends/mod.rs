//! Where sweeps run: one folder a device.

#[cfg(feature = "cpu")]
pub(crate) mod cpu;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;

/// What is compiled once for each precision and not for each recurrence. Sealed.
#[cfg(feature = "cpu")]
pub(crate) use cpu::derivative::Sweeps as Precompiled;
/// What is compiled once for each precision and not for each recurrence. Sealed.
#[doc(hidden)]
#[cfg(not(feature = "cpu"))]
pub trait Precompiled {}
#[cfg(not(feature = "cpu"))]
impl Precompiled for f32 {}
#[cfg(not(feature = "cpu"))]
impl Precompiled for f64 {}
