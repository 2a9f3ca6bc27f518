//! Newton's method with the matrix of an earlier step, where that is as good as its own (the chord method; Deuflhard, *Newton Methods for
//! Nonlinear Problems*, 2.2).
//!
//! A correction then takes `2 k²` multiplications instead of `k³/3`, and two evaluations of the equation without derivatives. Their difference, the
//! second being next to the first in a direction `v` with a part in all components, tells how good the matrix is: `‖M⁻¹ ∂F/∂z v − v‖`
//! is about what is left of an error after a correction. (How corrections shrink does not tell: those of some components may hide that
//! others are not corrected at all.) Where a matrix is no longer good enough the step makes one of its own, which the next steps may use, and
//! where that does not do either it is left to the general method.

use super::Residual;
use super::course::{all, floor, larger};
use super::newton::{FAR, Newton};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Isa, Numeric, Parameter, Real, Scalar};

/// Corrections of a step at most.
const MOST: usize = 4;
/// Corrections beyond the first that cost about as much as a matrix of its own.
const DEAR: usize = 8;
/// What a correction may leave of an error, and be good.
const GOOD: f64 = 0.1;
/// Steps that a matrix must serve to be worth the attempts.
const FEW: usize = 4;
/// Steps at most that are left to the general method before the next attempt.
const LONGEST: usize = 31;
/// Unknowns for which the inverse is made: more multiplications, but they do not wait for each other.
const INVERTED: usize = 8;

/// The matrix, and what is known of it.
#[derive(Debug)]
pub(super) struct Chord<P> {
    /// Whether there is one.
    pub(super) ready: bool,
    /// Its inverse, column by column, where it is made, `[k, k]`
    inverse: Vec<P>,
    /// Whether that is of an earlier one.
    outdated: bool,
    /// How far the second evaluation is from the first, and what the matrix makes of the difference, `[k]`
    shift: Vec<P>,
    image: Vec<P>,
    /// The reciprocal sizes of the unknowns, `[k]`
    weights: Vec<P>,
    /// Where the second evaluation is, and what came of the first, `[k]`
    shifted: Vec<P>,
    first: Vec<P>,
    /// Steps to be left to the general method, and the same after the next failure.
    pause: usize,
    next_pause: usize,
    /// Corrections beyond the first, and steps, since the matrix was made.
    spent: usize,
    served: usize,
}

impl<P: Scalar> Chord<P> {
    #[inline(always)]
    pub(super) fn new(k: usize) -> Self {
        let zeros = |len| vec![P::from_f64(0.0); len];
        Self {
            ready: false,
            inverse: zeros(if k > INVERTED { 0 } else { k * k }),
            outdated: false,
            shift: zeros(k),
            image: zeros(k),
            weights: zeros(k),
            shifted: zeros(k),
            first: zeros(k),
            pause: 0,
            next_pause: 0,
            spent: 0,
            served: 0,
        }
    }

    /// Whether a step is to be attempted.
    #[inline(always)]
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.pause == 0;
        self.pause = self.pause.saturating_sub(1);
        due
    }

    /// Takes note of a new matrix.
    #[inline(always)]
    pub(super) fn renew(&mut self) {
        (self.ready, self.outdated, self.spent, self.served) = (true, true, 0, 0);
    }
}

impl<P: Numeric<Plain = P>> Newton<P> {
    /// Solves `F = 0` with the matrix that there is, if `own` made for this step: 1 where [`found`](Self::found) then has the solution.
    #[inline(always)]
    pub(super) fn solve_chord<F: Residual<Real = P::Real>>(
        &mut self,
        residual: &F,
        params: &[Parameter<P::Real>],
        own: bool,
    ) -> P {
        let k = residual.unknown_dim();
        let Self { x, u, guess, known, room, .. } = &mut *self;
        residual.guess(params, x, u, &mut guess[..k]);
        residual.prepare(params, x, u, known, &mut room.plain);
        if self.chord.outdated && k <= INVERTED {
            P::enter(Invert { newton: self });
            self.chord.outdated = false;
        }
        // Lengths that the compiler sees, in the usual case.
        let n = residual.stage_dim();
        if n == k && n <= INVERTED {
            self.attempt(residual, params, n, own)
        } else {
            self.attempt_out_of_line(residual, params, k, own)
        }
    }

