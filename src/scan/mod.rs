//! Associative scans.
//!
//! With an associative operator `∘`, the inclusive scan of `e_0, …, e_{T−1}` is
//!
//! ```text
//! s_t = e_0 ∘ e_1 ∘ … ∘ e_t
//! ```
//!
//! (earlier elements on the left). It is a recurrence, yet parallel over time: chunks are
//! folded independently, and their totals joined afterwards. A linear recurrence
//! `x_t = A_t x_{t−1} + b_t` is the scan of its affine maps, `(A_i, b_i) ∘ (A_j, b_j) =
//! (A_j A_i, A_j b_i + b_j)`; then `x_t = A x_{−1} + b` with the scanned `(A, b)` of `t`.
//!
//! An element is [`width`](ScanOp::width) numbers, a sequence of `T` is `[T · width]` flat, a batch of `B` of them `[B · T · width]`.
//!
//! | operator | element | width | flops of a combine |
//! |---|---|---|---|
//! | [`AffineDense`] | `A` row-major, `b` | `n² + n` | `2n³ + 2n²` |
//! | [`AffineBlocks`] | `n/k` blocks `k×k` row-major, `b` | `nk + n` | `2nk² + 2nk` |
//! | [`AffineDiagonal`] | diagonal `a`, `b` | `2n` | `3n` |
//! | [`AffineScalar`] | `a`, `b` | `n + 1` | `2n + 1` |
//! | [`RangeSafe`] of these | that, then exponents of the rows of `A` and of `b` | `+ 2n` (scalar: `+ n + 1`) | `+ O(entries)` |
//! | [`KalmanFilter`] | `A`, `b`, `C`, `η`, `J` | `3nk + 2n` | `16nk²` |
//!
//! Any operator of one's own is a [`ScanOp`]. The scan is the backend's, for example
//! [`Cpu::scan`](crate::Cpu::scan), [`Cpu::scan_reverse`](crate::Cpu::scan_reverse) and, of a batch,
//! [`Cpu::scan_batch`](crate::Cpu::scan_batch).
//!
//! Source: Blelloch, *Prefix sums and their applications* (1990).
//!
//! # Example
//! ```
//! use deer_solver::{Cpu, scan::{Affine, AffineDense}};
//!
//! // x_t = A x_{t−1} + (1, 0), A a quarter turn.
//! let op = AffineDense::new(2);
//! let mut elements = [0.0f64, -1.0, 1.0, 0.0, 1.0, 0.0].repeat(4);
//! Cpu::new().scan(&op, &mut elements)?;
//!
//! let mut x = [0.0; 2];
//! op.apply(&elements[3 * op.width()..], &[5.0, 7.0], &mut x);
//! assert_eq!(x, [5.0, 7.0]); // four turns, and the four pushes cancel
//! # Ok::<(), deer_solver::Error>(())
//! ```

mod affine;
mod blocks;
mod componentwise;
mod dense;
mod diagonal;
mod exponent;
pub(crate) mod kalman;
mod opposite;
pub(crate) mod product;
mod range_safe;
mod scalar;

pub use affine::Affine;
#[cfg(feature = "cuda")]
pub(crate) use affine::Form;
pub use blocks::AffineBlocks;
pub use dense::AffineDense;
pub use diagonal::AffineDiagonal;
pub use kalman::KalmanFilter;
pub use opposite::Opposite;
pub use range_safe::RangeSafe;
pub use scalar::AffineScalar;

#[cfg(any(feature = "cpu", feature = "cuda"))]
use crate::error::{Error, Result};
use crate::scalar::Real;

/// Steps of each of `batch` sequences, whose elements of `width` are `numbers` together.
///
/// # Errors
/// [`Error::Shape`] where they do not come out even.
#[cfg(any(feature = "cpu", feature = "cuda"))]
pub(crate) fn steps(numbers: usize, width: usize, batch: usize) -> Result<usize> {
    if numbers == 0 {
        return Ok(0);
    }
    if let Some(row @ 1..) = width.checked_mul(batch)
        && numbers.is_multiple_of(row)
    {
        return Ok(numbers / row);
    }
    let expected = match batch {
        1 => format!("[T · {width}], T elements of width {width}"),
        _ => format!("[{batch} · T · {width}], T elements of width {width} in each sequence"),
    };
    Err(Error::shape("elements", expected, &[numbers]))
}

