//! What a linearising sweep carries along a chunk: the state, and how it depends on the chunk's start.

use super::group::Group;
use super::jacobian::{Jacobian, TANGENTS, apply, multiply};
use crate::dynamics::{Dynamics, Structure};
use crate::scalar::{Dual, Isa, Lanes, Scalar};
use crate::scan::product::Product;

/// A state with its derivative with respect to the start of the chunk, and with the `offset`: how far the
/// state moves at the end of the chunk when the chunk's start stays (the borders inside it move all the
/// same).
///
/// At a border inside the chunk the derivative goes on, and the state jumps from the end `e` of the
/// block before to the stored state `s`; the offset from `δ` to `e + δ − s`.
pub(super) trait Carry<S: Scalar> {
    /// The state `[n]`.
    fn value(&self, i: usize) -> S;
    /// How far the state moves.
    fn offset(&self, i: usize) -> S;
    /// Sets the state's component `i`, and how far it moves.
    fn set(&mut self, i: usize, value: S, offset: S);
    /// One step.
    fn step(&mut self, u: &[S]);
    /// Scales derivative and offset: the damping of a block's linear part.
    fn scale(&mut self, factor: S::Real);
}

/// Derivatives as tangents, [`TANGENTS`] of the `n + 1` columns (the last is the offset) at a time.
pub(super) struct Tangents<'k, D: Dynamics, I: Isa> {
    group: Group<'k, D>,
    first: usize,
    x: Vec<Dual<Lanes<D::Real, I, 1>, TANGENTS>>,
    u: Vec<Dual<Lanes<D::Real, I, 1>, TANGENTS>>,
    next: Vec<Dual<Lanes<D::Real, I, 1>, TANGENTS>>,
}

impl<'k, D: Dynamics, I: Isa> Tangents<'k, D, I> {
    /// Columns `first..first + TANGENTS`, at a chunk's start.
    #[inline(always)]
    pub(super) fn new(group: Group<'k, D>, first: usize) -> Self {
        let dynamics = group.dynamics;
        let n = dynamics.state_dim();
        let zero = Dual::from_f64(0.0);
        let mut x = vec![zero; n];
        for (tangent, x) in x.iter_mut().skip(first).take(TANGENTS).enumerate() {
            x.tangents[tangent] = Lanes::from_f64(1.0);
        }
        let u = vec![zero; dynamics.input_dim()];
        Self { group, first, x, u, next: vec![zero; n + dynamics.scratch_dim()] }
    }

    /// `∂x_i` by component `column` of the chunk's start.
    #[inline(always)]
    pub(super) fn derivative(&self, i: usize, column: usize) -> Lanes<D::Real, I, 1> {
        self.x[i].tangents[column - self.first]
    }

    /// The tangent that is the offset, if it is among these columns.
    #[inline(always)]
    fn offset_tangent(&self) -> Option<usize> {
        let tangent = self.x.len().wrapping_sub(self.first);
        (tangent < TANGENTS).then_some(tangent)
    }
}

impl<D: Dynamics, I: Isa> Carry<Lanes<D::Real, I, 1>> for Tangents<'_, D, I> {
    #[inline(always)]
    fn value(&self, i: usize) -> Lanes<D::Real, I, 1> {
        self.x[i].value
    }
    #[inline(always)]
    fn offset(&self, i: usize) -> Lanes<D::Real, I, 1> {
        match self.offset_tangent() {
            Some(tangent) => self.x[i].tangents[tangent],
            None => Lanes::from_f64(0.0),
        }
    }
    #[inline(always)]
    fn set(&mut self, i: usize, value: Lanes<D::Real, I, 1>, offset: Lanes<D::Real, I, 1>) {
        self.x[i].value = value;
        if let Some(tangent) = self.offset_tangent() {
            self.x[i].tangents[tangent] = offset;
        }
    }
    #[inline(always)]
    fn step(&mut self, u: &[Lanes<D::Real, I, 1>]) {
        for (dual, &value) in self.u.iter_mut().zip(u) {
            dual.value = value;
        }
        self.group.step::<I, _>(&self.x, &self.u, &mut self.next);
        let n = self.x.len();
        self.x.copy_from_slice(&self.next[..n]);
    }
    #[inline(always)]
    fn scale(&mut self, factor: D::Real) {
        for x in &mut self.x {
            for tangent in &mut x.tangents {
                *tangent *= factor;
            }
        }
    }
}

/// The derivative as a compact matrix, multiplied by each step's Jacobian.
pub(super) struct Matrix<'k, D: Dynamics, I: Isa> {
    structure: Structure,
    jacobian: Jacobian<'k, D, I>,
    x: Vec<Lanes<D::Real, I, 1>>,
    next: Vec<Lanes<D::Real, I, 1>>,
    offset: Vec<Lanes<D::Real, I, 1>>,
    next_offset: Vec<Lanes<D::Real, I, 1>>,
    entries: Vec<Lanes<D::Real, I, 1>>,
    map: Vec<Lanes<D::Real, I, 1>>,
    product: Vec<Lanes<D::Real, I, 1>>,
}

