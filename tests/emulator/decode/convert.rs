//! Conversions.

use super::{Decoder, Symbol, Words};
use crate::float::{self, Rounding};
use crate::lanes::{Lanes, Slots, each, lanes};
use crate::ptx::types::Class;
use crate::ptx::{Operand, Refusal, Type};

/// An integer of this type in 64 bits with its sign.
fn extended(ty: Type) -> Option<Lanes> {
    Some(match ty {
        Type::U8 | Type::B8 => lanes!(|a: u8| -> u64 { u64::from(a) }),
        Type::S8 => lanes!(|a: i8| -> i64 { i64::from(a) }),
        Type::U16 | Type::B16 => lanes!(|a: u16| -> u64 { u64::from(a) }),
        Type::S16 => lanes!(|a: i16| -> i64 { i64::from(a) }),
        Type::U32 | Type::B32 => lanes!(|a: u32| -> u64 { u64::from(a) }),
        Type::S32 => lanes!(|a: i32| -> i64 { i64::from(a) }),
        Type::U64 | Type::S64 | Type::B64 => lanes!(|a: u64| -> u64 { a }),
        _ => return None,
    })
}

/// The low bits of 64 as an integer of this type, in a register of `bytes`.
fn truncated(ty: Type, bytes: usize) -> Option<Lanes> {
    Some(match (ty, bytes) {
        (Type::U8, 8) => lanes!(|a: u64| -> u64 { a & 0xff }),
        (Type::U8, _) => lanes!(|a: u64| -> u32 { a as u32 & 0xff }),
        (Type::S8, 8) => lanes!(|a: i64| -> i64 { i64::from(a as i8) }),
        (Type::S8, 4) => lanes!(|a: i64| -> i32 { i32::from(a as i8) }),
        (Type::S8, _) => lanes!(|a: i64| -> i16 { i16::from(a as i8) }),
        (Type::U16, 8) => lanes!(|a: u64| -> u64 { a & 0xffff }),
        (Type::U16, _) => lanes!(|a: u64| -> u32 { a as u32 & 0xffff }),
        (Type::S16, 8) => lanes!(|a: i64| -> i64 { i64::from(a as i16) }),
        (Type::S16, 4) => lanes!(|a: i64| -> i32 { i32::from(a as i16) }),
        (Type::S16, _) => lanes!(|a: i64| -> i16 { a as i16 }),
        (Type::U32, 8) => lanes!(|a: u64| -> u64 { a & 0xffff_ffff }),
        (Type::S32, 8) => lanes!(|a: i64| -> i64 { i64::from(a as i32) }),
        (Type::U32 | Type::S32, _) => lanes!(|a: u64| -> u32 { a as u32 }),
        (Type::U64 | Type::S64, _) => lanes!(|a: u64| -> u64 { a }),
        _ => return None,
    })
}

/// An integer in 64 bits clamped to the range of `ty`.
fn clamped(ty: Type, from_unsigned: bool) -> Option<Lanes> {
    macro_rules! clamp {
        ($t:ty) => {
            if from_unsigned {
                each!(|a: u64| -> u64 { <$t>::try_from(a).unwrap_or(<$t>::MAX) as u64 })
            } else {
                each!(|a: i64| -> u64 {
                    <$t>::try_from(a).unwrap_or(if a < 0 { <$t>::MIN } else { <$t>::MAX }) as u64
                })
            }
        };
    }
    Some(match ty {
        Type::U8 => clamp!(u8),
        Type::S8 => clamp!(i8),
        Type::U16 => clamp!(u16),
        Type::S16 => clamp!(i16),
        Type::U32 => clamp!(u32),
        Type::S32 => clamp!(i32),
        Type::U64 => clamp!(u64),
        Type::S64 => clamp!(i64),
        _ => return None,
    })
}

