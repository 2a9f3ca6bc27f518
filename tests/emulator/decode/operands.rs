//! Operands as slots of registers.

use super::{Decoder, Symbol};
use crate::lanes::{Slots, lanes};
use crate::program::{Base, Place, Special};
use crate::ptx::types::Class;
use crate::ptx::{Operand, Refusal, Type};

/// Where shared memory begins among generic addresses.
pub(crate) const SHARED_WINDOW: u64 = 0x0001_0000_0000_0000;
/// Where a thread's local memory begins among generic addresses.
pub(crate) const LOCAL_WINDOW: u64 = 0x0002_0000_0000_0000;
/// Where the kernel's parameters begin among generic addresses.
pub(crate) const PARAMETER_WINDOW: u64 = 0x0003_0000_0000_0000;
/// Where global memory begins.
pub(crate) const GLOBAL_WINDOW: u64 = 0x0007_0000_0000_0000;

impl Decoder<'_> {
    pub(super) fn count(&self, operands: &[Operand], expected: usize) -> Result<(), Refusal> {
        if operands.len() == expected {
            return Ok(());
        }
        Err(self.refusal(format!(
            "Wrong number of operands: expected {expected}, got {}",
            operands.len()
        )))
    }

    /// The slot that a result of type `ty` goes to. `_` drops it.
    pub(super) fn destination(&mut self, operand: &Operand, ty: Type) -> Result<u32, Refusal> {
        self.destination_where(operand, ty, Type::agrees)
    }

    pub(super) fn destination_where(
        &mut self,
        operand: &Operand,
        ty: Type,
        allowed: fn(Type, Type) -> bool,
    ) -> Result<u32, Refusal> {
        Ok(self.register(operand, ty, allowed)?.1)
    }

    /// A register that may hold `ty`, with its own type.
    pub(super) fn register(
        &mut self,
        operand: &Operand,
        ty: Type,
        allowed: fn(Type, Type) -> bool,
    ) -> Result<(Type, u32), Refusal> {
        let Operand::Name(name) = operand else {
            return Err(self.refusal("Arguments mismatch: a register expected"));
        };
        if name == "_" {
            return Ok((ty, self.new_register(ty)));
        }
        match self.symbol(name)? {
            Symbol::Register { ty: own, slot } if allowed(ty, own) => Ok((own, slot)),
            Symbol::Register { ty: own, .. } => Err(self.mismatch(name, own, ty)),
            _ => Err(self.refusal(format!("Arguments mismatch: `{name}` is no register"))),
        }
    }

    fn mismatch(&self, name: &str, own: Type, wanted: Type) -> Refusal {
        let (own, wanted) = (own.name(), wanted.name());
        self.refusal(format!(
            "Arguments mismatch for instruction: `{name}` is .{own}, .{wanted} expected"
        ))
    }

    /// The slot that an operand of type `ty` is read from.
    pub(super) fn source(&mut self, operand: &Operand, ty: Type) -> Result<u32, Refusal> {
        self.source_where(operand, ty, Type::agrees)
    }

    /// The same of `mov` and `cvta`, which also take a variable's address and special registers.
    pub(super) fn source_or_address(
        &mut self,
        operand: &Operand,
        ty: Type,
    ) -> Result<u32, Refusal> {
        let (name, offset) = match operand {
            Operand::Name(name) => (name, 0),
            Operand::Offset(name, offset) => (name, *offset),
            _ => return self.source(operand, ty),
        };
        if self.is_special(name) {
            return self.special_register(name, ty);
        }
        if name == "WARP_SZ" {
            return self.source(operand, ty);
        }
        match self.symbol(name)? {
            Symbol::Register { .. } => self.source(operand, ty),
            symbol => self.address_of(&symbol, offset, ty),
        }
    }

    pub(super) fn source_where(
        &mut self,
        operand: &Operand,
        ty: Type,
        allowed: fn(Type, Type) -> bool,
    ) -> Result<u32, Refusal> {
        match operand {
            Operand::Name(name) => {
                if name == "WARP_SZ" {
                    return self.immediate(&Operand::Integer(32), ty);
                }
                if self.is_special(name) {
                    return Err(self.refusal("Special register argument not allowed"));
                }
                match self.symbol(name)? {
                    Symbol::Register { ty: own, slot } if allowed(ty, own) => Ok(slot),
                    Symbol::Register { ty: own, .. } => Err(self.mismatch(name, own, ty)),
                    _ => Err(self.refusal(format!("Arguments mismatch: `{name}` is no register"))),
                }
            }
            Operand::Not(name) => {
                let slot = self.source(&Operand::Name(name.clone()), ty)?;
                if ty != Type::Pred {
                    return Err(self.refusal("`!` is for predicates"));
                }
                let held = self.new_predicate();
                self.emit_lanes(
                    lanes!(|a: bool| -> bool { !a }),
                    Slots { d: held, a: slot, ..Slots::default() },
                );
                Ok(held)
            }
            _ => self.immediate(operand, ty),
        }
    }

    fn immediate(&mut self, operand: &Operand, ty: Type) -> Result<u32, Refusal> {
        Ok(match (operand, ty.class(), ty.bytes()) {
            (&Operand::Integer(x), Class::Predicate, _) => {
                // Register 0 of predicates is never written.
                if x == 0 {
                    0
                } else {
                    let held = self.new_predicate();
                    self.emit_lanes(
                        lanes!(|a: bool| -> bool { !a }),
                        Slots { d: held, a: 0, ..Slots::default() },
                    );
                    held
                }
            }
            (&Operand::Integer(x), Class::Bits | Class::Unsigned | Class::Signed, 8) => {
                self.long_constant(x as u64)
            }
            (&Operand::Integer(x), Class::Bits | Class::Unsigned | Class::Signed, bytes) => {
                let bits = 8 * bytes as u32;
                self.word_constant((x as u32) & (u32::MAX >> (32 - bits)))
            }
            (&Operand::Single(x), Class::Float | Class::Bits, 4) => self.word_constant(x),
            (&Operand::Double(x), Class::Float | Class::Bits, 8) => self.long_constant(x),
            (&Operand::Double(x), Class::Float, 4) => {
                self.word_constant((f64::from_bits(x) as f32).to_bits())
            }
            (&Operand::Single(x), Class::Float, 8) => {
                self.long_constant(f64::from(f32::from_bits(x)).to_bits())
            }
            _ => {
                return Err(self.refusal(format!(
                    "Arguments mismatch for instruction: .{} expected",
                    ty.name()
                )));
            }
        })
    }

    /// A variable's address in its own space as a register.
    pub(super) fn address_of(
        &mut self,
        symbol: &Symbol,
        offset: i64,
        ty: Type,
    ) -> Result<u32, Refusal> {
        let long = match (ty.class(), ty.bytes()) {
            (Class::Bits | Class::Unsigned | Class::Signed, 4) => false,
            (Class::Bits | Class::Unsigned | Class::Signed, 8) => true,
            _ => return Err(self.refusal("an address is of 32 or 64 bits")),
        };
        let address = match *symbol {
            Symbol::Shared { offset }
            | Symbol::Local { offset, .. }
            | Symbol::Parameter { offset } => u64::from(offset),
            Symbol::Global { address, .. } => address,
            Symbol::DynamicShared => {
                let start = self.special(Special::DynamicShared);
                let added = self.word_constant(offset as u32);
                let sum = self.new_word();
                let slots = Slots { d: sum, a: start, b: added, ..Slots::default() };
                self.emit_lanes(lanes!(|a: u32, b: u32| -> u32 { a.wrapping_add(b) }), slots);
                if !long {
                    return Ok(sum);
                }
                let wide = self.new_long();
                self.emit_lanes(
                    lanes!(|a: u32| -> u64 { u64::from(a) }),
                    Slots { d: wide, a: sum, ..Slots::default() },
                );
                return Ok(wide);
            }
            Symbol::Label(_) | Symbol::Register { .. } => {
                return Err(self.refusal("Arguments mismatch: no address and no register"));
            }
        };
        let address = address.wrapping_add_signed(offset);
        if long {
            return Ok(self.long_constant(address));
        }
        u32::try_from(address)
            .map(|short| self.word_constant(short))
            .map_err(|_| self.refusal("an address of global memory is of 64 bits"))
    }

    /// The base and offset of `[…]`, and the place it surely is in where a variable says so.
    pub(super) fn address(
        &mut self,
        operand: &Operand,
        place: Place,
    ) -> Result<(Place, Base, i64), Refusal> {
        let Operand::Address(name, offset) = operand else {
            return Err(self.refusal("Arguments mismatch: an address `[…]` expected"));
        };
        let Some(name) = name else {
            if place != Place::Local {
                return Err(self.refusal("Immediate addresses allowed only for .local state space"));
            }
            return Ok((place, Base::Absolute, *offset));
        };
        let symbol = self.symbol(name)?;
        let (own, start) = match symbol {
            Symbol::Register { ty, slot } => {
                if ty.class() == Class::Float {
                    return Err(self.mismatch(name, ty, Type::B64));
                }
                // The parameters of functions live in local memory.
                let in_function = self.back.is_some() && place == Place::Parameter;
                let place = if in_function { Place::Local } else { place };
                return match ty.bytes() {
                    8 => Ok((place, Base::Long(slot), *offset)),
                    // A 32-bit register holds no global address.
                    4 if matches!(
                        place,
                        Place::Shared | Place::Local | Place::Parameter | Place::Constant
                    ) =>
                    {
                        Ok((place, Base::Word(slot), *offset))
                    }
                    _ => Err(self.mismatch(name, ty, Type::B64)),
                };
            }
            Symbol::Shared { offset } => (Place::Shared, u64::from(offset)),
            Symbol::Local { offset, .. } => (Place::Local, u64::from(offset)),
            Symbol::Parameter { offset } => (Place::Parameter, u64::from(offset)),
            Symbol::Global { address, constant } => {
                (if constant { Place::Constant } else { Place::Global }, address)
            }
            Symbol::DynamicShared => {
                let start = self.special(Special::DynamicShared);
                if !matches!(place, Place::Shared) {
                    return Err(self.refusal(format!("`{name}` is in shared memory")));
                }
                return Ok((Place::Shared, Base::Word(start), *offset));
            }
            Symbol::Label(_) => {
                return Err(self.refusal(format!("`{name}` is no address")));
            }
        };
        // So do all `.param` variables of functions.
        let same = own == place
            || (own == Place::Local && place == Place::Parameter)
            || (own == Place::Global && place == Place::Generic);
        if !same {
            return Err(self.refusal(format!(
                "State space mismatch between instruction and address `{name}`"
            )));
        }
        Ok((own, Base::Absolute, start as i64 + offset))
    }

    /// Whether the name may be a special register's: it begins so, and no register has it.
    pub(super) fn is_special(&self, name: &str) -> bool {
        name.starts_with('%') && self.scopes.find(name).is_none()
    }

    /// A special register read as `ty`.
    pub(super) fn special_register(&mut self, name: &str, ty: Type) -> Result<u32, Refusal> {
        let special = match name {
            "%laneid" => Special::Lane,
            "%warpid" => Special::Warp,
            "%nwarpid" => Special::Warps,
            "%smid" => Special::Processor,
            "%nsmid" => Special::Processors,
            "%gridid" => Special::GridId,
            "%dynamic_smem_size" => {
                let (total, start) =
                    (self.special(Special::TotalShared), self.special(Special::DynamicShared));
                let size = self.new_word();
                let slots = Slots { d: size, a: total, b: start, ..Slots::default() };
                self.emit_lanes(lanes!(|a: u32, b: u32| -> u32 { a.wrapping_sub(b) }), slots);
                return Ok(size);
            }
            "%total_smem_size" => Special::TotalShared,
            "%lanemask_eq" => Special::LanesEqual,
            "%lanemask_lt" => Special::LanesBelow,
            "%lanemask_le" => Special::LanesUpTo,
            "%lanemask_gt" => Special::LanesAbove,
            "%lanemask_ge" => Special::LanesFrom,
            _ => {
                let unknown = self.refusal(format!("Unknown symbol '{name}'"));
                let Some((kind, axis)) = name.split_once('.') else {
                    return Err(unknown);
                };
                let axis = match axis {
                    "x" => 0,
                    "y" => 1,
                    "z" => 2,
                    _ => return Err(unknown),
                };
                match kind {
                    "%tid" => Special::Thread(axis),
                    "%ctaid" => Special::Block(axis),
                    "%ntid" => Special::BlockSize(axis),
                    "%nctaid" => Special::GridSize(axis),
                    _ => return Err(unknown),
                }
            }
        };
        let slot = self.special(special);
        match ty {
            Type::B32 | Type::U32 | Type::S32 => Ok(slot),
            Type::B16 | Type::U16 | Type::S16 => {
                let low = self.new_word();
                self.emit_lanes(
                    lanes!(|a: u32| -> u32 { a & 0xffff }),
                    Slots { d: low, a: slot, ..Slots::default() },
                );
                Ok(low)
            }
            _ => Err(self.mismatch(name, Type::U32, ty)),
        }
    }
}
