//! The recurrence that an equation defines.

use super::extrapolation::{self, Short};
use super::linearized::PARTIALS;
use super::newton::{MOST, Newton};
use super::recurrence::{Counted, Recurrence, sealed, step_in_order};
use super::{Residual, Structure};
use crate::error::Result;
#[cfg(feature = "cuda")]
use crate::graph::Equation;
use crate::graph::Graph;
use crate::scalar::count::{ARITHMETIC, Count, Operations, operations};
use crate::scalar::dispatch::{Kernel, dispatch};
use crate::scalar::{InstructionSet, Isa, Lanes, Numeric, Parameter};

/// The recurrence `x_t = f(x_{t−1}, u_t; θ)` that [`Residual`] defines: each step is solved by Newton's method from the
/// equation's own guess, in lanes like an explicit step, every lane until it is done.
///
/// Newton is done where the next correction would be lost in rounding, as the last two corrections predict. A step that
/// neither it nor its damped form solves ([`MOST`](Self::MOST) iterations), for want of a solution or because `∂F/∂z` is singular, ends
/// in a NaN, and the solution says [`NonFinite`](crate::Termination::NonFinite) with its `t`. Derivatives of the step follow from the
/// implicit function theorem.
///
/// Where steps go on as those before, the guess is corrected by what it lacked in them, and one or two iterations are enough.
///
/// Cost of a step of one or two unknowns: one or two evaluations of `F` with its Jacobian, and as many eliminations, `k³/3` each. With more,
/// two evaluations of `F` without derivatives and `2 k²` multiplications, once or twice, where the matrix of an earlier step is
/// still good, which the two evaluations tell; else as many evaluations with Jacobian and eliminations as it takes.
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
    /// On a coarser grid, what its steps stand for.
    short: Option<Short<F>>,
}

impl<F: Residual> Implicit<F> {
    /// Newton iterations allowed with damped corrections, where whole ones do not get there.
    pub const MOST: usize = MOST;

    /// The recurrence of `residual`.
    pub fn new(residual: F) -> Self {
        Self { residual, short: None }
    }

    /// The equation.
    pub fn residual(&self) -> &F {
        &self.residual
    }

    /// Longer steps by `residual` of the order beside it, made to stand for those of this one; and the order of what is left of the error.
    fn longer(&self, (residual, order): (F, u32)) -> (Self, u32) {
        let own = self.short.as_ref().map_or(&self.residual, |short| &short.residual);
        let short = Short::of(own, &residual);
        let order = short.as_ref().map_or(order, |short| short.power().min(order));
        (Self { residual, short }, order)
    }

    /// The equation, taken out.
    pub fn into_residual(self) -> F {
        self.residual
    }
}

/// What a step of an [`Implicit`] works with.
#[doc(hidden)]
#[derive(Debug)]
pub struct Work<S: Numeric> {
    newton: Newton<S::Plain>,
    /// Unknowns, with the tangents of the step; of an explicit one the state at its end, and workspace.
    z: Vec<S>,
    room: Option<Box<extrapolation::Room<S>>>,
}

impl<S: Numeric> Work<S> {
    #[inline(always)]
    pub(super) fn new<F: Residual<Real = S::Real>>(residual: &F) -> Self {
        let unknowns =
            residual.explicit().map_or(residual.unknown_dim(), |work| residual.state_dim() + work);
        let z = vec![S::from_f64(0.0); unknowns];
        Self { newton: Newton::new(residual), z, room: None }
    }

