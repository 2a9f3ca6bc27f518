//! Equations of motion from an energy.

use super::Ode;
use crate::scalar::{Dual, Param, Real, Scalar};

/// The energy `H(q, p; θ)` of a mechanical system with `d` coordinates `q` and momenta `p`.
///
/// Written once, generic over its scalar, under the rules for a [step](crate::Dynamics::step); [`Hamiltonian`] makes the equations of
/// motion of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an energy",
    note = "implement `ode::Energy` for it: `dim` and a generic `energy`"
)]
pub trait Energy: Sync {
    /// The precision: `f32` or `f64`.
    type Real: Real;

    /// Number `d` of coordinates, and of momenta.
    fn dim(&self) -> usize;

    /// The parameters θ that derivatives are taken with respect to.
    fn params(&self) -> &[Self::Real] {
        &[]
    }

    /// `H` at the coordinates `q` `[d]` and the momenta `p` `[d]`.
    fn energy<S: Scalar<Real = Self::Real>>(&self, params: &[Param<S>], q: &[S], p: &[S]) -> S;
}

/// The equations of motion of an [`Energy`]:
///
/// ```math
/// \dot q = \frac{\partial H}{\partial p}, \qquad \dot p = -\frac{\partial H}{\partial q}
/// ```
///
/// State `[q, p]` of length `2d`. The partial derivatives are taken by dual numbers over whatever scalar the solver runs on, so that
/// Jacobians and gradients, also with respect to θ, follow as for any equation. An evaluation costs `⌈2d/4⌉` energies with
/// four tangents each.
///
/// # Example
/// ```
/// # #[cfg(feature = "cpu")] {
/// use deer_solver::Cpu;
/// use deer_solver::ode::{self, Energy, Hamiltonian};
/// use deer_solver::scalar::{Param, Scalar};
/// use ndarray::{Array1, array};
///
/// struct Pendulum;
///
/// impl Energy for Pendulum {
///     type Real = f64;
///     fn dim(&self) -> usize { 1 }
///     #[inline(always)]
///     fn energy<S: Scalar<Real = f64>>(&self, _: &[Param<S>], q: &[S], p: &[S]) -> S {
///         p[0] * p[0] * 0.5 - q[0].cos()
///     }
/// }
///
/// let motion = Hamiltonian::new(Pendulum);
/// let times = Array1::linspace(0.0, 10.0, 1001);
/// let (y0, options) = (array![1.0, 0.0], ode::Options::default());
/// let solution = ode::solve_ivp(&motion, y0.view(), times.view(), &options, &Cpu::new())?;
/// let last = solution.states().row(1000).to_vec();
/// assert!((motion.energy(&last[..]) - motion.energy(&[1.0, 0.0])).abs() < 1e-9);
/// # }
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Hamiltonian<E>(pub E);

impl<E: Energy> Hamiltonian<E> {
    /// The equations of motion of `energy`.
    pub fn new(energy: E) -> Self {
        Self(energy)
    }

    /// `H` at the state `y` = `[q, p]`, with the energy's own parameters.
    ///
    /// # Panics
    /// If `y` does not have `2d` entries.
    pub fn energy(&self, y: &[E::Real]) -> E::Real {
        let d = self.0.dim();
        assert_eq!(y.len(), 2 * d, "y: expected length 2d = {}, got {}", 2 * d, y.len());
        let params = crate::scalar::Parameter::from_slice(self.0.params());
        self.0.energy::<E::Real>(params, &y[..d], &y[d..])
    }
}

/// Partial derivatives that are taken at the same time.
const TANGENTS: usize = 4;
/// States up to which they are kept on the stack.
const FEW: usize = 16;

impl<E: Energy> Ode for Hamiltonian<E> {
    type Real = E::Real;

    fn state_dim(&self) -> usize {
        2 * self.0.dim()
    }

    fn params(&self) -> &[E::Real] {
        self.0.params()
    }

    #[inline(always)]
    fn rhs<S: Scalar<Real = E::Real>>(
        &self,
        params: &[Param<S>],
        _t: S,
        y: &[S],
        _u: &[S],
        dy: &mut [S],
    ) {
        let d = self.0.dim();
        let n = 2 * d;
        let zero = Dual::<S, TANGENTS>::from_f64(0.0);
        let mut few = [zero; FEW];
        let mut many = Vec::new();
        let variables = if n <= FEW {
            &mut few[..n]
        } else {
            many.resize(n, zero);
            &mut many[..]
        };
        for first in (0..n).step_by(TANGENTS) {
            for (i, (variable, &y)) in variables.iter_mut().zip(y).enumerate() {
                *variable = Dual::new(y, [S::from_f64(0.0); TANGENTS]);
                if i >= first && i < first + TANGENTS {
                    variable.tangents[i - first] = S::from_f64(1.0);
                }
            }
            let energy = self.0.energy(params, &variables[..d], &variables[d..]);
            for i in first..(first + TANGENTS).min(n) {
                let partial = energy.tangents[i - first];
                if i < d {
                    dy[d + i] = -partial;
                } else {
                    dy[i - d] = partial;
                }
            }
        }
    }
}
