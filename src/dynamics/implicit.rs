//! The recurrence that an equation defines.

use super::elimination::Elimination;
use super::recurrence::{Counted, Recurrence, sealed, step_in_order};
use super::{Residual, Structure};
use crate::error::Result;
use crate::graph::Graph;
use crate::scalar::count::{ARITHMETIC, Count, Operations, operations};
use crate::scalar::dispatch::{Kernel, dispatch};
use crate::scalar::{Dual, InstructionSet, Isa, Lanes, Numeric, Parameter, Real, Scalar};

/// The recurrence `x_t = f(x_{t−1}, u_t; θ)` that [`Residual`] defines: each step is solved by Newton's method from the
/// equation's own guess, in lanes like an explicit step, every lane until it is done.
///
/// Newton is done where the next correction would be lost in rounding, as the last two corrections predict. A step that
/// neither it nor its damped form solves ([`MOST`](Self::MOST) iterations), for want of a solution or because `∂F/∂z` is singular, ends
/// in a NaN, and the solution says [`NonFinite`](crate::Termination::NonFinite) with its `t`. Derivatives of the step follow from the
/// implicit function theorem.
///
/// Cost of a step: about three evaluations of `F` with its Jacobian, and as many eliminations, `k³/3` each.
///
/// # Example
/// ```
/// # #[cfg(feature = "cpu")] {
/// use deer_solver::{dynamics::Residual, scalar::{Param, Scalar}, Cpu, Implicit, Problem, Solver};
/// use ndarray::array;
///
/// struct Decay;
/// impl Residual for Decay {
///     type Real = f64;
///     fn state_dim(&self) -> usize { 1 }
///     #[inline(always)]
///     fn residual<S: Scalar<Real = f64>>(&self, _: &[Param<S>], z: &[S], x: &[S], _: &[S], r: &mut [S]) {
///         r[0] = z[0] - x[0] + z[0].powi(3) * 0.1;
///     }
/// }
///
/// let decay = Implicit::new(Decay);
/// let problem = Problem::autonomous(&decay, array![1.0].view(), 50)?;
/// let solution = Solver::auto().solve(&problem, &Cpu::new())?;
/// let (last, before) = (solution.trajectory(0)[[49, 0]], solution.trajectory(0)[[48, 0]]);
/// assert!((last - before + 0.1 * last.powi(3)).abs() < 1e-15);
/// # }
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Implicit<F> {
    residual: F,
}

impl<F: Residual> Implicit<F> {
    /// Newton iterations that may take whole corrections.
    const UNDAMPED: usize = 12;
    /// Further ones, damped, allowed where those do not get there.
    pub const MOST: usize = 100;

    /// The recurrence of `residual`.
    pub fn new(residual: F) -> Self {
        Self { residual }
    }

    /// The equation.
    pub fn residual(&self) -> &F {
        &self.residual
    }

    /// The equation, taken out.
    pub fn into_residual(self) -> F {
        self.residual
    }
}

/// Partials at a time: with two vectors in a value, more would spill registers.
const PARTIALS: usize = 2;

/// What a step of an [`Implicit`] works with.
#[doc(hidden)]
#[derive(Debug)]
pub struct Work<S: Numeric> {
    newton: Newton<S::Plain>,
    /// Unknowns, then residuals, with the tangents of the step.
    z: Vec<S>,
    r: Vec<S>,
}

#[derive(Debug)]
struct Newton<P: Numeric> {
    z: Vec<P>,
    guess: Vec<P>,
    /// The residual, then the correction.
    delta: Vec<P>,
    /// For damping: where a correction starts, and the whole of it.
    start: Vec<P>,
    direction: Vec<P>,
    elimination: Elimination<P>,
    z_partials: Vec<Dual<P, PARTIALS>>,
    x: Vec<Dual<P, PARTIALS>>,
    u: Vec<Dual<P, PARTIALS>>,
    r: Vec<Dual<P, PARTIALS>>,
}

