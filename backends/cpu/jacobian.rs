//! A step with its Jacobian in compact form, hand-written or by dual numbers.

use super::group::Group;
use crate::dynamics::{Dynamics, Structure};
use crate::scalar::{Dual, Isa, Lanes, Parameter, Scalar};

/// Partials at a time: more would spill registers.
pub(super) const TANGENTS: usize = 4;

/// Evaluates `f` and the entries of `∂f/∂x` that a structure keeps.
pub(super) struct Jacobian<'k, D: Dynamics, I: Isa> {
    group: Group<'k, D>,
    /// What is kept: the whole structure of the recurrence, or the diagonal.
    structure: Structure,
    /// Whether `structure` is less than the recurrence's own.
    approximate: bool,
    x: Vec<Dual<Lanes<D::Real, I, 1>, TANGENTS>>,
    u: Vec<Dual<Lanes<D::Real, I, 1>, TANGENTS>>,
    next: Vec<Dual<Lanes<D::Real, I, 1>, TANGENTS>>,
}

impl<'k, D: Dynamics, I: Isa> Jacobian<'k, D, I> {
    #[inline(always)]
    pub(super) fn new(group: Group<'k, D>, structure: Structure) -> Self {
        let zero = Dual::from_f64(0.0);
        let dynamics = group.dynamics;
        let n = dynamics.state_dim();
        Self {
            group,
            structure,
            approximate: structure != dynamics.structure(),
            x: vec![zero; n],
            u: vec![zero; dynamics.input_dim()],
            next: vec![zero; n + dynamics.scratch_dim()],
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
        let dynamics = self.group.dynamics;
        let params = Parameter::from_slice(self.group.params);
        let written = if self.approximate {
            dynamics.jacobian_diagonal(params, x, u, next, entries)
        } else {
            dynamics.jacobian(params, x, u, next, entries)
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
                let colour = colour(self.structure, self.approximate, n, i);
                if (first..first + TANGENTS).contains(&colour) {
                    dual.tangents[colour - first] = Lanes::from_f64(1.0);
                }
            }
            self.group.step::<I, _>(&self.x, &self.u, &mut self.next);
            for i in 0..n {
                next[i] = self.next[i].value;
                let last = colours.min(first + TANGENTS);
                if self.approximate {
                    if (first..last).contains(&i) {
                        entries[i] = self.next[i].tangents[i - first];
                    }
                } else {
                    let row = row(self.structure, n, i);
                    for colour in first..last {
                        entries[row * colours + colour] = self.next[i].tangents[colour - first];
                    }
                }
            }
        }
    }
}

/// The tangent that component `i` is seeded in.
#[inline(always)]
fn colour(structure: Structure, approximate: bool, n: usize, i: usize) -> usize {
    match structure {
        _ if approximate => i,
        Structure::Dense => i,
        Structure::Diagonal => 0,
        Structure::Blocks { size, interleaved: true } => i / (n / size),
        Structure::Blocks { size, interleaved: false } => i % size,
    }
}

/// The row of the compact form that component `i` is.
#[inline(always)]
fn row(structure: Structure, n: usize, i: usize) -> usize {
    match structure {
        Structure::Dense | Structure::Diagonal => i,
        Structure::Blocks { size, interleaved: true } => (i % (n / size)) * size + i / (n / size),
        Structure::Blocks { interleaved: false, .. } => i,
    }
}

/// `out = jacobian · right`, all three compact.
#[inline(always)]
pub(super) fn multiply<S: Scalar>(
    structure: Structure,
    n: usize,
    jacobian: &[S],
    right: &[S],
    out: &mut [S],
) {
    let size = structure.block_size(n);
    let square = size * size;
    for block in (0..n / size).map(|block| block * square..(block + 1) * square) {
        let (jacobian, right) = (&jacobian[block.clone()], &right[block.clone()]);
        for (i, out) in out[block].chunks_exact_mut(size).enumerate() {
            for (j, out) in out.iter_mut().enumerate() {
                let mut sum = jacobian[i * size] * right[j];
                for k in 1..size {
                    sum = jacobian[i * size + k].mul_add(right[k * size + j], sum);
                }
                *out = sum;
            }
        }
    }
}

/// `out = jacobian · vector`, the vectors in the order of components.
#[inline(always)]
pub(super) fn apply<S: Scalar>(
    structure: Structure,
    n: usize,
    jacobian: &[S],
    vector: &[S],
    out: &mut [S],
) {
    let size = structure.block_size(n);
    for (row, coefficients) in jacobian.chunks_exact(size).enumerate() {
        let (block, row) = (row / size, row % size);
        let mut sum = coefficients[0] * vector[structure.component(n, block, 0)];
        for (k, &coefficient) in coefficients.iter().enumerate().skip(1) {
            sum = coefficient.mul_add(vector[structure.component(n, block, k)], sum);
        }
        out[structure.component(n, block, row)] = sum;
    }
}
