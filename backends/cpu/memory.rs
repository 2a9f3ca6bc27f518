//! Memory for trajectories.

use super::Cpu;
use crate::scalar::Real;
use std::sync::{Mutex, PoisonError};

/// `len` zeros, on large pages where the system gives them: with small ones, a trajectory of many megabytes spends
/// more time in page faults than in being computed.
pub(super) fn zeros<R: Real>(cpu: &Cpu, len: usize) -> Vec<R> {
    /// Bytes that one thread clears faster than others wake up.
    const FEW: usize = 1 << 20;
    /// From here on allocators ask the system, which clears pages on first use and not twice.
    const MANY: usize = 32 << 20;
    /// Entries that one task clears.
    const PIECE: usize = 1 << 16;
    let bytes = len * size_of::<R>();
    if cpu.threads() == 1 || !(FEW..MANY).contains(&bytes) {
        let zeros = vec![R::default(); len];
        ask_for_large_pages(zeros.as_ptr(), bytes);
        return zeros;
    }
    let mut zeros = Vec::with_capacity(len);
    ask_for_large_pages(zeros.as_ptr(), bytes);
    let pieces: Vec<_> =
        zeros.spare_capacity_mut()[..len].chunks_mut(PIECE).map(Mutex::new).collect();
    cpu.each(pieces.len(), &|index| {
        for entry in pieces[index].lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            entry.write(R::default());
        }
    });
    // SAFETY: the pieces are the first `len` entries, each written.
    unsafe { zeros.set_len(len) };
    zeros
}

#[cfg(target_os = "linux")]
fn ask_for_large_pages<R>(memory: *const R, bytes: usize) {
    /// A large page, and below how much memory none would fit.
    const LARGE: usize = 2 << 20;
    const SMALL: usize = 4 << 10;
    if bytes < 2 * LARGE {
        return;
    }
    let start = memory as usize;
    let first = start.next_multiple_of(SMALL);
    let len = (start + bytes - first) / SMALL * SMALL;
    // SAFETY: whole pages inside of the `bytes` at `memory`, which are allocated; the advice changes how they are backed and not what
    // they hold. A refusal leaves them as they are.
    unsafe { libc::madvise(first as *mut libc::c_void, len, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_large_pages<R>(_: *const R, _: usize) {}
