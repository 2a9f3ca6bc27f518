//! The transposed derivative of a step, arranged for accumulation over time.

use super::program::Program;
use super::{Binary, Graph, Id, Leaves, Op, identity};
use crate::cells::ByHand;
use rustc_hash::FxHashMap;

/// The reverse derivative of a step, with the cotangents of θ as sums of products.
///
/// The cotangent of an entry of θ is, in one step, `Σ left · right`; summed over time it is a matrix product of the
/// lefts and the rights, which are far fewer than the entries of θ: in a network the lefts are cotangents of the
/// sums that go into the units, the rights are components of state and input.
#[derive(Debug)]
pub struct Adjoint {
    pub(crate) step: Step,
    pub(crate) identity: u64,
    pub(crate) lefts: usize,
    /// Rights that the step computes.
    pub(crate) computed: usize,
    /// All products.
    pub(crate) tiles: Vec<Tile>,
    pub(crate) leaves: Leaves,
}

/// How a step is gone back over.
#[derive(Debug)]
pub(crate) enum Step {
    Programs(Box<Programs>),
    ByHand(ByHand),
}

/// The graph's derivative.
#[derive(Debug)]
pub(crate) struct Programs {
    /// Outputs: cotangents of state `[n]` and input `[m]`, lefts, computed rights.
    pub(crate) program: Program,
    /// As `program`; then the step's value `[n]`.
    pub(crate) checking: Program,
    /// As `checking`, for devices that compile it.
    #[cfg(feature = "cuda")]
    pub(crate) graph: Graph,
}

impl Programs {
    /// What the first sweep runs, and what later ones do.
    pub(crate) fn of_sweep(&self, first: bool) -> &Program {
        if first { &self.checking } else { &self.program }
    }
}

/// A right factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Right {
    /// A component of the state before the step.
    State(usize),
    /// A component of the input.
    Input(usize),
    /// An output of the programs.
    Computed(usize),
    One,
}

/// The products of up to [`Tile::SIDE`] lefts with as many rights, each a contribution to the cotangent of an entry of θ.
#[derive(Clone, Debug)]
pub(crate) struct Tile {
    /// 1, 2 or 4.
    pub(crate) lefts: Vec<usize>,
    /// 1, 2 or 4.
    pub(crate) rights: Vec<Right>,
    /// `[rights, lefts]`
    pub(crate) params: Vec<usize>,
}

impl Tile {
    pub(crate) const SIDE: usize = 4;
}

/// A contribution to the cotangent of an entry of θ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub(crate) left: usize,
    pub(crate) right: Right,
    pub(crate) param: usize,
}

impl Adjoint {
    /// Made from the graph of a step.
    pub(crate) fn new(graph: &Graph) -> Self {
        Self::of(graph, false)
    }

    /// The same, which computes all rights, also those that are components of state or input.
    pub(crate) fn with_all_factors(graph: &Graph) -> Self {
        Self::of(graph, true)
    }

    /// The graph of [`Programs::checking`], unless it is written by hand.
    #[cfg(feature = "cuda")]
    pub(crate) fn graph(&self) -> Option<&Graph> {
        match &self.step {
            Step::Programs(programs) => Some(&programs.graph),
            Step::ByHand(_) => None,
        }
    }

    fn of(graph: &Graph, all: bool) -> Self {
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
                let right = match right.map(|right| (right, reverse.nodes[right as usize])) {
                    None => Right::One,
                    Some((_, Op::State(i))) if !all => Right::State(i as usize),
                    Some((_, Op::Input(j))) if !all => Right::Input(j as usize),
                    Some((right, _)) => Right::Computed(places[1].of(right)),
                };
                products.push(Product { left, right, param });
            }
        }
        let [lefts, computed] = places.map(|places| places.nodes);
        let outputs = [of_state_and_input, &lefts, &computed].concat();
        let with = |outputs: Vec<Id>| Graph { outputs, ..reverse.clone() }.pruned();
        let graph = with([&outputs, values].concat());
        let programs = Programs {
            program: Program::new(&with(outputs), n),
            checking: Program::new(&graph, n),
            #[cfg(feature = "cuda")]
            graph,
        };
        Self {
            step: Step::Programs(Box::new(programs)),
            identity: identity(),
            lefts: lefts.len(),
            computed: computed.len(),
            tiles: tiles(products),
            leaves: reverse.leaves,
        }
    }

    /// Written by hand.
    pub(crate) fn by_hand(cell: ByHand) -> Self {
        let ([lefts, computed], products, leaves) = cell.describe();
        Self {
            step: Step::ByHand(cell),
            identity: identity(),
            lefts,
            computed,
            tiles: tiles(products),
            leaves,
        }
    }
}

/// The products by tiles: rights that are multiplied with the same lefts go together.
fn tiles(mut products: Vec<Product>) -> Vec<Tile> {
    products.sort_by_key(|product| (product.right, product.left, product.param));
    // For each right its lefts and their entries, a few at a time; a pair that adds to another entry too is one more right.
    let mut columns: Vec<Column> = Vec::new();
    let mut rest = products;
    while !rest.is_empty() {
        let mut again = Vec::new();
        let mut before = None;
        for product in rest {
            let Product { left, right, param } = product;
            if before == Some((right, left)) {
                again.push(product);
                continue;
            }
            match columns.last_mut() {
                Some(column)
                    if before.is_some()
                        && column.right == right
                        && column.lefts.len() < Tile::SIDE =>
                {
                    column.lefts.push(left);
                    column.params.push(param);
                }
                _ => columns.push(Column { lefts: vec![left], right, params: vec![param] }),
            }
            before = Some((right, left));
        }
        rest = again;
    }
    columns.sort();
    let mut tiles = Vec::new();
    for alike in columns.chunk_by(|a, b| a.lefts == b.lefts) {
        for lefts in cuts(alike[0].lefts.len()) {
            for rights in cuts(alike.len()) {
                let alike = &alike[rights];
                tiles.push(Tile {
                    lefts: alike[0].lefts[lefts.clone()].to_vec(),
                    rights: alike.iter().map(|column| column.right).collect(),
                    params: alike
                        .iter()
                        .flat_map(|column| column.params[lefts.clone()].iter().copied())
                        .collect(),
                });
            }
        }
    }
    tiles
}

/// A right, up to [`Tile::SIDE`] lefts that it is multiplied with, and the entries of θ of the products.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Column {
    lefts: Vec<usize>,
    right: Right,
    params: Vec<usize>,
}

/// `0..len` in pieces of 4, then of 2 and 1.
fn cuts(len: usize) -> Vec<std::ops::Range<usize>> {
    let mut from = 0;
    let mut cuts = Vec::new();
    while from < len {
        let piece = match len - from {
            1 => 1,
            2 | 3 => 2,
            _ => Tile::SIDE,
        };
        cuts.push(from..from + piece);
        from += piece;
    }
    cuts
}

/// Nodes, numbered as they come.
#[derive(Debug, Default)]
struct Places {
    nodes: Vec<Id>,
    known: FxHashMap<Id, usize>,
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
