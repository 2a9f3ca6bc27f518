//! The graph of a step that is defined by an equation.

use super::builder::recording;
use super::derivative::{E, node, push_forward};
use super::trace::{leaf, written};
use super::{Builder, Graph, Id, Leaves, Op, Unary, record};
use crate::dynamics::Residual;
#[cfg(feature = "cuda")]
use crate::dynamics::course;
use crate::dynamics::elimination::Elimination;
use crate::error::Result;
use crate::scalar::{Expr, Real, Scalar};

/// What it takes to solve the equation `F(z, x, u; θ) = 0` of a step with `k` unknowns and a state of `n` components.
#[doc(hidden)]
#[cfg(feature = "cuda")]
#[derive(Clone, Debug)]
pub struct Equation {
    /// What Newton's method starts from, `[k]`.
    pub(crate) guess: Graph,
    /// An iteration of Newton's method. Its [state](Self::state_dim) follows the input; its outputs are the state after it, and two numbers
    /// that are 1 where it was the last, and where there is nothing to be done.
    pub(crate) iteration: Graph,
    /// The next state `[n]`, given the unknowns after the input.
    pub(crate) state: Graph,
}

#[cfg(feature = "cuda")]
impl Equation {
    /// That of `residual`, of steps with so many `inputs`: its own, and perhaps others after them.
    ///
    /// # Errors
    /// As [`Graph::trace`].
    pub(crate) fn new<F: Residual>(residual: &F, inputs: usize) -> Result<Self> {
        let (n, m, k) = (residual.state_dim(), residual.input_dim(), residual.unknown_dim());
        let leaves = |input| Leaves { state: n, input, params: residual.params().len(), seeds: 0 };
        let guess = written::<F::Real>(leaves(inputs), k, 0, |params, x, u, z| {
            residual.guess(params, x, &u[..m], z);
        })?;
        let state = written::<F::Real>(leaves(inputs + k), n, 0, |_, x, u, next| {
            residual.state(&u[inputs..], x, &u[..m], next);
        })?;
        let leaves = leaves(inputs + Self::state_dim(k));
        let iteration = extended(&residuals(residual, inputs, leaves)?, leaves, |graph| {
            let all: Vec<Expr<F::Real>> = leaf(leaves.input, Op::Input);
            iterated(&all[inputs..], &correction(graph, inputs, k))
        })?;
        Ok(Self { guess, iteration, state })
    }

    /// Numbers that an iteration goes on with, for `k` unknowns: these, where the last correction started and the whole of it, its size (0
    /// before the first), the part of it that was taken, and 1 where parts are allowed.
    pub(crate) fn state_dim(k: usize) -> usize {
        3 * k + 3
    }
}

/// What comes of the state of an iteration of Newton's method, given the correction there, as [`Equation::iteration`] says. Without
/// parts, corrections are taken whole.
#[cfg(feature = "cuda")]
fn iterated<P: Scalar>(state: &[P], delta: &[P]) -> Vec<P> {
    let (zero, one) = (P::from_f64(0.0), P::from_f64(1.0));
    let k = delta.len();
    let (z, start, way) = (&state[..k], &state[k..2 * k], &state[2 * k..3 * k]);
    let (before, part, damped) = (state[3 * k], state[3 * k + 1], state[3 * k + 2]);
    let new: Vec<P> = z.iter().zip(delta).map(|(&z, &delta)| z - delta).collect();
    let size = course::correction(delta, &new);
    let whole = part.select(one, zero, one);
    let last = course::minute(delta, &new).max(course::settled(before, size)) * whole;
    let first = zero.select(before, zero, one);
    let lost = first * size.select(P::from_f64(f64::MAX), zero, one);
    let taken = course::smaller(start, way, z, delta, part).max(first).max(one - damped);
    let either = |yes: P, no: P| zero.select(taken, yes, no);
    let part = either((part + part).min(one), part * P::Real::from_f64(0.5));
    let mut next = Vec::with_capacity(Equation::state_dim(k) + 2);
    let start: Vec<P> = start.iter().zip(z).map(|(&old, &z)| either(z, old)).collect();
    let way: Vec<P> = way.iter().zip(delta).map(|(&old, &delta)| either(-delta, old)).collect();
    for i in 0..k {
        let in_part = way[i].mul_add(part, start[i]);
        next.push(zero.select(last, new[i], part.select(one, in_part, new[i])));
    }
    next.extend(start);
    next.extend(way);
    next.extend([either(size, before), part, damped, last, lost]);
    next
}

