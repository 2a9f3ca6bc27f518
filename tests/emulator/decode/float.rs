//! Arithmetic and functions of floating point.

use super::{Decoder, Words};
use crate::float::{self, Rounding, double, single};
use crate::lanes::{Lanes, Slots, each, lanes};
use crate::ptx::{Operand, Refusal, Type};

/// What the modifiers of a floating-point instruction ask for.
#[derive(Clone, Copy, Debug)]
struct Modifiers {
    /// The direction, where it is not to the nearest even.
    direction: Option<Rounding>,
    /// Whether any rounding was named.
    rounded: bool,
    flush: bool,
    saturate: bool,
    approximate: bool,
}

/// A function by direction of rounding.
macro_rules! directed {
    ($direction:expr, $t:ty, |$($x:ident),+| $f:path) => {
        match $direction {
            Rounding::Zero => each!(|$($x: $t),+| -> $t { $f($($x),+, Rounding::Zero) }),
            Rounding::Down => each!(|$($x: $t),+| -> $t { $f($($x),+, Rounding::Down) }),
            Rounding::Up => each!(|$($x: $t),+| -> $t { $f($($x),+, Rounding::Up) }),
        }
    };
}

fn sum_single(a: f32, b: f32, direction: Rounding) -> f32 {
    float::fused_single(a, 1.0, b, direction)
}

fn sum_double(a: f64, b: f64, direction: Rounding) -> f64 {
    float::fused_double(a, 1.0, b, direction)
}

fn difference_single(a: f32, b: f32, direction: Rounding) -> f32 {
    float::fused_single(a, 1.0, -b, direction)
}

fn difference_double(a: f64, b: f64, direction: Rounding) -> f64 {
    float::fused_double(a, 1.0, -b, direction)
}

fn reciprocal_single(a: f32, direction: Rounding) -> f32 {
    single::div(1.0, a, direction)
}

fn reciprocal_double(a: f64, direction: Rounding) -> f64 {
    double::div(1.0, a, direction)
}

fn nearest(opcode: &str, ty: Type) -> Option<Lanes> {
    Some(match (opcode, ty) {
        ("add", Type::F32) => lanes!(|a: f32, b: f32| -> f32 { a + b }),
        ("add", Type::F64) => lanes!(|a: f64, b: f64| -> f64 { a + b }),
        ("sub", Type::F32) => lanes!(|a: f32, b: f32| -> f32 { a - b }),
        ("sub", Type::F64) => lanes!(|a: f64, b: f64| -> f64 { a - b }),
        ("mul", Type::F32) => lanes!(|a: f32, b: f32| -> f32 { a * b }),
        ("mul", Type::F64) => lanes!(|a: f64, b: f64| -> f64 { a * b }),
        ("fma" | "mad", Type::F32) => lanes!(|a: f32, b: f32, c: f32| -> f32 { a.mul_add(b, c) }),
        ("fma" | "mad", Type::F64) => lanes!(|a: f64, b: f64, c: f64| -> f64 { a.mul_add(b, c) }),
        ("div", Type::F32) => lanes!(|a: f32, b: f32| -> f32 { a / b }),
        ("div", Type::F64) => lanes!(|a: f64, b: f64| -> f64 { a / b }),
        ("min", Type::F32) => lanes!(|a: f32, b: f32| -> f32 { single::min(a, b) }),
        ("min", Type::F64) => lanes!(|a: f64, b: f64| -> f64 { double::min(a, b) }),
        ("max", Type::F32) => lanes!(|a: f32, b: f32| -> f32 { single::max(a, b) }),
        ("max", Type::F64) => lanes!(|a: f64, b: f64| -> f64 { double::max(a, b) }),
        ("abs", Type::F32) => lanes!(|a: f32| -> f32 { a.abs() }),
        ("abs", Type::F64) => lanes!(|a: f64| -> f64 { a.abs() }),
        ("neg", Type::F32) => lanes!(|a: f32| -> f32 { -a }),
        ("neg", Type::F64) => lanes!(|a: f64| -> f64 { -a }),
        ("rcp", Type::F32) => lanes!(|a: f32| -> f32 { 1.0 / a }),
        ("rcp", Type::F64) => lanes!(|a: f64| -> f64 { 1.0 / a }),
        ("sqrt", Type::F32) => lanes!(|a: f32| -> f32 { single::canonical(a.sqrt()) }),
        ("sqrt", Type::F64) => lanes!(|a: f64| -> f64 { double::canonical(a.sqrt()) }),
        // Computed in f64 and rounded once: as good as correctly rounded.
        ("rsqrt", Type::F32) => each!(|a: f32| -> f32 { (1.0 / f64::from(a).sqrt()) as f32 }),
        ("rsqrt", Type::F64) => each!(|a: f64| -> f64 { 1.0 / a.sqrt() }),
        ("ex2", Type::F32) => each!(|a: f32| -> f32 { f64::from(a).exp2() as f32 }),
        ("lg2", Type::F32) => each!(|a: f32| -> f32 { f64::from(a).log2() as f32 }),
        ("sin", Type::F32) => each!(|a: f32| -> f32 { f64::from(a).sin() as f32 }),
        ("cos", Type::F32) => each!(|a: f32| -> f32 { f64::from(a).cos() as f32 }),
        ("tanh", Type::F32) => each!(|a: f32| -> f32 { f64::from(a).tanh() as f32 }),
        ("copysign", Type::F32) => lanes!(|a: f32, b: f32| -> f32 { b.copysign(a) }),
        ("copysign", Type::F64) => lanes!(|a: f64, b: f64| -> f64 { b.copysign(a) }),
        _ => return None,
    })
}

