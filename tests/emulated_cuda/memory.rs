//! Spaces of memory, vectors, atomic operations, and the driver's own copies.

use cust::memory::{AsyncCopyDestination, CopyDestination, DeviceBuffer, LockedBuffer};
use cust::module::Module;
use cust::stream::{Stream, StreamFlags};

use crate::card::{Card, at, download, kernel, kernel_in};

#[test]
fn vectors_and_narrow_elements() {
    let text = kernel(
        ".reg .f32 %f<4>; .reg .b16 %h<2>; .reg .s32 %r;\n\
         mad.wide.u32 %x, %i, 16, %a; ld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%x];\n\
         mad.wide.u32 %y, %i, 16, %b; st.global.v4.f32 [%y], {%f3, %f2, %f1, %f0};\n\
         mad.wide.u32 %x, %i, 2, %c; ld.global.s8 %r, [%x]; st.global.s8 [%x+1], %r;\n\
         mad.wide.u32 %y, %i, 4, %d; st.global.s32 [%y], %r;",
    );
    let card = Card::new();
    let module = Module::from_ptx(&text, &[]).expect("a module");
    let values: Vec<f32> = (0..160).map(|i| i as f32 * 0.5).collect();
    let (input, output) = (card.upload(&values), card.upload(&[0f32; 160]));
    let bytes = card.upload(&(0..80u8).map(|i| i.wrapping_mul(37)).collect::<Vec<_>>());
    let wide = card.upload(&[0i32; 40]);
    card.run(&module, 1, 40, 0, &[at(&input), at(&output), at(&bytes), at(&wide)]).expect("a run");
    let reversed: Vec<f32> = values.chunks(4).flat_map(|four| four.iter().rev().copied()).collect();
    assert_eq!(download(&output), reversed);
    let (bytes, wide) = (download(&bytes), download(&wide));
    for i in 0..40 {
        assert_eq!((bytes[2 * i + 1], wide[i]), (bytes[2 * i], i32::from(bytes[2 * i] as i8)));
    }
}

#[test]
fn variables_of_the_module() {
    let text = kernel_in(
        ".visible .global .align 4 .u32 counter = 5;\n\
         .const .align 4 .u32 table[4] = {10, 20, 30, 40};\n\
         .visible .const .align 8 .f64 scale;\n\
         .global .align 8 .u64 places[2] = {counter, generic(table+4)};",
        ".reg .u32 %r<4>; .reg .f64 %g<2>;\n\
         and.b32 %r0, %i, 3; mul.wide.u32 %x, %r0, 4; mov.u64 %y, table; add.u64 %x, %x, %y;\n\
         ld.const.u32 %r1, [%x]; atom.global.add.u32 %r2, [counter], 1;\n\
         ld.global.u64 %y, [places+8]; ld.u32 %r3, [%y]; add.u32 %r1, %r1, %r3;\n\
         ld.const.f64 %g0, [scale]; cvt.rn.f64.u32 %g1, %r1; mul.f64 %g1, %g1, %g0;\n\
         mad.wide.u32 %x, %i, 8, %a; st.global.f64 [%x], %g1;",
    );
    let card = Card::new();
    let module = Module::from_ptx(&text, &[])
        .unwrap_or_else(|_| panic!("{:?}", crate::card::refused(&text)));
    let scale = c"scale".to_owned();
    let mut symbol = module.get_global::<f64>(&scale).expect("the variable");
    symbol.copy_from(&0.25).expect("a copy");
    let out = card.upload(&[0f64; 64]);
    card.run(&module, 2, 32, 0, &[at(&out)]).expect("a run");
    for (i, value) in download(&out).into_iter().enumerate() {
        assert_eq!(value, (10.0 * ((i % 4) as f64 + 1.0) + 20.0) * 0.25);
    }
    let mut counted = 0u32;
    module
        .get_global::<u32>(c"counter")
        .expect("the variable")
        .copy_to(&mut counted)
        .expect("a copy");
    assert_eq!(counted, 5 + 64);
}

#[test]
fn local_and_generic_addresses() {
    // Each thread fills its own array backwards through a generic pointer, and reads it forwards.
    let text = kernel(
        ".local .align 4 .b8 own[32]; .reg .u32 %r<4>; .reg .pred %p;\n\
         mov.u64 %x, own; cvta.local.u64 %y, %x; mov.u32 %r0, 0;\n\
         fill: mul.wide.u32 %z, %r0, 4; add.u64 %z, %z, %y; add.u32 %r1, %r0, %i; st.u32 [%z], %r1;\n\
         add.u32 %r0, %r0, 1; setp.lt.u32 %p, %r0, 8; @%p bra fill;\n\
         ld.local.u32 %r2, [own+12]; ld.local.v2.u32 {%r0, %r3}, [%x+16]; add.u32 %r2, %r2, %r3;\n\
         mad.wide.u32 %z, %i, 4, %a; st.u32 [%z], %r2;",
    );
    let card = Card::new();
    let module = Module::from_ptx(&text, &[]).expect("a module");
    let out = card.upload(&[0u32; 50]);
    card.run(&module, 1, 50, 0, &[at(&out)]).expect("a run");
    assert_eq!(download(&out), (0..50).map(|i| 3 + i + 5 + i).collect::<Vec<u32>>());
}

