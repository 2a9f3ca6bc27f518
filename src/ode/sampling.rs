//! What a step is told: its time, its length and the inputs in it.

use super::{Interpolation, grid};
use crate::error::{Error, Result};
use crate::scalar::vector::prefetch;
use crate::scalar::{Real, Scalar};
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayView3, Axis};

/// How the inputs of a recurrence are made of times and inputs on a grid: `[t, Δt, u…]`, `u…` being `u_k` where inputs are
/// held and `u_k, u_{k+1}` where they are linear.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// Inputs of the equation.
    pub(super) m: usize,
    pub(super) interpolation: Interpolation,
    /// Whether the ratio of the step to the one before it follows `Δt`; 0 for the first.
    pub(super) ratio: bool,
}

/// One step's time, length, ratio to the one before, and inputs at both ends.
#[derive(Clone, Copy)]
pub(super) struct Sample<'u, S> {
    pub(super) t: S,
    pub(super) dt: S,
    pub(super) ratio: S,
    pub(super) from: &'u [S],
    pub(super) to: &'u [S],
}

impl Sampling {
    /// Entries before `u`.
    #[inline(always)]
    fn head(self) -> usize {
        2 + usize::from(self.ratio)
    }

    /// Inputs of a step.
    #[inline(always)]
    pub(super) fn columns(self) -> usize {
        self.head()
            + match self.interpolation {
                Interpolation::Held => self.m,
                Interpolation::Linear => 2 * self.m,
            }
    }

    /// A step's inputs taken apart.
    #[inline(always)]
    pub(super) fn of<S: Scalar>(self, inputs: &[S]) -> Sample<'_, S> {
        let (head, u) = inputs.split_at(self.head());
        let ratio = if self.ratio { head[2] } else { S::from_f64(0.0) };
        let to = match self.interpolation {
            Interpolation::Held => &u[..self.m],
            Interpolation::Linear => &u[self.m..],
        };
        Sample { t: head[0], dt: head[1], ratio, from: &u[..self.m], to }
    }

    /// Writes to `part` `[columns]` the inputs of the one numbered `index` of `count` equal steps over the time of the step with the
    /// inputs `whole`.
    #[inline(always)]
    pub(super) fn divide<S: Scalar>(self, whole: &[S], index: usize, count: usize, part: &mut [S]) {
        let share = S::Real::from_f64(1.0 / count as f64);
        part.copy_from_slice(whole);
        part[1] = whole[1] * share;
        part[0] = part[1] * S::Real::from_f64(index as f64) + whole[0];
        if self.interpolation == Interpolation::Linear {
            let u = self.head();
            for j in 0..self.m {
                let (from, to) = (whole[u + j], whole[u + self.m + j]);
                let at = |k: usize| (to - from) * (share * S::Real::from_f64(k as f64)) + from;
                part[u + j] = at(index);
                part[u + self.m + j] = at(index + 1);
            }
        }
    }

    /// Writes to `coarse` `[steps, columns]` the inputs of `steps` steps over the time of `inputs` `[T, columns]`, on points of
    /// the same grid.
    pub(super) fn coarsen<R: Real>(self, inputs: &[R], steps: usize, coarse: &mut [R]) {
        let (columns, m) = (self.columns(), self.m);
        let count = inputs.len() / columns;
        let start = |k: usize| k * count / steps * columns;
        // Far apart in memory: they arrive sooner when asked for together.
        for k in 0..steps {
            prefetch(&inputs[start(k)..][..columns]);
        }
        let mut from = 0;
        for (k, coarse) in coarse.chunks_exact_mut(columns).enumerate() {
            let to = start(k + 1);
            let (first, last) = (&inputs[from..from + columns], &inputs[to - columns..to]);
            from = to;
            coarse.copy_from_slice(first);
            coarse[1] = last[0] + last[1] - first[0];
            if self.interpolation == Interpolation::Linear {
                coarse[columns - m..].copy_from_slice(&last[columns - m..]);
            }
        }
    }

    /// The inputs `[T, columns]` of a grid `[T + 1]` with `u` `[T + 1, m]` on it; without inputs `u` may have any
    /// number of rows.
    pub(super) fn inputs<R: Real>(
        self,
        times: ArrayView1<'_, R>,
        u: ArrayView2<'_, R>,
    ) -> Result<Array2<R>> {
        grid::check(times)?;
        let m = self.m;
        if u.ncols() != m || m > 0 && u.nrows() != times.len() {
            let expected = format!("[times = {}, m = {m}]", times.len());
            return Err(Error::shape("u", expected, u.shape()));
        }
        if let Some(((k, j), value)) = u.indexed_iter().find(|(_, u)| !u.is_finite()) {
            return Err(Error::NonFinite {
                argument: "u",
                index: vec![k, j],
                value: value.to_f64(),
            });
        }
        let mut inputs = Array2::default((times.len() - 1, self.columns()));
        let head = self.head();
        for (k, mut input) in inputs.outer_iter_mut().enumerate() {
            let dt = times[k + 1] - times[k];
            input[0] = times[k];
            input[1] = dt;
            if self.ratio && k > 0 {
                input[2] = dt / (times[k] - times[k - 1]);
            }
            for j in 0..self.columns() - head {
                input[head + j] = u[[k + j / m, j % m]];
            }
        }
        Ok(inputs)
    }

    /// Initial states `[B, copies · n]` and inputs of a batch on one grid, from `y0` `[B, n]` and `u` `[B, T + 1, m]`.
    #[allow(clippy::type_complexity)]
    pub(super) fn batch<R: Real>(
        self,
        times: ArrayView1<'_, R>,
        y0: ArrayView2<'_, R>,
        u: ArrayView3<'_, R>,
        n: usize,
        copies: usize,
    ) -> Result<(Array2<R>, Vec<Array2<R>>)> {
        let batch = y0.nrows();
        if y0.ncols() != n {
            return Err(Error::shape("y0", format!("[B, n = {n}]"), y0.shape()));
        }
        if u.len_of(Axis(0)) != batch {
            let expected = format!("[B = {batch}, times = {}, m = {}]", times.len(), self.m);
            return Err(Error::shape("u", expected, u.shape()));
        }
        let mut inputs = Vec::with_capacity(batch);
        for (b, (y0, u)) in y0.outer_iter().zip(u.outer_iter()).enumerate() {
            initial_state(y0, n, copies).map_err(|error| in_sequence(b, error))?;
            inputs.push(self.inputs(times, u).map_err(|error| in_sequence(b, error))?);
        }
        Ok((Array2::from_shape_fn((batch, copies * n), |(b, i)| y0[[b, i % n]]), inputs))
    }
}

