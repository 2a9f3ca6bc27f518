//! The equation of a step, solved.

use super::Residual;
use super::chord::Chord;
use super::course::{Advance, Course, Factor, Finish, all};
use super::elimination::Elimination;
use super::linearized::{By, Room, System};
use crate::scalar::dispatch::Kernel;
use crate::scalar::{Isa, Numeric, Parameter, Scalar};
use std::marker::PhantomData;

/// Iterations that may take whole corrections.
pub(crate) const UNDAMPED: usize = 12;
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
    pub(super) guess: Vec<P>,
    pub(super) learned: Learned<P>,
    pub(super) chord: Chord<P>,
    /// What the equation has prepared for [`evaluate`](Residual::evaluate).
    pub(super) known: Vec<P>,
    /// Unknowns that [`solve_compact`](Self::solve_compact) or [`solve_chord`](Self::solve_chord) found.
    pub(super) found: Vec<P>,
    /// The residual, then the correction.
    pub(super) delta: Vec<P>,
    /// For damping: where a correction starts, and the whole of it.
    pub(super) start: Vec<P>,
    pub(super) direction: Vec<P>,
    pub(super) elimination: Elimination<P>,
    /// `∂F/∂x`, then `∂z/∂x`, `[k, n]`
    pub(super) by_state: Vec<P>,
    pub(super) room: Room<P>,
}

impl<P: Numeric<Plain = P>> Newton<P> {
    #[inline(always)]
    pub(super) fn new<F: Residual<Real = P::Real>>(residual: &F) -> Self {
        let sizes = Sizes {
            state: residual.state_dim(),
            input: residual.input_dim(),
            unknowns: residual.unknown_dim(),
            scratch: residual.scratch_dim(),
        };
        P::enter(Build { sizes, numbers: PhantomData })
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
        // A lane that is done there keeps what it found there, whatever its neighbours still do.
        let mut found = match residual.stages() {
            0 => P::from_f64(0.0),
            _ => self.solve_compact(residual, params),
        };
        if all(found) && !derivatives {
            std::mem::swap(&mut self.z, &mut self.found);
            return;
        }
        let mut attempting = residual.may_keep_matrix() && self.chord.is_due();
        let mut own = false;
        let mut course = Course::new(found, derivatives, residual.learns());
        let mut begun = false;
        let mut next = Some(By::Unknowns);
        while let Some(by) = next {
            if attempting && self.chord.ready {
                found = self.solve_chord(residual, params, own);
                let solved = all(found);
                if solved && !derivatives {
                    std::mem::swap(&mut self.z, &mut self.found);
                    return;
                }
                attempting = !solved && !own;
                course = Course::new(found, derivatives, residual.learns());
                begun = false;
            }
            if !begun {
                self.begin(residual, params);
                if all(found) {
                    // Derivatives are wanted there.
                    self.z.copy_from_slice(&self.found);
                }
                begun = true;
            }
            self.evaluate(residual, params, by);
            if attempting {
                P::enter(Factor { newton: self });
                own = true;
                continue;
            }
            next = match by {
                By::State => None,
                _ => P::enter(Advance { newton: self, course: &mut course, by }),
            };
        }
        P::enter(Finish { newton: self, course: &course });
    }
}

/// The lengths in a [`Newton`].
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) state: usize,
    pub(super) input: usize,
    pub(super) unknowns: usize,
    pub(super) scratch: usize,
}

/// Makes a [`Newton`].
struct Build<P> {
    sizes: Sizes,
    numbers: PhantomData<P>,
}

impl<P: Numeric<Plain = P>> Kernel for Build<P> {
    type Output = Newton<P>;

    #[inline(always)]
    fn run<I: Isa>(self) -> Newton<P> {
        let Sizes { state, input, unknowns, .. } = self.sizes;
        let zero = P::from_f64(0.0);
        let zeros = |len| vec![zero; len];
        Newton {
            x: zeros(state),
            u: zeros(input),
            z: zeros(unknowns),
            guess: zeros(unknowns),
            learned: Learned::new(unknowns),
            chord: Chord::new(unknowns),
            known: zeros(state),
            found: zeros(unknowns),
            delta: zeros(unknowns),
            start: zeros(unknowns),
            direction: zeros(unknowns),
            elimination: Elimination::new(unknowns),
            by_state: zeros(unknowns * state),
            room: Room::new(self.sizes),
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
