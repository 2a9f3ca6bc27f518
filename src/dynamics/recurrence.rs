//! What backends run: explicit steps and implicit ones alike.

use super::{Dynamics, Structure};
use crate::cells::{BuiltIn, ByHand};
use crate::error::Result;
#[cfg(feature = "cuda")]
use crate::graph::Equation;
use crate::graph::{Graph, structure_of};
use crate::scalar::count::{Count, Operations, operations};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Isa, Lanes, Numeric, Parameter, Real, Scalar};

/// What a [`Problem`](crate::Problem) can be made of: every [`Dynamics`]. Sealed.
pub trait Recurrence: sealed::Sealed + Sync {
    /// The precision: `f32` or `f64`.
    type Real: Real;
    /// What a step works with beside its arguments.
    #[doc(hidden)]
    type Work<S: Numeric<Real = Self::Real>>;

    /// Length of the state.
    fn state_dim(&self) -> usize;
    /// Length of one step's input.
    fn input_dim(&self) -> usize;
    /// The parameters θ.
    fn params(&self) -> &[Self::Real];
    /// Entries at the end of `next` that a step uses as its own.
    #[doc(hidden)]
    fn scratch_dim(&self) -> usize;
    /// What [`advance`](Self::advance) works with, to be kept from step to step.
    #[doc(hidden)]
    fn work<S: Numeric<Real = Self::Real>>(&self) -> Self::Work<S>;
    /// One step: reads `params`, `x` `[n]` and `u` `[m]`, writes all of `next[..n]`.
    #[doc(hidden)]
    fn advance<S: Numeric<Real = Self::Real>>(
        &self,
        params: &[Parameter<Self::Real>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        work: &mut Self::Work<S>,
    );
    /// [`Dynamics::jacobian`].
    #[doc(hidden)]
    fn jacobian<S: Numeric<Real = Self::Real>>(
        &self,
        params: &[Parameter<Self::Real>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        jacobian: &mut [S],
    ) -> bool;
    /// [`Dynamics::jacobian_diagonal`].
    #[doc(hidden)]
    fn jacobian_diagonal<S: Numeric<Real = Self::Real>>(
        &self,
        params: &[Parameter<Self::Real>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        diagonal: &mut [S],
    ) -> bool;
    /// [`Dynamics::run_in_order`].
    #[doc(hidden)]
    fn run_in_order<I: Isa>(
        &self,
        params: &[Self::Real],
        x: &mut [Self::Real],
        inputs: &[Self::Real],
        states: &mut [Self::Real],
        steps: usize,
    );
    /// [`Dynamics::built_in`].
    #[doc(hidden)]
    fn built_in(&self) -> Option<BuiltIn> {
        None
    }
    /// [`Dynamics::units_in_lanes`].
    #[doc(hidden)]
    fn units_in_lanes(&self) -> bool;
    /// The graph of a step; its inputs are followed by [`unknown_dim`](Self::unknown_dim) more. A step on a coarser grid is without what
    /// corrects it to be one of those that it stands for.
    #[doc(hidden)]
    fn graph(&self) -> Result<Graph>;
    /// How a step finds what [`unknown_dim`](Self::unknown_dim) counts, if it does so.
    #[doc(hidden)]
    #[cfg(feature = "cuda")]
    fn equation(&self) -> Result<Option<Equation>> {
        Ok(None)
    }
    /// Numbers that a step finds on the way to the next state and that its graph is given.
    #[doc(hidden)]
    fn unknown_dim(&self) -> usize;
    /// Writes what [`unknown_dim`](Self::unknown_dim) counts to `unknowns` `[T, k]`, for the steps from each of `states` `[T, n]` with
    /// `inputs` `[T, m]`.
    #[doc(hidden)]
    fn unknowns(
        &self,
        params: &[Self::Real],
        states: &[Self::Real],
        inputs: &[Self::Real],
        unknowns: &mut [Self::Real],
    );
    /// [`Dynamics::by_hand`].
    #[doc(hidden)]
    fn by_hand(&self) -> Option<ByHand> {
        None
    }
    /// [`Dynamics::coarser`].
    #[doc(hidden)]
    fn coarser(&self) -> Option<(Self, u32)>
    where
        Self: Sized;
    /// The same with cheaper steps, which must not be too long; see [`strain`](Self::strain).
    #[doc(hidden)]
    fn coarser_explicit(&self) -> Option<(Self, u32)>
    where
        Self: Sized,
    {
        None
    }
    /// About how many time constants of the fastest component an explicit step from `x` takes, for a state whose components are of `sizes`;
    /// 0 of others.
    #[doc(hidden)]
    fn strain(
        &self,
        params: &[Self::Real],
        x: &[Self::Real],
        u: &[Self::Real],
        sizes: &[f64],
    ) -> f64 {
        let _ = (params, x, u, sizes);
        0.0
    }
    /// [`Dynamics::coarsen`].
    #[doc(hidden)]
    fn coarsen(&self, inputs: &[Self::Real], steps: usize, coarse: &mut [Self::Real]);
    /// Operations of a step, and the cycles of the longest chain of them from state to state.
    #[doc(hidden)]
    fn count(&self, params: &[Parameter<Self::Real>]) -> Counted;
    /// The structure of the Jacobian: the one declared, or, where that is dense, the one found in the step's graph.
    #[doc(hidden)]
    fn find_structure(&self) -> Structure;
    /// The structure of the Jacobian that was declared.
    #[doc(hidden)]
    fn declared_structure(&self) -> Structure;
}

/// What a step comes to.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// Instructions that lanes share, and those that each lane does by itself.
    pub(crate) operations: Operations,
    /// Cycles from state to state.
    pub(crate) chain: u32,
}

impl Counted {
    /// This, `times` times one after the other.
    pub(super) fn times(self, times: u32) -> Self {
        let Operations { vector, single } = self.operations;
        let many = u64::from(times);
        Self {
            operations: Operations { vector: vector * many, single: single * many },
            chain: self.chain * times,
        }
    }

    /// This and then `other`.
    pub(super) fn and(self, other: Self) -> Self {
        let operations = Operations {
            vector: self.operations.vector + other.operations.vector,
            single: self.operations.single + other.operations.single,
        };
        Self { operations, chain: self.chain + other.chain }
    }
}

pub(super) mod sealed {
    pub trait Sealed {}
    impl<D: crate::Dynamics + ?Sized> Sealed for D {}
}

impl<D: Dynamics + ?Sized> Recurrence for D {
    type Real = <D as Dynamics>::Real;
    type Work<S: Numeric<Real = Self::Real>> = ();

    fn state_dim(&self) -> usize {
        Dynamics::state_dim(self)
    }
    fn input_dim(&self) -> usize {
        Dynamics::input_dim(self)
    }
    fn params(&self) -> &[Self::Real] {
        Dynamics::params(self)
    }
    fn scratch_dim(&self) -> usize {
        Dynamics::scratch_dim(self)
    }
    #[inline(always)]
    fn work<S: Numeric<Real = Self::Real>>(&self) {}
    #[inline(always)]
    fn advance<S: Numeric<Real = Self::Real>>(
        &self,
        params: &[Parameter<Self::Real>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        (): &mut (),
    ) {
        self.step(params, x, u, next);
    }
    #[inline(always)]
    fn jacobian<S: Numeric<Real = Self::Real>>(
        &self,
        params: &[Parameter<Self::Real>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        jacobian: &mut [S],
    ) -> bool {
        Dynamics::jacobian(self, params, x, u, next, jacobian)
    }
    #[inline(always)]
    fn jacobian_diagonal<S: Numeric<Real = Self::Real>>(
        &self,
        params: &[Parameter<Self::Real>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        diagonal: &mut [S],
    ) -> bool {
        Dynamics::jacobian_diagonal(self, params, x, u, next, diagonal)
    }
    #[inline(always)]
    fn run_in_order<I: Isa>(
        &self,
        params: &[Self::Real],
        x: &mut [Self::Real],
        inputs: &[Self::Real],
        states: &mut [Self::Real],
        steps: usize,
    ) {
        Dynamics::run_in_order::<I>(self, params, x, inputs, states, steps);
    }
    fn built_in(&self) -> Option<BuiltIn> {
        Dynamics::built_in(self)
    }
    fn units_in_lanes(&self) -> bool {
        Dynamics::units_in_lanes(self)
    }
    fn graph(&self) -> Result<Graph> {
        Graph::trace(self)
    }
    fn unknown_dim(&self) -> usize {
        0
    }
    fn unknowns(&self, _: &[Self::Real], _: &[Self::Real], _: &[Self::Real], _: &mut [Self::Real]) {
    }
    fn by_hand(&self) -> Option<ByHand> {
        Dynamics::by_hand(self)
    }
    fn coarser(&self) -> Option<(Self, u32)>
    where
        Self: Sized,
    {
        Dynamics::coarser(self)
    }
    fn coarsen(&self, inputs: &[Self::Real], steps: usize, coarse: &mut [Self::Real]) {
        Dynamics::coarsen(self, inputs, steps, coarse);
    }
    fn count(&self, params: &[Parameter<Self::Real>]) -> Counted {
        let (n, m) = (Dynamics::state_dim(self), Dynamics::input_dim(self));
        let zero = Count::<Self::Real>::at(0);
        let mut next = vec![zero; n + Dynamics::scratch_dim(self)];
        let operations =
            operations(|| self.step(params, &vec![zero; n], &vec![zero; m], &mut next));
        Counted { operations, chain: next[..n].iter().map(|x| x.ready).max().unwrap_or(0) }
    }
    fn find_structure(&self) -> Structure {
        match self.structure() {
            // Dense as declared: cells with kernels of their own say all there is to say.
            Structure::Dense if Dynamics::built_in(self).is_some() => Structure::Dense,
            // A step that cannot be traced is no error here: its Jacobian is dense for all that is known.
            Structure::Dense => {
                Graph::trace(self).map_or(Structure::Dense, |graph| structure_of(&graph.sparsity()))
            }
            declared => declared,
        }
    }
    fn declared_structure(&self) -> Structure {
        self.structure()
    }
}

/// Runs one sequence as [`Dynamics::run_in_order`] says, by steps on single numbers with the instructions of `I`.
#[inline(always)]
pub(crate) fn step_in_order<D: Recurrence + ?Sized, I: Isa>(
    dynamics: &D,
    params: &[D::Real],
    x: &mut [D::Real],
    inputs: &[D::Real],
    states: &mut [D::Real],
    steps: usize,
) {
    I::Single::enter(StepInOrder { dynamics, params, x, inputs, states, steps });
}

struct StepInOrder<'k, D: Recurrence + ?Sized> {
    dynamics: &'k D,
    params: &'k [D::Real],
    x: &'k mut [D::Real],
    inputs: &'k [D::Real],
    states: &'k mut [D::Real],
    steps: usize,
}

impl<D: Recurrence + ?Sized> Kernel for StepInOrder<'_, D> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        type One<D, I> = Lanes<<D as Recurrence>::Real, I, 1>;
        let Self { dynamics, params, x, inputs, states, steps } = self;
        let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
        let params = Parameter::from_slice(params);
        let zero = One::<D, I>::from_f64(0.0);
        let width = n + dynamics.scratch_dim();
        let mut work = dynamics.work();
        let (mut room, mut other_room) = (vec![zero; width], vec![zero; width]);
        let mut u = vec![zero; m];
        // A short step would wait for a copy of the state, so the two change places. Slices, since the compiler
        // sees their lengths.
        let (mut current, mut next) = (&mut room[..width], &mut other_room[..width]);
        let u = &mut u[..m];
        Lanes::flatten_mut(&mut current[..n]).copy_from_slice(x);
        for t in 0..steps {
            Lanes::flatten_mut(u).copy_from_slice(&inputs[t * m..(t + 1) * m]);
            dynamics.advance(params, &current[..n], u, next, &mut work);
            for (stored, next) in states[t * n..(t + 1) * n].iter_mut().zip(&next[..n]) {
                *stored = next.lane(0);
            }
            std::mem::swap(&mut current, &mut next);
        }
        x.copy_from_slice(Lanes::flatten(&current[..n]));
    }
}
