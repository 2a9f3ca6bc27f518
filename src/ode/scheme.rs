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
/// | [`ExponentialMidpoint`](Self::ExponentialMidpoint) | 2 | implicit, stable; exact for linear equations with constant coefficients on moderate steps |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// `y + Δt g(t, y)`.
    ForwardEuler,
    /// The explicit midpoint rule: `y + Δt g(t + Δt/2, y + Δt/2 g(t, y))`.
    Midpoint,
    /// The classical Runge–Kutta scheme of order 4 (Kutta 1901):
    ///
    /// ```text
    /// k₁ = g(t, y)                    k₂ = g(t + Δt/2, y + Δt/2 k₁)
    /// k₃ = g(t + Δt/2, y + Δt/2 k₂)   k₄ = g(t + Δt, y + Δt k₃)
    /// y⁺ = y + Δt/6 (k₁ + 2 k₂ + 2 k₃ + k₄)
    /// ```
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
    /// Backward differences over two steps: `y⁺ = y + κ (y − y⁻) + w Δt g(t⁺, y⁺)`, `y⁻` being the state before `y`,
    /// `κ = ω² / (1 + 2ω)` and `w = (1 + ω) / (1 + 2ω)` with the ratio `ω` of the step to the one before (Hairer, Nørsett & Wanner,
    /// *Solving Ordinary Differential Equations I*, III.5). The first step has `ω = 0`, which is backward Euler.
    Bdf2,
    /// Radau IIA with three stages `Y_i = y + Δt Σ_j a_ij g(t + c_j Δt, Y_j)`, of which the last is `y⁺` (Hairer & Wanner, *Solving
    /// Ordinary Differential Equations II*, table IV.5.6 and IV.8); `c_i` and `a_ij` are
    ///
    /// ```text
    /// (4 − √6)/10 |  (88 − 7√6)/360      (296 − 169√6)/1800   (−2 + 3√6)/225
    /// (4 + √6)/10 |  (296 + 169√6)/1800  (88 + 7√6)/360       (−2 − 3√6)/225
    /// 1           |  (16 − √6)/36        (16 + √6)/36         1/9
    /// ```
    RadauIIA5,
    /// DEER's own (Lim et al. 2024, arXiv:2309.12252, section 3.3): `y⁺ = exp(−γ) y + φ(−γ) ζ`, `φ(x) = (eˣ − 1)/x`, where `γ` and `ζ` are the
    /// means of `G = −∂g/∂y` and of `g + G y` at both ends of the step, times `Δt`.
    ///
    /// Exact for linear equations with constant coefficients and held inputs as far as the exponential is: six squarings of the Padé
    /// approximant of degrees 3 and 4. Up to `‖γ‖` = 4 that is to about a hundred units of rounding; beyond, the relative error grows with
    /// `‖γ‖⁸`, to 7e-10 at 16 and 5e-5 at 64. Stable for steps of any length: what decays in the equation decays in the scheme.
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
