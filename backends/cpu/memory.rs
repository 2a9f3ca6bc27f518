//! Memory for trajectories.

/// `len` zeros, on large pages where the system gives them: with small ones, a trajectory of many megabytes spends
/// more time in page faults than in being computed.
pub(super) fn zeros<R: Default + Clone>(len: usize) -> Vec<R> {
    let zeros = vec![R::default(); len];
    ask_for_large_pages(&zeros);
    zeros
}

#[cfg(target_os = "linux")]
fn ask_for_large_pages<R>(memory: &[R]) {
    /// A large page, and below how much memory none would fit.
    const LARGE: usize = 2 << 20;
    const SMALL: usize = 4 << 10;
    let bytes = size_of_val(memory);
    if bytes < 2 * LARGE {
        return;
    }
    let start = memory.as_ptr() as usize;
    let first = start.next_multiple_of(SMALL);
    let len = (start + bytes - first) / SMALL * SMALL;
    // SAFETY: whole pages inside of memory that `memory` owns; the advice changes how they are backed and not what
    // they hold. A refusal leaves them as they are.
    unsafe { libc::madvise(first as *mut libc::c_void, len, libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_large_pages<R>(_: &[R]) {}
