//! Tangents.

use super::borders::close;
use super::{Tangents, Trajectory};
use crate::backend::{Block, Differentiate, GivenTangents};
use crate::error::{Error, Result};
use crate::graph::tangent::Tangent;
use crate::scalar::Real;
use crate::sequences::{check_shape, contiguous};
use ndarray::Array3;

pub(super) fn jvp<R: Real, B: Differentiate<R>>(
    trajectory: &Trajectory<'_, R>,
    tangent: &Tangent,
    tangents: &Tangents<R>,
    backend: &B,
) -> Result<Array3<R>> {
    let path = &trajectory.path;
    let (batch, steps, n, m) = (path.steps.len(), path.max_steps, path.n, path.m);
    let p = path.params.len();
    check_shape("tangents.params", &format!("[{p}]"), tangents.params.shape(), &[p])?;
    let expected = format!("[B = {batch}, T = {steps}, m = {m}]");
    check_shape("tangents.inputs", &expected, tangents.inputs.shape(), &[batch, steps, m])?;
    let expected = format!("[B = {batch}, n = {n}]");
    check_shape("tangents.initial_state", &expected, tangents.initial_state.shape(), &[batch, n])?;
    let (of_params, of_inputs) =
        (contiguous(tangents.params.view()), contiguous(tangents.inputs.view()));
    let of_inputs: Vec<&[R]> = path
        .steps
        .iter()
        .enumerate()
        .map(|(b, &own)| &of_inputs[b * steps * m..(b * steps + own) * m])
        .collect();
    let blocks = trajectory.blocks(backend);
    let states = if blocks.is_empty() || n == 0 {
        vec![R::default(); batch * steps * n]
    } else {
        let initial = contiguous(tangents.initial_state.view());
        let given = GivenTangents { initial: &initial, params: &of_params, inputs: &of_inputs };
        let mut track = backend.track(path.clone())?;
        let begun = backend.push_first(&mut track, tangent, given, &blocks)?;
        trajectory.check(begun.swept)?;
        close(begun.borders, |chosen: &[Block], borders: &mut [R], record: bool| {
            backend.push_again(&mut track, tangent, chosen, borders, record)
        })?;
        backend.collect(track)?.rows
    };
    Array3::from_shape_vec((batch, steps, n), states)
        .map_err(|_| Error::shape("states", "[B, T, n]", &[batch, steps, n]))
}
