//! From the tree of PTX to decoded kernels: names resolved to slots, constants and special registers kept as registers, labels to places.
//!
//! Every function that a kernel calls is decoded once into the kernel's own code, with registers and local variables at fixed places, which is why
//! recursion is refused.

mod bits;
mod compare;
mod control;
mod convert;
mod float;
mod integer;
mod memory;
mod moves;
mod operands;
mod scopes;
mod warp;

use std::collections::HashMap;
use std::sync::Arc;

use crate::lanes::{Lanes, Slots};
use crate::program::{Action, Guard, Instr, Kernel, Place, Special};
use crate::ptx::{self, Function, Instruction, Refusal, Statement, Type};
pub(crate) use operands::{GLOBAL_WINDOW, LOCAL_WINDOW, PARAMETER_WINDOW, SHARED_WINDOW};
use scopes::Scopes;
pub(crate) use scopes::Symbol;

/// What a module's variables in global and constant memory are called: name, address, and whether constant.
pub(crate) type Addresses = HashMap<String, (u64, bool)>;

/// Decodes the kernel `entry` of `module`.
///
/// # Errors
/// The first line that is no valid PTX, or that this driver does not execute.
pub(crate) fn kernel(
    module: &ptx::Module,
    entry: &Function,
    addresses: &Addresses,
    text: Arc<Vec<String>>,
) -> Result<Kernel, Refusal> {
    let mut decoder = Decoder::new(module, addresses);
    let mut parameters = Vec::new();
    let mut parameter_bytes = 0usize;
    decoder.scopes.open();
    for variable in &entry.parameters {
        if variable.space != ptx::Space::Parameter {
            return Err(Refusal::at(variable.line, "a kernel's parameters must be `.param`"));
        }
        let offset = parameter_bytes.next_multiple_of(variable.align);
        parameter_bytes = offset + variable.bytes;
        parameters.push((offset, variable.bytes));
        decoder.scopes.declare(
            &variable.name,
            variable.line,
            Symbol::Parameter { offset: offset as u32 },
        )?;
    }
    let Some(body) = &entry.body else {
        return Err(Refusal::at(entry.line, format!("`{}` has no body", entry.name)));
    };
    decoder.statements(body)?;
    decoder.finish(entry.line)?;
    while let Some(name) = decoder.waiting.pop() {
        decoder.called_function(&name)?;
    }
    decoder.refuse_recursion()?;
    decoder.resolve();
    let shared_words = decoder.code.iter().all(|instr| match &instr.action {
        Action::Load(access) | Action::Store(access) => {
            !matches!(access.place, Place::Shared | Place::Generic) || access.ty.bytes() >= 4
        }
        Action::Atomic(atomic) => atomic.access.ty.bytes() >= 4,
        _ => true,
    });
    Ok(Kernel {
        shared_words,
        name: entry.name.clone(),
        code: decoder.code,
        text,
        words: decoder.words as usize,
        longs: decoder.longs as usize,
        predicates: decoder.predicates as usize,
        word_constants: decoder
            .word_constants
            .into_iter()
            .map(|(value, slot)| (slot, value))
            .collect(),
        long_constants: decoder
            .long_constants
            .into_iter()
            .map(|(value, slot)| (slot, value))
            .collect(),
        specials: decoder.specials,
        parameters,
        parameter_bytes,
        shared_bytes: decoder.shared_bytes,
        local_bytes: decoder.local_bytes,
        max_threads: entry.max_threads.unwrap_or(1024).min(1024),
    })
}

/// A function that the kernel calls.
#[derive(Clone, Debug)]
struct Callee {
    label: u32,
    /// The word that holds the place to return to.
    back: u32,
    results: Vec<Symbol>,
    parameters: Vec<Symbol>,
}

struct Decoder<'a> {
    module: &'a ptx::Module,
    addresses: &'a Addresses,
    scopes: Scopes,
    code: Vec<Instr>,
    words: u32,
    longs: u32,
    predicates: u32,
    word_constants: HashMap<u32, u32>,
    long_constants: HashMap<u64, u32>,
    specials: Vec<(u32, Special)>,
    /// Where each label stands, and how it is called.
    labels: Vec<(Option<u32>, String, u32)>,
    callees: HashMap<String, Callee>,
    /// Functions that are called and not decoded yet.
    waiting: Vec<String>,
    /// Who calls whom.
    calls: Vec<(String, String)>,
    /// The function that is decoded; empty for the kernel.
    current: String,
    /// The word of the current function's place to return to.
    back: Option<u32>,
    shared: HashMap<String, u32>,
    shared_bytes: usize,
    local_bytes: usize,
    guard: Guard,
    line: u32,
    /// The predicate that `add.cc` and its kin carry in.
    carry: u32,
}