impl<'k, D: Dynamics, I: Isa> Matrix<'k, D, I> {
    /// At a chunk's start.
    #[inline(always)]
    pub(super) fn new(group: Group<'k, D>, structure: Structure) -> Self {
        let dynamics = group.dynamics;
        let n = dynamics.state_dim();
        let zero = Lanes::from_f64(0.0);
        let entries = structure.entries(n);
        let mut map = vec![zero; entries];
        let size = structure.block_size(n);
        for (row, coefficients) in map.chunks_exact_mut(size).enumerate() {
            coefficients[row % size] = Lanes::from_f64(1.0);
        }
        Self {
            structure,
            jacobian: Jacobian::new(group, structure),
            x: vec![zero; n],
            next: vec![zero; n + dynamics.scratch_dim()],
            offset: vec![zero; n],
            next_offset: vec![zero; n],
            entries: vec![zero; entries],
            product: map.clone(),
            map,
        }
    }

    /// The compact matrix.
    pub(super) fn map(&self) -> &[Lanes<D::Real, I, 1>] {
        &self.map
    }
}

impl<D: Dynamics, I: Isa> Carry<Lanes<D::Real, I, 1>> for Matrix<'_, D, I> {
    #[inline(always)]
    fn value(&self, i: usize) -> Lanes<D::Real, I, 1> {
        self.x[i]
    }
    #[inline(always)]
    fn offset(&self, i: usize) -> Lanes<D::Real, I, 1> {
        self.offset[i]
    }
    #[inline(always)]
    fn set(&mut self, i: usize, value: Lanes<D::Real, I, 1>, offset: Lanes<D::Real, I, 1>) {
        self.x[i] = value;
        self.offset[i] = offset;
    }
    #[inline(always)]
    fn step(&mut self, u: &[Lanes<D::Real, I, 1>]) {
        let n = self.x.len();
        self.jacobian.evaluate(&self.x, u, &mut self.next, &mut self.entries);
        if self.structure == Structure::Dense && Lanes::<D::Real, I, 1>::LANES == 1 {
            D::Real::faer_product(
                n,
                Lanes::flatten(&self.entries),
                Lanes::flatten(&self.map),
                Lanes::flatten_mut(&mut self.product),
            );
        } else {
            multiply(self.structure, n, &self.entries, &self.map, &mut self.product);
        }
        std::mem::swap(&mut self.map, &mut self.product);
        apply(self.structure, n, &self.entries, &self.offset, &mut self.next_offset);
        std::mem::swap(&mut self.offset, &mut self.next_offset);
        self.x.copy_from_slice(&self.next[..n]);
    }
    #[inline(always)]
    fn scale(&mut self, factor: D::Real) {
        for entry in self.map.iter_mut().chain(&mut self.offset) {
            *entry *= factor;
        }
    }
}

/// No derivative, and the offset handed on unchanged. The step is the one with a tangent, which the replay
/// has compiled.
pub(super) struct Unchanged<'k, D: Dynamics, I: Isa> {
    group: Group<'k, D>,
    x: Vec<Dual<Lanes<D::Real, I, 1>, 1>>,
    u: Vec<Dual<Lanes<D::Real, I, 1>, 1>>,
    next: Vec<Dual<Lanes<D::Real, I, 1>, 1>>,
    offset: Vec<Lanes<D::Real, I, 1>>,
}

impl<'k, D: Dynamics, I: Isa> Unchanged<'k, D, I> {
    /// At a chunk's start.
    #[inline(always)]
    pub(super) fn new(group: Group<'k, D>) -> Self {
        let (n, zero) = (group.dynamics.state_dim(), Dual::from_f64(0.0));
        Self {
            group,
            x: vec![zero; n],
            u: vec![zero; group.dynamics.input_dim()],
            next: vec![zero; n + group.dynamics.scratch_dim()],
            offset: vec![Lanes::from_f64(0.0); n],
        }
    }
}

impl<D: Dynamics, I: Isa> Carry<Lanes<D::Real, I, 1>> for Unchanged<'_, D, I> {
    #[inline(always)]
    fn value(&self, i: usize) -> Lanes<D::Real, I, 1> {
        self.x[i].value
    }
    #[inline(always)]
    fn offset(&self, i: usize) -> Lanes<D::Real, I, 1> {
        self.offset[i]
    }
    #[inline(always)]
    fn set(&mut self, i: usize, value: Lanes<D::Real, I, 1>, offset: Lanes<D::Real, I, 1>) {
        self.x[i].value = value;
        self.offset[i] = offset;
    }
    #[inline(always)]
    fn step(&mut self, u: &[Lanes<D::Real, I, 1>]) {
        for (dual, &value) in self.u.iter_mut().zip(u) {
            dual.value = value;
        }
        self.group.step::<I, _>(&self.x, &self.u, &mut self.next);
        for (x, next) in self.x.iter_mut().zip(&self.next) {
            x.value = next.value;
        }
    }
    #[inline(always)]
    fn scale(&mut self, factor: D::Real) {
        for offset in &mut self.offset {
            *offset *= factor;
        }
    }
}
