//! Tangents.

use super::borders::{Direction, close};
use super::{Tangents, Trajectory, floor};
use crate::backend::{Block, Differentiate, Pushed, Swept};
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
    let mut pushed = Pushed {
        states: vec![R::default(); batch * steps * n],
        sizes: vec![R::default(); batch * steps.div_ceil(Swept::TILE)],
        floor: R::default(),
    };
    let blocks = trajectory.blocks(backend);
    if !blocks.is_empty() && n > 0 {
        let mut borders = Vec::with_capacity(blocks.len() * n);
        for block in &blocks {
            match block.start {
                0 => borders.extend(tangents.initial_state.row(block.batch)),
                _ => borders.extend(std::iter::repeat_n(R::default(), n)),
            }
        }
        let mut track = backend.track(path.clone())?;
        let given = Some((&of_params[..], &of_inputs[..]));
        let swept =
            backend.push(&mut track, tangent, given, &blocks, &mut borders, Some(&mut pushed))?;
        trajectory.check(&swept)?;
        pushed.floor = floor(&pushed.sizes);
        let sweep = |chosen: &[Block], borders: &mut [R], record: bool| {
            let pushed = record.then_some(&mut pushed);
            backend.push(&mut track, tangent, None, chosen, borders, pushed).map(drop)
        };
        close(&blocks, batch, n, Direction::Forwards, &borders, sweep)?;
        backend.collect(track, &mut pushed.states)?;
    }
    Array3::from_shape_vec((batch, steps, n), pushed.states)
        .map_err(|_| Error::shape("states", "[B, T, n]", &[batch, steps, n]))
}
