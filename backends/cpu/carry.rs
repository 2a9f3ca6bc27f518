//! What a linearising sweep carries along a chunk: the state, and how it depends on the chunk's start.

use super::group::Group;
use super::jacobian::{Jacobian, TANGENTS, apply, multiply};
use crate::dynamics::{Recurrence, Structure};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Dual, Isa, Lanes, Real, Scalar};
use crate::scan::product::product;

/// Numbers of `R` in one vector.
pub(super) type Vector<R, I> = Lanes<R, I, 1>;

/// A state with its derivative with respect to the start of the chunk, and with the `offset`: how far the
/// state moves at the end of the chunk when the chunk's start stays (the borders inside it move all the
/// same).
///
/// At a border inside the chunk the derivative goes on, and the state jumps from the end `e` of the
/// block before to the stored state `s`; the offset from `δ` to `e + δ − s`.
///
/// Used as an object, so that the walk along a chunk is compiled once for all recurrences.
pub(super) trait Carry<R: Real, I: Isa> {
    /// The state's component `i`.
    fn value(&self, i: usize) -> Vector<R, I>;
    /// How far it moves.
    fn offset(&self, i: usize) -> Vector<R, I>;
    /// Sets the state's component `i`, and how far it moves.
    fn set(&mut self, i: usize, value: Vector<R, I>, offset: Vector<R, I>);
    /// One step.
    fn step(&mut self, u: &[Vector<R, I>]);
    /// Scales derivative and offset: the damping of a block's linear part.
    fn scale(&mut self, factor: R);
    /// Writes what is known of the derivative in `lane`, times `factor`, to `map`.
    fn write_map(&self, lane: usize, factor: R, map: &mut [R]);
}

/// Scales numbers; out of line, since methods of objects are compiled without vector instructions.
struct Scale<'k, S: Scalar> {
    values: &'k mut [S],
    factor: S::Real,
}

impl<S: Scalar> Kernel for Scale<'_, S> {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self) {
        for i in 0..self.values.len() {
            self.values[i] *= self.factor;
        }
    }
}

/// Derivatives as tangents, [`TANGENTS`] columns at a time. Components of different blocks do not meet, so that there are as
/// many columns as the largest block has, each block's own side by side, and the offset as the last.
pub(super) struct Tangents<'k, D: Recurrence, I: Isa> {
    group: Group<'k, D>,
    structure: Structure,
    first: usize,
    x: Vec<Dual<Vector<D::Real, I>, TANGENTS>>,
    u: Vec<Dual<Vector<D::Real, I>, TANGENTS>>,
    next: Vec<Dual<Vector<D::Real, I>, TANGENTS>>,
    work: D::Work<Dual<Vector<D::Real, I>, TANGENTS>>,
}

impl<'k, D: Recurrence, I: Isa> Tangents<'k, D, I> {
    /// Columns `first..first + TANGENTS`, at a chunk's start.
    #[inline(always)]
    pub(super) fn new(group: Group<'k, D>, structure: Structure, first: usize) -> Self {
        let dynamics = group.dynamics;
        let n = dynamics.state_dim();
        let zero = Dual::from_f64(0.0);
        let mut x = vec![zero; n];
        for place in 0..n {
            let column = place - structure.row(n, place).start;
            if (first..first + TANGENTS).contains(&column) {
                let seeded = &mut x[structure.component_at(n, place)];
                seeded.tangents[column - first] = Lanes::from_f64(1.0);
            }
        }
        let u = vec![zero; dynamics.input_dim()];
        Self {
            group,
            structure,
            first,
            x,
            u,
            next: vec![zero; n + dynamics.scratch_dim()],
            work: dynamics.work(),
        }
    }

    /// The tangent that is the offset, if it is among these columns.
    fn offset_tangent(&self) -> Option<usize> {
        let tangent = self.structure.block_size(self.x.len()).wrapping_sub(self.first);
        (tangent < TANGENTS).then_some(tangent)
    }
}

