//! What can go wrong with a device.

use crate::error::Error;
use std::ffi::{CStr, c_char, c_int};

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
        "the driver is for CUDA {}.{}, and {}.{} or newer is needed",
        found / 1000, found % 1000 / 10, needed / 1000, needed % 1000 / 10
    )]
    OldDriver {
        /// Its version, 1000 · major + 10 · minor.
        found: c_int,
        /// The version that would do.
        needed: c_int,
    },
    /// Not enough memory on the device.
    #[error("the device is out of memory")]
    OutOfMemory,
    /// The driver's compiler did not take a module.
    #[error("the driver refused the PTX (code {code}): {log}")]
    Refused {
        /// The driver's code.
        code: c_int,
        /// What the compiler said.
        log: String,
    },
    /// A launch with more blocks of threads than there can be.
    #[error("{blocks} blocks of threads are more than a launch can have")]
    TooLarge {
        /// Blocks of threads.
        blocks: usize,
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
    #[error("{name} ({code}): {text}")]
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

unsafe extern "C" {
    fn cuGetErrorName(code: c_int, text: *mut *const c_char) -> c_int;
    fn cuGetErrorString(code: c_int, text: *mut *const c_char) -> c_int;
}

/// What the driver says of a code.
fn said(ask: unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int, code: c_int) -> String {
    let mut text = std::ptr::null();
    // SAFETY: the pointer is to a live one.
    let found = unsafe { ask(code, &raw mut text) };
    if found != 0 || text.is_null() {
        return "an error that the driver has no text for".to_owned();
    }
    // SAFETY: the driver's own text, which ends with a zero and stays.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

impl CudaFault {
    /// What a code of the driver means.
    pub(super) fn of_code(code: c_int) -> Self {
        match code {
            2 => Self::OutOfMemory,
            100 => Self::NoDevice,
            _ => Self::Driver {
                code,
                name: said(cuGetErrorName, code),
                text: said(cuGetErrorString, code),
            },
        }
    }

    /// What a code means that came of loading a module, with the compiler's log.
    pub(super) fn of_module(code: c_int, log: String) -> Self {
        match code {
            // No binary for the card, PTX not taken, PTX too new, no compiler, bad image or source.
            200 | 209 | 218 | 221 | 222 | 300 => {
                let log = if log.is_empty() { said(cuGetErrorString, code) } else { log };
                Self::Refused { code, log }
            }
            _ => Self::of_code(code),
        }
    }

    /// The error of an operation.
    pub(super) fn during(self, operation: &str) -> Error {
        Error::Backend { backend: "cuda", operation: operation.to_owned(), source: Box::new(self) }
    }
}
