//! The CUDA driver, through `cust`: all that this crate asks of it, behind a few types of its own.
//!
//! A [`Device`] owns a context and a stream, in which everything happens in the order it was asked for; a
//! [`Buffer`] is memory on it, and a [`Program`] is a compiled module of PTX.

mod memory;
mod program;

use super::fault::Fault;
use crate::error::{Error, Result};
use cust::context::{Context, CurrentContext};
use cust::device::{Device as Card, DeviceAttribute};
use cust::prelude::{CudaFlags, Stream, StreamFlags};
use memory::{Spare, Stage};
use std::ffi::{c_int, c_uint};
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) use memory::{Buffer, Number};
pub(super) use program::{Arguments, Grid, Program};

/// The oldest driver that reads our PTX, as the driver counts: CUDA 11.0.
const OLDEST_DRIVER: c_int = 11_000;

// Codes are plain numbers here and in [`program`]: newer drivers have more of them than the enumeration of `cust`.
unsafe extern "C" {
    fn cuInit(flags: c_uint) -> c_int;
    fn cuDriverGetVersion(version: *mut c_int) -> c_int;
}

/// What a call of the driver came to.
fn check(code: c_int, operation: &str) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(Fault::of_code(code).during(operation)) }
}

/// What a call through `cust` came to.
fn checked<T>(
    result: std::result::Result<T, cust::error::CudaError>,
    operation: &str,
) -> Result<T> {
    result.map_err(|error| Fault::of_code(error as c_int).during(operation))
}

/// A card, its context, and the stream in which all work on it runs.
pub(super) struct Device {
    name: String,
    processors: usize,
    // Before the context, so that they go first.
    spare: Mutex<Spare>,
    stage: Mutex<Option<Stage>>,
    stream: ManuallyDrop<Stream>,
    context: Context,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Device {
    /// The card of that number.
    pub(super) fn open(number: usize) -> Result<Arc<Self>> {
        let operation = format!("opening device {number}");
        let mut version = 0;
        // SAFETY: a plain call; the pointer is to a live number.
        let found = unsafe { cuDriverGetVersion(&raw mut version) };
        if found != 0 || version == 0 {
            return Err(Fault::NoDriver.during(&operation));
        }
        // SAFETY: a plain call.
        check(unsafe { cuInit(0) }, &operation)?;
        if version < OLDEST_DRIVER {
            let fault = Fault::OldDriver { found: version, needed: OLDEST_DRIVER };
            return Err(fault.during(&operation));
        }
        checked(cust::init(CudaFlags::empty()), &operation)?;
        let count = checked(Card::num_devices(), &operation)? as usize;
        if count == 0 {
            return Err(Fault::NoDevice.during(&operation));
        }
        if number >= count {
            return Err(Error::setting(
                "device",
                format!("below {count}, the number of CUDA devices"),
                number,
            ));
        }
        let card = checked(Card::get_device(number as u32), &operation)?;
        let name = checked(card.name(), &operation)?;
        let processors =
            checked(card.get_attribute(DeviceAttribute::MultiprocessorCount), &operation)?;
        let context = checked(Context::new(card), &operation)?;
        let stream = checked(Stream::new(StreamFlags::NON_BLOCKING, None), &operation)?;
        Ok(Arc::new(Self {
            name,
            processors: processors.max(1) as usize,
            spare: Mutex::default(),
            stage: Mutex::new(None),
            stream: ManuallyDrop::new(stream),
            context,
        }))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Multiprocessors.
    pub(super) fn processors(&self) -> usize {
        self.processors
    }

    /// Makes the context that of this thread.
    fn enter(&self, operation: &str) -> Result<()> {
        checked(CurrentContext::set_current(&self.context), operation)
    }

    /// Waits for all that was asked for.
    pub(super) fn wait(&self, operation: &str) -> Result<()> {
        self.enter(operation)?;
        checked(self.stream.synchronize(), operation)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.enter("closing a device").is_ok() {
            self.spare().clear();
            let stage = self.stage.get_mut().unwrap_or_else(PoisonError::into_inner).take();
            drop(stage);
            // SAFETY: it is not used after this.
            unsafe { ManuallyDrop::drop(&mut self.stream) };
        }
    }
}
