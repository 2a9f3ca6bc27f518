//! Instructions against Rust's own arithmetic, at the corners of their ranges.

use std::fmt::Debug;

use cust::memory::DeviceCopy;
use cust::module::Module;

use crate::card::{Card, at, download, kernel};

/// What `instruction` makes of `%u` (from `a`) and `%v` (from `b`) in `%w`, for all pairs.
fn pairs<A, D>(types: [&str; 2], instruction: &str, a: &[A], b: &[A]) -> Vec<D>
where
    A: DeviceCopy,
    D: DeviceCopy + Default + Clone,
{
    let [from, to] = types;
    let (size, result) = (size_of::<A>(), size_of::<D>());
    let text = kernel(&format!(
        ".reg .{from} %u, %v; .reg .{to} %w; .reg .pred %p, %q;\n\
         mad.wide.u32 %x, %i, {size}, %a; ld.global.{from} %u, [%x];\n\
         mad.wide.u32 %x, %i, {size}, %b; ld.global.{from} %v, [%x];\n\
         {instruction}\n\
         mad.wide.u32 %x, %i, {result}, %c; st.global.{to} [%x], %w;"
    ));
    let card = Card::new();
    let module = Module::from_ptx(&text, &[]).unwrap_or_else(|error| {
        panic!("{instruction}: {error}: {:?}", crate::card::refused(&text))
    });
    let (left, right): (Vec<A>, Vec<A>) =
        a.iter().flat_map(|&x| b.iter().map(move |&y| (x, y))).unzip();
    let (left, right) = (card.upload(&left), card.upload(&right));
    let out = card.upload(&vec![D::default(); a.len() * b.len()]);
    card.run(&module, a.len() as u32, b.len() as u32, 0, &[at(&left), at(&right), at(&out)])
        .expect("a run");
    download(&out)
}

#[track_caller]
fn check<A: DeviceCopy + Debug, D: DeviceCopy + Default + Debug + PartialEq>(
    types: [&str; 2],
    instruction: &str,
    values: &[A],
    expected: impl Fn(A, A) -> D,
) {
    let got = pairs::<A, D>(types, instruction, values, values);
    for (i, &a) in values.iter().enumerate() {
        for (j, &b) in values.iter().enumerate() {
            assert_eq!(
                got[i * values.len() + j],
                expected(a, b),
                "{instruction} of {a:?} and {b:?}"
            );
        }
    }
}

const WORDS: [u32; 12] =
    [0, 1, 2, 3, 31, 32, 255, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xdead_beef, 12345];
const LONGS: [u64; 10] =
    [0, 1, 2, 63, 64, u64::MAX, 1 << 63, (1 << 63) - 1, 0x0123_4567_89ab_cdef, 0xffff_ffff];