impl<P: Numeric<Plain = P>> Newton<P> {
    #[inline(always)]
    fn new<F: Residual<Real = P::Real>>(residual: &F) -> Self {
        let k = residual.unknown_dim();
        let (zero, zero_dual) = (P::from_f64(0.0), Dual::from_f64(0.0));
        Self {
            z: vec![zero; k],
            guess: vec![zero; k],
            delta: vec![zero; k],
            start: vec![zero; k],
            direction: vec![zero; k],
            elimination: Elimination::new(k),
            z_partials: vec![zero_dual; k],
            x: vec![zero_dual; residual.state_dim()],
            u: vec![zero_dual; residual.input_dim()],
            r: vec![zero_dual; k + residual.scratch_dim()],
        }
    }

    /// Writes `F` at `z`, and `∂F/∂z` there where `partials`. It is called from one place alone: most of what is compiled is here.
    #[inline(always)]
    fn evaluate<F: Residual<Real = P::Real>>(
        &mut self,
        residual: &F,
        params: &[Parameter<P::Real>],
        partials: bool,
    ) {
        let k = self.z.len();
        let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
        for first in (0..k).step_by(PARTIALS) {
            for (i, (dual, &z)) in self.z_partials.iter_mut().zip(&self.z).enumerate() {
                *dual = Dual::new(z, [zero; PARTIALS]);
                if (first..first + PARTIALS).contains(&i) {
                    dual.tangents[i - first] = one;
                }
            }
            residual.residual(params, &self.z_partials, &self.x, &self.u, &mut self.r);
            for (delta, r) in self.delta.iter_mut().zip(&self.r) {
                *delta = r.value;
            }
            if !partials {
                break;
            }
            for row in 0..k {
                for column in first..k.min(first + PARTIALS) {
                    self.elimination.matrix[row * k + column] =
                        self.r[row].tangents[column - first];
                }
            }
        }
    }

    /// The largest correction against its unknown's size; against a part of the largest unknown's for those next to zero.
    #[inline(always)]
    fn correction(&self) -> P {
        let zero = P::from_f64(0.0);
        let mut scale = P::from_f64(f64::MIN_POSITIVE.sqrt());
        for z in &self.z {
            scale = scale.max(z.abs());
        }
        let floor = scale * P::Real::from_f64(1e-3);
        let mut largest = zero;
        for (delta, z) in self.delta.iter().zip(&self.z) {
            let own = delta.abs() / z.abs().max(floor);
            // `max` would lose a NaN.
            largest = largest.select(own, own, largest) + own * zero;
        }
        largest
    }

    /// 1 where corrections of the sizes `before`, `now` leave nothing to do.
    #[inline(always)]
    fn settled(before: P, now: P, first: bool) -> P {
        let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
        let epsilon = P::constant(P::Real::EPSILON);
        let exact = now.select(epsilon * P::Real::from_f64(4.0), one, zero);
        if first {
            return exact;
        }
        let ratio = now / before.max(P::from_f64(f64::MIN_POSITIVE.sqrt()));
        // Quadratic convergence makes the next one about now³ / before².
        let next = now * ratio * ratio * P::Real::from_f64(8.0);
        let lost = next.select(epsilon, now.select(P::from_f64(1e-2), one, zero), zero);
        // What is small and does not fall is rounding.
        let small = P::from_f64(P::Real::EPSILON.to_f64().powf(0.25));
        let still = ratio.select(P::from_f64(0.7), zero, now.select(small, one, zero));
        exact.max(lost).max(still)
    }

    fn all(done: P) -> bool {
        (0..P::LANES).all(|lane| done.get(lane) > P::Real::default())
    }

