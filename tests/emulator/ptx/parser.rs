//! From tokens to the tree.

use super::lexer::{Kind, Token, tokens};
use super::{Function, Instruction, Module, Operand, Refusal, Space, Statement};
use crate::settings::settings;

/// Parses `text` for a driver that takes PTX up to `newest` (70 for 7.0).
///
/// # Errors
/// The first line that is not PTX of these versions.
pub(crate) fn parse(text: &str, newest: u32) -> Result<Module, Refusal> {
    Parser { tokens: tokens(text)?, at: 0 }.module(newest)
}

pub(super) struct Parser {
    tokens: Vec<Token>,
    /// The next token.
    pub(super) at: usize,
}

impl Parser {
    fn module(mut self, newest: u32) -> Result<Module, Refusal> {
        let mut module =
            Module { version: 0, architecture: 0, variables: Vec::new(), functions: Vec::new() };
        let line = self.line();
        if !self.take_word(".version") {
            return Err(Refusal::at(line, "the text must begin with `.version`"));
        }
        let Some(Kind::Double(bits)) = self.next() else {
            return Err(Refusal::at(line, "`.version` wants a number such as 7.0"));
        };
        module.version = (f64::from_bits(bits) * 10.0).round() as u32;
        if module.version > newest {
            let (found, newest) = (module.version, newest);
            let reason = format!(
                "Unsupported .version {}.{}; current version is '{}.{}'",
                found / 10,
                found % 10,
                newest / 10,
                newest % 10
            );
            return Err(Refusal { line, reason, too_new: true });
        }
        while self.at < self.tokens.len() {
            self.directive(&mut module)?;
        }
        Ok(module)
    }

    fn directive(&mut self, module: &mut Module) -> Result<(), Refusal> {
        let line = self.line();
        let mut is_extern = false;
        loop {
            let word = self.word("a directive")?;
            match word.as_str() {
                ".target" => {
                    module.architecture = self.target(line)?;
                    return Ok(());
                }
                ".address_size" => {
                    return match self.next() {
                        Some(Kind::Integer(64)) => Ok(()),
                        _ => Err(Refusal::at(line, "`.address_size` must be 64")),
                    };
                }
                ".pragma" => return self.pragma(),
                ".visible" | ".weak" | ".common" => {}
                ".extern" => is_extern = true,
                ".entry" | ".func" => {
                    let function = self.function(word == ".entry", line)?;
                    let same =
                        module.functions.iter().position(|other| other.name == function.name);
                    match same {
                        Some(i) if module.functions[i].body.is_none() => {
                            module.functions[i] = function
                        }
                        Some(_) if function.body.is_some() => {
                            return Err(Refusal::at(
                                line,
                                format!("Duplicate definition of function '{}'", function.name),
                            ));
                        }
                        Some(_) => {}
                        None => module.functions.push(function),
                    }
                    return Ok(());
                }
                _ => {
                    let Some(space) = space_of(&word) else {
                        return Err(Refusal::at(line, format!("Unknown directive `{word}`")));
                    };
                    let variables = self.variables(space, is_extern)?;
                    module.variables.extend(variables);
                    return Ok(());
                }
            }
        }
    }

    fn target(&mut self, line: u32) -> Result<u32, Refusal> {
        let target = self.word("a target")?;
        let known = target
            .strip_prefix("sm_")
            .and_then(|digits| digits.trim_end_matches('a').parse::<u32>().ok());
        let Some(architecture) = known.filter(|&known| known <= settings().capability) else {
            let reason = format!(
                "SM version specified by .target `{target}` is not supported by the device"
            );
            return Err(Refusal::at(line, reason));
        };
        while self.take(',') {
            self.word("a target's option")?;
        }
        Ok(architecture)
    }

    fn pragma(&mut self) -> Result<(), Refusal> {
        match self.next() {
            Some(Kind::Text(_)) => self.expect(';'),
            _ => Err(self.refusal("`.pragma` wants a string")),
        }
    }

    fn function(&mut self, is_entry: bool, line: u32) -> Result<Function, Refusal> {
        let results =
            if !is_entry && self.peek_mark('(') { self.parameters()? } else { Vec::new() };
        let name = self.word("a function's name")?;
        let parameters = if self.peek_mark('(') { self.parameters()? } else { Vec::new() };
        let mut max_threads = None;
        while let Some(Kind::Word(word)) = self.peek() {
            let word = word.clone();
            self.at += 1;
            match word.as_str() {
                ".maxntid" | ".reqntid" => {
                    let mut product = 1u32;
                    loop {
                        product = product.saturating_mul(self.count()?);
                        if !self.take(',') {
                            break;
                        }
                    }
                    max_threads = Some(product);
                }
                ".minnctapersm" | ".maxnreg" | ".maxnctapersm" => {
                    self.count()?;
                }
                ".noreturn" => {}
                ".pragma" => self.pragma()?,
                other => {
                    return Err(self.refusal(format!("Unknown directive `{other}` of a function")));
                }
            }
        }
        let body = if self.take(';') {
            None
        } else {
            self.expect('{')?;
            Some(self.block()?)
        };
        Ok(Function { name, is_entry, line, results, parameters, max_threads, body })
    }