    #[inline(always)]
    fn attempt<F: Residual<Real = P::Real>>(
        &mut self,
        residual: &F,
        params: &[Parameter<P::Real>],
        k: usize,
        own: bool,
    ) -> P {
        let mut attempt = Attempt::new(own);
        self.begin_chord(k);
        loop {
            self.evaluate_twice(residual, params, k);
            let Self { chord, delta, room, .. } = &mut *self;
            let Chord { first, inverse, image, .. } = chord;
            let (first, second) = (&first[..k], &room.plain[..k]);
            let (delta, image, inverse) = (&mut delta[..k], &mut image[..k], &inverse[..k * k]);
            for i in 0..k {
                // In registers: along a column each would wait for the memory of the one before.
                let (mut sum, mut change) = (P::from_f64(0.0), P::from_f64(0.0));
                for column in 0..k {
                    let inverse = inverse[column * k + i];
                    sum = inverse.mul_add(first[column], sum);
                    change = inverse.mul_add(second[column], change);
                }
                (delta[i], image[i]) = (sum, change);
            }
            if self.correct_chord(k, &mut attempt) {
                return attempt.done;
            }
        }
    }

    #[inline(always)]
    fn attempt_out_of_line<F: Residual<Real = P::Real>>(
        &mut self,
        residual: &F,
        params: &[Parameter<P::Real>],
        k: usize,
        own: bool,
    ) -> P {
        let mut attempt = Attempt::new(own);
        P::enter(Begin { newton: self });
        loop {
            self.evaluate_twice(residual, params, k);
            if P::enter(Correct { newton: self, attempt: &mut attempt }) {
                return attempt.done;
            }
        }
    }

    /// Writes `F` to `first`, and the difference of the second evaluation from it to the first `k` of `room.plain`.
    #[inline(always)]
    fn evaluate_twice<F: Residual<Real = P::Real>>(
        &mut self,
        residual: &F,
        params: &[Parameter<P::Real>],
        k: usize,
    ) {
        let Self { chord, z, x, u, known, room, .. } = &mut *self;
        let Chord { shift, shifted, first, .. } = chord;
        let (z, shifted, first) = (&z[..k], &mut shifted[..k], &mut first[..k]);
        for ((shifted, &z), &shift) in shifted.iter_mut().zip(z).zip(&shift[..k]) {
            *shifted = z + shift;
        }
        for second in [false, true] {
            let at = if second { &*shifted } else { z };
            residual.evaluate(params, at, x, u, &mut room.plain);
            if !second {
                first.copy_from_slice(&room.plain[..k]);
            }
        }
        for (second, &first) in room.plain[..k].iter_mut().zip(&*first) {
            *second -= first;
        }
        if residual.prepares() {
            // The slopes last: they are small, and so is then their rounding.
            let n = residual.stage_dim();
            for (first, z) in first.chunks_exact_mut(n).zip(z.chunks_exact(n)) {
                for ((first, &z), &known) in first.iter_mut().zip(z).zip(&known[..n]) {
                    *first += z - known;
                }
            }
            for (second, (&shifted, &z)) in room.plain[..k].iter_mut().zip(shifted.iter().zip(z)) {
                *second += shifted - z;
            }
        }
    }

    /// Prepares an attempt from the equation's guess.
    #[inline(always)]
    fn begin_chord(&mut self, k: usize) {
        let Self { learned, z, guess, .. } = self;
        let (z, guess, lacks) = (&mut z[..k], &guess[..k], &learned.lacks[..k]);
        for i in 0..k {
            z[i] = guess[i] + lacks[i];
        }
        self.choose_direction(k);
    }

    /// Chooses the direction: of the size of the unknowns, each its own way.
    #[inline(always)]
    fn choose_direction(&mut self, k: usize) {
        let Self { chord, z, .. } = self;
        let (z, shift, weights) = (&z[..k], &mut chord.shift[..k], &mut chord.weights[..k]);
        let floor = floor(z);
        for i in 0..k {
            let size = larger(floor, z[i].abs());
            shift[i] = size * P::Real::from_f64(way(i) * near::<P::Real>());
            weights[i] = size.recip();
        }
    }

    /// Takes the correction; whether that was the last one.
    #[inline(always)]
    fn correct_chord(&mut self, k: usize, attempt: &mut Attempt<P>) -> bool {
        let zero = P::from_f64(0.0);
        let Self { chord, z, delta, .. } = self;
        let (z, delta) = (&mut z[..k], &mut delta[..k]);
        let (shift, image) = (&chord.shift[..k], &chord.image[..k]);
        if attempt.corrections > 0 {
            // A lane that is done keeps its bits, whatever its neighbours still do.
            for delta in &mut *delta {
                *delta = zero.select(attempt.done, zero, *delta);
            }
        }
        for (z, &delta) in z.iter_mut().zip(&*delta) {
            *z -= delta;
        }
        let mut kept = zero;
        for i in 0..k {
            kept = (image[i] - shift[i]).abs().mul_add(chord.weights[i], kept);
        }
        kept *= P::Real::from_f64(1.0 / near::<P::Real>());
        if attempt.own {
            // Else they are about the same as before.
            self.choose_direction(k);
        }
        let Self { chord, delta, .. } = &*self;
        let mut now = zero;
        for (delta, &weight) in delta[..k].iter().zip(&chord.weights[..k]) {
            now = delta.abs().mul_add(weight, now);
        }
        let finished = attempt.judge(now, kept);
        if finished {
            self.end_chord(k, attempt);
        }
        finished
    }

