//! Declarations of variables.

use super::lexer::Kind;
use super::parser::Parser;
use super::types::Type;
use super::{Initial, Operand, Refusal, Space, Variable};

impl Parser {
    /// `( .param .u64 a, .reg .f32 b )`
    pub(super) fn parameters(&mut self) -> Result<Vec<Variable>, Refusal> {
        self.expect('(')?;
        let mut out = Vec::new();
        while !self.take(')') {
            let word = self.word("`.param` or `.reg`")?;
            let space = match word.as_str() {
                ".param" => Space::Parameter,
                ".reg" => Space::Register,
                _ => {
                    return Err(self
                        .refusal(format!("a parameter must be `.param` or `.reg`, not `{word}`")));
                }
            };
            out.push(self.variable(space, false)?);
            if !self.peek_mark(')') {
                self.expect(',')?;
            }
        }
        Ok(out)
    }

    /// The rest of a declaration after its space, through the semicolon.
    pub(super) fn variables(
        &mut self,
        space: Space,
        is_extern: bool,
    ) -> Result<Vec<Variable>, Refusal> {
        let mut out = vec![self.variable(space, is_extern)?];
        while self.take(',') {
            let (ty, align) = (out[0].ty, out[0].align);
            out.push(self.declarator(space, ty, align, is_extern)?);
        }
        self.expect(';')?;
        Ok(out)
    }

    fn variable(&mut self, space: Space, is_extern: bool) -> Result<Variable, Refusal> {
        let mut align = 0;
        loop {
            let word = self.word("a type")?;
            match word.as_str() {
                ".align" => {
                    align = self.count()? as usize;
                    if !align.is_power_of_two() {
                        return Err(self
                            .refusal(format!("an alignment must be a power of two, not {align}")));
                    }
                }
                // The space that a pointer parameter points into.
                ".ptr" | ".global" | ".const" | ".shared" | ".local" => {}
                _ => {
                    let known = word.strip_prefix('.').and_then(Type::of);
                    let Some(ty) = known else {
                        return Err(self.refusal(format!("Unknown type `{word}`")));
                    };
                    while let Some(Kind::Word(word)) = self.peek() {
                        match word.as_str() {
                            ".ptr" | ".global" | ".const" | ".shared" | ".local" => self.at += 1,
                            ".align" => {
                                self.at += 1;
                                self.count()?;
                            }
                            _ => break,
                        }
                    }
                    return self.declarator(space, ty, align.max(ty.bytes()).max(1), is_extern);
                }
            }
        }
    }

    fn declarator(
        &mut self,
        space: Space,
        ty: Type,
        align: usize,
        is_extern: bool,
    ) -> Result<Variable, Refusal> {
        let line = self.line();
        let name = self.word("a name")?;
        if name.starts_with('.') {
            return Err(Refusal::at(line, format!("`{name}` cannot be a name")));
        }
        let mut range = None;
        let mut elements = 1usize;
        let mut unsized_array = false;
        if space == Space::Register && self.take('<') {
            range = Some(self.count()?);
            self.expect('>')?;
        }
        while space != Space::Register && self.take('[') {
            if self.take(']') {
                unsized_array = true;
            } else {
                elements = elements.saturating_mul(self.count()? as usize);
                self.expect(']')?;
            }
        }
        let mut initial = Vec::new();
        if self.take('=') {
            self.initial(&mut initial)?;
        }
        if unsized_array {
            elements = if is_extern { 0 } else { initial.len() };
        }
        if initial.len() > elements {
            return Err(Refusal::at(
                line,
                format!("`{name}` has {} initial values for {elements} elements", initial.len()),
            ));
        }
        if ty == Type::Pred && space != Space::Register {
            return Err(Refusal::at(line, format!("`{name}`: predicates live in registers only")));
        }
        let bytes = elements.saturating_mul(ty.bytes());
        Ok(Variable { name, line, space, ty, range, bytes, align, is_extern, initial })
    }

    fn initial(&mut self, out: &mut Vec<Initial>) -> Result<(), Refusal> {
        if self.take('{') {
            while !self.take('}') {
                self.initial(out)?;
                if !self.peek_mark('}') {
                    self.expect(',')?;
                }
            }
            return Ok(());
        }
        match self.operand()? {
            Operand::Name(name) if name == "generic" => {
                self.expect('(')?;
                let inner = self.operand()?;
                self.expect(')')?;
                match inner {
                    Operand::Name(name) => out.push(Initial::Address(name, 0)),
                    Operand::Offset(name, offset) => out.push(Initial::Address(name, offset)),
                    _ => return Err(self.refusal("`generic` wants a variable")),
                }
            }
            Operand::Name(name) => out.push(Initial::Address(name, 0)),
            Operand::Offset(name, offset) => out.push(Initial::Address(name, offset)),
            value @ (Operand::Integer(_) | Operand::Single(_) | Operand::Double(_)) => {
                out.push(Initial::Value(value))
            }
            _ => return Err(self.refusal("not an initial value")),
        }
        Ok(())
    }
}
