//! Comparisons and selections.

use super::{Decoder, Words};
use crate::float;
use crate::lanes::{Lanes, Slots, lanes};
use crate::ptx::types::Class;
use crate::ptx::{Operand, Refusal, Type};

const COMPARISONS: [&str; 18] = [
    "eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ", "neu", "ltu", "leu", "gtu",
    "geu", "num", "nan",
];

/// A comparison of two operands of one type.
macro_rules! comparison {
    ($t:ty, $word:expr) => {
        match $word {
            "eq" => Some(lanes!(|a: $t, b: $t| -> bool { a == b })),
            "ne" => Some(lanes!(|a: $t, b: $t| -> bool { a != b })),
            "lt" | "lo" => Some(lanes!(|a: $t, b: $t| -> bool { a < b })),
            "le" | "ls" => Some(lanes!(|a: $t, b: $t| -> bool { a <= b })),
            "gt" | "hi" => Some(lanes!(|a: $t, b: $t| -> bool { a > b })),
            "ge" | "hs" => Some(lanes!(|a: $t, b: $t| -> bool { a >= b })),
            _ => None,
        }
    };
}

/// A comparison of floating point; those ending in `u` hold when an operand is NaN.
macro_rules! float_comparison {
    ($t:ty, $word:expr) => {
        match $word {
            // Of NaN `ne` is false here, unlike `!=`.
            "ne" => Some(lanes!(|a: $t, b: $t| -> bool { (a < b) | (a > b) })),
            "equ" => Some(lanes!(|a: $t, b: $t| -> bool { !((a < b) | (a > b)) })),
            "neu" => Some(lanes!(|a: $t, b: $t| -> bool { a != b })),
            "ltu" => Some(lanes!(|a: $t, b: $t| -> bool { (a < b) | a.is_nan() | b.is_nan() })),
            "leu" => Some(lanes!(|a: $t, b: $t| -> bool { (a <= b) | a.is_nan() | b.is_nan() })),
            "gtu" => Some(lanes!(|a: $t, b: $t| -> bool { (a > b) | a.is_nan() | b.is_nan() })),
            "geu" => Some(lanes!(|a: $t, b: $t| -> bool { (a >= b) | a.is_nan() | b.is_nan() })),
            "num" => Some(lanes!(|a: $t, b: $t| -> bool { !(a.is_nan() | b.is_nan()) })),
            "nan" => Some(lanes!(|a: $t, b: $t| -> bool { a.is_nan() | b.is_nan() })),
            "lo" | "ls" | "hi" | "hs" => None,
            word => comparison!($t, word),
        }
    };
}

fn compared(word: &str, ty: Type) -> Option<Lanes> {
    let unsigned_word = matches!(word, "lo" | "ls" | "hi" | "hs");
    match (ty, ty.class()) {
        (_, Class::Bits) if !matches!(word, "eq" | "ne") => None,
        (_, Class::Signed) if unsigned_word => None,
        (Type::U16 | Type::B16, _) => comparison!(u16, word),
        (Type::S16, _) => comparison!(i16, word),
        (Type::U32 | Type::B32, _) => comparison!(u32, word),
        (Type::S32, _) => comparison!(i32, word),
        (Type::U64 | Type::B64, _) => comparison!(u64, word),
        (Type::S64, _) => comparison!(i64, word),
        (Type::F32, _) => float_comparison!(f32, word),
        (Type::F64, _) => float_comparison!(f64, word),
        _ => None,
    }
}

fn combined(word: &str) -> Lanes {
    match word {
        "and" => lanes!(|a: bool, b: bool| -> bool { a & b }),
        "or" => lanes!(|a: bool, b: bool| -> bool { a | b }),
        _ => lanes!(|a: bool, b: bool| -> bool { a ^ b }),
    }
}

