//! Derivatives of solutions.
//!
//! With `A_t = ∂f/∂x` at the solution:
//!
//! ```text
//! tangents      ẋ_t = A_t ẋ_{t−1} + (∂f/∂θ) θ̇ + (∂f/∂u) u̇_t
//! cotangents    λ_t = A_{t+1}ᵀ λ_{t+1} + x̄_t,  θ̄ = Σ (∂f/∂θ)ᵀ λ_t,  ū_t = (∂f/∂u)ᵀ λ_t,  x̄_0 = A_1ᵀ λ_1
//! ```
//!
//! Both are linear recurrences along a known trajectory, whichever method found it. All blocks of time run at once, as if
//! nothing came in at their border; then each runs on what its neighbour handed over, and, as all is linear, adds to
//! what is there, until the difference is lost in rounding. Where the dynamics forget, that is soon. Where they do not, the map
//! of each block is found and the maps are composed (few components), or blocks follow one another.

mod backward;
mod borders;
mod forward;
mod value;

use crate::backend::{AdjointForm, Block, Differentiate, Path, StateCotangents, Swept};
use crate::dynamics::Recurrence;
use crate::error::{Error, Result};
use crate::graph::adjoint::Adjoint;
use crate::graph::tangent::Tangent;
use crate::graph::{Graph, identity};
use crate::problem::Problem;
use crate::scalar::Real;
use crate::sequences::{check_shape, contiguous};
use crate::solution::Solution;
use crate::solver::blocks;
use ndarray::{Array1, Array2, Array3, ArrayView2, ArrayView3, s};
use std::borrow::Cow;
use std::sync::OnceLock;

/// A direction: tangents of what a problem is made of.
///
/// # Example
/// ```
/// use deer_solver::{cells::Gru, Problem, Tangents};
/// use ndarray::{Array1, Array2};
///
/// let gru = Gru::<f64>::random(2, 4, 0);
/// let (x0, inputs) = (Array1::zeros(4), Array2::ones((100, 2)));
/// let problem = Problem::new(&gru, x0.view(), inputs.view())?;
/// let mut direction = Tangents::zeros(&problem);
/// direction.params[0] = 1.0; // the first parameter alone
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Tangents<R> {
    /// `[p]`
    pub params: Array1<R>,
    /// `[B, T, m]`; ignored after the end of a shorter sequence.
    pub inputs: Array3<R>,
    /// `[B, n]`
    pub initial_state: Array2<R>,
}

impl<R: Real> Tangents<R> {
    /// The direction in which nothing changes.
    pub fn zeros<D: Recurrence<Real = R>>(problem: &Problem<'_, D>) -> Self {
        let batch = problem.batch_size();
        Self {
            params: Array1::default(problem.params().len()),
            inputs: Array3::default((batch, problem.max_steps(), problem.input_dim())),
            initial_state: Array2::default((batch, problem.state_dim())),
        }
    }
}

/// Cotangents of what a problem is made of: of a loss, its gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct Cotangents<R> {
    /// `[p]`
    pub params: Array1<R>,
    /// `[B, T, m]`; zero after the end of a shorter sequence.
    pub inputs: Array3<R>,
    /// `[B, n]`
    pub initial_state: Array2<R>,
}

