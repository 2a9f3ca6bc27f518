//! What can go wrong with a device.

use super::driver::described;
use crate::error::Error;
use std::ffi::c_int;
use std::fmt::Display;

/// What a CUDA device or its driver did not do: the source of an [`Error::Backend`] of the backend `cuda`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaFault {
    /// No driver on this machine.
    #[error("no CUDA driver was found (libcuda.so.1); install NVIDIA's driver, or use `Cpu`")]
    NoDriver,
    /// A driver, but no card.
    #[error("the CUDA driver sees no device; use `Cpu`, or look at CUDA_VISIBLE_DEVICES")]
    NoDevice,
    /// A driver that does not read our PTX.
    #[error(
        "the driver is for CUDA {}.{}, and one for {}.{} or newer is needed; update NVIDIA's driver, or use `Cpu`",
        found / 1000, found % 1000 / 10, needed / 1000, needed % 1000 / 10
    )]
    OldDriver {
        /// Its version, 1000 · major + 10 · minor.
        found: c_int,
        /// The version that would do.
        needed: c_int,
    },
    /// A card that our PTX is not for.
    #[error(
        "{name} has compute capability {}.{}, and {}.{} or newer is needed; use another device, or `Cpu`",
        found / 10, found % 10, needed / 10, needed % 10
    )]
    OldDevice {
        /// The card's name.
        name: String,
        /// Its compute capability, 10 · major + minor.
        found: c_int,
        /// The compute capability that would do.
        needed: c_int,
    },
    /// Not enough memory on the device.
    #[error(
        "the device is out of memory; solve fewer sequences at a time, or fewer steps, each piece from the last state of \
         the one before, end other programs that use it, or use `Cpu`"
    )]
    OutOfMemory,
    /// No page-locked memory on the host, through which large copies go.
    #[error(
        "the host gave no {bytes} bytes of page-locked memory, through which large copies go; free memory of the host, or \
         use `Cpu`"
    )]
    OutOfHostMemory {
        /// Bytes that were asked for.
        bytes: usize,
    },
    /// The driver's compiler did not take a module.
    #[error("the driver refused the PTX (code {code}): {log}")]
    Refused {
        /// The driver's code.
        code: c_int,
        /// What the compiler said.
        log: String,
    },
    /// A launch with more blocks of threads than there can be.
    #[error(
        "{blocks} blocks of threads are more than a launch can have (2147483647, in at most 65535 rows); solve or scan \
         less at a time, or use `Cpu`"
    )]
    TooLarge {
        /// Blocks of threads.
        blocks: usize,
    },
    /// A template of a kernel with a place for which this crate has no instructions.
    #[error(
        "the template of `{kernel}` has the marker `{marker}`, for which there are no instructions; this is a mistake in \
         deer-solver and not in the step: please report it, or use `Cpu`"
    )]
    Template {
        /// The kernel.
        kernel: String,
        /// The line with the marker.
        marker: String,
    },
    /// A copy beyond the end of a buffer.
    #[error("{bytes} bytes at {offset} are beyond a buffer of {size}")]
    OutOfRange {
        /// The first byte.
        offset: usize,
        /// How many.
        bytes: usize,
        /// Bytes that the buffer has.
        size: usize,
    },
    /// Any other of the driver's codes.
    #[error("{name} ({code}): {text}{}", advice(*code))]
    Driver {
        /// The driver's code.
        code: c_int,
        /// Its name for it.
        name: String,
        /// Its explanation.
        text: String,
    },
}

pub(super) use CudaFault as Fault;

/// What to do about a code, where there is more to say than the driver does.
fn advice(code: c_int) -> &'static str {
    match code {
        46 => "; another program may have the device for itself: see `nvidia-smi`, or use `Cpu`",
        802 => "; wait until NVIDIA's services have started (nvidia-fabricmanager), or use `Cpu`",
        803 | 804 => {
            "; the driver's library and its kernel module do not fit each other: restart the machine, or use `Cpu`"
        }
        // What ends a context, which a process has one of for each device.
        700 | 702 | 710 | 714..=719 => {
            "; the device takes no more work from this process: start it again"
        }
        _ => "",
    }
}

impl CudaFault {
    /// What a code of the driver means.
    pub(super) fn of_code(code: c_int) -> Self {
        match code {
            2 => Self::OutOfMemory,
            100 => Self::NoDevice,
            _ => {
                let (name, text) = described(code);
                Self::Driver { code, name, text }
            }
        }
    }

    /// Whether the driver's compiler did not take a module.
    pub(super) fn is_refusal(error: &Error) -> bool {
        let source = std::error::Error::source(error);
        let fault = source.and_then(|source| source.downcast_ref::<Self>());
        matches!(fault, Some(Self::Refused { .. }))
    }

    /// What a code means that came of loading a module, with the compiler's log.
    pub(super) fn of_module(code: c_int, log: String) -> Self {
        match code {
            // No binary for the card, PTX not taken, PTX too new, no compiler, bad image or source.
            200 | 209 | 218 | 221 | 222 | 300 => {
                let log = if log.is_empty() { described(code).1 } else { log };
                Self::Refused { code, log }
            }
            _ => Self::of_code(code),
        }
    }

    /// The error of an operation.
    pub(super) fn during(self, operation: impl Display) -> Error {
        Error::Backend { backend: "cuda", operation: operation.to_string(), source: Box::new(self) }
    }
}
