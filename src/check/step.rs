//! The Jacobian of one step.

use super::difference::{Change, Difference, differences};
use super::{Compared, Comparison, Quantity, unread};
use crate::dynamics::{Dynamics, Structure};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::scalar::{Dual, Parameter, Real, Scalar};
use ndarray::{Array2, ArrayView1};
use std::convert::Infallible;

/// Compares `∂f/∂x` of one step at the state `x` `[n]` and the input `u` `[m]` with central differences: by
/// dual numbers, and, where the recurrence has them, by its own [`jacobian`](Dynamics::jacobian) and
/// [`jacobian_diagonal`](Dynamics::jacobian_diagonal); what its [`structure`](Dynamics::structure) takes for
/// zero; and the values that its own methods write beside. Names parameters that the step never reads.
///
/// Take a point with nothing special about it: at zero many wrong derivatives are right. At a kink (`relu` at 0)
/// differences give the mean of both sides. It runs about `10·n` steps.
///
/// # Errors
/// [`Error::Shape`] for `x` or `u` of another length, [`Error::NonFinite`] for a NaN or an infinity in them;
/// [`Error::Setting`] for blocks whose size does not divide `n`, and for a step that cannot be traced (see
/// [`Graph::trace`]).
///
/// # Example
/// ```
/// use deer_solver::{cells::Gru, check};
/// use ndarray::array;
///
/// let gru = Gru::<f64>::random(2, 3, 0);
/// let found = check::jacobian(&gru, array![0.1, -0.4, 0.2].view(), array![1.0, 0.5].view())?;
/// assert!(found.passed(1e-6), "{found}");
/// # Ok::<(), deer_solver::Error>(())
/// ```
pub fn jacobian<D: Dynamics>(
    dynamics: &D,
    x: ArrayView1<'_, D::Real>,
    u: ArrayView1<'_, D::Real>,
) -> Result<Comparison> {
    let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
    let point = Point { dynamics, x: finite("x", "n", x, n)?, u: finite("u", "m", u, m)? };
    let claim = dynamics.structure();
    check_blocks(claim, n)?;

    let mut found = unread(&Graph::trace(dynamics)?);
    let differences = point.by_differences();
    let compare = |quantity: Quantity, derivative: f64, [row, column]: [usize; 2]| {
        let Difference { value, spread, rounding } = differences[[row, column]];
        Compared::new(quantity, derivative, value, spread, rounding)
    };
    for ((row, column), &derivative) in point.by_duals().indexed_iter() {
        let quantity = Quantity::Step { row, column };
        found.add(compare(quantity, derivative.to_f64(), [row, column]));
    }
    let (inside, entries) = blocks(claim, n);
    for ((row, column), _) in inside.indexed_iter().filter(|(_, inside)| !**inside) {
        let quantity = Quantity::Structure { row, column, claim };
        found.add(compare(quantity, 0.0, [row, column]));
    }
    // Whatever is not written stays NaN.
    let nan = D::Real::from_f64(f64::NAN);
    let params = Parameter::from_slice(dynamics.params());
    let values = point.step(&point.x);
    let size = values.iter().fold(0.0f64, |size, f| size.max(f.to_f64().abs()));
    let value = |quantity, got: D::Real, row: usize| {
        let rounding = 16.0 * D::Real::EPSILON.to_f64() * size;
        Compared::new(quantity, got.to_f64(), values[row].to_f64(), 0.0, rounding)
    };
    let mut next = vec![nan; n + dynamics.scratch_dim()];
    let mut compact = vec![nan; claim.entries(n)];
    if dynamics.jacobian::<D::Real>(params, &point.x, &point.u, &mut next, &mut compact) {
        for (row, &next) in next[..n].iter().enumerate() {
            found.add(value(Quantity::JacobianValue { row }, next, row));
        }
        for (&[row, column], derivative) in entries.iter().zip(&compact) {
            let quantity = Quantity::Jacobian { row, column };
            found.add(compare(quantity, derivative.to_f64(), [row, column]));
        }
    }
    let mut next = vec![nan; n + dynamics.scratch_dim()];
    let mut diagonal = vec![nan; n];
    if dynamics.jacobian_diagonal::<D::Real>(params, &point.x, &point.u, &mut next, &mut diagonal) {
        for (row, (&next, derivative)) in next.iter().zip(&diagonal).enumerate() {
            found.add(value(Quantity::DiagonalValue { row }, next, row));
            let quantity = Quantity::Diagonal { row };
            found.add(compare(quantity, derivative.to_f64(), [row, row]));
        }
    }
    Ok(found)
}

