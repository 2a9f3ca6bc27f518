//! Device memory: allocations with a shadow that says which bytes were written.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::Arc;

/// What a shadow byte is where the byte was written.
const WRITTEN: u8 = 0xff;

/// One allocation. Kernels and copies of different host threads reach it without locks, as on a device: a program that races
/// with itself reads what it reads.
#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) base: u64,
    pub(crate) bytes: usize,
    /// The data, and as many bytes of shadow behind it.
    memory: NonNull<u8>,
    layout: Layout,
    /// Whether kernels may not write here.
    pub(crate) constant: bool,
}

// SAFETY: the memory belongs to the allocation alone and is reached by raw pointers only.
unsafe impl Send for Allocation {}
// SAFETY: as above; no reference into the memory is ever made.
unsafe impl Sync for Allocation {}

impl Allocation {
    /// `None` where the host has no memory for it.
    pub(crate) fn new(base: u64, bytes: usize, constant: bool) -> Option<Arc<Self>> {
        let padded = bytes.checked_next_multiple_of(16)?.max(16);
        let layout = Layout::from_size_align(padded.checked_mul(2)?, 256).ok()?;
        // SAFETY: the layout's size is not zero.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Arc::new(Self { base, bytes, memory, layout, constant }))
    }

    pub(crate) fn data(&self) -> *mut u8 {
        self.memory.as_ptr()
    }

    pub(crate) fn shadow(&self) -> *mut u8 {
        // SAFETY: the shadow begins halfway through the memory.
        unsafe { self.memory.as_ptr().add(self.layout.size() / 2) }
    }

    pub(crate) fn end(&self) -> u64 {
        self.base + self.bytes as u64
    }

    /// Copies from the host. `at + from.len()` must not exceed the allocation.
    pub(crate) fn write(&self, at: usize, from: &[u8]) {
        assert!(at + from.len() <= self.bytes);
        // SAFETY: the range is inside of the allocation, and of its shadow.
        unsafe {
            self.data().add(at).copy_from_nonoverlapping(from.as_ptr(), from.len());
            self.shadow().add(at).write_bytes(WRITTEN, from.len());
        }
    }

    /// Copies to the host, what was never written as well. `at + bytes` must not exceed the allocation.
    ///
    /// # Safety
    /// `bytes` bytes can be written at `to`.
    pub(crate) unsafe fn read(&self, at: usize, to: *mut u8, bytes: usize) {
        assert!(at + bytes <= self.bytes);
        // SAFETY: the range is inside of the allocation, and the caller's promise.
        unsafe { self.data().add(at).copy_to_nonoverlapping(to, bytes) }
    }

    /// Copies to another allocation or within this one, with what was written and what was not.
    pub(crate) fn copy(&self, at: usize, to: &Self, there: usize, bytes: usize) {
        assert!(at + bytes <= self.bytes && there + bytes <= to.bytes);
        // SAFETY: both ranges are inside of their allocations, and `copy` lets them overlap.
        unsafe {
            self.data().add(at).copy_to(to.data().add(there), bytes);
            self.shadow().add(at).copy_to(to.shadow().add(there), bytes);
        }
    }

    /// Repeats `pattern`, which is inside of the allocation so many times.
    pub(crate) fn fill(&self, at: usize, pattern: &[u8], count: usize) {
        let bytes = pattern.len() * count;
        assert!(at + bytes <= self.bytes);
        // SAFETY: the range is inside of the allocation, and of its shadow.
        unsafe {
            for i in 0..count {
                self.data()
                    .add(at + i * pattern.len())
                    .copy_from_nonoverlapping(pattern.as_ptr(), pattern.len());
            }
            self.shadow().add(at).write_bytes(WRITTEN, bytes);
        }
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) }
    }
}

/// The allocations that a launch may reach, in the order of their addresses.
#[derive(Debug, Default)]
pub(crate) struct Regions(Vec<Arc<Allocation>>);

impl Regions {
    pub(crate) fn new(mut allocations: Vec<Arc<Allocation>>) -> Self {
        allocations.sort_by_key(|allocation| allocation.base);
        Self(allocations)
    }

    /// The region that holds the whole range, and its number; `hint` is the number to look at first.
    #[inline(always)]
    pub(crate) fn find(&self, address: u64, bytes: u64, hint: u32) -> Option<(&Allocation, u32)> {
        if let Some(region) = self.0.get(hint as usize)
            && address >= region.base
            && address - region.base + bytes <= region.bytes as u64
        {
            return Some((region, hint));
        }
        self.search(address, bytes)
    }

    #[cold]
    fn search(&self, address: u64, bytes: u64) -> Option<(&Allocation, u32)> {
        let after = self.0.partition_point(|region| region.base <= address);
        let region = self.0.get(after.checked_sub(1)?)?;
        let inside = address - region.base;
        (inside.checked_add(bytes)? <= region.bytes as u64).then_some((&**region, after as u32 - 1))
    }

    /// The allocation that is nearest to an address outside of all, for messages.
    pub(crate) fn nearest(&self, address: u64) -> Option<&Allocation> {
        self.0.iter().map(|region| &**region).min_by_key(|region| {
            if address < region.base {
                region.base - address
            } else {
                (address + 1).saturating_sub(region.end())
            }
        })
    }
}