/// An associative operator over elements of `width` numbers.
///
/// [`combine`](Self::combine) must be associative (to rounding) and have
/// [`identity`](Self::identity) on both sides; it need not commute.
///
/// # Example
/// The running maximum of sums: max-plus matrices `[m]` are numbers with `(a, b) → max`,
/// here `x_t = max(x_{t−1} + a_t, b_t)`, a queue's backlog.
/// ```
/// use deer_solver::{Cpu, scan::ScanOp};
///
/// struct MaxPlus;
/// impl ScanOp<f64> for MaxPlus {
///     fn width(&self) -> usize {
///         2
///     }
///     fn identity(&self, out: &mut [f64]) {
///         out.copy_from_slice(&[0.0, f64::NEG_INFINITY]);
///     }
///     fn combine(&self, earlier: &[f64], later: &[f64], out: &mut [f64], _: &mut [f64]) {
///         out[0] = earlier[0] + later[0];
///         out[1] = (earlier[1] + later[0]).max(later[1]);
///     }
/// }
///
/// let mut elements: Vec<f64> = [3.0, -5.0, 2.0].iter().flat_map(|&a| [a, 0.0]).collect();
/// Cpu::new().scan(&MaxPlus, &mut elements)?;
/// let backlog: Vec<f64> = elements.chunks(2).map(|e| e[0].max(e[1])).collect(); // from x = 0
/// assert_eq!(backlog, [3.0, 0.0, 2.0]);
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an associative operator over elements of `{R}`",
    note = "implement `ScanOp<{R}>`, or use an operator of `deer_solver::scan`"
)]
pub trait ScanOp<R: Real>: Sync {
    /// Numbers in one element.
    fn width(&self) -> usize;
    /// Writes the neutral element, `[width]`.
    fn identity(&self, out: &mut [R]);
    /// Numbers of workspace that [`combine`](Self::combine) needs.
    fn workspace(&self) -> usize {
        0
    }
    /// `out = earlier ∘ later`, each `[width]`; `work` is `[workspace]` with any content, and so is `out`.
    fn combine(&self, earlier: &[R], later: &[R], out: &mut [R], work: &mut [R]);

    /// Folds each chunk of `chunk` elements (the last may be shorter), from its first to its
    /// last, into one of `totals`. `work` is `[width + workspace]`.
    #[doc(hidden)]
    fn reduce_chunks(&self, elements: &[R], chunk: usize, totals: &mut [R], work: &mut [R]) {
        let width = self.width();
        let (spare, work) = work.split_at_mut(width);
        for (elements, total) in elements.chunks(chunk * width).zip(totals.chunks_exact_mut(width))
        {
            let (first, rest) = elements.split_at(width);
            // The fold alternates between two buffers, and ends in `total`.
            let (mut carry, mut next) = if (rest.len() / width).is_multiple_of(2) {
                (&mut *total, &mut *spare)
            } else {
                (&mut *spare, &mut *total)
            };
            carry.copy_from_slice(first);
            for element in rest.chunks_exact(width) {
                self.combine(carry, element, next, work);
                std::mem::swap(&mut carry, &mut next);
            }
        }
    }

    /// Scans each chunk of `chunk` elements (the last may be shorter) in place, from its
    /// prefix in `prefixes`; with `reverse` from its end, and what follows it is there. Where
    /// `prefixes` is empty, there is a single chunk, and it has none. `work` is `[width + workspace]`.
    #[doc(hidden)]
    fn replay_chunks(
        &self,
        elements: &mut [R],
        chunk: usize,
        reverse: bool,
        prefixes: &[R],
        work: &mut [R],
    ) {
        let width = self.width();
        let (spare, work) = work.split_at_mut(width);
        for (number, elements) in elements.chunks_mut(chunk * width).enumerate() {
            let count = elements.len() / width;
            for place in 0..count {
                let index = if reverse { count - 1 - place } else { place };
                // The neighbour before it in the order of the scan, already done.
                let (carry, element) = if place == 0 {
                    if prefixes.is_empty() {
                        continue;
                    }
                    (&prefixes[number * width..][..width], &mut elements[index * width..][..width])
                } else if reverse {
                    let (front, back) = elements.split_at_mut((index + 1) * width);
                    (&back[..width], &mut front[index * width..])
                } else {
                    let (front, back) = elements.split_at_mut(index * width);
                    (&front[(index - 1) * width..], &mut back[..width])
                };
                if reverse {
                    self.combine(element, carry, spare, work);
                } else {
                    self.combine(carry, element, spare, work);
                }
                element.copy_from_slice(spare);
            }
        }
    }
}

/// An operator by reference.
impl<R: Real, Op: ScanOp<R>> ScanOp<R> for &Op {
    fn width(&self) -> usize {
        (**self).width()
    }
    fn identity(&self, out: &mut [R]) {
        (**self).identity(out);
    }
    fn workspace(&self) -> usize {
        (**self).workspace()
    }
    fn combine(&self, earlier: &[R], later: &[R], out: &mut [R], work: &mut [R]) {
        (**self).combine(earlier, later, out, work);
    }
    fn reduce_chunks(&self, elements: &[R], chunk: usize, totals: &mut [R], work: &mut [R]) {
        (**self).reduce_chunks(elements, chunk, totals, work);
    }
    fn replay_chunks(
        &self,
        elements: &mut [R],
        chunk: usize,
        reverse: bool,
        prefixes: &[R],
        work: &mut [R],
    ) {
        (**self).replay_chunks(elements, chunk, reverse, prefixes, work);
    }
}
