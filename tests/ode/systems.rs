//! Equations that tests solve.

use crate::detest::Detest;
use deer_solver::ode::Ode;
use deer_solver::scalar::{Constant, Param, Scalar};

/// One type for all, so that what depends on the type of the equation is compiled once.
#[derive(Clone, Debug)]
pub(crate) enum System {
    /// ẏ = −y + u, the input at its own pace.
    Driven,
    /// Not autonomous, not linear, with a known solution: see [`tangent`].
    Tangent,
    /// A planet around a fixed sun of unit mass: positions, then velocities.
    Kepler,
    /// Van der Pol's oscillator with the parameter μ.
    VanDerPol([f64; 1]),
    /// The same pushed by an input `u`, as `c u sin t`: μ and `c`.
    Pushed([f64; 2]),
    /// Lorenz 1963.
    Lorenz,
    /// ẏ = −(y − cos t) · 30 e^(−t).
    Settling,
    /// ẏ = y², which is infinite at t = 1 from 1.
    BlowUp,
    /// ẏ = u₀ y − y³ + u₁: two wells for u₀ > 0, one for u₀ < 0.
    Wells,
    Detest(Detest),
}

/// The solution of [`System::Tangent`]: `y₀ = tan(t/2 + ¼)`, `y₁ = y₀ sin t`.
pub(crate) fn tangent(t: f64) -> [f64; 2] {
    let y = (0.5 * t + 0.25).tan();
    [y, y * t.sin()]
}

impl Ode for System {
    type Real = f64;
    fn state_dim(&self) -> usize {
        match self {
            System::Driven | System::Settling | System::BlowUp | System::Wells => 1,
            System::Tangent | System::VanDerPol(_) | System::Pushed(_) => 2,
            System::Lorenz => 3,
            System::Kepler => 4,
            System::Detest(problem) => problem.state_dim(),
        }
    }
    fn input_dim(&self) -> usize {
        match self {
            System::Driven | System::Pushed(_) => 1,
            System::Wells => 2,
            _ => 0,
        }
    }
    fn params(&self) -> &[f64] {
        match self {
            System::VanDerPol(params) => params,
            System::Pushed(params) => params,
            _ => &[],
        }
    }
    fn scratch_dim(&self) -> usize {
        usize::from(matches!(self, System::Tangent))
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, p: &[Param<S>], t: S, y: &[S], u: &[S], dy: &mut [S]) {
        match self {
            System::Driven => dy[0] = u[0] - y[0],
            System::Tangent => {
                dy[2] = (Constant(1.0) + y[0] * y[0]) * 0.5;
                dy[0] = dy[2];
                dy[1] = dy[2] * t.sin() + y[0] * t.cos();
            }
            System::Kepler => {
                let square = y[0] * y[0] + y[1] * y[1];
                let cube = square * square.sqrt();
                (dy[0], dy[1]) = (y[2], y[3]);
                (dy[2], dy[3]) = (-y[0] / cube, -y[1] / cube);
            }
            System::VanDerPol(_) => {
                dy[0] = y[1];
                dy[1] = (Constant(1.0) - y[0] * y[0]) * y[1] * p[0] - y[0];
            }
            System::Pushed(_) => {
                dy[0] = y[1];
                let pull = (Constant(1.0) - y[0] * y[0]) * y[1] * p[0] - y[0];
                dy[1] = pull + u[0] * t.sin() * p[1];
            }
            System::Lorenz => {
                dy[0] = (y[1] - y[0]) * 10.0;
                dy[1] = y[0] * (Constant(28.0) - y[2]) - y[1];
                dy[2] = y[0] * y[1] - y[2] * (8.0 / 3.0);
            }
            System::Settling => dy[0] = (t.cos() - y[0]) * (-t).exp() * 30.0,
            System::BlowUp => dy[0] = y[0] * y[0],
            System::Wells => dy[0] = u[0] * y[0] - y[0] * y[0] * y[0] + u[1],
            System::Detest(problem) => problem.rhs(t, y, dy),
        }
    }
}
