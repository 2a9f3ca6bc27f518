//! Loads, stores and atomic operations.

use std::sync::atomic::AtomicU32;

use super::{Decoder, Words};
use crate::lanes::Slots;
use crate::program::{Access, Action, Atomic, AtomicOperation, Place};
use crate::ptx::types::Class;
use crate::ptx::{Operand, Refusal, Type};

impl Decoder<'_> {
    pub(super) fn memory(
        &mut self,
        opcode: &str,
        words: &mut Words,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        let hinted =
            ["L1::", "L2::", "level::"].map(|hint| words.drop_prefixed(hint)).contains(&true);
        if hinted && self.module.version < 74 {
            return Err(self.refusal("cache hints require PTX ISA .version 7.4 or later"));
        }
        words.take_any(&["L1", "L2"]);
        match opcode {
            "ld" | "ldu" => self.load(words, operands),
            "st" => self.store(words, operands),
            "atom" | "red" => self.atomic(opcode, words, operands),
            _ => {
                let place = self.take_place(words);
                self.count(operands, 1)?;
                self.address(&operands[0], place)?;
                self.emit(Action::Nothing, Slots::default());
                Ok(())
            }
        }
    }

    fn take_place(&self, words: &mut Words) -> Place {
        for suffix in ["shared::cta", "param::entry", "param::func"] {
            if words.take(suffix) {
                return if suffix == "shared::cta" { Place::Shared } else { Place::Parameter };
            }
        }
        match words.take_any(&["global", "shared", "local", "const", "param"]) {
            Some("global") => Place::Global,
            Some("shared") => Place::Shared,
            Some("local") => Place::Local,
            Some("const") => Place::Constant,
            Some("param") => Place::Parameter,
            _ => Place::Generic,
        }
    }

    /// Whether the access takes part in synchronization, and whether it acquires.
    fn take_order(&self, words: &mut Words) -> Result<(bool, bool), Refusal> {
        let volatile = words.take("volatile");
        let order = words.take_any(&["weak", "relaxed", "acquire", "release", "acq_rel", "mmio"]);
        let scope = words.take_any(&["cta", "gpu", "sys", "cluster"]);
        let strong = matches!(order, Some(word) if word != "weak");
        if strong && scope.is_none() {
            return Err(self.refusal("a scope (.cta, .gpu, .sys) must be given with an ordering"));
        }
        Ok((volatile || strong, volatile || matches!(order, Some("acquire" | "relaxed"))))
    }

    fn access(
        &mut self,
        words: &mut Words,
        address: &Operand,
        data: &Operand,
        is_load: bool,
    ) -> Result<Access, Refusal> {
        let (strong, spins) = self.take_order(words)?;
        let place = self.take_place(words);
        if words.take("nc") && place != Place::Global {
            return Err(self.refusal("Modifier '.nc' requires .global space"));
        }
        words.take_any(&["ca", "cg", "cs", "lu", "cv", "wb", "wt"]);
        let elements = match words.take_any(&["v2", "v4"]) {
            Some("v2") => 2,
            Some(_) => 4,
            None => 1,
        };
        let ty = words.take_type().ok_or_else(|| self.refusal("the access has no type"))?;
        if ty == Type::Pred || elements as usize * ty.bytes() > 16 {
            return Err(self.bad_type(if is_load { "ld" } else { "st" }, ty));
        }
        let single;
        let parts: &[Operand] = match data {
            Operand::Vector(parts) if elements > 1 => parts,
            operand if elements == 1 && !matches!(operand, Operand::Vector(_)) => {
                single = [operand.clone()];
                &single
            }
            _ => {
                return Err(
                    self.refusal("Arguments mismatch: the vector has another number of elements")
                );
            }
        };
        if parts.len() != elements as usize {
            return Err(self.refusal(format!(
                "Arguments mismatch: {elements} elements expected, got {}",
                parts.len()
            )));
        }
        let mut slots = [u32::MAX; 4];
        let mut register_bytes = 0;
        for (slot, part) in slots.iter_mut().zip(parts) {
            let own;
            if is_load {
                if *part == Operand::Name("_".to_owned()) {
                    continue;
                }
                (own, *slot) = self.register(part, ty, Type::fits)?;
            } else if let Operand::Name(_) = part {
                match self.register(part, ty, Type::fits) {
                    Ok((register, there)) => (own, *slot) = (register, there),
                    Err(_) => (own, *slot) = (ty, self.source(part, ty)?),
                }
            } else {
                (own, *slot) = (ty, self.source(part, ty)?);
            }
            let bytes = own.bytes().max(2);
            if register_bytes != 0 && register_bytes != bytes {
                return Err(
                    self.refusal("Arguments mismatch: registers of a vector have different widths")
                );
            }
            register_bytes = bytes;
        }
        let (place, base, offset) = self.address(address, place)?;
        Ok(Access {
            place,
            base,
            offset,
            ty,
            elements,
            data: slots,
            long: register_bytes == 8,
            register_bytes: register_bytes as u8,
            strong,
            spins,
            hint: AtomicU32::new(0),
        })
    }

    fn load(&mut self, words: &mut Words, operands: &[Operand]) -> Result<(), Refusal> {
        self.count(operands, 2)?;
        let access = self.access(words, &operands[1], &operands[0], true)?;
        self.emit(Action::Load(Box::new(access)), Slots::default());
        Ok(())
    }

    fn store(&mut self, words: &mut Words, operands: &[Operand]) -> Result<(), Refusal> {
        self.count(operands, 2)?;
        let access = self.access(words, &operands[0], &operands[1], false)?;
        if access.place == Place::Constant || access.place == Place::Parameter {
            return Err(self.refusal("the memory of `st` cannot be written"));
        }
        self.emit(Action::Store(Box::new(access)), Slots::default());
        Ok(())
    }

    fn atomic(
        &mut self,
        opcode: &str,
        words: &mut Words,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        words.take_any(&["relaxed", "acquire", "release", "acq_rel"]);
        words.take_any(&["cta", "gpu", "sys"]);
        let place = self.take_place(words);
        words.take("noftz");
        let operation =
            words.take_any(&["add", "min", "max", "and", "or", "xor", "inc", "dec", "exch", "cas"]);
        let ty =
            words.take_type().ok_or_else(|| self.refusal(format!("`{opcode}` has no type")))?;
        let (operation, allowed) = match operation {
            Some("add") => (AtomicOperation::Add, ty.class() != Class::Bits && ty.bytes() >= 4),
            Some("min") => (
                AtomicOperation::Min,
                matches!(ty.class(), Class::Signed | Class::Unsigned) && ty.bytes() >= 4,
            ),
            Some("max") => (
                AtomicOperation::Max,
                matches!(ty.class(), Class::Signed | Class::Unsigned) && ty.bytes() >= 4,
            ),
            Some("and") => (AtomicOperation::And, matches!(ty, Type::B32 | Type::B64)),
            Some("or") => (AtomicOperation::Or, matches!(ty, Type::B32 | Type::B64)),
            Some("xor") => (AtomicOperation::Xor, matches!(ty, Type::B32 | Type::B64)),
            Some("inc") => (AtomicOperation::Increment, ty == Type::U32),
            Some("dec") => (AtomicOperation::Decrement, ty == Type::U32),
            Some("exch") => (AtomicOperation::Exchange, matches!(ty, Type::B32 | Type::B64)),
            Some("cas") => (AtomicOperation::Swap, matches!(ty, Type::B16 | Type::B32 | Type::B64)),
            _ => return Err(self.refusal(format!("`{opcode}` has no operation"))),
        };
        if !allowed || ty == Type::S64 && operation == AtomicOperation::Add {
            return Err(self.bad_type(opcode, ty));
        }
        let discard = opcode == "red";
        let inputs = if operation == AtomicOperation::Swap { 2 } else { 1 };
        self.count(operands, 1 + inputs + usize::from(!discard))?;
        let rest = if discard { operands } else { &operands[1..] };
        let (place, base, offset) = self.address(&rest[0], place)?;
        if !matches!(place, Place::Global | Place::Shared | Place::Generic) {
            return Err(self.refusal(format!("`{opcode}` works on global and shared memory only")));
        }
        let b = self.source(&rest[1], ty)?;
        let c = if inputs == 2 { self.source(&rest[2], ty)? } else { 0 };
        let d = if discard { 0 } else { self.destination(&operands[0], ty)? };
        let access = Access {
            place,
            base,
            offset,
            ty,
            elements: 1,
            data: [0; 4],
            long: ty.bytes() == 8,
            register_bytes: ty.bytes() as u8,
            strong: true,
            spins: false,
            hint: AtomicU32::new(0),
        };
        let atomic = Atomic { access, operation, discard };
        self.emit(Action::Atomic(Box::new(atomic)), Slots { d, b, c, ..Slots::default() });
        Ok(())
    }
}