/// A float rounded to a whole number, in `f64`.
fn rounded(ty: Type, word: &str) -> Option<Lanes> {
    Some(match (ty, word) {
        (Type::F32, "rni") => each!(|a: f32| -> f64 { f64::from(a).round_ties_even() }),
        (Type::F32, "rzi") => each!(|a: f32| -> f64 { f64::from(a).trunc() }),
        (Type::F32, "rmi") => each!(|a: f32| -> f64 { f64::from(a).floor() }),
        (Type::F32, "rpi") => each!(|a: f32| -> f64 { f64::from(a).ceil() }),
        (Type::F64, "rni") => each!(|a: f64| -> f64 { a.round_ties_even() }),
        (Type::F64, "rzi") => each!(|a: f64| -> f64 { a.trunc() }),
        (Type::F64, "rmi") => each!(|a: f64| -> f64 { a.floor() }),
        (Type::F64, "rpi") => each!(|a: f64| -> f64 { a.ceil() }),
        _ => return None,
    })
}

/// A whole `f64` as an integer of this type: clamped, and 0 for NaN.
fn whole(ty: Type) -> Option<Lanes> {
    Some(match ty {
        Type::U8 => each!(|a: f64| -> u64 { u64::from(a as u8) }),
        Type::S8 => each!(|a: f64| -> i64 { i64::from(a as i8) }),
        Type::U16 => each!(|a: f64| -> u64 { u64::from(a as u16) }),
        Type::S16 => each!(|a: f64| -> i64 { i64::from(a as i16) }),
        Type::U32 => each!(|a: f64| -> u64 { u64::from(a as u32) }),
        Type::S32 => each!(|a: f64| -> i64 { i64::from(a as i32) }),
        Type::U64 => each!(|a: f64| -> u64 { a as u64 }),
        Type::S64 => each!(|a: f64| -> i64 { a as i64 }),
        _ => return None,
    })
}

fn narrowed(a: f64, direction: Rounding) -> f32 {
    let nearest = a as f32;
    if nearest.is_infinite() && a.is_finite() {
        let back = match direction {
            Rounding::Zero => true,
            Rounding::Down => a > 0.0,
            Rounding::Up => a < 0.0,
        };
        return if back { f32::MAX.copysign(nearest) } else { nearest };
    }
    let error = a - f64::from(nearest);
    let sign = if error > 0.0 {
        1.0
    } else if error < 0.0 {
        -1.0
    } else {
        0.0
    };
    match (nearest == 0.0, direction) {
        (true, Rounding::Zero) => nearest,
        _ => float::single::directed(nearest, sign, direction),
    }
}

fn integer_single(a: i128, direction: Rounding) -> f32 {
    let nearest = a as f32;
    let error = (a - nearest as i128).signum() as f32;
    float::single::directed(nearest, error, direction)
}

fn integer_double(a: i128, direction: Rounding) -> f64 {
    let nearest = a as f64;
    let error = (a - nearest as i128).signum() as f64;
    float::double::directed(nearest, error, direction)
}

/// An integer in 64 bits as a float.
fn floated(to: Type, signed: bool, direction: Option<Rounding>) -> Option<Lanes> {
    macro_rules! by_direction {
        ($from:ty, $to:ty, $f:path) => {
            match direction {
                None => each!(|a: $from| -> $to { a as $to }),
                Some(Rounding::Zero) => {
                    each!(|a: $from| -> $to { $f(i128::from(a), Rounding::Zero) })
                }
                Some(Rounding::Down) => {
                    each!(|a: $from| -> $to { $f(i128::from(a), Rounding::Down) })
                }
                Some(Rounding::Up) => each!(|a: $from| -> $to { $f(i128::from(a), Rounding::Up) }),
            }
        };
    }
    Some(match (to, signed) {
        (Type::F32, true) => by_direction!(i64, f32, integer_single),
        (Type::F32, false) => by_direction!(u64, f32, integer_single),
        (Type::F64, true) => by_direction!(i64, f64, integer_double),
        (Type::F64, false) => by_direction!(u64, f64, integer_double),
        _ => return None,
    })
}