/// The error of a sequence as one of its batch.
fn in_sequence(b: usize, error: Error) -> Error {
    match error {
        Error::NonFinite { argument: argument @ ("u" | "y0"), mut index, value } => {
            index.insert(0, b);
            Error::NonFinite { argument, index, value }
        }
        other => other,
    }
}

impl<'u, S: Scalar> Sample<'u, S> {
    /// The inputs at `t + node · dt`, in `room` `[m]` where they are neither end's.
    #[inline(always)]
    pub(super) fn inputs_at<'r>(&self, node: f64, room: &'r mut [S]) -> &'r [S]
    where
        'u: 'r,
    {
        if node == 0.0 {
            self.from
        } else if node == 1.0 {
            self.to
        } else {
            self.inputs_about(S::from_f64(node), room)
        }
    }
}

impl<S: Scalar> Sample<'_, S> {
    /// The inputs at `t + place · dt` on the line through both ends, written to `room` `[m]`.
    #[inline(always)]
    pub(super) fn inputs_about<'r>(&self, place: S, room: &'r mut [S]) -> &'r [S] {
        for (j, u) in room.iter_mut().enumerate() {
            *u = (self.to[j] - self.from[j]).mul_add(place, self.from[j]);
        }
        room
    }
}

/// `y0` `[n]`, `copies` times, as the initial state of one sequence.
pub(super) fn initial_state<R: Real>(
    y0: ArrayView1<'_, R>,
    n: usize,
    copies: usize,
) -> Result<Array2<R>> {
    if y0.len() != n {
        return Err(Error::shape("y0", format!("[n = {n}]"), y0.shape()));
    }
    if let Some(entry) = y0.iter().position(|x| !x.is_finite()) {
        let value = y0[entry].to_f64();
        return Err(Error::NonFinite { argument: "y0", index: vec![entry], value });
    }
    Ok(Array2::from_shape_fn((1, n * copies), |(_, i)| y0[i % n]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_step_have_their_own_time_and_inputs() {
        let linear = Sampling { m: 1, interpolation: Interpolation::Linear, ratio: false };
        let mut part = [0.0; 4];
        for (index, expected) in [(0, [1.0, 0.25, 2.0, 3.0]), (1, [1.25, 0.25, 3.0, 4.0])] {
            linear.divide(&[1.0, 0.5, 2.0, 4.0], index, 2, &mut part);
            assert_eq!(part, expected);
        }
        let held = Sampling { interpolation: Interpolation::Held, ..linear };
        let mut part = [0.0; 3];
        held.divide(&[1.0, 0.5, 2.0], 1, 2, &mut part);
        assert_eq!(part, [1.25, 0.25, 2.0]);
    }
}
