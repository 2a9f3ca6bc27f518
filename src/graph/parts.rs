//! A step as parts that do not depend on each other, and which of them are alike.
//!
//! Alike are parts whose graphs differ in nothing but which inputs, parameters and numbers they read: one program does for all
//! of them.

use super::{Binary, Graph, Id, Leaves, Op};
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::{Hash, Hasher};
use std::ops::Range;

/// The parts of a step.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    pub(crate) kinds: Vec<Kind>,
    /// Numbers in which parts of one kind differ: further entries of θ, after its own.
    pub(crate) constants: Vec<f64>,
}

/// Parts that are alike.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    /// On the leaves of one part; outputs are the part's components.
    pub(crate) graph: Graph,
    pub(crate) members: Vec<Member>,
}

/// Where one part's leaves are among those of the step.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Its place among the blocks.
    pub(crate) block: usize,
    pub(crate) components: Vec<usize>,
    pub(crate) inputs: Vec<usize>,
    /// Those that the step does not have are [`Parts::constants`].
    pub(crate) params: Vec<usize>,
}

impl Graph {
    /// With some of its outputs alone.
    pub(crate) fn of_outputs(&self, outputs: Range<usize>) -> Self {
        Self { outputs: self.outputs[outputs].to_vec(), ..self.clone() }.pruned()
    }

    /// The parts that have the components `blocks`, each as output and as state. None where one reads another's state.
    pub(crate) fn parts(&self, blocks: &[Vec<usize>]) -> Option<Parts> {
        let mut kinds: Vec<Alike> = Vec::new();
        let mut known: FxHashMap<String, usize> = FxHashMap::default();
        let hashes = self.hashes(blocks);
        for (block, components) in blocks.iter().enumerate() {
            let (graph, member, numbers) = self.part(block, components, &hashes)?;
            let kind = *known.entry(graph.to_string()).or_insert_with(|| {
                kinds.push(Alike { graph, members: Vec::new(), numbers: Vec::new() });
                kinds.len() - 1
            });
            kinds[kind].members.push(member);
            kinds[kind].numbers.push(numbers);
        }
        let mut constants = Vec::new();
        let kinds = kinds.into_iter().map(|alike| self.kind(alike, &mut constants)).collect();
        Some(Parts { kinds, constants })
    }

    /// A part's graph, in which numbers are parameters after its own, and those numbers.
    fn part(
        &self,
        block: usize,
        components: &[usize],
        hashes: &[u64],
    ) -> Option<(Self, Member, Vec<f64>)> {
        let mut part = Part {
            whole: self,
            components,
            hashes,
            places: FxHashMap::default(),
            nodes: Vec::new(),
            inputs: Vec::new(),
            params: Vec::new(),
            numbers: Vec::new(),
        };
        let mut outputs = Vec::with_capacity(components.len());
        for &component in components {
            outputs.push(part.include(self.outputs[component])?);
        }
        let Part { mut nodes, inputs, params, numbers, .. } = part;
        for op in &mut nodes {
            if let Op::Constant(number) = *op {
                *op = Op::Param((params.len() + number as usize) as u32);
            }
        }
        let leaves = Leaves {
            state: components.len(),
            input: inputs.len(),
            params: params.len() + numbers.len(),
            seeds: 0,
        };
        let graph = Self { nodes, outputs, leaves, single: self.single };
        let components = components.to_vec();
        Some((graph, Member { block, components, inputs, params }, numbers))
    }