fn towards(opcode: &str, ty: Type, direction: Rounding) -> Option<Lanes> {
    Some(match (opcode, ty) {
        ("add", Type::F32) => directed!(direction, f32, |a, b| sum_single),
        ("add", Type::F64) => directed!(direction, f64, |a, b| sum_double),
        ("sub", Type::F32) => directed!(direction, f32, |a, b| difference_single),
        ("sub", Type::F64) => directed!(direction, f64, |a, b| difference_double),
        ("mul", Type::F32) => directed!(direction, f32, |a, b| single::mul),
        ("mul", Type::F64) => directed!(direction, f64, |a, b| double::mul),
        ("fma" | "mad", Type::F32) => directed!(direction, f32, |a, b, c| float::fused_single),
        ("fma" | "mad", Type::F64) => directed!(direction, f64, |a, b, c| float::fused_double),
        ("div", Type::F32) => directed!(direction, f32, |a, b| single::div),
        ("div", Type::F64) => directed!(direction, f64, |a, b| double::div),
        ("rcp", Type::F32) => directed!(direction, f32, |a| reciprocal_single),
        ("rcp", Type::F64) => directed!(direction, f64, |a| reciprocal_double),
        ("sqrt", Type::F32) => directed!(direction, f32, |a| single::sqrt),
        ("sqrt", Type::F64) => directed!(direction, f64, |a| double::sqrt),
        _ => return None,
    })
}

