//! The equation of a step, solved.

use super::Residual;
use super::elimination::Elimination;
use super::linearized::{By, Room, System};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Isa, Numeric, Parameter, Real, Scalar};

/// Iterations that may take whole corrections.
pub(super) const UNDAMPED: usize = 12;
/// A first correction beyond which a start that is not the equation's own guess is too far off.
pub(super) const FAR: f64 = 1e-2;
/// Further ones, damped, allowed where those do not get there.
pub(super) const MOST: usize = 100;

/// Newton's method in lanes, each until it is done.
#[derive(Debug)]
pub(super) struct Newton<P: Numeric> {
    pub(super) x: Vec<P>,
    pub(super) u: Vec<P>,
    pub(super) z: Vec<P>,
    /// The equation's own guess.
    guess: Vec<P>,
    pub(super) learned: Learned<P>,
    /// Unknowns that [`solve_compact`](Self::solve_compact) found.
    pub(super) found: Vec<P>,
    /// The residual, then the correction.
    delta: Vec<P>,
    /// For damping: where a correction starts, and the whole of it.
    start: Vec<P>,
    direction: Vec<P>,
    elimination: Elimination<P>,
    /// `∂F/∂x`, then `∂z/∂x`, `[k, n]`
    pub(super) by_state: Vec<P>,
    pub(super) room: Room<P>,
}

impl<P: Numeric<Plain = P>> Newton<P> {
    #[inline(always)]
    pub(super) fn new<F: Residual<Real = P::Real>>(residual: &F) -> Self {
        let (k, zero) = (residual.unknown_dim(), P::from_f64(0.0));
        Self {
            x: vec![zero; residual.state_dim()],
            u: vec![zero; residual.input_dim()],
            z: vec![zero; k],
            guess: vec![zero; k],
            learned: Learned::new(k),
            found: vec![zero; k],
            delta: vec![zero; k],
            start: vec![zero; k],
            direction: vec![zero; k],
            elimination: Elimination::new(k),
            by_state: vec![zero; k * residual.state_dim()],
            room: Room::new(residual),
        }
    }

    /// Writes `F` at `z` and its derivatives. It is called from one place alone: most of what is compiled is here.
    #[inline(always)]
    fn evaluate<F: Residual<Real = P::Real>>(
        &mut self,
        residual: &F,
        params: &[Parameter<P::Real>],
        by: By,
    ) {
        let Self { z, x, u, room, delta, elimination, by_state, .. } = self;
        let matrix = if by == By::State { by_state } else { &mut elimination.matrix };
        residual.linearize(params, z, x, u, room, System { r: delta, by, matrix });
    }

    /// Writes the equation's guess, and to `z` where Newton's method is to start: there, or where that leads if the guess lacks
    /// what it lacked in the steps before, should they go on alike.
    #[inline(always)]
    fn begin<F: Residual<Real = P::Real>>(&mut self, residual: &F, params: &[Parameter<P::Real>]) {
        self.room.begin(&self.x, &self.u);
        residual.guess(params, &self.x, &self.u, &mut self.guess);
        for (i, &guess) in self.guess.iter().enumerate() {
            self.z[i] = guess + self.learned.lacks[i];
        }
    }

    /// Solves `F = 0` for the state `x` and the input `u`; with `derivatives`, also writes `∂z/∂x`. Lanes without a solution end in NaN.
    ///
    /// Lanes that whole corrections do not bring there go back to the equation's guess, and take of each correction the part that leaves a
    /// smaller one under the same matrix (affine invariant damping; Deuflhard, *Newton Methods for Nonlinear Problems*, 3.3).
    #[inline(always)]
    pub(super) fn solve<F: Residual<Real = P::Real>>(
        &mut self,
        residual: &F,
        params: &[Parameter<P::Real>],
        derivatives: bool,
    ) {
        // Most of what a recurrence is compiled to: kernels share it.
        P::enter(Iteration { newton: self, residual, params, derivatives });
    }

    #[inline(always)]
    fn solve_here<F: Residual<Real = P::Real>>(
        &mut self,
        residual: &F,
        params: &[Parameter<P::Real>],
        derivatives: bool,
    ) {
        let zero = P::from_f64(0.0);
        // A lane that is done there keeps what it found there, whatever its neighbours still do.
        let found = self.solve_compact(residual, params);
        let solved = all(found);
        if solved && !derivatives {
            self.z.copy_from_slice(&self.found);
            return;
        }
        self.begin(residual, params);
        if solved {
            self.z.copy_from_slice(&self.found);
        }
        let mut course = Course::new();
        let mut by = By::Unknowns;
        loop {
            self.evaluate(residual, params, by);
            if by == By::State {
                break;
            }
            if by == By::Unknowns {
                self.elimination.factor_fast();
            }
            if solved {
                // For want of the factors only.
                by = By::State;
                continue;
            }
            self.elimination.solve_fast(&mut self.delta);
            let finished = match course.damped {
                false => self.correct(&mut course),
                true => self.correct_in_part(&mut course),
            };
            by = match (finished, course.on_trial) {
                (true, _) if derivatives => By::State,
                (true, _) => break,
                (false, true) => By::Nothing,
                (false, false) => By::Unknowns,
            };
        }
        if derivatives {
            self.differentiate();
        }
        let mut done = course.done;
        if course.damped {
            done -= course.lost;
        }
        let nan = P::from_f64(f64::NAN);
        for (z, &kept) in self.z.iter_mut().zip(&self.found) {
            *z = zero.select(found, kept, zero.select(done, *z, nan));
        }
        if residual.learns() && !solved {
            self.learned.note(&self.z, &self.guess);
        }
    }

