//! Cotangents.

use super::borders::close;
use super::{Cotangents, Trajectory};
use crate::backend::{Block, Collected, Differentiate, Path, StateCotangents};
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
    let mut found = Collected { rows: Vec::new(), params: vec![0.0; path.params.len()] };
    let blocks = trajectory.blocks(backend);
    if blocks.is_empty() || n == 0 {
        found.rows = vec![R::default(); batch * steps * m];
    } else {
        let mut track = backend.track(path.clone())?;
        let begun = backend.pull_first(&mut track, adjoint, cotangents, &blocks)?;
        // A cotangent that is not finite shows in what it makes.
        if !begun.finite {
            check_finite(path, cotangents)?;
        }
        trajectory.check(begun.swept)?;
        let left = close(begun.borders, |chosen: &[Block], borders: &mut [R], record: bool| {
            backend.pull_again(&mut track, adjoint, chosen, borders, record)
        })?;
        initial.iter_mut().zip(left).for_each(|(initial, left)| *initial = left);
        found = backend.collect(track)?;
    }
    let inputs = Array3::from_shape_vec((batch, steps, m), found.rows)
        .map_err(|_| Error::shape("inputs", "[B, T, m]", &[batch, steps, m]))?;
    let params = found.params.into_iter().map(R::from_f64).collect::<Array1<R>>();
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