    /// Of each node a number that is the same for nodes in the same place of parts that are alike.
    fn hashes(&self, blocks: &[Vec<usize>]) -> Vec<u64> {
        let mut rows = vec![0; self.leaves.state];
        for components in blocks {
            components.iter().enumerate().for_each(|(row, &component)| rows[component] = row);
        }
        let mut hashes: Vec<u64> = Vec::with_capacity(self.nodes.len());
        for op in &self.nodes {
            let mut hasher = FxHasher::default();
            std::mem::discriminant(op).hash(&mut hasher);
            match *op {
                Op::State(i) => rows[i as usize].hash(&mut hasher),
                Op::Unary(function, _) => function.hash(&mut hasher),
                Op::Binary(function, ..) => function.hash(&mut hasher),
                Op::Powi(_, n) => n.hash(&mut hasher),
                _ => {}
            }
            let of = |operand: Id| hashes[operand as usize];
            let mut operands = op.operands();
            if let Op::Binary(Binary::Add | Binary::Mul, a, b) | Op::MulAdd(a, b, _) = *op {
                (of(a).min(of(b)), of(a).max(of(b))).hash(&mut hasher);
                operands.nth(1);
            }
            operands.for_each(|operand| of(operand).hash(&mut hasher));
            hashes.push(hasher.finish());
        }
        hashes
    }

    /// Puts back the numbers that all members have in common.
    fn kind(&self, alike: Alike, constants: &mut Vec<f64>) -> Kind {
        let Alike { mut graph, mut members, numbers } = alike;
        let own = members.first().map_or(0, |member| member.params.len());
        let first = numbers.first().map_or(&[][..], |numbers| &numbers[..]);
        let same =
            |k: usize| numbers.iter().all(|numbers| numbers[k].to_bits() == first[k].to_bits());
        let varying: Vec<usize> = (0..first.len()).filter(|&k| !same(k)).collect();
        for op in &mut graph.nodes {
            if let Op::Param(i) = *op
                && let Some(k) = (i as usize).checked_sub(own)
            {
                *op = match varying.binary_search(&k) {
                    Ok(place) => Op::Param((own + place) as u32),
                    Err(_) => Op::Constant(first[k]),
                };
            }
        }
        graph.leaves.params = own + varying.len();
        for (member, numbers) in members.iter_mut().zip(&numbers) {
            for &k in &varying {
                member.params.push(self.leaves.params + constants.len());
                constants.push(numbers[k]);
            }
        }
        Kind { graph, members }
    }
}

/// Parts whose graphs differ in numbers alone, and the numbers of each: parameters of the graph, after its own.
struct Alike {
    graph: Graph,
    members: Vec<Member>,
    numbers: Vec<Vec<f64>>,
}

/// A part while its nodes are gathered.
struct Part<'g> {
    whole: &'g Graph,
    components: &'g [usize],
    /// Of the whole's nodes.
    hashes: &'g [u64],
    places: FxHashMap<Id, Id>,
    /// A number is for now its place in `numbers`.
    nodes: Vec<Op>,
    inputs: Vec<usize>,
    params: Vec<usize>,
    numbers: Vec<f64>,
}

impl Part<'_> {
    /// The place of a node, after all that it depends on.
    fn include(&mut self, output: Id) -> Option<Id> {
        let mut waiting = vec![output];
        while let Some(&id) = waiting.last() {
            if self.places.contains_key(&id) {
                waiting.pop();
                continue;
            }
            let op = self.ordered(self.whole.nodes[id as usize]);
            let before = waiting.len();
            waiting.extend(op.operands().filter(|operand| !self.places.contains_key(operand)));
            waiting[before..].reverse();
            if waiting.len() == before {
                waiting.pop();
                self.add(id, op)?;
            }
        }
        self.places.get(&output).copied()
    }

    fn add(&mut self, id: Id, op: Op) -> Option<()> {
        let op = match op {
            Op::State(i) => {
                Op::State(self.components.iter().position(|&own| own == i as usize)? as u32)
            }
            Op::Input(i) => Op::Input(numbered(&mut self.inputs, i as usize)),
            Op::Param(i) => Op::Param(numbered(&mut self.params, i as usize)),
            Op::Constant(number) => {
                self.numbers.push(number);
                Op::Constant((self.numbers.len() - 1) as f64)
            }
            Op::Seed(_) => return None,
            _ => op.map(|operand| self.places[&operand]),
        };
        self.places.insert(id, self.nodes.len() as Id);
        self.nodes.push(op);
        Some(())
    }

    /// Sums and products have their terms in the order of recording, which is not the same in all parts.
    fn ordered(&self, op: Op) -> Op {
        let sorted = |a: Id, b: Id| {
            if self.hashes[b as usize] < self.hashes[a as usize] { (b, a) } else { (a, b) }
        };
        match op {
            Op::Binary(function @ (Binary::Add | Binary::Mul), a, b) => {
                let (a, b) = sorted(a, b);
                Op::Binary(function, a, b)
            }
            Op::MulAdd(a, b, c) => {
                let (a, b) = sorted(a, b);
                Op::MulAdd(a, b, c)
            }
            _ => op,
        }
    }
}

