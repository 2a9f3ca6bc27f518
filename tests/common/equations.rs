//! Steps that are defined by equations.

use deer_solver::Real;
use deer_solver::dynamics::Residual;
use deer_solver::scalar::{Constant, Param, Scalar};
use std::marker::PhantomData;

/// Backward Euler for y' = u − y³.
pub(crate) struct Cubic<R>(pub(crate) PhantomData<R>);

impl<R: Real> Residual for Cubic<R> {
    type Real = R;
    fn state_dim(&self) -> usize {
        1
    }
    fn input_dim(&self) -> usize {
        1
    }
    #[inline(always)]
    fn residual<S: Scalar<Real = R>>(
        &self,
        _: &[Param<S>],
        z: &[S],
        x: &[S],
        u: &[S],
        r: &mut [S],
    ) {
        r[0] = z[0] - x[0] + (z[0].powi(3) - u[0]) * R::from_f64(0.1);
    }
}

/// Equations in `f64`: one type for all, so that what depends on the type of the equation is compiled once.
pub(crate) enum Equation {
    /// The trapezoidal rule for Van der Pol's equation, μ = 50.
    VanDerPol,
    /// Backward Euler for the pendulum as a DAE of index 3: position, velocity, tension.
    Pendulum,
    /// z² = x² − 0.01: no solution once x is below 0.1.
    Vanishing,
    /// Backward Euler for a chain of three, charge leaking through a conductance `u` that may change by orders of magnitude from step to
    /// step.
    Switched,
    /// z near 20 u, which whole corrections from far away overshoot more and more.
    Saturating,
    /// Backward Euler for a ring of so many cubic equations.
    #[cfg(feature = "cuda")]
    Ring(usize),
}

impl Residual for Equation {
    type Real = f64;
    fn state_dim(&self) -> usize {
        match self {
            Equation::Vanishing | Equation::Saturating => 1,
            Equation::VanDerPol => 2,
            Equation::Switched => 3,
            Equation::Pendulum => 5,
            #[cfg(feature = "cuda")]
            Equation::Ring(n) => *n,
        }
    }
    fn input_dim(&self) -> usize {
        usize::from(matches!(self, Equation::Switched | Equation::Saturating))
    }
    #[inline(always)]
    fn residual<S: Scalar<Real = f64>>(
        &self,
        _: &[Param<S>],
        z: &[S],
        x: &[S],
        u: &[S],
        r: &mut [S],
    ) {
        match self {
            Equation::VanDerPol => {
                let h = 0.005;
                let slope = |y: &[S]| (Constant(1.0) - y[0] * y[0]) * y[1] * 50.0 - y[0];
                r[0] = z[0] - x[0] - (z[1] + x[1]) * (0.5 * h);
                r[1] = z[1] - x[1] - (slope(z) + slope(x)) * (0.5 * h);
            }
            Equation::Pendulum => {
                let rate = 500.0;
                r[0] = (z[0] - x[0]) * rate - z[2];
                r[1] = (z[1] - x[1]) * rate - z[3];
                r[2] = (z[2] - x[2]) * rate + z[4] * z[0];
                r[3] = (z[3] - x[3]) * rate + z[4] * z[1] + 10.0;
                r[4] = z[0] * z[0] + z[1] * z[1] - 1.0;
            }
            Equation::Vanishing => r[0] = z[0] * z[0] - x[0] * x[0] + 0.01,
            Equation::Switched => {
                let h = 1e-3;
                let (first, second) = (z[0] - z[1], z[1] - z[2]);
                r[0] = z[0] - x[0] + (first * u[0] - (Constant(1.0) - z[0])) * h;
                r[1] = z[1] - x[1] + (second + second.powi(3) - first * u[0]) * h;
                r[2] = z[2] - x[2] + (z[2].powi(3) - second - second.powi(3)) * h;
            }
            Equation::Saturating => {
                r[0] = (z[0] - u[0] * 20.0).atan() + (z[0] - x[0]) * 1e-3;
            }
            #[cfg(feature = "cuda")]
            Equation::Ring(n) => {
                for i in 0..*n {
                    r[i] = z[i] - x[i] + (z[i].powi(3) - z[(i + 1) % n]) * 0.1;
                }
            }
        }
    }
}

/// Conductances that jump by up to 1e8, up and down, at times of their own for each sequence; between them conductances stay, so that
/// matrices are kept.
pub(crate) fn jumps(sequence: usize, steps: usize) -> Vec<f64> {
    let period = 37 + 11 * sequence;
    (0..steps).map(|t| [1.0, 1e8, 1e-4, 1e5, 1.0][t / period % 5]).collect()
}

/// Backward Euler for some oscillators that know nothing of each other, each followed by filters of what it does: the unknowns are the
/// oscillators', the state has their filters, too.
pub(crate) struct Uncoupled {
    pub(crate) oscillators: usize,
    pub(crate) filters: usize,
}

impl Residual for Uncoupled {
    type Real = f64;
    fn state_dim(&self) -> usize {
        self.oscillators * (2 + self.filters)
    }
    fn input_dim(&self) -> usize {
        1
    }
    fn unknown_dim(&self) -> usize {
        2 * self.oscillators
    }
    #[inline(always)]
    fn residual<S: Scalar<Real = f64>>(
        &self,
        _: &[Param<S>],
        z: &[S],
        x: &[S],
        u: &[S],
        r: &mut [S],
    ) {
        for (i, (z, r)) in z.chunks(2).zip(r.chunks_mut(2)).enumerate() {
            let x = &x[i * (2 + self.filters)..];
            let h = 0.1 * (i + 1) as f64;
            r[0] = z[0] - x[0] - z[1] * h;
            r[1] = z[1] - x[1] - (u[0] - z[0].powi(3) - z[1]) * h;
        }
    }
    #[inline(always)]
    fn state<S: Scalar<Real = f64>>(&self, z: &[S], x: &[S], _: &[S], next: &mut [S]) {
        let size = 2 + self.filters;
        let states = next.chunks_mut(size).zip(x.chunks(size)).zip(z.chunks(2));
        for ((next, x), z) in states {
            next[..2].copy_from_slice(z);
            for i in 2..size {
                next[i] = (x[i] + next[i - 1]) * 0.5;
            }
        }
    }
    #[inline(always)]
    fn guess<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], _: &[S], z: &mut [S]) {
        for (z, x) in z.chunks_mut(2).zip(x.chunks(2 + self.filters)) {
            z.copy_from_slice(&x[..2]);
        }
    }
}
