//! Equations that more than one test solves.

use deer_solver::ode::Ode;
use deer_solver::scalar::{Constant, Param, Scalar};

/// ẏ = −y + u, the input at its own pace.
#[derive(Debug)]
pub(crate) struct Driven;

impl Ode for Driven {
    type Real = f64;
    fn state_dim(&self) -> usize {
        1
    }
    fn input_dim(&self) -> usize {
        1
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], u: &[S], dy: &mut [S]) {
        dy[0] = u[0] - y[0];
    }
}

/// Not autonomous, not linear, with a known solution: `y₀ = tan(t/2 + ¼)`, `y₁ = y₀ sin t`.
#[derive(Debug)]
pub(crate) struct Tangent;

impl Tangent {
    pub(crate) fn exact(t: f64) -> [f64; 2] {
        let y = (0.5 * t + 0.25).tan();
        [y, y * t.sin()]
    }
}

impl Ode for Tangent {
    type Real = f64;
    fn state_dim(&self) -> usize {
        2
    }
    fn scratch_dim(&self) -> usize {
        1
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], t: S, y: &[S], _: &[S], dy: &mut [S]) {
        dy[2] = (Constant(1.0) + y[0] * y[0]) * 0.5;
        dy[0] = dy[2];
        dy[1] = dy[2] * t.sin() + y[0] * t.cos();
    }
}

/// A planet around a fixed sun of unit mass: positions, then velocities.
#[derive(Debug)]
pub(crate) struct Kepler;

impl Ode for Kepler {
    type Real = f64;
    fn state_dim(&self) -> usize {
        4
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
        let square = y[0] * y[0] + y[1] * y[1];
        let cube = square * square.sqrt();
        (dy[0], dy[1]) = (y[2], y[3]);
        (dy[2], dy[3]) = (-y[0] / cube, -y[1] / cube);
    }
}

/// Van der Pol's oscillator with the parameter μ.
#[derive(Debug)]
pub(crate) struct VanDerPol(pub(crate) [f64; 1]);

impl Ode for VanDerPol {
    type Real = f64;
    fn state_dim(&self) -> usize {
        2
    }
    fn params(&self) -> &[f64] {
        &self.0
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, p: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
        dy[0] = y[1];
        dy[1] = (Constant(1.0) - y[0] * y[0]) * y[1] * p[0] - y[0];
    }
}

/// Lorenz 1963.
#[derive(Debug)]
pub(crate) struct Lorenz;

impl Ode for Lorenz {
    type Real = f64;
    fn state_dim(&self) -> usize {
        3
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
        dy[0] = (y[1] - y[0]) * 10.0;
        dy[1] = y[0] * (Constant(28.0) - y[2]) - y[1];
        dy[2] = y[0] * y[1] - y[2] * (8.0 / 3.0);
    }
}
