//! Implicit schemes for fully implicit equations.
//!
//! Schemes of one stage put their difference quotient for $\dot y$:
//!
//! $$ F\bigl(t^+, \frac{y^+ - \bar y}{w \Delta t}, y^+, u^+\bigr) = 0 $$
//!
//! with $\bar y$ and $w$ as in [`implicit`](super). Radau IIA has the slopes $K_j$ of its stages for unknowns:
//!
//! $$ F\bigl(t + c_i \Delta t,\ K_i,\ y + \Delta t \sum_j a_{ij} K_j,\ u\bigr) = 0, \qquad y^+ = Y_3 $$

use super::{GridEquation, Tableau, bdf2, tableau};
use crate::dynamics::Residual;
use crate::error::{Error, Result};
use crate::ode::sampling::Sampling;
use crate::ode::{Dae, Interpolation, Scheme};
use crate::scalar::{Param, Scalar};
use std::fmt;

/// The equation of a step of a [`Dae`], `x` being the state before it and the inputs as those of a
/// [`StepEquation`](super::StepEquation).
///
/// The unknowns are the state at the end of the step, `[n]`; for [`Scheme::RadauIIA5`] the slopes of its three stages, `[3n]`. The state
/// is that of the equation, `[n]`; for [`Scheme::Bdf2`] `[2n]`, followed by the one before it.
pub struct DaeEquation<'a, F: Dae> {
    pub(super) dae: &'a F,
    pub(super) scheme: Scheme,
    pub(super) interpolation: Interpolation,
}

impl<F: Dae> Clone for DaeEquation<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<F: Dae> Copy for DaeEquation<'_, F> {}

impl<F: Dae> fmt::Debug for DaeEquation<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DaeEquation")
            .field("scheme", &self.scheme)
            .field("interpolation", &self.interpolation)
            .finish_non_exhaustive()
    }
}

impl<F: Dae> GridEquation for DaeEquation<'_, F> {
    fn sampling(&self) -> Sampling {
        let m = self.dae.input_dim();
        Sampling { m, interpolation: self.interpolation, ratio: self.scheme == Scheme::Bdf2 }
    }
    fn dim(&self) -> usize {
        self.dae.state_dim()
    }
    fn scheme(&self) -> Scheme {
        self.scheme
    }
    fn interpolated(self, interpolation: Interpolation) -> Self {
        Self { interpolation, ..self }
    }
    fn check(&self) -> Result<()> {
        match self.scheme {
            Scheme::BackwardEuler | Scheme::Bdf2 | Scheme::RadauIIA5 => Ok(()),
            other => Err(Error::setting(
                "scheme",
                "BackwardEuler, Bdf2 or RadauIIA5, which meet a constraint at the end of each step",
                other,
            )),
        }
    }
}

impl<F: Dae> DaeEquation<'_, F> {
    /// Whether the unknowns are slopes of several stages.
    fn slopes(&self) -> Option<&'static Tableau> {
        tableau(self.scheme).filter(|tableau| tableau.stages.len() > 1)
    }
}

impl<F: Dae> Residual for DaeEquation<'_, F> {
    type Real = F::Real;

    fn state_dim(&self) -> usize {
        let n = self.dae.state_dim();
        if self.scheme == Scheme::Bdf2 { 2 * n } else { n }
    }
    fn input_dim(&self) -> usize {
        self.sampling().columns()
    }
    fn params(&self) -> &[F::Real] {
        self.dae.params()
    }
    fn unknown_dim(&self) -> usize {
        self.dae.state_dim() * self.slopes().map_or(1, |tableau| tableau.stages.len())
    }
    fn scratch_dim(&self) -> usize {
        let (n, m, scratch) = (self.dae.state_dim(), self.dae.input_dim(), self.dae.scratch_dim());
        m + n + n + scratch
    }

    #[inline(always)]
    fn residual<S: Scalar<Real = F::Real>>(
        &self,
        params: &[Param<S>],
        z: &[S],
        x: &[S],
        u: &[S],
        r: &mut [S],
    ) {
        let n = self.dae.state_dim();
        let sample = self.sampling().of(u);
        let (r, work) = r.split_at_mut(z.len());
        let (room, work) = work.split_at_mut(self.dae.input_dim());
        let (other, work) = work.split_at_mut(n);
        let slopes = self.slopes();
        let (kappa, weight) = bdf2::coefficients(sample.ratio);
        let rate = (sample.dt * weight).recip();
        for stage in 0..z.len() / n {
            let own = &z[stage * n..(stage + 1) * n];
            // `other` is the slope where the unknown is the state, and the state where it is the slope.
            for j in 0..n {
                other[j] = match slopes {
                    None => {
                        let base = match self.scheme {
                            Scheme::Bdf2 => (x[j] - x[n + j]).mul_add(kappa, x[j]),
                            _ => x[j],
                        };
                        (own[j] - base) * rate
                    }
                    Some(tableau) => state(tableau, stage, sample.dt, z, x, j),
                };
            }
            let node = slopes.map_or(1.0, |tableau| tableau.nodes[stage]);
            let t = sample.dt.mul_add(S::from_f64(node), sample.t);
            let (dy, y) = if slopes.is_some() { (own, &*other) } else { (&*other, own) };
            self.dae.residual(params, t, dy, y, sample.inputs_at(node, room), work);
            r[stage * n..(stage + 1) * n].copy_from_slice(&work[..n]);
        }
    }

    #[inline(always)]
    fn state<S: Scalar<Real = F::Real>>(&self, z: &[S], x: &[S], u: &[S], next: &mut [S]) {
        let n = self.dae.state_dim();
        match self.slopes() {
            Some(tableau) => {
                let dt = self.sampling().of(u).dt;
                for (j, next) in next[..n].iter_mut().enumerate() {
                    *next = state(tableau, tableau.stages.len() - 1, dt, z, x, j);
                }
            }
            None => next[..n].copy_from_slice(z),
        }
        if self.scheme == Scheme::Bdf2 {
            next[n..].copy_from_slice(&x[..n]);
        }
    }

    /// Multipliers of constraints answer to changes of the matrix with the inverse square of the step: an earlier one is seldom good.
    fn may_keep_matrix(&self) -> bool {
        false
    }

    fn coarser(&self) -> Option<(Self, u32)> {
        let scheme = Scheme::RadauIIA5;
        // Of two steps the earlier would be another.
        (self.scheme != Scheme::Bdf2).then_some((Self { scheme, ..*self }, scheme.order()))
    }

    fn coarsen(&self, inputs: &[F::Real], steps: usize, coarse: &mut [F::Real]) {
        self.sampling().coarsen(inputs, steps, coarse);
    }

    #[inline(always)]
    fn guess<S: Scalar<Real = F::Real>>(&self, _: &[Param<S>], x: &[S], _: &[S], z: &mut [S]) {
        let n = self.dae.state_dim();
        for (i, z) in z.iter_mut().enumerate() {
            *z = if self.slopes().is_some() { S::from_f64(0.0) } else { x[i % n] };
        }
    }
}

/// Component `j` of the state at a stage, whose slopes are `z`.
#[inline(always)]
fn state<S: Scalar>(tableau: &Tableau, stage: usize, dt: S, z: &[S], x: &[S], j: usize) -> S {
    let mut y = x[j];
    for (i, &coefficient) in tableau.stages[stage].iter().enumerate() {
        y = z[i * x.len() + j].mul_add(dt * S::from_f64(coefficient), y);
    }
    y
}