    /// Statements up to the closing brace.
    fn block(&mut self) -> Result<Vec<Statement>, Refusal> {
        let mut out = Vec::new();
        loop {
            if self.take('}') {
                return Ok(out);
            }
            if self.take('{') {
                out.push(Statement::Block(self.block()?));
                continue;
            }
            let line = self.line();
            if let Some(Kind::Word(word)) = self.peek() {
                let word = word.clone();
                if matches!(self.tokens.get(self.at + 1), Some(Token { kind: Kind::Mark(':'), .. }))
                {
                    self.at += 2;
                    out.push(Statement::Label(word, line));
                    continue;
                }
                if word == ".pragma" {
                    self.at += 1;
                    self.pragma()?;
                    continue;
                }
                if let Some(directive) = word.strip_prefix('.') {
                    self.at += 1;
                    let is_extern = directive == "extern";
                    let word = if is_extern { self.word("a space")? } else { word };
                    let Some(space) = space_of(&word) else {
                        return Err(Refusal::at(line, format!("Unknown directive `{word}`")));
                    };
                    out.push(Statement::Declaration(self.variables(space, is_extern)?));
                    continue;
                }
            }
            out.push(Statement::Instruction(self.instruction()?));
        }
    }

    fn instruction(&mut self) -> Result<Instruction, Refusal> {
        let line = self.line();
        let mut guard = None;
        if self.take('@') {
            let negated = self.take('!');
            guard = Some((self.word("a predicate")?, negated));
        }
        let opcode = self.word("an instruction")?;
        let words = opcode.split('.').map(str::to_owned).collect();
        let mut operands = Vec::new();
        while !self.take(';') {
            operands.push(self.operand()?);
            if !self.peek_mark(';') {
                self.expect(',')?;
            }
        }
        Ok(Instruction { line, guard, words, operands })
    }

    pub(super) fn operand(&mut self) -> Result<Operand, Refusal> {
        if self.take('{') {
            return Ok(Operand::Vector(self.list('}')?));
        }
        if self.take('(') {
            return Ok(Operand::List(self.list(')')?));
        }
        if self.take('[') {
            let address = match self.operand()? {
                Operand::Name(name) => Operand::Address(Some(name), 0),
                Operand::Offset(name, offset) => Operand::Address(Some(name), offset),
                Operand::Integer(at) => Operand::Address(None, at),
                _ => return Err(self.refusal("not an address")),
            };
            self.expect(']')?;
            return Ok(address);
        }
        if self.take('!') {
            return Ok(Operand::Not(self.word("a predicate")?));
        }
        let negative = self.take('-');
        let operand = match self.next() {
            Some(Kind::Integer(x)) => Operand::Integer(if negative { x.wrapping_neg() } else { x }),
            Some(Kind::Single(x)) => Operand::Single(if negative { x ^ 1 << 31 } else { x }),
            Some(Kind::Double(x)) => Operand::Double(if negative { x ^ 1 << 63 } else { x }),
            Some(Kind::Word(word)) if !negative => {
                let sign = if self.take('+') {
                    if self.take('-') { Some(-1) } else { Some(1) }
                } else if self.take('-') {
                    Some(-1)
                } else {
                    None
                };
                match sign {
                    Some(sign) => match self.next() {
                        Some(Kind::Integer(x)) => Operand::Offset(word, sign * x),
                        _ => return Err(self.back("an offset must be a whole number")),
                    },
                    None => Operand::Name(word),
                }
            }
            _ => return Err(self.back("Parsing error: an operand expected")),
        };
        if self.take('|') {
            let second = self.operand()?;
            return Ok(Operand::Pair(Box::new(operand), Box::new(second)));
        }
        Ok(operand)
    }

    fn list(&mut self, end: char) -> Result<Vec<Operand>, Refusal> {
        let mut out = Vec::new();
        while !self.take(end) {
            out.push(self.operand()?);
            if !self.peek_mark(end) {
                self.expect(',')?;
            }
        }
        Ok(out)
    }

