//! Compiled modules, and launches of their kernels.

use super::super::fault::Fault;
use super::calls::succeeded;
use super::memory::{Buffer, Plain, bytes_of};
use super::{Device, calls, check};
use crate::error::{Error, Result};
use cust::sys::{CUfunction, CUmodule};
use std::ffi::{CString, c_int, c_uint, c_void};
use std::fmt;
use std::sync::Arc;

impl Device {
    /// Has the driver compile a module.
    pub(in crate::backends::cuda) fn compile(self: &Arc<Self>, text: &str) -> Result<Program> {
        /// Bytes of the compiler's log.
        const LOG: usize = 16 << 10;
        const ERROR_LOG_BUFFER: c_int = 5;
        const ERROR_LOG_BYTES: c_int = 6;
        let operation = "compiling PTX";
        self.enter(operation)?;
        // What is ours has none.
        let image = CString::new(text).map_err(|error| {
            let place = format!("one in the line `{}`", line_at(text, error.nul_position()));
            Error::setting("ptx", "a text without a byte 0 (see `Cuda::with_step`)", place)
        })?;
        let mut log = vec![0u8; LOG];
        let mut options = [ERROR_LOG_BUFFER, ERROR_LOG_BYTES];
        let mut values: [*mut c_void; 2] =
            [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(LOG)];
        let mut module = std::ptr::null_mut();
        let loaded = self.with_room(operation, || {
            // SAFETY: the image ends with a zero; options and values are two each, the log as long as said.
            let code = unsafe {
                calls::cuModuleLoadDataEx(
                    &raw mut module,
                    image.as_ptr().cast(),
                    options.len() as c_uint,
                    options.as_mut_ptr(),
                    values.as_mut_ptr(),
                )
            };
            succeeded(code)
        })?;
        if let Err(code) = loaded {
            let end = log.iter().position(|&byte| byte == 0).unwrap_or(LOG);
            let log = String::from_utf8_lossy(&log[..end]).trim().to_owned();
            return Err(Fault::of_module(code, log).during(operation));
        }
        Ok(Program { device: Arc::clone(self), module })
    }
}

/// The line of `text` that has the byte `place`, up to it.
fn line_at(text: &str, place: usize) -> &str {
    let before = text.get(..place).unwrap_or_default();
    before.rsplit('\n').next().unwrap_or_default().trim()
}

/// A compiled module.
pub(in crate::backends::cuda) struct Program {
    device: Arc<Device>,
    module: CUmodule,
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
pub(in crate::backends::cuda) struct Grid {
    /// Blocks of threads in the two directions.
    pub(in crate::backends::cuda) blocks: [usize; 2],
    /// Threads of a block.
    pub(in crate::backends::cuda) threads: usize,
    /// Bytes of shared memory that a block has besides what the kernel declares.
    pub(in crate::backends::cuda) shared: usize,
}

impl Grid {
    /// Blocks of `threads` for at least `count` threads, in `rows` rows.
    pub(in crate::backends::cuda) fn over(count: usize, threads: usize, rows: usize) -> Self {
        Self { blocks: [count.div_ceil(threads), rows], threads, shared: 0 }
    }

    /// The blocks in the two directions, if a launch can have as many.
    fn sides(self) -> std::result::Result<[c_uint; 2], Fault> {
        const MOST: [usize; 2] = [i32::MAX as usize, u16::MAX as usize];
        for (blocks, most) in self.blocks.into_iter().zip(MOST) {
            if blocks > most {
                return Err(Fault::TooLarge { blocks });
            }
        }
        Ok(self.blocks.map(|blocks| blocks as c_uint))
    }
}

/// The arguments of a kernel, in their order.
#[derive(Clone, Debug, Default)]
pub(in crate::backends::cuda) struct Arguments {
    words: Vec<u64>,
    /// Where each begins.
    starts: Vec<usize>,
}

impl Arguments {
    /// One of 8 bytes.
    pub(in crate::backends::cuda) fn word(mut self, word: u64) -> Self {
        self.starts.push(self.words.len());
        self.words.push(word);
        self
    }
    /// One of 8 bytes.
    pub(in crate::backends::cuda) fn number(self, number: f64) -> Self {
        self.word(number.to_bits())
    }
    /// The address of a buffer.
    pub(in crate::backends::cuda) fn buffer(self, buffer: &Buffer) -> Self {
        self.word(buffer.address())
    }
    /// A structure of several words.
    pub(in crate::backends::cuda) fn structure(mut self, words: &[u64]) -> Self {
        self.starts.push(self.words.len());
        self.words.extend(words);
        self
    }
}

impl Program {
    /// A kernel of the module.
    fn function(&self, kernel: &str, operation: &str) -> Result<CUfunction> {
        let name = CString::new(kernel).unwrap_or_default();
        let mut function = std::ptr::null_mut();
        // SAFETY: the module lives as long as `self`; the name ends with a zero.
        let code =
            unsafe { calls::cuModuleGetFunction(&raw mut function, self.module, name.as_ptr()) };
        check(code, operation)?;
        Ok(function)
    }