impl<R: Real> Solution<R> {
    /// The derivative of the states in one direction, `[B, T, n]`: forward, at about the price of a solve.
    ///
    /// `problem` is the one that was solved, by whatever method and backend. Exact but for rounding.
    ///
    /// # Errors
    /// [`Error::Shape`] for tangents that do not fit the problem; [`Error::Setting`] for a solution that did not converge
    /// or is another problem's, and for a step that cannot be traced (see [`Graph::trace`]).
    ///
    /// # Example
    /// ```
    /// # #[cfg(feature = "cpu")] {
    /// use deer_solver::{cells::Gru, Cpu, Problem, Solver, Tangents};
    /// use ndarray::{Array1, Array2};
    ///
    /// let gru = Gru::<f64>::random(2, 4, 0);
    /// let (x0, inputs) = (Array1::zeros(4), Array2::ones((100, 2)));
    /// let problem = Problem::new(&gru, x0.view(), inputs.view())?;
    /// let solution = Solver::auto().solve(&problem, &Cpu::new())?;
    /// let direction = Tangents { initial_state: Array2::ones((1, 4)), ..Tangents::zeros(&problem) };
    /// let change = solution.jvp(&problem, &direction, &Cpu::new())?;
    /// assert_eq!(change.shape(), [1, 100, 4]);
    /// # }
    /// # Ok::<(), deer_solver::Error>(())
    /// ```
    pub fn jvp<D: Recurrence<Real = R>, B: Differentiate<R>>(
        &self,
        problem: &Problem<'_, D>,
        tangents: &Tangents<R>,
        backend: &B,
    ) -> Result<Array3<R>> {
        check_solution(self, problem)?;
        let inputs = given_inputs(self, problem);
        let trajectory = Trajectory::of(self, problem, &inputs);
        let tangent = problem.derivatives.tangent(problem.dynamics())?;
        let known = problem.input_dim();
        if known == trajectory.path.m {
            return forward::jvp(&trajectory, tangent, tangents, backend);
        }
        // Unknowns of the steps follow the inputs, and do not move by themselves.
        let (batch, steps) = (problem.batch_size(), problem.max_steps());
        check_shape(
            "tangents.inputs",
            &format!("[B = {batch}, T = {steps}, m = {known}]"),
            tangents.inputs.shape(),
            &[batch, steps, known],
        )?;
        let mut all = Array3::default((batch, steps, trajectory.path.m));
        all.slice_mut(s![.., .., ..known]).assign(&tangents.inputs);
        let tangents = Tangents {
            params: tangents.params.clone(),
            inputs: all,
            initial_state: tangents.initial_state.clone(),
        };
        forward::jvp(&trajectory, tangent, &tangents, backend)
    }

    /// The gradient of a loss with respect to parameters, inputs and initial states, given its derivative with respect to
    /// the states, `cotangent` `[B, T, n]` (ignored after the end of a shorter sequence): reverse, for all of
    /// them at once, at the price of a few solves. A view that repeats one step, such as `row.broadcast((B, T, n))` of `row`
    /// `[B, 1, n]`, is not copied out.
    ///
    /// `problem` is the one that was solved, by whatever method and backend. Exact but for rounding; contributions
    /// that decay below `ε²` of the largest cotangent count as zero.
    ///
    /// # Errors
    /// [`Error::Shape`] for a cotangent that does not fit the problem, [`Error::NonFinite`] for one with a NaN or an
    /// infinity; [`Error::Setting`] for a solution that did not converge or is another problem's, and for a step that
    /// cannot be traced (see [`Graph::trace`]).
    ///
    /// # Example
    /// ```
    /// # #[cfg(feature = "cpu")] {
    /// use deer_solver::{cells::Gru, Cpu, Problem, Solver};
    /// use ndarray::{Array1, Array2};
    ///
    /// let gru = Gru::<f64>::random(2, 4, 0);
    /// let (x0, inputs) = (Array1::zeros(4), Array2::ones((100, 2)));
    /// let problem = Problem::new(&gru, x0.view(), inputs.view())?;
    /// let solution = Solver::auto().solve(&problem, &Cpu::new())?;
    /// // The loss ½ Σ x² has the derivative x.
    /// let gradient = solution.vjp(&problem, solution.states(), &Cpu::new())?;
    /// assert_eq!(gradient.params.len(), gru.params().len());
    /// # use deer_solver::Dynamics;
    /// # }
    /// # Ok::<(), deer_solver::Error>(())
    /// ```
    pub fn vjp<D: Recurrence<Real = R>, B: Differentiate<R>>(
        &self,
        problem: &Problem<'_, D>,
        cotangent: ArrayView3<'_, R>,
        backend: &B,
    ) -> Result<Cotangents<R>> {
        check_solution(self, problem)?;
        let (batch, steps, n) = (problem.batch_size(), problem.max_steps(), problem.state_dim());
        let expected = format!("[B = {batch}, T = {steps}, n = {n}]");
        check_shape("cotangent", &expected, cotangent.shape(), &[batch, steps, n])?;
        // A view that repeats one step stays that.
        let repeated = steps > 1 && cotangent.strides()[1] == 0;
        let given = cotangent.slice(s![.., ..if repeated { 1 } else { steps }, ..]);
        let given = contiguous(given);
        let all = match repeated {
            true => StateCotangents::AllSteps(&given),
            false => StateCotangents::EachStep(&given),
        };
        self.pull_back(problem, all, backend)
    }