/// A step, and where.
struct Point<'a, D: Dynamics> {
    dynamics: &'a D,
    x: Vec<D::Real>,
    u: Vec<D::Real>,
}

impl<D: Dynamics> Point<'_, D> {
    /// One step from `x` `[n]` on any scalar; `[n]`.
    fn step<S: Scalar<Real = D::Real, Coeff = D::Real>>(&self, x: &[S]) -> Vec<S> {
        let n = self.dynamics.state_dim();
        let u: Vec<S> = self.u.iter().map(|&u| S::constant(u)).collect();
        let mut next = vec![S::from_f64(f64::NAN); n + self.dynamics.scratch_dim()];
        let params = Parameter::from_slice(self.dynamics.params());
        self.dynamics.step::<S>(params, x, &u, &mut next);
        next.truncate(n);
        next
    }

    /// `[n, n]`
    fn by_duals(&self) -> Array2<D::Real> {
        let n = self.x.len();
        let mut jacobian = Array2::default((n, n));
        for column in 0..n {
            let mut x: Vec<Dual<D::Real, 1>> = self.x.iter().map(|&x| Dual::constant(x)).collect();
            x[column] = Dual::variable(self.x[column], 0);
            for (row, next) in self.step(&x).into_iter().enumerate() {
                jacobian[[row, column]] = next.tangents[0];
            }
        }
        jacobian
    }

    /// `[n, n]`
    fn by_differences(&self) -> Array2<Difference> {
        let n = self.x.len();
        let mut columns = Vec::with_capacity(n * n);
        for column in 0..n {
            let moved = |to: D::Real| {
                let mut x = self.x.clone();
                x[column] = to;
                self.step(&x)
            };
            let change = |above, below| -> std::result::Result<_, Infallible> {
                let pairs = moved(above).into_iter().zip(moved(below));
                Ok(pairs
                    .map(|(above, below)| {
                        let (above, below) = (above.to_f64(), below.to_f64());
                        Change { change: above - below, magnitude: above.abs().max(below.abs()) }
                    })
                    .collect())
            };
            let Ok(column) = differences(self.x[column], n, change);
            columns.extend(column);
        }
        Array2::from_shape_fn((n, n), |(row, column)| columns[column * n + row])
    }
}

/// `values` as a vector of `length` finite numbers.
fn finite<R: Real>(
    argument: &'static str,
    axis: &str,
    values: ArrayView1<'_, R>,
    length: usize,
) -> Result<Vec<R>> {
    if values.len() != length {
        return Err(Error::shape(argument, format!("[{axis} = {length}]"), values.shape()));
    }
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(values.to_vec()),
        Some(entry) => {
            Err(Error::NonFinite { argument, index: vec![entry], value: values[entry].to_f64() })
        }
    }
}

fn check_blocks(claim: Structure, n: usize) -> Result<()> {
    match claim {
        Structure::Blocks { size, .. } if size == 0 || !n.is_multiple_of(size) => {
            Err(Error::setting(
                "dynamics: structure",
                format!("blocks whose size divides n = {n}"),
                size,
            ))
        }
        Structure::Permuted { order } if order.len() != n => Err(Error::setting(
            "dynamics: structure",
            format!("an order of n = {n} components"),
            format!("one of {}", order.len()),
        )),
        _ => Ok(()),
    }
}

/// Which entries `[n, n]` can differ from zero by the claim, and `[row, column]` of each in compact form.
fn blocks(claim: Structure, n: usize) -> (Array2<bool>, Vec<[usize; 2]>) {
    let mut inside = Array2::default((n, n));
    let mut entries = Vec::with_capacity(claim.entries(n));
    for block in 0..claim.blocks(n) {
        let size = claim.rows(n, block);
        for (i, j) in (0..size).flat_map(|i| (0..size).map(move |j| (i, j))) {
            let entry = [claim.component(n, block, i), claim.component(n, block, j)];
            inside[entry] = true;
            entries.push(entry);
        }
    }
    (inside, entries)
}