    /// Makes `∂z/∂x = −(∂F/∂z)⁻¹ ∂F/∂x` of `∂F/∂x`.
    #[inline(always)]
    fn differentiate(&mut self) {
        let n = self.x.len();
        for column in 0..n {
            for (row, delta) in self.delta.iter_mut().enumerate() {
                *delta = -self.by_state[row * n + column];
            }
            self.elimination.solve(&mut self.delta);
            for (row, &delta) in self.delta.iter().enumerate() {
                self.by_state[row * n + column] = delta;
            }
        }
    }

    /// Takes a whole correction; whether that was the last one.
    #[inline(always)]
    fn correct(&mut self, course: &mut Course<P>) -> bool {
        let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
        if course.iteration > 0 {
            // A lane that is done keeps its bits, whatever its neighbours still do.
            for delta in &mut self.delta {
                *delta = zero.select(course.done, zero, *delta);
            }
        }
        for (z, delta) in self.z.iter_mut().zip(&self.delta) {
            *z -= *delta;
        }
        course.done = course.done.max(minute(&self.delta, &self.z));
        if all(course.done) {
            return true;
        }
        let now = correction(&self.delta, &self.z);
        // 1 where the correction was the first from the equation's guess.
        let mut first = zero;
        if course.iteration == 0 {
            let mut moved = zero;
            for lacks in &self.learned.lacks {
                moved = zero.select(lacks.abs(), one, moved);
            }
            let far = one - now.select(P::from_f64(FAR), one, zero);
            course.back = zero.select(far * moved, one, zero);
            for (z, &guess) in self.z.iter_mut().zip(&self.guess) {
                *z = zero.select(course.back, guess, *z);
            }
            first = one - moved;
            // Nothing follows from the size of such a correction.
            course.before = zero.select(course.back, zero, now);
        } else {
            if course.iteration == 1 {
                first = course.back;
            }
            course.done = course.done.max(settled(course.before, now));
            course.before = now;
        }
        course.lost = course.lost.max(now.select(P::from_f64(f64::MAX), zero, first));
        if all(course.done.max(course.lost)) {
            return true;
        }
        course.iteration += 1;
        if course.iteration == UNDAMPED {
            (course.damped, course.iteration, course.before) = (true, 0, zero);
            course.done = course.done.max(course.lost);
            for (z, &guess) in self.z.iter_mut().zip(&self.guess) {
                *z = zero.select(course.done, *z, guess);
            }
        }
        false
    }

    /// Takes a part of a correction, or tries a smaller one; whether that was the last one.
    #[inline(always)]
    fn correct_in_part(&mut self, course: &mut Course<P>) -> bool {
        const HALVINGS: usize = 16;
        let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
        if course.on_trial {
            let after = correction(&self.delta, &self.z);
            let bound = course.before * (one - course.part * P::Real::from_f64(0.25));
            let smaller = after.select(bound, one, zero);
            course.accepted = course.accepted.max(smaller).max(course.settled);
            course.halving += 1;
            course.on_trial = !all(course.accepted) && course.halving < HALVINGS;
            if course.on_trial {
                let half = course.part * P::Real::from_f64(0.5);
                course.part = zero.select(course.accepted, course.part, half);
            }
        } else {
            self.start.copy_from_slice(&self.z);
            for (delta, direction) in self.delta.iter_mut().zip(&mut self.direction) {
                *delta = zero.select(course.done, zero, *delta);
                *direction = *delta;
            }
            let now = correction(&self.delta, &self.z);
            // Where a correction is to be taken whole, the one after it decides.
            let whole = course.part.select(one, zero, one);
            let mut last = minute(&self.delta, &self.z);
            if course.iteration > 0 {
                last = last.max(settled(course.before, now));
            }
            course.settled = last * whole;
            course.before = now;
            course.accepted = course.done;
            course.halving = 0;
            course.on_trial = !all(course.accepted.max(course.settled));
        }
        if course.on_trial || course.halving == 0 {
            for (i, z) in self.z.iter_mut().enumerate() {
                *z = self.start[i] - self.direction[i] * course.part;
            }
        }
        if course.on_trial {
            return false;
        }
        course.done = course.done.max(course.settled);
        course.iteration += 1;
        if all(course.done) || course.iteration == MOST {
            return true;
        }
        course.part = (course.part + course.part).min(one);
        false
    }
}

