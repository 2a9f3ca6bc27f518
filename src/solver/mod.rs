//! Methods, their settings, and the loops around sweeps.

mod auto;
pub(crate) mod blocks;
mod coarse;
pub(crate) mod control;
mod damping;
mod elk;
mod jacobi;
mod kept;
mod maps;
mod newton;
mod pilot;
mod run;
pub(crate) mod stages;
mod tolerance;

use crate::backend::Sweep;
use crate::dynamics::Recurrence;
use crate::error::{Error, Result};
use crate::problem::Problem;
use crate::resident::Resident;
use crate::solution::Solution;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

pub use damping::Damping;
pub use tolerance::Tolerance;
pub(crate) use tolerance::{distance, larger};

/// The linear part `Ã` of a sweep `x⁺_t = f(x_{t−1}) + Ã_t (x⁺_{t−1} − x_{t−1})`, or over blocks of
/// several steps the product of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Linearization {
    /// `Ã = 0`: blocks hand on their ends (Jacobi).
    Zero,
    /// `Ã = I`: changes are handed on unchanged (Picard).
    Identity,
    /// `Ã = diag(∂f/∂x)`: quasi-DEER (Gonzalez et al. 2024, arXiv:2407.19115).
    Diagonal,
    /// `Ã = ∂f/∂x`: Newton, DEER (Lim et al. 2024, arXiv:2309.12252); as diagonal or blocks where
    /// the recurrence says that its Jacobian is so.
    Full,
}

/// How a trajectory is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// The solver chooses, and ends in the loop if nothing else works.
    Auto,
    /// One step after the other.
    Sequential,
    /// Sweeps over blocks of time with a linear part.
    Sweeps(Linearization),
    /// Sweeps over blocks of time of a discretised equation, whose start and Jacobians come from a coarser grid.
    Shooting,
    /// Levenberg–Marquardt steps with the Jacobian, each a Kalman smoother: ELK (Gonzalez et al. 2024, arXiv:2407.19115).
    Elk,
    /// The same with the diagonal of the Jacobian.
    QuasiElk,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Auto => "auto",
            Method::Sequential => "sequential",
            Method::Shooting => "shooting",
            Method::Sweeps(Linearization::Zero) => "jacobi",
            Method::Sweeps(Linearization::Identity) => "picard",
            Method::Sweeps(Linearization::Diagonal) => "quasi-deer",
            Method::Sweeps(Linearization::Full) => "deer",
            Method::Elk => "elk",
            Method::QuasiElk => "quasi-elk",
        })
    }
}

/// What an observer is shown after each sweep.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Sweeps done.
    pub sweep: usize,
    /// Largest residual at a border that is left, in the units of the state.
    pub residual: f64,
    /// Blocks whose states are final.
    pub converged: usize,
    /// Blocks in all.
    pub blocks: usize,
}

type Observer = Arc<dyn Fn(&Progress) -> ControlFlow<()> + Send + Sync>;

