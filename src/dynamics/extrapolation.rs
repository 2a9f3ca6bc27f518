//! A long step that stands for many short ones.
//!
//! Where many steps of length `h` with the error `C h^p` lead is known from fewer, longer ones: the state at the end is nearly a polynomial
//! in `h^p`, of which one step over the whole length `H`, two over its halves and a step of much higher order, which stands for `h = 0`,
//! give points (Richardson's extrapolation, but to `h` instead of 0; Hairer, Nørsett & Wanner, *Solving Ordinary Differential Equations I*,
//! II.8 and II.9). What is left of the error is about `C h^p H^p`.

use super::Residual;
use super::implicit::Work;
use crate::scalar::{Numeric, Parameter, Real, Scalar};

/// The equation whose short steps are meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Short<F> {
    pub(super) residual: F,
    /// `p`: 1, or 2 where only even powers are in the error.
    pub(super) order: u32,
    /// Whether the long step leads there by itself.
    pub(super) met: bool,
}

impl<F: Residual> Short<F> {
    /// Of `residual`, where its error has an expansion, for long steps by `long`.
    pub(super) fn of(residual: &F, long: &F) -> Option<Self> {
        let met = long.stands_for(residual);
        residual.extrapolated().map(|(residual, order)| Self { residual, order, met })
    }

    /// Points of the polynomial beside that of the step of higher order: over the whole length, over its halves.
    pub(super) fn points(&self) -> usize {
        match (self.met, self.order) {
            (true, _) => 0,
            (false, 1) => 2,
            (false, _) => 1,
        }
    }

    /// The power of the long step in what is left of the error, where that is more than the error of the step of higher order.
    pub(super) fn power(&self) -> u32 {
        if self.order == 1 && !self.met { 2 } else { u32::MAX }
    }

    /// Steps that are taken for these: one over the whole length, two over its halves.
    pub(super) fn steps(&self) -> u32 {
        (1..=self.points() as u32).sum()
    }

    /// Writes to `next` what many of its steps would lead to; on entry that is where the step of higher order leads. The input `u` `[m + 1]` is
    /// that of a step of length `H`, followed by `h / H`.
    #[inline(always)]
    pub(super) fn correct<S: Numeric<Real = F::Real>>(
        &self,
        params: &[Parameter<F::Real>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        room: &mut Room<S>,
    ) {
        let (n, m) = (self.residual.state_dim(), self.residual.input_dim());
        let ratio = u[m];
        // Where they lead from the same state, against the step of higher order.
        for (parts, work) in room.works.iter_mut().enumerate().map(|(k, work)| (k + 1, work)) {
            room.from.copy_from_slice(x);
            for part in 0..parts {
                self.residual.divide_input(&u[..m], part, parts, &mut room.u);
                work.step(&self.residual, params, &room.from, &room.u, None, &mut room.to);
                room.from.copy_from_slice(&room.to);
            }
            let differences = &mut room.differences[(parts - 1) * n..parts * n];
            for (difference, (to, next)) in differences.iter_mut().zip(room.to.iter().zip(&*next)) {
                *difference = *to - *next;
            }
        }
        let one = S::from_f64(1.0);
        let weights = match self.points() {
            1 => [ratio * ratio, S::from_f64(0.0)],
            _ => [ratio * (ratio + ratio - one), ratio * (one - ratio) * S::Real::from_f64(4.0)],
        };
        for (differences, weight) in room.differences.chunks_exact(n).zip(weights) {
            for (next, &difference) in next.iter_mut().zip(differences) {
                *next = difference.mul_add(weight, *next);
            }
        }
    }
}

/// What [`Short::correct`] works with.
#[derive(Debug)]
pub(super) struct Room<S: Numeric> {
    works: Vec<Work<S>>,
    from: Vec<S>,
    to: Vec<S>,
    u: Vec<S>,
    /// `[points, n]`
    differences: Vec<S>,
}

impl<S: Numeric> Room<S> {
    #[inline(always)]
    pub(super) fn new<F: Residual<Real = S::Real>>(short: &Short<F>) -> Self {
        let (residual, points, zero) = (&short.residual, short.points(), S::from_f64(0.0));
        let n = residual.state_dim();
        Self {
            works: (0..points).map(|_| Work::new(residual)).collect(),
            from: vec![zero; n],
            to: vec![zero; n],
            u: vec![zero; residual.input_dim()],
            differences: vec![zero; points * n],
        }
    }
}

/// [`Residual::coarsen`] with the ratio of the short steps to the long ones at the end of each input of `coarse`, and of `inputs` where these
/// are `long` already.
pub(super) fn coarsen<F: Residual>(
    residual: &F,
    long: bool,
    inputs: &[F::Real],
    steps: usize,
    coarse: &mut [F::Real],
) {
    let m = residual.input_dim();
    let columns = m + usize::from(long);
    let count = inputs.len() / columns;
    let mut merged = vec![F::Real::default(); steps * m];
    if long {
        let plain: Vec<_> =
            inputs.chunks_exact(columns).flat_map(|input| input[..m].iter().copied()).collect();
        residual.coarsen(&plain, steps, &mut merged);
    } else {
        residual.coarsen(inputs, steps, &mut merged);
    }
    for (k, coarse) in coarse.chunks_exact_mut(m + 1).enumerate() {
        let (from, to) = (k * count / steps, (k + 1) * count / steps);
        let short: f64 = match long {
            true => (from..to).map(|step| 1.0 / inputs[step * columns + m].to_f64()).sum(),
            false => (to - from) as f64,
        };
        coarse[..m].copy_from_slice(&merged[k * m..(k + 1) * m]);
        coarse[m] = F::Real::from_f64(1.0 / short);
    }
}
