//! Cotangents.

use super::borders::{Direction, close};
use super::{Cotangents, Trajectory, contiguous, floor};
use crate::backend::{Block, Differentiate, Pulled, Swept};
use crate::error::{Error, Result};
use crate::graph::adjoint::Adjoint;
use crate::problem::{check_shape, first_non_finite};
use crate::scalar::Real;
use ndarray::{Array1, Array2, Array3, ArrayView3};

pub(super) fn vjp<R: Real, B: Differentiate<R>>(
    trajectory: &Trajectory<'_, R>,
    adjoint: &Adjoint,
    cotangent: ArrayView3<'_, R>,
    backend: &B,
) -> Result<Cotangents<R>> {
    let path = &trajectory.path;
    let (batch, steps, n, m) = (trajectory.steps.len(), path.max_steps, path.n, path.m);
    let expected = format!("[B = {batch}, T = {steps}, n = {n}]");
    check_shape("cotangent", &expected, cotangent.shape(), &[batch, steps, n])?;
    let given = contiguous(&cotangent);
    let mut initial = Array2::<R>::default((batch, n));
    let mut pulled = Pulled {
        inputs: vec![R::default(); batch * steps * m],
        params: vec![0.0; path.params.len()],
        sizes: vec![R::default(); batch * steps.div_ceil(Swept::TILE)],
        floor: R::default(),
    };
    let blocks = trajectory.blocks(backend.lanes(), backend.groups());
    if !blocks.is_empty() && n > 0 {
        let track = backend.track(path.clone())?;
        let mut borders = vec![R::default(); blocks.len() * n];
        let swept = backend.pull(
            &track,
            adjoint,
            Some(&given),
            &blocks,
            &mut borders,
            Some(&mut pulled),
        )?;
        // A cotangent that is not finite shows in what it makes.
        if !pulled.sizes.iter().all(|size| size.is_finite()) {
            check_finite(trajectory, &given)?;
        }
        trajectory.check(&swept)?;
        pulled.floor = floor(&pulled.sizes);
        let handed = std::mem::take(&mut borders);
        let sweep = |chosen: &[Block], borders: &mut [R], record: bool| {
            let pulled = record.then_some(&mut pulled);
            backend.pull(&track, adjoint, None, chosen, borders, pulled).map(drop)
        };
        let left = close(&blocks, batch, n, Direction::Backwards, &handed, sweep)?;
        initial.iter_mut().zip(left).for_each(|(initial, left)| *initial = left);
    }
    let inputs = Array3::from_shape_vec((batch, steps, m), pulled.inputs)
        .map_err(|_| Error::shape("inputs", "[B, T, m]", &[batch, steps, m]))?;
    let params = pulled.params.into_iter().map(R::from_f64).collect::<Array1<R>>();
    Ok(Cotangents { params, inputs, initial_state: initial })
}

/// The first entry of the cotangents `given` `[B, T, n]` that is a NaN or an infinity.
fn check_finite<R: Real>(trajectory: &Trajectory<'_, R>, given: &[R]) -> Result<()> {
    let (steps, n) = (trajectory.path.max_steps, trajectory.path.n);
    for (b, &own_steps) in trajectory.steps.iter().enumerate() {
        let from = b * steps * n;
        if let Some(entry) = first_non_finite(&given[from..from + own_steps * n]) {
            return Err(Error::NonFinite {
                argument: "cotangent",
                index: vec![b, entry / n, entry % n],
                value: given[from + entry].to_f64(),
            });
        }
    }
    Ok(())
}
