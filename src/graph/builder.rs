//! Recording nodes, each expression once.

use super::{Binary, Graph, Id, Leaves, Op, Unary};
use rustc_hash::FxHashMap;
use std::cell::RefCell;

/// A graph under construction.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    nodes: Vec<Op>,
    places: FxHashMap<Key, Id>,
    /// Whether numbers are rounded to single precision.
    single: bool,
    /// Whether products with zero are zero and sums with zero are the other term: so for derivatives, whose zeros say
    /// that there is no dependence, and not for values, in which 0 · ∞ is NaN.
    structural_zeros: bool,
    /// What went wrong, if something did.
    fault: Option<&'static str>,
}

/// A node, comparable: the sign of zero and NaN count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key(u64, u64, u64);

impl Key {
    fn of(op: Op) -> Self {
        let pair = |a: u32, b: u32| u64::from(a) << 32 | u64::from(b);
        match op {
            Op::State(i) => Key(0, pair(0, i), 0),
            Op::Input(i) => Key(0, pair(1, i), 0),
            Op::Param(i) => Key(0, pair(2, i), 0),
            Op::Seed(i) => Key(0, pair(3, i), 0),
            Op::Constant(x) => Key(1, x.to_bits(), 0),
            Op::Unary(function, a) => Key(2, pair(function as u32, a), 0),
            Op::Powi(a, n) => Key(3, pair(a, n.cast_unsigned()), 0),
            Op::Binary(function, a, b) => Key(4, pair(a, b), function as u64),
            Op::MulAdd(a, b, c) => Key(5, pair(a, b), u64::from(c)),
            Op::Select([a, b, c, d]) => Key(6, pair(a, b), pair(c, d)),
        }
    }
}

impl Builder {
    pub(crate) fn new(single: bool) -> Self {
        Self { single, ..Self::default() }
    }

    /// For the derivative of `graph`, whose nodes keep their places.
    pub(super) fn extending(graph: &Graph) -> Self {
        let nodes = graph.nodes.clone();
        let places = nodes.iter().enumerate().map(|(id, &op)| (Key::of(op), id as Id)).collect();
        Self { nodes, places, single: graph.single, structural_zeros: true, fault: None }
    }

    /// The node of an operation: an old one where the value is known already.
    pub(crate) fn push(&mut self, op: Op) -> Id {
        let op = match self.simplified(op) {
            Ok(op) => op,
            Err(known) => return known,
        };
        let next = self.nodes.len() as Id;
        *self.places.entry(Key::of(op)).or_insert_with(|| {
            self.nodes.push(op);
            next
        })
    }

    pub(super) fn op(&self, id: Id) -> Op {
        self.nodes[id as usize]
    }

    /// Marks the recording as unusable.
    pub(crate) fn fail(&mut self, fault: &'static str) {
        self.fault.get_or_insert(fault);
    }

