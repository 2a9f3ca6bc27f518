//! Implicit schemes: the equation of a step.
//!
//! With stages $Y_i$ at the nodes $c_i$, the last of which is the state at the end of the step unless said otherwise,
//!
//! $$ Y_i = \bar y + w \Delta t \sum_j a_{ij}\, g(t + c_j \Delta t, Y_j), $$
//!
//! where a scheme of one step has $\bar y = y$ and $w = 1$, and backward differences over two take
//! $\bar y = y + \kappa (y - y^-)$ ([`bdf2`]).

mod backward_euler;
mod bdf2;
mod dae;
mod discretized;
mod exponential;
mod implicit_midpoint;
mod linearize;
mod radau;
mod steps;
#[cfg(test)]
mod tests;
mod trapezoidal;

use super::explicit::{self, Output, modified};
use super::sampling::{Sample, Sampling};
use super::{Interpolation, Ode, Scheme};
use crate::dynamics::Residual;
use crate::dynamics::chord::{near, way};
use crate::dynamics::compact::{MOST, PAIR, Stages};
use crate::dynamics::linearized::{Room, System};
use crate::error::{Error, Result};
use crate::scalar::{Numeric, Param, Parameter, Real, Scalar};
use crate::solver::larger;
use std::fmt;

pub use dae::DaeEquation;
pub use discretized::{GridEquation, ImplicitDiscretized};
pub(super) use steps::ImplicitSteps;

/// The coefficients of a scheme.
#[derive(Debug)]
pub(super) struct Tableau {
    /// `c`; the first is that of the state before the step where [`from_start`](Self::from_start).
    pub(super) nodes: &'static [f64],
    /// `a`, a row for each unknown stage.
    pub(super) stages: &'static [&'static [f64]],
    /// Whether the first slope is that of the state before the step.
    pub(super) from_start: bool,
}

/// The tableau of a scheme; none for those that are explicit, or have none.
#[inline(always)]
pub(super) fn tableau(scheme: Scheme) -> Option<&'static Tableau> {
    match scheme {
        Scheme::BackwardEuler | Scheme::Bdf2 => Some(&backward_euler::TABLEAU),
        Scheme::Trapezoidal => Some(&trapezoidal::TABLEAU),
        Scheme::ImplicitMidpoint => Some(&implicit_midpoint::TABLEAU),
        Scheme::RadauIIA5 => Some(&radau::TABLEAU),
        _ => None,
    }
}

/// The equation of a step of an [`Ode`] by an implicit scheme, `x` being the state before it and the inputs `[t, Δt, u…]`
/// (for [`Scheme::Bdf2`] `[t, Δt, ω, u…]`, ω the ratio of this step to the one before).
///
/// The unknowns are the state at the end of the step, `[n]`, or for [`Scheme::ImplicitMidpoint`] the one half-way; for
/// [`Scheme::RadauIIA5`] the states at its three stages, `[3n]`. The state is that of the equation, `[n]`; for [`Scheme::Bdf2`] `[2n]`,
/// followed by the one before it.
pub struct StepEquation<'a, O: Ode> {
    ode: &'a O,
    scheme: Scheme,
    interpolation: Interpolation,
}

impl<O: Ode> Clone for StepEquation<'_, O> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<O: Ode> Copy for StepEquation<'_, O> {}

impl<O: Ode> fmt::Debug for StepEquation<'_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepEquation")
            .field("scheme", &self.scheme)
            .field("interpolation", &self.interpolation)
            .finish_non_exhaustive()
    }
}

impl<O: Ode> GridEquation for StepEquation<'_, O> {
    fn sampling(&self) -> Sampling {
        let m = self.ode.input_dim();
        Sampling { m, interpolation: self.interpolation, ratio: self.scheme == Scheme::Bdf2 }
    }
    fn dim(&self) -> usize {
        self.ode.state_dim()
    }
    fn scheme(&self) -> Scheme {
        self.scheme
    }
    fn interpolated(self, interpolation: Interpolation) -> Self {
        Self { interpolation, ..self }
    }
    fn check(&self) -> Result<()> {
        if self.scheme.is_implicit() {
            return Ok(());
        }
        let expected = "an implicit one (for explicit ones use Discretized)";
        Err(Error::setting("scheme", expected, self.scheme))
    }
}

