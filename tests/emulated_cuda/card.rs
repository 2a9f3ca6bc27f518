//! A context on the emulated device for one test, and kernels of a few lines.

use std::ffi::{c_char, c_int, c_uint, c_void};

use cust::context::ContextHandle;
use cust::context::legacy::{Context, ContextFlags};
use cust::device::Device;
use cust::error::CudaResult;
use cust::memory::{CopyDestination, DeviceBuffer, DeviceCopy, GpuBuffer};
use cust::module::Module;
use cust::stream::{Stream, StreamFlags};
use cust::{CudaFlags, launch};

/// A context of its own, since a kernel that fails ends its context.
pub(crate) struct Card {
    stream: Stream,
    _context: Context,
}

impl Card {
    pub(crate) fn new() -> Self {
        let name = cust::init(CudaFlags::empty()).and_then(|()| Device::get_device(0)?.name());
        assert_eq!(
            name.as_deref(),
            Ok("Emulated CUDA device"),
            "these are tests of the emulated driver: run them by scripts/emulated"
        );
        let device = Device::get_device(0).expect("device 0");
        let context =
            Context::create_and_push(ContextFlags::SCHED_AUTO, device).expect("a context");
        assert!(!context.get_inner().is_null());
        Self {
            stream: Stream::new(StreamFlags::NON_BLOCKING, None).expect("a stream"),
            _context: context,
        }
    }

    pub(crate) fn upload<T: DeviceCopy>(&self, values: &[T]) -> DeviceBuffer<T> {
        DeviceBuffer::from_slice(values).expect("a buffer")
    }

    /// Runs the kernel `k` of `module` with pointers to the buffers, and waits for it.
    pub(crate) fn run(
        &self,
        module: &Module,
        blocks: u32,
        threads: u32,
        shared: u32,
        buffers: &[u64],
    ) -> CudaResult<()> {
        let function = module.get_function("k")?;
        let stream = &self.stream;
        // SAFETY: every kernel of these tests takes four pointers.
        unsafe {
            let [a, b, c, d] = std::array::from_fn(|i| buffers.get(i).copied().unwrap_or(0));
            launch!(function<<<blocks, threads, shared, stream>>>(a, b, c, d))?;
        }
        self.stream.synchronize()
    }
}

/// The address of a buffer.
pub(crate) fn at<T: DeviceCopy>(buffer: &DeviceBuffer<T>) -> u64 {
    buffer.as_device_ptr().as_raw()
}

pub(crate) fn download<T: DeviceCopy + Default + Clone>(buffer: &DeviceBuffer<T>) -> Vec<T> {
    let mut out = vec![T::default(); buffer.len()];
    buffer.copy_to(&mut out).expect("a copy");
    out
}

/// A module of the kernel `k`, with four pointers in `%a` to `%d` and the thread's number in the grid in `%i`.
pub(crate) fn kernel(body: &str) -> String {
    kernel_in("", body)
}

/// The same, with declarations of the module before it.
pub(crate) fn kernel_in(declarations: &str, body: &str) -> String {
    format!(
        ".version 7.0\n.target sm_70\n.address_size 64\n{declarations}\n\
         .visible .entry k(.param .u64 pa, .param .u64 pb, .param .u64 pc, .param .u64 pd)\n{{\n\
         .reg .u64 %a, %b, %c, %d, %x, %y, %z; .reg .u32 %i, %t, %n;\n\
         ld.param.u64 %a, [pa]; ld.param.u64 %b, [pb]; ld.param.u64 %c, [pc]; ld.param.u64 %d, [pd];\n\
         mov.u32 %t, %tid.x; mov.u32 %n, %ntid.x; mov.u32 %i, %ctaid.x; mad.lo.u32 %i, %i, %n, %t;\n\
         {body}\nret;\n}}\n"
    )
}

unsafe extern "C" {
    fn cuModuleLoadDataEx(
        module: *mut *mut c_void,
        image: *const c_void,
        count: c_uint,
        options: *mut c_int,
        values: *mut *mut c_void,
    ) -> c_int;
}

/// The code and the log of a text that the driver refuses.
pub(crate) fn refused(text: &str) -> (c_int, String) {
    let text = std::ffi::CString::new(text).expect("no zero in the text");
    let mut log = vec![0u8; 4096];
    let mut module = std::ptr::null_mut();
    let mut options = [5, 6];
    let mut values = [log.as_mut_ptr().cast(), log.len() as *mut c_void];
    // SAFETY: the text ends with a zero, and the log's buffer has the size that is given.
    let code = unsafe {
        cuModuleLoadDataEx(
            &raw mut module,
            text.as_ptr().cast::<c_char>().cast(),
            2,
            options.as_mut_ptr(),
            values.as_mut_ptr(),
        )
    };
    log.truncate(values[1] as usize);
    (code, String::from_utf8(log).expect("text"))
}
