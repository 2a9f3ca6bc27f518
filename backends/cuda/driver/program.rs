//! Compiled modules, and launches of their kernels.

use super::super::fault::Fault;
use super::memory::{Buffer, Plain, bytes_of};
use super::{Device, check};
use crate::error::Result;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::fmt;
use std::sync::Arc;

// What `cust` lacks: the log of the compiler, errors that it does not know, and the place of a module's constants.
unsafe extern "C" {
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

impl Device {
    /// Has the driver compile a module.
    pub(in crate::backends::cuda) fn compile(self: &Arc<Self>, text: &str) -> Result<Program> {
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

/// A compiled module.
pub(in crate::backends::cuda) struct Program {
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
pub(in crate::backends::cuda) struct Grid {
    /// Blocks of threads in the two directions.
    pub(in crate::backends::cuda) blocks: [usize; 2],
    /// Threads of a block.
    pub(in crate::backends::cuda) threads: usize,
}

impl Grid {
    /// Blocks of `threads` for at least `count` threads, in `rows` rows.
    pub(in crate::backends::cuda) fn over(count: usize, threads: usize, rows: usize) -> Self {
        Self { blocks: [count.div_ceil(threads), rows], threads }
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
