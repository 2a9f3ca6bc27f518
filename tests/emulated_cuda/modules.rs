//! What the driver takes as a module, and what a launch.

use cust::error::CudaError;
use cust::function::FunctionAttribute;
use cust::module::Module;

use crate::card::{Card, kernel, refused};

#[track_caller]
fn says(body: &str, reason: &str) {
    let (code, log) = refused(&kernel(&format!(
        ".reg .f32 %f<4>; .reg .f64 %g<4>; .reg .u32 %r<4>; .reg .pred %p;\n{body}"
    )));
    assert_eq!(code, 218, "{body}");
    assert!(log.contains(reason) && log.contains("line 11; error"), "{body}: {log}");
}

#[test]
fn texts_that_are_refused_say_why() {
    let _card = Card::new();
    says("frobnicate.u32 %r1, %r2;", "frobnicate");
    says("add.sideways.u32 %r1, %r2, %r3;", ".sideways");
    says("add.f32 %f1, %f2, %g3;", "Arguments mismatch");
    says("add.f32 %f1, %r2, %f3;", "Arguments mismatch");
    says("add.u32 %f1, %r2, %r3;", "Arguments mismatch");
    says("add.u32 %r1, %r2;", "operands");
    says("mov.u32 %r9, 1;", "%r9");
    says("mul.s32 %r1, %r2, %r3;", ".lo, .hi or .wide");
    says("fma.f32 %f1, %f2, %f3, %f1;", "Rounding");
    says("add.ftz.f64 %g1, %g2, %g3;", ".ftz");
    says("ex2.f32 %f1, %f2;", "required");
    says("bra nowhere;", "nowhere");
    says("{ there: } bra there;", "there");
    says("@%r1 bra nowhere;", "no predicate");
    says("ld.global.f32 %f1, [%r1];", "Arguments mismatch");
    says("ld.global.v2.f32 {%f1, %f2, %f3}, [%a];", "elements");
    says("st.param.u32 [pa], %r1;", "cannot be written");
    says("call nothing;", "nothing");
    says("shfl.up.b32 %r1, %r2, 1, 0;", ".sync");
    says("redux.sync.add.u32 %r1, %r2, -1;", "sm_80");
    says("cvt.f32.s32 %f1, %r1;", "rounding");
    says(".reg .f32 %f2;", "Duplicate");
}

#[test]
fn other_texts() {
    let _card = Card::new();
    let (code, log) = refused(&kernel("").replace(".version 7.0", ".version 9.9"));
    assert_eq!(code, 222, "{log}");
    assert!(log.contains("9.9"), "{log}");
    let (code, log) = refused(&kernel("").replace("sm_70", "sm_130"));
    assert_eq!(code, 218);
    assert!(log.contains("sm_130") && log.contains("line 2"), "{log}");
    let (code, log) = refused(&kernel("mov.u32 %n, 1"));
    assert_eq!(code, 218);
    assert!(log.contains("`,` expected"), "{log}");
    assert_eq!(refused("hello").0, 218);
    assert_eq!(refused("").0, 218);
    assert_eq!(
        refused(
            ".version 7.0\n.target sm_70\n.func f() { call f; ret; } .entry k() { call f; ret; }"
        )
        .0,
        218
    );
}

#[test]
fn names_in_scopes() {
    let _card = Card::new();
    let text = kernel(
        ".reg .f32 %f<3>; .reg .u32 t;\n{ .reg .f64 %f<2>; mov.f64 %f1, 0d0000000000000000; { .reg .f32 t; mov.f32 t, 0f00000000; L: bra L; } }\n\
         { .reg .f64 t; mov.f64 t, 0d0000000000000000; L: bra L; }\nmov.f32 %f1, 0f00000000; mov.u32 t, 1;",
    );
    Module::from_ptx(&text, &[]).unwrap_or_else(|_| panic!("{:?}", refused(&text)));
}

#[test]
fn functions_and_launches_that_cannot_be() {
    let card = Card::new();
    let text =
        kernel(".shared .align 4 .b8 tile[1024];").replace(")\n{", ")\n.maxntid 128, 1, 1\n{");
    let module = Module::from_ptx(&text, &[]).unwrap_or_else(|_| panic!("{:?}", refused(&text)));
    assert_eq!(module.get_function("nothing").err(), Some(CudaError::NotFound));
    assert_eq!(module.get_global::<u32>(c"nothing").err(), Some(CudaError::NotFound));
    let function = module.get_function("k").expect("the kernel");
    let attribute = |attribute| function.get_attribute(attribute).expect("an attribute");
    assert_eq!(attribute(FunctionAttribute::MaxThreadsPerBlock), 128);
    assert_eq!(attribute(FunctionAttribute::SharedMemorySizeBytes), 1024);
    assert_eq!(card.run(&module, 1, 129, 0, &[]), Err(CudaError::LaunchOutOfResources));
    assert_eq!(card.run(&module, 1, 1025, 0, &[]), Err(CudaError::InvalidValue));
    assert_eq!(card.run(&module, 0, 1, 0, &[]), Err(CudaError::InvalidValue));
    assert_eq!(card.run(&module, 1, 1, 48 << 10, &[]), Err(CudaError::InvalidValue));
    assert_eq!(card.run(&module, 1, 128, 47 << 10, &[]), Ok(()));
}

#[test]
fn memory_that_is_not_there() {
    let _card = Card::new();
    let all = cust::memory::mem_get_info().expect("the device's memory").1;
    // SAFETY: nothing is read.
    let buffer = unsafe { cust::memory::DeviceBuffer::<u8>::uninitialized(all + 1) };
    assert_eq!(buffer.err(), Some(CudaError::OutOfMemory));
}
