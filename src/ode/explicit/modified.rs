//! The equation that backward Euler solves exactly.
//!
//! With the steps $h$ of $y_{k+1} = y_k + h\, g(t_{k+1}, y_{k+1})$, the difference $\nabla v_k = v_k - v_{k-1}$ and $D$ for the derivative in
//! time, $h D = -\ln(1 - \nabla)$, so that what goes through its points is the solution of
//!
//! $$ \dot y = \frac{-\ln(1 - \nabla)}{\nabla}\, g = \Bigl(1 + \frac{\nabla}{2} + \frac{\nabla^2}{3} + \frac{\nabla^3}{4} + \dots\Bigr) g $$
//!
//! (the modified equation; Hairer, Lubich & Wanner, *Geometric Numerical Integration*, IX). The points before $y$ follow from it without solving
//! anything: $y_{k-1} = y_k - h\, g(t_k, y_k)$. What is left out is $h^4 D^4 g / 5$.

use super::{Field, Output, by_tableau, tsit5};
use crate::ode::sampling::Sample;
use crate::ode::{Ode, Scheme};
use crate::scalar::{Param, Scalar};

/// What the slopes at `y` and at the points before it are multiplied by.
const WEIGHTS: [f64; 4] = [25.0 / 12.0, -23.0 / 12.0, 13.0 / 12.0, -1.0 / 4.0];

/// Entries of workspace that [`step`] needs.
pub(in crate::ode) fn scratch_dim(n: usize, m: usize, scratch: usize) -> usize {
    // A point before, and the slope there, beside those of a step.
    super::scratch_dim(Scheme::Tsit5, Output::State, n, m, scratch) + 2 * n + scratch
}

/// One step of [`Scheme::Tsit5`] for steps of backward Euler that are `ratio` times as long; `next` has `n` and
/// [`scratch_dim`] entries.
#[inline(always)]
pub(in crate::ode) fn step<O: Ode, S: Scalar<Real = O::Real>>(
    ode: &O,
    params: &[Param<S>],
    sample: Sample<'_, S>,
    ratio: S,
    y: &[S],
    next: &mut [S],
) {
    let (n, m) = (ode.state_dim(), ode.input_dim());
    let (next, work) = next.split_at_mut(n);
    let (stage, work) = work.split_at_mut(n);
    let (room, work) = work.split_at_mut(m);
    let (before, work) = work.split_at_mut(n);
    let (own, slopes) = work.split_at_mut(n + ode.scratch_dim());
    let mut field = Modified { ode, params, sample, ratio, room, before, own };
    by_tableau(&tsit5::TABLEAU, Output::State, &mut field, sample.dt, y, next, stage, slopes);
}

/// The field of the modified equation.
struct Modified<'s, O, S: Scalar> {
    ode: &'s O,
    params: &'s [Param<S>],
    sample: Sample<'s, S>,
    ratio: S,
    room: &'s mut [S],
    /// A point before, and the slope of `ode` there.
    before: &'s mut [S],
    own: &'s mut [S],
}

impl<O: Ode, S: Scalar<Real = O::Real>> Field<S> for Modified<'_, O, S> {
    #[inline(always)]
    fn slope(&mut self, node: f64, y: &[S], slope: &mut [S]) {
        let Self { ode, params, sample, ratio, room, before, own } = self;
        let h = sample.dt * *ratio;
        let slope = &mut slope[..y.len()];
        before.copy_from_slice(y);
        slope.fill(S::from_f64(0.0));
        let mut place = S::from_f64(node);
        for weight in WEIGHTS {
            let t = sample.dt.mul_add(place, sample.t);
            ode.rhs(params, t, before, sample.inputs_about(place, room), own);
            for ((slope, before), &own) in slope.iter_mut().zip(&mut **before).zip(&**own) {
                *slope = own.mul_add(S::from_f64(weight), *slope);
                *before -= own * h;
            }
            place -= *ratio;
        }
    }
}