impl Decoder<'_> {
    pub(super) fn float_arithmetic(
        &mut self,
        opcode: &str,
        ty: Type,
        words: &mut Words,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        let count = match opcode {
            "fma" | "mad" => 4,
            "abs" | "neg" => 2,
            _ => 3,
        };
        if !matches!(
            opcode,
            "add" | "sub" | "mul" | "mad" | "fma" | "div" | "abs" | "neg" | "min" | "max"
        ) {
            return Err(self.bad_type(opcode, ty));
        }
        self.float_operation(opcode, ty, count, words, operands)
    }

    pub(super) fn float_function(
        &mut self,
        opcode: &str,
        words: &mut Words,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        if opcode == "testp" {
            return self.test_property(words, operands);
        }
        if opcode == "tanh" && self.module.architecture < 75 {
            return Err(self.refusal("Instruction 'tanh' requires .target sm_75 or higher"));
        }
        let ty =
            words.take_type().ok_or_else(|| self.refusal(format!("`{opcode}` has no type")))?;
        self.float_operation(opcode, ty, if opcode == "copysign" { 3 } else { 2 }, words, operands)
    }

    fn float_operation(
        &mut self,
        opcode: &str,
        ty: Type,
        count: usize,
        words: &mut Words,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        self.count(operands, count)?;
        let modifiers = self.modifiers(opcode, ty, words)?;
        let f = match modifiers.direction {
            None => nearest(opcode, ty),
            Some(direction) => towards(opcode, ty, direction),
        };
        let Some(f) = f else {
            return Err(self.bad_type(opcode, ty));
        };
        let mut slots = self.slots(operands, ty, ty)?;
        let sources = [&mut slots.a, &mut slots.b, &mut slots.c];
        if opcode == "rcp" && ty == Type::F64 && modifiers.approximate {
            // `rcp.approx.ftz.f64` keeps the upper half of a good reciprocal.
            let f = each!(|a: f64| -> f64 {
                double::canonical(f64::from_bits((1.0 / a).to_bits() >> 32 << 32))
            });
            self.emit_lanes(f, slots);
            return Ok(());
        }
        if !modifiers.flush || ty == Type::F64 {
            self.emit_lanes(f, slots);
        } else {
            for source in sources.into_iter().take(count - 1) {
                let held = self.new_word();
                self.emit_lanes(
                    lanes!(|a: f32| -> f32 { float::flushed(a) }),
                    Slots { d: held, a: *source, ..Slots::default() },
                );
                *source = held;
            }
            self.emit_lanes(f, slots);
            self.emit_lanes(
                lanes!(|a: f32| -> f32 { float::flushed(a) }),
                Slots { d: slots.d, a: slots.d, ..Slots::default() },
            );
        }
        if modifiers.saturate {
            self.emit_lanes(
                lanes!(|a: f32| -> f32 { float::saturated(a) }),
                Slots { d: slots.d, a: slots.d, ..Slots::default() },
            );
        }
        Ok(())
    }

    fn modifiers(
        &mut self,
        opcode: &str,
        ty: Type,
        words: &mut Words,
    ) -> Result<Modifiers, Refusal> {
        let rounding = words.take_any(&["rn", "rz", "rm", "rp"]);
        let direction = match rounding {
            Some("rz") => Some(Rounding::Zero),
            Some("rm") => Some(Rounding::Down),
            Some("rp") => Some(Rounding::Up),
            _ => None,
        };
        let modifiers = Modifiers {
            direction,
            rounded: rounding.is_some(),
            flush: words.take("ftz"),
            saturate: words.take("sat"),
            approximate: words.take("approx") || words.take("full"),
        };
        let only_approximate = matches!(opcode, "rsqrt" | "ex2" | "lg2" | "sin" | "cos" | "tanh");
        let has_approximation = only_approximate || matches!(opcode, "div" | "rcp" | "sqrt");
        let must_round = matches!(opcode, "fma" | "div" | "rcp" | "sqrt") || opcode == "mad";
        let double_approximation = matches!(opcode, "rcp" | "rsqrt");
        let flushes = modifiers.flush || opcode == "rsqrt";
        let wrong = if ty == Type::F64 && modifiers.approximate && !flushes {
            Some(".approx.f64 without .ftz")
        } else if modifiers.approximate && !has_approximation {
            Some(".approx")
        } else if modifiers.approximate
            && (modifiers.rounded || ty == Type::F64 && !double_approximation)
        {
            Some(".approx with this type or rounding")
        } else if modifiers.rounded
            && (only_approximate || matches!(opcode, "abs" | "neg" | "min" | "max" | "copysign"))
        {
            Some("rounding")
        } else if modifiers.flush
            && ty == Type::F64
            && !(modifiers.approximate && double_approximation)
        {
            Some(".ftz with .f64")
        } else if modifiers.saturate
            && (ty == Type::F64 || !matches!(opcode, "add" | "sub" | "mul" | "fma" | "mad"))
        {
            Some(".sat")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            return Err(
                self.refusal(format!("Illegal modifier {wrong} for instruction '{opcode}'"))
            );
        }
        if must_round && !modifiers.rounded && !modifiers.approximate
            || only_approximate && !modifiers.approximate
        {
            return Err(
                self.refusal(format!("Rounding modifier required for instruction '{opcode}'"))
            );
        }
        Ok(modifiers)
    }

    fn test_property(&mut self, words: &mut Words, operands: &[Operand]) -> Result<(), Refusal> {
        self.count(operands, 2)?;
        let property =
            words.take_any(&["finite", "infinite", "number", "notanumber", "normal", "subnormal"]);
        let ty = words.take_type().ok_or_else(|| self.refusal("`testp` has no type"))?;
        let f = match (property, ty) {
            (Some("finite"), Type::F32) => lanes!(|a: f32| -> bool { a.is_finite() }),
            (Some("finite"), Type::F64) => lanes!(|a: f64| -> bool { a.is_finite() }),
            (Some("infinite"), Type::F32) => lanes!(|a: f32| -> bool { a.is_infinite() }),
            (Some("infinite"), Type::F64) => lanes!(|a: f64| -> bool { a.is_infinite() }),
            (Some("number"), Type::F32) => lanes!(|a: f32| -> bool { !a.is_nan() }),
            (Some("number"), Type::F64) => lanes!(|a: f64| -> bool { !a.is_nan() }),
            (Some("notanumber"), Type::F32) => lanes!(|a: f32| -> bool { a.is_nan() }),
            (Some("notanumber"), Type::F64) => lanes!(|a: f64| -> bool { a.is_nan() }),
            (Some("normal"), Type::F32) => lanes!(|a: f32| -> bool { a.is_normal() }),
            (Some("normal"), Type::F64) => lanes!(|a: f64| -> bool { a.is_normal() }),
            (Some("subnormal"), Type::F32) => lanes!(|a: f32| -> bool { a.is_subnormal() }),
            (Some("subnormal"), Type::F64) => lanes!(|a: f64| -> bool { a.is_subnormal() }),
            _ => return Err(self.bad_type("testp", ty)),
        };
        self.operation("testp", Some(f), ty, Type::Pred, operands)
    }
}
