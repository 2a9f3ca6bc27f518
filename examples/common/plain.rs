//! The loop that everything is compared with.

use deer_solver::Dynamics;
use deer_solver::scalar::Parameter;
use ndarray::{Array3, ArrayView2, ArrayView3};

/// One sequence after the other, one step after the other, one number at a time: what a user would
/// write without this library. `x0` `[B, n]`, `inputs` `[B, T, m]`, result `[B, T, n]`.
#[inline(never)]
pub(crate) fn plain_loop<D: Dynamics>(
    cell: &D,
    x0: ArrayView2<'_, D::Real>,
    inputs: ArrayView3<'_, D::Real>,
) -> Array3<D::Real> {
    let (batch, steps, m) = inputs.dim();
    let n = cell.state_dim();
    let params = Parameter::from_slice(cell.params());
    let inputs = inputs.as_slice().expect("inputs are contiguous");
    let mut states = Array3::from_elem((batch, steps, n), D::Real::default());
    let out = states.as_slice_mut().expect("a new array is contiguous");
    let mut next = vec![D::Real::default(); n + cell.scratch_dim()];
    for b in 0..batch {
        let mut x = x0.row(b).to_vec();
        for t in b * steps..(b + 1) * steps {
            cell.step::<D::Real>(params, &x, &inputs[t * m..(t + 1) * m], &mut next);
            x.copy_from_slice(&next[..n]);
            out[t * n..(t + 1) * n].copy_from_slice(&x);
        }
    }
    states
}
