//! The opposite operator.

use super::ScanOp;
use crate::scalar::Real;

/// `Op` with its arguments exchanged, for recurrences that run backwards in time.
///
/// `earlier ∘ later` becomes `later ∘ earlier`. With
/// [`scan_reverse`](crate::Cpu::scan_reverse) the element of `t` is then applied after those
/// of `t+1..T`.
///
/// # Example
/// The adjoint `λ_t = a_t λ_{t+1} + c_t`, `λ_T = 0`:
/// ```
/// use deer_solver::{Cpu, scan::{AffineScalar, Opposite}};
///
/// let mut elements = [2.0f64, 1.0, 3.0, 1.0, 5.0, 1.0]; // [a_t, c_t]
/// Cpu::new().scan_reverse(&Opposite(AffineScalar::new(1)), &mut elements)?;
/// let adjoint: Vec<f64> = elements.chunks(2).map(|e| e[1]).collect();
/// assert_eq!(adjoint, [9.0, 4.0, 1.0]); // 2·4 + 1, 3·1 + 1, 1
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Opposite<Op>(pub Op);

impl<R: Real, Op: ScanOp<R>> ScanOp<R> for Opposite<Op> {
    fn width(&self) -> usize {
        self.0.width()
    }
    fn identity(&self, out: &mut [R]) {
        self.0.identity(out);
    }
    fn workspace(&self) -> usize {
        self.0.workspace()
    }
    #[inline]
    fn combine(&self, earlier: &[R], later: &[R], out: &mut [R], work: &mut [R]) {
        self.0.combine(later, earlier, out, work);
    }
}
