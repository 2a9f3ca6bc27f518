//! Launches.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Arc;

use super::device::SHARED_OPT_IN;
use super::function::{blocks_per_processor, find};
use super::{current, in_context};
use crate::codes::Code;
use crate::driver::driver;
use crate::machine::Launch;
use crate::settings::settings;

#[unsafe(no_mangle)]
extern "C" fn cuLaunchKernel(
    function: usize,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    shared: c_uint,
    stream: usize,
    parameters: *mut *mut c_void,
    extra: *mut *mut c_void,
) -> c_int {
    super::fail_if_told!("cuLaunchKernel");
    if !extra.is_null() {
        return Code::NotSupported as c_int;
    }
    launch(
        function,
        [grid_x, grid_y, grid_z],
        [block_x, block_y, block_z],
        shared,
        stream,
        parameters,
        false,
    )
}

#[unsafe(no_mangle)]
extern "C" fn cuLaunchCooperativeKernel(
    function: usize,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    shared: c_uint,
    stream: usize,
    parameters: *mut *mut c_void,
) -> c_int {
    launch(
        function,
        [grid_x, grid_y, grid_z],
        [block_x, block_y, block_z],
        shared,
        stream,
        parameters,
        true,
    )
}

fn launch(
    function: usize,
    grid: [u32; 3],
    block: [u32; 3],
    shared: u32,
    stream: usize,
    parameters: *mut *mut c_void,
    cooperative: bool,
) -> c_int {
    let mut prepared = None;
    let code = in_context(|driver, context| {
        super::stream::checked(driver, stream)?;
        let function = find(driver, function)?;
        let kernel = &function.kernel;
        let threads = product(block)
            .filter(|&threads| threads > 0 && threads <= 1024 && block[2] <= 64)
            .ok_or(Code::InvalidValue)?;
        let blocks = product(grid)
            .filter(|&blocks| blocks > 0 && grid[0] <= i32::MAX as u32)
            .ok_or(Code::InvalidValue)?;
        if grid[1] > 65535 || grid[2] > 65535 {
            return Err(Code::InvalidValue);
        }
        if threads > u64::from(kernel.max_threads) {
            return Err(Code::LaunchOutOfResources);
        }
        let dynamic_shared = shared as usize;
        if dynamic_shared > function.max_dynamic_shared
            || dynamic_shared + kernel.shared_bytes > SHARED_OPT_IN
        {
            return Err(Code::InvalidValue);
        }
        let mut resident = settings().resident;
        if cooperative {
            let room = u64::from(
                blocks_per_processor(function, threads as u32, dynamic_shared)
                    * settings().processors,
            );
            if blocks > room {
                return Err(Code::CooperativeLaunchTooLarge);
            }
            resident = Some(blocks as usize);
        }
        let parameters = parameter_bytes(&kernel.parameters, kernel.parameter_bytes, parameters)?;
        let kernel = Arc::clone(kernel);
        let regions = driver.regions(context);
        let own = driver.contexts.get_mut(&context).ok_or(Code::InvalidContext)?;
        own.launches += 1;
        prepared = Some(Launch {
            kernel,
            grid,
            block,
            dynamic_shared,
            parameters,
            regions,
            seed: settings().seed,
            resident,
            processors: settings().processors,
            number: own.launches,
        });
        Ok(())
    });
    // The kernel runs without the driver's lock: another host thread may use the driver meanwhile.
    let (Some(launch), Ok(context)) = (prepared, current()) else {
        return code;
    };
    let outcome = launch.run();
    let mut driver = driver();
    match outcome {
        Ok(instructions) => {
            let kernel = driver.statistics.entry(launch.kernel.name.clone()).or_default();
            kernel.0 += 1;
            kernel.1 += instructions;
        }
        Err(fault) => {
            let (message, number, seed) = (&fault.message, launch.number, launch.seed);
            eprintln!("emulated CUDA: {message} (launch {number} of its context, seed {seed})");
            if let Some(context) = driver.contexts.get_mut(&context) {
                context.fault = Some(fault.code);
            }
        }
    }
    Code::Success as c_int
}

fn product(sizes: [u32; 3]) -> Option<u64> {
    sizes
        .iter()
        .try_fold(1u64, |product, &size| product.checked_mul(u64::from(size)))
        .filter(|&product| product <= u64::from(u32::MAX))
}

/// The kernel's parameters in one piece, at their offsets.
fn parameter_bytes(
    layout: &[(usize, usize)],
    bytes: usize,
    from: *mut *mut c_void,
) -> Result<Vec<u8>, Code> {
    let mut out = vec![0; bytes];
    if layout.is_empty() {
        return Ok(out);
    }
    if from.is_null() {
        return Err(Code::InvalidValue);
    }
    for (i, &(offset, bytes)) in layout.iter().enumerate() {
        // SAFETY: the caller gives a pointer for each of the kernel's parameters.
        let pointer = unsafe { from.add(i).read() };
        if pointer.is_null() {
            return Err(Code::InvalidValue);
        }
        // SAFETY: it points to a value of the parameter's size, and `out` has room for it at its offset.
        unsafe { out.as_mut_ptr().add(offset).copy_from_nonoverlapping(pointer.cast(), bytes) };
    }
    Ok(out)
}
