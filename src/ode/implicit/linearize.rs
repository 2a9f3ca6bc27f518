//! Derivatives of the equation of a step.

use super::{GridEquation, StepEquation, backward_euler, bdf2, tableau};
use crate::dynamics::compact::{self, MOST, PAIR, Stages};
use crate::dynamics::linearized::{self, By, PARTIALS, Room, System, vary};
use crate::ode::sampling::Sample;
use crate::ode::{Ode, Scheme};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Dual, Isa, Numeric, Parameter, Scalar};

impl<O: Ode> StepEquation<'_, O> {
    /// [`linearize`](crate::Residual::linearize) stage by stage, since each slope depends on its own stage alone.
    #[inline(always)]
    pub(super) fn differentiate<P: Numeric<Real = O::Real, Plain = P>>(
        &self,
        params: &[Parameter<O::Real>],
        z: &[P],
        x: &[P],
        u: &[P],
        room: &mut Room<P>,
        system: System<'_, P>,
    ) {
        let Some(tableau) = tableau(self.scheme) else {
            // Long, and seldom wanted: out of the way of the others.
            return P::enter(Exponential { equation: self, params, z, x, room, system });
        };
        let System { r, by, matrix } = system;
        let (n, m, k) = (self.ode.state_dim(), self.ode.input_dim(), z.len());
        let columns = if by == By::State { x.len() } else { k };
        let Sample { t, dt, ratio, .. } = self.sampling().of(u);
        let varied = self.sampling().of(&room.u);
        let (inside, work) = room.r.split_at_mut(m);
        let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
        // What there is beside the slopes.
        for i in 0..k {
            r[i] = z[i] - x[i % n];
        }
        if by == By::State {
            matrix.fill(zero);
        }
        let (mut past, mut weighted) = (one, dt);
        if self.scheme == Scheme::Bdf2 {
            let (kappa, weight) = bdf2::coefficients(ratio);
            for i in 0..n {
                r[i] -= (x[i] - x[n + i]) * kappa;
                if by == By::State {
                    matrix[i * columns + n + i] = kappa;
                }
            }
            past += kappa;
            weighted *= weight;
        }
        if by == By::State {
            for i in 0..k {
                matrix[i * columns + i % n] = -past;
            }
        }
        let known = usize::from(tableau.from_start);
        for (stage, &node) in tableau.nodes.iter().enumerate() {
            let start = stage < known;
            // The first column that depends on the slope.
            let from = if start { 0 } else { (stage - known) * n };
            let y = if start { &x[..n] } else { &z[from..from + n] };
            let partials = by == if start { By::State } else { By::Unknowns };
            if by == By::State && !start {
                continue;
            }
            if by != By::State && start {
                let weight = weighted * P::Real::from_f64(-tableau.stages[0][0]);
                self.add_slope_at_start(params, weight, x, u, &mut room.plain, r);
                continue;
            }
            let t = dt.mul_add(P::from_f64(node), t);
            let inputs = varied.inputs_at(node, inside);
            for first in (0..n).step_by(PARTIALS) {
                let none = usize::MAX - PARTIALS;
                vary(y, if partials { first } else { none }, &mut room.x);
                self.ode.rhs(params, Dual::lift(t), &room.x[..n], inputs, work);
                for (row, coefficients) in tableau.stages.iter().enumerate() {
                    let weight = weighted * P::Real::from_f64(-coefficients[stage]);
                    for (j, slope) in work[..n].iter().enumerate() {
                        let i = row * n + j;
                        if first == 0 {
                            r[i] = slope.value.mul_add(weight, r[i]);
                        }
                        let own = if partials { first..n.min(first + PARTIALS) } else { 0..0 };
                        for column in own {
                            let entry = slope.tangents[column - first] * weight;
                            let column = from + column;
                            let place = i * columns + column;
                            matrix[place] = match by {
                                By::State => matrix[place] + entry,
                                _ if i == column => one + entry,
                                _ => entry,
                            };
                        }
                    }
                }
                if !partials {
                    break;
                }
            }
        }
    }

    /// [`linearize_stages`](crate::Residual::linearize_stages) likewise.
    #[inline(always)]
    pub(super) fn differentiate_stages<P: Numeric<Real = O::Real, Plain = P>, const S: usize>(
        &self,
        params: &[Parameter<O::Real>],
        z: &[P; MOST],
        x: &[P],
        u: &[P],
        room: &mut Room<P>,
    ) -> Stages<P, S> {
        let (n, m) = (self.ode.state_dim().min(PAIR), self.ode.input_dim());
        let tableau = tableau(self.scheme).unwrap_or(&backward_euler::TABLEAU);
        let Sample { t, dt, ratio, .. } = self.sampling().of(u);
        let varied = self.sampling().of(&room.u);
        let (inside, slope) = room.r.split_at_mut(m);
        let mut own = [Dual::from_f64(0.0); PAIR];
        let scratch = self.ode.scratch_dim();
        let slope = if scratch == 0 { &mut own[..n] } else { slope };
        let mut system = Stages::new();
        let Stages { r, blocks } = &mut system;
        for row in 0..S {
            for j in 0..n {
                r[row * n + j] = z[row * n + j] - x[j];
            }
        }
        let mut weighted = dt;
        if self.scheme == Scheme::Bdf2 {
            let (kappa, weight) = bdf2::coefficients(ratio);
            for j in 0..n {
                r[j] -= (x[j] - x[n + j]) * kappa;
            }
            weighted *= weight;
        }
        let from_start = S == 1 && tableau.from_start;
        if from_start {
            let weight = weighted * P::Real::from_f64(-tableau.stages[0][0]);
            self.add_slope_at_start(params, weight, x, u, &mut room.plain, &mut r[..n]);
        }
        for stage in 0..S {
            let e = stage + usize::from(from_start);
            let node = tableau.nodes[e];
            let time = Dual::lift(dt.mul_add(P::from_f64(node), t));
            let inputs = varied.inputs_at(node, inside);
            let at = compact::vary(&z[stage * n..(stage + 1) * n]);
            self.ode.rhs(params, time, &at[..n], inputs, slope);
            for row in 0..S {
                let weight = weighted * P::Real::from_f64(-tableau.stages[row][e]);
                for j in 0..n {
                    r[row * n + j] = slope[j].value.mul_add(weight, r[row * n + j]);
                    for c in 0..n {
                        let entry = &mut blocks[row][stage].0[j][c];
                        *entry = slope[j].tangents[c].mul_add(weight, *entry);
                    }
                }
            }
        }
        system
    }

    /// Adds `weight` times the slope before the step to `r`, `room` being `[m + n]` and the equation's workspace.
    #[inline(always)]
    fn add_slope_at_start<P: Numeric<Real = O::Real, Plain = P>>(
        &self,
        params: &[Parameter<O::Real>],
        weight: P,
        x: &[P],
        u: &[P],
        room: &mut [P],
        r: &mut [P],
    ) {
        let n = self.ode.state_dim();
        let (inside, slope) = room.split_at_mut(self.ode.input_dim());
        let sample = self.sampling().of(u);
        let inputs = sample.inputs_at(0.0, inside);
        let mut own = [P::from_f64(0.0); PAIR];
        let in_registers = n <= PAIR && self.ode.scratch_dim() == 0;
        let slope = if in_registers { &mut own[..n] } else { slope };
        self.ode.rhs(params, sample.t, &x[..n], inputs, slope);
        for (r, slope) in r.iter_mut().zip(&slope[..n]) {
            *r = slope.mul_add(weight, *r);
        }
    }
}

/// The exponential scheme, differentiated as a whole.
struct Exponential<'k, 'a, O: Ode, P: Numeric> {
    equation: &'k StepEquation<'a, O>,
    params: &'k [Parameter<O::Real>],
    z: &'k [P],
    x: &'k [P],
    room: &'k mut Room<P>,
    system: System<'k, P>,
}

impl<O: Ode, P: Numeric<Real = O::Real, Plain = P>> Kernel for Exponential<'_, '_, O, P> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { equation, params, z, x, room, system } = self;
        linearized::linearize(equation, params, z, x, room, system);
    }
}
