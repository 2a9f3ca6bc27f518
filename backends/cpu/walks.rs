//! Walks along chunks that know nothing of the recurrence, compiled in this crate and not in each that uses it.

use super::{kalman, linearize, replay};
use crate::scalar::{Isa, Real};
use std::fmt;

/// One walk of a kernel.
#[doc(hidden)]
pub struct Walks<'k, 'g, R: Real, I: Isa>(Walk<'k, 'g, R, I>);

enum Walk<'k, 'g, R: Real, I: Isa> {
    Linearize(linearize::Walk<'k, 'g, R, I>),
    Replay(replay::Walk<'k, 'g, R, I>),
    Reduce(kalman::Walk<'k, 'g, R, I, kalman::Reduce<'k, R>>),
    Back(kalman::Walk<'k, 'g, R, I, kalman::Back<'k, 'g, R>>),
    Follow(kalman::Walk<'k, 'g, R, I, kalman::Error<'k, R>>),
}

impl<R: Real, I: Isa> fmt::Debug for Walks<'_, '_, R, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walks").finish_non_exhaustive()
    }
}

impl<'k, 'g, R: Real, I: Isa> Walks<'k, 'g, R, I> {
    #[inline(always)]
    pub(super) fn linearize(walk: linearize::Walk<'k, 'g, R, I>) -> Self {
        Self(Walk::Linearize(walk))
    }
    #[inline(always)]
    pub(super) fn replay(walk: replay::Walk<'k, 'g, R, I>) -> Self {
        Self(Walk::Replay(walk))
    }
    #[inline(always)]
    pub(super) fn reduce(walk: kalman::Walk<'k, 'g, R, I, kalman::Reduce<'k, R>>) -> Self {
        Self(Walk::Reduce(walk))
    }
    #[inline(always)]
    pub(super) fn back(walk: kalman::Walk<'k, 'g, R, I, kalman::Back<'k, 'g, R>>) -> Self {
        Self(Walk::Back(walk))
    }
    #[inline(always)]
    pub(super) fn follow(walk: kalman::Walk<'k, 'g, R, I, kalman::Error<'k, R>>) -> Self {
        Self(Walk::Follow(walk))
    }

    /// Runs what has been compiled.
    #[inline(always)]
    pub(super) fn run(self) {
        R::walk(self);
    }

    /// To be called for one precision and instruction set at a time, by what is not generic.
    pub(crate) fn enter(self) {
        match self.0 {
            Walk::Linearize(walk) => I::enter(walk),
            Walk::Replay(walk) => I::enter(walk),
            Walk::Reduce(walk) => I::enter(walk),
            Walk::Back(walk) => I::enter(walk),
            Walk::Follow(walk) => I::enter(walk),
        }
    }
}
