//! A graph as a list of instructions on slots, for machines that run many steps at once.
//!
//! An instruction works on whole [`Lanes`](crate::Lanes), so that finding out what it is costs little beside doing
//! it. Sums of products with parameters, which are most of a network, are one instruction each. A slot is used again
//! as soon as nothing needs what it holds.

use super::schedule::{self, Part};
use super::{Binary, Graph, Id, Leaves, Op, Unary};
use crate::scalar::{Isa, Lanes, Real, Scalar};
use rustc_hash::FxHashMap;
use std::ops::Range;

/// A place in the slots.
type Slot = u32;

/// One instruction; results come first.
#[derive(Clone, Copy, Debug)]
enum Instruction {
    Unary(Slot, Unary, Slot),
    Powi(Slot, i32, Slot),
    Binary(Slot, Binary, Slot, Slot),
    Add(Slot, Slot, Slot),
    Sub(Slot, Slot, Slot),
    Mul(Slot, Slot, Slot),
    MulAdd(Slot, Slot, Slot, Slot),
    Select(Slot, [Slot; 4]),
    /// By their place in the list.
    Sums(u32),
}

/// Sums that are done at the same time at most: each slot is read once for all, and no sum waits for its last addition.
const ROWS: usize = 4;

/// Sums of products of the same slots with entries of the table.
#[derive(Clone, Debug)]
struct Sums {
    /// How many, from 1 to [`ROWS`].
    rows: usize,
    out: [Slot; ROWS],
    start: [Start; ROWS],
    /// The slots.
    terms: Range<usize>,
    /// Where in the table the factors begin, `[terms, rows]`.
    factors: usize,
}

/// What a sum starts from.
#[derive(Clone, Copy, Debug)]
enum Start {
    Slot(Slot),
    /// An entry of the table.
    Entry(u32),
    /// The first product alone.
    Product,
}

/// A graph, ready to be run on lanes.
///
/// The table is what is the same in every lane and step: θ, then those seeds that are not in slots, then constants; then
/// what sums read of these, in the order in which they do.
#[derive(Clone, Debug)]
pub struct Program {
    code: Vec<Instruction>,
    terms: Vec<Slot>,
    sums: Vec<Sums>,
    constants: Vec<f64>,
    /// The entries that sums read.
    factors: Vec<u32>,
    /// Slots that hold an entry of the table all the time.
    fixed: Vec<(Slot, u32)>,
    slots: usize,
    leaves: Leaves,
    seed_slots: usize,
    outputs: Vec<Slot>,
}

impl Program {
    /// Of a graph whose first `seed_slots` seeds differ between lanes.
    pub(crate) fn new(graph: &Graph, seed_slots: usize) -> Self {
        Compiler::new(graph, seed_slots).compile()
    }

    /// Slots that it works on.
    #[cfg(test)]
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// The slots of the state.
    pub(crate) fn state(&self) -> Range<usize> {
        0..self.leaves.state
    }

    /// The slots of the input.
    pub(crate) fn input(&self) -> Range<usize> {
        self.leaves.state..self.leaves.state + self.leaves.input
    }

    /// The slots of the seeds.
    pub(crate) fn seeds(&self) -> Range<usize> {
        self.input().end..self.input().end + self.seed_slots
    }

    /// The slots of the outputs.
    pub(crate) fn outputs(&self) -> &[Slot] {
        &self.outputs
    }

    /// The table for parameters `params` and seeds `seeds` (those not in slots).
    pub(crate) fn table<R: Real>(&self, params: &[R], seeds: &[R]) -> Vec<R> {
        let mut table = params.to_vec();
        table.extend_from_slice(seeds);
        table.extend(self.constants.iter().map(|&x| R::from_f64(x)));
        let first = table.len();
        table.reserve_exact(self.factors.len());
        for &entry in &self.factors {
            debug_assert!((entry as usize) < first);
            table.push(table[entry as usize]);
        }
        table
    }

    /// Slots before the first step.
    #[inline(always)]
    pub(crate) fn prepare<R: Real, I: Isa, const K: usize>(
        &self,
        table: &[R],
    ) -> Vec<Lanes<R, I, K>> {
        let mut slots = vec![Lanes::from_f64(0.0); self.slots];
        for &(slot, entry) in &self.fixed {
            slots[slot as usize] = Lanes::constant(table[entry as usize]);
        }
        slots
    }