    /// One step by `residual`.
    #[inline(always)]
    pub(super) fn step<F: Residual<Real = S::Real>>(
        &mut self,
        residual: &F,
        params: &[Parameter<S::Real>],
        x: &[S],
        u: &[S],
        short: Option<(&F, S)>,
        next: &mut [S],
    ) {
        let Self { newton, z, .. } = self;
        let n = residual.state_dim();
        if residual.explicit().is_some() {
            residual.advance(params, x, u, short, z);
            next[..n].copy_from_slice(&z[..n]);
            return;
        }
        for (plain, x) in newton.x.iter_mut().zip(x) {
            *plain = x.plain();
        }
        for (plain, u) in newton.u.iter_mut().zip(u) {
            *plain = u.plain();
        }
        newton.solve(residual, params, S::TANGENTS > 0);
        for (i, z) in z.iter_mut().enumerate() {
            *z = S::lift(newton.z[i]);
            if S::TANGENTS > 0 {
                for (j, &x) in x.iter().enumerate() {
                    let change = x - S::lift(x.plain());
                    *z += change.scaled(newton.by_state[i * n + j]);
                }
            }
        }
        residual.state(z, x, u, &mut next[..n]);
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
            newton.solve(residual, params, false);
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
        self.residual.input_dim() + usize::from(self.short.is_some())
    }
    fn params(&self) -> &[F::Real] {
        self.residual.params()
    }
    fn scratch_dim(&self) -> usize {
        0
    }
    #[inline(always)]
    fn work<S: Numeric<Real = F::Real>>(&self) -> Work<S> {
        let mut work = Work::new(&self.residual);
        let short = self.short.as_ref().filter(|short| !short.met);
        work.room = short.map(|short| Box::new(extrapolation::Room::new(short)));
        work
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
        let m = self.residual.input_dim();
        let short = self.short.as_ref().filter(|short| short.met);
        let met = short.map(|short| (&short.residual, u[m]));
        work.step(&self.residual, params, x, &u[..m], met, next);
        if let (Some(short), Some(room)) = (&self.short, &mut work.room) {
            short.correct(params, x, u, next, room);
        }
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
        let inputs = self.input_dim();
        #[cfg(feature = "cuda")]
        if let Some(work) = self.residual.explicit() {
            let short = self.short.as_ref().filter(|short| short.met);
            let short = short.map(|short| &short.residual);
            return Graph::of_explicit(&self.residual, inputs, short, work);
        }
        Graph::of_residual(&self.residual, inputs)
    }
    #[cfg(feature = "cuda")]
    fn equation(&self) -> Result<Option<Equation>> {
        match self.residual.explicit() {
            Some(_) => Ok(None),
            None => Equation::new(&self.residual, self.input_dim()).map(Some),
        }
    }
    fn unknown_dim(&self) -> usize {
        if self.residual.explicit().is_some() { 0 } else { self.residual.unknown_dim() }
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
        Some(self.longer(self.residual.coarser()?))
    }
    fn coarser_explicit(&self) -> Option<(Self, u32)> {
        Some(self.longer(self.residual.coarser_explicit()?))
    }
    fn strain(&self, params: &[F::Real], x: &[F::Real], u: &[F::Real], sizes: &[f64]) -> f64 {
        if self.residual.explicit().is_none() {
            return 0.0;
        }
        let u = &u[..self.residual.input_dim()];
        self.residual.strain(Parameter::from_slice(params), x, u, sizes)
    }
    fn coarsen(&self, inputs: &[F::Real], steps: usize, coarse: &mut [F::Real]) {
        let long = self.short.is_some();
        if long || self.residual.extrapolated().is_some() {
            extrapolation::coarsen(&self.residual, long, inputs, steps, coarse);
        } else {
            self.residual.coarsen(inputs, steps, coarse);
        }
    }
    fn count(&self, params: &[Parameter<F::Real>]) -> Counted {
        let Some(short) = &self.short else { return count(&self.residual, None, params) };
        let met = short.met.then_some(&short.residual);
        let corrections = count(&short.residual, None, params).times(short.steps());
        count(&self.residual, met, params).and(corrections)
    }
    fn find_structure(&self) -> Structure {
        Structure::Dense
    }
    fn declared_structure(&self) -> Structure {
        Structure::Dense
    }
}

/// What a step by `residual` comes to, which perhaps stands for some of `short`.
fn count<F: Residual>(residual: &F, short: Option<&F>, params: &[Parameter<F::Real>]) -> Counted {
    /// Newton iterations of a step, as seen; corrections with an earlier step's matrix, likewise.
    const ITERATIONS: u32 = 2;
    const RECIPROCAL: u32 = 13;
    /// Steps for which a matrix is used, where it can be.
    const USED: u64 = 32;
    let (n, k) = (residual.state_dim(), residual.unknown_dim());
    let zero = Count::<F::Real>::at(0);
    let (x, u) = (vec![zero; n], vec![zero; residual.input_dim()]);
    if let Some(work) = residual.explicit() {
        let mut next = vec![zero; n + work];
        let operations = operations(|| {
            residual.advance(params, &x, &u, short.map(|short| (short, zero)), &mut next)
        });
        return Counted { operations, chain: next[..n].iter().map(|x| x.ready).max().unwrap_or(0) };
    }
    let mut r = vec![zero; k + residual.scratch_dim()];
    let evaluated = operations(|| residual.residual(params, &vec![zero; k], &x, &u, &mut r));
    let depth = r[..k].iter().map(|r| r.ready).max().unwrap_or(0);
    let rank = k as u64;
    let passes = residual.independent_dim().div_ceil(PARTIALS) as u64;
    // Multiplications, and selections of rows to exchange.
    let elimination = rank * rank * rank + 3 * rank * rank + 8 * rank;
    let iteration = Operations {
        vector: evaluated.vector * passes * (1 + PARTIALS as u64) + elimination,
        single: evaluated.single * passes * (1 + PARTIALS as u64),
    };
    if !residual.may_keep_matrix() {
        let chain = depth + k as u32 * (RECIPROCAL + 4 * ARITHMETIC.0);
        return Counted { operations: iteration, chain }.times(ITERATIONS);
    }
    let correction =
        Operations { vector: evaluated.vector + rank * rank + 8 * rank, single: evaluated.single };
    let share = Operations { vector: iteration.vector / USED, single: iteration.single / USED };
    let chain = depth + (4 * k as u32 + 8) * ARITHMETIC.0;
    let corrections = Counted { operations: correction, chain }.times(ITERATIONS);
    corrections.and(Counted { operations: share, chain: 0 })
}
