//! Operations on bits.

use super::{Decoder, Words};
use crate::lanes::{Slots, each, lanes};
use crate::ptx::types::Class;
use crate::ptx::{Operand, Refusal, Type};

/// A function of operands without a sign, by their width.
macro_rules! widths {
    ($ty:expr, |$($x:ident),+| $body:expr) => {
        match $ty.bytes() {
            2 => Some(lanes!(|$($x: u16),+| -> u16 { $body })),
            4 => Some(lanes!(|$($x: u32),+| -> u32 { $body })),
            8 => Some(lanes!(|$($x: u64),+| -> u64 { $body })),
            _ => None,
        }
    };
}

impl Decoder<'_> {
    pub(super) fn bits(
        &mut self,
        opcode: &str,
        words: &mut Words,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        let ty =
            words.take_type().ok_or_else(|| self.refusal(format!("`{opcode}` has no type")))?;
        match opcode {
            "and" | "or" | "xor" | "not" if ty == Type::Pred => {
                let f = match opcode {
                    "and" => lanes!(|a: bool, b: bool| -> bool { a & b }),
                    "or" => lanes!(|a: bool, b: bool| -> bool { a | b }),
                    "xor" => lanes!(|a: bool, b: bool| -> bool { a ^ b }),
                    _ => lanes!(|a: bool| -> bool { !a }),
                };
                self.count(operands, if opcode == "not" { 2 } else { 3 })?;
                self.operation(opcode, Some(f), ty, ty, operands)
            }
            "and" | "or" | "xor" | "not" | "cnot" => {
                let f = match opcode {
                    _ if ty.class() != Class::Bits => None,
                    "and" => widths!(ty, |a, b| a & b),
                    "or" => widths!(ty, |a, b| a | b),
                    "xor" => widths!(ty, |a, b| a ^ b),
                    "not" => widths!(ty, |a| !a),
                    _ => widths!(ty, |a| (a == 0).into()),
                };
                self.count(operands, if matches!(opcode, "not" | "cnot") { 2 } else { 3 })?;
                self.operation(opcode, f, ty, ty, operands)
            }
            "shl" | "shr" => {
                self.count(operands, 3)?;
                let f = match (opcode, ty.class(), ty.bytes()) {
                    ("shl", Class::Bits, 2) => {
                        lanes!(|a: u16, n: u32| -> u16 { a.checked_shl(n).unwrap_or(0) })
                    }
                    ("shl", Class::Bits, 4) => {
                        lanes!(|a: u32, n: u32| -> u32 { a.checked_shl(n).unwrap_or(0) })
                    }
                    ("shl", Class::Bits, 8) => {
                        lanes!(|a: u64, n: u32| -> u64 { a.checked_shl(n).unwrap_or(0) })
                    }
                    ("shr", Class::Bits | Class::Unsigned, 2) => {
                        lanes!(|a: u16, n: u32| -> u16 { a.checked_shr(n).unwrap_or(0) })
                    }
                    ("shr", Class::Bits | Class::Unsigned, 4) => {
                        lanes!(|a: u32, n: u32| -> u32 { a.checked_shr(n).unwrap_or(0) })
                    }
                    ("shr", Class::Bits | Class::Unsigned, 8) => {
                        lanes!(|a: u64, n: u32| -> u64 { a.checked_shr(n).unwrap_or(0) })
                    }
                    ("shr", Class::Signed, 2) => lanes!(|a: i16, n: u32| -> i16 { a >> n.min(15) }),
                    ("shr", Class::Signed, 4) => lanes!(|a: i32, n: u32| -> i32 { a >> n.min(31) }),
                    ("shr", Class::Signed, 8) => lanes!(|a: i64, n: u32| -> i64 { a >> n.min(63) }),
                    _ => return Err(self.bad_type(opcode, ty)),
                };
                let a = self.source(&operands[1], ty)?;
                let b = self.source(&operands[2], Type::U32)?;
                let d = self.destination(&operands[0], ty)?;
                self.emit_lanes(f, Slots { d, a, b, ..Slots::default() });
                Ok(())
            }
            "shf" => {
                self.count(operands, 4)?;
                let (left, right) = (words.take("l"), words.take("r"));
                let wrap = words.take("wrap");
                if left == right || ty != Type::B32 || !wrap && !words.take("clamp") {
                    return Err(self.bad_type(opcode, ty));
                }
                let f = match (left, wrap) {
                    (true, true) => lanes!(|a: u32, b: u32, n: u32| -> u32 {
                        ((joined(a, b) << (n & 31)) >> 32) as u32
                    }),
                    (true, false) => lanes!(|a: u32, b: u32, n: u32| -> u32 {
                        ((joined(a, b) << n.min(32)) >> 32) as u32
                    }),
                    (false, true) => lanes!(|a: u32, b: u32, n: u32| -> u32 {
                        (joined(a, b) >> (n & 31)) as u32
                    }),
                    (false, false) => lanes!(|a: u32, b: u32, n: u32| -> u32 {
                        (joined(a, b) >> n.min(32)) as u32
                    }),
                };
                self.operation(opcode, Some(f), ty, ty, operands)
            }
            "popc" | "clz" | "brev" => {
                self.count(operands, 2)?;
                let (f, result) = match (opcode, ty) {
                    ("popc", Type::B32) => (lanes!(|a: u32| -> u32 { a.count_ones() }), Type::U32),
                    ("popc", Type::B64) => (lanes!(|a: u64| -> u32 { a.count_ones() }), Type::U32),
                    ("clz", Type::B32) => {
                        (lanes!(|a: u32| -> u32 { a.leading_zeros() }), Type::U32)
                    }
                    ("clz", Type::B64) => {
                        (lanes!(|a: u64| -> u32 { a.leading_zeros() }), Type::U32)
                    }
                    ("brev", Type::B32) => (lanes!(|a: u32| -> u32 { a.reverse_bits() }), ty),
                    ("brev", Type::B64) => (lanes!(|a: u64| -> u64 { a.reverse_bits() }), ty),
                    _ => return Err(self.bad_type(opcode, ty)),
                };
                self.operation(opcode, Some(f), ty, result, operands)
            }
            "bfind" => {
                self.count(operands, 2)?;
                let f = match (words.take("shiftamt"), ty) {
                    (false, Type::U32) => {
                        lanes!(|a: u32| -> u32 { 31u32.wrapping_sub(a.leading_zeros()) })
                    }
                    (false, Type::S32) => lanes!(|a: i32| -> u32 {
                        31u32.wrapping_sub((a ^ a >> 31).leading_zeros())
                    }),
                    (false, Type::U64) => {
                        lanes!(|a: u64| -> u32 { 63u32.wrapping_sub(a.leading_zeros()) })
                    }
                    (false, Type::S64) => lanes!(|a: i64| -> u32 {
                        63u32.wrapping_sub((a ^ a >> 63).leading_zeros())
                    }),
                    (true, Type::U32) => {
                        lanes!(|a: u32| -> u32 { shift_to_top(a.leading_zeros(), 32) })
                    }
                    (true, Type::S32) => {
                        lanes!(|a: i32| -> u32 { shift_to_top((a ^ a >> 31).leading_zeros(), 32) })
                    }
                    (true, Type::U64) => {
                        lanes!(|a: u64| -> u32 { shift_to_top(a.leading_zeros(), 64) })
                    }
                    (true, Type::S64) => {
                        lanes!(|a: i64| -> u32 { shift_to_top((a ^ a >> 63).leading_zeros(), 64) })
                    }
                    _ => return Err(self.bad_type(opcode, ty)),
                };
                self.operation(opcode, Some(f), ty, Type::U32, operands)
            }
            "bfe" => {
                self.count(operands, 4)?;
                let f = match ty {
                    Type::U32 => each!(|a: u32, at: u32, n: u32| -> u32 {
                        field(u64::from(a), at, n, 32, false) as u32
                    }),
                    Type::S32 => each!(|a: u32, at: u32, n: u32| -> u32 {
                        field(u64::from(a), at, n, 32, true) as u32
                    }),
                    Type::U64 => {
                        each!(|a: u64, at: u32, n: u32| -> u64 { field(a, at, n, 64, false) })
                    }
                    Type::S64 => {
                        each!(|a: u64, at: u32, n: u32| -> u64 { field(a, at, n, 64, true) })
                    }
                    _ => return Err(self.bad_type(opcode, ty)),
                };
                let a = self.source(&operands[1], ty)?;
                let (b, c) =
                    (self.source(&operands[2], Type::U32)?, self.source(&operands[3], Type::U32)?);
                let d = self.destination(&operands[0], ty)?;
                self.emit_lanes(f, Slots { d, a, b, c, e: 0 });
                Ok(())
            }
            "bfi" => {
                self.count(operands, 5)?;
                let f = match ty {
                    Type::B32 => each!(|a: u32, b: u32, at: u32, n: u32| -> u32 {
                        inserted(u64::from(a), u64::from(b), at, n, 32) as u32
                    }),
                    Type::B64 => each!(|a: u64, b: u64, at: u32, n: u32| -> u64 {
                        inserted(a, b, at, n, 64)
                    }),
                    _ => return Err(self.bad_type(opcode, ty)),
                };
                let (a, b) = (self.source(&operands[1], ty)?, self.source(&operands[2], ty)?);
                let (c, e) =
                    (self.source(&operands[3], Type::U32)?, self.source(&operands[4], Type::U32)?);
                let d = self.destination(&operands[0], ty)?;
                self.emit_lanes(f, Slots { d, a, b, c, e });
                Ok(())
            }
            "prmt" => {
                self.count(operands, 4)?;
                if ty != Type::B32 {
                    return Err(self.bad_type(opcode, ty));
                }
                let f = match words.take_any(&["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"]) {
                    None => each!(|a: u32, b: u32, c: u32| -> u32 { permuted(a, b, c) }),
                    Some("f4e") => each!(|a: u32, b: u32, c: u32| -> u32 {
                        (joined(a, b) >> (8 * (c & 3))) as u32
                    }),
                    Some("b4e") => each!(|a: u32, b: u32, c: u32| -> u32 {
                        permuted(a, b, [0x5670, 0x6701, 0x7012, 0x0123][c as usize & 3])
                    }),
                    Some("rc8") => {
                        each!(|a: u32, c: u32| -> u32 { (a >> (8 * (c & 3)) & 0xff) * 0x0101_0101 })
                    }
                    Some("ecl") => each!(|a: u32, b: u32, c: u32| -> u32 {
                        permuted(a, b, [0x3210, 0x3211, 0x3222, 0x3333][c as usize & 3])
                    }),
                    Some("ecr") => each!(|a: u32, b: u32, c: u32| -> u32 {
                        permuted(a, b, [0x0000, 0x1110, 0x2210, 0x3210][c as usize & 3])
                    }),
                    _ => each!(|a: u32, b: u32, c: u32| -> u32 {
                        permuted(a, b, [0x1010, 0x3232][c as usize & 1])
                    }),
                };
                let mut slots = self.slots(operands, ty, ty)?;
                if words.all.iter().any(|word| word == "rc8") {
                    slots.b = slots.c;
                }
                self.emit_lanes(f, slots);
                Ok(())
            }
            "lop3" => {
                self.count(operands, 5)?;
                let Operand::Integer(table) = operands[4] else {
                    return Err(self.refusal("the table of `lop3` must be a constant"));
                };
                if ty != Type::B32 || !(0..256).contains(&table) {
                    return Err(self.bad_type(opcode, ty));
                }
                let f = lanes!(|a: u32, b: u32, c: u32, table: u32| -> u32 {
                    looked_up(a, b, c, table)
                });
                self.operation(opcode, Some(f), ty, ty, operands)
            }
            _ => Err(self.refusal(format!("`{opcode}` is not emulated"))),
        }
    }
}

