//! The numbers of a problem: all of it but the recurrence.

use crate::error::{Error, Result};
use crate::scalar::Real;
use ndarray::{Array2, ArrayView, ArrayView2, ArrayView3, Dimension};
use std::borrow::Cow;

/// What a [`Problem`](crate::Problem) is made of beside its recurrence.
#[derive(Debug)]
pub struct Sequences<'a, R: Real> {
    n: usize,
    m: usize,
    initial_state: Array2<R>,
    /// One `[T_b, m]` for each sequence, row-major.
    inputs: Vec<Cow<'a, [R]>>,
    steps: Vec<usize>,
    /// Those of the longest sequence; of a batch without sequences, those that it would have.
    max_steps: usize,
    /// `[B, T, n]`, row-major.
    guess: Option<Cow<'a, [R]>>,
}

impl<'a, R: Real> Sequences<'a, R> {
    /// `initial_state` `[B, n]`, `inputs` `B` × `[T_b, m]`, all of `steps` steps, checked to be finite; an error tells the place in the caller's
    /// arrays, as `input_index` (sequence, entry) and `state_index` (entry) give it.
    pub(crate) fn checked(
        m: usize,
        initial_state: Array2<R>,
        inputs: Vec<Cow<'a, [R]>>,
        steps: Vec<usize>,
        input_index: &dyn Fn(usize, usize) -> Vec<usize>,
        state_index: &dyn Fn(usize) -> Vec<usize>,
    ) -> Result<Self> {
        // Row-major, whatever the caller's was.
        let initial_state = match initial_state.is_standard_layout() {
            true => initial_state,
            false => initial_state.as_standard_layout().into_owned(),
        };
        if let Some((entry, x)) = initial_state.iter().enumerate().find(|(_, x)| !x.is_finite()) {
            return Err(Error::NonFinite {
                argument: "x0",
                index: state_index(entry),
                value: x.to_f64(),
            });
        }
        for (batch, sequence) in inputs.iter().enumerate() {
            if let Some(entry) = first_non_finite(sequence) {
                return Err(Error::NonFinite {
                    argument: "inputs",
                    index: input_index(batch, entry),
                    value: sequence[entry].to_f64(),
                });
            }
        }
        let max_steps = steps.iter().copied().max().unwrap_or(0);
        let n = initial_state.ncols();
        Ok(Self { n, m, initial_state, inputs, steps, max_steps, guess: None })
    }

    /// The same, of `steps` steps even where there is no sequence.
    pub(crate) fn with_max_steps(self, steps: usize) -> Self {
        Self { max_steps: steps, ..self }
    }

    /// [`Problem::with_guess`](crate::Problem::with_guess).
    pub(crate) fn with_guess(mut self, guess: ArrayView3<'a, R>) -> Result<Self> {
        let (batch, steps, n) = (self.batch_size(), self.max_steps(), self.state_dim());
        check_shape(
            "guess",
            &format!("[B = {batch}, T = {steps}, n = {n}]"),
            guess.shape(),
            &[batch, steps, n],
        )?;
        let guess = contiguous(guess);
        if let Some(entry) = first_non_finite(&guess) {
            return Err(Error::NonFinite {
                argument: "guess",
                index: vec![entry / n / steps, entry / n % steps, entry % n],
                value: guess[entry].to_f64(),
            });
        }
        self.guess = Some(guess);
        Ok(self)
    }

    /// Sequences `B`.
    pub(crate) fn batch_size(&self) -> usize {
        self.steps.len()
    }

    /// Steps `T_b` of the sequence `batch`.
    pub(crate) fn steps(&self, batch: usize) -> usize {
        self.steps[batch]
    }

    /// Those of each sequence.
    pub(crate) fn all_steps(&self) -> &[usize] {
        &self.steps
    }

    /// Steps of the longest sequence.
    pub(crate) fn max_steps(&self) -> usize {
        self.max_steps
    }

    /// Steps of all sequences together.
    pub(crate) fn total_steps(&self) -> usize {
        self.steps.iter().sum()
    }

    /// Length `n` of the state.
    pub(crate) fn state_dim(&self) -> usize {
        self.n
    }

    /// Length `m` of one step's input.
    pub(crate) fn input_dim(&self) -> usize {
        self.m
    }

    /// Initial states `[B, n]`.
    pub(crate) fn initial_state(&self) -> ArrayView2<'_, R> {
        self.initial_state.view()
    }

    /// Initial states `[B, n]`, flat and row-major.
    pub(crate) fn initial_states(&self) -> &[R] {
        // Made so by the constructor.
        self.initial_state.as_slice().unwrap_or_default()
    }

    /// Inputs `[T_b, m]` of the sequence `batch`, flat and row-major.
    pub(crate) fn inputs(&self, batch: usize) -> &[R] {
        &self.inputs[batch]
    }

    /// The user's guess `[B, T, n]`.
    pub(crate) fn guess(&self) -> Option<ArrayView3<'_, R>> {
        let shape = (self.batch_size(), self.max_steps, self.n);
        // Of that shape, as was checked.
        self.guess.as_deref().and_then(|guess| ArrayView3::from_shape(shape, guess).ok())
    }
}

/// That an array has the `shape` which `expected` describes.
pub(crate) fn check_shape(
    argument: &'static str,
    expected: &str,
    got: &[usize],
    shape: &[usize],
) -> Result<()> {
    if got == shape { Ok(()) } else { Err(Error::shape(argument, expected, got)) }
}

/// That initial states are `batch` of `n` components.
pub(crate) fn check_batch<R>(n: usize, x0: ArrayView2<'_, R>, batch: usize) -> Result<()> {
    check_shape("x0", &format!("[B = {batch}, n = {n}]"), x0.shape(), &[batch, n])
}

/// That inputs are of `m` components.
pub(crate) fn check_inputs(m: usize, shape: &[usize]) -> Result<()> {
    check_shape("inputs", &format!("[T, m = {m}] for each sequence"), &shape[1..], &[m])
        .map_err(|_| Error::shape("inputs", format!("[T, m = {m}] for each sequence"), shape))
}

/// The array row-major, borrowed where it is so already.
pub(crate) fn contiguous<R: Real, D: Dimension>(array: ArrayView<'_, R, D>) -> Cow<'_, [R]> {
    match array.to_slice() {
        Some(slice) => Cow::Borrowed(slice),
        None => Cow::Owned(array.iter().copied().collect()),
    }
}

/// The first NaN or infinity. Blocks without one are passed over at memory speed.
pub(crate) fn first_non_finite<R: Real>(values: &[R]) -> Option<usize> {
    const BLOCK: usize = 1024;
    values
        .chunks(BLOCK)
        .position(|block| !block.iter().fold(true, |all, x| all & x.is_finite()))
        .and_then(|block| {
            let from = block * BLOCK;
            values[from..].iter().position(|x| !x.is_finite()).map(|entry| from + entry)
        })
}
