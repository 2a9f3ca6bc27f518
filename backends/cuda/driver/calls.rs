//! The driver's functions, declared with plain numbers for codes.
//!
//! Drivers have more codes than the enumeration of `cust` that its own declarations return, which may hold no others.

use super::super::fault::Fault;
use crate::error::Result;
use cust::sys::{CUcontext, CUdevice, CUdeviceptr, CUevent, CUfunction, CUmodule, CUstream};
use std::ffi::{CStr, c_char, c_int, c_uchar, c_uint, c_void};
use std::fmt::Display;

unsafe extern "C" {
    pub(super) fn cuInit(flags: c_uint) -> c_int;
    pub(super) fn cuDriverGetVersion(version: *mut c_int) -> c_int;
    fn cuGetErrorName(code: c_int, text: *mut *const c_char) -> c_int;
    fn cuGetErrorString(code: c_int, text: *mut *const c_char) -> c_int;

    pub(super) fn cuDeviceGetCount(count: *mut c_int) -> c_int;
    pub(super) fn cuDeviceGet(device: *mut CUdevice, number: c_int) -> c_int;
    pub(super) fn cuDeviceGetName(name: *mut c_char, bytes: c_int, device: CUdevice) -> c_int;
    pub(super) fn cuDeviceGetAttribute(
        value: *mut c_int,
        attribute: c_int,
        device: CUdevice,
    ) -> c_int;
    pub(super) fn cuDeviceTotalMem_v2(bytes: *mut usize, device: CUdevice) -> c_int;

    pub(super) fn cuDevicePrimaryCtxRetain(context: *mut CUcontext, device: CUdevice) -> c_int;
    pub(super) fn cuDevicePrimaryCtxRelease_v2(device: CUdevice) -> c_int;
    pub(super) fn cuCtxSetCurrent(context: CUcontext) -> c_int;

    pub(super) fn cuStreamCreate(stream: *mut CUstream, flags: c_uint) -> c_int;
    pub(super) fn cuStreamSynchronize(stream: CUstream) -> c_int;
    pub(super) fn cuStreamDestroy_v2(stream: CUstream) -> c_int;
    pub(super) fn cuEventCreate(event: *mut CUevent, flags: c_uint) -> c_int;
    pub(super) fn cuEventRecord(event: CUevent, stream: CUstream) -> c_int;
    pub(super) fn cuEventSynchronize(event: CUevent) -> c_int;
    pub(super) fn cuEventDestroy_v2(event: CUevent) -> c_int;

    pub(super) fn cuMemAlloc_v2(address: *mut CUdeviceptr, bytes: usize) -> c_int;
    pub(super) fn cuMemFree_v2(address: CUdeviceptr) -> c_int;
    pub(super) fn cuMemAllocHost_v2(start: *mut *mut c_void, bytes: usize) -> c_int;
    pub(super) fn cuMemFreeHost(start: *mut c_void) -> c_int;
    pub(super) fn cuMemcpyHtoDAsync_v2(
        to: CUdeviceptr,
        from: *const c_void,
        bytes: usize,
        stream: CUstream,
    ) -> c_int;
    pub(super) fn cuMemcpyDtoHAsync_v2(
        to: *mut c_void,
        from: CUdeviceptr,
        bytes: usize,
        stream: CUstream,
    ) -> c_int;
    pub(super) fn cuMemcpyDtoDAsync_v2(
        to: CUdeviceptr,
        from: CUdeviceptr,
        bytes: usize,
        stream: CUstream,
    ) -> c_int;
    pub(super) fn cuMemsetD8Async(
        to: CUdeviceptr,
        value: c_uchar,
        bytes: usize,
        stream: CUstream,
    ) -> c_int;

    pub(super) fn cuModuleLoadDataEx(
        module: *mut CUmodule,
        image: *const c_void,
        count: c_uint,
        options: *mut c_int,
        values: *mut *mut c_void,
    ) -> c_int;
    pub(super) fn cuModuleUnload(module: CUmodule) -> c_int;
    pub(super) fn cuModuleGetFunction(
        function: *mut CUfunction,
        module: CUmodule,
        name: *const c_char,
    ) -> c_int;
    pub(super) fn cuModuleGetGlobal_v2(
        address: *mut CUdeviceptr,
        bytes: *mut usize,
        module: CUmodule,
        name: *const c_char,
    ) -> c_int;
    pub(super) fn cuLaunchKernel(
        function: CUfunction,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        shared: c_uint,
        stream: CUstream,
        arguments: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) -> c_int;
}

/// The code of a failed allocation.
pub(super) const OUT_OF_MEMORY: c_int = 2;

/// What a call of the driver came to.
pub(super) fn check(code: c_int, operation: impl Display) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(Fault::of_code(code).during(operation)) }
}

/// The driver's name for a code, and its explanation.
pub(in crate::backends::cuda) fn described(code: c_int) -> (String, String) {
    let name = said(cuGetErrorName, code).unwrap_or_else(|| "unknown code".to_owned());
    let text =
        said(cuGetErrorString, code).unwrap_or_else(|| "the driver has no text for it".to_owned());
    (name, text)
}

fn said(
    ask: unsafe extern "C" fn(c_int, *mut *const c_char) -> c_int,
    code: c_int,
) -> Option<String> {
    let mut text = std::ptr::null();
    // SAFETY: the pointer is to a live one.
    let found = unsafe { ask(code, &raw mut text) };
    if found != 0 || text.is_null() {
        return None;
    }
    // SAFETY: the driver's own text, which ends with a zero and stays.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
