//! The CPU backend.

mod scan;

use crate::scalar::Real;
use crate::scan::ScanOp;
use crate::{Error, Result};

/// The machine's processor cores.
#[derive(Debug, Default)]
pub struct Cpu {
    /// A pool of its own; without one, the pool that the caller runs in.
    pool: Option<rayon::ThreadPool>,
}

impl Cpu {
    /// All cores, by the process's shared pool of threads.
    pub fn new() -> Self {
        Self::default()
    }

    /// A pool of `threads` threads of its own.
    ///
    /// # Errors
    /// [`Error::Setting`] for 0 threads, [`Error::Backend`] where the system refuses them.
    pub fn with_threads(threads: usize) -> Result<Self> {
        if threads == 0 {
            return Err(Error::setting("threads", "at least 1", threads));
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|e| {
            Error::Backend {
                backend: "cpu",
                operation: format!("starting {threads} threads"),
                source: Box::new(e),
            }
        })?;
        Ok(Self { pool: Some(pool) })
    }

    /// Inclusive scan in place: element `t` becomes the combination of elements `0..=t`.
    ///
    /// `elements` are `T` elements of [`op.width()`](ScanOp::width) numbers, one after the
    /// other. The order of combination follows from `T` and the width alone: the bits are the
    /// same for any number of threads. At most `2T` combinations; `O(threads · width)` memory
    /// beside `elements`, or `O(T · width / 32)` for elements wider than 64.
    ///
    /// # Errors
    /// [`Error::Shape`] where the length is not a multiple of the width.
    ///
    /// # Example
    /// ```
    /// use deer_solver::{Cpu, scan::AffineScalar};
    ///
    /// let mut sums = vec![1.0f64, 1.0, 1.0, 2.0, 1.0, 3.0]; // [a, b] with a = 1
    /// Cpu::new().scan(&AffineScalar::new(1), &mut sums)?;
    /// assert_eq!(sums, [1.0, 1.0, 1.0, 3.0, 1.0, 6.0]);
    /// # Ok::<(), deer_solver::Error>(())
    /// ```
    pub fn scan<R: Real, Op: ScanOp<R>>(&self, op: &Op, elements: &mut [R]) -> Result<()> {
        scan::scan(self.pool.as_ref(), op, elements)
    }

    /// Inclusive scan from the end, in place: element `t` becomes the combination of
    /// elements `t..T` in the natural order of time,
    /// `combine(element[t], combine(element[t+1], …))`.
    ///
    /// For a recurrence that runs backwards, where the element at `t` is applied *after*
    /// those at `t+1..T`, wrap the operator in [`Opposite`](crate::scan::Opposite).
    /// Otherwise as [`scan`](Self::scan).
    ///
    /// # Errors
    /// [`Error::Shape`] where the length is not a multiple of the width.
    pub fn scan_reverse<R: Real, Op: ScanOp<R>>(&self, op: &Op, elements: &mut [R]) -> Result<()> {
        scan::scan_reverse(self.pool.as_ref(), op, elements)
    }
}
