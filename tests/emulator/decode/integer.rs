//! Arithmetic on integers.

use super::{Decoder, Words};
use crate::lanes::{Lanes, Slots, each, lanes};
use crate::ptx::types::Class;
use crate::ptx::{Operand, Refusal, Type};

/// A function of operands of one integer type, by the type.
macro_rules! integers {
    ($make:ident, $ty:expr, |$($x:ident),+| $body:expr) => {
        match $ty {
            Type::U16 => Some($make!(|$($x: u16),+| -> u16 { $body })),
            Type::S16 => Some($make!(|$($x: i16),+| -> i16 { $body })),
            Type::U32 => Some($make!(|$($x: u32),+| -> u32 { $body })),
            Type::S32 => Some($make!(|$($x: i32),+| -> i32 { $body })),
            Type::U64 => Some($make!(|$($x: u64),+| -> u64 { $body })),
            Type::S64 => Some($make!(|$($x: i64),+| -> i64 { $body })),
            _ => None,
        }
    };
}

fn product_high(ty: Type) -> Option<Lanes> {
    Some(match ty {
        Type::U16 => {
            lanes!(|a: u16, b: u16| -> u16 { ((u32::from(a) * u32::from(b)) >> 16) as u16 })
        }
        Type::S16 => {
            lanes!(|a: i16, b: i16| -> i16 { ((i32::from(a) * i32::from(b)) >> 16) as i16 })
        }
        Type::U32 => {
            lanes!(|a: u32, b: u32| -> u32 { ((u64::from(a) * u64::from(b)) >> 32) as u32 })
        }
        Type::S32 => {
            lanes!(|a: i32, b: i32| -> i32 { ((i64::from(a) * i64::from(b)) >> 32) as i32 })
        }
        Type::U64 => {
            each!(|a: u64, b: u64| -> u64 { ((u128::from(a) * u128::from(b)) >> 64) as u64 })
        }
        Type::S64 => {
            each!(|a: i64, b: i64| -> i64 { ((i128::from(a) * i128::from(b)) >> 64) as i64 })
        }
        _ => return None,
    })
}

fn product_wide(ty: Type) -> Option<Lanes> {
    Some(match ty {
        Type::U16 => lanes!(|a: u16, b: u16| -> u32 { u32::from(a) * u32::from(b) }),
        Type::S16 => lanes!(|a: i16, b: i16| -> i32 { i32::from(a) * i32::from(b) }),
        Type::U32 => lanes!(|a: u32, b: u32| -> u64 { u64::from(a) * u64::from(b) }),
        Type::S32 => lanes!(|a: i32, b: i32| -> i64 { i64::from(a) * i64::from(b) }),
        _ => return None,
    })
}

fn sum_wide(ty: Type) -> Option<Lanes> {
    Some(match ty {
        Type::U16 | Type::S16 => lanes!(|a: u32, b: u32| -> u32 { a.wrapping_add(b) }),
        Type::U32 | Type::S32 => lanes!(|a: u64, b: u64| -> u64 { a.wrapping_add(b) }),
        _ => return None,
    })
}

fn widened(ty: Type) -> Type {
    match ty {
        Type::U16 => Type::U32,
        Type::S16 => Type::S32,
        Type::U32 => Type::U64,
        _ => Type::S64,
    }
}

