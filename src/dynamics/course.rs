//! The general method: what an evaluation of the equation leads to. Nothing here knows the equation, so that it is compiled once for
//! all of them.

use super::linearized::By;
use super::newton::{FAR, MOST, Newton, UNDAMPED};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Isa, Numeric, Real, Scalar};

/// Takes the step that follows from an evaluation `by`, and says what is to be evaluated next, if anything.
pub(super) struct Advance<'k, P: Numeric> {
    pub(super) newton: &'k mut Newton<P>,
    pub(super) course: &'k mut Course<P>,
    pub(super) by: By,
}

impl<P: Numeric<Plain = P>> Kernel for Advance<'_, P> {
    type Output = Option<By>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Option<By> {
        let Self { newton, course, by } = self;
        if by == By::Unknowns {
            newton.factor();
        }
        if course.solved {
            return Some(By::State);
        }
        newton.elimination.solve(&mut newton.delta);
        let finished = match course.damped {
            false => newton.correct(course),
            true => newton.correct_in_part(course),
        };
        match (finished, course.on_trial) {
            (true, _) => course.derivatives.then_some(By::State),
            (false, true) => Some(By::Nothing),
            (false, false) => Some(By::Unknowns),
        }
    }
}

/// Factors the matrix.
pub(super) struct Factor<'k, P: Numeric> {
    pub(super) newton: &'k mut Newton<P>,
}

impl<P: Numeric<Plain = P>> Kernel for Factor<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        self.newton.factor();
    }
}

/// Writes the solution and its derivatives.
pub(super) struct Finish<'k, P: Numeric> {
    pub(super) newton: &'k mut Newton<P>,
    pub(super) course: &'k Course<P>,
}

impl<P: Numeric<Plain = P>> Kernel for Finish<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { newton, course } = self;
        if course.derivatives {
            newton.differentiate();
        }
        let mut done = course.done;
        if course.damped {
            done -= course.lost;
        }
        let (zero, nan) = (P::from_f64(0.0), P::from_f64(f64::NAN));
        for (z, &kept) in newton.z.iter_mut().zip(&newton.found) {
            *z = zero.select(course.found, kept, zero.select(done, *z, nan));
        }
        if course.learns && !course.solved {
            newton.learned.note(&newton.z, &newton.guess);
        }
    }
}

impl<P: Numeric<Plain = P>> Newton<P> {
    #[inline(always)]
    fn factor(&mut self) {
        self.elimination.factor();
        self.chord.renew();
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
            let smaller = smaller(&self.start, &self.direction, &self.z, &self.delta, course.part);
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
pub(super) struct Course<P> {
    /// 1 where the compact method has been successful, and whether that is so everywhere.
    found: P,
    solved: bool,
    /// Whether `∂z/∂x` is wanted.
    derivatives: bool,
    /// Whether the guess is to be learned from.
    learns: bool,
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
    pub(super) fn new(found: P, derivatives: bool, learns: bool) -> Self {
        let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
        Self {
            found,
            solved: all(found),
            derivatives,
            learns,
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

/// The larger of `x`, which is a number, and `y`: `max` without what it does for a NaN in `x`.
#[inline(always)]
pub(super) fn larger<P: Scalar>(x: P, y: P) -> P {
    x.select(y, y, x)
}

/// Below this, unknowns are next to zero beside the largest.
#[inline(always)]
pub(super) fn floor<P: Scalar>(z: &[P]) -> P {
    let mut scale = P::from_f64(f64::MIN_POSITIVE.sqrt());
    for z in z {
        scale = larger(scale, z.abs());
    }
    scale * P::Real::from_f64(1e-3)
}

/// 1 where the corrections are so small beside their unknowns that their squares are lost in rounding.
#[inline(always)]
pub(crate) fn minute<P: Scalar>(delta: &[P], z: &[P]) -> P {
    let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
    let small = P::Real::from_f64(P::Real::EPSILON.to_f64().sqrt() * 1e-2);
    let floor = floor(z);
    let mut minute = one;
    for (delta, z) in delta.iter().zip(z) {
        minute = delta.abs().select(larger(floor, z.abs()) * small, minute, zero);
    }
    minute
}

/// The largest correction against its unknown's size; against a part of the largest unknown's for those next to zero.
#[inline(always)]
pub(crate) fn correction<P: Scalar>(delta: &[P], z: &[P]) -> P {
    let zero = P::from_f64(0.0);
    let floor = floor(z);
    let mut largest = zero;
    for (delta, z) in delta.iter().zip(z) {
        let own = delta.abs() / larger(floor, z.abs());
        // `max` would lose a NaN.
        largest = largest.select(own, own, largest) + own * zero;
    }
    largest
}

/// 1 where the correction `delta` at `z`, to which a `part` of the whole one led from `start`, is so much smaller than that one that `z` is a
/// step on. Both are measured against the larger of the two places: against its own, a place far off is always good.
#[inline(always)]
pub(crate) fn smaller<P: Scalar>(start: &[P], whole: &[P], z: &[P], delta: &[P], part: P) -> P {
    let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
    let floor = larger(floor(start), floor(z));
    let (mut before, mut after) = (zero, zero);
    for i in 0..z.len() {
        let size = larger(floor, larger(start[i].abs(), z[i].abs()));
        let (old, own) = (whole[i].abs() / size, delta[i].abs() / size);
        before = larger(before, old);
        after = after.select(own, own, after) + own * zero;
    }
    after.select(before * (one - part * P::Real::from_f64(0.25)), one, zero)
}

/// 1 where corrections of the sizes `before`, 0 if there was none, and `now` leave nothing to do.
#[inline(always)]
pub(crate) fn settled<P: Scalar>(before: P, now: P) -> P {
    let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
    let epsilon = P::constant(P::Real::EPSILON);
    let ratio = now / before.max(P::from_f64(f64::MIN_POSITIVE.sqrt()));
    // Quadratic convergence makes the next one about now³ / before², unless this one is small only because curvatures on its way cancel.
    let curved = ratio * ratio * P::Real::from_f64(8.0);
    let cancelling = now * before * P::Real::from_f64(64.0);
    let next = now * (curved + cancelling);
    let lost = next.select(epsilon, now.select(P::from_f64(1e-2), one, zero), zero);
    // What is small and does not fall is rounding.
    let small = P::from_f64(P::Real::EPSILON.to_f64().powf(0.25));
    let still = ratio.select(P::from_f64(0.7), zero, now.select(small, one, zero));
    lost.max(zero.select(before, still, zero))
}

/// Whether all lanes have a 1.
#[inline(always)]
pub(super) fn all<P: Scalar>(done: P) -> bool {
    P::from_f64(1.0).all_at_most(done)
}