    /// Bytes that each thread of a kernel keeps in local memory.
    pub(in crate::backends::cuda) fn local_bytes(&self, kernel: &str) -> Result<usize> {
        const LOCAL_SIZE_BYTES: c_int = 3;
        let operation = format!("looking at `{kernel}`");
        self.device.enter(&operation)?;
        let function = self.function(kernel, &operation)?;
        let mut bytes = 0;
        // SAFETY: the function is of a module that lives as long as `self`, and the pointer is to a live number.
        let code = unsafe { calls::cuFuncGetAttribute(&raw mut bytes, LOCAL_SIZE_BYTES, function) };
        check(code, &operation)?;
        Ok(usize::try_from(bytes).unwrap_or(0))
    }

    /// Launches a kernel: it runs after all that was asked for before.
    ///
    /// # Safety
    /// The arguments must be those of the kernel, and its accesses within their buffers, which live on until it
    /// has run: a buffer that is dropped goes to whoever asks in the order of the stream.
    pub(in crate::backends::cuda) unsafe fn launch(
        &self,
        kernel: &str,
        grid: Grid,
        arguments: &Arguments,
    ) -> Result<()> {
        if grid.blocks.contains(&0) {
            return Ok(());
        }
        let operation = format!("launching `{kernel}`");
        self.device.enter(&operation)?;
        let [across, rows] = grid.sides().map_err(|fault| fault.during(&operation))?;
        let function = self.function(kernel, &operation)?;
        let mut words = arguments.words.clone();
        let mut places: Vec<*mut c_void> =
            arguments.starts.iter().map(|&start| words[start..].as_mut_ptr().cast()).collect();
        let launched = self.device.with_room(&operation, || {
            // SAFETY: the caller's promise; the driver copies the arguments before it returns.
            let code = unsafe {
                calls::cuLaunchKernel(
                    function,
                    across,
                    rows,
                    1,
                    grid.threads as c_uint,
                    1,
                    1,
                    grid.shared as c_uint,
                    self.device.stream.as_inner(),
                    places.as_mut_ptr(),
                    std::ptr::null_mut(),
                )
            };
            succeeded(code)
        })?;
        launched.map_err(|code| Fault::of_code(code).during(&operation))
    }

    /// Sets a variable of the module, in the order of the stream.
    pub(in crate::backends::cuda) fn set<T: Plain>(
        &self,
        variable: &str,
        values: &[T],
    ) -> Result<()> {
        let operation = format!("setting `{variable}`");
        self.device.enter(&operation)?;
        let name = CString::new(variable).unwrap_or_default();
        let (mut address, mut size) = (0, 0);
        // SAFETY: the module lives as long as `self`; the name ends with a zero.
        let code = unsafe {
            calls::cuModuleGetGlobal_v2(&raw mut address, &raw mut size, self.module, name.as_ptr())
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
            calls::cuMemcpyHtoDAsync_v2(
                address,
                from.as_ptr().cast(),
                from.len(),
                self.device.stream.as_inner(),
            )
        };
        check(code, &operation)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.device.wait("unloading a module").is_ok() {
            // SAFETY: it is not used after this.
            unsafe { calls::cuModuleUnload(self.module) };
        }
    }
}
