//! Recurrences over several steps back.

use super::Dynamics;
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::scalar::{Param, Real, Scalar};
use crate::solution::Solution;
use ndarray::{Array1, ArrayView2, ArrayView3, Axis, s};
use std::fmt;

/// A recurrence with delays: `x_t = f(x_{t−s_1}, …, x_{t−s_p}, u_t; θ)`.
///
/// The rules for [`Dynamics::step`] hold; [`Delayed`] makes a [`Dynamics`] of it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a recurrence with delays",
    note = "implement `dynamics::DelayedStep` for it: `state_dim`, `delays` and a generic `step`"
)]
pub trait DelayedStep: Sync {
    /// The precision: `f32` or `f64`.
    type Real: Real;

    /// Length `n` of `x_t`.
    fn state_dim(&self) -> usize;

    /// The delays `s_1, …, s_p`, each at least 1.
    fn delays(&self) -> &[usize];

    /// Length `m` of one step's input.
    fn input_dim(&self) -> usize {
        0
    }

    /// The parameters θ that derivatives are taken with respect to.
    fn params(&self) -> &[Self::Real] {
        &[]
    }

    /// Extra entries at the end of `next` that a step may use as its own workspace.
    fn scratch_dim(&self) -> usize {
        0
    }

    /// One step: reads `params`, the states `past` `[p, n]` (row `i` is `x_{t−s_{i+1}}`, that is `past[i * n..(i + 1) * n]`) and `u` `[m]`, writes
    /// all of `next[..n]`. `next` has `n + scratch_dim` entries.
    fn step<S: Scalar<Real = Self::Real>>(
        &self,
        params: &[Param<S>],
        past: &[S],
        u: &[S],
        next: &mut [S],
    );
}

/// The [`Dynamics`] of a recurrence with delays, over the companion state `[x_t, x_{t−1}, …, x_{t−s+1}]` of length `s·n`, where `s` is the
/// longest delay.
///
/// A step computes `n` numbers and moves `s·n`, and a Jacobian is of size `s·n`: methods whose work grows with the state pay for
/// the longest delay. Zeros of the Jacobian are found where `s·n` is at most 64.
///
/// # Example
/// ```
/// # #[cfg(feature = "cpu")] {
/// use deer_solver::dynamics::{Delayed, DelayedStep};
/// use deer_solver::scalar::{Param, Scalar};
/// use deer_solver::{Cpu, Solver};
/// use ndarray::{Array2, array};
///
/// /// x_t = x_{t−1} / 2 + x_{t−3} / 4 + u_t
/// struct Echo;
///
/// impl DelayedStep for Echo {
///     type Real = f64;
///     fn state_dim(&self) -> usize { 1 }
///     fn delays(&self) -> &[usize] { &[1, 3] }
///     fn input_dim(&self) -> usize { 1 }
///     #[inline(always)]
///     fn step<S: Scalar<Real = f64>>(&self, _: &[Param<S>], past: &[S], u: &[S], next: &mut [S]) {
///         next[0] = past[0] * 0.5 + past[1] * 0.25 + u[0];
///     }
/// }
///
/// let echo = Delayed::new(Echo)?;
/// let history = array![[0.0], [0.0], [1.0]]; // x_{−2}, x_{−1}, x_0
/// let problem = echo.problem(history.view(), Array2::zeros((1000, 1)).view())?;
/// let solution = Solver::auto().solve(&problem, &Cpu::new())?;
/// let x = echo.states(&solution); // [B, T, n]: x_1..x_T
/// assert_eq!([x[[0, 0, 0]], x[[0, 2, 0]]], [0.5, 0.375]);
/// # }
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[derive(Clone)]
pub struct Delayed<F> {
    step: F,
    longest: usize,
    /// Whether the delays are 1, 2, …, p: then the companion state is what a step reads.
    consecutive: bool,
}

impl<F> fmt::Debug for Delayed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delayed").field("longest", &self.longest).finish_non_exhaustive()
    }
}

