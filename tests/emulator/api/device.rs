//! Initialization, devices and error names.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::fs::OpenOptions;
use std::io::Write;
use std::ptr;

use super::{answer, on_driver, put};
use crate::codes::{Code, described};
use crate::driver::driver;
use crate::settings::settings;

const NAME: &str = "Emulated CUDA device";

#[unsafe(no_mangle)]
extern "C" fn cuInit(flags: c_uint) -> c_int {
    super::fail_if_told!("cuInit");
    if flags != 0 {
        return Code::InvalidValue as c_int;
    }
    if settings().devices == 0 {
        return Code::NoDevice as c_int;
    }
    let mut driver = driver();
    if !driver.ready {
        driver.ready = true;
        let settings = settings();
        if settings.statistics || settings.launched.is_some() {
            // SAFETY: `at_end` is a function of C's calling convention that lives as long as the library.
            unsafe { atexit(at_end) };
        }
    }
    Code::Success as c_int
}

unsafe extern "C" {
    fn atexit(f: extern "C" fn()) -> c_int;
}

/// Tells launches and instructions of each kernel, and writes the kernels' names to a file, as the settings ask.
extern "C" fn at_end() {
    let kernels = &driver().statistics;
    if settings().statistics {
        for (kernel, (launches, instructions)) in kernels {
            eprintln!("emulated CUDA: {kernel}: {launches} launches, {instructions} instructions");
        }
    }
    let Some(path) = &settings().launched else {
        return;
    };
    let names: String = kernels.keys().map(|kernel| format!("{kernel}\n")).collect();
    // One piece: other processes append to the same file.
    let appended = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(names.as_bytes()));
    if let Err(error) = appended {
        eprintln!("emulated CUDA: EMULATED_CUDA_LAUNCHED: {}: {error}", path.display());
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuDriverGetVersion(version: *mut c_int) -> c_int {
    answer(put(version, settings().version as c_int))
}

/// The device's number, checked.
pub(super) fn checked(device: c_int) -> Result<c_int, Code> {
    if (0..settings().devices as c_int).contains(&device) {
        Ok(device)
    } else {
        Err(Code::InvalidDevice)
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGet(device: *mut c_int, ordinal: c_int) -> c_int {
    super::fail_if_told!("cuDeviceGet");
    on_driver(|_| put(device, checked(ordinal)?))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetCount(count: *mut c_int) -> c_int {
    on_driver(|_| put(count, settings().devices as c_int))
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetName(name: *mut c_char, length: c_int, device: c_int) -> c_int {
    on_driver(|_| {
        checked(device)?;
        if name.is_null() || length <= 0 {
            return Err(Code::InvalidValue);
        }
        let bytes = NAME.len().min(length as usize - 1);
        // SAFETY: the caller gives room for `length` bytes, and one more than `bytes` are written.
        unsafe {
            ptr::copy_nonoverlapping(NAME.as_ptr(), name.cast(), bytes);
            name.add(bytes).write(0);
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetUuid(uuid: *mut [u8; 16], device: c_int) -> c_int {
    on_driver(|_| {
        let mut bytes = *b"emulated CUDA  0";
        bytes[15] += checked(device)? as u8;
        put(uuid, bytes)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetUuid_v2(uuid: *mut [u8; 16], device: c_int) -> c_int {
    cuDeviceGetUuid(uuid, device)
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, device: c_int) -> c_int {
    super::fail_if_told!("cuDeviceTotalMem_v2");
    on_driver(|_| {
        checked(device)?;
        put(bytes, settings().memory as usize)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDeviceComputeCapability(
    major: *mut c_int,
    minor: *mut c_int,
    device: c_int,
) -> c_int {
    on_driver(|_| {
        checked(device)?;
        put(major, (settings().capability / 10) as c_int)?;
        put(minor, (settings().capability % 10) as c_int)
    })
}

/// Bytes of shared memory that a block may have without asking for more.
pub(super) const SHARED_PER_BLOCK: usize = 48 << 10;
/// Bytes of shared memory that a block may ask for.
pub(super) const SHARED_OPT_IN: usize = 163 << 10;
/// Bytes of shared memory of a multiprocessor, of which each block takes 1 KiB more than it asks for.
pub(super) const SHARED_PER_PROCESSOR: usize = 164 << 10;
pub(super) const THREADS_PER_PROCESSOR: u32 = 2048;
pub(super) const BLOCKS_PER_PROCESSOR: u32 = 32;

#[unsafe(no_mangle)]
extern "C" fn cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, device: c_int) -> c_int {
    on_driver(|_| {
        checked(device)?;
        let found = match attribute {
            1..=3 => 1024,
            4 => 64,
            5 => c_int::MAX,
            6 | 7 => 65535,
            8 => SHARED_PER_BLOCK as c_int,
            9 => 65536,
            10 => 32,
            11 => c_int::MAX,
            12 | 82 => 65536,
            13 => 1_410_000,
            14 | 30 | 51 => 512,
            15 | 19 | 31 | 41 | 78..=80 | 90 | 95 | 99 | 115 => 1,
            16 => settings().processors as c_int,
            36 => 1_215_000,
            37 => 5120,
            38 => 40 << 20,
            39 => THREADS_PER_PROCESSOR as c_int,
            40 => 3,
            75 => (settings().capability / 10) as c_int,
            76 => (settings().capability % 10) as c_int,
            81 => SHARED_PER_PROCESSOR as c_int,
            87 => 2,
            97 => SHARED_OPT_IN as c_int,
            106 => BLOCKS_PER_PROCESSOR as c_int,
            111 => 1024,
            17..=130 => 0,
            _ => return Err(Code::InvalidValue),
        };
        put(value, found)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuGetErrorName(code: c_int, text: *mut *const c_char) -> c_int {
    match described(code) {
        Some((name, _)) => answer(put(text, name.as_ptr())),
        None => answer(put(text, ptr::null()).and(Err(Code::InvalidValue))),
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuGetErrorString(code: c_int, text: *mut *const c_char) -> c_int {
    match described(code) {
        Some((_, sentence)) => answer(put(text, sentence.as_ptr())),
        None => answer(put(text, ptr::null()).and(Err(Code::InvalidValue))),
    }
}

/// The library has every function under its own name.
#[unsafe(no_mangle)]
extern "C" fn cuGetProcAddress(
    _symbol: *const c_char,
    function: *mut *mut c_void,
    _version: c_int,
    _flags: u64,
) -> c_int {
    answer(put(function, ptr::null_mut()).and(Err(Code::NotFound)))
}
