//! ELK's sweep: each chunk of blocks becomes one Kalman element, and between the smoothed states at its ends its borders
//! are smoothed by a pass back.
//!
//! The unknowns are the changes `δ` of the states at the borders of blocks: with a block's end `e` and the product `F` of its
//! Jacobians, `δ_{b+1} ≈ F δ_b + (e_b − s_{b+1})`, and `δ` itself is observed as 0. In changes, so that their rounding is
//! relative to them and not to the states.

mod back;
mod follow;
mod reduce;
mod walk;

use super::carry::Vector;
use super::group::{Group, Lane};
use super::walks::Walks;
use crate::backend::{Filtered, LinearizeSettings, Spread};
use crate::dynamics::{Recurrence, Squares, Structure};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Isa, Lanes, Real, Scalar};
use crate::scan::kalman::shares;
pub(super) use back::Back;
pub(super) use follow::Error;
pub(super) use reduce::Reduce;
use walk::Stepper;
pub(super) use walk::Walk;

/// Reduces one group of chunks to their elements.
pub(super) struct Filter<'k, 'g, D: Recurrence> {
    pub(super) group: Group<'k, D>,
    pub(super) lanes: &'k mut [Lane<'g, D::Real>],
    pub(super) settings: LinearizeSettings,
    pub(super) structure: Structure,
    /// Whether the structure keeps all that the Jacobian has.
    pub(super) whole: bool,
    /// λ of each chunk.
    pub(super) lambdas: &'k [f64],
    /// `[chunks, width]`
    pub(super) elements: &'k mut [D::Real],
    pub(super) results: &'k mut [Filtered],
}

impl<D: Recurrence> Kernel for Filter<'_, '_, D> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { group, lanes, settings, structure, whole, lambdas, elements, results } = self;
        let shape = Shape::of(group.dynamics.state_dim(), group.dynamics.input_dim(), structure);
        let model = &mut Stepper::<D, I>::new(group, structure, whole);
        let visit = Reduce { shape, settings: &settings, lambdas, elements, results };
        Walks::reduce(Walk { model, shape, lanes, block: settings.block, visit }).run();
    }
}

/// Smooths the borders of one group of chunks, whose lanes hold the states that are to move.
pub(super) struct Smooth<'k, 'g, D: Recurrence> {
    pub(super) group: Group<'k, D>,
    pub(super) lanes: &'k mut [Lane<'g, D::Real>],
    pub(super) settings: LinearizeSettings,
    pub(super) structure: Structure,
    pub(super) whole: bool,
    /// λ of each chunk.
    pub(super) lambdas: &'k [f64],
    /// Mean and variance of the change before each chunk, `[chunks, n + entries]`.
    pub(super) priors: &'k [D::Real],
    /// The change at the last border of each chunk, `[chunks, n]`.
    pub(super) ends: &'k [D::Real],
    /// Where the moved states go.
    pub(super) moved: &'k mut [Lane<'g, D::Real>],
}

impl<D: Recurrence> Kernel for Smooth<'_, '_, D> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { group, lanes, settings, structure, whole, lambdas, priors, ends, moved } = self;
        let shape = Shape::of(group.dynamics.state_dim(), group.dynamics.input_dim(), structure);
        let model = &mut Stepper::<D, I>::new(group, structure, whole);
        let visit = Back { shape, block: settings.block, lambdas, priors, ends, moved };
        Walks::back(Walk { model, shape, lanes, block: settings.block, visit }).run();
    }
}

/// Follows along one group of chunks of a solved trajectory what its residuals and rounding make of it.
pub(super) struct Follow<'k, 'g, D: Recurrence> {
    pub(super) group: Group<'k, D>,
    pub(super) lanes: &'k mut [Lane<'g, D::Real>],
    pub(super) structure: Structure,
    /// Mean and variance of the error before each chunk, `[chunks, n + entries]`.
    pub(super) priors: &'k [D::Real],
    /// `[chunks, 2 entries + n]`
    pub(super) elements: &'k mut [D::Real],
    pub(super) results: &'k mut [Spread],
}

impl<D: Recurrence> Kernel for Follow<'_, '_, D> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { group, lanes, structure, priors, elements, results } = self;
        let shape = Shape::of(group.dynamics.state_dim(), group.dynamics.input_dim(), structure);
        let model = &mut Stepper::<D, I>::new(group, structure, true);
        let visit = Error { shape, priors, elements, results };
        Walks::follow(Walk { model, shape, lanes, block: 1, visit }).run();
    }
}

/// Sizes, and the order of components in compact matrices.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    n: usize,
    m: usize,
    structure: Structure,
    /// Components of the largest block.
    size: usize,
    entries: usize,
}

impl Shape {
    fn of(n: usize, m: usize, structure: Structure) -> Self {
        let (size, entries) = (structure.block_size(n), structure.entries(n));
        Self { n, m, structure, size, entries }
    }

    /// The state's component at place `place` of the compact order.
    #[inline(always)]
    fn component(self, place: usize) -> usize {
        self.structure.component_at(self.n, place)
    }

    /// Places and entries of each block.
    #[inline(always)]
    fn blocks(self) -> Squares {
        self.structure.squares(self.n)
    }
}

/// κ and 1 − κ of each lane.
#[inline(always)]
fn lane_shares<R: Real, I: Isa>(lambdas: &[f64]) -> (Vector<R, I>, Vector<R, I>) {
    let (mut kappa, mut rest) = (Lanes::from_f64(0.0), Lanes::from_f64(1.0));
    for (lane, &lambda) in lambdas.iter().enumerate() {
        let (of_observation, of_prediction) = shares::<R>(lambda);
        kappa.set_lane(lane, of_observation);
        rest.set_lane(lane, of_prediction);
    }
    (kappa, rest)
}
