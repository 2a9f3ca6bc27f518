//! Recording a step.

use super::builder::recording;
use super::{Builder, Graph, Leaves, Op, record};
use crate::dynamics::Dynamics;
use crate::error::{Error, Result};
use crate::scalar::{Expr, Parameter, Real};

impl Graph {
    /// The graph of a step, by running it twice on expressions.
    ///
    /// # Errors
    /// [`Error::Setting`] for a step that does not do the same twice, that leaves an entry of `next` unwritten, or that
    /// reads one before it has written it.
    pub fn trace<D: Dynamics + ?Sized>(dynamics: &D) -> Result<Self> {
        let first = once(dynamics)?;
        if once(dynamics)? == first {
            Ok(first)
        } else {
            Err(fault("another expression when it was run again"))
        }
    }
}

pub(super) fn fault(got: &str) -> Error {
    Error::setting(
        "dynamics: step",
        "a pure function of params, x and u that writes all of next[..n]",
        got,
    )
}

fn once<D: Dynamics + ?Sized>(dynamics: &D) -> Result<Graph> {
    let leaves = Leaves {
        state: dynamics.state_dim(),
        input: dynamics.input_dim(),
        params: dynamics.params().len(),
        seeds: 0,
    };
    written(leaves, leaves.state, dynamics.scratch_dim(), |params, x, u, next| {
        dynamics.step::<Expr<D::Real>>(params, x, u, next);
    })
}

/// The graph of what `write` puts into the first `count` of its entries, of which it has `scratch` more.
pub(super) fn written<R: Real>(
    leaves: Leaves,
    count: usize,
    scratch: usize,
    write: impl Fn(&[Parameter<Expr<R>>], &[Expr<R>], &[Expr<R>], &mut [Expr<R>]),
) -> Result<Graph> {
    let (builder, outputs) = recording(Builder::new(R::SINGLE), || {
        let params: Vec<_> = leaf(leaves.params, Op::Param);
        let (x, u) = (leaf(leaves.state, Op::State), leaf(leaves.input, Op::Input));
        let mut out = vec![Expr::UNWRITTEN; count + scratch];
        write(Parameter::from_slice(&params), &x, &u, &mut out);
        out[..count].iter().map(|out| out.id()).collect::<Option<Vec<_>>>()
    });
    let outputs = outputs.ok_or_else(|| fault("an entry that it has not written"))?;
    builder.finish(outputs, leaves).map_err(fault)
}

/// The leaves of one kind.
pub(super) fn leaf<R: Real>(count: usize, op: fn(u32) -> Op) -> Vec<Expr<R>> {
    (0..count as u32)
        .map(|i| record(|builder, _| builder.push(op(i))).map_or(Expr::UNWRITTEN, Expr::of))
        .collect()
}
