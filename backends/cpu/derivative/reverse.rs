//! One step backwards.

use super::Group;
use crate::cells::by_hand::{PullBack, PulledBack};
use crate::graph::program::Program;
use crate::scalar::{Isa, Parameter, Real};

/// The transposed derivative of a step, on lanes.
pub(super) trait Reverse<R: Real, I: Isa> {
    /// From the cotangent `[n]` of the value of the step from `x` `[n]` with `u` `[m]`, those of the two, the left factors and
    /// the computed right ones (in this order in `lefts`), and, in the first sweep, the value itself.
    fn run(
        &mut self,
        x: &[Group<R, I>],
        u: &[Group<R, I>],
        cotangent: &[Group<R, I>],
        pulled: PulledBack<'_, Group<R, I>>,
    );
}

/// By a program made from the step's graph.
pub(super) struct Interpreted<'k, R: Real, I: Isa> {
    program: &'k Program,
    table: &'k [R],
    slots: Vec<Group<R, I>>,
}

impl<'k, R: Real, I: Isa> Interpreted<'k, R, I> {
    #[inline(always)]
    pub(super) fn new(program: &'k Program, table: &'k [R]) -> Self {
        Self { program, table, slots: program.prepare::<R, I, 2>(table) }
    }
}

impl<R: Real, I: Isa> Reverse<R, I> for Interpreted<'_, R, I> {
    #[inline(always)]
    fn run(
        &mut self,
        x: &[Group<R, I>],
        u: &[Group<R, I>],
        cotangent: &[Group<R, I>],
        pulled: PulledBack<'_, Group<R, I>>,
    ) {
        let Self { program, table, slots } = self;
        slots[program.state()].copy_from_slice(x);
        slots[program.input()].copy_from_slice(u);
        slots[program.seeds()].copy_from_slice(cotangent);
        program.run(table, slots);
        let PulledBack { of_state, of_input, lefts, next } = pulled;
        let mut outputs = program.outputs();
        // What a program does not compute, the value outside of the first sweep, stays as it is.
        for results in [of_state, of_input, lefts, next] {
            let (own, rest) = outputs.split_at(results.len().min(outputs.len()));
            for (result, &slot) in results.iter_mut().zip(own) {
                *result = slots[slot as usize];
            }
            outputs = rest;
        }
    }
}

/// By a cell's own.
pub(super) struct Compiled<'k, R: Real, C> {
    pub(super) cell: C,
    pub(super) params: &'k [R],
}

impl<R: Real, I: Isa, C: PullBack> Reverse<R, I> for Compiled<'_, R, C> {
    #[inline(always)]
    fn run(
        &mut self,
        x: &[Group<R, I>],
        u: &[Group<R, I>],
        cotangent: &[Group<R, I>],
        pulled: PulledBack<'_, Group<R, I>>,
    ) {
        self.cell.pull_back(Parameter::from_slice(self.params), x, u, cotangent, pulled);
    }
}
