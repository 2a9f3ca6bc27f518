//! The CUDA driver, through `cust`: all that this crate asks of it, behind a few types of its own.
//!
//! A [`Device`] owns a context and a stream, in which everything happens in the order it was asked for; a
//! [`Buffer`] is memory on it, and a [`Program`] is a compiled module of PTX.

use super::fault::Fault;
use crate::error::{Error, Result};
use cust::context::{Context, CurrentContext};
use cust::device::{Device as Card, DeviceAttribute};
use cust::event::{Event, EventFlags};
use cust::memory::{AsyncCopyDestination, DeviceBuffer, LockedBuffer};
use cust::prelude::{CudaFlags, Stream, StreamFlags};
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The oldest driver that reads our PTX, as the driver counts: CUDA 11.0.
const OLDEST_DRIVER: c_int = 11_000;
/// Bytes of one half of the page-locked memory through which large copies go.
const STAGE: usize = 4 << 20;
/// Copies of fewer bytes go straight.
const SMALL: usize = 64 << 10;

// What `cust` lacks: the log of the compiler, errors that it does not know, and the place of a module's constants.
// Codes are plain numbers here: newer drivers have more of them than its enumeration.
unsafe extern "C" {
    fn cuInit(flags: c_uint) -> c_int;
    fn cuDriverGetVersion(version: *mut c_int) -> c_int;
    fn cuModuleLoadDataEx(
        module: *mut *mut c_void,
        image: *const c_void,
        count: c_uint,
        options: *mut c_int,
        values: *mut *mut c_void,
    ) -> c_int;
    fn cuModuleUnload(module: *mut c_void) -> c_int;
    fn cuModuleGetFunction(
        function: *mut *mut c_void,
        module: *mut c_void,
        name: *const c_char,
    ) -> c_int;
    fn cuModuleGetGlobal_v2(
        address: *mut u64,
        bytes: *mut usize,
        module: *mut c_void,
        name: *const c_char,
    ) -> c_int;
    fn cuMemcpyHtoDAsync_v2(
        to: u64,
        from: *const c_void,
        bytes: usize,
        stream: *mut c_void,
    ) -> c_int;
    fn cuLaunchKernel(
        function: *mut c_void,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        shared: c_uint,
        stream: *mut c_void,
        arguments: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) -> c_int;
}

/// What one of the calls above came to.
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

/// Memory that was freed, by its size, for the next buffer of the same.
#[derive(Default)]
struct Spare {
    buffers: HashMap<usize, Vec<DeviceBuffer<u8>>>,
    bytes: usize,
}

impl Spare {
    fn take(&mut self, size: usize) -> Option<DeviceBuffer<u8>> {
        let found = self.buffers.get_mut(&size).and_then(Vec::pop);
        self.bytes -= found.as_ref().map_or(0, |_| size);
        found
    }

