//! `cvt`, packing and address arithmetic.

use cust::memory::DeviceCopy;
use cust::module::Module;

use crate::card::{Card, at, download, kernel};

/// What `instruction` makes of `%u` in `%w`.
fn each<A: DeviceCopy, D: DeviceCopy + Default + Clone>(
    types: [&str; 2],
    instruction: &str,
    values: &[A],
) -> Vec<D> {
    let [from, to] = types;
    let (size, result) = (size_of::<A>(), size_of::<D>());
    let text = kernel(&format!(
        ".reg .{from} %u; .reg .{to} %w; .reg .b32 %r<4>; .reg .b16 %h<5>; .reg .b64 %l<4>;\n\
         mad.wide.u32 %x, %i, {size}, %a; ld.global.{from} %u, [%x];\n{instruction}\n\
         mad.wide.u32 %x, %i, {result}, %c; st.global.{to} [%x], %w;"
    ));
    let card = Card::new();
    let module = Module::from_ptx(&text, &[]).unwrap_or_else(|error| {
        panic!("{instruction}: {error}: {:?}", crate::card::refused(&text))
    });
    let (values, out) = (card.upload(values), card.upload(&vec![D::default(); values.len()]));
    card.run(&module, 1, values.len() as u32, 0, &[at(&values), 0, at(&out)]).expect("a run");
    download(&out)
}

#[track_caller]
fn check<A, D>(types: [&str; 2], instruction: &str, values: &[A], expected: impl Fn(A) -> D)
where
    A: DeviceCopy + std::fmt::Debug,
    D: DeviceCopy + Default + std::fmt::Debug + PartialEq,
{
    for (&value, got) in values.iter().zip(each::<A, D>(types, instruction, values)) {
        assert_eq!(got, expected(value), "{instruction} of {value:?}");
    }
}

const FLOATS: [f32; 16] = [
    0.0,
    0.5,
    1.5,
    2.5,
    -0.5,
    -1.5,
    -2.7,
    255.5,
    256.0,
    2.147_483_6e9,
    4.3e9,
    -3e9,
    1e20,
    f32::NAN,
    f32::INFINITY,
    1e-40,
];

#[test]
fn floats_to_integers() {
    check(["f32", "s32"], "cvt.rzi.s32.f32 %w, %u;", &FLOATS, |x| x as i32);
    check(["f32", "s32"], "cvt.rni.s32.f32 %w, %u;", &FLOATS, |x| x.round_ties_even() as i32);
    check(["f32", "s32"], "cvt.rmi.s32.f32 %w, %u;", &FLOATS, |x| x.floor() as i32);
    check(["f32", "u32"], "cvt.rpi.u32.f32 %w, %u;", &FLOATS, |x| x.ceil() as u32);
    check(["f32", "u64"], "cvt.rzi.u64.f32 %w, %u;", &FLOATS, |x| x as u64);
    check(["f32", "u32"], "cvt.rzi.u8.f32 %w, %u;", &FLOATS, |x| u32::from(x as u8));
    let doubles = FLOATS.map(f64::from);
    check(["f64", "s64"], "cvt.rni.s64.f64 %w, %u;", &doubles, |x| x.round_ties_even() as i64);
    check(["f64", "s32"], "cvt.rzi.s32.f64 %w, %u;", &doubles, |x| x as i32);
}

