//! What is to be solved: a recurrence, where it starts, and what drives it.

use crate::dynamics::{Recurrence, Structure};
use crate::error::{Error, Result};
use crate::gradient::Derivatives;
use crate::graph::{Graph, identity};
use crate::scalar::Real;
use crate::sequences::{
    Sequences, check_batch, check_inputs, check_shape, contiguous, first_non_finite,
};
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayView3, Axis};
use std::borrow::Cow;
use std::sync::OnceLock;

/// A recurrence with initial states and inputs, for one sequence or a batch of `B`.
///
/// | | shape |
/// |---|---|
/// | initial state | `[n]`, in a batch `[B, n]` |
/// | inputs | `[T, m]`, in a batch `[B, T, m]`, ragged `B` × `[T_b, m]` |
/// | guess | `[B, T, n]` |
///
/// Initial states are copied; inputs are borrowed where they are contiguous in the order of
/// their axes, else copied. Every number must be finite.
///
/// # Example
/// ```
/// use deer_solver::{cells::Gru, Problem};
/// use ndarray::{Array1, Array2};
///
/// let gru = Gru::<f32>::random(2, 4, 0);
/// let x0 = Array1::zeros(4);
/// let inputs = Array2::ones((100, 2));
/// let problem = Problem::new(&gru, x0.view(), inputs.view())?;
/// assert_eq!(problem.steps(0), 100);
/// # Ok::<(), deer_solver::Error>(())
/// ```
#[derive(Debug)]
pub struct Problem<'a, D: Recurrence> {
    dynamics: &'a D,
    sequences: Sequences<'a, D::Real>,
    params: Option<Vec<D::Real>>,
    params_identity: u64,
    structure: OnceLock<Structure>,
    pub(crate) derivatives: Derivatives,
}

impl<'a, D: Recurrence> Problem<'a, D> {
    /// One sequence: `x0` `[n]`, `inputs` `[T, m]`.
    ///
    /// # Errors
    /// A shape that does not fit the recurrence, or a number that is not finite.
    pub fn new(
        dynamics: &'a D,
        x0: ArrayView1<'_, D::Real>,
        inputs: ArrayView2<'a, D::Real>,
    ) -> Result<Self> {
        check_shape(
            "x0",
            &format!("[n = {}]", dynamics.state_dim()),
            x0.shape(),
            &[dynamics.state_dim()],
        )?;
        check_inputs(dynamics.input_dim(), inputs.shape())?;
        let steps = inputs.nrows();
        Self::checked(
            dynamics,
            x0.insert_axis(Axis(0)).to_owned(),
            vec![contiguous(inputs)],
            vec![steps],
            &|_, entry| vec![entry / inputs.ncols(), entry % inputs.ncols()],
            &|entry| vec![entry],
        )
    }

    /// A batch: `x0` `[B, n]`, `inputs` `[B, T, m]`.
    ///
    /// # Errors
    /// A shape that does not fit the recurrence, or a number that is not finite.
    pub fn batch(
        dynamics: &'a D,
        x0: ArrayView2<'_, D::Real>,
        inputs: ArrayView3<'a, D::Real>,
    ) -> Result<Self> {
        let (batch, steps, m) = inputs.dim();
        check_batch(dynamics.state_dim(), x0, batch)?;
        check_inputs(dynamics.input_dim(), &inputs.shape()[1..])?;
        let sequences = match inputs.to_slice() {
            Some(all) => (0..batch)
                .map(|b| Cow::Borrowed(&all[b * steps * m..(b + 1) * steps * m]))
                .collect(),
            None => (0..batch).map(|b| contiguous(inputs.index_axis_move(Axis(0), b))).collect(),
        };
        Self::checked(
            dynamics,
            x0.to_owned(),
            sequences,
            vec![steps; batch],
            &|b, entry| vec![b, entry / m, entry % m],
            &|entry| vec![entry / x0.ncols(), entry % x0.ncols()],
        )
        .map(|problem| Self { sequences: problem.sequences.with_max_steps(steps), ..problem })
    }

