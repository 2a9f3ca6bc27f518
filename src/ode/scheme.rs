//! Names of the schemes.

use std::fmt;

/// How an equation becomes a recurrence.
///
/// | | order | |
/// |---|---|---|
/// | [`ForwardEuler`](Self::ForwardEuler) | 1 | explicit |
/// | [`Midpoint`](Self::Midpoint) | 2 | explicit |
/// | [`Rk4`](Self::Rk4) | 4 | explicit |
/// | [`Tsit5`](Self::Tsit5) | 5 | explicit, with an error estimate |
/// | [`BackwardEuler`](Self::BackwardEuler) | 1 | implicit, L-stable |
/// | [`Trapezoidal`](Self::Trapezoidal) | 2 | implicit, A-stable |
/// | [`ImplicitMidpoint`](Self::ImplicitMidpoint) | 2 | implicit, A-stable, symplectic |
/// | [`Bdf2`](Self::Bdf2) | 2 | implicit, two steps, L-stable |
/// | [`RadauIIA5`](Self::RadauIIA5) | 5 | implicit, three stages, L-stable |
/// | [`ExponentialMidpoint`](Self::ExponentialMidpoint) | 2 | implicit, exact for linear equations with constant coefficients |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// `y + Δt g(t, y)`.
    ForwardEuler,
    /// The explicit midpoint rule: `y + Δt g(t + Δt/2, y + Δt/2 g(t, y))`.
    Midpoint,
    /// The classical Runge–Kutta scheme of order 4 (Kutta 1901).
    Rk4,
    /// Tsitouras' scheme of order 5 with an embedded one of order 4 (Tsitouras 2011, *Computers & Mathematics with
    /// Applications* 62).
    Tsit5,
    /// `y⁺ = y + Δt g(t⁺, y⁺)`.
    BackwardEuler,
    /// `y⁺ = y + Δt/2 (g(t, y) + g(t⁺, y⁺))`.
    Trapezoidal,
    /// `y⁺ = y + Δt g(t + Δt/2, (y + y⁺)/2)`.
    ImplicitMidpoint,
    /// Backward differences over two steps.
    Bdf2,
    /// Three-stage Radau IIA (Hairer & Wanner, *Solving Ordinary Differential Equations II*, IV.8).
    RadauIIA5,
    /// DEER's own: the exponential of the mean Jacobian of both ends of a step (Lim et al. 2024, arXiv:2309.12252).
    ExponentialMidpoint,
}

impl Scheme {
    /// Whether a step is defined by an equation for its end.
    pub fn is_implicit(self) -> bool {
        !matches!(self, Scheme::ForwardEuler | Scheme::Midpoint | Scheme::Rk4 | Scheme::Tsit5)
    }

    /// The power of the step in the error at a fixed time.
    pub fn order(self) -> u32 {
        match self {
            Scheme::ForwardEuler | Scheme::BackwardEuler => 1,
            Scheme::Midpoint
            | Scheme::Trapezoidal
            | Scheme::ImplicitMidpoint
            | Scheme::Bdf2
            | Scheme::ExponentialMidpoint => 2,
            Scheme::Rk4 => 4,
            Scheme::Tsit5 | Scheme::RadauIIA5 => 5,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
