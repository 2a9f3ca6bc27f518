//! PTX text and its tree.

mod declarations;
mod lexer;
pub(crate) mod parser;
pub(crate) mod types;

pub(crate) use parser::parse;
pub(crate) use types::Type;

/// Why the text cannot be loaded, with the line as the driver's compiler would say it.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) line: u32,
    pub(crate) reason: String,
    /// The text is of a later version than the driver's.
    pub(crate) too_new: bool,
}

impl Refusal {
    pub(crate) fn at(line: u32, reason: impl Into<String>) -> Self {
        Self { line, reason: reason.into(), too_new: false }
    }
}

/// A whole text.
#[derive(Debug)]
pub(crate) struct Module {
    /// 70 for 7.0.
    pub(crate) version: u32,
    /// 70 for `sm_70`.
    pub(crate) architecture: u32,
    pub(crate) variables: Vec<Variable>,
    pub(crate) functions: Vec<Function>,
}

/// A `.entry` or `.func`. One without a body is only declared.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) is_entry: bool,
    pub(crate) line: u32,
    pub(crate) results: Vec<Variable>,
    pub(crate) parameters: Vec<Variable>,
    /// The product of `.maxntid` or `.reqntid`, where given.
    pub(crate) max_threads: Option<u32>,
    pub(crate) body: Option<Vec<Statement>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Register,
    Global,
    Constant,
    Shared,
    Local,
    Parameter,
}

/// A declared name: a register, a range of them, or a variable in memory.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) line: u32,
    pub(crate) space: Space,
    pub(crate) ty: Type,
    /// Registers `name0` up to this many, of `%r<8>`.
    pub(crate) range: Option<u32>,
    /// Bytes in all; 0 for an `.extern` array without a size.
    pub(crate) bytes: usize,
    pub(crate) align: usize,
    pub(crate) is_extern: bool,
    pub(crate) initial: Vec<Initial>,
}

#[derive(Clone, Debug)]
pub(crate) enum Initial {
    Value(Operand),
    /// The address of another variable.
    Address(String, i64),
}

#[derive(Clone, Debug)]
pub(crate) enum Statement {
    Declaration(Vec<Variable>),
    Label(String, u32),
    Block(Vec<Statement>),
    Instruction(Instruction),
}

#[derive(Clone, Debug)]
pub(crate) struct Instruction {
    pub(crate) line: u32,
    /// The predicate's name, and whether it is negated.
    pub(crate) guard: Option<(String, bool)>,
    /// The opcode and its modifiers, without dots.
    pub(crate) words: Vec<String>,
    pub(crate) operands: Vec<Operand>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand {
    Name(String),
    /// `name+4`
    Offset(String, i64),
    /// `!%p1`
    Not(String),
    Integer(i64),
    Single(u32),
    Double(u64),
    /// `{a, b}`
    Vector(Vec<Operand>),
    /// `[base+offset]`; no base for an absolute address.
    Address(Option<String>, i64),
    /// `d|p`
    Pair(Box<Operand>, Box<Operand>),
    /// `(a, b)`
    List(Vec<Operand>),
}