#[test]
fn integers_to_floats() {
    let words = [0u32, 1, 16_777_217, 16_777_219, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
    check(["u32", "f32"], "cvt.rn.f32.u32 %w, %u;", &words, |x| x as f32);
    check(["u32", "f32"], "cvt.rn.f32.s32 %w, %u;", &words, |x| x as i32 as f32);
    check(["u32", "f64"], "cvt.rn.f64.s32 %w, %u;", &words, |x| f64::from(x as i32));
    check(["u32", "f32"], "cvt.rz.f32.u32 %w, %u;", &words, |x| {
        let nearest = x as f32;
        if f64::from(nearest) > f64::from(x) { nearest.next_down() } else { nearest }
    });
    let longs = [0u64, 1, (1 << 53) + 1, u64::MAX, 1 << 63, 0x0123_4567_89ab_cdef];
    check(["u64", "f64"], "cvt.rn.f64.u64 %w, %u;", &longs, |x| x as f64);
    check(["u64", "f32"], "cvt.rn.f32.s64 %w, %u;", &longs, |x| x as i64 as f32);
    check(["u64", "f64"], "cvt.rp.f64.u64 %w, %u;", &longs, |x| {
        let nearest = x as f64;
        if (nearest as u128) < u128::from(x) { nearest.next_up() } else { nearest }
    });
}

#[test]
fn floats_to_floats() {
    let doubles = [0.1, -0.1, 1e-42, 1e300, -1e300, 1.0 + 1e-9, f64::MIN_POSITIVE, 3.5e38];
    check(["f64", "f32"], "cvt.rn.f32.f64 %w, %u;", &doubles, |x| x as f32);
    check(["f64", "f32"], "cvt.rz.f32.f64 %w, %u;", &doubles, |x| {
        let nearest = x as f32;
        if f64::from(nearest).abs() > x.abs() {
            f32::from_bits(nearest.to_bits() - 1)
        } else {
            nearest
        }
    });
    let numbers = FLOATS.map(|x| if x.is_nan() { 7.0 } else { x });
    check(["f32", "f64"], "cvt.f64.f32 %w, %u;", &numbers, f64::from);
    check(["f32", "f32"], "cvt.rni.f32.f32 %w, %u;", &numbers, f32::round_ties_even);
    check(["f32", "f32"], "cvt.sat.f32.f32 %w, %u;", &FLOATS, |x| {
        if x.is_nan() { 0.0 } else { x.clamp(0.0, 1.0) }
    });
    check(["f32", "f32"], "cvt.ftz.f32.f32 %w, %u;", &numbers, |x| {
        if x.is_subnormal() { 0.0 } else { x }
    });
}

#[test]
fn integers_to_integers() {
    let words =
        [0u32, 1, 127, 128, 255, 256, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, u32::MAX];
    check(["u32", "s64"], "cvt.s64.s32 %w, %u;", &words, |x| i64::from(x as i32));
    check(["u32", "u64"], "cvt.u64.u32 %w, %u;", &words, u64::from);
    check(["u32", "s32"], "cvt.s8.s32 %w, %u;", &words, |x| i32::from(x as i8));
    check(["u32", "s32"], "cvt.s32.s16 %w, %u;", &words, |x| i32::from(x as i16));
    check(["u32", "u32"], "cvt.u32.u8 %w, %u;", &words, |x| x & 0xff);
    check(["u32", "u32"], "cvt.sat.u8.s32 %w, %u;", &words, |x| (x as i32).clamp(0, 255) as u32);
    check(["u32", "s32"], "cvt.sat.s16.u32 %w, %u;", &words, |x| x.min(32767) as i32);
    check(["u32", "s64"], "cvt.s64.s8 %w, %u;", &words, |x| i64::from(x as i8));
    let longs = [0u64, 0x1_8000_0000, u64::MAX, 1 << 63, 0x7fff_ffff];
    check(["u64", "u32"], "cvt.u32.u64 %w, %u;", &longs, |x| x as u32);
    check(["u64", "s32"], "cvt.sat.s32.s64 %w, %u;", &longs, |x| {
        (x as i64).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
    });
}

#[test]
fn packing() {
    let longs = [0x0123_4567_89ab_cdefu64, u64::MAX, 1];
    let swapped = "mov.b64 {%r0, %r1}, %u; mov.b64 %w, {%r1, %r0};";
    check(["u64", "u64"], swapped, &longs, |x| x.rotate_left(32));
    let reversed = "mov.b64 {%h0, %h1, %h2, %h3}, %u; mov.b64 %w, {%h3, %h2, %h1, %h0};";
    check(["u64", "u64"], reversed, &longs, |x| {
        let [a, b, c, d] =
            [x as u16, (x >> 16) as u16, (x >> 32) as u16, (x >> 48) as u16].map(u64::from);
        a << 48 | b << 32 | c << 16 | d
    });
    check(
        ["u32", "u32"],
        "mov.b32 {%h0, %h1}, %u; mov.b32 %w, {%h1, %h0};",
        &[0x1234_5678u32, 7],
        |x| x.rotate_left(16),
    );
}
