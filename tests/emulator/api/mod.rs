//! The driver's functions, under the names that `libcuda.so.1` exports.
//!
//! Work is done before a call returns, whatever its stream. A kernel that fails ends its context, as on a device: the launch itself
//! succeeds, and every later call answers the fault.

mod context;
mod copy;
mod device;
mod function;
mod launch;
mod module;
mod stream;
mod unsupported;

use std::cell::RefCell;

use crate::codes::Code;
use crate::driver::{Driver, driver};
use crate::settings::settings;

thread_local! {
    /// The contexts that this host thread made current, the last on top; 0 for none.
    static CURRENT: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Ends the function of the driver that it stands in with the code that this is to answer, if `EMULATED_CUDA_FAIL` names it.
macro_rules! fail_if_told {
    ($function:literal) => {
        if let Some(code) = super::told($function) {
            return code;
        }
    };
}
use fail_if_told;

/// The code that the function `name` is to answer, if any.
fn told(name: &str) -> Option<i32> {
    let (function, code) = settings().fail.as_ref()?;
    (function == name).then_some(*code)
}

/// The number of a result.
fn answer(result: Result<(), Code>) -> i32 {
    match result {
        Ok(()) => Code::Success as i32,
        Err(code) => code as i32,
    }
}

/// The context that is current on this thread.
fn current() -> Result<usize, Code> {
    CURRENT
        .with_borrow(|stack| stack.last().copied().filter(|&context| context != 0))
        .ok_or(Code::InvalidContext)
}

/// Runs `f` on the driver, once `cuInit` was called.
fn on_driver(f: impl FnOnce(&mut Driver) -> Result<(), Code>) -> i32 {
    let mut driver = driver();
    if !driver.ready {
        return Code::NotInitialized as i32;
    }
    answer(f(&mut driver))
}

/// Runs `f` on the driver and the current context, unless a fault has ended it.
fn in_context(f: impl FnOnce(&mut Driver, usize) -> Result<(), Code>) -> i32 {
    on_driver(|driver| {
        let context = current()?;
        driver.context(context)?;
        f(driver, context)
    })
}

/// Writes a result to where the caller wants it.
///
/// # Errors
/// `InvalidValue` where `to` is null.
fn put<T>(to: *mut T, value: T) -> Result<(), Code> {
    if to.is_null() {
        return Err(Code::InvalidValue);
    }
    // SAFETY: the caller of the driver gives a pointer to a `T`, as the driver's interface says.
    unsafe { to.write(value) };
    Ok(())
}
