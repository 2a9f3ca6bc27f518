//! Derivatives of a graph, as graphs.
//!
//! The slope of every operation is that of [`Dual`] over expressions, so that forward, reverse and dual numbers
//! agree on ties and at singular points. A structural zero is the constant 0, with which the builder
//! does nothing.

use super::builder::recording;
use super::trace::leaf;
use super::{Binary, Builder, Graph, Id, Leaves, Op, Unary, record};
use crate::scalar::{Dual, Expr, Scalar};

/// Expressions of a derivative; constants are rounded by the builder.
pub(super) type E = Expr<f64>;

impl Graph {
    /// The derivative in one direction. Seeds are the direction: tangents of the state `[n]`, of the input
    /// `[m]` and of θ, one after the other. Outputs are those of this graph, then their derivatives.
    pub fn forward(&self) -> Self {
        let Leaves { state, input, params, .. } = self.leaves;
        let leaves = Leaves { seeds: state + input + params, ..self.leaves };
        let derivative = || {
            let seeds = leaf::<f64>(leaves.seeds, Op::Seed);
            self.output_tangents(|op| match op {
                Op::State(i) => Some(seeds[i as usize]),
                Op::Input(i) => Some(seeds[state + i as usize]),
                Op::Param(i) => Some(seeds[state + input + i as usize]),
                _ => None,
            })
        };
        self.extended(leaves, || derivative().into_iter().map(node).collect())
    }

    /// The derivative in one direction of the state alone: seeds are its tangent `[n]`. Outputs are those of this graph,
    /// then their derivatives.
    pub(crate) fn forward_in_state(&self) -> Self {
        let leaves = Leaves { seeds: self.leaves.state, ..self.leaves };
        self.extended(leaves, || {
            let seeds = leaf::<f64>(leaves.seeds, Op::Seed);
            let tangents = self.output_tangents(|op| match op {
                Op::State(i) => Some(seeds[i as usize]),
                _ => None,
            });
            tangents.into_iter().map(node).collect()
        })
    }

    /// Outputs are those of this graph, then the diagonal of `∂f/∂x`.
    pub(crate) fn with_diagonal(&self) -> Self {
        self.extended(self.leaves, || {
            let entry = |i: usize| {
                let one = E::from_f64(1.0);
                let tangents =
                    self.output_tangents(|op| (op == Op::State(i as u32)).then_some(one));
                node(tangents[i])
            };
            (0..self.leaves.state).map(entry).collect()
        })
    }

    /// The tangents of the outputs, where those of leaves are `seed`, or zero.
    fn output_tangents(&self, seed: impl Fn(Op) -> Option<E>) -> Vec<E> {
        let zero = E::from_f64(0.0);
        let mut tangents: Vec<E> = Vec::with_capacity(self.nodes.len());
        for op in &self.nodes {
            let tangent = match *op {
                Op::State(_) | Op::Input(_) | Op::Param(_) => seed(*op),
                _ => push_forward(*op, |operand| tangents[operand as usize]),
            };
            tangents.push(tangent.unwrap_or(zero));
        }
        self.outputs.iter().map(|&output| tangents[output as usize]).collect()
    }

    /// The transposed derivative. Seeds are cotangents of the outputs; the further outputs
    /// are the cotangents of the state `[n]`, of the input `[m]` and of θ, one after the other.
    pub fn reverse(&self) -> Self {
        let Leaves { state, input, params, .. } = self.leaves;
        let leaves = Leaves { seeds: self.outputs.len(), ..self.leaves };
        let derivative = || {
            let zero = E::from_f64(0.0);
            let mut cotangents = vec![zero; self.nodes.len()];
            // Terms with an entry of θ as a factor come last, so that the components of `Wᵀ λ` are sums over the same
            // cotangents and nothing else.
            let mut weighted: Vec<Vec<(Id, E)>> = vec![Vec::new(); self.nodes.len()];
            for (&output, seed) in self.outputs.iter().zip(leaf::<f64>(leaves.seeds, Op::Seed)) {
                cotangents[output as usize] = sum(cotangents[output as usize], seed);
            }
            let mut results = vec![zero; state + input + params];
            for (id, op) in self.nodes.iter().enumerate().rev() {
                let cotangent = weighted[id]
                    .drain(..)
                    .fold(cotangents[id], |sum, (p, cotangent)| weigh(sum, p, cotangent));
                match *op {
                    Op::State(i) => results[i as usize] = cotangent,
                    Op::Input(i) => results[state + i as usize] = cotangent,
                    Op::Param(i) => results[state + input + i as usize] = cotangent,
                    _ if is_zero(cotangent) => {}
                    _ => {
                        for (k, operand) in op.operands().enumerate() {
                            if let Some(p) = self.weight(*op, k) {
                                weighted[operand as usize].push((p, cotangent));
                                continue;
                            }
                            let part = pull_back(*op, k, cotangent).unwrap_or(zero);
                            cotangents[operand as usize] = sum(cotangents[operand as usize], part);
                        }
                    }
                }
            }
            results.into_iter().map(node).collect()
        };
        self.extended(leaves, derivative)
    }

