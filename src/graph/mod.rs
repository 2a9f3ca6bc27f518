//! The expression graph of a step.
//!
//! Running the generic [`step`](crate::Dynamics::step) once on the tracing scalar [`Expr`](crate::scalar::Expr)
//! records what it does as a graph of [`Op`]s over the leaves state, input, parameter and constant. From the graph
//! follow the sparsity of the Jacobian, the forward and the reverse derivative (as graphs again), and programs
//! that run it on SIMD lanes or elsewhere, without the step being compiled again.
//!
//! A graph holds every expression once; operands come before what uses them; nothing that is not
//! used is kept. Arithmetic on constants is done while recording, with the rounding of the step's precision.
//!
//! # Example
//! ```
//! use deer_solver::{cells::Elman, graph::Graph};
//!
//! let graph = Graph::trace(&Elman::<f64>::random(1, 2, 0))?;
//! assert_eq!(graph.outputs().len(), 2);
//! assert_eq!(graph.sparsity(), vec![vec![0, 1], vec![0, 1]]); // both states depend on both
//! println!("{graph}");
//! # Ok::<(), deer_solver::Error>(())
//! ```

#[doc(hidden)]
pub mod adjoint;
mod builder;
mod derivative;
mod implicit;
#[cfg(feature = "cuda")]
pub(crate) mod parts;
#[doc(hidden)]
pub mod program;
mod schedule;
mod structure;
#[doc(hidden)]
pub mod tangent;
mod trace;

#[cfg(test)]
mod tests;

pub(crate) use builder::{Builder, record};
#[cfg(feature = "cuda")]
#[doc(hidden)]
pub use implicit::Equation;
pub(crate) use structure::structure_of;

use crate::scalar::Scalar;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that no other graph has: backends know by it what they have made of one.
pub(crate) fn identity() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A node of a [`Graph`], by its place.
pub type Id = u32;

/// One node: a leaf, or an operation on nodes before it.
///
/// Semantics are those of the methods of [`Scalar`] of the same name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// Component of the state `x`.
    State(u32),
    /// Component of the input `u`.
    Input(u32),
    /// Entry of the parameters θ.
    Param(u32),
    /// Entry of what a derivative is applied to: see [`Graph::reverse`] and [`Graph::forward`].
    Seed(u32),
    /// A number.
    Constant(f64),
    /// A function of one node.
    Unary(Unary, Id),
    /// A function of two nodes.
    Binary(Binary, Id, Id),
    /// `a · b + c`, fused where the machine has it.
    MulAdd(Id, Id, Id),
    /// `xⁿ`.
    Powi(Id, i32),
    /// `[left, right, yes, no]`: `yes` where `left < right`, else `no`.
    Select([Id; 4]),
}

/// Functions of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named as the methods of `Scalar`")]
pub enum Unary {
    Neg,
    Exp,
    ExpM1,
    Ln,
    Ln1p,
    Sqrt,
    Cbrt,
    Sin,
    Cos,
    Tan,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Sigmoid,
    Softplus,
    Relu,
    Abs,
    Sign,
    Recip,
    /// The number itself, held: its derivative is 0.
    Hold,
}

/// Functions of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named as the methods of `Scalar`")]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Powf,
    Atan2,
    Hypot,
    Max,
    Min,
}

impl Unary {
    /// The function of `x`.
    #[inline(always)]
    pub fn apply<S: Scalar>(self, x: S) -> S {
        match self {
            Unary::Neg => -x,
            Unary::Exp => x.exp(),
            Unary::ExpM1 => x.exp_m1(),
            Unary::Ln => x.ln(),
            Unary::Ln1p => x.ln_1p(),
            Unary::Sqrt => x.sqrt(),
            Unary::Cbrt => x.cbrt(),
            Unary::Sin => x.sin(),
            Unary::Cos => x.cos(),
            Unary::Tan => x.tan(),
            Unary::Atan => x.atan(),
            Unary::Sinh => x.sinh(),
            Unary::Cosh => x.cosh(),
            Unary::Tanh => x.tanh(),
            Unary::Sigmoid => x.sigmoid(),
            Unary::Softplus => x.softplus(),
            Unary::Relu => x.relu(),
            Unary::Abs => x.abs(),
            Unary::Sign => x.sign(),
            Unary::Recip => x.recip(),
            Unary::Hold => x,
        }
    }
}

impl Binary {
    /// The function of `x` and `y`.
    #[inline(always)]
    pub fn apply<S: Scalar>(self, x: S, y: S) -> S {
        match self {
            Binary::Add => x + y,
            Binary::Sub => x - y,
            Binary::Mul => x * y,
            Binary::Div => x / y,
            Binary::Powf => x.powf(y),
            Binary::Atan2 => x.atan2(y),
            Binary::Hypot => x.hypot(y),
            Binary::Max => x.max(y),
            Binary::Min => x.min(y),
        }
    }
}

impl Op {
    /// The nodes that it uses, in order.
    pub fn operands(&self) -> impl Iterator<Item = Id> {
        let (all, count) = match *self {
            Op::State(_) | Op::Input(_) | Op::Param(_) | Op::Seed(_) | Op::Constant(_) => {
                ([0; 4], 0)
            }
            Op::Unary(_, a) | Op::Powi(a, _) => ([a, 0, 0, 0], 1),
            Op::Binary(_, a, b) => ([a, b, 0, 0], 2),
            Op::MulAdd(a, b, c) => ([a, b, c, 0], 3),
            Op::Select(operands) => (operands, 4),
        };
        all.into_iter().take(count)
    }