impl Decoder<'_> {
    pub(super) fn arithmetic(
        &mut self,
        opcode: &str,
        words: &mut Words,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        let ty =
            words.take_type().ok_or_else(|| self.refusal(format!("`{opcode}` has no type")))?;
        match ty.class() {
            Class::Float => self.float_arithmetic(opcode, ty, words, operands),
            Class::Signed | Class::Unsigned => self.integer_arithmetic(opcode, ty, words, operands),
            Class::Bits | Class::Predicate => Err(self.bad_type(opcode, ty)),
        }
    }

    pub(super) fn bad_type(&self, opcode: &str, ty: Type) -> Refusal {
        self.refusal(format!(
            "Unexpected instruction types specified for '{opcode}': .{}",
            ty.name()
        ))
    }

    fn integer_arithmetic(
        &mut self,
        opcode: &str,
        ty: Type,
        words: &mut Words,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        if words.take("cc") || matches!(opcode, "addc" | "subc" | "madc") {
            return self.extended(opcode, ty, words, operands);
        }
        let half = match opcode {
            "mul" | "mad" => words.take_any(&["lo", "hi", "wide"]),
            _ => None,
        };
        match (opcode, half) {
            ("mul" | "mad", None) => {
                Err(self.refusal(format!("`{opcode}` of integers wants .lo, .hi or .wide")))
            }
            ("mad", Some(half)) => {
                self.count(operands, 4)?;
                let wide = half == "wide";
                let result = if wide { widened(ty) } else { ty };
                let (a, b) = (self.source(&operands[1], ty)?, self.source(&operands[2], ty)?);
                let c = self.source(&operands[3], result)?;
                let d = self.destination(&operands[0], result)?;
                let fused = match half {
                    "lo" => integers!(lanes, ty, |a, b, c| a.wrapping_mul(b).wrapping_add(c)),
                    _ => None,
                };
                if let Some(fused) = fused {
                    self.emit_lanes(fused, Slots { d, a, b, c, e: 0 });
                    return Ok(());
                }
                let product = self.new_register(result);
                let (multiply, add) = if wide {
                    (product_wide(ty), sum_wide(ty))
                } else {
                    (product_high(ty), integers!(lanes, ty, |a, b| a.wrapping_add(b)))
                };
                let (Some(multiply), Some(add)) = (multiply, add) else {
                    return Err(self.bad_type(opcode, ty));
                };
                if words.take("sat") {
                    return Err(self.refusal("`mad.hi.sat` is not emulated"));
                }
                self.emit_lanes(multiply, Slots { d: product, a, b, ..Slots::default() });
                self.emit_lanes(add, Slots { d, a: product, b: c, ..Slots::default() });
                Ok(())
            }
            ("mul", Some(half)) => {
                self.count(operands, 3)?;
                let result = if half == "wide" { widened(ty) } else { ty };
                let f = match half {
                    "lo" => integers!(lanes, ty, |a, b| a.wrapping_mul(b)),
                    "hi" => product_high(ty),
                    _ => product_wide(ty),
                };
                self.operation(opcode, f, ty, result, operands)
            }
            ("sad", _) => {
                self.count(operands, 4)?;
                let f = integers!(lanes, ty, |a, b, c| c.wrapping_add(if a < b {
                    b.wrapping_sub(a)
                } else {
                    a.wrapping_sub(b)
                }));
                self.operation(opcode, f, ty, ty, operands)
            }
            ("abs" | "neg", _) => {
                self.count(operands, 2)?;
                if ty.class() != Class::Signed {
                    return Err(self.bad_type(opcode, ty));
                }
                let f = match (opcode, ty) {
                    ("abs", Type::S16) => Some(lanes!(|a: i16| -> i16 { a.wrapping_abs() })),
                    ("abs", Type::S32) => Some(lanes!(|a: i32| -> i32 { a.wrapping_abs() })),
                    ("abs", Type::S64) => Some(lanes!(|a: i64| -> i64 { a.wrapping_abs() })),
                    ("neg", _) => integers!(lanes, ty, |a| a.wrapping_neg()),
                    _ => None,
                };
                self.operation(opcode, f, ty, ty, operands)
            }
            _ => {
                self.count(operands, 3)?;
                let f = match opcode {
                    "add" if words.take("sat") => match ty {
                        Type::S32 => Some(lanes!(|a: i32, b: i32| -> i32 { a.saturating_add(b) })),
                        _ => None,
                    },
                    "sub" if words.take("sat") => match ty {
                        Type::S32 => Some(lanes!(|a: i32, b: i32| -> i32 { a.saturating_sub(b) })),
                        _ => None,
                    },
                    "add" => integers!(lanes, ty, |a, b| a.wrapping_add(b)),
                    "sub" => integers!(lanes, ty, |a, b| a.wrapping_sub(b)),
                    "min" => integers!(lanes, ty, |a, b| a.min(b)),
                    "max" => integers!(lanes, ty, |a, b| a.max(b)),
                    // A division by zero gives all ones on the device, and its remainder the dividend.
                    "div" => {
                        integers!(each, ty, |a, b| if b == 0 { !b } else { a.wrapping_div(b) })
                    }
                    "rem" => integers!(each, ty, |a, b| if b == 0 { a } else { a.wrapping_rem(b) }),
                    _ => None,
                };
                self.operation(opcode, f, ty, ty, operands)
            }
        }
    }

    /// Emits `f` of all operands after the first, each of type `ty`.
    pub(super) fn operation(
        &mut self,
        opcode: &str,
        f: Option<Lanes>,
        ty: Type,
        result: Type,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        let Some(f) = f else {
            return Err(self.bad_type(opcode, ty));
        };
        let slots = self.slots(operands, ty, result)?;
        self.emit_lanes(f, slots);
        Ok(())
    }

    /// A destination of type `result` and up to four sources of type `ty`.
    pub(super) fn slots(
        &mut self,
        operands: &[Operand],
        ty: Type,
        result: Type,
    ) -> Result<Slots, Refusal> {
        let mut sources = [0; 4];
        for (slot, operand) in sources.iter_mut().zip(&operands[1..]) {
            *slot = self.source(operand, ty)?;
        }
        let d = self.destination(&operands[0], result)?;
        let [a, b, c, e] = sources;
        Ok(Slots { d, a, b, c, e })
    }

    /// Arithmetic with a carry, in a predicate that no name means. A borrow is kept as a carry of 1.
    fn extended(
        &mut self,
        opcode: &str,
        ty: Type,
        words: &mut Words,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        // `.cc` was taken by the caller when it is there.
        let sets = words.all.iter().any(|word| word == "cc");
        words.take("cc");
        if self.carry == 0 {
            self.carry = self.new_predicate();
        }
        let carry = self.carry;
        let takes = opcode.ends_with('c');
        let (mut a, mut b, d);
        if opcode.starts_with("mad") {
            self.count(operands, 4)?;
            let half = words.take_any(&["lo", "hi"]);
            let product = match half {
                Some("lo") => integers!(lanes, ty, |a, b| a.wrapping_mul(b)),
                Some("hi") => product_high(ty),
                _ => None,
            };
            let Some(product) = product else {
                return Err(self.bad_type(opcode, ty));
            };
            a = self.source(&operands[1], ty)?;
            b = self.source(&operands[2], ty)?;
            let c = self.source(&operands[3], ty)?;
            d = self.destination(&operands[0], ty)?;
            let held = self.new_register(ty);
            self.emit_lanes(product, Slots { d: held, a, b, ..Slots::default() });
            (a, b) = (held, c);
        } else {
            self.count(operands, 3)?;
            a = self.source(&operands[1], ty)?;
            b = self.source(&operands[2], ty)?;
            d = self.destination(&operands[0], ty)?;
        }
        let taken = if takes { carry } else { 0 };
        let (value, flag) = match (opcode.starts_with("sub"), ty.bytes()) {
            (false, 4) => (
                lanes!(|a: u32, b: u32, c: bool| -> u32 {
                    a.wrapping_add(b).wrapping_add(u32::from(c))
                }),
                lanes!(|a: u32, b: u32, c: bool| -> bool {
                    u64::from(a) + u64::from(b) + u64::from(c) > u64::from(u32::MAX)
                }),
            ),
            (false, 8) => (
                lanes!(|a: u64, b: u64, c: bool| -> u64 {
                    a.wrapping_add(b).wrapping_add(u64::from(c))
                }),
                each!(|a: u64, b: u64, c: bool| -> bool {
                    u128::from(a) + u128::from(b) + u128::from(c) > u128::from(u64::MAX)
                }),
            ),
            (true, 4) => (
                lanes!(|a: u32, b: u32, c: bool| -> u32 {
                    a.wrapping_sub(b).wrapping_sub(u32::from(c))
                }),
                lanes!(|a: u32, b: u32, c: bool| -> bool {
                    u64::from(a) < u64::from(b) + u64::from(c)
                }),
            ),
            (true, 8) => (
                lanes!(|a: u64, b: u64, c: bool| -> u64 {
                    a.wrapping_sub(b).wrapping_sub(u64::from(c))
                }),
                each!(|a: u64, b: u64, c: bool| -> bool {
                    u128::from(a) < u128::from(b) + u128::from(c)
                }),
            ),
            _ => return Err(self.bad_type(opcode, ty)),
        };
        // The result may overwrite an operand, and the flag the carry: the flag waits.
        let new_flag = self.new_predicate();
        if sets {
            self.emit_lanes(flag, Slots { d: new_flag, a, b, c: taken, e: 0 });
        }
        self.emit_lanes(value, Slots { d, a, b, c: taken, e: 0 });
        if sets {
            self.emit_lanes(
                lanes!(|a: bool| -> bool { a }),
                Slots { d: carry, a: new_flag, ..Slots::default() },
            );
        }
        Ok(())
    }
}
