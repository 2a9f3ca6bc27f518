//! Branches, calls and returns.

use super::{Callee, Decoder, Symbol, Words};
use crate::lanes::{Slots, lanes};
use crate::program::{Action, Guard};
use crate::ptx::{Operand, Refusal, Space, Type};

impl Decoder<'_> {
    pub(super) fn control(
        &mut self,
        opcode: &str,
        words: &mut Words,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        words.take("uni");
        match opcode {
            "bra" => {
                self.count(operands, 1)?;
                let Operand::Name(name) = &operands[0] else {
                    return Err(self.refusal("`bra` wants a label"));
                };
                match self.scopes.find(name) {
                    Some(Symbol::Label(label)) => {
                        self.emit(Action::Branch(label), Slots::default())
                    }
                    _ => {
                        return Err(
                            self.refusal(format!("Label '{name}' is not defined in this scope"))
                        );
                    }
                }
            }
            "call" => self.call(operands)?,
            "ret" => {
                self.count(operands, 0)?;
                self.return_from()?;
            }
            "exit" => {
                self.count(operands, 0)?;
                self.emit(Action::Exit, Slots::default());
            }
            "nanosleep" => {
                self.count(operands, 1)?;
                if words.take_type() != Some(Type::U32) {
                    return Err(self.refusal("`nanosleep` wants .u32"));
                }
                self.source(&operands[0], Type::U32)?;
                self.emit(Action::Sleep, Slots::default());
            }
            _ => {
                self.count(operands, 0)?;
                self.emit(Action::Trap, Slots::default());
            }
        }
        Ok(())
    }

    pub(super) fn return_from(&mut self) -> Result<(), Refusal> {
        match self.back {
            None => self.emit(Action::Exit, Slots::default()),
            Some(back) => self.emit(Action::Return, Slots { a: back, ..Slots::default() }),
        }
        Ok(())
    }

    /// `call (results), name, (arguments);` with the results and the arguments left out where there are none.
    fn call(&mut self, operands: &[Operand]) -> Result<(), Refusal> {
        let (results, rest) = match operands {
            [Operand::List(results), rest @ ..] => (results.as_slice(), rest),
            rest => (&[][..], rest),
        };
        let (name, arguments) = match rest {
            [Operand::Name(name)] => (name, &[][..]),
            [Operand::Name(name), Operand::List(arguments)] => (name, arguments.as_slice()),
            _ => return Err(self.refusal("indirect calls are not emulated")),
        };
        let callee = self.callee(name)?;
        if results.len() != callee.results.len() || arguments.len() != callee.parameters.len() {
            return Err(self.refusal(format!(
                "`{name}` has {} results and {} parameters, the call {} and {}",
                callee.results.len(),
                callee.parameters.len(),
                results.len(),
                arguments.len()
            )));
        }
        self.calls.push((self.current.clone(), name.clone()));
        self.hold_guard();
        for (argument, parameter) in arguments.iter().zip(&callee.parameters) {
            self.copy_argument(argument, parameter, true)?;
        }
        self.emit(Action::Call(callee.label), Slots { d: callee.back, ..Slots::default() });
        for (result, formal) in results.iter().zip(&callee.results) {
            self.copy_argument(result, formal, false)?;
        }
        Ok(())
    }

    /// Copies an argument to the callee's parameter, or its result to where the caller wants it.
    fn copy_argument(
        &mut self,
        operand: &Operand,
        formal: &Symbol,
        inwards: bool,
    ) -> Result<(), Refusal> {
        match *formal {
            Symbol::Register { ty, slot } => {
                let (d, a) = if inwards {
                    (slot, self.source(operand, ty)?)
                } else {
                    (self.destination(operand, ty)?, slot)
                };
                let f = match ty.bytes() {
                    0 => lanes!(|a: bool| -> bool { a }),
                    8 => lanes!(|a: u64| -> u64 { a }),
                    _ => lanes!(|a: u32| -> u32 { a }),
                };
                self.emit_lanes(f, Slots { d, a, ..Slots::default() });
                Ok(())
            }
            Symbol::Local { offset: there, bytes } => {
                let here = match operand {
                    Operand::Name(name) => self.symbol(name)?,
                    _ => return Err(self.refusal("a `.param` variable expected")),
                };
                let Symbol::Local { offset: here, bytes: own } = here else {
                    return Err(self.refusal("a `.param` variable expected"));
                };
                if own != bytes {
                    return Err(self.refusal(format!(
                        "an argument of {own} bytes where {bytes} are declared"
                    )));
                }
                let (a, b) = if inwards { (here, there) } else { (there, here) };
                self.emit(Action::CopyLocal { from: a, to: b, bytes }, Slots::default());
                Ok(())
            }
            _ => Err(self.refusal("not a parameter")),
        }
    }

    /// The function of this name, with its registers and parameters placed.
    fn callee(&mut self, name: &str) -> Result<Callee, Refusal> {
        if let Some(callee) = self.callees.get(name) {
            return Ok(callee.clone());
        }
        let module = self.module;
        let Some(function) = module.functions.iter().find(|f| f.name == name && !f.is_entry) else {
            return Err(self.refusal(format!("Unknown symbol '{name}'")));
        };
        if function.body.is_none() {
            return Err(self.refusal(format!("Unresolved extern function '{name}'")));
        }
        let mut place = |variables: &[crate::ptx::Variable]| -> Result<Vec<Symbol>, Refusal> {
            variables.iter().map(|variable| self.place(variable)).collect()
        };
        let results = place(&function.results)?;
        let parameters = place(&function.parameters)?;
        let callee = Callee {
            label: self.new_label(name, function.line),
            back: self.new_word(),
            results,
            parameters,
        };
        self.callees.insert(name.to_owned(), callee.clone());
        self.waiting.push(name.to_owned());
        Ok(callee)
    }

    /// Decodes a function that was called.
    pub(super) fn called_function(&mut self, name: &str) -> Result<(), Refusal> {
        let module = self.module;
        let callee = self.callee(name)?;
        let Some(function) = module.functions.iter().find(|f| f.name == name && !f.is_entry) else {
            return Ok(());
        };
        self.labels[callee.label as usize].0 = Some(self.code.len() as u32);
        self.current = name.to_owned();
        self.back = Some(callee.back);
        self.guard = Guard::Always;
        self.scopes.open();
        let formals = function
            .results
            .iter()
            .zip(callee.results)
            .chain(function.parameters.iter().zip(callee.parameters));
        for (variable, symbol) in formals {
            debug_assert!(matches!(variable.space, Space::Register | Space::Parameter));
            self.scopes.declare(&variable.name, variable.line, symbol)?;
        }
        self.statements(function.body.as_deref().unwrap_or(&[]))?;
        self.finish(function.line)
    }
}
