//! Cotangents.

use super::borders::{Direction, close};
use super::{Cotangents, Trajectory, contiguous, floor};
use crate::backend::{Block, Differentiate, Pulled, StateCotangents, Swept};
use crate::error::{Error, Result};
use crate::graph::adjoint::Adjoint;
use crate::scalar::Real;
use crate::sequences::check_shape;
use ndarray::{Array1, Array2, Array3, ArrayView3, s};

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
    // A view that repeats one step stays that.
    let repeated = steps > 1 && cotangent.strides()[1] == 0;
    let given = cotangent.slice(s![.., ..if repeated { 1 } else { steps }, ..]);
    let given = contiguous(&given);
    let all = match repeated {
        true => StateCotangents::AllSteps(&given),
        false => StateCotangents::EachStep(&given),
    };
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
        let swept =
            backend.pull(&track, adjoint, Some(all), &blocks, &mut borders, Some(&mut pulled))?;
        // A cotangent that is not finite shows in what it makes.
        if !pulled.sizes.iter().all(|size| size.is_finite()) {
            check_finite(trajectory, cotangent)?;
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
fn check_finite<R: Real>(trajectory: &Trajectory<'_, R>, given: ArrayView3<'_, R>) -> Result<()> {
    for (b, &steps) in trajectory.steps.iter().enumerate() {
        let own = given.slice(s![b, ..steps, ..]);
        if let Some(((t, i), value)) = own.indexed_iter().find(|(_, x)| !x.is_finite()) {
            return Err(Error::NonFinite {
                argument: "cotangent",
                index: vec![b, t, i],
                value: value.to_f64(),
            });
        }
    }
    Ok(())
}