    /// Writes the equation's guess to `z`.
    #[inline(always)]
    fn begin<F: Residual<Real = P::Real>>(&mut self, residual: &F, params: &[Parameter<P::Real>]) {
        residual.guess(params, &self.x, &self.u, &mut self.z_partials);
        for (z, guess) in self.z.iter_mut().zip(&self.z_partials) {
            *z = guess.value;
        }
    }

    /// Solves `F = 0` from the guess in `z`. Lanes without a solution end in NaN.
    ///
    /// Lanes that whole corrections do not bring there go back to the guess, and take of each correction the part that leaves a
    /// smaller one under the same matrix (affine invariant damping; Deuflhard, *Newton Methods for Nonlinear Problems*, 3.3).
    #[inline(always)]
    fn solve<F: Residual<Real = P::Real>>(&mut self, residual: &F, params: &[Parameter<P::Real>]) {
        // Most of what a recurrence is compiled to: kernels share it.
        P::enter(Iteration { newton: self, residual, params });
    }

    #[inline(always)]
    fn solve_here<F: Residual<Real = P::Real>>(
        &mut self,
        residual: &F,
        params: &[Parameter<P::Real>],
    ) {
        const HALVINGS: usize = 16;
        self.guess.copy_from_slice(&self.z);
        let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
        // 1 where a lane is done, and where there is nothing to be done: no slope at the guess, or no guess.
        let mut done = zero;
        let mut lost = zero;
        let (mut before, mut now) = (zero, zero);
        let (mut iteration, mut damped) = (0, false);
        // The part that is taken, where it was found good enough, and whether `z` is there on trial.
        let (mut part, mut accepted, mut settled) = (one, zero, zero);
        let (mut halving, mut on_trial) = (0, false);
        loop {
            self.evaluate(residual, params, !on_trial);
            if !on_trial {
                self.elimination.factor();
            }
            self.elimination.solve(&mut self.delta);
            if !damped {
                for (z, delta) in self.z.iter_mut().zip(&mut self.delta) {
                    // A lane that is done keeps its bits, whatever its neighbours still do.
                    *delta = zero.select(done, zero, *delta);
                    *z -= *delta;
                }
                now = self.correction();
                done = done.max(Self::settled(before, now, iteration == 0));
                before = now;
                if iteration == 0 {
                    lost = now.select(P::from_f64(f64::MAX), zero, one);
                }
                if Self::all(done.max(lost)) {
                    break;
                }
                iteration += 1;
                if iteration == Implicit::<F>::UNDAMPED {
                    (damped, iteration, before) = (true, 0, zero);
                    done = done.max(lost);
                    for (z, &guess) in self.z.iter_mut().zip(&self.guess) {
                        *z = zero.select(done, *z, guess);
                    }
                }
                continue;
            }
            if on_trial {
                let after = self.correction();
                let bound = now * (one - part * P::Real::from_f64(0.25));
                accepted = accepted.max(after.select(bound, one, zero)).max(settled);
                halving += 1;
                on_trial = !Self::all(accepted) && halving < HALVINGS;
                if on_trial {
                    part = zero.select(accepted, part, part * P::Real::from_f64(0.5));
                }
            } else {
                self.start.copy_from_slice(&self.z);
                for (delta, direction) in self.delta.iter_mut().zip(&mut self.direction) {
                    *delta = zero.select(done, zero, *delta);
                    *direction = *delta;
                }
                now = self.correction();
                // Where a correction is to be taken whole, the one after it decides.
                let whole = part.select(one, zero, one);
                settled = Self::settled(before, now, iteration == 0) * whole;
                before = now;
                accepted = done;
                halving = 0;
                on_trial = !Self::all(accepted.max(settled));
            }
            if on_trial || halving == 0 {
                for (i, z) in self.z.iter_mut().enumerate() {
                    *z = self.start[i] - self.direction[i] * part;
                }
            }
            if !on_trial {
                done = done.max(settled);
                iteration += 1;
                if Self::all(done) || iteration == Implicit::<F>::MOST {
                    break;
                }
                part = (part + part).min(one);
            }
        }
        if damped {
            done -= lost;
        }
        if !Self::all(done) {
            let nan = P::from_f64(f64::NAN);
            for z in &mut self.z {
                *z = zero.select(done, *z, nan);
            }
        }
    }
}

