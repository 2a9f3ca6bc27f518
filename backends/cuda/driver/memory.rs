//! Memory on a device, and copies to it and from it.

use super::super::fault::Fault;
use super::stage::{STAGE, Stage};
use super::{Device, checked, code_of};
use crate::error::Result;
use cust::memory::{AsyncCopyDestination, DeviceBuffer};
use std::collections::HashMap;
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

/// Copies of fewer bytes go straight.
const SMALL: usize = 64 << 10;

/// Memory that was freed, by its size, for the next buffer of the same.
pub(super) struct Spare {
    buffers: HashMap<usize, Vec<DeviceBuffer<u8>>>,
    bytes: usize,
    /// Bytes that are kept at most.
    most: usize,
}

impl Spare {
    /// That of a card with so many bytes.
    pub(super) fn of(card: usize) -> Self {
        Self { buffers: HashMap::new(), bytes: 0, most: card / 2 }
    }

    fn take(&mut self, size: usize) -> Option<DeviceBuffer<u8>> {
        let found = self.buffers.get_mut(&size).and_then(Vec::pop);
        self.bytes -= found.as_ref().map_or(0, |_| size);
        found
    }

    /// Keeps memory, unless there is much already.
    fn give(&mut self, memory: DeviceBuffer<u8>) {
        if self.bytes + memory.len() <= self.most {
            self.bytes += memory.len();
            self.buffers.entry(memory.len()).or_default().push(memory);
        }
    }

    pub(super) fn clear(&mut self) {
        self.buffers.clear();
        self.bytes = 0;
    }
}

/// Numbers that are the same to the device: no padding, any bits are a value.
///
/// # Safety
/// As said.
pub(in crate::backends::cuda) unsafe trait Plain: Copy {}
// SAFETY: plain numbers.
unsafe impl Plain for f32 {}
// SAFETY: plain numbers.
unsafe impl Plain for f64 {}
// SAFETY: plain numbers.
unsafe impl Plain for u32 {}
// SAFETY: plain numbers.
unsafe impl Plain for u64 {}
// SAFETY: `Real` is sealed: `f32` or `f64`, and the wrapper is transparent.
unsafe impl<R: crate::scalar::Real> Plain for Number<R> {}

/// A number of either precision.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(in crate::backends::cuda) struct Number<R>(#[allow(dead_code, reason = "read as bytes")] R);

impl<R: crate::scalar::Real> Number<R> {
    pub(in crate::backends::cuda) fn wrap(values: &[R]) -> &[Self] {
        // SAFETY: the wrapper is transparent.
        unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
    }
    pub(in crate::backends::cuda) fn wrap_mut(values: &mut [R]) -> &mut [Self] {
        // SAFETY: the wrapper is transparent.
        unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len()) }
    }
}

pub(super) fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: `Plain` has no padding.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

fn bytes_of_mut<T: Plain>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: any bits are a value of `Plain`.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