impl<'a> Decoder<'a> {
    fn new(module: &'a ptx::Module, addresses: &'a Addresses) -> Self {
        Self {
            module,
            addresses,
            scopes: Scopes::default(),
            code: Vec::new(),
            words: 1,
            longs: 1,
            predicates: 1,
            word_constants: HashMap::new(),
            long_constants: HashMap::new(),
            specials: Vec::new(),
            labels: Vec::new(),
            callees: HashMap::new(),
            waiting: Vec::new(),
            calls: Vec::new(),
            current: String::new(),
            back: None,
            shared: HashMap::new(),
            shared_bytes: 0,
            local_bytes: 0,
            guard: Guard::Always,
            line: 0,
            carry: 0,
        }
    }

    fn refusal(&self, reason: impl Into<String>) -> Refusal {
        Refusal::at(self.line, reason)
    }

    /// Statements in the scope that is open.
    fn statements(&mut self, statements: &[Statement]) -> Result<(), Refusal> {
        // Labels may be branched to before they stand.
        for statement in statements {
            if let Statement::Label(name, line) = statement {
                let label = self.new_label(name, *line);
                self.scopes.declare(name, *line, Symbol::Label(label))?;
            }
        }
        for statement in statements {
            match statement {
                Statement::Declaration(variables) => {
                    for variable in variables {
                        self.declare(variable)?;
                    }
                }
                Statement::Label(name, _) => {
                    if let Some(Symbol::Label(label)) = self.scopes.find(name) {
                        self.labels[label as usize].0 = Some(self.code.len() as u32);
                    }
                }
                Statement::Block(inner) => {
                    self.scopes.open();
                    self.statements(inner)?;
                    self.scopes.close();
                }
                Statement::Instruction(instruction) => self.instruction(instruction)?,
            }
        }
        Ok(())
    }

    /// A function may end without `ret`.
    fn finish(&mut self, line: u32) -> Result<(), Refusal> {
        self.scopes.close();
        self.guard = Guard::Always;
        self.line = line;
        self.return_from()
    }

    fn new_label(&mut self, name: &str, line: u32) -> u32 {
        self.labels.push((None, name.to_owned(), line));
        self.labels.len() as u32 - 1
    }

    /// Labels in branches and calls become places in the code. Every label that a scope declares stands in that scope.
    fn resolve(&mut self) {
        for instr in &mut self.code {
            if let Action::Branch(target) | Action::Call(target) = &mut instr.action {
                *target = self.labels[*target as usize].0.unwrap_or(0);
            }
        }
    }

    fn refuse_recursion(&self) -> Result<(), Refusal> {
        for (caller, _) in &self.calls {
            let mut reached = vec![caller.as_str()];
            let mut at = 0;
            while at < reached.len() {
                let from = reached[at];
                for (_, to) in self.calls.iter().filter(|(other, _)| other == from) {
                    if to == caller {
                        return Err(Refusal::at(
                            0,
                            format!("`{caller}` calls itself: recursion is not emulated"),
                        ));
                    }
                    if !reached.contains(&to.as_str()) {
                        reached.push(to);
                    }
                }
                at += 1;
            }
        }
        Ok(())
    }

    fn instruction(&mut self, instruction: &Instruction) -> Result<(), Refusal> {
        self.line = instruction.line;
        self.guard = match &instruction.guard {
            None => Guard::Always,
            Some((name, negated)) => match self.scopes.find(name) {
                Some(Symbol::Register { ty: Type::Pred, slot }) if *negated => Guard::Unless(slot),
                Some(Symbol::Register { ty: Type::Pred, slot }) => Guard::If(slot),
                Some(_) => return Err(self.refusal(format!("`{name}` is no predicate"))),
                None => return Err(self.refusal(format!("Unknown symbol '{name}'"))),
            },
        };
        let mut words =
            Words { all: &instruction.words, used: vec![false; instruction.words.len()] };
        words.used[0] = true;
        let opcode = instruction.words[0].as_str();
        let operands = &instruction.operands;
        match opcode {
            "add" | "sub" | "mul" | "mad" | "fma" | "div" | "rem" | "abs" | "neg" | "min"
            | "max" | "addc" | "subc" | "madc" | "sad" => {
                self.arithmetic(opcode, &mut words, operands)?
            }
            "rcp" | "sqrt" | "rsqrt" | "ex2" | "lg2" | "sin" | "cos" | "tanh" | "copysign"
            | "testp" => {
                self.float_function(opcode, &mut words, operands)?;
            }
            "and" | "or" | "xor" | "not" | "cnot" | "shl" | "shr" | "shf" | "bfe" | "bfi"
            | "prmt" | "lop3" | "popc" | "clz" | "brev" | "bfind" | "fns" | "mul24" | "mad24"
            | "szext" => self.bits(opcode, &mut words, operands)?,
            "setp" | "set" | "selp" | "slct" => self.compare(opcode, &mut words, operands)?,
            "mov" | "cvta" | "cvt" | "isspacep" => {
                self.move_or_convert(opcode, &mut words, operands)?
            }
            "ld" | "ldu" | "st" | "atom" | "red" | "prefetch" | "prefetchu" => {
                self.memory(opcode, &mut words, operands)?
            }
            "bra" | "call" | "ret" | "exit" | "trap" | "brkpt" | "nanosleep" => {
                self.control(opcode, &mut words, operands)?
            }
            "bar" | "barrier" | "membar" | "fence" | "shfl" | "vote" | "activemask" | "match"
            | "redux" | "elect" => {
                self.warp(opcode, &mut words, operands)?;
            }
            _ => return Err(self.refusal(format!("Unknown instruction `{opcode}`"))),
        }
        if let Some(unused) = words.used.iter().position(|used| !used) {
            let modifier = &instruction.words[unused];
            return Err(self.refusal(format!("Unknown modifier `.{modifier}` of `{opcode}`")));
        }
        Ok(())
    }

