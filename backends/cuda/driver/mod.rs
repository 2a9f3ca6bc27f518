//! The CUDA driver, through `cust`: all that this crate asks of it, behind a few types of its own.
//!
//! A [`Device`] owns a context and a stream, in which everything happens in the order it was asked for; a
//! [`Buffer`] is memory on it, and a [`Program`] is a compiled module of PTX.

mod calls;
mod memory;
mod program;
mod stage;

use super::fault::Fault;
use crate::error::{Error, Result};
use calls::{Held, OUT_OF_MEMORY, check};
use cust::context::{Context, CurrentContext};
use cust::device::{Device as Card, DeviceAttribute};
use cust::error::{CudaError, CudaResult};
use cust::prelude::{CudaFlags, Stream, StreamFlags};
use memory::Spare;
use stage::Stage;
use std::ffi::c_int;
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub(super) use calls::described;
pub(super) use memory::{Buffer, Number};
pub(super) use program::{Arguments, Grid, Program};

/// The oldest driver that reads our PTX, as the driver counts: CUDA 11.0.
const OLDEST_DRIVER: c_int = 11_000;
/// The lowest compute capability that our PTX is for, 10 · major + minor.
const OLDEST_DEVICE: c_int = 70;

/// The driver's code of an error of `cust`.
fn code_of(error: CudaError) -> c_int {
    error as c_int
}

/// What a call through `cust` came to.
fn checked<T>(result: CudaResult<T>, operation: impl fmt::Display) -> Result<T> {
    result.map_err(|error| Fault::of_code(code_of(error)).during(operation))
}

/// A card, its context, and the stream in which all work on it runs.
pub(super) struct Device {
    name: String,
    processors: usize,
    /// Bytes.
    memory: usize,
    /// Bytes copied to it.
    copied: AtomicU64,
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
        let operation = &*format!("opening device {number}");
        let mut version = 0;
        // SAFETY: a plain call; the pointer is to a live number.
        let found = unsafe { calls::cuDriverGetVersion(&raw mut version) };
        if found != 0 || version == 0 {
            return Err(Fault::NoDriver.during(operation));
        }
        // SAFETY: a plain call.
        check(unsafe { calls::cuInit(0) }, operation)?;
        if version < OLDEST_DRIVER {
            let fault = Fault::OldDriver { found: version, needed: OLDEST_DRIVER };
            return Err(fault.during(operation));
        }
        checked(cust::init(CudaFlags::empty()), operation)?;
        let count = checked(Card::num_devices(), operation)? as usize;
        if count == 0 {
            return Err(Fault::NoDevice.during(operation));
        }
        if number >= count {
            return Err(Error::setting(
                "device",
                format!("below {count}, the number of CUDA devices"),
                number,
            ));
        }
        let card = checked(Card::get_device(number as u32), operation)?;
        let name = checked(card.name(), operation)?;
        let attribute = |what| checked(card.get_attribute(what), operation);
        let major = attribute(DeviceAttribute::ComputeCapabilityMajor)?;
        let found = 10 * major + attribute(DeviceAttribute::ComputeCapabilityMinor)?;
        if found < OLDEST_DEVICE {
            return Err(Fault::OldDevice { name, found, needed: OLDEST_DEVICE }.during(operation));
        }
        let processors = attribute(DeviceAttribute::MultiprocessorCount)?;
        let memory = checked(card.total_memory(), operation)?;
        // A card that another program has for itself says so here.
        let held = Held::new(card.as_raw(), operation)?;
        let context = checked(Context::new(card), operation)?;
        drop(held);
        let stream = checked(Stream::new(StreamFlags::NON_BLOCKING, None), operation)?;
        Ok(Arc::new(Self {
            name,
            processors: processors.max(1) as usize,
            memory,
            copied: AtomicU64::new(0),
            spare: Mutex::new(Spare::of(memory)),
            stage: Mutex::new(None),
            stream: ManuallyDrop::new(stream),
            context,
        }))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Bytes that were copied to it.
    pub(super) fn copied_bytes(&self) -> u64 {
        self.copied.load(Ordering::Relaxed)
    }

    /// Multiprocessors.
    pub(super) fn processors(&self) -> usize {
        self.processors
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Makes the context that of this thread.
    fn enter(&self, operation: impl fmt::Display) -> Result<()> {
        checked(CurrentContext::set_current(&self.context), operation)
    }

    /// Waits for all that was asked for.
    pub(super) fn wait(&self, operation: &str) -> Result<()> {
        self.enter(operation)?;
        checked(self.stream.synchronize(), operation)
    }

    /// What comes of `call`, or the driver's code; it is made once more where there is no memory: what is kept for later may be in the way.
    fn with_room<T>(
        &self,
        operation: &str,
        mut call: impl FnMut() -> std::result::Result<T, c_int>,
    ) -> Result<std::result::Result<T, c_int>> {
        match call() {
            Err(OUT_OF_MEMORY) => {
                self.wait(operation)?;
                self.spare().clear();
                Ok(call())
            }
            first => Ok(first),
        }
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