/// Conversions that kernels do often, at once.
fn direct(to: Type, from: Type, own: Type, source: Type) -> Option<Lanes> {
    if own.bytes() != to.bytes() || source.bytes() != from.bytes() {
        return None;
    }
    Some(match (to, from) {
        (Type::U64 | Type::S64, Type::S32) => lanes!(|a: i32| -> i64 { i64::from(a) }),
        (Type::U64 | Type::S64, Type::U32) => lanes!(|a: u32| -> u64 { u64::from(a) }),
        (Type::U32 | Type::S32, Type::U64 | Type::S64) => lanes!(|a: u64| -> u32 { a as u32 }),
        (Type::U32 | Type::S32, Type::U32 | Type::S32) => lanes!(|a: u32| -> u32 { a }),
        (Type::U16 | Type::S16, Type::U32 | Type::S32) => lanes!(|a: u32| -> u32 { a & 0xffff }),
        (Type::U32 | Type::S32, Type::U16) => lanes!(|a: u16| -> u32 { u32::from(a) }),
        (Type::U32 | Type::S32, Type::S16) => lanes!(|a: i16| -> i32 { i32::from(a) }),
        _ => return None,
    })
}

/// A function of a chain, and whether its result is of 64 bits where another follows it.
type Step = (Option<Lanes>, bool);