impl<F: DelayedStep> Delayed<F> {
    /// The dynamics of `step`.
    ///
    /// # Errors
    /// No delay, or one of 0.
    pub fn new(step: F) -> Result<Self> {
        let delays = step.delays();
        if delays.is_empty() || delays.contains(&0) {
            let got = format!("{delays:?}");
            return Err(Error::setting("delays", "one or more, each at least 1", got));
        }
        let longest = delays.iter().copied().max().unwrap_or(1);
        let consecutive = delays.iter().enumerate().all(|(i, &delay)| delay == i + 1);
        Ok(Self { longest, consecutive, step })
    }

    /// The recurrence as written.
    pub fn step_of(&self) -> &F {
        &self.step
    }

    /// The longest delay `s`.
    pub fn longest_delay(&self) -> usize {
        self.longest
    }

    /// The companion state `[s·n]` after `history` `[s, n]`, in the order of time: its last row is `x_0`.
    ///
    /// # Errors
    /// Another shape.
    pub fn initial_state(&self, history: ArrayView2<'_, F::Real>) -> Result<Array1<F::Real>> {
        let (s, n) = (self.longest, self.step.state_dim());
        if history.dim() != (s, n) {
            let expected = format!("[longest delay = {s}, n = {n}]");
            return Err(Error::shape("history", expected, history.shape()));
        }
        Ok(history.slice(s![..;-1, ..]).iter().copied().collect())
    }

    /// The recurrence after `history` `[s, n]` (see [`initial_state`](Self::initial_state)) with `inputs` `[T, m]`.
    ///
    /// # Errors
    /// A shape that does not fit, or a number that is not finite.
    pub fn problem(
        &self,
        history: ArrayView2<'_, F::Real>,
        inputs: ArrayView2<'_, F::Real>,
    ) -> Result<Problem<'_, Self>> {
        let initial = self.initial_state(history)?;
        if let Some(((row, j), x)) = history.indexed_iter().find(|(_, x)| !x.is_finite()) {
            let (index, value) = (vec![row, j], x.to_f64());
            return Err(Error::NonFinite { argument: "history", index, value });
        }
        let inputs = inputs.as_standard_layout().into_owned();
        Problem::of_owned(self, initial.view().insert_axis(Axis(0)), vec![inputs])
    }

    /// The states `x_1..x_T` `[B, T, n]` of a solution, without those before them.
    ///
    /// # Panics
    /// If the solution is another recurrence's, with shorter states.
    pub fn states<'s>(&self, solution: &'s Solution<F::Real>) -> ArrayView3<'s, F::Real> {
        solution.states().slice_move(s![.., .., ..self.step.state_dim()])
    }
}

impl<F: DelayedStep> Dynamics for Delayed<F> {
    type Real = F::Real;

    fn state_dim(&self) -> usize {
        self.longest * self.step.state_dim()
    }

    fn input_dim(&self) -> usize {
        self.step.input_dim()
    }

    fn params(&self) -> &[F::Real] {
        self.step.params()
    }

    fn scratch_dim(&self) -> usize {
        let n = self.step.state_dim();
        n + self.step.scratch_dim() + self.step.delays().len() * n
    }

    #[inline(always)]
    fn step<S: Scalar<Real = F::Real>>(
        &self,
        params: &[Param<S>],
        x: &[S],
        u: &[S],
        next: &mut [S],
    ) {
        let n = self.step.state_dim();
        let (next, work) = next.split_at_mut(x.len());
        let (result, room) = work.split_at_mut(n + self.step.scratch_dim());
        let delays = self.step.delays();
        let past = if self.consecutive {
            x
        } else {
            for (i, delay) in delays.iter().enumerate() {
                room[i * n..(i + 1) * n].copy_from_slice(&x[(delay - 1) * n..delay * n]);
            }
            &room[..delays.len() * n]
        };
        self.step.step(params, past, u, result);
        next[..n].copy_from_slice(&result[..n]);
        next[n..].copy_from_slice(&x[..x.len() - n]);
    }
}