    /// [`vjp`](Self::vjp) of cotangents of the problem's shape.
    fn pull_back<D: Recurrence<Real = R>, B: Differentiate<R>>(
        &self,
        problem: &Problem<'_, D>,
        cotangents: StateCotangents<'_, R>,
        backend: &B,
    ) -> Result<Cotangents<R>> {
        let inputs = given_inputs(self, problem);
        let trajectory = Trajectory::of(self, problem, &inputs);
        let form = backend.adjoint_form(&trajectory.path);
        let adjoint = problem.derivatives.adjoint(problem.dynamics(), form)?;
        let mut cotangents = backward::vjp(&trajectory, adjoint, cotangents, backend)?;
        if trajectory.path.m > problem.input_dim() {
            let own = cotangents.inputs.slice(s![.., .., ..problem.input_dim()]);
            cotangents.inputs = own.as_standard_layout().into_owned();
        }
        Ok(cotangents)
    }

    /// As [`vjp`](Self::vjp), for a loss of the last state of each sequence: `cotangent` `[B, n]`. That of a sequence
    /// without steps goes to its initial state.
    ///
    /// # Errors
    /// Those of [`vjp`](Self::vjp).
    pub fn vjp_last<D: Recurrence<Real = R>, B: Differentiate<R>>(
        &self,
        problem: &Problem<'_, D>,
        cotangent: ArrayView2<'_, R>,
        backend: &B,
    ) -> Result<Cotangents<R>> {
        check_solution(self, problem)?;
        let (batch, n) = (problem.batch_size(), problem.state_dim());
        check_shape(
            "cotangent",
            &format!("[B = {batch}, n = {n}]"),
            cotangent.shape(),
            &[batch, n],
        )?;
        let rows = contiguous(cotangent);
        let mut gradient = self.pull_back(problem, StateCotangents::LastSteps(&rows), backend)?;
        for b in (0..batch).filter(|&b| problem.steps(b) == 0) {
            gradient.initial_state.row_mut(b).assign(&cotangent.row(b));
        }
        Ok(gradient)
    }
}

/// That a solution converged and has the problem's shape.
fn check_solution<D: Recurrence>(
    solution: &Solution<D::Real>,
    problem: &Problem<'_, D>,
) -> Result<()> {
    let batch = problem.batch_size();
    let shape = [batch, problem.max_steps(), problem.state_dim()];
    if solution.states.shape() != shape || (0..batch).any(|b| solution.steps[b] != problem.steps(b))
    {
        return Err(not_of_this_problem("a solution of another shape"));
    }
    if !solution.converged() {
        return Err(Error::setting(
            "solution",
            "one that converged",
            format!("{:?}", solution.termination()),
        ));
    }
    Ok(())
}

/// What the steps' graph is given in each step, one `[T_b, ..]` for each sequence: the problem's inputs, and for steps that
/// are defined by an equation its solution, found again from the states.
fn given_inputs<'p, D: Recurrence>(
    solution: &Solution<D::Real>,
    problem: &'p Problem<'_, D>,
) -> Vec<Cow<'p, [D::Real]>> {
    let (batch, n, m) = (problem.batch_size(), problem.state_dim(), problem.input_dim());
    let k = problem.dynamics().unknown_dim();
    if k == 0 {
        return (0..batch).map(|b| Cow::Borrowed(problem.inputs(b))).collect();
    }
    let sequence = |b: usize| {
        let (steps, inputs) = (problem.steps(b), problem.inputs(b));
        let mut states = problem.initial_state().row(b).to_vec();
        states.extend(solution.trajectory(b).iter().take(steps.saturating_sub(1) * n));
        let mut unknowns = vec![D::Real::default(); steps * k];
        problem.dynamics().unknowns(problem.params(), &states, inputs, &mut unknowns);
        let mut all = Vec::with_capacity(steps * (m + k));
        for t in 0..steps {
            all.extend_from_slice(&inputs[t * m..(t + 1) * m]);
            all.extend_from_slice(&unknowns[t * k..(t + 1) * k]);
        }
        Cow::Owned(all)
    };
    (0..batch).map(sequence).collect()
}

/// The derivatives of a problem's step, each found when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Derivatives {
    graph: OnceLock<Graph>,
    by_hand: OnceLock<Adjoint>,
    identity: OnceLock<u64>,
    adjoint: OnceLock<Adjoint>,
    with_all_factors: OnceLock<Adjoint>,
    tangent: OnceLock<Tangent>,
}

