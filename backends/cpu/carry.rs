//! What a linearising sweep carries along a chunk: the state, and how it depends on the chunk's start.

use super::group::Group;
use super::jacobian::{Jacobian, TANGENTS, apply, multiply};
use crate::dynamics::{Dynamics, Structure};
use crate::scalar::{Dual, Isa, Lanes, Parameter, Real, Scalar};

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
pub(super) struct Tangents<'k, D: Dynamics, S: Scalar> {
    group: Group<'k, D>,
    first: usize,
    x: Vec<Dual<S, TANGENTS>>,
    u: Vec<Dual<S, TANGENTS>>,
    next: Vec<Dual<S, TANGENTS>>,
}

impl<'k, D: Dynamics, S: Scalar<Real = D::Real, Coeff = D::Real>> Tangents<'k, D, S> {
    /// Columns `first..first + TANGENTS`, at a chunk's start.
    #[inline(always)]
    pub(super) fn new(group: Group<'k, D>, first: usize) -> Self {
        let dynamics = group.dynamics;
        let n = dynamics.state_dim();
        let zero = Dual::from_f64(0.0);
        let mut x = vec![zero; n];
        for (tangent, x) in x.iter_mut().skip(first).take(TANGENTS).enumerate() {
            x.tangents[tangent] = S::from_f64(1.0);
        }
        let u = vec![zero; dynamics.input_dim()];
        Self { group, first, x, u, next: vec![zero; n + dynamics.scratch_dim()] }
    }

    /// `∂x_i` by component `column` of the chunk's start.
    #[inline(always)]
    pub(super) fn derivative(&self, i: usize, column: usize) -> S {
        self.x[i].tangents[column - self.first]
    }

    /// The tangent that is the offset, if it is among these columns.
    #[inline(always)]
    fn offset_tangent(&self) -> Option<usize> {
        let tangent = self.x.len().wrapping_sub(self.first);
        (tangent < TANGENTS).then_some(tangent)
    }
}

impl<D: Dynamics, S: Scalar<Real = D::Real, Coeff = D::Real>> Carry<S> for Tangents<'_, D, S> {
    #[inline(always)]
    fn value(&self, i: usize) -> S {
        self.x[i].value
    }
    #[inline(always)]
    fn offset(&self, i: usize) -> S {
        match self.offset_tangent() {
            Some(tangent) => self.x[i].tangents[tangent],
            None => S::from_f64(0.0),
        }
    }
    #[inline(always)]
    fn set(&mut self, i: usize, value: S, offset: S) {
        self.x[i].value = value;
        if let Some(tangent) = self.offset_tangent() {
            self.x[i].tangents[tangent] = offset;
        }
    }
    #[inline(always)]
    fn step(&mut self, u: &[S]) {
        for (dual, &value) in self.u.iter_mut().zip(u) {
            dual.value = value;
        }
        let params = Parameter::from_slice(self.group.params);
        self.group.dynamics.step(params, &self.x, &self.u, &mut self.next);
        let n = self.x.len();
        self.x.copy_from_slice(&self.next[..n]);
    }
    #[inline(always)]
    fn scale(&mut self, factor: S::Real) {
        for x in &mut self.x {
            for tangent in &mut x.tangents {
                *tangent *= factor;
            }
        }
    }
}

/// The derivative as a compact matrix, multiplied by each step's Jacobian; or no derivative and the
/// offset handed on unchanged, where `structure` is none.
pub(super) struct Matrix<'k, D: Dynamics, S: Scalar> {
    group: Group<'k, D>,
    structure: Option<Structure>,
    jacobian: Jacobian<'k, D, S>,
    x: Vec<S>,
    next: Vec<S>,
    offset: Vec<S>,
    next_offset: Vec<S>,
    entries: Vec<S>,
    map: Vec<S>,
    product: Vec<S>,

}

impl<'k, D, R: Real, I: Isa, const K: usize> Matrix<'k, D, Lanes<R, I, K>>
where
    D: Dynamics<Real = R>,
{
    /// At a chunk's start.
    #[inline(always)]
    pub(super) fn new(group: Group<'k, D>, structure: Option<Structure>) -> Self {
        let dynamics = group.dynamics;
        let n = dynamics.state_dim();
        let zero = Lanes::from_f64(0.0);
        let kept = structure.unwrap_or(Structure::Diagonal);
        let entries = structure.map_or(0, |structure| structure.entries(n));
        let mut map = vec![zero; entries];
        let size = kept.block_size(n);
        for (row, coefficients) in map.chunks_exact_mut(size).enumerate() {
            coefficients[row % size] = Lanes::from_f64(1.0);
        }
        Self {
            group,
            structure,
            jacobian: Jacobian::new(group, kept),
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
    pub(super) fn map(&self) -> &[Lanes<R, I, K>] {
        &self.map
    }
}

/// `out = left · right`, `n × n`, row-major; one number a lane.
fn dense_product<R: Real, I: Isa, const K: usize>(
    n: usize,
    left: &[Lanes<R, I, K>],
    right: &[Lanes<R, I, K>],
    out: &mut [Lanes<R, I, K>],
) {
    crate::scan::product(
        n,
        Lanes::flatten(left),
        Lanes::flatten(right),
        Lanes::flatten_mut(out),
    );
}

impl<D, R: Real, I: Isa, const K: usize> Carry<Lanes<R, I, K>> for Matrix<'_, D, Lanes<R, I, K>>
where
    D: Dynamics<Real = R>,
{
    #[inline(always)]
    fn value(&self, i: usize) -> Lanes<R, I, K> {
        self.x[i]
    }
    #[inline(always)]
    fn offset(&self, i: usize) -> Lanes<R, I, K> {
        self.offset[i]
    }
    #[inline(always)]
    fn set(&mut self, i: usize, value: Lanes<R, I, K>, offset: Lanes<R, I, K>) {
        self.x[i] = value;
        self.offset[i] = offset;
    }
    #[inline(always)]
    fn step(&mut self, u: &[Lanes<R, I, K>]) {
        let n = self.x.len();
        match self.structure {
            None => {
                let params = Parameter::from_slice(self.group.params);
                self.group.dynamics.step(params, &self.x, u, &mut self.next);
            }
            Some(structure) => {
                self.jacobian.evaluate(&self.x, u, &mut self.next, &mut self.entries);
                if structure == Structure::Dense && Lanes::<R, I, K>::LANES == 1 {
                    dense_product(n, &self.entries, &self.map, &mut self.product);
                } else {
                    multiply(structure, n, &self.entries, &self.map, &mut self.product);
                }
                std::mem::swap(&mut self.map, &mut self.product);
                apply(structure, n, &self.entries, &self.offset, &mut self.next_offset);
                std::mem::swap(&mut self.offset, &mut self.next_offset);
            }
        }
        self.x.copy_from_slice(&self.next[..n]);
    }
    #[inline(always)]
    fn scale(&mut self, factor: R) {
        for entry in self.map.iter_mut().chain(&mut self.offset) {
            *entry *= factor;
        }
    }
}