impl<D: Recurrence, I: Isa> Carry<D::Real, I> for Tangents<'_, D, I> {
    fn value(&self, i: usize) -> Vector<D::Real, I> {
        self.x[i].value
    }
    fn offset(&self, i: usize) -> Vector<D::Real, I> {
        match self.offset_tangent() {
            Some(tangent) => self.x[i].tangents[tangent],
            None => Lanes::from_f64(0.0),
        }
    }
    fn set(&mut self, i: usize, value: Vector<D::Real, I>, offset: Vector<D::Real, I>) {
        self.x[i].value = value;
        if let Some(tangent) = self.offset_tangent() {
            self.x[i].tangents[tangent] = offset;
        }
    }
    fn step(&mut self, u: &[Vector<D::Real, I>]) {
        for (dual, &value) in self.u.iter_mut().zip(u) {
            dual.value = value;
        }
        self.group.step::<I, _>(&self.x, &self.u, &mut self.next, &mut self.work);
        let n = self.x.len();
        self.x.copy_from_slice(&self.next[..n]);
    }
    fn scale(&mut self, factor: D::Real) {
        for x in &mut self.x {
            I::enter(Scale { values: &mut x.tangents, factor });
        }
    }
    fn write_map(&self, lane: usize, factor: D::Real, map: &mut [D::Real]) {
        let n = self.x.len();
        for place in 0..n {
            let row = &mut map[self.structure.row(n, place).entries()];
            let x = &self.x[self.structure.component_at(n, place)];
            for (entry, tangent) in row.iter_mut().skip(self.first).zip(&x.tangents) {
                *entry = tangent.lane(lane) * factor;
            }
        }
    }
}

/// The derivative as a compact matrix, multiplied by each step's Jacobian.
pub(super) struct Matrix<'k, D: Recurrence, I: Isa> {
    structure: Structure,
    jacobian: Jacobian<'k, D, I>,
    x: Vec<Vector<D::Real, I>>,
    next: Vec<Vector<D::Real, I>>,
    offset: Vec<Vector<D::Real, I>>,
    next_offset: Vec<Vector<D::Real, I>>,
    entries: Vec<Vector<D::Real, I>>,
    map: Map<D::Real, I>,
}

/// Where the compact matrices are.
enum Map<R: Real, I: Isa> {
    /// By lanes.
    Lanes { map: Vec<Vector<R, I>>, product: Vec<Vector<R, I>> },
    /// Large dense ones: each lane's own, one after the other, for products of whole matrices.
    Dense { maps: Vec<R>, jacobian: Vec<R>, product: Vec<R> },
}

impl<'k, D: Recurrence, I: Isa> Matrix<'k, D, I> {
    /// At a chunk's start. Without `whole`, `structure` keeps less than the Jacobian has.
    #[inline(always)]
    pub(super) fn new(group: Group<'k, D>, structure: Structure, whole: bool) -> Self {
        let dynamics = group.dynamics;
        let n = dynamics.state_dim();
        let zero = Lanes::from_f64(0.0);
        let count = structure.entries(n);
        let map = if structure == Structure::Dense {
            let lanes = Vector::<D::Real, I>::LANES;
            let mut identity = vec![D::Real::default(); count];
            for place in 0..n {
                identity[structure.diagonal(n, place)] = D::Real::from_f64(1.0);
            }
            Map::Dense {
                maps: identity.repeat(lanes),
                jacobian: identity.clone(),
                product: identity,
            }
        } else {
            let mut map = vec![zero; count];
            for place in 0..n {
                map[structure.diagonal(n, place)] = Lanes::from_f64(1.0);
            }
            Map::Lanes { product: map.clone(), map }
        };
        Self {
            structure,
            jacobian: Jacobian::new(group, structure, whole),
            x: vec![zero; n],
            next: vec![zero; n + dynamics.scratch_dim()],
            offset: vec![zero; n],
            next_offset: vec![zero; n],
            entries: vec![zero; count],
            map,
        }
    }
}

