//! Cotangents.

use super::borders::{Direction, close};
use super::{Cotangents, Trajectory, floor};
use crate::backend::{Block, Differentiate, Path, Pulled, StateCotangents, Swept};
use crate::error::{Error, Result};
use crate::graph::adjoint::Adjoint;
use crate::scalar::Real;
use ndarray::{Array1, Array2, Array3};

pub(super) fn vjp<R: Real, B: Differentiate<R>>(
    trajectory: &Trajectory<'_, R>,
    adjoint: &Adjoint,
    cotangents: StateCotangents<'_, R>,
    backend: &B,
) -> Result<Cotangents<R>> {
    let path = &trajectory.path;
    let (batch, steps, n, m) = (path.steps.len(), path.max_steps, path.n, path.m);
    let mut initial = Array2::<R>::default((batch, n));
    let mut pulled = Pulled {
        inputs: vec![R::default(); batch * steps * m],
        params: vec![0.0; path.params.len()],
        sizes: vec![R::default(); batch * steps.div_ceil(Swept::TILE)],
        floor: R::default(),
    };
    let blocks = trajectory.blocks(backend);
    if !blocks.is_empty() && n > 0 {
        let mut track = backend.track(path.clone())?;
        let mut borders = vec![R::default(); blocks.len() * n];
        let swept = backend.pull(
            &mut track,
            adjoint,
            Some(cotangents),
            &blocks,
            &mut borders,
            Some(&mut pulled),
        )?;
        // A cotangent that is not finite shows in what it makes.
        if !pulled.sizes.iter().all(|size| size.is_finite()) {
            check_finite(path, cotangents)?;
        }
        trajectory.check(&swept)?;
        pulled.floor = floor(&pulled.sizes);
        let handed = std::mem::take(&mut borders);
        let sweep = |chosen: &[Block], borders: &mut [R], record: bool| {
            let pulled = record.then_some(&mut pulled);
            backend.pull(&mut track, adjoint, None, chosen, borders, pulled).map(drop)
        };
        let left = close(&blocks, batch, n, Direction::Backwards, &handed, sweep)?;
        initial.iter_mut().zip(left).for_each(|(initial, left)| *initial = left);
        backend.collect(track, &mut pulled.inputs)?;
    }
    let inputs = Array3::from_shape_vec((batch, steps, m), pulled.inputs)
        .map_err(|_| Error::shape("inputs", "[B, T, m]", &[batch, steps, m]))?;
    let params = pulled.params.into_iter().map(R::from_f64).collect::<Array1<R>>();
    Ok(Cotangents { params, inputs, initial_state: initial })
}

/// An error for the first entry of cotangents that is a NaN or an infinity, if there is one.
fn check_finite<R: Real>(path: &Path<'_, R>, cotangents: StateCotangents<'_, R>) -> Result<()> {
    let n = path.n;
    let error = |index: Vec<usize>, value: R| {
        Err(Error::NonFinite { argument: "cotangent", index, value: value.to_f64() })
    };
    for (b, &steps) in path.steps.iter().enumerate() {
        let (given, row, count) = match cotangents {
            StateCotangents::EachStep(all) => (all, b * path.max_steps, steps),
            StateCotangents::AllSteps(rows) | StateCotangents::LastSteps(rows) => {
                (rows, b, steps.min(1))
            }
        };
        let own = &given[row * n..(row + count) * n];
        if let Some((entry, &value)) = own.iter().enumerate().find(|(_, x)| !x.is_finite()) {
            return match cotangents {
                StateCotangents::LastSteps(_) => error(vec![b, entry], value),
                _ => error(vec![b, entry / n, entry % n], value),
            };
        }
    }
    Ok(())
}
