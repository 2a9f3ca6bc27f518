//! Sequences shared out over threads.

use std::thread;

/// How many threads there are to be.
pub(crate) fn count(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

/// Runs `work` on all items: as many threads as there are workers, each on consecutive ones. Results in the order of
/// the items.
pub(crate) fn share<W: Send, T: Send, A: Send>(
    workers: &mut [W],
    mut items: Vec<T>,
    work: impl Fn(&mut W, T) -> A + Sync,
) -> Vec<A> {
    let each = items.len().div_ceil(workers.len().max(1)).max(1);
    let mut parts = Vec::new();
    while !items.is_empty() {
        let rest = items.split_off(each.min(items.len()));
        parts.push(std::mem::replace(&mut items, rest));
    }
    let work = &work;
    thread::scope(|scope| {
        let running: Vec<_> = parts
            .into_iter()
            .zip(workers)
            .map(|(part, worker)| {
                scope.spawn(move || part.into_iter().map(|item| work(worker, item)).collect())
            })
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Vec<A>>| match thread.join() {
            Ok(results) => results,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        running.into_iter().flat_map(join).collect()
    })
}
