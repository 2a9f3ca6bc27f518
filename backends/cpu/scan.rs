//! Scans on the CPU: reduce, then scan.
//!
//! The sequence is cut into chunks. Each chunk is folded into one element, the totals are folded in
//! order into the chunks' prefixes, and each chunk is scanned again from its prefix: at most
//! `2T` combinations, chunks in parallel.
//!
//! Sequences of a batch are scanned beside each other, each in its own chunks.
//!
//! The chunks, and the order within and across them, follow from the length and the
//! element's width. How many chunks one task or one wave takes may follow from the number of
//! threads, since no combination crosses that border.

use crate::Result;
use crate::scalar::Real;
use crate::scan::{self, ScanOp};
use rayon::prelude::*;

/// Bytes that a wave of a memory-bound scan keeps in one core's cache between its two passes.
const CACHE: usize = 512 << 10;
/// Elements up to this width are combined faster than memory delivers them.
const MEMORY_BOUND_WIDTH: usize = 64;
/// Most chunks in one task; operators interleave them.
const TASK_CHUNKS: usize = 8;

/// Elements in a chunk, for a sequence of `steps` elements of `width`.
///
/// Not a power of two: chunks side by side would meet in the same lines of the cache.
/// A sequence of up to four of the usual chunks is a single one: two threads would gain
/// nothing, since the work doubles.
fn chunk_len(steps: usize, width: usize) -> usize {
    let chunk = (8000 / width).clamp(32, 1000);
    if steps <= 4 * chunk { steps } else { chunk }
}

/// Inclusive scan in place of each of `batch` sequences, from its end where `reverse`.
pub(crate) fn scan<R: Real, Op: ScanOp<R>>(
    pool: Option<&rayon::ThreadPool>,
    op: &Op,
    elements: &mut [R],
    batch: usize,
    reverse: bool,
) -> Result<()> {
    let width = op.width();
    let steps = scan::steps(elements.len(), width, batch)?;
    if steps == 0 {
        return Ok(());
    }
    let chunk = chunk_len(steps, width);
    let each = |work: &mut Vec<R>, sequence: &mut [R]| {
        if chunk == steps {
            op.replay_chunks(sequence, steps, reverse, &[], work);
        } else {
            Chunked { op, width, chunk, reverse }.run(sequence);
        }
    };
    if batch == 1 && chunk == steps {
        each(&mut workspace(op), elements);
        return Ok(());
    }
    let mut all = || {
        elements.par_chunks_mut(steps * width).for_each_init(|| workspace(op), each);
    };
    match pool {
        Some(pool) => pool.install(all),
        None => all(),
    }
    Ok(())
}

fn workspace<R: Real, Op: ScanOp<R>>(op: &Op) -> Vec<R> {
    vec![R::default(); op.width() + op.workspace()]
}

struct Chunked<'a, Op> {
    op: &'a Op,
    width: usize,
    /// Elements in a chunk.
    chunk: usize,
    reverse: bool,
}