/// Newton's method for one step.
struct Iteration<'k, P: Numeric, F: Residual> {
    newton: &'k mut Newton<P>,
    residual: &'k F,
    params: &'k [Parameter<F::Real>],
}

impl<P: Numeric<Plain = P>, F: Residual<Real = P::Real>> Kernel for Iteration<'_, P, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        self.newton.solve_here(self.residual, self.params);
    }
}

/// Solves steps that do not wait for each other, a lane each.
struct Solve<'k, F: Residual> {
    residual: &'k F,
    params: &'k [F::Real],
    /// `[T, n]`
    states: &'k [F::Real],
    /// `[T, m]`
    inputs: &'k [F::Real],
    /// `[T, k]`
    unknowns: &'k mut [F::Real],
}

impl<F: Residual> Kernel for Solve<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { residual, params, states, inputs, unknowns } = self;
        let (n, m, k) = (residual.state_dim(), residual.input_dim(), residual.unknown_dim());
        let params = Parameter::from_slice(params);
        let mut newton = Newton::<Lanes<F::Real, I, 1>>::new(residual);
        let lanes = Lanes::<F::Real, I, 1>::LANES;
        let steps = unknowns.len() / k.max(1);
        for from in (0..steps).step_by(lanes) {
            for lane in 0..lanes {
                // Lanes beyond the end do the last step too.
                let t = (from + lane).min(steps - 1);
                for (x, &value) in newton.x.iter_mut().zip(&states[t * n..(t + 1) * n]) {
                    x.put(lane, value);
                }
                for (u, &value) in newton.u.iter_mut().zip(&inputs[t * m..(t + 1) * m]) {
                    u.put(lane, value);
                }
            }
            newton.begin(residual, params);
            newton.solve(residual, params);
            for (lane, z) in unknowns[from * k..].chunks_exact_mut(k).take(lanes).enumerate() {
                for (z, value) in z.iter_mut().zip(&newton.z) {
                    *z = value.lane(lane);
                }
            }
        }
    }
}

impl<F: Residual> sealed::Sealed for Implicit<F> {}

impl<F: Residual> Recurrence for Implicit<F> {
    type Real = F::Real;
    type Work<S: Numeric<Real = F::Real>> = Work<S>;

