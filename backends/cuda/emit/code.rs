//! Straight-line PTX of a graph.
//!
//! Every node has a register of its own; the driver's compiler assigns the machine's. Products and sums are
//! rounded one by one as the graph says, and fused only where it has a [`Op::MulAdd`].

use super::functions::{call, named};
use super::groups::{Bases, Groups, Place, Theta};
use crate::graph::{Binary, Graph, Id, Op, Unary};
use std::fmt::Write;

/// `f32` or `f64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::backends::cuda) enum Precision {
    Single,
    Double,
}

impl Precision {
    /// The type's name in PTX.
    pub(super) fn name(self) -> &'static str {
        match self {
            Precision::Single => "f32",
            Precision::Double => "f64",
        }
    }
    /// The type of as many bits.
    pub(super) fn bits(self) -> &'static str {
        match self {
            Precision::Single => "b32",
            Precision::Double => "b64",
        }
    }
    /// Bytes of a number.
    pub(in crate::backends::cuda) fn bytes(self) -> usize {
        match self {
            Precision::Single => 4,
            Precision::Double => 8,
        }
    }
    /// A constant.
    pub(super) fn literal(self, x: f64) -> String {
        match self {
            Precision::Single => format!("0f{:08X}", (x as f32).to_bits()),
            Precision::Double => format!("0d{:016X}", x.to_bits()),
        }
    }
    /// The largest finite number.
    pub(super) fn largest(self) -> String {
        self.literal(match self {
            Precision::Single => f64::from(f32::MAX),
            Precision::Double => f64::MAX,
        })
    }
}

/// Where the values of a graph's leaves are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaves<'t> {
    /// Registers `{state}{i}` hold the state.
    pub(super) state: &'t str,
    pub(super) seeds: Seeds<'t>,
    /// A register with the address of the inputs.
    pub(super) inputs: &'t str,
    /// Whether the inputs are in registers `%u…`.
    pub(super) loaded: bool,
    /// Inputs after which there are unknowns, in registers `%z…`, if there are any.
    pub(super) unknowns: Option<usize>,
    /// Where they are there, and where θ is.
    pub(super) groups: &'t Groups,
}

/// Where seeds are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seeds<'t> {
    /// Registers `{name}{column · n + i}`: those of the outputs or of the state.
    Columns(&'t str),
    /// Those of the state in registers `{state}{i}`, those of the inputs where the register `inputs` points to, those
    /// of θ where [`Groups::source`] says.
    All { state: &'t str, inputs: &'t str },
}

/// The text of a graph, and the operands that hold its outputs: those that depend on seeds once for each column.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) text: String,
    /// `outputs[k]` is one operand, or one for each column.
    pub(super) outputs: Vec<Vec<String>>,
}

/// The text of `graph` with `columns` sets of seeds. Registers are declared in the text, so it needs a scope of its own.
pub(super) fn code(
    graph: &Graph,
    precision: Precision,
    columns: usize,
    leaves: Leaves<'_>,
) -> Code {
    let groups = leaves.groups;
    let mut writer = Writer {
        precision,
        theta: groups.source(false),
        bases: Bases::new("%cb"),
        body: String::new(),
        registers: 0,
        predicates: 0,
    };
    let nodes = graph.nodes();
    let n = graph.leaves().state;
    let seeded = depend_on_seeds(graph);
    // The operands of each node's value: one, or one for each column.
    let mut values: Vec<Vec<String>> = Vec::with_capacity(nodes.len());
    for (id, op) in nodes.iter().enumerate() {
        let copies = if seeded[id] { columns } else { 1 };
        let value = (0..copies).map(|column| {
            let operand = |id: Id| {
                let copies = &values[id as usize];
                copies[column.min(copies.len() - 1)].as_str()
            };
            match *op {
                Op::State(i) => format!("{}{i}", leaves.state),
                Op::Seed(i) => match leaves.seeds {
                    Seeds::Columns(name) => format!("{name}{}", column * n + i as usize),
                    Seeds::All { state, inputs } => {
                        let (i, m) = (i as usize, graph.leaves().input);
                        if i < n {
                            format!("{state}{i}")
                        } else if i < n + m {
                            writer.load(inputs, groups.inputs[i - n])
                        } else {
                            let at = groups.thetas[i - n - m];
                            let (space, array) = groups.source(true);
                            writer.load_from(space, array, at)
                        }
                    }
                },
                Op::Constant(x) => precision.literal(x),
                Op::Input(i) => match leaves.unknowns.and_then(|m| (i as usize).checked_sub(m)) {
                    Some(unknown) => format!("%z{unknown}"),
                    None if leaves.loaded => format!("%u{i}"),
                    None => writer.load(leaves.inputs, groups.inputs[i as usize]),
                },
                Op::Param(k) if groups.theta == Theta::Registers => format!("%th{k}"),
                // Loaded where it is used: of constant memory it is an operand like another.
                Op::Param(k) => {
                    let (_, array) = writer.theta;
                    let at = writer.bases.at(&mut writer.body, array, groups.thetas[k as usize]);
                    format!("[{at}]")
                }
                _ => {
                    let operands: Vec<String> =
                        op.operands().map(|id| writer.loaded(operand(id))).collect();
                    writer.operation(*op, &operands)
                }
            }
        });
        let value = value.collect();
        values.push(value);
    }
    let mut outputs = Vec::with_capacity(graph.outputs().len());
    for &output in graph.outputs() {
        let operands = &values[output as usize];
        outputs.push(operands.iter().map(|operand| writer.loaded(operand)).collect());
    }
    Code { text: writer.finish(), outputs }
}

