//! Page-locked memory of the host, through which large copies go.

use super::super::fault::Fault;
use super::{calls, check};
use crate::error::Result;
use cust::sys::{CUevent, CUstream};

/// Bytes of one half.
pub(super) const STAGE: usize = 4 << 20;

/// Page-locked memory in two halves: while one is on its way, the other is filled.
pub(super) struct Stage {
    pub(super) halves: [Locked; 2],
    pub(super) free: [Event; 2],
}

impl Stage {
    pub(super) fn new(operation: &str) -> Result<Self> {
        let half = || Locked::new(STAGE, operation);
        let event = || Event::new(operation);
        Ok(Self { halves: [half()?, half()?], free: [event()?, event()?] })
    }

    /// Copies what has come into a half.
    pub(super) fn take(&self, half: usize, piece: &mut [u8], operation: &str) -> Result<()> {
        self.free[half].wait(operation)?;
        piece.copy_from_slice(&self.halves[half].as_slice()[..piece.len()]);
        Ok(())
    }
}

/// Page-locked memory of the host.
pub(super) struct Locked {
    start: *mut u8,
    bytes: usize,
}

impl Locked {
    fn new(bytes: usize, operation: &str) -> Result<Self> {
        let mut start = std::ptr::null_mut();
        // SAFETY: the pointer is to a live one, and a context is current.
        let code = unsafe { calls::cuMemAllocHost_v2(&raw mut start, bytes) };
        if code == calls::OUT_OF_MEMORY {
            return Err(Fault::OutOfHostMemory { bytes }.during(operation));
        }
        check(code, operation)?;
        let start = start.cast::<u8>();
        // SAFETY: there are so many bytes.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Self { start, bytes })
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        // SAFETY: so many bytes, which have a value from the beginning, until `self` is dropped.
        unsafe { std::slice::from_raw_parts(self.start, self.bytes) }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.bytes) }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: it is not used after this.
        unsafe { calls::cuMemFreeHost(self.start.cast()) };
    }
}

/// A place in the order of a stream.
pub(super) struct Event(CUevent);

impl Event {
    fn new(operation: &str) -> Result<Self> {
        const DISABLE_TIMING: u32 = 2;
        let mut event = std::ptr::null_mut();
        // SAFETY: the pointer is to a live handle, and a context is current.
        check(unsafe { calls::cuEventCreate(&raw mut event, DISABLE_TIMING) }, operation)?;
        Ok(Self(event))
    }

    pub(super) fn record(&self, stream: CUstream, operation: &str) -> Result<()> {
        // SAFETY: both live.
        check(unsafe { calls::cuEventRecord(self.0, stream) }, operation)
    }

    pub(super) fn wait(&self, operation: &str) -> Result<()> {
        // SAFETY: it lives.
        check(unsafe { calls::cuEventSynchronize(self.0) }, operation)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: it is not used after this.
        unsafe { calls::cuEventDestroy_v2(self.0) };
    }
}