/// The number of a leaf among those met so far.
fn numbered(known: &mut Vec<usize>, leaf: usize) -> u32 {
    let place = known.iter().position(|&known| known == leaf).unwrap_or_else(|| {
        known.push(leaf);
        known.len() - 1
    });
    place as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::{DiagonalGru, DiagonalLstm, Gru};
    use crate::dynamics::Dynamics;
    use crate::scalar::{Param, Scalar};

    /// Each block on its own, and together what the step says.
    fn check(graph: &Graph, blocks: &[Vec<usize>], params: &[f64], kinds: usize) {
        let Leaves { state, input, .. } = graph.leaves();
        let parts = graph.parts(blocks).unwrap();
        assert_eq!(parts.kinds.len(), kinds);
        let table = [params, &parts.constants].concat();
        let x: Vec<f64> = (0..state).map(|i| 0.3 - 0.1 * i as f64).collect();
        let u: Vec<f64> = (0..input).map(|i| 0.2 + 0.1 * i as f64).collect();
        let expected = graph.evaluate(&x, &u, params, &[]);
        let mut seen = 0;
        for Kind { graph, members } in &parts.kinds {
            for Member { block, components, inputs, params } in members {
                assert_eq!(components, &blocks[*block]);
                let of = |all: &[f64], places: &[usize]| -> Vec<f64> {
                    places.iter().map(|&place| all[place]).collect()
                };
                let next =
                    graph.evaluate(&of(&x, components), &of(&u, inputs), &of(&table, params), &[]);
                assert_eq!(next, of(&expected, components));
                seen += components.len();
            }
        }
        assert_eq!(seen, state);
    }

    fn alone(n: usize) -> Vec<Vec<usize>> {
        (0..n).map(|i| vec![i]).collect()
    }

    #[test]
    fn units_of_a_diagonal_cell_are_alike() {
        let gru = DiagonalGru::<f64>::random(3, 7, 1);
        check(&Graph::trace(&gru).unwrap(), &alone(7), gru.params(), 1);
        let lstm = DiagonalLstm::<f64>::random(2, 5, 1);
        let pairs: Vec<_> = (0..5).map(|i| vec![i, i + 5]).collect();
        check(&Graph::trace(&lstm).unwrap(), &pairs, lstm.params(), 1);
    }

    #[test]
    fn parts_that_read_each_other_are_none() {
        let gru = Gru::<f64>::random(1, 2, 1);
        assert!(Graph::trace(&gru).unwrap().parts(&alone(2)).is_none());
    }

    /// Components with numbers of their own, the last one with another function; all read `tanh(u)`.
    struct Numbers;
    impl Dynamics for Numbers {
        type Real = f64;
        fn state_dim(&self) -> usize {
            4
        }
        fn input_dim(&self) -> usize {
            1
        }
        fn step<S: Scalar<Real = f64>>(&self, _: &[Param<S>], x: &[S], u: &[S], next: &mut [S]) {
            for i in 0..3 {
                next[i] = x[i] * (0.25 + i as f64) + u[0].tanh() * 0.5;
            }
            next[3] = x[3].sin() + u[0].tanh();
        }
    }

    #[test]
    fn numbers_that_differ_are_read_from_a_table() {
        let graph = Graph::trace(&Numbers).unwrap();
        check(&graph, &alone(4), &[], 2);
        let parts = graph.parts(&alone(4)).unwrap();
        assert_eq!(parts.constants, [0.25, 1.25, 2.25]);
    }
}