    /// Sequences of different length: `x0` `[B, n]`, `inputs[b]` `[T_b, m]`.
    ///
    /// # Errors
    /// A shape that does not fit the recurrence, or a number that is not finite.
    pub fn ragged(
        dynamics: &'a D,
        x0: ArrayView2<'_, D::Real>,
        inputs: &[ArrayView2<'a, D::Real>],
    ) -> Result<Self> {
        check_batch(dynamics.state_dim(), x0, inputs.len())?;
        for sequence in inputs {
            check_inputs(dynamics.input_dim(), sequence.shape())?;
        }
        let m = dynamics.input_dim();
        Self::checked(
            dynamics,
            x0.to_owned(),
            inputs.iter().map(|&sequence| contiguous(sequence)).collect(),
            inputs.iter().map(|sequence| sequence.nrows()).collect(),
            &|b, entry| vec![b, entry / m, entry % m],
            &|entry| vec![entry / x0.ncols(), entry % x0.ncols()],
        )
    }

    /// Sequences whose inputs, `[T_b, m]` each in row-major order, are the problem's own.
    pub(crate) fn of_owned(
        dynamics: &'a D,
        x0: ArrayView2<'_, D::Real>,
        inputs: Vec<Array2<D::Real>>,
    ) -> Result<Self> {
        check_batch(dynamics.state_dim(), x0, inputs.len())?;
        for sequence in &inputs {
            check_inputs(dynamics.input_dim(), sequence.shape())?;
        }
        let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
        let steps = inputs.iter().map(|sequence| sequence.nrows()).collect();
        let inputs =
            inputs.into_iter().map(|all| Cow::Owned(all.into_raw_vec_and_offset().0)).collect();
        Self::checked(
            dynamics,
            x0.to_owned(),
            inputs,
            steps,
            &|b, entry| vec![b, entry / m, entry % m],
            &|entry| vec![entry / n, entry % n],
        )
    }

    /// One sequence of `steps` steps without inputs (`m` = 0): `x0` `[n]`.
    ///
    /// # Errors
    /// A recurrence that takes inputs, a shape that does not fit, a number that is not finite.
    pub fn autonomous(dynamics: &'a D, x0: ArrayView1<'_, D::Real>, steps: usize) -> Result<Self> {
        if dynamics.input_dim() != 0 {
            return Err(Error::setting(
                "dynamics",
                "a recurrence without inputs (use Problem::new for one with inputs)",
                format!("input_dim() = {}", dynamics.input_dim()),
            ));
        }
        check_shape(
            "x0",
            &format!("[n = {}]", dynamics.state_dim()),
            x0.shape(),
            &[dynamics.state_dim()],
        )?;
        Self::checked(
            dynamics,
            x0.insert_axis(Axis(0)).to_owned(),
            vec![Cow::Owned(Vec::new())],
            vec![steps],
            &|_, entry| vec![entry],
            &|entry| vec![entry],
        )
    }

    /// With a trajectory `[B, T, n]` to start the iteration from, such as an earlier solution's
    /// [`states`](crate::Solution::states).
    ///
    /// # Errors
    /// Another shape, or a number that is not finite.
    pub fn with_guess(self, guess: ArrayView3<'a, D::Real>) -> Result<Self> {
        Ok(Self { sequences: self.sequences.with_guess(guess)?, ..self })
    }

    /// With other parameters θ than the recurrence's own.
    ///
    /// # Errors
    /// Another length than [`params`](Self::params), or a number that is not finite.
    pub fn with_params(mut self, params: &[D::Real]) -> Result<Self> {
        let expected = self.dynamics.params().len();
        check_shape("params", &format!("[{expected}]"), &[params.len()], &[expected])?;
        if let Some(entry) = first_non_finite(params) {
            return Err(Error::NonFinite {
                argument: "params",
                index: vec![entry],
                value: params[entry].to_f64(),
            });
        }
        self.params = Some(params.to_vec());
        self.params_identity = identity();
        Ok(self)
    }

    /// The recurrence.
    pub fn dynamics(&self) -> &'a D {
        self.dynamics
    }