/// A method with its settings: linear part × block × damping.
///
/// | constructor | linear part | work of a sweep |
/// |---|---|---|
/// | [`auto`](Self::auto) | chosen | |
/// | [`sequential`](Self::sequential) | none: the loop | T |
/// | [`jacobi`](Self::jacobi) | 0 | T |
/// | [`shooting`](Self::shooting) | the Jacobian of a coarser grid, for discretised equations | T |
/// | [`picard`](Self::picard) | I | T |
/// | [`quasi_deer`](Self::quasi_deer) | diagonal of the Jacobian | T n |
/// | [`deer`](Self::deer) | the Jacobian | T n³ dense, T n k² in blocks of k |
/// | [`elk`](Self::elk) | the Jacobian, in damped least squares | 15 T n³ dense, 15 T n k² |
/// | [`quasi_elk`](Self::quasi_elk) | its diagonal, likewise | T n |
///
/// Whatever the linear part, after `k` sweeps the first `k` blocks are exact, so that `⌈T/block⌉` sweeps are
/// the worst case. That does not hold for ELK, where an early state may move for the sake of later ones.
///
/// # Example
/// ```
/// use deer_solver::{cells::Elman, Cpu, Problem, Solver};
/// use ndarray::{Array1, Array2};
///
/// let cell = Elman::<f64>::random(1, 3, 0);
/// let x0 = Array1::zeros(3);
/// let inputs = Array2::ones((500, 1));
/// let problem = Problem::new(&cell, x0.view(), inputs.view())?;
/// let solution = Solver::deer().tolerance(1e-12, 1e-12).solve(&problem, &Cpu::new())?;
/// assert!(solution.converged());
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Solver {
    /// The method.
    pub method: Method,
    /// When a residual counts as zero; none means [`Tolerance::default_of`] the precision.
    pub tolerance: Option<Tolerance>,
    /// Sweeps allowed; none means the worst case `⌈T/block⌉`, with which every method ends, and for ELK, which need not end, 100.
    pub max_sweeps: Option<usize>,
    /// Steps in a block; none leaves it to the method. `T` is the plain loop, 1 is
    /// the methods as first published.
    pub block: Option<usize>,
    /// The damping `k` of the linear part: `(1 − k) Ã`. Default 0. Not for ELK, which is damped by λ.
    pub damping: Damping,
    /// ELK's first λ, at least 0: the weight of staying where the trajectory is, against residuals of weight 1. Default 1.
    pub lambda: f64,
    /// Whether the report is to have a bound on the error against the loop, at the price of a few sweeps of Newton
    /// ([`diagnostics::error_bound`](crate::diagnostics::error_bound)). Default no.
    pub error_bound: bool,
    observer: Option<Observer>,
}

impl fmt::Debug for Solver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Solver")
            .field("method", &self.method)
            .field("tolerance", &self.tolerance)
            .field("max_sweeps", &self.max_sweeps)
            .field("block", &self.block)
            .field("damping", &self.damping)
            .field("lambda", &self.lambda)
            .field("error_bound", &self.error_bound)
            .field("observer", &self.observer.as_ref().map(|_| ".."))
            .finish()
    }
}

impl Solver {
    /// With the settings of `method` at their defaults.
    pub fn new(method: Method) -> Self {
        Self {
            method,
            tolerance: None,
            max_sweeps: None,
            block: None,
            damping: Damping::Fixed(0.0),
            lambda: 1.0,
            error_bound: false,
            observer: None,
        }
    }

    /// Chooses by the coarser grids of a discretised equation and by a short pilot, changes its mind where a sweep shows
    /// that it must, and always delivers the loop's trajectory within the tolerance.
    pub fn auto() -> Self {
        Self::new(Method::Auto)
    }

    /// The loop: one step after the other; sequences of a batch at the same time.
    pub fn sequential() -> Self {
        Self::new(Method::Sequential)
    }

    /// Rolls all blocks at once and hands their ends on, until each starts where the one before it
    /// ended.
    pub fn jacobi() -> Self {
        Self::new(Method::Sweeps(Linearization::Zero))
    }

    /// As [`jacobi`](Self::jacobi) from the states and with the Jacobians of a coarser grid: for discretised equations
    /// ([`ode`](crate::ode)). A recurrence without a coarser grid is solved by `jacobi`.
    pub fn shooting() -> Self {
        Self::new(Method::Shooting)
    }

    /// Hands changes on unchanged: a prefix sum.
    pub fn picard() -> Self {
        Self::new(Method::Sweeps(Linearization::Identity))
    }

    /// Newton with the exact diagonal of the Jacobian.
    pub fn quasi_deer() -> Self {
        Self::new(Method::Sweeps(Linearization::Diagonal))
    }

    /// Newton: quadratic convergence.
    pub fn deer() -> Self {
        Self::new(Method::Sweeps(Linearization::Full))
    }

    /// Levenberg–Marquardt steps with the Jacobian, from λ = `lambda` on: each a Kalman smoother over time, taken where it lowers the
    /// sum of squared residuals. λ adapts, and Newton finishes. For dynamics where Newton overshoots; in blocks of 1 step unless told.
    pub fn elk(lambda: f64) -> Self {
        Self { lambda, ..Self::new(Method::Elk) }
    }

