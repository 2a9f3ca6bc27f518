//! The graph of a step that is defined by an equation.

use super::builder::recording;
use super::derivative::{E, node, push_forward};
use super::trace::{leaf, written};
use super::{Builder, Graph, Id, Leaves, Op, Unary, record};
use crate::dynamics::Residual;
use crate::dynamics::elimination::Elimination;
use crate::error::Result;
use crate::scalar::{Expr, Scalar};

impl Graph {
    /// The graph of the step that `residual` defines, given its solution: the unknowns `z` follow the input, `[m + k]`, and
    /// the outputs are the next state at `z − M⁻¹ F(z, x, u; θ)` with `M = ∂F/∂z` held. Where `F = 0` that is the step's
    /// value, and its derivative with respect to `x`, `u` and θ is the step's by the implicit function theorem.
    ///
    /// # Errors
    /// As [`trace`](Self::trace).
    pub(crate) fn of_residual<F: Residual>(residual: &F) -> Result<Self> {
        let (n, m, k) = (residual.state_dim(), residual.input_dim(), residual.unknown_dim());
        let leaves = Leaves { state: n, input: m + k, params: residual.params().len(), seeds: 0 };
        let equation = || {
            written::<F::Real>(leaves, k, residual.scratch_dim(), |params, x, u, r| {
                residual.residual(params, &u[m..], x, &u[..m], r);
            })
        };
        let graph = equation()?;
        if equation()? != graph {
            return Err(super::trace::fault("another expression when it was run again"));
        }
        let (builder, outputs) = recording(Builder::extending(&graph), || {
            let inputs: Vec<E> = leaf(m + k, Op::Input);
            let (_, z) = inputs.split_at(m);
            let mut elimination = Elimination::<E>::new(k);
            for column in 0..k {
                let tangents = graph.tangents((m + column) as u32);
                for (row, &output) in graph.outputs.iter().enumerate() {
                    elimination.matrix[row * k + column] = held(tangents[output as usize]);
                }
            }
            elimination.factor();
            let mut correction: Vec<E> = graph.outputs.iter().map(|&r| E::of(r)).collect();
            elimination.solve(&mut correction);
            let real = |e: E| Expr::<F::Real>::of(node(e));
            let z: Vec<_> = z.iter().zip(correction).map(|(&z, d)| real(z - d)).collect();
            let x: Vec<Expr<F::Real>> = leaf(n, Op::State);
            let u: Vec<_> = inputs[..m].iter().map(|&u| real(u)).collect();
            let mut next = vec![Expr::UNWRITTEN; n];
            residual.state(&z, &x, &u, &mut next);
            next.iter().map(|next| next.id()).collect::<Option<Vec<_>>>()
        });
        let fault = super::trace::fault;
        let outputs =
            outputs.ok_or_else(|| fault("an entry of the state that it has not written"))?;
        builder.finish(outputs, leaves).map_err(fault)
    }

    /// The derivative of every node with respect to one component of the input, while this graph is being extended.
    fn tangents(&self, input: u32) -> Vec<E> {
        let zero = E::from_f64(0.0);
        let mut tangents: Vec<E> = Vec::with_capacity(self.nodes.len());
        for op in &self.nodes {
            let tangent = match *op {
                Op::Input(i) if i == input => E::from_f64(1.0),
                _ => push_forward(*op, |operand: Id| tangents[operand as usize]).unwrap_or(zero),
            };
            tangents.push(tangent);
        }
        tangents
    }
}

/// The same number, without a derivative.
fn held(e: E) -> E {
    let id = node(e);
    record(|builder, _| builder.push(Op::Unary(Unary::Hold, id))).map_or(Expr::UNWRITTEN, Expr::of)
}
