//! Moves, packing, and addresses from one space to another.

use super::operands::{GLOBAL_WINDOW, LOCAL_WINDOW, PARAMETER_WINDOW, SHARED_WINDOW};
use super::{Decoder, Symbol, Words};
use crate::lanes::{Slots, lanes};
use crate::program::Action;
use crate::ptx::types::Class;
use crate::ptx::{Operand, Refusal, Type};

impl Decoder<'_> {
    pub(super) fn move_or_convert(
        &mut self,
        opcode: &str,
        words: &mut Words,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        self.count(operands, 2)?;
        match opcode {
            "mov" => self.move_value(words, operands),
            "cvta" => self.convert_address(words, operands),
            "cvt" => self.convert(words, operands),
            _ => self.is_in_space(words, operands),
        }
    }

    fn move_value(&mut self, words: &mut Words, operands: &[Operand]) -> Result<(), Refusal> {
        let ty = words.take_type().ok_or_else(|| self.refusal("`mov` has no type"))?;
        match (&operands[0], &operands[1]) {
            (Operand::Vector(parts), whole) => return self.unpack(ty, parts, whole),
            (whole, Operand::Vector(parts)) => return self.pack(ty, whole, parts),
            (_, Operand::Name(name))
                if matches!(
                    name.as_str(),
                    "%clock" | "%clock64" | "%clock_hi" | "%globaltimer" | "%globaltimer_lo"
                ) =>
            {
                let long = ty.bytes() == 8;
                let d = self.destination(&operands[0], ty)?;
                self.emit(Action::Clock { long }, Slots { d, ..Slots::default() });
                return Ok(());
            }
            _ => {}
        }
        let f = match ty.bytes() {
            0 => lanes!(|a: bool| -> bool { a }),
            2 | 4 => lanes!(|a: u32| -> u32 { a }),
            8 => lanes!(|a: u64| -> u64 { a }),
            _ => return Err(self.bad_type("mov", ty)),
        };
        let a = self.source_or_address(&operands[1], ty)?;
        let d = self.destination(&operands[0], ty)?;
        self.emit_lanes(f, Slots { d, a, ..Slots::default() });
        Ok(())
    }

    /// The type of `count` equal parts of `ty`.
    fn part(&self, ty: Type, count: usize) -> Result<Type, Refusal> {
        match (ty.class(), ty.bytes(), count) {
            (Class::Bits, 8, 2) => Ok(Type::B32),
            (Class::Bits, 8, 4) | (Class::Bits, 4, 2) => Ok(Type::B16),
            _ => Err(self.refusal(format!("`mov.{}` cannot be of {count} parts", ty.name()))),
        }
    }

    fn pack(&mut self, ty: Type, whole: &Operand, parts: &[Operand]) -> Result<(), Refusal> {
        let part = self.part(ty, parts.len())?;
        let mut sources = [0; 4];
        for (slot, operand) in sources.iter_mut().zip(parts) {
            *slot = self.source(operand, part)?;
        }
        let d = self.destination(whole, ty)?;
        let [a, b, c, e] = sources;
        let f = match (ty.bytes(), parts.len()) {
            (8, 2) => lanes!(|a: u32, b: u32| -> u64 { u64::from(b) << 32 | u64::from(a) }),
            (8, _) => lanes!(|a: u16, b: u16, c: u16, e: u16| -> u64 {
                u64::from(e) << 48 | u64::from(c) << 32 | u64::from(b) << 16 | u64::from(a)
            }),
            _ => lanes!(|a: u16, b: u16| -> u32 { u32::from(b) << 16 | u32::from(a) }),
        };
        self.emit_lanes(f, Slots { d, a, b, c, e });
        Ok(())
    }

    fn unpack(&mut self, ty: Type, parts: &[Operand], whole: &Operand) -> Result<(), Refusal> {
        let part = self.part(ty, parts.len())?;
        let a = self.source(whole, ty)?;
        // A part may be the register that is taken apart: all are taken before any is written.
        let mut held = Vec::with_capacity(parts.len());
        for (i, operand) in parts.iter().enumerate() {
            let shift = self.word_constant(8 * (i * part.bytes()) as u32);
            let f = match (ty.bytes(), part.bytes()) {
                (8, 4) => lanes!(|a: u64, n: u32| -> u32 { (a >> n) as u32 }),
                (8, _) => lanes!(|a: u64, n: u32| -> u16 { (a >> n) as u16 }),
                _ => lanes!(|a: u32, n: u32| -> u16 { (a >> n) as u16 }),
            };
            let d = self.destination(operand, part)?;
            let direct = ty.bytes() == 8;
            let to = if direct { d } else { self.new_word() };
            self.emit_lanes(f, Slots { d: to, a, b: shift, ..Slots::default() });
            if !direct {
                held.push((d, to));
            }
        }
        for (d, a) in held {
            self.emit_lanes(lanes!(|a: u32| -> u32 { a }), Slots { d, a, ..Slots::default() });
        }
        Ok(())
    }

    fn convert_address(&mut self, words: &mut Words, operands: &[Operand]) -> Result<(), Refusal> {
        let to = words.take("to");
        let space = words.take_any(&["global", "shared", "local", "const", "param"]);
        let ty = words.take_type();
        let (Some(space), Some(Type::U64)) = (space, ty) else {
            return Err(self.refusal("`cvta` wants a space and .u64"));
        };
        words.drop_prefixed("shared::");
        if let Operand::Name(name) | Operand::Offset(name, _) = &operands[1] {
            let own = match self.symbol(name)? {
                Symbol::Register { .. } => space,
                Symbol::Shared { .. } | Symbol::DynamicShared => "shared",
                Symbol::Local { .. } if space == "param" => "param",
                Symbol::Local { .. } => "local",
                Symbol::Parameter { .. } => "param",
                Symbol::Global { constant: false, .. } => "global",
                Symbol::Global { .. } => "const",
                _ => "",
            };
            if own != space {
                return Err(self.refusal(format!("`{name}` is not in the space of `cvta.{space}`")));
            }
        }
        let window = match space {
            "shared" => SHARED_WINDOW,
            "local" => LOCAL_WINDOW,
            "param" => PARAMETER_WINDOW,
            _ => 0,
        };
        let added = if to { window.wrapping_neg() } else { window };
        let (a, b) = (self.source_or_address(&operands[1], Type::U64)?, self.long_constant(added));
        let d = self.destination(&operands[0], Type::U64)?;
        self.emit_lanes(
            lanes!(|a: u64, b: u64| -> u64 { a.wrapping_add(b) }),
            Slots { d, a, b, ..Slots::default() },
        );
        Ok(())
    }

    fn is_in_space(&mut self, words: &mut Words, operands: &[Operand]) -> Result<(), Refusal> {
        let window = match words.take_any(&["global", "shared", "local", "const", "param"]) {
            Some("shared") => SHARED_WINDOW,
            Some("local") => LOCAL_WINDOW,
            Some("param") => PARAMETER_WINDOW,
            Some("global") => GLOBAL_WINDOW,
            _ => return Err(self.refusal("`isspacep` of this space is not emulated")),
        };
        let (a, b) = (self.source(&operands[1], Type::U64)?, self.long_constant(window >> 48));
        let d = self.destination(&operands[0], Type::Pred)?;
        self.emit_lanes(
            lanes!(|a: u64, b: u64| -> bool { a >> 48 == b }),
            Slots { d, a, b, ..Slots::default() },
        );
        Ok(())
    }
}