    /// One step: reads the slots of state, input and seeds, writes those of the outputs.
    #[inline(always)]
    pub(crate) fn run<R: Real, I: Isa, const K: usize>(
        &self,
        table: &[R],
        slots: &mut [Lanes<R, I, K>],
    ) {
        for instruction in &self.code {
            match *instruction {
                Instruction::Sums(place) => {
                    let sums = &self.sums[place as usize];
                    match sums.rows {
                        4 => self.sum::<R, I, K, 4>(sums, table, slots),
                        3 => self.sum::<R, I, K, 3>(sums, table, slots),
                        2 => self.sum::<R, I, K, 2>(sums, table, slots),
                        _ => self.sum::<R, I, K, 1>(sums, table, slots),
                    }
                }
                Instruction::MulAdd(out, a, b, c) => {
                    slots[out as usize] =
                        slots[a as usize].mul_add(slots[b as usize], slots[c as usize]);
                }
                Instruction::Mul(out, a, b) => {
                    slots[out as usize] = slots[a as usize] * slots[b as usize];
                }
                Instruction::Add(out, a, b) => {
                    slots[out as usize] = slots[a as usize] + slots[b as usize];
                }
                Instruction::Sub(out, a, b) => {
                    slots[out as usize] = slots[a as usize] - slots[b as usize];
                }
                Instruction::Unary(out, function, a) => {
                    slots[out as usize] = function.apply(slots[a as usize]);
                }
                Instruction::Powi(out, n, a) => {
                    slots[out as usize] = slots[a as usize].powi(n);
                }
                Instruction::Binary(out, function, a, b) => {
                    slots[out as usize] = function.apply(slots[a as usize], slots[b as usize]);
                }
                Instruction::Select(out, [a, b, c, d]) => {
                    slots[out as usize] = slots[a as usize].select(
                        slots[b as usize],
                        slots[c as usize],
                        slots[d as usize],
                    );
                }
            }
        }
    }
}

impl Program {
    /// `N` sums over the same slots.
    #[inline(always)]
    fn sum<R: Real, I: Isa, const K: usize, const N: usize>(
        &self,
        sums: &Sums,
        table: &[R],
        slots: &mut [Lanes<R, I, K>],
    ) {
        let terms = &self.terms[sums.terms.clone()];
        let (factors, _) = table[sums.factors..][..terms.len() * N].as_chunks::<N>();
        let mut products = terms.iter().zip(factors);
        let mut rows = [Lanes::<R, I, K>::from_f64(0.0); N];
        for (row, start) in rows.iter_mut().zip(sums.start) {
            match start {
                Start::Entry(entry) => *row = Lanes::constant(table[entry as usize]),
                Start::Slot(slot) => *row = slots[slot as usize],
                Start::Product => {}
            }
        }
        if let Start::Product = sums.start[0]
            && let Some((&slot, factors)) = products.next()
        {
            for row in 0..N {
                rows[row] = slots[slot as usize] * factors[row];
            }
        }
        for (&slot, factors) in products {
            let x = slots[slot as usize];
            for row in 0..N {
                rows[row] = x.mul_add(Lanes::constant(factors[row]), rows[row]);
            }
        }
        for row in 0..N {
            slots[sums.out[row] as usize] = rows[row];
        }
    }
}

/// Where the value of a node is.
#[derive(Clone, Copy, Debug)]
enum Value {
    Slot(Slot),
    Entry(u32),
}

/// A sum of products of entries of the table with factors that are not, in order.
#[derive(Debug, Default)]
struct Chain {
    /// What it is added to, if it is.
    start: Option<Id>,
    entries: Vec<Id>,
    factors: Vec<Id>,
}

struct Compiler<'g> {
    graph: &'g Graph,
    seed_slots: usize,
    /// How often each node is used; an output once more.
    uses: Vec<u32>,
    constants: Vec<f64>,
    terms: Vec<Slot>,
    sums: Vec<Sums>,
    factors: Vec<u32>,
    fixed: FxHashMap<u32, Slot>,
    values: Vec<Option<Value>>,
    free: Vec<Slot>,
    slots: usize,
}

impl<'g> Compiler<'g> {
    fn new(graph: &'g Graph, seed_slots: usize) -> Self {
        let mut uses = vec![0; graph.nodes.len()];
        for id in
            graph.nodes.iter().flat_map(|op| op.operands()).chain(graph.outputs.iter().copied())
        {
            uses[id as usize] += 1;
        }
        Self {
            graph,
            seed_slots,
            uses,
            constants: Vec::new(),
            terms: Vec::new(),
            sums: Vec::new(),
            factors: Vec::new(),
            fixed: FxHashMap::default(),
            values: vec![None; graph.nodes.len()],
            free: Vec::new(),
            slots: graph.leaves.state + graph.leaves.input + seed_slots,
        }
    }

