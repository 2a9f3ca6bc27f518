//! The transposed derivative of a step, arranged for accumulation over time.

use super::program::Program;
use super::{Binary, Graph, Id, Leaves, Op};
use std::collections::HashMap;

/// The reverse derivative of a step, with the cotangents of θ as sums of products.
///
/// The cotangent of an entry of θ is, in one step, `Σ left · right`; summed over time it is a matrix product of the
/// lefts and the rights, which are far fewer than the entries of θ: in a network the lefts are cotangents of the
/// sums that go into the units, the rights are components of state and input.
#[derive(Debug)]
pub struct Adjoint {
    /// Outputs: cotangents of state `[n]` and input `[m]`, lefts, rights.
    pub(crate) program: Program,
    /// As `program`; then the step's value `[n]`.
    pub(crate) checking: Program,
    pub(crate) lefts: usize,
    pub(crate) rights: usize,
    /// First `quads` times four that have the left in common, then the others.
    pub(crate) products: Vec<Product>,
    pub(crate) quads: usize,
    pub(crate) leaves: Leaves,
}

/// A contribution to the cotangent of an entry of θ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub(crate) left: usize,
    /// [`Adjoint::rights`] for 1.
    pub(crate) right: usize,
    pub(crate) param: usize,
}

impl Adjoint {
    pub(crate) fn new(graph: &Graph) -> Self {
        let Leaves { state: n, input: m, .. } = graph.leaves;
        let reverse = graph.reverse();
        let (values, cotangents) = reverse.outputs.split_at(n);
        let (of_state_and_input, of_params) = cotangents.split_at(n + m);
        let mut places = [Places::default(), Places::default()];
        let mut uses = vec![0; reverse.nodes.len()];
        for id in
            reverse.nodes.iter().flat_map(|op| op.operands()).chain(reverse.outputs.iter().copied())
        {
            uses[id as usize] += 1;
        }
        let mut products = Vec::new();
        for (param, &cotangent) in of_params.iter().enumerate() {
            let mut found = Vec::new();
            factors(&reverse, &uses, cotangent, &mut found);
            for (left, right) in found {
                let left = places[0].of(left);
                let right = right.map_or(usize::MAX, |right| places[1].of(right));
                products.push(Product { left, right, param });
            }
        }
        products.sort_by_key(|product: &Product| (product.left, product.right, product.param));
        for product in &mut products {
            product.right = product.right.min(places[1].nodes.len());
        }
        let (mut quads, mut others) = (Vec::new(), Vec::new());
        for same in products.chunk_by(|a, b| a.left == b.left) {
            let (fours, rest) = same.as_chunks::<4>();
            quads.extend_from_slice(fours);
            others.extend_from_slice(rest);
        }
        let [lefts, rights] = places.map(|places| places.nodes);
        let outputs = [of_state_and_input, &lefts, &rights].concat();
        let with = |outputs: Vec<Id>| {
            let graph = Graph { outputs, ..reverse.clone() };
            Program::new(&graph.pruned(), n)
        };
        Self {
            program: with(outputs.clone()),
            checking: with([&outputs, values].concat()),
            lefts: lefts.len(),
            rights: rights.len(),
            quads: quads.len(),
            products: quads.into_iter().flatten().chain(others).collect(),
            leaves: reverse.leaves,
        }
    }
}

/// Nodes, numbered as they come.
#[derive(Debug, Default)]
struct Places {
    nodes: Vec<Id>,
    known: HashMap<Id, usize>,
}

impl Places {
    fn of(&mut self, node: Id) -> usize {
        *self.known.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        })
    }
}

/// The products that a node is the sum of. What is not a product, or is needed elsewhere too, is one with 1. The left
/// factor is the later one: cotangents come after values.
fn factors(graph: &Graph, uses: &[u32], node: Id, found: &mut Vec<(Id, Option<Id>)>) {
    let alone = uses[node as usize] == 1;
    match graph.nodes[node as usize] {
        Op::Constant(0.0) => {}
        Op::Binary(Binary::Mul, a, b) if alone => found.push((a.max(b), Some(a.min(b)))),
        Op::MulAdd(a, b, rest) if alone => {
            found.push((a.max(b), Some(a.min(b))));
            factors(graph, uses, rest, found);
        }
        Op::Binary(Binary::Add, a, b) if alone => {
            factors(graph, uses, a, found);
            factors(graph, uses, b, found);
        }
        _ => found.push((node, None)),
    }
}