impl<Op> Chunked<'_, Op> {
    fn run<R: Real>(&self, elements: &mut [R])
    where
        Op: ScanOp<R>,
    {
        let threads = rayon::current_num_threads();
        let span = self.chunk * self.width;
        let chunks = elements.len().div_ceil(span);
        // Tasks and waves: where no combination crosses a border, the threads may count.
        let (task, wave) = if threads == 1 {
            (TASK_CHUNKS, TASK_CHUNKS)
        } else {
            let task = (chunks / (2 * threads)).clamp(1, TASK_CHUNKS);
            let cached = CACHE / (span * size_of::<R>()) * threads;
            let wave = if self.width <= MEMORY_BOUND_WIDTH {
                cached.max(4 * task * threads)
            } else {
                chunks
            };
            (task, wave)
        };

        // The first chunk in the order of the scan has no prefix: it is scanned at once.
        let mut head;
        let rest;
        if self.reverse {
            let (front, back) = elements.split_at_mut((chunks - 1) * span);
            (head, rest) = (Some(back), front);
        } else {
            let (front, back) = elements.split_at_mut(span);
            (head, rest) = (Some(front), back);
        }
        let mut carry = vec![R::default(); self.width];
        let mut totals = vec![R::default(); wave.min(chunks) * self.width];
        let mut remaining = chunks - 1;
        let mut pass = |segment: &mut [R]| {
            let count = segment.len().div_ceil(span);
            remaining -= count;
            let last = remaining == 0;
            let totals = &mut totals[..count * self.width];
            self.wave(segment, head.take(), &mut carry, totals, task, last);
        };
        if self.reverse {
            rest.rchunks_mut(wave * span).for_each(&mut pass);
        } else {
            rest.chunks_mut(wave * span).for_each(&mut pass);
        }
    }

    /// Scans `segment`, whole chunks whose prefix is `carry` or the last element of `head`.
    fn wave<R: Real>(
        &self,
        segment: &mut [R],
        head: Option<&mut [R]>,
        carry: &mut [R],
        totals: &mut [R],
        task: usize,
        last: bool,
    ) where
        Op: ScanOp<R>,
    {
        let (op, width, chunk, reverse) = (self.op, self.width, self.chunk, self.reverse);
        let span = chunk * width;
        let serial = rayon::current_num_threads() == 1;

        let start = || {
            let Some(head) = head else { return };
            op.replay_chunks(head, chunk, reverse, &[], &mut workspace(op));
            let end = if reverse { 0 } else { head.len() - width };
            carry.copy_from_slice(&head[end..end + width]);
        };
        // Nobody asks for the total of the very last chunk.
        let (reduced, sums) = match (last, reverse) {
            (false, _) => (&*segment, &mut *totals),
            (true, false) => {
                let count = totals.len() - width;
                (&segment[..count * chunk], &mut totals[..count])
            }
            (true, true) => (&segment[span..], &mut totals[width..]),
        };
        let reduce = |work: &mut Vec<R>, (elements, totals): (&[R], &mut [R])| {
            op.reduce_chunks(elements, chunk, totals, work);
        };
        if serial {
            start();
            let mut work = workspace(op);
            reduced
                .chunks(task * span)
                .zip(sums.chunks_mut(task * width))
                .for_each(|pair| reduce(&mut work, pair));
        } else {
            rayon::join(start, || {
                reduced
                    .par_chunks(task * span)
                    .zip(sums.par_chunks_mut(task * width))
                    .for_each_init(|| workspace(op), reduce);
            });
        }

        self.prefixes(carry, totals, last);

        let prefixes = &*totals;
        let replay = |work: &mut Vec<R>, (elements, prefixes): (&mut [R], &[R])| {
            op.replay_chunks(elements, chunk, reverse, prefixes, work);
        };
        if serial {
            let mut work = workspace(op);
            segment
                .chunks_mut(task * span)
                .zip(prefixes.chunks(task * width))
                .for_each(|pair| replay(&mut work, pair));
        } else {
            segment
                .par_chunks_mut(task * span)
                .zip(prefixes.par_chunks(task * width))
                .for_each_init(|| workspace(op), replay);
        }
    }

    /// Replaces each total by the prefix of its chunk, and `carry` by the prefix of what
    /// follows (unless nothing does: `last`).
    fn prefixes<R: Real>(&self, carry: &mut [R], totals: &mut [R], last: bool)
    where
        Op: ScanOp<R>,
    {
        let mut work = workspace(self.op);
        let (next, work) = work.split_at_mut(self.width);
        let count = totals.len() / self.width;
        for place in 0..count {
            let index = if self.reverse { count - 1 - place } else { place };
            let total = &mut totals[index * self.width..][..self.width];
            if last && place + 1 == count {
                total.copy_from_slice(carry);
                return;
            }
            if self.reverse {
                self.op.combine(total, carry, next, work);
            } else {
                self.op.combine(carry, total, next, work);
            }
            total.copy_from_slice(carry);
            carry.copy_from_slice(next);
        }
    }
}