#[inline(always)]
fn joined(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// How far the highest significant bit is from the top; all ones where there is none.
#[inline(always)]
fn shift_to_top(leading_zeros: u32, bits: u32) -> u32 {
    if leading_zeros == bits { u32::MAX } else { leading_zeros }
}

/// The field of `n` bits from `at`; a signed one is filled with its top bit, or with that of `a` where it reaches beyond it.
fn field(a: u64, at: u32, n: u32, bits: u32, signed: bool) -> u64 {
    let (at, n) = (at & 0xff, n & 0xff);
    let top = bits - 1;
    let sign = signed && n != 0 && a >> (at + n - 1).min(top) & 1 != 0;
    let value = if at > top { 0 } else { a >> at };
    let in_a = n.min((top + 1).saturating_sub(at));
    let mask = if in_a >= 64 { u64::MAX } else { (1 << in_a) - 1 };
    if sign { value & mask | !mask } else { value & mask }
}

/// `b` with the low `n` bits of `a` from bit `at` on.
fn inserted(a: u64, b: u64, at: u32, n: u32, bits: u32) -> u64 {
    let (at, n) = (at & 0xff, n & 0xff);
    if at >= bits || n == 0 {
        return b;
    }
    let n = n.min(bits - at);
    let mask = if n >= 64 { u64::MAX } else { (1 << n) - 1 } << at;
    b & !mask | a << at & mask
}

/// Bytes of `b:a` picked by the nibbles of `selector`; the top bit of a nibble spreads the byte's sign.
fn permuted(a: u32, b: u32, selector: u32) -> u32 {
    let bytes = joined(a, b).to_le_bytes();
    let mut out = [0; 4];
    for (i, byte) in out.iter_mut().enumerate() {
        let nibble = selector >> (4 * i) & 0xf;
        let picked = bytes[nibble as usize & 7];
        *byte = match nibble & 8 {
            0 => picked,
            _ if picked & 0x80 != 0 => 0xff,
            _ => 0,
        };
    }
    u32::from_le_bytes(out)
}

#[inline(always)]
fn looked_up(a: u32, b: u32, c: u32, table: u32) -> u32 {
    let mut out = 0;
    let mut k = 0;
    while k < 8 {
        let term = (if k & 4 != 0 { a } else { !a })
            & (if k & 2 != 0 { b } else { !b })
            & (if k & 1 != 0 { c } else { !c });
        out |= term & (table >> k & 1).wrapping_neg();
        k += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        assert_eq!(field(0xabcd_1234, 8, 8, 32, false), 0x12);
        assert_eq!(field(0xabcd_1234, 24, 8, 32, true) as u32, 0xffff_ffab);
        assert_eq!(field(0xabcd_1234, 28, 8, 32, true) as u32, 0xffff_fffa);
        assert_eq!(field(0xabcd_1234, 40, 8, 32, false), 0);
        assert_eq!(field(u64::MAX, 0, 64, 64, false), u64::MAX);
        assert_eq!(inserted(0xff, 0, 28, 8, 32), 0xf000_0000);
        assert_eq!(inserted(0x5, 0xffff_0000, 4, 4, 32), 0xffff_0050);
    }

    #[test]
    fn bytes_and_tables() {
        assert_eq!(permuted(0x4433_2211, 0x8877_6655, 0x7531), 0x8866_4422);
        assert_eq!(permuted(0x4433_2291, 0, 0x8888), 0xffff_ffff);
        assert_eq!(looked_up(0b1100, 0b1010, 0b0110, 0x96) & 0xf, 0b1100 ^ 0b1010 ^ 0b0110);
    }
}
