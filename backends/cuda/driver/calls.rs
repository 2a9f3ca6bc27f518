//! What `cust` lacks: the log of the compiler, the place of a module's constants, and codes that it does not know.
//!
//! Codes are plain numbers here: newer drivers have more of them than the enumeration that `cust`'s own declarations return.

use super::super::fault::Fault;
use crate::error::Result;
use cust::sys::{CUcontext, CUdevice, CUdeviceptr, CUfunction, CUmodule, CUstream};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fmt::Display;

unsafe extern "C" {
    pub(super) fn cuInit(flags: c_uint) -> c_int;
    pub(super) fn cuDriverGetVersion(version: *mut c_int) -> c_int;
    fn cuGetErrorName(code: c_int, text: *mut *const c_char) -> c_int;
    fn cuGetErrorString(code: c_int, text: *mut *const c_char) -> c_int;

    fn cuDevicePrimaryCtxRetain(context: *mut CUcontext, device: CUdevice) -> c_int;
    fn cuDevicePrimaryCtxRelease_v2(device: CUdevice) -> c_int;

    pub(super) fn cuMemcpyHtoDAsync_v2(
        to: CUdeviceptr,
        from: *const c_void,
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
    pub(super) fn cuFuncGetAttribute(
        value: *mut c_int,
        attribute: c_int,
        function: CUfunction,
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

/// A primary context that is held until this is dropped, so that another hold of it cannot fail.
pub(super) struct Held(CUdevice);

impl Held {
    pub(super) fn new(card: CUdevice, operation: &str) -> Result<Self> {
        let mut context = std::ptr::null_mut();
        // SAFETY: the pointer is to a live handle.
        check(unsafe { cuDevicePrimaryCtxRetain(&raw mut context, card) }, operation)?;
        Ok(Self(card))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: it was retained once for `self`.
        unsafe { cuDevicePrimaryCtxRelease_v2(self.0) };
    }
}

/// What a call of the driver came to.
pub(super) fn check(code: c_int, operation: impl Display) -> Result<()> {
    succeeded(code).map_err(|code| Fault::of_code(code).during(operation))
}

/// The code, if it is not that of success.
pub(super) fn succeeded(code: c_int) -> std::result::Result<(), c_int> {
    if code == 0 { Ok(()) } else { Err(code) }
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