    fn compile(mut self) -> Program {
        let graph = self.graph;
        let Leaves { state, input, params, seeds } = graph.leaves;
        for (id, &op) in graph.nodes.iter().enumerate() {
            self.values[id] = match op {
                Op::State(i) => Some(Value::Slot(i)),
                Op::Input(i) => Some(Value::Slot(state as u32 + i)),
                Op::Seed(i) if (i as usize) < self.seed_slots => {
                    Some(Value::Slot((state + input) as u32 + i))
                }
                Op::Seed(i) => Some(Value::Entry(params as u32 + i - self.seed_slots as u32)),
                Op::Param(i) => Some(Value::Entry(i)),
                Op::Constant(x) => {
                    self.constants.push(x);
                    let first = params + seeds.saturating_sub(self.seed_slots);
                    Some(Value::Entry((first + self.constants.len() - 1) as u32))
                }
                _ => None,
            };
        }
        let inside = self.inside_of_sums();
        let chains = self.chains(&inside);
        let mut code = Vec::new();
        for part in schedule::order(graph, self.parts(&chains, &inside)) {
            code.push(match chains[part[0] as usize] {
                Some(_) => self.summation(&part, &chains),
                None => self.instruction(part[0]),
            });
        }
        let outputs = graph.outputs.iter().map(|&output| self.slot(output)).collect();
        // Behind the entries proper.
        let first = params + seeds.saturating_sub(self.seed_slots) + self.constants.len();
        self.sums.iter_mut().for_each(|sums| sums.factors += first);
        Program {
            code,
            terms: self.terms,
            sums: self.sums,
            constants: self.constants,
            factors: self.factors,
            fixed: self.fixed.into_iter().map(|(entry, slot)| (slot, entry)).collect(),
            slots: self.slots,
            leaves: graph.leaves,
            seed_slots: self.seed_slots,
            outputs,
        }
    }

    /// What is done at a time: nodes, and the operands that they need. Sums over the same slots go together where none
    /// can be needed for another: those as far from the leaves.
    fn parts(&self, chains: &[Option<Chain>], inside: &[bool]) -> Vec<Part> {
        let graph = self.graph;
        let mut levels = vec![0u32; graph.nodes.len()];
        for (id, op) in graph.nodes.iter().enumerate() {
            levels[id] =
                op.operands().map(|operand| levels[operand as usize] + 1).max().unwrap_or(0);
        }
        let mut alike: FxHashMap<(&[Id], bool, u32), usize> = FxHashMap::default();
        let mut parts: Vec<Part> = Vec::new();
        for (id, op) in graph.nodes.iter().enumerate() {
            let leaf = op.operands().next().is_none();
            match &chains[id] {
                _ if leaf || inside[id] => {}
                Some(chain) => {
                    let key = (&chain.factors[..], chain.start.is_none(), levels[id]);
                    let place = *alike.entry(key).or_insert(parts.len());
                    let place = if parts.get(place).is_some_and(|part| part.nodes.len() < ROWS) {
                        place
                    } else {
                        alike.insert(key, parts.len());
                        parts.push(Part { nodes: Vec::new(), needs: chain.factors.clone() });
                        parts.len() - 1
                    };
                    parts[place].nodes.push(id as Id);
                    parts[place].needs.extend(chain.start);
                }
                None => {
                    parts.push(Part { nodes: vec![id as Id], needs: op.operands().collect() });
                }
            }
        }
        parts
    }

    /// Whether a node is the same in every lane and step.
    fn is_entry(&self, id: Id) -> bool {
        match self.graph.nodes[id as usize] {
            Op::Param(_) | Op::Constant(_) => true,
            Op::Seed(i) => i as usize >= self.seed_slots,
            _ => false,
        }
    }

    /// The entry and the other factor of a product that a sum can take.
    fn product(&self, op: Op) -> Option<(Id, Id)> {
        let (Op::MulAdd(a, b, _) | Op::Binary(Binary::Mul, a, b)) = op else { return None };
        match (self.is_entry(a), self.is_entry(b)) {
            (true, false) => Some((a, b)),
            (false, true) => Some((b, a)),
            _ => None,
        }
    }

    /// Nodes whose value is needed inside of a sum only, as its next addend.
    fn inside_of_sums(&self) -> Vec<bool> {
        let mut inside = vec![false; self.graph.nodes.len()];
        for &op in &self.graph.nodes {
            if let Op::MulAdd(_, _, c) = op
                && self.product(op).is_some()
                && self.uses[c as usize] == 1
                && self.product(self.graph.nodes[c as usize]).is_some()
            {
                inside[c as usize] = true;
            }
        }
        inside
    }

