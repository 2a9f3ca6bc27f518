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
