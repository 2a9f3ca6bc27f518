//! Contexts: primary ones and others, and which is current on a thread.

use std::ffi::{c_int, c_uint};

use super::device::checked;
use super::{CURRENT, answer, current, in_context, on_driver, put};
use crate::codes::Code;
use crate::driver::{Context, driver};

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRetain(context: *mut usize, device: c_int) -> c_int {
    super::fail_if_told!("cuDevicePrimaryCtxRetain");
    on_driver(|driver| {
        checked(device)?;
        if let Some((handle, holders)) = driver.primary.get_mut(&device) {
            *holders += 1;
            return put(context, *handle);
        }
        let handle = driver.handle();
        let flags = driver.primary_flags.get(&device).copied().unwrap_or(0);
        driver.contexts.insert(handle, Context { device, flags, fault: None, launches: 0 });
        driver.primary.insert(device, (handle, 1));
        put(context, handle)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxRelease_v2(device: c_int) -> c_int {
    on_driver(|driver| {
        checked(device)?;
        let Some((handle, holders)) = driver.primary.get_mut(&device) else {
            return Err(Code::InvalidContext);
        };
        *holders -= 1;
        if *holders == 0 {
            let handle = *handle;
            driver.primary.remove(&device);
            driver.destroy(handle);
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxReset_v2(device: c_int) -> c_int {
    on_driver(|driver| {
        checked(device)?;
        if let Some((handle, _)) = driver.primary.remove(&device) {
            driver.destroy(handle);
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxSetFlags_v2(device: c_int, flags: c_uint) -> c_int {
    on_driver(|driver| {
        driver.primary_flags.insert(checked(device)?, flags);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuDevicePrimaryCtxGetState(
    device: c_int,
    flags: *mut c_uint,
    active: *mut c_int,
) -> c_int {
    on_driver(|driver| {
        let device = checked(device)?;
        put(flags, driver.primary_flags.get(&device).copied().unwrap_or(0))?;
        put(active, c_int::from(driver.primary.contains_key(&device)))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxCreate_v2(context: *mut usize, flags: c_uint, device: c_int) -> c_int {
    on_driver(|driver| {
        let device = checked(device)?;
        let handle = driver.handle();
        put(context, handle)?;
        driver.contexts.insert(handle, Context { device, flags, fault: None, launches: 0 });
        CURRENT.with_borrow_mut(|stack| stack.push(handle));
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxDestroy_v2(context: usize) -> c_int {
    on_driver(|driver| {
        if !driver.contexts.contains_key(&context) {
            return Err(Code::InvalidContext);
        }
        driver.destroy(context);
        CURRENT.with_borrow_mut(|stack| {
            if stack.last() == Some(&context) {
                stack.pop();
            }
        });
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetCurrent(context: usize) -> c_int {
    on_driver(|driver| {
        if context != 0 && !driver.contexts.contains_key(&context) {
            return Err(Code::InvalidContext);
        }
        CURRENT.with_borrow_mut(|stack| {
            stack.pop();
            if context != 0 {
                stack.push(context);
            }
        });
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetCurrent(context: *mut usize) -> c_int {
    on_driver(|_| put(context, current().unwrap_or(0)))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxPushCurrent_v2(context: usize) -> c_int {
    on_driver(|driver| {
        if !driver.contexts.contains_key(&context) {
            return Err(Code::InvalidContext);
        }
        CURRENT.with_borrow_mut(|stack| stack.push(context));
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxPopCurrent_v2(context: *mut usize) -> c_int {
    let popped = CURRENT.with_borrow_mut(Vec::pop);
    answer(
        popped
            .ok_or(Code::InvalidContext)
            .and_then(|handle| if context.is_null() { Ok(()) } else { put(context, handle) }),
    )
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSynchronize() -> c_int {
    in_context(|_, _| Ok(()))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetDevice(device: *mut c_int) -> c_int {
    on_driver(|driver| {
        put(device, driver.contexts.get(&current()?).ok_or(Code::InvalidContext)?.device)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetFlags(flags: *mut c_uint) -> c_int {
    in_context(|driver, context| put(flags, driver.context(context)?.flags))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetApiVersion(context: usize, version: *mut c_uint) -> c_int {
    let known = context == 0 || driver().contexts.contains_key(&context);
    answer(if known { put(version, 3020) } else { Err(Code::InvalidContext) })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) -> c_int {
    in_context(|_, _| {
        put(least, 0)?;
        put(greatest, -5)
    })
}

/// Limits are answered as a device's defaults and taken without effect.
#[unsafe(no_mangle)]
extern "C" fn cuCtxGetLimit(value: *mut usize, limit: c_int) -> c_int {
    in_context(|_, _| match limit {
        0 => put(value, 1024),
        1 => put(value, 1 << 20),
        2 => put(value, 8 << 20),
        3 => put(value, 2),
        4 => put(value, 2048),
        5 => put(value, 128),
        6 => put(value, 0),
        _ => Err(Code::InvalidValue),
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetLimit(limit: c_int, _value: usize) -> c_int {
    in_context(|_, _| if (0..=6).contains(&limit) { Ok(()) } else { Err(Code::InvalidValue) })
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetCacheConfig(config: *mut c_int) -> c_int {
    in_context(|_, _| put(config, 0))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetCacheConfig(_config: c_int) -> c_int {
    in_context(|_, _| Ok(()))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxGetSharedMemConfig(config: *mut c_int) -> c_int {
    in_context(|_, _| put(config, 1))
}

#[unsafe(no_mangle)]
extern "C" fn cuCtxSetSharedMemConfig(_config: c_int) -> c_int {
    in_context(|_, _| Ok(()))
}
