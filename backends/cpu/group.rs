//! What a kernel works on: the recurrence, and one block for each lane.

use super::tile;
use crate::dynamics::Recurrence;
use crate::problem::Problem;
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Isa, Lanes, Numeric, Parameter, Real};

/// The recurrence that a kernel runs.
pub(super) struct Group<'k, D: Recurrence> {
    pub(super) dynamics: &'k D,
    pub(super) params: &'k [D::Real],
}

impl<D: Recurrence> Clone for Group<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<D: Recurrence> Copy for Group<'_, D> {}

impl<'k, D: Recurrence> Group<'k, D> {
    pub(super) fn of(problem: &'k Problem<'_, D>) -> Self {
        Self { dynamics: problem.dynamics(), params: problem.params() }
    }
}

impl<'k, D: Recurrence> Group<'k, D> {
    /// One step over `S`, out of line with the instructions of `I`, so that its text is compiled
    /// once for all the kernels that take it.
    #[inline(always)]
    pub(super) fn step<I: Isa, S>(self, x: &[S], u: &[S], next: &mut [S], work: &mut D::Work<S>)
    where
        S: Numeric<Real = D::Real>,
    {
        I::enter(Step { group: self, x, u, next, work });
    }
}

struct Step<'k, D: Recurrence, S: Numeric<Real = D::Real>> {
    group: Group<'k, D>,
    x: &'k [S],
    u: &'k [S],
    next: &'k mut [S],
    work: &'k mut D::Work<S>,
}

impl<D: Recurrence, S: Numeric<Real = D::Real>> Kernel for Step<'_, D, S> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let params = Parameter::from_slice(self.group.params);
        self.group.dynamics.advance(params, self.x, self.u, self.next, self.work);
    }
}

/// One block in one lane.
pub(super) struct Lane<'g, R> {
    /// Steps.
    pub(super) len: usize,
    /// The state before the block, `[n]`.
    pub(super) start: &'g [R],
    /// `[len, m]`
    pub(super) inputs: &'g [R],
    /// `[len, n]`
    pub(super) states: &'g mut [R],
    /// Whether the sequence ends with the block.
    pub(super) last: bool,
}

impl<R: Real> Lane<'_, R> {
    /// Inputs of the steps `t..t + steps`, fewer where the block ends.
    #[inline(always)]
    pub(super) fn inputs_at(&self, t: usize, steps: usize, m: usize) -> &[R] {
        let (from, to) = (t.min(self.len), (t + steps).min(self.len));
        &self.inputs[from * m..to * m]
    }

    /// Stored states of the steps `t..t + steps`, fewer where the block ends.
    #[inline(always)]
    pub(super) fn states_at(&self, t: usize, steps: usize, n: usize) -> &[R] {
        let (from, to) = (t.min(self.len), (t + steps).min(self.len));
        &self.states[from * n..to * n]
    }

    /// Stores lane `lane` of the states of the steps `t..t + steps`, but for those at a border: after
    /// every `block` steps, and at the end unless the sequence ends too.
    #[inline(always)]
    pub(super) fn store_inside<I: Isa, const K: usize>(
        &mut self,
        tile: &[Lanes<R, I, K>],
        lane: usize,
        t: usize,
        steps: usize,
        n: usize,
        block: usize,
    ) {
        let end = (t + steps).min(self.len);
        let mut from = t;
        while from < end {
            // The next border at or after `from`, which is left out.
            let border = ((from + 1).next_multiple_of(block) - 1).min(self.len - 1);
            let keep = border == self.len - 1 && self.last;
            let to = (border + usize::from(keep)).min(end);
            tile::scatter_lane(
                &tile[(from - t) * n..],
                lane,
                &mut self.states[from * n..to.max(from) * n],
            );
            from = border + 1;
        }
    }
}