impl Decoder<'_> {
    pub(super) fn compare(
        &mut self,
        opcode: &str,
        words: &mut Words,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        match opcode {
            "selp" => self.select(words, operands),
            "slct" => self.select_by_sign(words, operands),
            _ => self.set(opcode, words, operands),
        }
    }

    fn set(
        &mut self,
        opcode: &str,
        words: &mut Words,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        let combination = words.take_any(&["and", "or", "xor"]);
        let comparison = words
            .take_any(&COMPARISONS)
            .ok_or_else(|| self.refusal(format!("`{opcode}` has no comparison")))?;
        let flush = words.take("ftz");
        let ty =
            words.take_type().ok_or_else(|| self.refusal(format!("`{opcode}` has no type")))?;
        let result = if opcode == "set" {
            words.take_type().ok_or_else(|| self.refusal("`set` wants two types"))?
        } else {
            Type::Pred
        };
        self.count(operands, if combination.is_some() { 4 } else { 3 })?;
        let Some(f) = compared(comparison, ty) else {
            return Err(self.bad_type(opcode, ty));
        };
        if flush && ty != Type::F32 {
            return Err(self.bad_type(opcode, ty));
        }
        let (mut a, mut b) = (self.source(&operands[1], ty)?, self.source(&operands[2], ty)?);
        if flush {
            for source in [&mut a, &mut b] {
                let held = self.new_word();
                self.emit_lanes(
                    lanes!(|a: f32| -> f32 { float::flushed(a) }),
                    Slots { d: held, a: *source, ..Slots::default() },
                );
                *source = held;
            }
        }
        if combination.is_none() && opcode == "setp" && matches!(operands[0], Operand::Name(_)) {
            let d = self.destination(&operands[0], Type::Pred)?;
            self.emit_lanes(f, Slots { d, a, b, ..Slots::default() });
            return Ok(());
        }
        self.hold_guard();
        let mut yes = self.new_predicate();
        let mut no = self.new_predicate();
        let not = lanes!(|a: bool| -> bool { !a });
        self.emit_lanes(f, Slots { d: yes, a, b, ..Slots::default() });
        self.emit_lanes(not, Slots { d: no, a: yes, ..Slots::default() });
        if let Some(word) = combination {
            let c = self.source(&operands[3], Type::Pred)?;
            for flag in [&mut yes, &mut no] {
                let held = self.new_predicate();
                self.emit_lanes(
                    combined(word),
                    Slots { d: held, a: *flag, b: c, ..Slots::default() },
                );
                *flag = held;
            }
        }
        let same = lanes!(|a: bool| -> bool { a });
        match (&operands[0], result) {
            (Operand::Pair(p, q), Type::Pred) => {
                for (operand, flag) in [(p, yes), (q, no)] {
                    let d = self.destination(operand, Type::Pred)?;
                    self.emit_lanes(same, Slots { d, a: flag, ..Slots::default() });
                }
            }
            (operand, Type::Pred) => {
                let d = self.destination(operand, Type::Pred)?;
                self.emit_lanes(same, Slots { d, a: yes, ..Slots::default() });
            }
            (operand, _) => {
                let f = match result {
                    Type::U32 | Type::S32 => {
                        lanes!(|a: bool| -> u32 { if a { u32::MAX } else { 0 } })
                    }
                    Type::F32 => lanes!(|a: bool| -> f32 { if a { 1.0 } else { 0.0 } }),
                    _ => return Err(self.bad_type(opcode, result)),
                };
                let d = self.destination(operand, result)?;
                self.emit_lanes(f, Slots { d, a: yes, ..Slots::default() });
            }
        }
        Ok(())
    }

    fn select(&mut self, words: &mut Words, operands: &[Operand]) -> Result<(), Refusal> {
        self.count(operands, 4)?;
        let ty = words.take_type().ok_or_else(|| self.refusal("`selp` has no type"))?;
        let f = match ty.bytes() {
            2 | 4 => lanes!(|a: u32, b: u32, c: bool| -> u32 { if c { a } else { b } }),
            8 => lanes!(|a: u64, b: u64, c: bool| -> u64 { if c { a } else { b } }),
            _ => return Err(self.bad_type("selp", ty)),
        };
        let (a, b) = (self.source(&operands[1], ty)?, self.source(&operands[2], ty)?);
        let c = self.source(&operands[3], Type::Pred)?;
        let d = self.destination(&operands[0], ty)?;
        self.emit_lanes(f, Slots { d, a, b, c, e: 0 });
        Ok(())
    }

    fn select_by_sign(&mut self, words: &mut Words, operands: &[Operand]) -> Result<(), Refusal> {
        self.count(operands, 4)?;
        let by = words.take_type();
        let ty = words.take_type().ok_or_else(|| self.refusal("`slct` wants two types"))?;
        let flush = words.take("ftz");
        let (f, by) = match (ty.bytes(), by) {
            (4, Some(Type::S32)) => {
                (lanes!(|a: u32, b: u32, c: i32| -> u32 { if c >= 0 { a } else { b } }), Type::S32)
            }
            (8, Some(Type::S32)) => {
                (lanes!(|a: u64, b: u64, c: i32| -> u64 { if c >= 0 { a } else { b } }), Type::S32)
            }
            (4, Some(Type::F32)) if flush => (
                lanes!(|a: u32, b: u32, c: f32| -> u32 {
                    if float::flushed(c) >= 0.0 { a } else { b }
                }),
                Type::F32,
            ),
            (8, Some(Type::F32)) if flush => (
                lanes!(|a: u64, b: u64, c: f32| -> u64 {
                    if float::flushed(c) >= 0.0 { a } else { b }
                }),
                Type::F32,
            ),
            (4, Some(Type::F32)) => (
                lanes!(|a: u32, b: u32, c: f32| -> u32 { if c >= 0.0 { a } else { b } }),
                Type::F32,
            ),
            (8, Some(Type::F32)) => (
                lanes!(|a: u64, b: u64, c: f32| -> u64 { if c >= 0.0 { a } else { b } }),
                Type::F32,
            ),
            _ => return Err(self.bad_type("slct", ty)),
        };
        let (a, b) = (self.source(&operands[1], ty)?, self.source(&operands[2], ty)?);
        let c = self.source(&operands[3], by)?;
        let d = self.destination(&operands[0], ty)?;
        self.emit_lanes(f, Slots { d, a, b, c, e: 0 });
        Ok(())
    }
}