impl Device {
    pub(super) fn spare(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory for `bytes` bytes, of no particular content.
    pub(in crate::backends::cuda) fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Buffer> {
        let operation = "allocating memory";
        self.enter(operation)?;
        // Sizes by eighths of a power of two, so that buffers can be used again.
        let size = bytes.max(256);
        let size = size.next_multiple_of((size.next_power_of_two() / 16).max(256));
        let known = self.spare().take(size);
        let memory = match known {
            Some(memory) => memory,
            None => {
                // SAFETY: who asks for a buffer writes it before it is read.
                let allocate = || unsafe { DeviceBuffer::uninitialized(size) }.map_err(code_of);
                let memory = self.with_room(operation, allocate)?;
                memory.map_err(|code| {
                    Fault::of_code(code).during(format_args!("allocating {bytes} bytes"))
                })?
            }
        };
        Ok(Buffer { device: Arc::clone(self), memory: ManuallyDrop::new(memory), bytes })
    }

    /// Memory with a copy of `values`.
    pub(in crate::backends::cuda) fn upload<T: Plain>(
        self: &Arc<Self>,
        values: &[T],
    ) -> Result<Buffer> {
        let mut buffer = self.allocate(size_of_val(values))?;
        buffer.write(0, values)?;
        Ok(buffer)
    }

    /// With the page-locked memory, which is made when it is first needed.
    fn staged<T>(&self, operation: &str, work: impl FnOnce(&mut Stage) -> Result<T>) -> Result<T> {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *stage {
            Some(stage) => work(stage),
            none => work(none.insert(Stage::new(operation)?)),
        }
    }
}

/// Memory on a device. Goes back to the device when it is dropped, for the next one.
pub(in crate::backends::cuda) struct Buffer {
    device: Arc<Device>,
    memory: ManuallyDrop<DeviceBuffer<u8>>,
    bytes: usize,
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Buffer {
    /// Bytes that were asked for.
    pub(in crate::backends::cuda) fn len(&self) -> usize {
        self.bytes
    }

    /// The address on the device.
    pub(in crate::backends::cuda) fn address(&self) -> u64 {
        self.memory.as_device_ptr().as_raw()
    }

    /// Copies `values` to the bytes from `offset` on.
    pub(in crate::backends::cuda) fn write<T: Plain>(
        &mut self,
        offset: usize,
        values: &[T],
    ) -> Result<()> {
        let operation = "copying to the device";
        let from = bytes_of(values);
        self.check_range(offset, from.len(), operation)?;
        if from.is_empty() {
            return Ok(());
        }
        let device = Arc::clone(&self.device);
        device.enter(operation)?;
        device.copied.fetch_add(from.len() as u64, Ordering::Relaxed);
        if from.len() <= SMALL {
            let mut to = self.memory.index(offset..offset + from.len());
            // SAFETY: memory that is not page-locked has been copied to the driver's own when the call returns.
            return checked(unsafe { to.async_copy_from(from, &device.stream) }, operation);
        }
        device.staged(operation, |stage| {
            for (k, piece) in from.chunks(STAGE).enumerate() {
                let half = k % 2;
                checked(stage.free[half].synchronize(), operation)?;
                stage.halves[half].as_mut_slice()[..piece.len()].copy_from_slice(piece);
                let at = offset + k * STAGE;
                let mut to = self.memory.index(at..at + piece.len());
                // SAFETY: the half is not touched before its event says that the copy is done.
                let copied = unsafe {
                    to.async_copy_from(
                        &stage.halves[half].as_slice()[..piece.len()],
                        &device.stream,
                    )
                };
                checked(copied, operation)?;
                checked(stage.free[half].record(&device.stream), operation)?;
            }
            Ok(())
        })
    }

    /// Copies the bytes from `offset` on to `values`, after all that was asked for before.
    pub(in crate::backends::cuda) fn read<T: Plain>(
        &self,
        offset: usize,
        values: &mut [T],
    ) -> Result<()> {
        let operation = "copying from the device";
        let to = bytes_of_mut(values);
        self.check_range(offset, to.len(), operation)?;
        if to.is_empty() {
            return Ok(());
        }
        let device = Arc::clone(&self.device);
        device.enter(operation)?;
        if to.len() <= SMALL {
            let from = self.memory.index(offset..offset + to.len());
            // SAFETY: the copy is waited for.
            checked(unsafe { from.async_copy_to(to, &device.stream) }, operation)?;
            return checked(device.stream.synchronize(), operation);
        }
        device.staged(operation, |stage| {
            let mut waiting: Option<(usize, &mut [u8])> = None;
            for (k, piece) in to.chunks_mut(STAGE).enumerate() {
                let half = k % 2;
                checked(stage.free[half].synchronize(), operation)?;
                let at = offset + k * STAGE;
                let from = self.memory.index(at..at + piece.len());
                // SAFETY: the half is not read before its event says that the copy is done.
                let copied = unsafe {
                    from.async_copy_to(
                        &mut stage.halves[half].as_mut_slice()[..piece.len()],
                        &device.stream,
                    )
                };
                checked(copied, operation)?;
                checked(stage.free[half].record(&device.stream), operation)?;
                if let Some((half, piece)) = waiting.replace((half, piece)) {
                    stage.take(half, piece, operation)?;
                }
            }
            match waiting {
                Some((half, piece)) => stage.take(half, piece, operation),
                None => Ok(()),
            }
        })
    }

    /// Copies `bytes` bytes of another buffer, in the order of the stream.
    pub(in crate::backends::cuda) fn copy(
        &mut self,
        from: &Buffer,
        offset: usize,
        bytes: usize,
    ) -> Result<()> {
        let operation = "copying on the device";
        self.check_range(offset, bytes, operation)?;
        from.check_range(offset, bytes, operation)?;
        if bytes == 0 {
            return Ok(());
        }
        self.device.enter(operation)?;
        let mut to = self.memory.index(offset..offset + bytes);
        let from = from.memory.index(offset..offset + bytes);
        // SAFETY: buffers go back to the device, which hands them out in the order of the stream.
        checked(unsafe { to.async_copy_from(&from, &self.device.stream) }, operation)
    }

    /// Sets `bytes` bytes from `offset` on to zero, in the order of the stream.
    pub(in crate::backends::cuda) fn clear(&mut self, offset: usize, bytes: usize) -> Result<()> {
        let operation = "clearing memory";
        self.check_range(offset, bytes, operation)?;
        if bytes == 0 {
            return Ok(());
        }
        self.device.enter(operation)?;
        let mut part = self.memory.index(offset..offset + bytes);
        // SAFETY: as for a copy on the device.
        checked(unsafe { part.set_8_async(0, &self.device.stream) }, operation)
    }

    fn check_range(&self, offset: usize, bytes: usize, operation: &str) -> Result<()> {
        if offset.checked_add(bytes).is_some_and(|end| end <= self.bytes) {
            return Ok(());
        }
        let fault = Fault::OutOfRange { offset, bytes, size: self.bytes };
        Err(fault.during(operation))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: it is not used after this.
        let memory = unsafe { ManuallyDrop::take(&mut self.memory) };
        // What still runs in the stream comes before whatever the next owner asks for.
        if self.device.enter("freeing memory").is_ok() {
            self.device.spare().give(memory);
        }
    }
}