/// For each node whether it depends on a seed.
fn depend_on_seeds(graph: &Graph) -> Vec<bool> {
    let mut seeded: Vec<bool> = Vec::with_capacity(graph.nodes().len());
    for op in graph.nodes() {
        let depends =
            matches!(op, Op::Seed(_)) || op.operands().any(|operand| seeded[operand as usize]);
        seeded.push(depends);
    }
    seeded
}

struct Writer {
    precision: Precision,
    /// The state space of θ, and the name of the array.
    theta: (&'static str, &'static str),
    bases: Bases,
    body: String,
    registers: usize,
    predicates: usize,
}

impl Writer {
    fn finish(self) -> String {
        let mut text = String::new();
        if self.registers > 0 {
            let _ = writeln!(text, ".reg .{} %t<{}>;", self.precision.name(), self.registers);
        }
        if self.predicates > 0 {
            let _ = writeln!(text, ".reg .pred %q<{}>;", self.predicates);
        }
        text + &self.body
    }

    fn register(&mut self) -> String {
        self.registers += 1;
        format!("%t{}", self.registers - 1)
    }

    fn predicate(&mut self) -> String {
        self.predicates += 1;
        format!("%q{}", self.predicates - 1)
    }

    fn line(&mut self, line: impl AsRef<str>) {
        self.body.push_str(line.as_ref());
        self.body.push('\n');
    }

    /// A number that does not change while the kernel runs, from the array at `root`.
    fn load(&mut self, root: &str, place: Place) -> String {
        self.load_from("global.nc", root, place)
    }

    fn load_from(&mut self, space: &str, root: &str, place: Place) -> String {
        let register = self.register();
        let at = self.bases.at(&mut self.body, root, place);
        self.line(format!("ld.{space}.{} {register}, [{at}];", self.precision.name()));
        register
    }

    /// The operand, or the register that an entry of θ was loaded into.
    fn loaded(&mut self, operand: &str) -> String {
        if !operand.starts_with('[') {
            return operand.to_owned();
        }
        let register = self.register();
        let (space, _) = self.theta;
        self.line(format!("ld.{space}.{} {register}, {operand};", self.precision.name()));
        register
    }

    /// `instruction.type result, operands…`
    fn simple(&mut self, instruction: &str, operands: &[String]) -> String {
        let result = self.register();
        let kind = self.precision.name();
        self.line(format!("{instruction}.{kind} {result}, {};", operands.join(", ")));
        result
    }

    /// A number in a register, as functions want it.
    fn in_register(&mut self, operand: &str) -> String {
        if operand.starts_with('%') {
            operand.to_owned()
        } else {
            self.simple("mov", &[operand.to_owned()])
        }
    }