impl<D: Recurrence, I: Isa> Carry<D::Real, I> for Matrix<'_, D, I> {
    fn value(&self, i: usize) -> Vector<D::Real, I> {
        self.x[i]
    }
    fn offset(&self, i: usize) -> Vector<D::Real, I> {
        self.offset[i]
    }
    fn set(&mut self, i: usize, value: Vector<D::Real, I>, offset: Vector<D::Real, I>) {
        self.x[i] = value;
        self.offset[i] = offset;
    }
    fn step(&mut self, u: &[Vector<D::Real, I>]) {
        let n = self.x.len();
        self.jacobian.evaluate(&self.x, u, &mut self.next, &mut self.entries);
        self.map.multiply(self.structure, n, &self.entries);
        apply(self.structure, &self.entries, &self.offset, &mut self.next_offset);
        std::mem::swap(&mut self.offset, &mut self.next_offset);
        self.x.copy_from_slice(&self.next[..n]);
    }
    fn scale(&mut self, factor: D::Real) {
        match &mut self.map {
            Map::Lanes { map, .. } => I::enter(Scale { values: map, factor }),
            Map::Dense { maps, .. } => I::enter(Scale { values: maps, factor }),
        }
        I::enter(Scale { values: &mut self.offset, factor });
    }
    fn write_map(&self, lane: usize, factor: D::Real, map: &mut [D::Real]) {
        match &self.map {
            Map::Lanes { map: from, .. } => {
                for (entry, value) in map.iter_mut().zip(from) {
                    *entry = value.lane(lane) * factor;
                }
            }
            Map::Dense { maps, .. } => {
                let from = &maps[lane * map.len()..];
                for (entry, &value) in map.iter_mut().zip(from) {
                    *entry = value * factor;
                }
            }
        }
    }
}

impl<R: Real, I: Isa> Map<R, I> {
    /// Becomes `entries` times itself.
    fn multiply(&mut self, structure: Structure, n: usize, entries: &[Vector<R, I>]) {
        match self {
            Map::Lanes { map, product } => {
                multiply(structure, n, entries, map, product);
                std::mem::swap(map, product);
            }
            Map::Dense { maps, jacobian, product: out } => {
                for (lane, map) in maps.chunks_exact_mut(n * n).enumerate() {
                    for (number, entry) in jacobian.iter_mut().zip(entries) {
                        *number = entry.lane(lane);
                    }
                    product(n, jacobian, map, out);
                    map.copy_from_slice(out);
                }
            }
        }
    }
}

/// No derivative, and the offset handed on unchanged. The step is the one with a tangent, which the replay
/// has compiled.
pub(super) struct Unchanged<'k, D: Recurrence, I: Isa> {
    group: Group<'k, D>,
    x: Vec<Dual<Vector<D::Real, I>, 1>>,
    u: Vec<Dual<Vector<D::Real, I>, 1>>,
    next: Vec<Dual<Vector<D::Real, I>, 1>>,
    work: D::Work<Dual<Vector<D::Real, I>, 1>>,
    offset: Vec<Vector<D::Real, I>>,
}

impl<'k, D: Recurrence, I: Isa> Unchanged<'k, D, I> {
    /// At a chunk's start.
    #[inline(always)]
    pub(super) fn new(group: Group<'k, D>) -> Self {
        let (n, zero) = (group.dynamics.state_dim(), Dual::from_f64(0.0));
        Self {
            group,
            x: vec![zero; n],
            u: vec![zero; group.dynamics.input_dim()],
            next: vec![zero; n + group.dynamics.scratch_dim()],
            work: group.dynamics.work(),
            offset: vec![Lanes::from_f64(0.0); n],
        }
    }
}

impl<D: Recurrence, I: Isa> Carry<D::Real, I> for Unchanged<'_, D, I> {
    fn value(&self, i: usize) -> Vector<D::Real, I> {
        self.x[i].value
    }
    fn offset(&self, i: usize) -> Vector<D::Real, I> {
        self.offset[i]
    }
    fn set(&mut self, i: usize, value: Vector<D::Real, I>, offset: Vector<D::Real, I>) {
        self.x[i].value = value;
        self.offset[i] = offset;
    }
    fn step(&mut self, u: &[Vector<D::Real, I>]) {
        for (dual, &value) in self.u.iter_mut().zip(u) {
            dual.value = value;
        }
        self.group.step::<I, _>(&self.x, &self.u, &mut self.next, &mut self.work);
        for (x, next) in self.x.iter_mut().zip(&self.next) {
            x.value = next.value;
        }
    }
    fn scale(&mut self, factor: D::Real) {
        I::enter(Scale { values: &mut self.offset, factor });
    }
    fn write_map(&self, _: usize, _: D::Real, _: &mut [D::Real]) {}
}