    /// [`elk`](Self::elk) with the diagonal of the Jacobian.
    pub fn quasi_elk(lambda: f64) -> Self {
        Self { lambda, ..Self::new(Method::QuasiElk) }
    }

    /// Sets [`tolerance`](Self::tolerance): `|r| ≤ atol + rtol · |x|`.
    pub fn tolerance(mut self, atol: f64, rtol: f64) -> Self {
        self.tolerance = Some(Tolerance { atol, rtol });
        self
    }

    /// Sets [`max_sweeps`](Self::max_sweeps).
    pub fn max_sweeps(mut self, sweeps: usize) -> Self {
        self.max_sweeps = Some(sweeps);
        self
    }

    /// Sets [`block`](Self::block), in steps.
    pub fn block(mut self, steps: usize) -> Self {
        self.block = Some(steps);
        self
    }

    /// Sets [`damping`](Self::damping): a number, or [`Damping::Adaptive`].
    pub fn damping(mut self, k: impl Into<Damping>) -> Self {
        self.damping = k.into();
        self
    }

    /// Sets [`error_bound`](Self::error_bound).
    pub fn error_bound(mut self, wanted: bool) -> Self {
        self.error_bound = wanted;
        self
    }

    /// Calls `f` after each sweep; `ControlFlow::Break` stops the iteration of the methods that sweep, and the
    /// solution then says [`Stopped`](crate::Termination::Stopped).
    pub fn observe(
        mut self,
        f: impl Fn(&Progress) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        self.observer = Some(Arc::new(f));
        self
    }

    /// Solves `problem` on `backend`.
    ///
    /// # Errors
    /// A setting out of its range, or a failure of the device. Running out of sweeps is no error: see
    /// [`Solution::termination`].
    pub fn solve<D: Recurrence, B: Sweep<D>>(
        &self,
        problem: &Problem<'_, D>,
        backend: &B,
    ) -> Result<Solution<D::Real>> {
        self.solve_resident(problem, backend)?.fetch()
    }

    /// Solves `problem` on `backend`, and leaves the states there.
    ///
    /// # Errors
    /// Those of [`solve`](Self::solve).
    ///
    /// # Example
    /// ```
    /// # #[cfg(feature = "cpu")] {
    /// use deer_solver::{cells::Gru, Cpu, Problem, Solver};
    /// use ndarray::{Array1, Array2};
    ///
    /// let gru = Gru::<f32>::random(2, 4, 0);
    /// let (x0, inputs) = (Array1::zeros(4), Array2::ones((1000, 2)));
    /// let problem = Problem::new(&gru, x0.view(), inputs.view())?;
    /// let cpu = Cpu::new();
    /// let resident = Solver::auto().solve_resident(&problem, &cpu)?;
    /// if resident.converged() {
    ///     let solution = resident.fetch()?;
    ///     assert_eq!(solution.states().shape(), [1, 1000, 4]);
    /// }
    /// # }
    /// # Ok::<(), deer_solver::Error>(())
    /// ```
    pub fn solve_resident<'b, D: Recurrence, B: Sweep<D>>(
        &self,
        problem: &Problem<'_, D>,
        backend: &'b B,
    ) -> Result<Resident<'b, D, B>> {
        self.check()?;
        run::solve(self, problem, backend)
    }

    fn check(&self) -> Result<()> {
        if let Some(Tolerance { atol, rtol }) = self.tolerance {
            Tolerance::checked(atol, rtol)?;
        }
        if self.block == Some(0) {
            return Err(Error::setting("block", "at least 1 step", 0));
        }
        if self.max_sweeps == Some(0) {
            return Err(Error::setting("max_sweeps", "at least 1 sweep", 0));
        }
        if let Damping::Fixed(k) = self.damping
            && !(0.0..=1.0).contains(&k)
        {
            return Err(Error::setting("damping", "a number from 0 to 1", k));
        }
        if !(self.lambda >= 0.0 && self.lambda.is_finite()) {
            return Err(Error::setting("lambda", "a finite number, at least 0", self.lambda));
        }
        Ok(())
    }
}