impl<O: Ode> Residual for StepEquation<'_, O> {
    type Real = O::Real;

    fn state_dim(&self) -> usize {
        let n = self.ode.state_dim();
        if self.scheme == Scheme::Bdf2 { 2 * n } else { n }
    }
    fn input_dim(&self) -> usize {
        self.sampling().columns()
    }
    fn params(&self) -> &[O::Real] {
        self.ode.params()
    }
    fn unknown_dim(&self) -> usize {
        self.ode.state_dim() * tableau(self.scheme).map_or(1, |tableau| tableau.stages.len())
    }
    fn scratch_dim(&self) -> usize {
        let (n, m, scratch) = (self.ode.state_dim(), self.ode.input_dim(), self.ode.scratch_dim());
        m + match self.scheme {
            Scheme::ExponentialMidpoint => exponential::scratch_dim(n),
            _ => n + scratch,
        }
    }

    #[inline(always)]
    fn residual<S: Scalar<Real = O::Real>>(
        &self,
        params: &[Param<S>],
        z: &[S],
        x: &[S],
        u: &[S],
        r: &mut [S],
    ) {
        let n = self.ode.state_dim();
        let sample = self.sampling().of(u);
        let (r, work) = r.split_at_mut(z.len());
        let (room, work) = work.split_at_mut(self.ode.input_dim());
        let Some(tableau) = tableau(self.scheme) else {
            return exponential::residual(self.ode, params, sample, z, &x[..n], r, work);
        };
        let (kappa, weight) = bdf2::coefficients(sample.ratio);
        for i in 0..z.len() {
            let y = x[i % n];
            let base = match self.scheme {
                Scheme::Bdf2 => (y - x[n + i % n]).mul_add(kappa, y),
                _ => y,
            };
            r[i] = z[i] - base;
        }
        let dt = match self.scheme {
            Scheme::Bdf2 => sample.dt * weight,
            _ => sample.dt,
        };
        for (e, &node) in tableau.nodes.iter().enumerate() {
            let known = usize::from(tableau.from_start);
            let y = if e < known { &x[..n] } else { &z[(e - known) * n..][..n] };
            let t = sample.dt.mul_add(S::from_f64(node), sample.t);
            self.ode.rhs(params, t, y, sample.inputs_at(node, room), work);
            for (row, coefficients) in tableau.stages.iter().enumerate() {
                let weight = dt * S::from_f64(-coefficients[e]);
                for j in 0..n {
                    r[row * n + j] = work[j].mul_add(weight, r[row * n + j]);
                }
            }
        }
    }

    #[inline(always)]
    fn prepares(&self) -> bool {
        true
    }

    /// The state at the beginning, and what the slope there adds. Of schemes with a tableau alone: the exponential one does not learn.
    #[inline(always)]
    fn prepare<S: Scalar<Real = O::Real>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        known: &mut [S],
        work: &mut [S],
    ) {
        let n = self.ode.state_dim();
        let sample = self.sampling().of(u);
        let tableau = tableau(self.scheme).unwrap_or(&backward_euler::TABLEAU);
        let (x, known) = (&x[..self.state_dim()], &mut known[..n]);
        known.copy_from_slice(&x[..n]);
        if self.scheme == Scheme::Bdf2 {
            let (kappa, _) = bdf2::coefficients(sample.ratio);
            for j in 0..n {
                known[j] = (x[j] - x[n + j]).mul_add(kappa, x[j]);
            }
        }
        if tableau.from_start {
            let (room, slope) = work.split_at_mut(self.ode.input_dim());
            self.ode.rhs(params, sample.t, &x[..n], sample.inputs_at(0.0, room), slope);
            let weight = sample.dt * S::from_f64(tableau.stages[0][0]);
            for j in 0..n {
                known[j] = slope[j].mul_add(weight, known[j]);
            }
        }
    }

    #[inline(always)]
    fn evaluate<S: Scalar<Real = O::Real>>(
        &self,
        params: &[Param<S>],
        z: &[S],
        _: &[S],
        u: &[S],
        r: &mut [S],
    ) {
        let n = self.ode.state_dim();
        let sample = self.sampling().of(u);
        let tableau = tableau(self.scheme).unwrap_or(&backward_euler::TABLEAU);
        let (r, work) = r.split_at_mut(z.len());
        let (room, slope) = work.split_at_mut(self.ode.input_dim());
        let mut dt = sample.dt;
        if self.scheme == Scheme::Bdf2 {
            dt *= bdf2::coefficients(sample.ratio).1;
        }
        let start = usize::from(tableau.from_start);
        r.fill(S::from_f64(0.0));
        for (stage, z) in z.chunks_exact(n).enumerate() {
            let node = tableau.nodes[start + stage];
            let t = sample.dt.mul_add(S::from_f64(node), sample.t);
            self.ode.rhs(params, t, z, sample.inputs_at(node, room), slope);
            for (r, coefficients) in r.chunks_exact_mut(n).zip(tableau.stages) {
                let weight = dt * S::from_f64(-coefficients[start + stage]);
                for j in 0..n {
                    r[j] = slope[j].mul_add(weight, r[j]);
                }
            }
        }
    }

    #[inline(always)]
    fn linearize<P: Numeric<Real = O::Real, Plain = P>>(
        &self,
        params: &[Parameter<O::Real>],
        z: &[P],
        x: &[P],
        u: &[P],
        room: &mut Room<P>,
        system: System<'_, P>,
    ) {
        self.differentiate(params, z, x, u, room, system);
    }

    #[inline(always)]
    fn stages(&self) -> usize {
        let n = self.ode.state_dim();
        match self.scheme {
            _ if n > PAIR => 0,
            Scheme::ExponentialMidpoint => 0,
            Scheme::RadauIIA5 => 3,
            _ => 1,
        }
    }

    #[inline(always)]
    fn stage_dim(&self) -> usize {
        self.ode.state_dim()
    }

    #[inline(always)]
    fn lifts(&self) -> bool {
        self.ode.input_dim() > 0
    }

    #[inline(always)]
    fn linearize_stages<P: Numeric<Real = O::Real, Plain = P>, const S: usize>(
        &self,
        params: &[Parameter<O::Real>],
        z: &[P; MOST],
        x: &[P],
        u: &[P],
        room: &mut Room<P>,
    ) -> Stages<P, S> {
        self.differentiate_stages(params, z, x, u, room)
    }

    fn learns(&self) -> bool {
        // Squaring the exponential makes more of rounding than others do.
        self.scheme != Scheme::ExponentialMidpoint
    }

    fn independent_dim(&self) -> usize {
        match self.scheme {
            Scheme::ExponentialMidpoint => self.unknown_dim(),
            _ => self.ode.state_dim(),
        }
    }

    #[inline(always)]
    fn state<S: Scalar<Real = O::Real>>(&self, z: &[S], x: &[S], _: &[S], next: &mut [S]) {
        let n = self.ode.state_dim();
        let last = &z[z.len() - n..];
        for j in 0..n {
            next[j] = match self.scheme {
                // The stage is half-way.
                Scheme::ImplicitMidpoint => last[j] + (last[j] - x[j]),
                _ => last[j],
            };
        }
        if self.scheme == Scheme::Bdf2 {
            next[n..].copy_from_slice(&x[..n]);
        }
    }

    fn coarser(&self) -> Option<(Self, u32)> {
        let scheme = Scheme::RadauIIA5;
        // Of two steps the earlier would be another.
        (self.scheme != Scheme::Bdf2).then_some((Self { scheme, ..*self }, scheme.order()))
    }

    fn coarser_explicit(&self) -> Option<(Self, u32)> {
        let scheme = Scheme::Tsit5;
        (self.scheme != Scheme::Bdf2).then_some((Self { scheme, ..*self }, scheme.order()))
    }

    #[inline(always)]
    fn explicit(&self) -> Option<usize> {
        let (n, m, scratch) = (self.ode.state_dim(), self.ode.input_dim(), self.ode.scratch_dim());
        (!self.scheme.is_implicit()).then(|| {
            let own = explicit::scratch_dim(self.scheme, Output::State, n, m, scratch);
            own.max(modified::scratch_dim(n, m, scratch))
        })
    }

    fn stands_for(&self, short: &Self) -> bool {
        self.scheme == Scheme::Tsit5 && short.scheme == Scheme::BackwardEuler
    }

    #[inline(always)]
    fn advance<S: Scalar<Real = O::Real>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        short: Option<(&Self, S)>,
        next: &mut [S],
    ) {
        let sample = self.sampling().of(u);
        if let Some((_, ratio)) = short.filter(|(short, _)| self.stands_for(short)) {
            return modified::step(self.ode, params, sample, ratio, x, next);
        }
        explicit::step(self.ode, self.scheme, Output::State, params, sample, x, next);
    }

    /// By how much the slope changes in a direction with a part in all components.
    fn strain(
        &self,
        params: &[Parameter<O::Real>],
        x: &[O::Real],
        u: &[O::Real],
        sizes: &[f64],
    ) -> f64 {
        let n = self.ode.state_dim();
        let near = near::<O::Real>();
        // Of one that is zero throughout any will do.
        let sizes = || sizes.iter().map(|&size| if size > f64::MIN_POSITIVE { size } else { 1.0 });
        let Sample { t, dt, from, .. } = self.sampling().of(u);
        let shifted: Vec<_> = (x.iter().zip(sizes()).enumerate())
            .map(|(i, (&x, size))| x + O::Real::from_f64(way(i) * near * size))
            .collect();
        let zeros = vec![O::Real::default(); n + self.ode.scratch_dim()];
        let [here, there] = [x, &shifted].map(|y| {
            let mut slope = zeros.clone();
            self.ode.rhs(params, t, y, from, &mut slope);
            slope
        });
        let changes = here.iter().zip(&there).zip(sizes());
        changes.fold(0.0, |most, ((here, there), size)| {
            larger(most, ((*there - *here) * dt).to_f64().abs() / (near * size))
        })
    }

    fn extrapolated(&self) -> Option<(Self, u32)> {
        match self.scheme {
            Scheme::BackwardEuler => Some((*self, 1)),
            Scheme::Trapezoidal | Scheme::ImplicitMidpoint => Some((*self, 2)),
            _ => None,
        }
    }

    #[inline(always)]
    fn divide_input<S: Scalar<Real = O::Real>>(
        &self,
        u: &[S],
        index: usize,
        count: usize,
        part: &mut [S],
    ) {
        self.sampling().divide(u, index, count, part);
    }

    fn coarsen(&self, inputs: &[O::Real], steps: usize, coarse: &mut [O::Real]) {
        self.sampling().coarsen(inputs, steps, coarse);
    }
}