    /// Sequences `B`.
    pub fn batch_size(&self) -> usize {
        self.sequences.batch_size()
    }

    /// Steps `T_b` of the sequence `batch`.
    ///
    /// # Panics
    /// If there is no such sequence.
    pub fn steps(&self, batch: usize) -> usize {
        self.sequences.steps(batch)
    }

    /// Steps of the longest sequence.
    pub fn max_steps(&self) -> usize {
        self.sequences.max_steps()
    }

    /// Length `n` of the state.
    pub fn state_dim(&self) -> usize {
        self.sequences.state_dim()
    }

    /// Length `m` of one step's input.
    pub fn input_dim(&self) -> usize {
        self.sequences.input_dim()
    }

    /// The structure of the Jacobian that Newton's method uses: the one that the recurrence declares, or, where that is dense,
    /// the one that is found in the step's expressions (up to `n` = 512).
    pub fn structure(&self) -> Structure {
        /// The expressions of a dense step of so many components take half a second to look at, as long as 750 steps of the loop; with
        /// twice as many, eight times that.
        const LARGEST: usize = 512;
        *self.structure.get_or_init(|| match self.state_dim() {
            2..=LARGEST => self.dynamics.find_structure(),
            _ => self.dynamics.declared_structure(),
        })
    }

    /// The parameters θ that the steps run with.
    pub fn params(&self) -> &[D::Real] {
        self.params.as_deref().unwrap_or_else(|| self.dynamics.params())
    }

    /// Initial states `[B, n]`.
    pub fn initial_state(&self) -> ArrayView2<'_, D::Real> {
        self.sequences.initial_state()
    }

    /// Initial states `[B, n]`, flat and row-major.
    pub(crate) fn initial_states(&self) -> &[D::Real] {
        self.sequences.initial_states()
    }

    /// Inputs `[T_b, m]` of the sequence `batch`, flat and row-major.
    ///
    /// # Panics
    /// If there is no such sequence.
    pub fn inputs(&self, batch: usize) -> &[D::Real] {
        self.sequences.inputs(batch)
    }

    /// The user's guess `[B, T, n]`.
    pub fn guess(&self) -> Option<ArrayView3<'_, D::Real>> {
        self.sequences.guess()
    }

    /// The graph of a step, made when it is first asked for.
    pub(crate) fn graph(&self) -> Result<&Graph> {
        self.derivatives.graph(self.dynamics)
    }

    /// A number that no other problem's graph has.
    pub(crate) fn graph_identity(&self) -> u64 {
        self.derivatives.identity()
    }

    /// A number that no other problem's parameters have.
    pub(crate) fn params_identity(&self) -> u64 {
        self.params_identity
    }

    /// Without a look at the step, which takes as long as thousands of them: the structure is the one declared.
    pub(crate) fn with_declared_structure(self) -> Self {
        let structure = OnceLock::from(self.dynamics.declared_structure());
        Self { structure, ..self }
    }

    /// All but the recurrence.
    pub(crate) fn sequences(&self) -> &Sequences<'a, D::Real> {
        &self.sequences
    }

    /// Of checked shapes; see [`Sequences::checked`].
    fn checked(
        dynamics: &'a D,
        initial_state: Array2<D::Real>,
        inputs: Vec<Cow<'a, [D::Real]>>,
        steps: Vec<usize>,
        input_index: &dyn Fn(usize, usize) -> Vec<usize>,
        state_index: &dyn Fn(usize) -> Vec<usize>,
    ) -> Result<Self> {
        let m = dynamics.input_dim();
        Ok(Self {
            dynamics,
            sequences: Sequences::checked(
                m,
                initial_state,
                inputs,
                steps,
                input_index,
                state_index,
            )?,
            params: None,
            params_identity: identity(),
            structure: OnceLock::new(),
            derivatives: Derivatives::default(),
        })
    }
}