    /// Takes note of the end of an attempt.
    #[inline(always)]
    fn end_chord(&mut self, k: usize, attempt: &mut Attempt<P>) {
        attempt.done = P::from_f64(0.0).select(attempt.lost, P::from_f64(0.0), attempt.done);
        let Self { chord, learned, z, guess, found, .. } = self;
        found[..k].copy_from_slice(&z[..k]);
        if all(attempt.done) {
            learned.note(&z[..k], &guess[..k]);
            chord.spent += attempt.corrections - 1;
            chord.ready = chord.spent <= DEAR;
            if !attempt.own {
                chord.served += 1;
                chord.next_pause = 0;
            }
            return;
        }
        chord.ready = false;
        if attempt.own || chord.served < FEW {
            chord.pause = chord.next_pause;
            chord.next_pause = (2 * chord.next_pause + 1).min(LONGEST);
        }
    }
}

/// The direction, against the size of the unknowns: fractions of the multiples of the golden ratio, no combination of few of which with small
/// factors is zero.
const WAYS: [f64; 8] = [0.5, -1.118, 0.736, 1.354, -0.972, 0.590, 1.208, -0.826];

/// That of component `i`: none is another's, or two that are alike would hide it where they are not corrected against each other.
#[inline(always)]
pub(crate) fn way(i: usize) -> f64 {
    WAYS[i % WAYS.len()] * (1.0 + (i / WAYS.len()) as f64 / 64.0)
}

/// How near the second evaluation is to the first, against the size of the unknowns.
#[inline(always)]
pub(crate) fn near<R: Real>() -> f64 {
    R::EPSILON.to_f64().sqrt()
}

/// Makes the inverse.
struct Invert<'k, P: Numeric> {
    newton: &'k mut Newton<P>,
}

impl<P: Numeric<Plain = P>> Kernel for Invert<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Newton { chord, elimination, z, .. } = self.newton;
        for (i, column) in chord.inverse.chunks_exact_mut(z.len()).enumerate() {
            column.fill(P::from_f64(0.0));
            column[i] = P::from_f64(1.0);
            elimination.solve(column);
        }
    }
}

/// [`Newton::begin_chord`] for whatever length.
struct Begin<'k, P: Numeric> {
    newton: &'k mut Newton<P>,
}

impl<P: Numeric<Plain = P>> Kernel for Begin<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let k = self.newton.z.len();
        self.newton.begin_chord(k);
    }
}

/// Makes a correction of a residual by elimination, and takes it; whether that was the last one.
struct Correct<'k, P: Numeric> {
    newton: &'k mut Newton<P>,
    attempt: &'k mut Attempt<P>,
}

impl<P: Numeric<Plain = P>> Kernel for Correct<'_, P> {
    type Output = bool;

    #[inline(always)]
    fn run<I: Isa>(self) -> bool {
        let Self { newton, attempt } = self;
        let k = newton.z.len();
        let Newton { elimination, chord, delta, room, .. } = &mut *newton;
        delta.copy_from_slice(&chord.first);
        chord.image.copy_from_slice(&room.plain[..k]);
        elimination.solve(delta);
        elimination.solve(&mut chord.image);
        newton.correct_chord(k, attempt)
    }
}

/// How an attempt stands.
struct Attempt<P> {
    /// Whether the matrix was made for this step.
    own: bool,
    corrections: usize,
    /// 1 where a lane is done, and where it is to be left to the general method.
    done: P,
    lost: P,
}

impl<P: Scalar> Attempt<P> {
    #[inline(always)]
    fn new(own: bool) -> Self {
        let zero = P::from_f64(0.0);
        Self { own, corrections: 0, done: zero, lost: zero }
    }

    /// Says what follows from a correction of size `now`, of which the matrix leaves the part `kept`; whether that was the last one.
    #[inline(always)]
    fn judge(&mut self, now: P, kept: P) -> bool {
        let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
        let epsilon = P::Real::EPSILON.to_f64();
        let bound = P::from_f64;
        let good = kept.select(bound(GOOD), one, zero);
        // Its square is lost in rounding, and so is what is left of it.
        let minute = now.select(bound(1e-2 * epsilon.sqrt()), good, zero);
        let enough = (now * kept).select(bound(epsilon / 16.0), minute, zero);
        self.done = larger(self.done, enough);
        // With a matrix of its own a step may start far off, so long as corrections shrink.
        let far = if self.own { f64::MAX } else { FAR };
        let near = now.select(bound(far), good, zero);
        self.lost = larger(self.lost, one - larger(near, self.done));
        self.corrections += 1;
        all(larger(self.done, self.lost)) || self.corrections == MOST
    }
}