    pub(super) fn finish(self, outputs: Vec<Id>, leaves: Leaves) -> Result<Graph, &'static str> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(Graph { nodes: self.nodes, outputs, leaves, single: self.single }.pruned()),
        }
    }

    fn constant(&self, id: Id) -> Option<f64> {
        match self.op(id) {
            Op::Constant(x) => Some(x),
            _ => None,
        }
    }

    /// A simpler operation of the same value, or the node that has it.
    fn simplified(&mut self, op: Op) -> Result<Op, Id> {
        if let Op::Constant(x) = op {
            return Ok(Op::Constant(if self.single { f64::from(x as f32) } else { x }));
        }
        let mut operands = [None; 4];
        let mut known = true;
        for (operand, id) in operands.iter_mut().zip(op.operands()) {
            *operand = self.constant(id);
            known &= operand.is_some();
        }
        if known && let Some(known) = op.apply(|k| operands[k].unwrap_or(f64::NAN)) {
            return self.simplified(Op::Constant(known));
        }
        let is = |k: usize, x: f64| operands[k].is_some_and(|known| known.to_bits() == x.to_bits());
        let is_zero = |k: usize| self.structural_zeros && operands[k] == Some(0.0);
        match op {
            Op::Unary(Unary::Neg, a) => match self.op(a) {
                Op::Unary(Unary::Neg, inner) => Err(inner),
                _ => Ok(op),
            },
            Op::Binary(Binary::Add, _, b) if is_zero(0) => Err(b),
            Op::Binary(Binary::Add | Binary::Sub, a, _) if is_zero(1) => Err(a),
            Op::Binary(Binary::Sub, _, b) if is_zero(0) => {
                self.simplified(Op::Unary(Unary::Neg, b))
            }
            Op::Binary(Binary::Mul, a, b) => {
                if is_zero(0) || is_zero(1) {
                    self.simplified(Op::Constant(0.0))
                } else if is(0, 1.0) {
                    Err(b)
                } else if is(1, 1.0) {
                    Err(a)
                } else if is(0, -1.0) {
                    self.simplified(Op::Unary(Unary::Neg, b))
                } else if is(1, -1.0) {
                    self.simplified(Op::Unary(Unary::Neg, a))
                } else {
                    Ok(Op::Binary(Binary::Mul, a.min(b), a.max(b)))
                }
            }
            Op::Binary(Binary::Add, a, b) => Ok(Op::Binary(Binary::Add, a.min(b), a.max(b))),
            Op::Binary(Binary::Div, ..) if is_zero(0) => self.simplified(Op::Constant(0.0)),
            Op::Binary(Binary::Div, a, _) if is(1, 1.0) => Err(a),
            Op::MulAdd(_, _, c) if is_zero(0) || is_zero(1) => Err(c),
            Op::MulAdd(a, b, _) if is_zero(2) => self.simplified(Op::Binary(Binary::Mul, a, b)),
            Op::MulAdd(_, b, c) if is(0, 1.0) => self.simplified(Op::Binary(Binary::Add, b, c)),
            Op::MulAdd(a, _, c) if is(1, 1.0) => self.simplified(Op::Binary(Binary::Add, a, c)),
            Op::MulAdd(a, b, c) => Ok(Op::MulAdd(a.min(b), a.max(b), c)),
            Op::Select([_, _, yes, no]) if yes == no => Err(yes),
            Op::Select([left, _, yes, no]) => match (operands[0], operands[1]) {
                (Some(left), Some(right)) => Err(if left < right { yes } else { no }),
                // A magnitude is not below zero.
                (None, Some(0.0)) if matches!(self.op(left), Op::Unary(Unary::Abs, _)) => Err(no),
                _ => Ok(op),
            },
            _ => Ok(op),
        }
    }
}

thread_local! {
    /// The recording under way on this thread, with its number.
    static RECORDING: RefCell<(u32, Option<Builder>)> = const { RefCell::new((0, None)) };
}

/// Runs `work` while expressions of this thread are recorded by `builder`; returns the builder with what `work` did.
/// The recording has a number of its own.
pub(super) fn recording<T>(builder: Builder, work: impl FnOnce() -> T) -> (Builder, T) {
    /// Puts the outer recording back, also when a step panics.
    struct Outer(Option<Builder>, u32);
    impl Drop for Outer {
        fn drop(&mut self) {
            RECORDING.with_borrow_mut(|all| *all = (self.1, self.0.take()));
        }
    }
    let mut outer = RECORDING.with_borrow_mut(|(number, current)| {
        let outer = Outer(current.replace(builder), *number);
        // Numbers are not used again on this thread, so that expressions of another recording are known.
        *number = NUMBERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        outer
    });
    let result = work();
    let builder = RECORDING.with_borrow_mut(|(_, current)| current.take()).unwrap_or_default();
    let restored = Outer(outer.0.take(), outer.1);
    std::mem::forget(outer);
    drop(restored);
    (builder, result)
}

static NUMBERS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);

/// Does `work` with the recording of this thread and its number. None where nothing is recorded.
pub(crate) fn record<T>(work: impl FnOnce(&mut Builder, u32) -> T) -> Option<T> {
    RECORDING.with_borrow_mut(|(number, builder)| builder.as_mut().map(|b| work(b, *number)))
}