#[test]
fn atomic_operations() {
    let text = kernel(
        ".reg .u32 %r<8>; .reg .f32 %f<2>; .reg .f64 %g<2>; .reg .pred %p;\n\
         atom.global.add.u32 %r0, [%a], 1; red.global.max.s32 [%a+4], %i; atom.global.inc.u32 %r1, [%a+8], 6;\n\
         shl.b32 %r2, 1, %t; red.global.or.b32 [%a+12], %r2; cvt.rn.f32.u32 %f0, %i; atom.global.add.f32 %f1, [%a+16], %f0;\n\
         cvt.rn.f64.u32 %g0, %i; red.global.add.f64 [%b], %g0;\n\
         again: ld.volatile.global.u32 %r3, [%a+20]; add.u32 %r4, %r3, 2;\n\
         atom.global.cas.b32 %r5, [%a+20], %r3, %r4; setp.ne.u32 %p, %r5, %r3; @%p bra again;\n\
         mad.wide.u32 %x, %r0, 4, %c; st.global.u32 [%x], %i;"
            .replace("shl.b32 %r2, 1, %t", "mov.u32 %r2, 1; shl.b32 %r2, %r2, %t")
            .as_str(),
    );
    let card = Card::new();
    let module = Module::from_ptx(&text, &[])
        .unwrap_or_else(|_| panic!("{:?}", crate::card::refused(&text)));
    let (words, real) = (card.upload(&[0u32; 6]), card.upload(&[0.5f64]));
    let order = card.upload(&[0u32; 96]);
    card.run(&module, 3, 32, 0, &[at(&words), at(&real), at(&order)]).expect("a run");
    let sum = 95.0 * 96.0 / 2.0;
    assert_eq!(download(&words), [96, 95, 96 % 7, u32::MAX, (sum as f32).to_bits(), 192]);
    assert_eq!(download(&real), [sum + 0.5]);
    let mut order = download(&order);
    order.sort_unstable();
    assert_eq!(order, (0..96).collect::<Vec<u32>>());
}

#[test]
fn shared_memory_of_both_kinds() {
    let text = kernel_in(
        ".extern .shared .align 16 .b8 tile[];",
        ".shared .align 4 .u32 first; .reg .u32 %r<4>; .reg .pred %p; .reg .u64 %s;\n\
         setp.eq.u32 %p, %t, 0; @%p st.shared.u32 [first], 100; bar.sync 0;\n\
         mov.u64 %s, tile; mad.wide.u32 %s, %t, 4, %s; st.shared.u32 [%s], %t; bar.sync 0;\n\
         mov.u32 %r0, %ntid.x; sub.u32 %r0, %r0, %t; sub.u32 %r0, %r0, 1; mov.u32 %r2, tile; mad.lo.u32 %r0, %r0, 4, %r2;\n\
         ld.shared.u32 %r1, [%r0]; ld.shared.u32 %r3, [first]; add.u32 %r1, %r1, %r3;\n\
         mad.wide.u32 %x, %i, 4, %a; st.global.u32 [%x], %r1;",
    );
    let card = Card::new();
    let module = Module::from_ptx(&text, &[])
        .unwrap_or_else(|_| panic!("{:?}", crate::card::refused(&text)));
    let out = card.upload(&[0u32; 300]);
    card.run(&module, 3, 100, 400, &[at(&out)]).expect("a run");
    let expected: Vec<u32> = (0..300).map(|i| 100 + 99 - i % 100).collect();
    assert_eq!(download(&out), expected);
}

#[test]
fn copies_and_fills() {
    let card = Card::new();
    let stream = Stream::new(StreamFlags::NON_BLOCKING, None).expect("a stream");
    let mut buffer = DeviceBuffer::<u32>::zeroed(1000).expect("a buffer");
    // SAFETY: the memory is page-locked and lives through the copy, which is done when the stream is.
    unsafe {
        let locked = LockedBuffer::new(&7u32, 1000).expect("page-locked memory");
        buffer.async_copy_from(&locked, &stream).expect("a copy");
    }
    stream.synchronize().expect("the stream");
    buffer.index(10..20).set_32(9).expect("a fill");
    let mut other = card.upload(&[1u32; 1000]);
    other.copy_from(&buffer).expect("a copy on the device");
    let expected: Vec<u32> = (0..1000).map(|i| if (10..20).contains(&i) { 9 } else { 7 }).collect();
    assert_eq!(download(&other), expected);
    let (free, total) = cust::memory::mem_get_info().expect("the device's memory");
    assert!(free < total);
}