    /// The same operation on other nodes.
    fn map(self, mut f: impl FnMut(Id) -> Id) -> Self {
        match self {
            Op::State(_) | Op::Input(_) | Op::Param(_) | Op::Seed(_) | Op::Constant(_) => self,
            Op::Unary(function, a) => Op::Unary(function, f(a)),
            Op::Powi(a, n) => Op::Powi(f(a), n),
            Op::Binary(function, a, b) => Op::Binary(function, f(a), f(b)),
            Op::MulAdd(a, b, c) => Op::MulAdd(f(a), f(b), f(c)),
            Op::Select(operands) => Op::Select(operands.map(f)),
        }
    }

    /// Its value, if it is no leaf, where those of its operands are `value` of their place among them.
    fn apply<S: Scalar>(self, value: impl Fn(usize) -> S) -> Option<S> {
        Some(match self {
            Op::State(_) | Op::Input(_) | Op::Param(_) | Op::Seed(_) | Op::Constant(_) => {
                return None;
            }
            Op::Unary(function, _) => function.apply(value(0)),
            Op::Powi(_, n) => value(0).powi(n),
            Op::Binary(function, ..) => function.apply(value(0), value(1)),
            Op::MulAdd(..) => value(0).mul_add(value(1), value(2)),
            Op::Select(_) => value(0).select(value(1), value(2), value(3)),
        })
    }
}

/// How many leaves of each kind there can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leaves {
    /// Components of the state, `n`.
    pub state: usize,
    /// Components of the input, `m`.
    pub input: usize,
    /// Entries of θ.
    pub params: usize,
    /// Entries of what a derivative is applied to.
    pub seeds: usize,
}

/// The expressions of a step, or of its derivative.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    nodes: Vec<Op>,
    outputs: Vec<Id>,
    leaves: Leaves,
    /// Whether constants are rounded to single precision.
    single: bool,
}

impl Graph {
    /// The nodes, operands before what uses them.
    pub fn nodes(&self) -> &[Op] {
        &self.nodes
    }

    /// The nodes that are the results.
    pub fn outputs(&self) -> &[Id] {
        &self.outputs
    }

    /// How many leaves of each kind there can be.
    pub fn leaves(&self) -> Leaves {
        self.leaves
    }

    /// For each output those components of the state that it depends on, ascending: the nonzeros of `∂f/∂x`.
    pub fn sparsity(&self) -> Vec<Vec<usize>> {
        structure::dependence(self, |op| match op {
            Op::State(i) => Some(i as usize),
            _ => None,
        })
    }

    /// The entries of θ that the outputs depend on, ascending.
    pub fn params_used(&self) -> Vec<usize> {
        let mut used: Vec<usize> = self
            .nodes
            .iter()
            .filter_map(|op| match op {
                Op::Param(k) => Some(*k as usize),
                _ => None,
            })
            .collect();
        used.sort_unstable();
        used
    }

    /// Without what no output depends on.
    fn pruned(&self) -> Self {
        let mut used = vec![false; self.nodes.len()];
        for &output in &self.outputs {
            used[output as usize] = true;
        }
        for id in (0..self.nodes.len()).rev() {
            if used[id] {
                for operand in self.nodes[id].operands() {
                    used[operand as usize] = true;
                }
            }
        }
        let mut place = vec![0; self.nodes.len()];
        let mut nodes = Vec::new();
        for (id, op) in self.nodes.iter().enumerate() {
            if used[id] {
                place[id] = nodes.len() as Id;
                nodes.push(op.map(|operand| place[operand as usize]));
            }
        }
        let outputs = self.outputs.iter().map(|&output| place[output as usize]).collect();
        Self { nodes, outputs, ..*self }
    }

    /// The outputs' values, in plain arithmetic.
    #[cfg(test)]
    fn evaluate<S: Scalar>(&self, state: &[S], input: &[S], params: &[S], seeds: &[S]) -> Vec<S> {
        let mut values: Vec<S> = Vec::with_capacity(self.nodes.len());
        for op in &self.nodes {
            let operands: Vec<Id> = op.operands().collect();
            let value = match *op {
                Op::State(i) => state[i as usize],
                Op::Input(i) => input[i as usize],
                Op::Param(i) => params[i as usize],
                Op::Seed(i) => seeds[i as usize],
                Op::Constant(x) => S::from_f64(x),
                _ => op.apply(|k| values[operands[k] as usize]).unwrap(),
            };
            values.push(value);
        }
        self.outputs.iter().map(|&output| values[output as usize]).collect()
    }
}

impl fmt::Display for Graph {
    /// One line for each node: `%3 = Tanh %2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, op) in self.nodes.iter().enumerate() {
            write!(f, "%{id} = ")?;
            match op {
                Op::State(i) => write!(f, "x[{i}]")?,
                Op::Input(i) => write!(f, "u[{i}]")?,
                Op::Param(i) => write!(f, "θ[{i}]")?,
                Op::Seed(i) => write!(f, "seed[{i}]")?,
                Op::Constant(x) => write!(f, "{x:?}")?,
                Op::Unary(function, _) => write!(f, "{function:?}")?,
                Op::Powi(_, n) => write!(f, "Powi {n}")?,
                Op::Binary(function, ..) => write!(f, "{function:?}")?,
                Op::MulAdd(..) => write!(f, "MulAdd")?,
                Op::Select(_) => write!(f, "Select")?,
            }
            for operand in op.operands() {
                write!(f, " %{operand}")?;
            }
            writeln!(f)?;
        }
        write!(f, "return")?;
        for output in &self.outputs {
            write!(f, " %{output}")?;
        }
        Ok(())
    }
}