#[test]
fn words() {
    let both = ["u32", "u32"];
    check(both, "add.u32 %w, %u, %v;", &WORDS, u32::wrapping_add);
    check(both, "sub.u32 %w, %u, %v;", &WORDS, u32::wrapping_sub);
    check(both, "mul.lo.u32 %w, %u, %v;", &WORDS, u32::wrapping_mul);
    check(both, "mul.hi.u32 %w, %u, %v;", &WORDS, |a, b| {
        ((u64::from(a) * u64::from(b)) >> 32) as u32
    });
    check(both, "mul.hi.s32 %w, %u, %v;", &WORDS, |a, b| {
        ((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u32
    });
    check(both, "mad.lo.s32 %w, %u, %v, %u;", &WORDS, |a, b| a.wrapping_mul(b).wrapping_add(a));
    check(both, "mad.hi.u32 %w, %u, %v, %v;", &WORDS, |a, b| {
        ((u64::from(a) * u64::from(b)) >> 32).wrapping_add(u64::from(b)) as u32
    });
    check(["u32", "u64"], "mul.wide.u32 %w, %u, %v;", &WORDS, |a, b| u64::from(a) * u64::from(b));
    check(["u32", "u64"], "mul.wide.s32 %w, %u, %v;", &WORDS, |a, b| {
        (i64::from(a as i32) * i64::from(b as i32)) as u64
    });
    check(both, "div.u32 %w, %u, %v;", &WORDS, |a, b| a.checked_div(b).unwrap_or(u32::MAX));
    check(both, "rem.u32 %w, %u, %v;", &WORDS, |a, b| a.checked_rem(b).unwrap_or(a));
    check(both, "div.s32 %w, %u, %v;", &WORDS, |a, b| {
        if b == 0 { u32::MAX } else { (a as i32).wrapping_div(b as i32) as u32 }
    });
    check(both, "min.s32 %w, %u, %v;", &WORDS, |a, b| (a as i32).min(b as i32) as u32);
    check(both, "max.u32 %w, %u, %v;", &WORDS, u32::max);
    check(both, "abs.s32 %w, %u;", &WORDS, |a, _| (a as i32).wrapping_abs() as u32);
    check(both, "shl.b32 %w, %u, %v;", &WORDS, |a, b| if b > 31 { 0 } else { a << b });
    check(both, "shr.u32 %w, %u, %v;", &WORDS, |a, b| if b > 31 { 0 } else { a >> b });
    check(both, "shr.s32 %w, %u, %v;", &WORDS, |a, b| ((a as i32) >> b.min(31)) as u32);
    check(both, "shf.l.wrap.b32 %w, %u, %v, %u;", &WORDS, |a, b| {
        let n = a & 31;
        if n == 0 { b } else { b << n | a >> (32 - n) }
    });
    check(both, "popc.b32 %w, %u;", &WORDS, |a, _| a.count_ones());
    check(both, "clz.b32 %w, %u;", &WORDS, |a, _| a.leading_zeros());
    check(both, "brev.b32 %w, %u;", &WORDS, |a, _| a.reverse_bits());
    check(both, "lop3.b32 %w, %u, %v, 0xff00, 0xca;", &WORDS, |a, b| a & b | !a & 0xff00);
    check(both, "lop3.b32 %w, %u, %v, 0xff00, 0x96;", &WORDS, |a, b| a ^ b ^ 0xff00);
}

#[test]
fn longs() {
    let both = ["u64", "u64"];
    check(both, "add.u64 %w, %u, %v;", &LONGS, u64::wrapping_add);
    check(both, "mul.lo.u64 %w, %u, %v;", &LONGS, u64::wrapping_mul);
    check(both, "mul.hi.u64 %w, %u, %v;", &LONGS, |a, b| {
        ((u128::from(a) * u128::from(b)) >> 64) as u64
    });
    check(both, "mul.hi.s64 %w, %u, %v;", &LONGS, |a, b| {
        ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64
    });
    check(both, "rem.u64 %w, %u, %v;", &LONGS, |a, b| a.checked_rem(b).unwrap_or(a));
    check(["u64", "u32"], "clz.b64 %w, %u;", &LONGS, |a, _| a.leading_zeros());
    let carry = ".reg .u32 %l<6>; mov.b64 {%l0, %l1}, %u; mov.b64 {%l2, %l3}, %v;\n\
        add.cc.u32 %l4, %l0, %l2; addc.u32 %l5, %l1, %l3; mov.b64 %w, {%l4, %l5};";
    check(both, carry, &LONGS, u64::wrapping_add);
    let borrow = ".reg .u32 %l<6>; mov.b64 {%l0, %l1}, %u; mov.b64 {%l2, %l3}, %v;\n\
        sub.cc.u32 %l4, %l0, %l2; subc.u32 %l5, %l1, %l3; mov.b64 %w, {%l4, %l5};";
    check(both, borrow, &LONGS, u64::wrapping_sub);
}

#[test]
fn halves() {
    const HALVES: [u16; 8] = [0, 1, 2, 15, 16, 0x7fff, 0x8000, 0xffff];
    let both = ["u16", "u16"];
    check(both, "add.u16 %w, %u, %v;", &HALVES, u16::wrapping_add);
    check(both, "mul.lo.u16 %w, %u, %v;", &HALVES, u16::wrapping_mul);
    check(["u16", "u32"], "mul.wide.s16 %w, %u, %v;", &HALVES, |a, b| {
        (i32::from(a as i16) * i32::from(b as i16)) as u32
    });
    check(both, "min.s16 %w, %u, %v;", &HALVES, |a, b| (a as i16).min(b as i16) as u16);
    check(both, "setp.lt.s16 %p, %u, %v; selp.u16 %w, 1, 0, %p;", &HALVES, |a, b| {
        u16::from((a as i16) < b as i16)
    });
}

const SINGLES: [f32; 17] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    0.1,
    1e-45,
    -1e-40,
    f32::MIN_POSITIVE,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    16_777_217.0,
    -3.7e-12,
    0.333_333_34,
    1e19,
];

/// Bits, with every NaN the same.
fn bits(x: f32) -> u32 {
    if x.is_nan() { 0x7fff_ffff } else { x.to_bits() }
}

fn double_bits(x: f64) -> u64 {
    if x.is_nan() { 0x7fff_ffff_ffff_ffff } else { x.to_bits() }
}

/// Of `f32`, compared by bits.
#[track_caller]
fn check_singles(instruction: &str, expected: impl Fn(f32, f32) -> f32) {
    let got = pairs::<f32, f32>(["f32", "f32"], instruction, &SINGLES, &SINGLES);
    for (i, &a) in SINGLES.iter().enumerate() {
        for (j, &b) in SINGLES.iter().enumerate() {
            let got = got[i * SINGLES.len() + j];
            let expected = expected(a, b);
            assert_eq!(
                bits(got),
                bits(expected),
                "{instruction} of {a:e} and {b:e}: {got:e}, {expected:e}"
            );
        }
    }
}

/// Of `f64`, compared by bits.
#[track_caller]
fn check_doubles(instruction: &str, expected: impl Fn(f64, f64) -> f64) {
    let values =
        SINGLES.map(|x| if x == f32::MAX { f64::MAX } else { f64::from(x) * (1.0 + 1e-12) });
    let got = pairs::<f64, f64>(["f64", "f64"], instruction, &values, &values);
    for (i, &a) in values.iter().enumerate() {
        for (j, &b) in values.iter().enumerate() {
            let got = got[i * values.len() + j];
            let expected = expected(a, b);
            assert_eq!(
                double_bits(got),
                double_bits(expected),
                "{instruction} of {a:e} and {b:e}: {got:e}, {expected:e}"
            );
        }
    }
}

fn flush(x: f32) -> f32 {
    if x.is_subnormal() { 0f32.copysign(x) } else { x }
}

#[test]
fn singles() {
    check_singles("add.f32 %w, %u, %v;", |a, b| a + b);
    check_singles("sub.rn.f32 %w, %u, %v;", |a, b| a - b);
    check_singles("mul.f32 %w, %u, %v;", |a, b| a * b);
    check_singles("mul.ftz.f32 %w, %u, %v;", |a, b| flush(flush(a) * flush(b)));
    check_singles("mul.sat.f32 %w, %u, %v;", |a, b| {
        let product = a * b;
        if product.is_nan() { 0.0 } else { product.clamp(0.0, 1.0) + 0.0 }
    });
    check_singles("fma.rn.f32 %w, %u, %v, %u;", |a, b| a.mul_add(b, a));
    check_singles("div.rn.f32 %w, %u, %v;", |a, b| a / b);
    check_singles("rcp.rn.f32 %w, %u;", |a, _| 1.0 / a);
    check_singles("sqrt.rn.f32 %w, %u;", |a, _| a.sqrt());
    check_singles("neg.f32 %w, %u;", |a, _| -a);
    check_singles("abs.f32 %w, %u;", |a, _| a.abs());
    check_singles("copysign.f32 %w, %u, %v;", |a, b| b.copysign(a));
    check_singles("ex2.approx.f32 %w, %u;", |a, _| f64::from(a).exp2() as f32);
    check_singles("ex2.approx.ftz.f32 %w, %u;", |a, _| flush(f64::from(flush(a)).exp2() as f32));
    check_singles("lg2.approx.f32 %w, %u;", |a, _| f64::from(a).log2() as f32);
    check_singles("min.f32 %w, %u, %v;", |a, b| match (a.is_nan(), b.is_nan()) {
        (true, _) => b,
        (_, true) => a,
        _ if a == b => {
            if a.is_sign_negative() {
                a
            } else {
                b
            }
        }
        _ => {
            if a < b {
                a
            } else {
                b
            }
        }
    });
}

/// The nearest below of an exact value that `f64` holds.
fn down(exact: f64) -> f32 {
    let nearest = exact as f32;
    if f64::from(nearest) > exact { nearest.next_down() } else { nearest }
}

#[test]
fn directed_singles() {
    let finite = |a: f32, b: f32| a.is_finite() && b.is_finite();
    check_singles("mul.rm.f32 %w, %u, %v;", |a, b| {
        if finite(a, b) { down(f64::from(a) * f64::from(b)) } else { a * b }
    });
    check_singles("mul.rp.f32 %w, %u, %v;", |a, b| {
        if finite(a, b) { -down(-(f64::from(a) * f64::from(b))) } else { a * b }
    });
    check_singles("mul.rz.f32 %w, %u, %v;", |a, b| {
        let exact = f64::from(a) * f64::from(b);
        if finite(a, b) { down(exact.abs()).copysign(exact as f32) } else { a * b }
    });
}

#[test]
fn doubles() {
    check_doubles("add.f64 %w, %u, %v;", |a, b| a + b);
    check_doubles("mul.rn.f64 %w, %u, %v;", |a, b| a * b);
    check_doubles("fma.rn.f64 %w, %u, %v, %v;", |a, b| a.mul_add(b, b));
    check_doubles("div.rn.f64 %w, %u, %v;", |a, b| a / b);
    check_doubles("sqrt.rn.f64 %w, %u;", |a, _| a.sqrt());
    check_doubles("max.f64 %w, %u, %v;", |a, b| match (a.is_nan(), b.is_nan()) {
        (true, _) => b,
        (_, true) => a,
        _ if a == b => {
            if a.is_sign_negative() {
                b
            } else {
                a
            }
        }
        _ => {
            if a > b {
                a
            } else {
                b
            }
        }
    });
}

#[test]
fn comparisons() {
    let both = ["f32", "u32"];
    type Relation = fn(f32, f32) -> bool;
    let cases: [(&str, Relation); 10] = [
        ("eq", |a, b| a == b),
        ("ne", |a, b| a != b && !a.is_nan() && !b.is_nan()),
        ("lt", |a, b| a < b),
        ("ge", |a, b| a >= b),
        ("equ", |a, b| a == b || a.is_nan() || b.is_nan()),
        ("neu", |a, b| a != b),
        ("ltu", |a, b| a < b || a.is_nan() || b.is_nan()),
        ("geu", |a, b| a >= b || a.is_nan() || b.is_nan()),
        ("num", |a, b| !a.is_nan() && !b.is_nan()),
        ("nan", |a, b| a.is_nan() || b.is_nan()),
    ];
    for (word, expected) in cases {
        let instruction = format!("setp.{word}.f32 %p, %u, %v; selp.u32 %w, 1, 0, %p;");
        check(both, &instruction, &SINGLES, |a, b| u32::from(expected(a, b)));
    }
    let both = ["u32", "u32"];
    let combined = "setp.lo.u32 %q, %u, 5; setp.lt.xor.s32 %p|%q, %u, %v, %q;\n\
        selp.u32 %w, 1, 0, %p; @%q add.u32 %w, %w, 2;";
    check(both, combined, &WORDS, |a, b| {
        let (holds, small) = ((a as i32) < b as i32, a < 5);
        u32::from(holds ^ small) + 2 * u32::from(!holds ^ small)
    });
    // A guard that its own instruction writes.
    let guarded = "setp.lo.u32 %p, %u, 5; mov.u32 %w, 0; mov.pred %q, %p;\n\
        @%p setp.lo.and.u32 %p|%q, %v, 5, %p; @%p add.u32 %w, %w, 1; @%q add.u32 %w, %w, 2;";
    check(both, guarded, &WORDS, |a, b| match (a < 5, b < 5) {
        (false, _) => 0,
        (true, true) => 1,
        (true, false) => 2,
    });
    check(both, "set.gt.u32.s32 %w, %u, %v;", &WORDS, |a, b| {
        if a as i32 > b as i32 { u32::MAX } else { 0 }
    });
}
