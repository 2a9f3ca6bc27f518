//! The CUDA driver: all that this crate asks of it, behind a few types of its own. `cust` gives the types of its handles and links it.
//!
//! A [`Device`] owns a context and a stream, in which everything happens in the order it was asked for; a
//! [`Buffer`] is memory on it, and a [`Program`] is a compiled module of PTX.

mod calls;
mod memory;
mod program;
mod stage;

use super::fault::Fault;
use crate::error::{Error, Result};
use calls::check;
use cust::sys::{CUcontext, CUdevice, CUstream};
use memory::Spare;
use stage::Stage;
use std::ffi::{CStr, c_char, c_int};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) use calls::described;
pub(super) use memory::{Buffer, Number};
pub(super) use program::{Arguments, Grid, Program};

/// The oldest driver that reads our PTX, as the driver counts: CUDA 11.0.
const OLDEST_DRIVER: c_int = 11_000;
/// The lowest compute capability that our PTX is for, 10 · major + minor.
const OLDEST_DEVICE: c_int = 70;

/// A card, its context, and the stream in which all work on it runs.
pub(super) struct Device {
    name: String,
    processors: usize,
    // Before the context, so that they go first.
    spare: Mutex<Spare>,
    stage: Mutex<Option<Stage>>,
    stream: CUstream,
    context: Context,
}

// SAFETY: the handles may be used from any thread whose context is current; what is behind them has a lock.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The primary context of a card, held.
struct Context {
    card: CUdevice,
    handle: CUcontext,
}

impl Context {
    fn retain(card: CUdevice, operation: &str) -> Result<Self> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: the pointer is to a live handle.
        check(unsafe { calls::cuDevicePrimaryCtxRetain(&raw mut handle, card) }, operation)?;
        Ok(Self { card, handle })
    }

    fn enter(&self, operation: impl fmt::Display) -> Result<()> {
        // SAFETY: the context is held.
        check(unsafe { calls::cuCtxSetCurrent(self.handle) }, operation)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: held once by `self`, which is not used after this.
        unsafe { calls::cuDevicePrimaryCtxRelease_v2(self.card) };
    }
}

impl Device {
    /// The card of that number.
    pub(super) fn open(number: usize) -> Result<Arc<Self>> {
        const NON_BLOCKING: u32 = 1;
        const MULTIPROCESSORS: c_int = 16;
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
        let mut count = 0;
        // SAFETY: the pointer is to a live number.
        check(unsafe { calls::cuDeviceGetCount(&raw mut count) }, operation)?;
        if count == 0 {
            return Err(Fault::NoDevice.during(operation));
        }
        let Some(ordinal) = c_int::try_from(number).ok().filter(|&ordinal| ordinal < count) else {
            return Err(Error::setting(
                "device",
                format!("below {count}, the number of CUDA devices"),
                number,
            ));
        };
        let mut card = 0;
        // SAFETY: the pointer is to a live number.
        check(unsafe { calls::cuDeviceGet(&raw mut card, ordinal) }, operation)?;
        let name = name_of(card, operation)?;
        let found = capability_of(card, operation)?;
        if found < OLDEST_DEVICE {
            return Err(Fault::OldDevice { name, found, needed: OLDEST_DEVICE }.during(operation));
        }
        let mut memory = 0;
        // SAFETY: the pointer is to a live number.
        check(unsafe { calls::cuDeviceTotalMem_v2(&raw mut memory, card) }, operation)?;
        let processors = attribute(card, MULTIPROCESSORS, operation)?;
        let context = Context::retain(card, operation)?;
        context.enter(operation)?;
        let mut stream = std::ptr::null_mut();
        // SAFETY: the pointer is to a live handle, and a context is current.
        check(unsafe { calls::cuStreamCreate(&raw mut stream, NON_BLOCKING) }, operation)?;
        Ok(Arc::new(Self {
            name,
            processors: processors.max(1) as usize,
            spare: Mutex::new(Spare::of(memory)),
            stage: Mutex::new(None),
            stream,
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
    fn enter(&self, operation: impl fmt::Display) -> Result<()> {
        self.context.enter(operation)
    }

    /// Waits for all that was asked for.
    pub(super) fn wait(&self, operation: &str) -> Result<()> {
        self.enter(operation)?;
        // SAFETY: the stream lives as long as `self`.
        check(unsafe { calls::cuStreamSynchronize(self.stream) }, operation)
    }

    /// The code of `call`, which is made once more where it finds no memory: what is kept for later may be in the way.
    fn with_room(&self, operation: &str, mut call: impl FnMut() -> c_int) -> Result<c_int> {
        let code = call();
        if code != calls::OUT_OF_MEMORY {
            return Ok(code);
        }
        self.wait(operation)?;
        self.spare().clear();
        Ok(call())
    }
}

/// The name of a card.
fn name_of(card: CUdevice, operation: &str) -> Result<String> {
    let mut name: [c_char; 256] = [0; 256];
    // SAFETY: there is room for as many bytes as said.
    let code = unsafe { calls::cuDeviceGetName(name.as_mut_ptr(), name.len() as c_int - 1, card) };
    check(code, operation)?;
    // SAFETY: the last byte is 0.
    Ok(unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned())
}

/// The compute capability of a card, 10 · major + minor.
fn capability_of(card: CUdevice, operation: &str) -> Result<c_int> {
    const MAJOR: c_int = 75;
    const MINOR: c_int = 76;
    Ok(10 * attribute(card, MAJOR, operation)? + attribute(card, MINOR, operation)?)
}

/// A property of a card, by the driver's number for it.
fn attribute(card: CUdevice, number: c_int, operation: &str) -> Result<c_int> {
    let mut value = 0;
    // SAFETY: the pointer is to a live number.
    check(unsafe { calls::cuDeviceGetAttribute(&raw mut value, number, card) }, operation)?;
    Ok(value)
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.enter("closing a device").is_ok() {
            self.spare().clear();
            let stage = self.stage.get_mut().unwrap_or_else(PoisonError::into_inner).take();
            drop(stage);
            // SAFETY: it is not used after this.
            unsafe { calls::cuStreamDestroy_v2(self.stream) };
        }
    }
}
