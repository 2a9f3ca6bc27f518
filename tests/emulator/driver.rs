//! What the driver knows: contexts, allocations, modules, streams and events.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::codes::Code;
use crate::decode::GLOBAL_WINDOW;
use crate::memory::{Allocation, Regions};
use crate::program::Kernel;
use crate::settings::settings;

/// A context. Handles are numbers that the driver gives out once.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) device: i32,
    pub(crate) flags: u32,
    /// The fault that ended a kernel: every later call answers it.
    pub(crate) fault: Option<Code>,
    /// Kernels launched so far, by which schedules differ.
    pub(crate) launches: u32,
}

#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) context: usize,
    pub(crate) kernels: HashMap<String, Arc<Kernel>>,
    /// Variables by name.
    pub(crate) variables: HashMap<String, Arc<Allocation>>,
    /// Handles of the kernels that were asked for.
    pub(crate) functions: HashMap<String, usize>,
}

/// A kernel by its handle.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) module: usize,
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) max_dynamic_shared: usize,
    pub(crate) carveout: i32,
}

#[derive(Debug, Default)]
pub(crate) struct Driver {
    pub(crate) ready: bool,
    last_handle: usize,
    pub(crate) contexts: HashMap<usize, Context>,
    /// The primary context of each device and how often it is held.
    pub(crate) primary: HashMap<i32, (usize, u32)>,
    pub(crate) primary_flags: HashMap<i32, u32>,
    /// Allocations by their base, with the context that owns them.
    pub(crate) allocations: BTreeMap<u64, (Arc<Allocation>, usize)>,
    next_address: u64,
    /// Bytes in use on each device.
    pub(crate) used: HashMap<i32, u64>,
    pub(crate) modules: HashMap<usize, Module>,
    pub(crate) functions: HashMap<usize, Function>,
    /// Streams with their context, flags and priority.
    pub(crate) streams: HashMap<usize, (usize, u32, i32)>,
    /// Events with the time of their record.
    pub(crate) events: HashMap<usize, (usize, Option<Instant>)>,
    /// Page-locked memory of the host: bytes by address.
    pub(crate) locked: HashMap<usize, usize>,
    /// Launches and thread instructions by kernel.
    pub(crate) statistics: BTreeMap<String, (u64, u64)>,
}

/// The driver, locked. A host thread that panicked while it held it left nothing half done.
pub(crate) fn driver() -> MutexGuard<'static, Driver> {
    static DRIVER: LazyLock<Mutex<Driver>> = LazyLock::new(Mutex::default);
    DRIVER.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Driver {
    /// A handle that was never given out before.
    pub(crate) fn handle(&mut self) -> usize {
        self.last_handle += 16;
        0x1000 + self.last_handle
    }

    /// The context, unless a fault has ended it.
    ///
    /// # Errors
    /// `InvalidContext` where there is none, and the fault.
    pub(crate) fn context(&self, handle: usize) -> Result<&Context, Code> {
        let context = self.contexts.get(&handle).ok_or(Code::InvalidContext)?;
        context.fault.map_or(Ok(context), Err)
    }

    /// Allocates memory of the context's device, with room around it that belongs to nobody.
    ///
    /// # Errors
    /// `OutOfMemory`, by the device's size or the host's.
    pub(crate) fn allocate(
        &mut self,
        context: usize,
        bytes: usize,
        constant: bool,
    ) -> Result<Arc<Allocation>, Code> {
        let device = self.context(context)?.device;
        let used = self.used.entry(device).or_default();
        let after = used
            .checked_add(bytes as u64)
            .filter(|&after| after <= settings().memory)
            .ok_or(Code::OutOfMemory)?;
        let base = (GLOBAL_WINDOW + 0x1000_0000 + self.next_address).next_multiple_of(512);
        let allocation = Allocation::new(base, bytes, constant).ok_or(Code::OutOfMemory)?;
        *used = after;
        self.next_address = allocation.end() - GLOBAL_WINDOW - 0x1000_0000 + 4096;
        self.allocations.insert(base, (Arc::clone(&allocation), context));
        Ok(allocation)
    }

    /// Gives an allocation back. Launches that run keep it until they end.
    pub(crate) fn release(&mut self, base: u64) -> Result<(), Code> {
        let (allocation, context) = self.allocations.remove(&base).ok_or(Code::InvalidValue)?;
        if let Some(context) = self.contexts.get(&context)
            && let Some(used) = self.used.get_mut(&context.device)
        {
            *used -= allocation.bytes as u64;
        }
        Ok(())
    }

    /// The allocation that holds `bytes` from `address` on, and where in it they begin.
    ///
    /// # Errors
    /// `InvalidValue` where no allocation does.
    pub(crate) fn range(
        &self,
        address: u64,
        bytes: usize,
    ) -> Result<(Arc<Allocation>, usize), Code> {
        let (_, (allocation, _)) =
            self.allocations.range(..=address).next_back().ok_or(Code::InvalidValue)?;
        let at = (address - allocation.base) as usize;
        if at.checked_add(bytes).is_none_or(|end| end > allocation.bytes) {
            return Err(Code::InvalidValue);
        }
        Ok((Arc::clone(allocation), at))
    }

    /// All allocations of a context.
    pub(crate) fn regions(&self, context: usize) -> Regions {
        let own = self.allocations.values().filter(|(_, owner)| *owner == context);
        Regions::new(own.map(|(allocation, _)| Arc::clone(allocation)).collect())
    }

    /// Ends a context with all that lives in it.
    pub(crate) fn destroy(&mut self, context: usize) {
        let own: Vec<u64> = self
            .allocations
            .iter()
            .filter(|(_, (_, owner))| *owner == context)
            .map(|(&base, _)| base)
            .collect();
        for base in own {
            // The base was just listed.
            let _ = self.release(base);
        }
        let modules: Vec<usize> = self
            .modules
            .iter()
            .filter(|(_, module)| module.context == context)
            .map(|(&handle, _)| handle)
            .collect();
        for module in modules {
            self.modules.remove(&module);
            self.functions.retain(|_, function| function.module != module);
        }
        self.streams.retain(|_, stream| stream.0 != context);
        self.events.retain(|_, event| event.0 != context);
        self.contexts.remove(&context);
    }
}