impl Graph {
    /// The graph of the step that `residual` defines, given its solution: the unknowns `z` `[k]` follow the `inputs`, and the outputs are
    /// the next state at `z − M⁻¹ F(z, x, u; θ)` with `M = ∂F/∂z` held. Where `F = 0` that is the step's value, and its derivative with
    /// respect to `x`, `u` and θ is the step's by the implicit function theorem.
    ///
    /// # Errors
    /// As [`trace`](Self::trace).
    pub(crate) fn of_residual<F: Residual>(residual: &F, inputs: usize) -> Result<Self> {
        let (n, m, k) = (residual.state_dim(), residual.input_dim(), residual.unknown_dim());
        let params = residual.params().len();
        let leaves = Leaves { state: n, input: inputs + k, params, seeds: 0 };
        extended(&residuals(residual, inputs, leaves)?, leaves, |graph| {
            let all: Vec<Expr<F::Real>> = leaf(leaves.input, Op::Input);
            let (u, z) = (&all[..m], &all[inputs..]);
            let delta = correction(graph, inputs, k);
            let z: Vec<_> = z.iter().zip(delta).map(|(&z, d)| z - d).collect();
            let x: Vec<Expr<F::Real>> = leaf(n, Op::State);
            let mut next = vec![Expr::UNWRITTEN; n];
            residual.state(&z, &x, u, &mut next);
            next
        })
    }

    /// The graph of an explicit step by `residual` with `work` entries of workspace, which perhaps stands for some of `short`.
    ///
    /// # Errors
    /// As [`trace`](Self::trace).
    #[cfg(feature = "cuda")]
    pub(crate) fn of_explicit<F: Residual>(
        residual: &F,
        inputs: usize,
        short: Option<&F>,
        work: usize,
    ) -> Result<Self> {
        let (n, m) = (residual.state_dim(), residual.input_dim());
        let params = residual.params().len();
        let leaves = Leaves { state: n, input: inputs, params, seeds: 0 };
        written::<F::Real>(leaves, n, work, |params, x, u, next| {
            residual.advance(params, x, &u[..m], short.map(|short| (short, u[m])), next);
        })
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

/// The graph of `F`, whose unknowns follow the `inputs`.
fn residuals<F: Residual>(residual: &F, inputs: usize, leaves: Leaves) -> Result<Graph> {
    let (m, k) = (residual.input_dim(), residual.unknown_dim());
    let equation = || {
        written::<F::Real>(leaves, k, residual.scratch_dim(), |params, x, u, r| {
            residual.residual(params, &u[inputs..inputs + k], x, &u[..m], r);
        })
    };
    let graph = equation()?;
    if equation()? != graph {
        return Err(super::trace::fault("another expression when it was run again"));
    }
    Ok(graph)
}

/// The graph of what `outputs` makes of `graph`.
fn extended<R: Real>(
    graph: &Graph,
    leaves: Leaves,
    outputs: impl Fn(&Graph) -> Vec<Expr<R>>,
) -> Result<Graph> {
    let fault = super::trace::fault;
    let (builder, outputs) = recording(Builder::extending(graph), || {
        outputs(graph).iter().map(|output| output.id()).collect::<Option<Vec<_>>>()
    });
    let outputs = outputs.ok_or_else(|| fault("an entry of the state that it has not written"))?;
    builder.finish(outputs, leaves).map_err(fault)
}

/// `M⁻¹ F` with `M = ∂F/∂z` held, while the `graph` of `F` is being extended, whose `k` unknowns follow the `inputs`.
fn correction<R: Real>(graph: &Graph, inputs: usize, k: usize) -> Vec<Expr<R>> {
    let mut elimination = Elimination::<E>::new(k);
    for column in 0..k {
        let tangents = graph.tangents((inputs + column) as u32);
        for (row, &output) in graph.outputs.iter().enumerate() {
            elimination.matrix[row * k + column] = held(tangents[output as usize]);
        }
    }
    elimination.factor();
    let mut delta: Vec<E> = graph.outputs.iter().map(|&r| E::of(r)).collect();
    elimination.solve(&mut delta);
    delta.into_iter().map(|e| Expr::of(node(e))).collect()
}

/// The same number, without a derivative.
fn held(e: E) -> E {
    let id = node(e);
    record(|builder, _| builder.push(Op::Unary(Unary::Hold, id))).map_or(Expr::UNWRITTEN, Expr::of)
}