    fn function(&mut self, name: &'static str, operands: &[String]) -> String {
        let operands: Vec<String> =
            operands.iter().map(|operand| self.in_register(operand)).collect();
        let result = self.register();
        let text = call(named(name, self.precision), &operands, &result);
        self.body.push_str(&text);
        result
    }

    /// `yes` where `left < right`, else `no`: also where one is NaN.
    fn select(&mut self, left: &str, right: &str, yes: &str, no: &str) -> String {
        let less = self.predicate();
        let kind = self.precision.name();
        self.line(format!("setp.lt.{kind} {less}, {left}, {right};"));
        self.simple("selp", &[yes.to_owned(), no.to_owned(), less])
    }

    fn operation(&mut self, op: Op, operands: &[String]) -> String {
        match op {
            Op::Unary(function, _) => self.unary(function, operands),
            Op::Binary(function, ..) => self.binary(function, operands),
            Op::MulAdd(..) => self.simple("fma.rn", operands),
            Op::Powi(_, n) => self.power(&operands[0], n),
            Op::Select(_) => self.select(&operands[0], &operands[1], &operands[2], &operands[3]),
            // Leaves have no operands and do not come here.
            Op::State(_) | Op::Input(_) | Op::Param(_) | Op::Seed(_) | Op::Constant(_) => {
                String::new()
            }
        }
    }

    fn unary(&mut self, function: Unary, operands: &[String]) -> String {
        let x = operands[0].as_str();
        let zero = self.precision.literal(0.0);
        match function {
            Unary::Neg => self.simple("neg", operands),
            Unary::Abs => self.simple("abs", operands),
            Unary::Sqrt => self.simple("sqrt.rn", operands),
            Unary::Recip => self.simple("rcp.rn", operands),
            Unary::Hold => self.simple("mov", operands),
            // Not `max`, which loses a NaN.
            Unary::Relu => self.select(x, &zero, &zero, x),
            Unary::Sign => {
                let (one, minus) = (self.precision.literal(1.0), self.precision.literal(-1.0));
                // Zero and NaN are left as they are.
                let negative = self.select(x, &zero, &minus, x);
                self.select(&zero, x, &one, &negative)
            }
            Unary::Exp => self.function("exp", operands),
            Unary::ExpM1 => self.function("expm1", operands),
            Unary::Ln => self.function("log", operands),
            Unary::Ln1p => self.function("log1p", operands),
            Unary::Cbrt => self.function("cbrt", operands),
            Unary::Sin => self.function("sin", operands),
            Unary::Cos => self.function("cos", operands),
            Unary::Tan => self.function("tan", operands),
            Unary::Atan => self.function("atan", operands),
            Unary::Sinh => self.function("sinh", operands),
            Unary::Cosh => self.function("cosh", operands),
            Unary::Tanh => self.function("tanh", operands),
            Unary::Sigmoid => self.function("sigmoid", operands),
            Unary::Softplus => self.function("softplus", operands),
        }
    }

    fn binary(&mut self, function: Binary, operands: &[String]) -> String {
        match function {
            // With the rounding named, the driver's compiler does not fuse them.
            Binary::Add => self.simple("add.rn", operands),
            Binary::Sub => self.simple("sub.rn", operands),
            Binary::Mul => self.simple("mul.rn", operands),
            Binary::Div => self.simple("div.rn", operands),
            Binary::Max => self.simple("max", operands),
            Binary::Min => self.simple("min", operands),
            Binary::Powf => self.function("pow", operands),
            Binary::Atan2 => self.function("atan2", operands),
            Binary::Hypot => self.function("hypot", operands),
        }
    }

    /// By squares, as on the CPU.
    fn power(&mut self, x: &str, n: i32) -> String {
        let mut bits = n.unsigned_abs();
        let mut square = x.to_owned();
        let mut power: Option<String> = None;
        while bits > 0 {
            if bits & 1 == 1 {
                power = Some(match power {
                    Some(power) => self.simple("mul.rn", &[power, square.clone()]),
                    None => square.clone(),
                });
            }
            bits >>= 1;
            if bits > 0 {
                square = self.simple("mul.rn", &[square.clone(), square]);
            }
        }
        match power {
            None => self.precision.literal(1.0),
            Some(power) if n < 0 => self.simple("rcp.rn", &[power]),
            Some(power) => power,
        }
    }
}
