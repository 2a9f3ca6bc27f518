//! A step with its Jacobian in compact form, hand-written or by dual numbers.

use super::group::Group;
use crate::dynamics::{Recurrence, Structure};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Dual, Isa, Lanes, Numeric, Parameter, Real, Scalar};

/// Partials at a time: more would spill registers.
pub(super) const TANGENTS: usize = 4;

/// Evaluates `f` and the entries of `∂f/∂x` that a structure keeps.
pub(super) struct Jacobian<'k, D: Recurrence, I: Isa> {
    group: Group<'k, D>,
    /// What is kept.
    structure: Structure,
    /// Whether that is less than the Jacobian has.
    approximate: bool,
    x: Vec<Dual<Lanes<D::Real, I, 1>, TANGENTS>>,
    u: Vec<Dual<Lanes<D::Real, I, 1>, TANGENTS>>,
    next: Vec<Dual<Lanes<D::Real, I, 1>, TANGENTS>>,
    work: D::Work<Dual<Lanes<D::Real, I, 1>, TANGENTS>>,
}

impl<'k, D: Recurrence, I: Isa> Jacobian<'k, D, I> {
    #[inline(always)]
    pub(super) fn new(group: Group<'k, D>, structure: Structure, whole: bool) -> Self {
        let zero = Dual::from_f64(0.0);
        let dynamics = group.dynamics;
        let n = dynamics.state_dim();
        Self {
            group,
            structure,
            approximate: !whole,
            x: vec![zero; n],
            u: vec![zero; dynamics.input_dim()],
            next: vec![zero; n + dynamics.scratch_dim()],
            work: dynamics.work(),
        }
    }

    /// Writes `f(x, u)` to `next[..n]` and the entries to `entries`.
    #[inline(always)]
    pub(super) fn evaluate(
        &mut self,
        x: &[Lanes<D::Real, I, 1>],
        u: &[Lanes<D::Real, I, 1>],
        next: &mut [Lanes<D::Real, I, 1>],
        entries: &mut [Lanes<D::Real, I, 1>],
    ) {
        let group = self.group;
        // A matrix written by hand has the structure that was declared, which may be less than was found.
        let written = if !self.approximate && self.structure == group.dynamics.declared_structure()
        {
            I::enter(Written::<_, _, false> { group, x, u, next, entries })
        } else if self.structure == Structure::Diagonal {
            I::enter(Written::<_, _, true> { group, x, u, next, entries })
        } else {
            false
        };
        if written {
            return;
        }
        let n = x.len();
        // Columns whose rows do not meet share a tangent: one for each place in a block.
        let colours = if self.approximate { n } else { self.structure.block_size(n) };
        for (dual, &value) in self.u.iter_mut().zip(u) {
            *dual = Dual::new(value, [Lanes::from_f64(0.0); TANGENTS]);
        }
        for first in (0..colours).step_by(TANGENTS) {
            for (i, (dual, &value)) in self.x.iter_mut().zip(x).enumerate() {
                *dual = Dual::new(value, [Lanes::from_f64(0.0); TANGENTS]);
                // Its column in its block.
                let place = self.structure.place(n, i);
                let column = place - self.structure.row(n, place).start;
                let colour = if self.approximate { i } else { column };
                if (first..first + TANGENTS).contains(&colour) {
                    dual.tangents[colour - first] = Lanes::from_f64(1.0);
                }
            }
            self.group.step::<I, _>(&self.x, &self.u, &mut self.next, &mut self.work);
            for i in 0..n {
                next[i] = self.next[i].value;
                let last = colours.min(first + TANGENTS);
                if self.approximate {
                    if (first..last).contains(&i) {
                        entries[i] = self.next[i].tangents[i - first];
                    }
                } else {
                    let row = self.structure.row(n, self.structure.place(n, i));
                    for colour in first..last.min(row.size) {
                        entries[row.entry + colour] = self.next[i].tangents[colour - first];
                    }
                }
            }
        }
    }
}

/// The hand-written Jacobian, or its diagonal; whether there is one.
struct Written<'k, D: Recurrence, S, const DIAGONAL: bool> {
    group: Group<'k, D>,
    x: &'k [S],
    u: &'k [S],
    next: &'k mut [S],
    entries: &'k mut [S],
}

impl<D: Recurrence, S, const DIAGONAL: bool> Kernel for Written<'_, D, S, DIAGONAL>
where
    S: Numeric<Real = D::Real>,
{
    type Output = bool;

    #[inline(always)]
    fn run<I: Isa>(self) -> bool {
        let Self { group, x, u, next, entries } = self;
        let params = Parameter::from_slice(group.params);
        if DIAGONAL {
            group.dynamics.jacobian_diagonal(params, x, u, next, entries)
        } else {
            group.dynamics.jacobian(params, x, u, next, entries)
        }
    }
}

/// `out = jacobian · right`, all three compact, by lanes; out of line.
pub(super) fn multiply<R: Real, I: Isa>(
    structure: Structure,
    n: usize,
    jacobian: &[Lanes<R, I, 1>],
    right: &[Lanes<R, I, 1>],
    out: &mut [Lanes<R, I, 1>],
) {
    I::enter(Multiply { structure, n, jacobian, right, out });
}

struct Multiply<'k, S> {
    structure: Structure,
    n: usize,
    jacobian: &'k [S],
    right: &'k [S],
    out: &'k mut [S],
}

impl<S: Scalar> Kernel for Multiply<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        for (places, block) in self.structure.squares(self.n) {
            let size = places.len();
            let (jacobian, right) = (&self.jacobian[block.clone()], &self.right[block.clone()]);
            let out = &mut self.out[block];
            for i in 0..size {
                for j in 0..size {
                    let mut sum = jacobian[i * size] * right[j];
                    for k in 1..size {
                        sum = jacobian[i * size + k].mul_add(right[k * size + j], sum);
                    }
                    out[i * size + j] = sum;
                }
            }
        }
    }
}

/// `out = jacobian · vector`, the vectors in the order of components; out of line.
pub(super) fn apply<R: Real, I: Isa>(
    structure: Structure,
    jacobian: &[Lanes<R, I, 1>],
    vector: &[Lanes<R, I, 1>],
    out: &mut [Lanes<R, I, 1>],
) {
    I::enter(Apply { structure, jacobian, vector, out });
}

struct Apply<'k, S> {
    structure: Structure,
    jacobian: &'k [S],
    vector: &'k [S],
    out: &'k mut [S],
}

impl<S: Scalar> Kernel for Apply<'_, S> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { structure, jacobian, vector, out } = self;
        let n = vector.len();
        for place in 0..n {
            let row = structure.row(n, place);
            let coefficients = &jacobian[row.entries()];
            let mut sum = coefficients[0] * vector[structure.component_at(n, row.start)];
            for k in 1..row.size {
                let before = vector[structure.component_at(n, row.start + k)];
                sum = coefficients[k].mul_add(before, sum);
            }
            out[structure.component_at(n, place)] = sum;
        }
    }
}