impl Derivatives {
    pub(crate) fn graph<D: Recurrence>(&self, dynamics: &D) -> Result<&Graph> {
        if let Some(known) = self.graph.get() {
            return Ok(known);
        }
        let graph = dynamics.graph()?;
        Ok(self.graph.get_or_init(|| graph))
    }

    fn adjoint<D: Recurrence>(&self, dynamics: &D, form: AdjointForm) -> Result<&Adjoint> {
        match form {
            AdjointForm::Graph => {
                let graph = self.graph(dynamics)?;
                Ok(self.with_all_factors.get_or_init(|| Adjoint::with_all_factors(graph)))
            }
            AdjointForm::Program | AdjointForm::Cell => {
                if let Some(cell) = dynamics.by_hand() {
                    return Ok(self.by_hand.get_or_init(|| Adjoint::by_hand(cell)));
                }
                let graph = self.graph(dynamics)?;
                Ok(self.adjoint.get_or_init(|| Adjoint::new(graph)))
            }
        }
    }

    /// A number that no other problem's graph has.
    pub(crate) fn identity(&self) -> u64 {
        *self.identity.get_or_init(identity)
    }

    fn tangent<D: Recurrence>(&self, dynamics: &D) -> Result<&Tangent> {
        let graph = self.graph(dynamics)?;
        Ok(self.tangent.get_or_init(|| Tangent::new(graph)))
    }
}

/// A solution and its problem, which fit each other as far as shapes tell.
struct Trajectory<'a, R: Real> {
    path: Path<'a, R>,
}

impl<'a, R: Real> Trajectory<'a, R> {
    fn of<D: Recurrence<Real = R>>(
        solution: &'a Solution<R>,
        problem: &'a Problem<'_, D>,
        inputs: &'a [Cow<'_, [R]>],
    ) -> Self {
        let unknowns = problem.dynamics().unknown_dim();
        // What solvers build is contiguous.
        let states = solution.states.as_slice().unwrap_or_default();
        let initial = problem.initial_states();
        let path = Path {
            initial,
            inputs: inputs.iter().map(|inputs| &inputs[..]).collect(),
            states,
            params: problem.params(),
            params_of: problem.params_identity(),
            steps: problem.sequences().all_steps(),
            max_steps: problem.max_steps(),
            n: problem.state_dim(),
            m: problem.input_dim() + unknowns,
            cell: problem.dynamics().built_in(),
            inputs_of: (unknowns == 0).then(|| problem.graph_identity()),
            kept: solution.kept,
        };
        Self { path }
    }

    /// Blocks of the first sweep.
    fn blocks<B: Differentiate<R>>(&self, backend: &B) -> Vec<Block> {
        /// Steps in all that are not worth cutting.
        const SHORT: usize = 32;
        let (steps, lanes) = (self.path.steps, backend.lanes());
        let total: usize = steps.iter().sum();
        if total <= SHORT {
            return blocks::cut(steps, self.path.max_steps.max(1));
        }
        let groups = blocks::groups_for(total, lanes, backend.block_steps(), backend.groups());
        let per_sequence = (groups * lanes).div_ceil(steps.len().max(1)).max(1);
        let tiles = self.path.max_steps.div_ceil(Swept::TILE).max(1);
        even(steps, tiles.div_ceil(per_sequence))
    }

    /// Whether the step leads from each state to the next, as the first sweep saw it.
    fn check(&self, Swept { difference, magnitude }: Swept) -> Result<()> {
        /// Relative difference that no tolerance explains.
        const ANOTHER: f64 = 1e-2;
        // Not a number is no agreement either.
        if difference <= ANOTHER * magnitude {
            return Ok(());
        }
        Err(not_of_this_problem(&format!(
            "states that differ from the step's by {:.1e} of their size",
            difference / magnitude
        )))
    }
}

/// Blocks of at most `most` tiles, as equal as can be in each of the sequences of `steps` steps: lanes end together.
fn even(steps: &[usize], most: usize) -> Vec<Block> {
    let mut all = Vec::new();
    for (batch, &steps) in steps.iter().enumerate() {
        let tiles = steps.div_ceil(Swept::TILE);
        let count = tiles.div_ceil(most);
        for place in 0..count {
            let [start, end] =
                [place, place + 1].map(|k| (k * tiles / count * Swept::TILE).min(steps));
            all.push(Block { batch, start, len: end - start });
        }
    }
    all
}

fn not_of_this_problem(got: &str) -> Error {
    Error::setting("problem", "the one that the solution is of", got)
}
