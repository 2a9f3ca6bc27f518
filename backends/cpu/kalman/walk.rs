//! A walk along chunks: blocks are rolled with their Jacobians, and something is done at their ends.

use super::Shape;
use crate::backends::cpu::carry::Vector;
use crate::backends::cpu::group::{Group, Lane};
use crate::backends::cpu::jacobian::{Jacobian, multiply};
use crate::backends::cpu::tile;
use crate::dynamics::{Recurrence, Structure};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Isa, Lanes, Real, Scalar};
use crate::solver::Tolerance;

/// A step with its Jacobian; an object, so that the algebra is compiled once for all recurrences.
pub(in super::super) trait Model<R: Real, I: Isa> {
    /// Takes `x` one step on, and writes the entries of the Jacobian.
    fn step(&mut self, x: &mut [Vector<R, I>], u: &[Vector<R, I>], entries: &mut [Vector<R, I>]);
}

pub(super) struct Stepper<'k, D: Recurrence, I: Isa> {
    jacobian: Jacobian<'k, D, I>,
    next: Vec<Vector<D::Real, I>>,
}

impl<'k, D: Recurrence, I: Isa> Stepper<'k, D, I> {
    #[inline(always)]
    pub(super) fn new(group: Group<'k, D>, structure: Structure, whole: bool) -> Self {
        let len = group.dynamics.state_dim() + group.dynamics.scratch_dim();
        let next = vec![Lanes::from_f64(0.0); len];
        Self { jacobian: Jacobian::new(group, structure, whole), next }
    }
}

impl<D: Recurrence, I: Isa> Model<D::Real, I> for Stepper<'_, D, I> {
    fn step(
        &mut self,
        x: &mut [Vector<D::Real, I>],
        u: &[Vector<D::Real, I>],
        entries: &mut [Vector<D::Real, I>],
    ) {
        self.jacobian.evaluate(x, u, &mut self.next, entries);
        x.copy_from_slice(&self.next[..x.len()]);
    }
}

/// A border, or the end of a lane, as a walk comes to it.
pub(in super::super) struct Place<'w, R: Real, I: Isa> {
    /// Steps done.
    pub(super) after: usize,
    /// Whether a block ends here, in those lanes that go on.
    pub(super) border: bool,
    /// The end of the block, what is stored there, and how large the components lately were.
    pub(super) end: &'w [Vector<R, I>],
    pub(super) stored: &'w [Vector<R, I>],
    pub(super) sizes: &'w [Vector<R, I>],
    /// The product of the block's Jacobians, compact.
    pub(super) map: &'w [Vector<R, I>],
    /// `end − stored`, in the compact order.
    pub(super) jump: &'w [Vector<R, I>],
}

/// What is done along a walk.
pub(in super::super) trait Visit<R: Real, I: Isa> {
    type State;
    fn begin(&self, lanes: &[Lane<'_, R>]) -> Self::State;
    fn visit(&mut self, state: &mut Self::State, lanes: &[Lane<'_, R>], place: Place<'_, R, I>);
    /// Whether the states inside of blocks are to be stored.
    const STORES: bool;
    fn finish(&mut self, state: Self::State, lanes: &[Lane<'_, R>]);
}

/// Rolls the blocks of the chunks in lanes, with their Jacobians.
pub(in super::super) struct Walk<'k, 'g, R: Real, I: Isa, V> {
    pub(super) model: &'k mut dyn Model<R, I>,
    pub(super) shape: Shape,
    pub(super) lanes: &'k mut [Lane<'g, R>],
    pub(super) block: usize,
    pub(super) visit: V,
}

impl<R: Real, I: Isa, V: Visit<R, I>> Kernel for Walk<'_, '_, R, I, V> {
    type Output = ();

    #[inline(always)]
    fn run<J: Isa>(self) {
        let Self { model, shape, lanes, block, mut visit } = self;
        let Shape { n, m, structure, entries, .. } = shape;
        let zero = Vector::<R, I>::from_f64(0.0);
        let mut inputs = vec![zero; tile::STEPS * m];
        let mut stored = vec![zero; tile::STEPS * n];
        let mut states = vec![zero; tile::STEPS * n];
        let (mut x, mut jump, mut sizes) = (vec![zero; n], vec![zero; n], vec![zero; n]);
        let mut jacobian = vec![zero; entries];
        let (mut map, mut product) = (jacobian.clone(), jacobian.clone());
        let forgotten = R::from_f64(1.0 - 1.0 / Tolerance::SIZE_STEPS as f64);
        for (lane, chunk) in lanes.iter().enumerate() {
            for (x, &start) in x.iter_mut().zip(chunk.start) {
                x.set_lane(lane, start);
            }
        }
        let mut state = visit.begin(lanes);
        let mut fresh = true;
        let longest = lanes.iter().map(|lane| lane.len).max().unwrap_or(0);
        for t in (0..longest).step_by(tile::STEPS) {
            let steps = tile::STEPS.min(longest - t);
            tile::gather(lanes.iter().map(|lane| lane.inputs_at(t, steps, m)), &mut inputs);
            tile::gather(lanes.iter().map(|lane| lane.states_at(t, steps, n)), &mut stored);
            for k in 0..steps {
                model.step(&mut x, &inputs[k * m..(k + 1) * m], &mut jacobian);
                if fresh {
                    map.copy_from_slice(&jacobian);
                } else {
                    multiply(structure, n, &jacobian, &map, &mut product);
                    std::mem::swap(&mut map, &mut product);
                }
                fresh = false;
                for i in 0..n {
                    states[k * n + i] = x[i];
                    // An infinity lately says nothing about the size now.
                    let magnitude = x[i].abs();
                    let finite = magnitude.select(Lanes::from_f64(f64::MAX), magnitude, zero);
                    sizes[i] = finite.max(sizes[i] * forgotten);
                }
                let after = t + k + 1;
                let border = after % block == 0;
                if !border && !lanes.iter().any(|lane| lane.len == after) {
                    continue;
                }
                let stored = &stored[k * n..(k + 1) * n];
                for (place, jump) in jump.iter_mut().enumerate() {
                    let i = shape.component(place);
                    *jump = x[i] - stored[i];
                }
                let place =
                    Place { after, border, end: &x, stored, sizes: &sizes, map: &map, jump: &jump };
                visit.visit(&mut state, lanes, place);
                if border {
                    x.copy_from_slice(stored);
                    fresh = true;
                }
            }
            if V::STORES {
                for (lane, chunk) in lanes.iter_mut().enumerate() {
                    chunk.store_inside(&states, lane, t, steps, n, block);
                }
            }
        }
        visit.finish(state, lanes);
    }
}