    fn state_dim(&self) -> usize {
        self.residual.state_dim()
    }
    fn input_dim(&self) -> usize {
        self.residual.input_dim()
    }
    fn params(&self) -> &[F::Real] {
        self.residual.params()
    }
    fn scratch_dim(&self) -> usize {
        0
    }
    #[inline(always)]
    fn work<S: Numeric<Real = F::Real>>(&self) -> Work<S> {
        let (k, zero) = (self.residual.unknown_dim(), S::from_f64(0.0));
        let r = vec![zero; k + self.residual.scratch_dim()];
        Work { newton: Newton::new(&self.residual), z: vec![zero; k], r }
    }
    #[inline(always)]
    fn advance<S: Numeric<Real = F::Real>>(
        &self,
        params: &[Parameter<F::Real>],
        x: &[S],
        u: &[S],
        next: &mut [S],
        work: &mut Work<S>,
    ) {
        let Work { newton, z, r } = work;
        for (dual, x) in newton.x.iter_mut().zip(x) {
            *dual = Dual::lift(x.plain());
        }
        for (dual, u) in newton.u.iter_mut().zip(u) {
            *dual = Dual::lift(u.plain());
        }
        newton.begin(&self.residual, params);
        newton.solve(&self.residual, params);
        for (z, &value) in z.iter_mut().zip(&newton.z) {
            *z = S::lift(value);
        }
        if S::TANGENTS > 0 {
            // Tangents of z: −(∂F/∂z)⁻¹ times those of F at a fixed z.
            self.residual.residual(params, z, x, u, r);
            let k = z.len();
            for r in &mut r[..k] {
                *r -= S::lift(r.plain());
            }
            newton.elimination.solve_tangents(&mut r[..k]);
            for (z, r) in z.iter_mut().zip(r.iter()) {
                *z -= *r;
            }
        }
        let n = self.residual.state_dim();
        self.residual.state(z, x, u, &mut next[..n]);
    }
    #[inline(always)]
    fn jacobian<S: Numeric<Real = F::Real>>(
        &self,
        _: &[Parameter<F::Real>],
        _: &[S],
        _: &[S],
        _: &mut [S],
        _: &mut [S],
    ) -> bool {
        false
    }
    #[inline(always)]
    fn jacobian_diagonal<S: Numeric<Real = F::Real>>(
        &self,
        _: &[Parameter<F::Real>],
        _: &[S],
        _: &[S],
        _: &mut [S],
        _: &mut [S],
    ) -> bool {
        false
    }
    #[inline(always)]
    fn run_in_order<I: Isa>(
        &self,
        params: &[F::Real],
        x: &mut [F::Real],
        inputs: &[F::Real],
        states: &mut [F::Real],
        steps: usize,
    ) {
        step_in_order::<Self, I>(self, params, x, inputs, states, steps);
    }
    fn units_in_lanes(&self) -> bool {
        false
    }
    fn graph(&self) -> Result<Graph> {
        Graph::of_residual(&self.residual)
    }
    fn unknown_dim(&self) -> usize {
        self.residual.unknown_dim()
    }
    fn unknowns(
        &self,
        params: &[F::Real],
        states: &[F::Real],
        inputs: &[F::Real],
        unknowns: &mut [F::Real],
    ) {
        let solve = Solve { residual: &self.residual, params, states, inputs, unknowns };
        dispatch(InstructionSet::detect(), solve);
    }
    fn coarser(&self) -> Option<(Self, u32)> {
        self.residual.coarser().map(|(residual, order)| (Self::new(residual), order))
    }
    fn coarsen(&self, inputs: &[F::Real], steps: usize, coarse: &mut [F::Real]) {
        self.residual.coarsen(inputs, steps, coarse);
    }
    fn count(&self, params: &[Parameter<F::Real>]) -> Counted {
        /// Newton iterations of a step, as seen.
        const ITERATIONS: u32 = 3;
        const RECIPROCAL: u32 = 13;
        let residual = &self.residual;
        let k = residual.unknown_dim();
        let zero = Count::<F::Real>::at(0);
        let (x, u) = (vec![zero; residual.state_dim()], vec![zero; residual.input_dim()]);
        let mut r = vec![zero; k + residual.scratch_dim()];
        let evaluated = operations(|| residual.residual(params, &vec![zero; k], &x, &u, &mut r));
        let depth = r[..k].iter().map(|r| r.ready).max().unwrap_or(0);
        let rank = k as u64;
        let passes = rank.div_ceil(PARTIALS as u64);
        // Multiplications, and selections of rows to exchange.
        let elimination = rank * rank * rank + 3 * rank * rank + 8 * rank;
        let each = Operations {
            vector: evaluated.vector * passes * (1 + PARTIALS as u64) + elimination,
            single: evaluated.single * passes * (1 + PARTIALS as u64),
        };
        let chain = depth + k as u32 * (RECIPROCAL + 4 * ARITHMETIC.0);
        Counted {
            operations: Operations {
                vector: each.vector * u64::from(ITERATIONS),
                single: each.single * u64::from(ITERATIONS),
            },
            chain: chain * ITERATIONS,
        }
    }
    fn find_structure(&self) -> Structure {
        Structure::Dense
    }
    fn declared_structure(&self) -> Structure {
        Structure::Dense
    }
}