    /// For each node that ends a sum of products, that sum.
    fn chains(&self, inside: &[bool]) -> Vec<Option<Chain>> {
        let chain = |id: usize| {
            let mut at = id;
            let mut chain = Chain::default();
            loop {
                let op = self.graph.nodes[at];
                let (entry, factor) = self.product(op)?;
                chain.entries.push(entry);
                chain.factors.push(factor);
                match op {
                    Op::MulAdd(_, _, c) if inside[c as usize] => at = c as usize,
                    Op::MulAdd(_, _, c) => {
                        chain.start = Some(c);
                        break;
                    }
                    _ => break,
                }
            }
            chain.entries.reverse();
            chain.factors.reverse();
            Some(chain)
        };
        (0..inside.len()).map(|id| if inside[id] { None } else { chain(id) }).collect()
    }

    fn instruction(&mut self, id: Id) -> Instruction {
        let op = self.graph.nodes[id as usize];
        let operands: Vec<Slot> = op.operands().map(|operand| self.slot(operand)).collect();
        for operand in op.operands() {
            self.used(operand);
        }
        let out = self.place(id);
        match (op, &operands[..]) {
            (Op::Unary(function, _), &[a]) => Instruction::Unary(out, function, a),
            (Op::Powi(_, n), &[a]) => Instruction::Powi(out, n, a),
            (Op::Binary(Binary::Add, ..), &[a, b]) => Instruction::Add(out, a, b),
            (Op::Binary(Binary::Sub, ..), &[a, b]) => Instruction::Sub(out, a, b),
            (Op::Binary(Binary::Mul, ..), &[a, b]) => Instruction::Mul(out, a, b),
            (Op::Binary(function, ..), &[a, b]) => Instruction::Binary(out, function, a, b),
            (Op::MulAdd(..), &[a, b, c]) => Instruction::MulAdd(out, a, b, c),
            (_, operands) => {
                // What is left is a selection; leaves have no instruction.
                let mut four = [0; 4];
                four[..operands.len()].copy_from_slice(operands);
                Instruction::Select(out, four)
            }
        }
    }

    /// The sums that end in `rows`, over the same factors.
    fn summation(&mut self, rows: &[Id], chains: &[Option<Chain>]) -> Instruction {
        let chains: Vec<&Chain> =
            rows.iter().filter_map(|&row| chains[row as usize].as_ref()).collect();
        let starts: Vec<Start> = chains
            .iter()
            .map(|chain| match chain.start {
                None => Start::Product,
                Some(c) if self.is_entry(c) => Start::Entry(self.entry(c)),
                Some(c) => Start::Slot(self.slot(c)),
            })
            .collect();
        let factors: Vec<Slot> =
            chains[0].factors.iter().map(|&factor| self.slot(factor)).collect();
        let entries: Vec<Vec<u32>> = chains
            .iter()
            .map(|chain| chain.entries.iter().map(|&entry| self.entry(entry)).collect())
            .collect();
        for chain in &chains {
            for &operand in chain.entries.iter().chain(&chain.factors).chain(&chain.start) {
                self.used(operand);
            }
        }
        let mut sums = Sums {
            rows: rows.len(),
            out: [0; ROWS],
            start: [Start::Product; ROWS],
            terms: self.terms.len()..self.terms.len() + factors.len(),
            factors: self.factors.len(),
        };
        sums.start[..rows.len()].copy_from_slice(&starts);
        for (out, &row) in sums.out.iter_mut().zip(rows) {
            *out = self.place(row);
        }
        self.terms.extend(&factors);
        for term in 0..factors.len() {
            self.factors.extend(entries.iter().map(|entries| entries[term]));
        }
        self.sums.push(sums);
        Instruction::Sums(self.sums.len() as u32 - 1)
    }

    /// The entry of a node that is one.
    fn entry(&self, id: Id) -> u32 {
        match self.values[id as usize] {
            Some(Value::Entry(entry)) => entry,
            _ => 0,
        }
    }

    /// The slot that has a node's value; one that keeps it for an entry of the table.
    fn slot(&mut self, id: Id) -> Slot {
        match self.values[id as usize] {
            Some(Value::Slot(slot)) => slot,
            Some(Value::Entry(entry)) => *self.fixed.entry(entry).or_insert_with(|| {
                self.slots += 1;
                self.slots as Slot - 1
            }),
            None => 0,
        }
    }

    /// Counts a use of an operation's result, whose slot is free after the last one.
    fn used(&mut self, id: Id) {
        let uses = &mut self.uses[id as usize];
        *uses -= 1;
        let leaf = self.graph.nodes[id as usize].operands().next().is_none();
        if *uses == 0
            && !leaf
            && let Some(Value::Slot(slot)) = self.values[id as usize]
        {
            self.free.push(slot);
        }
    }

    /// A slot for the result of `id`.
    fn place(&mut self, id: Id) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots as Slot - 1
        });
        self.values[id as usize] = Some(Value::Slot(slot));
        slot
    }
}