    /// Keeps memory, unless there is much already.
    fn give(&mut self, memory: DeviceBuffer<u8>) {
        const MOST: usize = 2 << 30;
        if self.bytes + memory.len() <= MOST {
            self.bytes += memory.len();
            self.buffers.entry(memory.len()).or_default().push(memory);
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Page-locked memory in two halves: while one is on its way, the other is filled.
struct Stage {
    halves: [LockedBuffer<u8>; 2],
    free: [Event; 2],
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

    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Memory for `bytes` bytes, of no particular content.
    pub(super) fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Buffer> {
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
                let first = unsafe { DeviceBuffer::uninitialized(size) };
                match first {
                    Ok(memory) => memory,
                    // What is kept for later may be in the way.
                    Err(_) => {
                        self.wait(operation)?;
                        self.spare().clear();
                        // SAFETY: as above.
                        unsafe { DeviceBuffer::uninitialized(size) }.map_err(|error| {
                            Fault::of_code(error as c_int)
                                .during(&format!("allocating {bytes} bytes"))
                        })?
                    }
                }
            }
        };
        Ok(Buffer { device: Arc::clone(self), memory: ManuallyDrop::new(memory), bytes })
    }

    /// Memory with a copy of `values`.
    pub(super) fn upload<T: Plain>(self: &Arc<Self>, values: &[T]) -> Result<Buffer> {
        let mut buffer = self.allocate(size_of_val(values))?;
        buffer.write(0, values)?;
        Ok(buffer)
    }

    /// Waits for all that was asked for.
    pub(super) fn wait(&self, operation: &str) -> Result<()> {
        self.enter(operation)?;
        checked(self.stream.synchronize(), operation)
    }

    /// Has the driver compile a module.
    pub(super) fn compile(self: &Arc<Self>, text: &str) -> Result<Program> {
        /// Bytes of the compiler's log.
        const LOG: usize = 16 << 10;
        const ERROR_LOG_BUFFER: c_int = 5;
        const ERROR_LOG_BYTES: c_int = 6;
        let operation = "compiling PTX";
        self.enter(operation)?;
        let image = CString::new(text).map_err(|_| {
            Fault::Refused { code: 218, log: "the text has a byte 0".to_owned() }.during(operation)
        })?;
        let mut log = vec![0u8; LOG];
        let mut options = [ERROR_LOG_BUFFER, ERROR_LOG_BYTES];
        let mut values: [*mut c_void; 2] =
            [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(LOG)];
        let mut module = std::ptr::null_mut();
        // SAFETY: the image ends with a zero; options and values are two each, the log as long as said.
        let code = unsafe {
            cuModuleLoadDataEx(
                &raw mut module,
                image.as_ptr().cast(),
                options.len() as c_uint,
                options.as_mut_ptr(),
                values.as_mut_ptr(),
            )
        };
        if code != 0 {
            let end = log.iter().position(|&byte| byte == 0).unwrap_or(LOG);
            let log = String::from_utf8_lossy(&log[..end]).trim().to_owned();
            return Err(Fault::of_module(code, log).during(operation));
        }
        Ok(Program { device: Arc::clone(self), module })
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

/// Numbers that are the same to the device: no padding, any bits are a value.
///
/// # Safety
/// As said.
pub(super) unsafe trait Plain: Copy {}
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
pub(super) struct Number<R>(#[allow(dead_code, reason = "read as bytes")] R);

impl<R: crate::scalar::Real> Number<R> {
    pub(super) fn wrap(values: &[R]) -> &[Self] {
        // SAFETY: the wrapper is transparent.
        unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
    }
    pub(super) fn wrap_mut(values: &mut [R]) -> &mut [Self] {
        // SAFETY: the wrapper is transparent.
        unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len()) }
    }
}

fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: `Plain` has no padding.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

fn bytes_of_mut<T: Plain>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: any bits are a value of `Plain`.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

/// Memory on a device. Goes back to the device when it is dropped, for the next one.
pub(super) struct Buffer {
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
    /// The address on the device.
    pub(super) fn address(&self) -> u64 {
        self.memory.as_device_ptr().as_raw()
    }

    /// Copies `values` to the bytes from `offset` on.
    pub(super) fn write<T: Plain>(&mut self, offset: usize, values: &[T]) -> Result<()> {
        let operation = "copying to the device";
        let from = bytes_of(values);
        self.check_range(offset, from.len(), operation)?;
        if from.is_empty() {
            return Ok(());
        }
        let device = Arc::clone(&self.device);
        device.enter(operation)?;
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
    pub(super) fn read<T: Plain>(&self, offset: usize, values: &mut [T]) -> Result<()> {
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
    pub(super) fn copy(&mut self, from: &Buffer, offset: usize, bytes: usize) -> Result<()> {
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
    pub(super) fn clear(&mut self, offset: usize, bytes: usize) -> Result<()> {
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

impl Device {
    /// With the page-locked memory, which is made when it is first needed.
    fn staged<T>(&self, operation: &str, work: impl FnOnce(&mut Stage) -> Result<T>) -> Result<T> {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if stage.is_none() {
            let half = || checked(LockedBuffer::new(&0u8, STAGE), operation);
            let event = || checked(Event::new(EventFlags::DISABLE_TIMING), operation);
            *stage = Some(Stage { halves: [half()?, half()?], free: [event()?, event()?] });
        }
        match stage.as_mut() {
            Some(stage) => work(stage),
            None => Err(Fault::NoDevice.during(operation)),
        }
    }
}

impl Stage {
    /// Copies what has come into a half.
    fn take(&self, half: usize, piece: &mut [u8], operation: &str) -> Result<()> {
        checked(self.free[half].synchronize(), operation)?;
        piece.copy_from_slice(&self.halves[half].as_slice()[..piece.len()]);
        Ok(())
    }
}

/// A compiled module.
pub(super) struct Program {
    device: Arc<Device>,
    module: *mut c_void,
}

// SAFETY: a module's handle may be used from any thread whose context is current.
unsafe impl Send for Program {}
// SAFETY: as above.
unsafe impl Sync for Program {}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").finish_non_exhaustive()
    }
}

/// How many threads run a kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// Blocks of threads in the two directions.
    pub(super) blocks: [usize; 2],
    /// Threads of a block.
    pub(super) threads: usize,
}

impl Grid {
    /// Blocks of `threads` for at least `count` threads, in `rows` rows.
    pub(super) fn over(count: usize, threads: usize, rows: usize) -> Self {
        Self { blocks: [count.div_ceil(threads), rows], threads }
    }
}

/// The arguments of a kernel, in their order.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    words: Vec<u64>,
    /// Where each begins.
    starts: Vec<usize>,
}

impl Arguments {
    /// One of 8 bytes.
    pub(super) fn word(mut self, word: u64) -> Self {
        self.starts.push(self.words.len());
        self.words.push(word);
        self
    }
    /// One of 8 bytes.
    pub(super) fn number(self, number: f64) -> Self {
        self.word(number.to_bits())
    }
    /// The address of a buffer.
    pub(super) fn buffer(self, buffer: &Buffer) -> Self {
        self.word(buffer.address())
    }
    /// A structure of several words.
    pub(super) fn structure(mut self, words: &[u64]) -> Self {
        self.starts.push(self.words.len());
        self.words.extend(words);
        self
    }
}

impl Program {
    /// Launches a kernel: it runs after all that was asked for before.
    ///
    /// # Safety
    /// The arguments must be those of the kernel, and its accesses within their buffers, which live on until it
    /// has run: a buffer that is dropped goes to whoever asks in the order of the stream.
    pub(super) unsafe fn launch(
        &self,
        kernel: &str,
        grid: Grid,
        arguments: &Arguments,
    ) -> Result<()> {
        if grid.blocks.contains(&0) {
            return Ok(());
        }
        let operation = || format!("launching `{kernel}`");
        self.device.enter(kernel)?;
        let name = CString::new(kernel).unwrap_or_default();
        let mut function = std::ptr::null_mut();
        // SAFETY: the module lives as long as `self`; the name ends with a zero.
        let code = unsafe { cuModuleGetFunction(&raw mut function, self.module, name.as_ptr()) };
        check(code, &operation())?;
        let mut words = arguments.words.clone();
        let mut places: Vec<*mut c_void> =
            arguments.starts.iter().map(|&start| words[start..].as_mut_ptr().cast()).collect();
        let side = |blocks: usize| {
            c_uint::try_from(blocks).map_err(|_| Fault::TooLarge { blocks }.during(&operation()))
        };
        // SAFETY: the caller's promise; the driver copies the arguments before it returns.
        let code = unsafe {
            cuLaunchKernel(
                function,
                side(grid.blocks[0])?,
                side(grid.blocks[1])?,
                1,
                grid.threads as c_uint,
                1,
                1,
                0,
                self.device.stream.as_inner().cast(),
                places.as_mut_ptr(),
                std::ptr::null_mut(),
            )
        };
        check(code, &operation())
    }

    /// Sets a variable of the module, in the order of the stream.
    pub(super) fn set<T: Plain>(&self, variable: &str, values: &[T]) -> Result<()> {
        let operation = format!("setting `{variable}`");
        self.device.enter(&operation)?;
        let name = CString::new(variable).unwrap_or_default();
        let (mut address, mut size) = (0, 0);
        // SAFETY: the module lives as long as `self`; the name ends with a zero.
        let code = unsafe {
            cuModuleGetGlobal_v2(&raw mut address, &raw mut size, self.module, name.as_ptr())
        };
        check(code, &operation)?;
        let from = bytes_of(values);
        if from.len() > size {
            let fault = Fault::OutOfRange { offset: 0, bytes: from.len(), size };
            return Err(fault.during(&operation));
        }
        // SAFETY: both are at least so long; memory that is not page-locked has been copied to the driver's own when
        // the call returns.
        let code = unsafe {
            cuMemcpyHtoDAsync_v2(
                address,
                from.as_ptr().cast(),
                from.len(),
                self.device.stream.as_inner().cast(),
            )
        };
        check(code, &operation)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.device.wait("unloading a module").is_ok() {
            // SAFETY: it is not used after this.
            unsafe { cuModuleUnload(self.module) };
        }
    }
}