impl Decoder<'_> {
    pub(super) fn convert(
        &mut self,
        words: &mut Words,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        let from = words.take_type().ok_or_else(|| self.refusal("`cvt` wants two types"))?;
        let to = words.take_type().ok_or_else(|| self.refusal("`cvt` wants two types"))?;
        let whole_rounding = words.take_any(&["rni", "rzi", "rmi", "rpi"]);
        let rounding = words.take_any(&["rn", "rz", "rm", "rp"]);
        let (flush, saturate) = (words.take("ftz"), words.take("sat"));
        let (own, d) = self.register(&operands[0], to, Type::fits)?;
        let source_type = match &operands[1] {
            Operand::Name(name) => match self.scopes.find(name) {
                Some(Symbol::Register { ty, .. }) => ty,
                _ => from,
            },
            _ => from,
        };
        let float = |ty: Type| ty.class() == Class::Float;
        let a = match &operands[1] {
            Operand::Name(name) if self.is_special(name) && !float(to) => {
                self.special_register(name, from)?
            }
            operand => self.source_where(operand, from, Type::fits)?,
        };
        let wrong = if flush && from != Type::F32 && to != Type::F32 {
            Some(".ftz")
        } else if float(from) && !float(to) && whole_rounding.is_none()
            || float(to) && from != to && (from, to) != (Type::F32, Type::F64) && rounding.is_none()
        {
            Some("(rounding required)")
        } else if (rounding.is_some() || whole_rounding.is_some())
            && (!float(from) && !float(to) || (from, to) == (Type::F32, Type::F64))
            || from == to && rounding.is_some()
        {
            Some("(rounding)")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            return Err(self.refusal(format!(
                "Illegal modifier {wrong} for instruction 'cvt.{}.{}'",
                to.name(),
                from.name()
            )));
        }
        let direction = match rounding {
            Some("rz") => Some(Rounding::Zero),
            Some("rm") => Some(Rounding::Down),
            Some("rp") => Some(Rounding::Up),
            _ => None,
        };
        let steps = match (float(from), float(to)) {
            (false, false) => {
                // A source in a wider register is cut first.
                if !saturate && let Some(f) = direct(to, from, own, source_type) {
                    vec![(Some(f), false)]
                } else {
                    let mut steps = vec![(self.extended_source(from, source_type), true)];
                    if saturate {
                        steps.push((clamped(to, from.class() == Class::Unsigned), true));
                    }
                    steps.push((truncated(to, own.bytes()), false));
                    steps
                }
            }
            (false, true) => match (to, from, direction, source_type.bytes()) {
                (Type::F32, Type::S32, None, 4) => {
                    vec![(Some(lanes!(|a: i32| -> f32 { a as f32 })), false)]
                }
                (Type::F32, Type::U32, None, 4) => {
                    vec![(Some(lanes!(|a: u32| -> f32 { a as f32 })), false)]
                }
                (Type::F64, Type::S32, None, 4) => {
                    vec![(Some(lanes!(|a: i32| -> f64 { f64::from(a) })), false)]
                }
                (Type::F64, Type::U32, None, 4) => {
                    vec![(Some(lanes!(|a: u32| -> f64 { f64::from(a) })), false)]
                }
                _ => vec![
                    (self.extended_source(from, source_type), true),
                    (floated(to, from.class() == Class::Signed, direction), false),
                ],
            },
            (true, false) => {
                let mut steps = Vec::new();
                if flush {
                    steps.push((Some(lanes!(|a: f32| -> f32 { float::flushed(a) })), false));
                }
                let word = whole_rounding.unwrap_or("");
                steps.extend([
                    (rounded(from, word), true),
                    (whole(to), true),
                    (truncated(to, own.bytes()), false),
                ]);
                steps
            }
            (true, true) => {
                self.float_to_float(to, from, whole_rounding, direction, flush, saturate)
            }
        };
        self.chain(&steps, a, d, to)
    }

    fn extended_source(&self, from: Type, register: Type) -> Option<Lanes> {
        if register.bytes() < 8 {
            return extended(from);
        }
        // The low bits of a 64-bit register.
        Some(match from {
            Type::U8 => lanes!(|a: u64| -> u64 { a & 0xff }),
            Type::S8 => lanes!(|a: i64| -> i64 { i64::from(a as i8) }),
            Type::U16 => lanes!(|a: u64| -> u64 { a & 0xffff }),
            Type::S16 => lanes!(|a: i64| -> i64 { i64::from(a as i16) }),
            Type::U32 => lanes!(|a: u64| -> u64 { a & 0xffff_ffff }),
            Type::S32 => lanes!(|a: i64| -> i64 { i64::from(a as i32) }),
            Type::U64 | Type::S64 => lanes!(|a: u64| -> u64 { a }),
            _ => return None,
        })
    }

    fn float_to_float(
        &self,
        to: Type,
        from: Type,
        whole_rounding: Option<&str>,
        direction: Option<Rounding>,
        flush: bool,
        saturate: bool,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        if flush && from == Type::F32 {
            steps.push((Some(lanes!(|a: f32| -> f32 { float::flushed(a) })), false));
        }
        if let Some(word) = whole_rounding {
            steps.push((rounded(from, word), true));
            if to == Type::F32 {
                steps.push((Some(lanes!(|a: f64| -> f32 { a as f32 })), false));
            }
        } else {
            let f = match (from, to, direction) {
                (Type::F32, Type::F32, _) => lanes!(|a: f32| -> f32 { a }),
                (Type::F64, Type::F64, _) => lanes!(|a: f64| -> f64 { a }),
                (Type::F32, _, _) => lanes!(|a: f32| -> f64 { f64::from(a) }),
                (_, _, None) => lanes!(|a: f64| -> f32 { a as f32 }),
                (_, _, Some(Rounding::Zero)) => {
                    each!(|a: f64| -> f32 { narrowed(a, Rounding::Zero) })
                }
                (_, _, Some(Rounding::Down)) => {
                    each!(|a: f64| -> f32 { narrowed(a, Rounding::Down) })
                }
                (_, _, Some(Rounding::Up)) => each!(|a: f64| -> f32 { narrowed(a, Rounding::Up) }),
            };
            steps.push((Some(f), to == Type::F64));
        }
        if flush && to == Type::F32 {
            steps.push((Some(lanes!(|a: f32| -> f32 { float::flushed(a) })), false));
        }
        if saturate {
            let f = match to {
                Type::F32 => lanes!(|a: f32| -> f32 { float::saturated(a) }),
                _ => lanes!(|a: f64| -> f64 { if a > 0.0 { a.min(1.0) } else { 0.0 } }),
            };
            steps.push((Some(f), to == Type::F64));
        }
        steps
    }

    /// Functions one after the other, through a word and a long for what is between.
    fn chain(&mut self, steps: &[Step], a: u32, d: u32, to: Type) -> Result<(), Refusal> {
        let (word, long) = (self.new_word(), self.new_long());
        let mut source = a;
        for (i, &(f, is_long)) in steps.iter().enumerate() {
            let f = f.ok_or_else(|| self.bad_type("cvt", to))?;
            let result = match (i + 1 == steps.len(), is_long) {
                (true, _) => d,
                (_, true) => long,
                (_, false) => word,
            };
            self.emit_lanes(f, Slots { d: result, a: source, ..Slots::default() });
            source = result;
        }
        Ok(())
    }
}
