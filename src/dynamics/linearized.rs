//! An equation's residual with its derivatives by the unknowns.

use super::Residual;
use super::newton::Sizes;
use crate::scalar::{Dual, Numeric, Parameter, Scalar};

/// Partials at a time: with two vectors in a value, more would spill registers.
pub(crate) const PARTIALS: usize = 2;

/// What a residual is differentiated by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// Nothing: its value is enough.
    Nothing,
    /// The unknowns.
    Unknowns,
    /// The state before the step.
    State,
}

/// Where a residual and its derivatives go.
#[doc(hidden)]
#[derive(Debug)]
pub struct System<'k, P> {
    /// `F`, `[k]`.
    pub(crate) r: &'k mut [P],
    pub(crate) by: By,
    /// `∂F/∂z`, `[k, k]`, or `∂F/∂x`, `[k, n]`, row-major.
    pub(crate) matrix: &'k mut [P],
}

/// What the evaluation works with.
#[doc(hidden)]
#[derive(Debug)]
pub struct Room<P: Numeric> {
    /// `[k]`, and those that do not vary, `[n]` and `[m]`
    pub(crate) z: Vec<Dual<P, PARTIALS>>,
    pub(crate) x: Vec<Dual<P, PARTIALS>>,
    pub(crate) u: Vec<Dual<P, PARTIALS>>,
    /// `[k]` and the equation's own workspace, with partials and without.
    pub(crate) r: Vec<Dual<P, PARTIALS>>,
    pub(crate) plain: Vec<P>,
}

impl<P: Numeric> Room<P> {
    #[inline(always)]
    pub(super) fn new(sizes: Sizes) -> Self {
        let Sizes { state, input, unknowns, scratch } = sizes;
        let zero = Dual::from_f64(0.0);
        Self {
            z: vec![zero; unknowns],
            x: vec![zero; state],
            u: vec![zero; input],
            r: vec![zero; unknowns + scratch],
            plain: vec![P::from_f64(0.0); unknowns + scratch],
        }
    }
}

impl<P: Numeric<Plain = P>> Room<P> {
    /// To be called before each step.
    #[inline(always)]
    pub(super) fn begin(&mut self, x: &[P], u: &[P]) {
        for (dual, &value) in self.x.iter_mut().zip(x).chain(self.u.iter_mut().zip(u)) {
            *dual = Dual::lift(value);
        }
    }
}

/// `values` as numbers of which those from `first` on have a tangent each, up to [`PARTIALS`].
#[inline(always)]
pub(crate) fn vary<P: Numeric<Plain = P>>(
    values: &[P],
    first: usize,
    varied: &mut [Dual<P, PARTIALS>],
) {
    let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
    for (i, (dual, &value)) in varied.iter_mut().zip(values).enumerate() {
        *dual = Dual::new(value, [zero; PARTIALS]);
        if (first..first + PARTIALS).contains(&i) {
            dual.tangents[i - first] = one;
        }
    }
}

/// [`Residual::linearize`] of any equation: all of it for each [`PARTIALS`] columns.
#[inline(always)]
pub(crate) fn linearize<F: Residual, P: Numeric<Real = F::Real, Plain = P>>(
    residual: &F,
    params: &[Parameter<F::Real>],
    z: &[P],
    x: &[P],
    room: &mut Room<P>,
    system: System<'_, P>,
) {
    let System { r, by, matrix } = system;
    let columns = if by == By::State { x.len() } else { z.len() };
    for first in (0..columns).step_by(PARTIALS) {
        let none = usize::MAX - PARTIALS;
        vary(z, if by == By::State { none } else { first }, &mut room.z);
        if by == By::State {
            vary(x, first, &mut room.x);
        }
        residual.residual(params, &room.z, &room.x, &room.u, &mut room.r);
        for (r, dual) in r.iter_mut().zip(&room.r) {
            *r = dual.value;
        }
        if by == By::Nothing {
            break;
        }
        for row in 0..z.len() {
            for column in first..columns.min(first + PARTIALS) {
                matrix[row * columns + column] = room.r[row].tangents[column - first];
            }
        }
    }
}
