//! Attributes of kernels, and how many blocks fit a multiprocessor.

use std::ffi::{c_int, c_void};

use super::device::{
    BLOCKS_PER_PROCESSOR, SHARED_OPT_IN, SHARED_PER_PROCESSOR, THREADS_PER_PROCESSOR,
};
use super::{in_context, put};
use crate::codes::Code;
use crate::driver::{Driver, Function};
use crate::settings::settings;

/// Registers that a kernel is said to have: the machine has as many as a kernel names.
const REGISTERS: c_int = 32;

pub(super) fn find(driver: &Driver, function: usize) -> Result<&Function, Code> {
    driver.functions.get(&function).ok_or(Code::InvalidHandle)
}

/// What `EMULATED_CUDA_SPILLS` says of a kernel.
fn spills(driver: &Driver, function: &Function) -> usize {
    let module = driver.modules.get(&function.module);
    let constant = module.is_some_and(|module| module.variables.values().any(|own| own.constant));
    if constant { settings().spills } else { 0 }
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncGetAttribute(value: *mut c_int, attribute: c_int, function: usize) -> c_int {
    in_context(|driver, _| {
        let function = find(driver, function)?;
        let kernel = &function.kernel;
        let found = match attribute {
            0 => kernel.max_threads as c_int,
            1 => kernel.shared_bytes as c_int,
            2 | 7 => 0,
            3 => (kernel.local_bytes + spills(driver, function)) as c_int,
            4 => REGISTERS,
            5 => 70,
            6 => settings().capability as c_int,
            8 => function.max_dynamic_shared as c_int,
            9 => function.carveout,
            _ => return Err(Code::InvalidValue),
        };
        put(value, found)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncSetAttribute(function: usize, attribute: c_int, value: c_int) -> c_int {
    in_context(|driver, _| {
        let function = driver.functions.get_mut(&function).ok_or(Code::InvalidHandle)?;
        match attribute {
            8 if value >= 0 && value as usize + function.kernel.shared_bytes <= SHARED_OPT_IN => {
                function.max_dynamic_shared = value as usize;
                Ok(())
            }
            9 if (-1..=100).contains(&value) => {
                function.carveout = value;
                Ok(())
            }
            _ => Err(Code::InvalidValue),
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncSetCacheConfig(function: usize, _config: c_int) -> c_int {
    in_context(|driver, _| find(driver, function).map(drop))
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncSetSharedMemConfig(function: usize, _config: c_int) -> c_int {
    in_context(|driver, _| find(driver, function).map(drop))
}

/// Blocks of `threads` that fit one multiprocessor.
pub(super) fn blocks_per_processor(
    function: &Function,
    threads: u32,
    dynamic_shared: usize,
) -> u32 {
    if threads == 0 || threads > function.kernel.max_threads {
        return 0;
    }
    let shared = function.kernel.shared_bytes + dynamic_shared;
    if shared > SHARED_OPT_IN {
        return 0;
    }
    let by_shared = (SHARED_PER_PROCESSOR / (shared + 1024)) as u32;
    (THREADS_PER_PROCESSOR / threads.next_multiple_of(32)).min(BLOCKS_PER_PROCESSOR).min(by_shared)
}

#[unsafe(no_mangle)]
extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
    blocks: *mut c_int,
    function: usize,
    threads: c_int,
    dynamic_shared: usize,
) -> c_int {
    in_context(|driver, _| {
        let threads = u32::try_from(threads).map_err(|_| Code::InvalidValue)?;
        put(blocks, blocks_per_processor(find(driver, function)?, threads, dynamic_shared) as c_int)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    blocks: *mut c_int,
    function: usize,
    threads: c_int,
    dynamic_shared: usize,
    _flags: u32,
) -> c_int {
    cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, dynamic_shared)
}

#[unsafe(no_mangle)]
extern "C" fn cuOccupancyMaxPotentialBlockSize(
    grid: *mut c_int,
    block: *mut c_int,
    function: usize,
    shared_of: Option<extern "C" fn(c_int) -> usize>,
    dynamic_shared: usize,
    limit: c_int,
) -> c_int {
    in_context(|driver, _| {
        let function = find(driver, function)?;
        let most = if limit > 0 {
            (limit as u32).min(function.kernel.max_threads)
        } else {
            function.kernel.max_threads
        };
        let sizes = (1..=most.div_ceil(32)).map(|warps| (warps * 32).min(most));
        let best = sizes
            .map(|threads| {
                let shared =
                    shared_of.map_or(dynamic_shared, |shared_of| shared_of(threads as c_int));
                let blocks = blocks_per_processor(function, threads, shared);
                (blocks * threads, threads, blocks)
            })
            .max()
            .unwrap_or_default();
        put(grid, (best.2 * settings().processors) as c_int)?;
        put(block, best.1 as c_int)
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuOccupancyAvailableDynamicSMemPerBlock(
    bytes: *mut usize,
    function: usize,
    blocks: c_int,
    threads: c_int,
) -> c_int {
    in_context(|driver, _| {
        let function = find(driver, function)?;
        if blocks <= 0 || threads <= 0 {
            return Err(Code::InvalidValue);
        }
        let each = (SHARED_PER_PROCESSOR / blocks as usize)
            .saturating_sub(1024 + function.kernel.shared_bytes);
        put(bytes, each.min(SHARED_OPT_IN - function.kernel.shared_bytes))
    })
}

#[unsafe(no_mangle)]
extern "C" fn cuFuncGetModule(module: *mut *mut c_void, function: usize) -> c_int {
    in_context(|driver, _| put(module, find(driver, function)?.module as *mut c_void))
}