    fn emit(&mut self, action: Action, slots: Slots) {
        self.code.push(Instr { action, guard: self.guard, slots, line: self.line });
    }

    fn emit_lanes(&mut self, lanes: Lanes, slots: Slots) {
        self.emit(Action::Lanes(lanes), slots);
    }

    /// Keeps the guard in a register of its own, so that several instructions can stand for one that may write its guard.
    fn hold_guard(&mut self) {
        let (source, negated) = match self.guard {
            Guard::Always => return,
            Guard::If(slot) => (slot, false),
            Guard::Unless(slot) => (slot, true),
        };
        let held = self.new_predicate();
        self.guard = Guard::Always;
        let slots = Slots { d: held, a: source, ..Slots::default() };
        self.emit_lanes(crate::lanes::lanes!(|a: bool| -> bool { a }), slots);
        self.guard = if negated { Guard::Unless(held) } else { Guard::If(held) };
    }

    fn new_word(&mut self) -> u32 {
        self.words += 1;
        self.words - 1
    }

    fn new_long(&mut self) -> u32 {
        self.longs += 1;
        self.longs - 1
    }

    fn new_predicate(&mut self) -> u32 {
        self.predicates += 1;
        self.predicates - 1
    }

    fn new_register(&mut self, ty: Type) -> u32 {
        match ty.bytes() {
            0 => self.new_predicate(),
            8 => self.new_long(),
            _ => self.new_word(),
        }
    }

    fn word_constant(&mut self, value: u32) -> u32 {
        if let Some(&slot) = self.word_constants.get(&value) {
            return slot;
        }
        let slot = self.new_word();
        self.word_constants.insert(value, slot);
        slot
    }

    fn long_constant(&mut self, value: u64) -> u32 {
        if let Some(&slot) = self.long_constants.get(&value) {
            return slot;
        }
        let slot = self.new_long();
        self.long_constants.insert(value, slot);
        slot
    }

    fn special(&mut self, special: Special) -> u32 {
        if let Some(&(slot, _)) = self.specials.iter().find(|(_, other)| *other == special) {
            return slot;
        }
        let slot = self.new_word();
        self.specials.push((slot, special));
        slot
    }
}

/// The words of an opcode, with those that were understood marked.
struct Words<'a> {
    all: &'a [String],
    used: Vec<bool>,
}

impl Words<'_> {
    /// Whether the modifier is there.
    fn take(&mut self, word: &str) -> bool {
        let at = (1..self.all.len()).find(|&i| self.all[i] == word && !self.used[i]);
        if let Some(i) = at {
            self.used[i] = true;
        }
        at.is_some()
    }

    /// The first of these that is there.
    fn take_any<'w>(&mut self, words: &[&'w str]) -> Option<&'w str> {
        words.iter().copied().find(|word| self.take(word))
    }

    /// The last modifier that is a type and was not taken.
    fn take_type(&mut self) -> Option<Type> {
        let i = (1..self.all.len())
            .rev()
            .find(|&i| !self.used[i] && Type::of(&self.all[i]).is_some())?;
        self.used[i] = true;
        Type::of(&self.all[i])
    }

    /// Whether there are modifiers that begin so, as cache hints do; all are taken.
    fn drop_prefixed(&mut self, prefix: &str) -> bool {
        let mut found = false;
        for i in 1..self.all.len() {
            if self.all[i].starts_with(prefix) {
                self.used[i] = true;
                found = true;
            }
        }
        found
    }
}