    pub(super) fn line(&self) -> u32 {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.line)
    }

    pub(super) fn peek(&self) -> Option<&Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    pub(super) fn next(&mut self) -> Option<Kind> {
        let kind = self.peek().cloned();
        self.at += 1;
        kind
    }

    pub(super) fn peek_mark(&self, mark: char) -> bool {
        self.peek() == Some(&Kind::Mark(mark))
    }

    pub(super) fn take(&mut self, mark: char) -> bool {
        let there = self.peek_mark(mark);
        self.at += usize::from(there);
        there
    }

    fn take_word(&mut self, word: &str) -> bool {
        let there = matches!(self.peek(), Some(Kind::Word(w)) if w == word);
        self.at += usize::from(there);
        there
    }

    pub(super) fn expect(&mut self, mark: char) -> Result<(), Refusal> {
        if self.take(mark) {
            return Ok(());
        }
        let near = self.near();
        Err(self.refusal(format!("Parsing error near {near}: `{mark}` expected")))
    }

    pub(super) fn word(&mut self, what: &str) -> Result<String, Refusal> {
        if let Some(Kind::Word(word)) = self.peek() {
            let word = word.clone();
            self.at += 1;
            return Ok(word);
        }
        let near = self.near();
        Err(self.refusal(format!("Parsing error near {near}: {what} expected")))
    }

    pub(super) fn count(&mut self) -> Result<u32, Refusal> {
        match self.peek() {
            Some(&Kind::Integer(x)) if u32::try_from(x).is_ok() => {
                self.at += 1;
                Ok(x as u32)
            }
            _ => Err(self.refusal("a whole number from 0 to 2³² - 1 expected")),
        }
    }

    fn near(&self) -> String {
        match self.peek() {
            Some(Kind::Word(word)) => format!("`{word}`"),
            Some(Kind::Mark(mark)) => format!("`{mark}`"),
            Some(_) => "a number".to_owned(),
            None => "the end of the text".to_owned(),
        }
    }

    pub(super) fn refusal(&self, reason: impl Into<String>) -> Refusal {
        Refusal::at(self.line(), reason)
    }

    fn back(&mut self, reason: &str) -> Refusal {
        self.at -= 1;
        self.refusal(reason)
    }
}

fn space_of(word: &str) -> Option<Space> {
    Some(match word {
        ".reg" => Space::Register,
        ".global" => Space::Global,
        ".const" => Space::Constant,
        ".shared" => Space::Shared,
        ".local" => Space::Local,
        ".param" => Space::Parameter,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Refusal {
        parse(text, 70).expect_err("a refusal")
    }

    #[test]
    fn a_kernel() {
        let text = ".version 7.0\n.target sm_70\n.address_size 64\n.extern .shared .align 16 .b8 tile[];\n\
            .visible .entry add(.param .u64 a, .param .align 8 .b8 b[16])\n.maxntid 128, 2, 1\n{\n\
            .reg .f32 %f<4>;\nL:\n{ .reg .pred p; @!p bra L; }\nld.param.u64 %rd1, [a+8];\nret;\n}\n";
        let module = parse(text, 70).expect("a module");
        assert_eq!(module.variables[0].bytes, 0);
        let function = &module.functions[0];
        assert_eq!((function.name.as_str(), function.max_threads), ("add", Some(256)));
        assert_eq!((function.parameters[1].bytes, function.parameters[1].align), (16, 8));
        let body = function.body.as_ref().expect("a body");
        assert!(matches!(&body[0], Statement::Declaration(v) if v[0].range == Some(4)));
        assert!(matches!(&body[1], Statement::Label(name, 9) if name == "L"));
        assert!(matches!(&body[2], Statement::Block(inner) if inner.len() == 2));
        let Statement::Instruction(load) = &body[3] else {
            panic!("an instruction");
        };
        assert_eq!(load.words, ["ld", "param", "u64"]);
        assert_eq!(load.operands[1], Operand::Address(Some("a".to_owned()), 8));
    }

    #[test]
    fn a_later_version_is_told_apart() {
        assert!(refused(".version 7.1\n.target sm_70\n").too_new);
        assert!(!refused(".target sm_70\n").too_new);
    }

    #[test]
    fn refusals_name_the_line() {
        assert_eq!(
            refused(".version 7.0\n.target sm_70\n.entry k() {\nadd.s32 %r1 %r2;\n}").line,
            4
        );
        assert_eq!(refused(".version 7.0\n.target sm_70\n.entry k() {\n").line, 3);
        assert!(refused(".version 7.0\n.target sm_999\n").reason.contains("sm_999"));
    }
}
