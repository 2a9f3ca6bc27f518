//! Names and what they mean, by nested scopes.

use std::collections::HashMap;

use super::Decoder;
use crate::ptx::{Refusal, Space, Type, Variable};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Symbol {
    Register {
        ty: Type,
        slot: u32,
    },
    Shared {
        offset: u32,
    },
    DynamicShared,
    Local {
        offset: u32,
        bytes: u32,
    },
    /// A kernel's parameter.
    Parameter {
        offset: u32,
    },
    Global {
        address: u64,
        constant: bool,
    },
    Label(u32),
}

#[derive(Debug, Default)]
pub(super) struct Scopes(Vec<Scope>);

#[derive(Debug, Default)]
struct Scope {
    names: HashMap<String, Symbol>,
    /// Registers `name0` … of consecutive slots: the type, the first slot and the number.
    ranges: HashMap<String, (Type, u32, u32)>,
}

impl Scope {
    /// The register of a range that the name means.
    fn in_range(&self, name: &str) -> Option<Symbol> {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        // `%r12` is of `%r<…>`, and may be of `%r1<…>`.
        (stem..name.len()).find_map(|split| {
            let (prefix, number) = name.split_at(split);
            let &(ty, first, count) = self.ranges.get(prefix)?;
            let number: u32 = number.parse().ok().filter(|&number| number < count)?;
            Some(Symbol::Register { ty, slot: first + number })
        })
    }
}

impl Scopes {
    pub(super) fn open(&mut self) {
        self.0.push(Scope::default());
    }

    pub(super) fn close(&mut self) {
        self.0.pop();
    }

    pub(super) fn declare(&mut self, name: &str, line: u32, symbol: Symbol) -> Result<(), Refusal> {
        let Some(scope) = self.0.last_mut() else {
            return Ok(());
        };
        if scope.in_range(name).is_some() || scope.names.insert(name.to_owned(), symbol).is_some() {
            return Err(duplicate(name, line));
        }
        Ok(())
    }

    fn declare_range(
        &mut self,
        name: &str,
        line: u32,
        range: (Type, u32, u32),
    ) -> Result<(), Refusal> {
        let Some(scope) = self.0.last_mut() else {
            return Ok(());
        };
        let number = |other: &str| other.strip_prefix(name).and_then(|digits| digits.parse().ok());
        let taken = scope.names.keys().any(|other| number(other).is_some_and(|n: u32| n < range.2));
        if taken || scope.ranges.insert(name.to_owned(), range).is_some() {
            return Err(duplicate(name, line));
        }
        Ok(())
    }

    /// What `name` means here; a register of a range is found by its number.
    pub(super) fn find(&self, name: &str) -> Option<Symbol> {
        self.0
            .iter()
            .rev()
            .find_map(|scope| scope.names.get(name).cloned().or_else(|| scope.in_range(name)))
    }
}

fn duplicate(name: &str, line: u32) -> Refusal {
    Refusal::at(line, format!("Duplicate definition of variable '{name}'"))
}

impl Decoder<'_> {
    /// Gives a variable of a function its place.
    pub(super) fn declare(&mut self, variable: &Variable) -> Result<(), Refusal> {
        if let Some(count) = variable.range {
            let file = match variable.ty.bytes() {
                0 => &mut self.predicates,
                8 => &mut self.longs,
                _ => &mut self.words,
            };
            let range = (variable.ty, *file, count);
            *file += count;
            return self.scopes.declare_range(&variable.name, variable.line, range);
        }
        let symbol = self.place(variable)?;
        self.scopes.declare(&variable.name, variable.line, symbol)
    }

    pub(super) fn place(&mut self, variable: &Variable) -> Result<Symbol, Refusal> {
        Ok(match variable.space {
            Space::Register => {
                Symbol::Register { ty: variable.ty, slot: self.new_register(variable.ty) }
            }
            Space::Shared if variable.is_extern => Symbol::DynamicShared,
            Space::Shared => {
                let offset = self.shared_bytes.next_multiple_of(variable.align);
                self.shared_bytes = offset + variable.bytes;
                Symbol::Shared { offset: offset as u32 }
            }
            Space::Local | Space::Parameter => {
                let offset = self.local_bytes.next_multiple_of(variable.align);
                self.local_bytes = offset + variable.bytes;
                Symbol::Local { offset: offset as u32, bytes: variable.bytes as u32 }
            }
            Space::Global | Space::Constant => {
                let reason = format!(
                    "`{}`: variables of this space inside a function are not emulated",
                    variable.name
                );
                return Err(Refusal::at(variable.line, reason));
            }
        })
    }

    /// What a name means, in the function or in the module.
    pub(super) fn symbol(&mut self, name: &str) -> Result<Symbol, Refusal> {
        if let Some(symbol) = self.scopes.find(name) {
            return Ok(symbol);
        }
        if let Some(&(address, constant)) = self.addresses.get(name) {
            return Ok(Symbol::Global { address, constant });
        }
        if let Some(&offset) = self.shared.get(name) {
            return Ok(Symbol::Shared { offset });
        }
        let variable =
            self.module.variables.iter().find(|v| v.name == name && v.space == Space::Shared);
        let Some(variable) = variable else {
            return Err(self.refusal(format!("Unknown symbol '{name}'")));
        };
        let symbol = self.place(variable)?;
        if let Symbol::Shared { offset } = symbol {
            self.shared.insert(name.to_owned(), offset);
        }
        Ok(symbol)
    }
}
