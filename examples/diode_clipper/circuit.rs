//! The diode clipper of guitar pedals, and the loop that an audio programmer would write for it.
//!
//! ```text
//! u ──R──┬──────┬────── v
//!        C   diodes ⇅
//!        ⏊      ⏊
//! ```
//!
//! $$ \dot v = \frac{u - v}{R C} - \frac{2 I_s}{C} \sinh \frac{v}{V_T} $$
//!
//! (Yeh, Abel & Smith, *Simulation of the diode limiter in guitar distortion circuits by numerical solution of ordinary
//! differential equations*, DAFx 2007, from which the values are.)

use deer_solver::scalar::{Param, Scalar};
use deer_solver::{Dynamics, Residual};

/// Ohm and farad.
const RESISTANCE: f64 = 2.2e3;
const CAPACITANCE: f64 = 10e-9;
/// Of the diodes (1N4148), ampere and volt.
const SATURATION_CURRENT: f64 = 2.52e-9;
const THERMAL_VOLTAGE: f64 = 45.3e-3;

/// 1/(RC), a second.
const RATE: f64 = 1.0 / (RESISTANCE * CAPACITANCE);
/// 2 I_s / C, volt a second.
const DIODES: f64 = 2.0 * SATURATION_CURRENT / CAPACITANCE;
const INVERSE_VOLTAGE: f64 = 1.0 / THERMAL_VOLTAGE;

/// The trapezoidal rule, every `2 half` seconds. Input `[u]`, state `[v, v + Δt/2 v̇]`: with the second the slope before
/// the step is not computed again, and costs no exponential.
///
/// $$ v^+ = v + \tfrac{\Delta t}{2} \dot v + \tfrac{\Delta t}{2} \dot v^+, \qquad
///    v^+ + \tfrac{\Delta t}{2} \dot v^+ = 2 v^+ - (v + \tfrac{\Delta t}{2} \dot v) $$
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clipper {
    half: f64,
}

impl Clipper {
    /// Steps of `dt` seconds.
    pub(crate) fn new(dt: f64) -> Self {
        Self { half: 0.5 * dt }
    }

    /// The state of a discharged capacitor where the input is `u`.
    pub(crate) fn discharged(&self, u: f64) -> [f64; 2] {
        [0.0, self.half * RATE * u]
    }

    /// Sample by sample: Halley's iteration, which triples the digits, from where the slope leads; one exponential an
    /// iteration. `u` `[T + 1]`, from a discharged capacitor; result `[T]`.
    #[inline(never)]
    pub(crate) fn sample_by_sample(&self, u: &[f64]) -> Vec<f64> {
        /// Volt. The next correction is about the cube of this one over 12 V_T²: below rounding.
        const ENOUGH: f64 = 1e-6;
        const MOST: usize = 50;
        let (rate, diodes) = (self.half * RATE, self.half * DIODES);
        let [mut v, mut known] = self.discharged(u[0]);
        u[1..]
            .iter()
            .map(|&u| {
                v = (known + known - v).clamp(-LARGEST, LARGEST);
                for _ in 0..MOST {
                    let e = (v * INVERSE_VOLTAGE).exp();
                    let inverse = 1.0 / e;
                    let sinh = 0.5 * diodes * (e - inverse);
                    let cosh = 0.5 * diodes * (e + inverse);
                    let residual = v - known - rate * (u - v) + sinh;
                    let slope = 1.0 + rate + INVERSE_VOLTAGE * cosh;
                    let curvature = INVERSE_VOLTAGE * INVERSE_VOLTAGE * sinh;
                    let correction =
                        residual * slope / (slope * slope - 0.5 * residual * curvature);
                    v -= correction;
                    if correction.abs() < ENOUGH {
                        break;
                    }
                }
                known = v + v - known;
                v
            })
            .collect()
    }
}

/// Volt: the diodes do not let it be more for an input below a kilovolt.
const LARGEST: f64 = 1.0;

/// The same with a fixed number of iterations: an explicit step, which needs neither derivatives by the library nor a test in
/// every lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unrolled {
    pub(crate) clipper: Clipper,
    pub(crate) iterations: usize,
}

impl Dynamics for Unrolled {
    type Real = f64;
    fn state_dim(&self) -> usize {
        2
    }
    fn input_dim(&self) -> usize {
        1
    }
    #[inline(always)]
    fn step<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
        let (rate, diodes) = (self.clipper.half * RATE, self.clipper.half * DIODES);
        let largest = S::constant(LARGEST);
        let mut v = (x[1] + x[1] - x[0]).min(largest).max(-largest);
        // v (1 + rate) − given is the residual without the diodes.
        let given = u[0].mul_add(S::constant(rate), x[1]);
        for _ in 0..self.iterations {
            let e = (v * INVERSE_VOLTAGE).exp();
            let inverse = e.recip();
            let sinh = (e - inverse) * (0.5 * diodes);
            let slope = (e + inverse) * (0.5 * diodes * INVERSE_VOLTAGE) + (1.0 + rate);
            let residual = v.mul_add(S::constant(1.0 + rate), sinh - given);
            let half_curvature = sinh * (0.5 * INVERSE_VOLTAGE * INVERSE_VOLTAGE);
            v -= residual * slope / (slope * slope - residual * half_curvature);
        }
        next[0] = v;
        next[1] = v + v - x[1];
    }
}

impl Residual for Clipper {
    type Real = f64;
    fn state_dim(&self) -> usize {
        2
    }
    fn input_dim(&self) -> usize {
        1
    }
    fn unknown_dim(&self) -> usize {
        1
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
        let through_resistor = (u[0] - z[0]) * (self.half * RATE);
        let through_diodes = (z[0] * INVERSE_VOLTAGE).sinh() * (self.half * DIODES);
        r[0] = z[0] - x[1] - through_resistor + through_diodes;
    }
    #[inline(always)]
    fn state<S: Scalar<Real = f64>>(&self, z: &[S], x: &[S], _: &[S], next: &mut [S]) {
        next[0] = z[0];
        next[1] = z[0] + z[0] - x[1];
    }
    #[inline(always)]
    fn guess<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], _: &[S], z: &mut [S]) {
        let largest = S::constant(LARGEST);
        z[0] = (x[1] + x[1] - x[0]).min(largest).max(-largest);
    }
}
