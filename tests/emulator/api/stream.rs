//! Streams and events. Work is done when it is given, so that nothing is ever waited for.

use std::ffi::{c_int, c_uint, c_void};
use std::time::Instant;

use super::{in_context, on_driver, put};
use crate::codes::Code;
use crate::driver::Driver;

/// The stream is the default one or was created.
pub(super) fn checked(driver: &Driver, stream: usize) -> Result<(), Code> {
    // 1 and 2 are the legacy and the per-thread default stream.
    if stream <= 2 || driver.streams.contains_key(&stream) {
        Ok(())
    } else {
        Err(Code::InvalidHandle)
    }
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamCreate(stream: *mut usize, flags: c_uint) -> c_int {
    cuStreamCreateWithPriority(stream, flags, 0)
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamCreateWithPriority(
    stream: *mut usize,
    flags: c_uint,
    priority: c_int,
) -> c_int {
    super::fail_if_told!("cuStreamCreateWithPriority");
    in_context(|driver, context| {
        let handle = driver.handle();
        driver.streams.insert(handle, (context, flags, priority.clamp(-5, 0)));
        put(stream, handle)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamDestroy_v2(stream: usize) -> c_int {
    on_driver(|driver| driver.streams.remove(&stream).map(drop).ok_or(Code::InvalidHandle))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamSynchronize(stream: usize) -> c_int {
    super::fail_if_told!("cuStreamSynchronize");
    in_context(|driver, _| checked(driver, stream))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamQuery(stream: usize) -> c_int {
    cuStreamSynchronize(stream)
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetFlags(stream: usize, flags: *mut c_uint) -> c_int {
    in_context(|driver, _| put(flags, driver.streams.get(&stream).ok_or(Code::InvalidHandle)?.1))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetPriority(stream: usize, priority: *mut c_int) -> c_int {
    in_context(|driver, _| put(priority, driver.streams.get(&stream).ok_or(Code::InvalidHandle)?.2))
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamGetCtx(stream: usize, context: *mut usize) -> c_int {
    in_context(|driver, current| {
        put(context, driver.streams.get(&stream).map_or(current, |stream| stream.0))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuStreamWaitEvent(stream: usize, event: usize, _flags: c_uint) -> c_int {
    in_context(|driver, _| {
        checked(driver, stream)?;
        if driver.events.contains_key(&event) { Ok(()) } else { Err(Code::InvalidHandle) }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuLaunchHostFunc(
    stream: usize,
    function: Option<extern "C" fn(*mut c_void)>,
    data: *mut c_void,
) -> c_int {
    let code = in_context(|driver, _| checked(driver, stream));
    if code == Code::Success as c_int {
        let Some(function) = function else {
            return Code::InvalidValue as c_int;
        };
        function(data);
    }
    code
}

#[unsafe(no_mangle)]
extern "C" fn cuEventCreate(event: *mut usize, _flags: c_uint) -> c_int {
    in_context(|driver, context| {
        let handle = driver.handle();
        driver.events.insert(handle, (context, None));
        put(event, handle)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventDestroy_v2(event: usize) -> c_int {
    on_driver(|driver| driver.events.remove(&event).map(drop).ok_or(Code::InvalidHandle))
}

#[unsafe(no_mangle)]
extern "C" fn cuEventRecord(event: usize, stream: usize) -> c_int {
    in_context(|driver, _| {
        checked(driver, stream)?;
        driver.events.get_mut(&event).ok_or(Code::InvalidHandle)?.1 = Some(Instant::now());
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuEventSynchronize(event: usize) -> c_int {
    super::fail_if_told!("cuEventSynchronize");
    in_context(
        |driver, _| {
            if driver.events.contains_key(&event) { Ok(()) } else { Err(Code::InvalidHandle) }
        },
    )
}

#[unsafe(no_mangle)]
extern "C" fn cuEventQuery(event: usize) -> c_int {
    cuEventSynchronize(event)
}

/// Milliseconds between two records.
#[unsafe(no_mangle)]
extern "C" fn cuEventElapsedTime(milliseconds: *mut f32, start: usize, end: usize) -> c_int {
    in_context(|driver, _| {
        let time = |event: usize| {
            driver.events.get(&event).and_then(|event| event.1).ok_or(Code::InvalidHandle)
        };
        let elapsed = time(end)?.saturating_duration_since(time(start)?);
        put(milliseconds, elapsed.as_secs_f32() * 1000.0)
    })
}