/// How the iteration of a step stands.
struct Course<P> {
    /// 1 where a lane is done.
    done: P,
    /// 1 where there is nothing to be done: no slope at the guess, or no guess.
    lost: P,
    /// The last correction's size.
    before: P,
    /// 1 where the first correction was taken back.
    back: P,
    iteration: usize,
    damped: bool,
    /// The part of a correction that is taken, 1 where it was found good enough, and 1 where the correction is the last.
    part: P,
    accepted: P,
    settled: P,
    halving: usize,
    /// Whether `z` is there on trial.
    on_trial: bool,
}

impl<P: Scalar> Course<P> {
    #[inline(always)]
    fn new() -> Self {
        let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
        Self {
            done: zero,
            lost: zero,
            before: zero,
            back: zero,
            iteration: 0,
            damped: false,
            part: one,
            accepted: zero,
            settled: zero,
            halving: 0,
            on_trial: false,
        }
    }
}

/// Newton's method for one step.
struct Iteration<'k, P: Numeric, F: Residual> {
    newton: &'k mut Newton<P>,
    residual: &'k F,
    params: &'k [Parameter<F::Real>],
    derivatives: bool,
}

impl<P: Numeric<Plain = P>, F: Residual<Real = P::Real>> Kernel for Iteration<'_, P, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        self.newton.solve_here(self.residual, self.params, self.derivatives);
    }
}

/// What the equation's guess lacked in the steps before.
#[derive(Debug)]
pub(super) struct Learned<P> {
    /// In the last step.
    lacked: Vec<P>,
    /// What it would lack if that went on as in the last two, and the same where it has been so.
    trend: Vec<P>,
    pub(super) lacks: Vec<P>,
}

impl<P: Scalar> Learned<P> {
    #[inline(always)]
    fn new(k: usize) -> Self {
        let zero = vec![P::from_f64(0.0); k];
        Self { lacked: zero.clone(), trend: zero.clone(), lacks: zero }
    }

    /// Notes what `guess` lacked to be `z`.
    #[inline(always)]
    pub(super) fn note(&mut self, z: &[P], guess: &[P]) {
        let zero = P::from_f64(0.0);
        for i in 0..z.len() {
            let lacked = z[i] - guess[i];
            let miss = (lacked - self.trend[i]).abs();
            self.trend[i] = lacked + (lacked - self.lacked[i]);
            let foreseen = lacked.abs() * P::Real::from_f64(0.25);
            self.lacks[i] = miss.select(foreseen, self.trend[i], zero);
            self.lacked[i] = lacked;
        }
    }
}

/// Below this, unknowns are next to zero beside the largest.
#[inline(always)]
fn floor<P: Scalar>(z: &[P]) -> P {
    let mut scale = P::from_f64(f64::MIN_POSITIVE.sqrt());
    for z in z {
        scale = scale.max(z.abs());
    }
    scale * P::Real::from_f64(1e-3)
}

/// 1 where the corrections are so small beside their unknowns that their squares are lost in rounding.
#[inline(always)]
pub(super) fn minute<P: Scalar>(delta: &[P], z: &[P]) -> P {
    let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
    let small = P::Real::from_f64(P::Real::EPSILON.to_f64().sqrt() * 1e-2);
    let floor = floor(z);
    let mut minute = one;
    for (delta, z) in delta.iter().zip(z) {
        minute = delta.abs().select(z.abs().max(floor) * small, minute, zero);
    }
    minute
}

/// The largest correction against its unknown's size; against a part of the largest unknown's for those next to zero.
#[inline(always)]
pub(super) fn correction<P: Scalar>(delta: &[P], z: &[P]) -> P {
    let zero = P::from_f64(0.0);
    let floor = floor(z);
    let mut largest = zero;
    for (delta, z) in delta.iter().zip(z) {
        let own = delta.abs() / z.abs().max(floor);
        // `max` would lose a NaN.
        largest = largest.select(own, own, largest) + own * zero;
    }
    largest
}

/// 1 where corrections of the sizes `before`, `now` leave nothing to do.
#[inline(always)]
pub(super) fn settled<P: Scalar>(before: P, now: P) -> P {
    let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
    let epsilon = P::constant(P::Real::EPSILON);
    let ratio = now / before.max(P::from_f64(f64::MIN_POSITIVE.sqrt()));
    // Quadratic convergence makes the next one about now³ / before².
    let next = now * ratio * ratio * P::Real::from_f64(8.0);
    let lost = next.select(epsilon, now.select(P::from_f64(1e-2), one, zero), zero);
    // What is small and does not fall is rounding.
    let small = P::from_f64(P::Real::EPSILON.to_f64().powf(0.25));
    let still = ratio.select(P::from_f64(0.7), zero, now.select(small, one, zero));
    lost.max(still)
}

/// Whether all lanes have a 1.
#[inline(always)]
pub(super) fn all<P: Scalar>(done: P) -> bool {
    P::from_f64(1.0).all_at_most(done)
}
