//! Where sweeps run: one folder a device.

#[cfg(feature = "cpu")]
pub(crate) mod cpu;