    /// The entry of θ that operand `k` of a product is multiplied with.
    fn weight(&self, op: Op, k: usize) -> Option<Id> {
        let other = match (op, k) {
            (Op::Binary(Binary::Mul, _, b) | Op::MulAdd(_, b, _), 0) => b,
            (Op::Binary(Binary::Mul, a, _) | Op::MulAdd(a, ..), 1) => a,
            _ => return None,
        };
        matches!(self.nodes[other as usize], Op::Param(_)).then_some(other)
    }

    /// This graph with the outputs that `derivative` adds while it is recorded.
    fn extended(&self, leaves: Leaves, derivative: impl FnOnce() -> Vec<Id>) -> Self {
        let (builder, added) = recording(Builder::extending(self), derivative);
        let outputs = self.outputs.iter().copied().chain(added).collect();
        // Nothing that is recorded here comes from outside, which is the only fault there is.
        builder.finish(outputs, leaves).unwrap_or_else(|_| self.clone())
    }
}

pub(super) fn node(e: E) -> Id {
    e.id().unwrap_or_default()
}

/// `a + b`; a product is added fused.
fn sum(a: E, b: E) -> E {
    let product = |id: Id| {
        record(|builder, _| match builder.op(id) {
            Op::Binary(Binary::Mul, x, y) => Some((x, y)),
            _ => None,
        })
    };
    match b.id().and_then(product).flatten() {
        Some((x, y)) => E::of(x).mul_add(E::of(y), a),
        None => a + b,
    }
}

/// `sum + p · cotangent`, fused but for the first term.
fn weigh(sum: E, p: Id, cotangent: E) -> E {
    if is_zero(sum) { cotangent * E::of(p) } else { cotangent.mul_add(E::of(p), sum) }
}

/// Whether nothing depends on it.
fn is_zero(e: E) -> bool {
    let zero = |id: Id| record(|builder, _| builder.op(id) == Op::Constant(0.0));
    e.id().and_then(zero).unwrap_or(false)
}

/// The tangent of an operation, given those of its operands.
pub(super) fn push_forward(op: Op, tangent: impl Fn(Id) -> E) -> Option<E> {
    if matches!(op, Op::Unary(Unary::Hold, _)) {
        return None;
    }
    let mut operands = [0; 4];
    for (place, operand) in operands.iter_mut().zip(op.operands()) {
        *place = operand;
    }
    let dual = |k: usize| Dual::new(E::of(operands[k]), [tangent(operands[k])]);
    op.apply(dual).map(|result| result.tangents[0])
}

/// What operand `k` of an operation gets of its result's cotangent: as slopes are linear, the tangent of the result
/// where the operand's is that cotangent and the others' are zero.
fn pull_back(op: Op, k: usize, cotangent: E) -> Option<E> {
    // Most of a large step is these, of which the answer is known.
    match (op, k) {
        (Op::Binary(Binary::Add, ..), _)
        | (Op::Binary(Binary::Sub, ..), 0)
        | (Op::MulAdd(..), 2) => {
            return Some(cotangent);
        }
        (Op::Binary(Binary::Mul, a, b) | Op::MulAdd(a, b, _), _) => {
            return Some(cotangent * E::of(if k == 0 { b } else { a }));
        }
        (Op::Unary(Unary::Hold, _), _) => return None,
        _ => {}
    }
    let mut operands = [0; 4];
    for (place, operand) in operands.iter_mut().zip(op.operands()) {
        *place = operand;
    }
    let zero = E::from_f64(0.0);
    let dual = |j: usize| Dual::new(E::of(operands[j]), [if j == k { cotangent } else { zero }]);
    op.apply(dual).map(|result| result.tangents[0])
}
