//! Device and page-locked memory, copies and fills.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ffi::{c_int, c_uint, c_void};
use std::slice;

use super::{in_context, put};
use crate::codes::Code;
use crate::settings::settings;

#[unsafe(no_mangle)]
extern "C" fn cuMemAlloc_v2(address: *mut u64, bytes: usize) -> c_int {
    super::fail_if_told!("cuMemAlloc_v2");
    in_context(|driver, context| {
        if bytes == 0 {
            return Err(Code::InvalidValue);
        }
        put(address, driver.allocate(context, bytes, false)?.base)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAllocAsync(address: *mut u64, bytes: usize, _stream: usize) -> c_int {
    cuMemAlloc_v2(address, bytes)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFree_v2(address: u64) -> c_int {
    in_context(|driver, _| if address == 0 { Ok(()) } else { driver.release(address) })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeAsync(address: u64, _stream: usize) -> c_int {
    cuMemFree_v2(address)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) -> c_int {
    in_context(|driver, context| {
        let device = driver.context(context)?.device;
        let used = driver.used.get(&device).copied().unwrap_or(0);
        put(free, (settings().memory - used) as usize)?;
        put(total, settings().memory as usize)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemGetAddressRange_v2(base: *mut u64, bytes: *mut usize, address: u64) -> c_int {
    in_context(|driver, _| {
        let (allocation, _) = driver.range(address, 1)?;
        put(base, allocation.base)?;
        put(bytes, allocation.bytes)
    })
}

fn host_layout(bytes: usize) -> Result<Layout, Code> {
    Layout::from_size_align(bytes.max(1), 4096).map_err(|_| Code::OutOfMemory)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemAllocHost_v2(memory: *mut *mut c_void, bytes: usize) -> c_int {
    super::fail_if_told!("cuMemAllocHost_v2");
    in_context(|driver, _| {
        if bytes == 0 {
            return Err(Code::InvalidValue);
        }
        // SAFETY: the layout's size is not zero.
        let pointer = unsafe { alloc_zeroed(host_layout(bytes)?) };
        if pointer.is_null() {
            return Err(Code::OutOfMemory);
        }
        driver.locked.insert(pointer as usize, bytes);
        put(memory, pointer.cast())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostAlloc(memory: *mut *mut c_void, bytes: usize, _flags: c_uint) -> c_int {
    cuMemAllocHost_v2(memory, bytes)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemFreeHost(memory: *mut c_void) -> c_int {
    in_context(|driver, _| {
        let bytes = driver.locked.remove(&(memory as usize)).ok_or(Code::InvalidValue)?;
        // SAFETY: allocated in `cuMemAllocHost_v2` with this layout, and taken out of the table just now.
        unsafe { dealloc(memory.cast(), host_layout(bytes)?) };
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostRegister_v2(memory: *mut c_void, _bytes: usize, _flags: c_uint) -> c_int {
    in_context(|_, _| if memory.is_null() { Err(Code::InvalidValue) } else { Ok(()) })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemHostUnregister(_memory: *mut c_void) -> c_int {
    in_context(|_, _| Ok(()))
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyHtoD_v2(to: u64, from: *const c_void, bytes: usize) -> c_int {
    in_context(|driver, _| {
        if bytes == 0 {
            return Ok(());
        }
        let (allocation, at) = driver.range(to, bytes)?;
        if from.is_null() {
            return Err(Code::InvalidValue);
        }
        // SAFETY: the caller gives `bytes` bytes to read.
        allocation.write(at, unsafe { slice::from_raw_parts(from.cast(), bytes) });
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoH_v2(to: *mut c_void, from: u64, bytes: usize) -> c_int {
    in_context(|driver, _| {
        if bytes == 0 {
            return Ok(());
        }
        let (allocation, at) = driver.range(from, bytes)?;
        if to.is_null() {
            return Err(Code::InvalidValue);
        }
        // SAFETY: the caller gives room for `bytes` bytes.
        unsafe { allocation.read(at, to.cast(), bytes) };
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoD_v2(to: u64, from: u64, bytes: usize) -> c_int {
    in_context(|driver, _| {
        if bytes == 0 {
            return Ok(());
        }
        let (source, at) = driver.range(from, bytes)?;
        let (target, there) = driver.range(to, bytes)?;
        source.copy(at, &target, there, bytes);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyHtoDAsync_v2(
    to: u64,
    from: *const c_void,
    bytes: usize,
    _stream: usize,
) -> c_int {
    cuMemcpyHtoD_v2(to, from, bytes)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoHAsync_v2(
    to: *mut c_void,
    from: u64,
    bytes: usize,
    _stream: usize,
) -> c_int {
    cuMemcpyDtoH_v2(to, from, bytes)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, _stream: usize) -> c_int {
    cuMemcpyDtoD_v2(to, from, bytes)
}

fn fill(address: u64, pattern: &[u8], count: usize) -> c_int {
    in_context(|driver, _| {
        if !address.is_multiple_of(pattern.len() as u64) {
            return Err(Code::InvalidValue);
        }
        if count == 0 {
            return Ok(());
        }
        let (allocation, at) =
            driver.range(address, count.checked_mul(pattern.len()).ok_or(Code::InvalidValue)?)?;
        allocation.fill(at, pattern, count);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD8_v2(address: u64, value: u8, count: usize) -> c_int {
    fill(address, &[value], count)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD16_v2(address: u64, value: u16, count: usize) -> c_int {
    fill(address, &value.to_le_bytes(), count)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD32_v2(address: u64, value: u32, count: usize) -> c_int {
    fill(address, &value.to_le_bytes(), count)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD8Async(address: u64, value: u8, count: usize, _stream: usize) -> c_int {
    cuMemsetD8_v2(address, value, count)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD16Async(address: u64, value: u16, count: usize, _stream: usize) -> c_int {
    cuMemsetD16_v2(address, value, count)
}

#[unsafe(no_mangle)]
extern "C" fn cuMemsetD32Async(address: u64, value: u32, count: usize, _stream: usize) -> c_int {
    cuMemsetD32_v2(address, value, count)
}
