//! Affine maps `x ↦ A x + b` as elements.

use crate::scalar::{Real, sealed::Sealed};

/// Where the entries of `A` lie in an element `[A, b]`: blocks `size × size` along the
/// diagonal, row-major, one after the other; or (`shared`) a single entry for all components.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    pub(crate) n: usize,
    pub(crate) size: usize,
    pub(crate) shared: bool,
}

impl Form {
    /// Stored entries of `A`.
    #[inline(always)]
    pub(crate) fn entries(self) -> usize {
        if self.shared { 1 } else { self.n * self.size }
    }

    /// Stored rows of `A`.
    #[inline(always)]
    pub(crate) fn rows(self) -> usize {
        if self.shared { 1 } else { self.n }
    }

    /// The stored row of `A` that acts on component `component`, and the first component it reads.
    #[inline(always)]
    pub(crate) fn row(self, component: usize) -> (usize, usize) {
        if self.shared { (0, component) } else { (component, component - component % self.size) }
    }
}

/// An operator whose elements are affine maps `x ↦ A x + b` of a state of `n` components,
/// stored as `[A, b]`. Sealed.
pub trait Affine: Sealed + Sync {
    #[doc(hidden)]
    fn form(&self) -> Form;

    /// Components of the state, `n`.
    fn state_dim(&self) -> usize {
        self.form().n
    }

    /// `out = A x + b`: `x` and `out` are `[n]`. Costs two flops for each entry of `A`.
    ///
    /// With the scanned element of `t` and the state before step 0 this is the state after `t`.
    ///
    /// # Example
    /// ```
    /// use deer_solver::scan::{Affine, AffineDiagonal};
    ///
    /// let mut out = [0.0; 2];
    /// AffineDiagonal::new(2).apply(&[2.0, 3.0, 10.0, 20.0], &[1.0, 1.0], &mut out);
    /// assert_eq!(out, [12.0, 23.0]);
    /// ```
    fn apply<R: Real>(&self, element: &[R], x: &[R], out: &mut [R]) {
        let form = self.form();
        let (a, b) = element.split_at(form.entries());
        for i in 0..form.n {
            let (row, first) = form.row(i);
            let mut sum = R::default();
            for k in 0..form.size {
                sum += a[row * form.size + k] * x[first + k];
            }
            out[i] = sum + b[i];
        }
    }
}
