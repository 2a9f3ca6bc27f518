//! Barriers, functions, and blocks that wait for one another.

use cust::event::{Event, EventFlags};
use cust::memory::DeviceBuffer;
use cust::module::Module;

use crate::card::{Card, at, download, kernel, kernel_in};

/// Sums over the threads of a block by halves in shared memory; `barrier` is between the steps.
fn block_sum(barrier: &str) -> String {
    kernel(&format!(
        ".shared .align 4 .b8 sums[512]; .reg .u32 %r<6>; .reg .pred %p;\n\
         mov.u32 %r0, sums; mad.lo.u32 %r0, %t, 4, %r0; mad.wide.u32 %x, %i, 4, %a; ld.global.u32 %r1, [%x];\n\
         st.shared.u32 [%r0], %r1; {barrier} mov.u32 %r2, 64;\n\
         again: setp.ge.u32 %p, %t, %r2; @%p bra idle; mad.lo.u32 %r3, %r2, 4, %r0;\n\
         ld.shared.u32 %r4, [%r3]; ld.shared.u32 %r5, [%r0]; add.u32 %r5, %r5, %r4; st.shared.u32 [%r0], %r5;\n\
         idle: {barrier} shr.u32 %r2, %r2, 1; setp.gt.u32 %p, %r2, 0; @%p bra again;\n\
         ld.shared.u32 %r5, [sums]; mad.wide.u32 %x, %i, 4, %b; st.global.u32 [%x], %r5;"
    ))
}

#[test]
fn barriers_order_a_block() {
    let card = Card::new();
    let module = Module::from_ptx(block_sum("bar.sync 0;"), &[]).expect("a module");
    let values: Vec<u32> = (0..1280).map(|i| i * 7 % 101).collect();
    let (input, output) = (card.upload(&values), card.upload(&[0u32; 1280]));
    for _ in 0..20 {
        card.run(&module, 10, 128, 0, &[at(&input), at(&output)]).expect("a run");
        for (block, sums) in download(&output).chunks(128).enumerate() {
            let sum: u32 = values[128 * block..][..128].iter().sum();
            assert_eq!(sums, [sum; 128]);
        }
    }
}

#[test]
fn a_missing_barrier_is_found_on_every_schedule() {
    let text = block_sum("");
    for launches in 0..20 {
        let card = Card::new();
        let module = Module::from_ptx(&text, &[]).expect("a module");
        let (input, output) = (card.upload(&[1u32; 1280]), card.upload(&[0u32; 1280]));
        // Schedules differ by the launches that the context has had.
        let nothing = Module::from_ptx(kernel(""), &[]).expect("a module");
        for _ in 0..launches {
            card.run(&nothing, 1, 1, 0, &[]).expect("a run");
        }
        let ended = card.run(&module, 10, 128, 0, &[at(&input), at(&output)]);
        assert_eq!(ended, Err(cust::error::CudaError::IllegalAddress), "launch {launches}");
    }
}

#[test]
fn reductions_and_parts_of_a_block_at_barriers() {
    let text = kernel(
        ".shared .align 4 .u32 word; .reg .u32 %r<4>; .reg .pred %p, %q, %s;\n\
         and.b32 %r0, %t, 1; setp.eq.u32 %p, %r0, 1; bar.red.popc.u32 %r1, 0, %p;\n\
         bar.red.and.pred %q, 1, %p; bar.red.or.pred %s, 1, %p; selp.u32 %r2, 1000, 0, %q; add.u32 %r1, %r1, %r2;\n\
         selp.u32 %r2, 2000, 0, %s; add.u32 %r1, %r1, %r2;\n\
         setp.lt.u32 %p, %t, 32; @!%p bra consumer;\n\
         setp.eq.u32 %q, %t, 0; @%q st.shared.u32 [word], 30000; bar.arrive 2, 64; bra end;\n\
         consumer: bar.sync 2, 64; ld.shared.u32 %r3, [word]; add.u32 %r1, %r1, %r3;\n\
         end: mad.wide.u32 %x, %i, 4, %a; st.global.u32 [%x], %r1;",
    );
    let card = Card::new();
    let module = Module::from_ptx(&text, &[])
        .unwrap_or_else(|_| panic!("{:?}", crate::card::refused(&text)));
    let out = card.upload(&[0u32; 128]);
    for _ in 0..20 {
        card.run(&module, 2, 64, 0, &[at(&out)]).expect("a run");
        for (i, &value) in download(&out).iter().enumerate() {
            assert_eq!(value, 32 + 2000 + if i % 64 < 32 { 0 } else { 30000 });
        }
    }
}

#[test]
fn functions() {
    let text = kernel_in(
        ".func (.param .b32 out) twice(.param .b32 x) { .reg .u32 %r<2>; ld.param.u32 %r0, [x]; add.u32 %r1, %r0, %r0;\n\
         st.param.b32 [out], %r1; ret; }\n\
         .func (.reg .u32 out) sum(.reg .u32 x, .param .align 8 .b8 pair[16]) {\n\
         .reg .u32 %r<2>; .reg .u64 %d; .reg .pred %p; mov.b64 %d, pair; ld.param.u64 %d, [%d+8]; cvt.u32.u64 %r0, %d;\n\
         setp.gt.u32 %p, x, 5; @%p bra big; add.u32 out, x, %r0; ret;\n\
         big: { .param .b32 a; .param .b32 b; st.param.b32 [a], %r0; call.uni (b), twice, (a); ld.param.b32 %r1, [b]; }\n\
         add.u32 out, x, %r1; ret; }",
        ".reg .u32 %r<3>; .reg .pred %p; mov.u32 %r1, 0; and.b32 %r0, %i, 3; setp.ne.u32 %p, %r0, 0;\n\
         mul.wide.u32 %x, %i, 10; { .param .align 8 .b8 pair[16]; st.param.u64 [pair], %x; st.param.u64 [pair+8], %x;\n\
         @%p call (%r1), sum, (%r0, pair); }\n\
         mad.wide.u32 %x, %i, 4, %a; st.global.u32 [%x], %r1;",
    );
    let card = Card::new();
    let module = Module::from_ptx(&text, &[])
        .unwrap_or_else(|_| panic!("{:?}", crate::card::refused(&text)));
    let out = card.upload(&[0u32; 64]);
    card.run(&module, 2, 32, 0, &[at(&out)]).expect("a run");
    let small: Vec<u32> = (0..64).map(|i| if i % 4 == 0 { 0 } else { i % 4 + 10 * i }).collect();
    assert_eq!(download(&out), small);
    let text = text.replace("and.b32 %r0, %i, 3", "and.b32 %r0, %i, 15");
    let module = Module::from_ptx(&text, &[]).expect("a module");
    card.run(&module, 2, 32, 0, &[at(&out)]).expect("a run");
    let both = (0..64).map(|i| match i % 16 {
        0 => 0,
        x @ 1..6 => x + 10 * i,
        x => x + 20 * i,
    });
    assert_eq!(download(&out), both.collect::<Vec<u32>>());
}

/// Running sums over blocks of one thread: each takes `tile`, waits for the flag of the tile before, and sets its own.
fn look_back(tile: &str) -> String {
    kernel(&format!(
        ".reg .u32 %r<6>; .reg .pred %p;\n{tile}\n\
         mul.wide.u32 %x, %r0, 4; add.u64 %y, %b, %x; add.u64 %z, %c, %x; mov.u32 %r1, 0;\n\
         setp.eq.u32 %p, %r0, 0; @%p bra first;\n\
         again: ld.acquire.gpu.global.u32 %r2, [%z+-4]; setp.eq.u32 %p, %r2, 0; @%p bra again;\n\
         ld.global.u32 %r1, [%y+-4];\n\
         first: add.u32 %r1, %r1, %r0; st.global.u32 [%y], %r1; membar.gl; st.release.gpu.global.u32 [%z], 1;"
    ))
}

#[test]
fn blocks_wait_for_those_before_them() {
    let card = Card::new();
    let tickets = look_back("atom.global.add.u32 %r0, [%a], 1;");
    let module = Module::from_ptx(&tickets, &[]).expect("a module");
    for _ in 0..20 {
        let (ticket, sums, flags) =
            (card.upload(&[0u32]), card.upload(&[0u32; 200]), card.upload(&[0u32; 200]));
        card.run(&module, 200, 1, 0, &[at(&ticket), at(&sums), at(&flags)]).expect("a run");
        assert_eq!(download(&sums), (0..200u32).map(|i| i * (i + 1) / 2).collect::<Vec<_>>());
    }
}

/// Running sums over blocks of one warp, each lane by itself; `barrier` is before lane 0 sets the flag for all.
fn look_back_of_warps(barrier: &str) -> String {
    kernel(&format!(
        ".reg .u32 %r<6>; .reg .pred %p; setp.eq.u32 %p, %t, 0; mov.u32 %r0, 0;\n\
         @%p atom.global.add.u32 %r0, [%a], 1; shfl.sync.idx.b32 %r0, %r0, 0, 31, -1;\n\
         mul.wide.u32 %x, %r0, 4; add.u64 %z, %c, %x; mov.u32 %r1, 0;\n\
         mad.lo.u32 %r2, %r0, 32, %t; mul.wide.u32 %x, %r2, 4; add.u64 %y, %b, %x;\n\
         setp.eq.u32 %p, %r0, 0; @%p bra first;\n\
         again: ld.acquire.gpu.global.u32 %r3, [%z+-4]; setp.eq.u32 %p, %r3, 0;\n\
         vote.sync.any.pred %p, %p, -1; @%p bra again; ld.global.u32 %r1, [%y+-128];\n\
         first: add.u32 %r1, %r1, %t; st.global.u32 [%y], %r1; membar.gl; {barrier}\n\
         setp.eq.u32 %p, %t, 0; @%p st.release.gpu.global.u32 [%z], 1;"
    ))
}

/// The first of so many launches that fails, each on a schedule of its own.
fn first_failure(launches: usize, text: &str) -> Option<usize> {
    let card = Card::new();
    let module = Module::from_ptx(text, &[]).expect("a module");
    (0..launches).find(|_| {
        let (ticket, flags) = (card.upload(&[0u32]), card.upload(&[0u32; 50]));
        // SAFETY: what is read here was written where the kernel did not fail.
        let sums = unsafe { DeviceBuffer::<u32>::uninitialized(1600).expect("a buffer") };
        let ended = card.run(&module, 50, 32, 0, &[at(&ticket), at(&sums), at(&flags)]);
        if ended.is_ok() {
            let expected = (0..1600u32).map(|i| (i / 32 + 1) * (i % 32));
            assert_eq!(download(&sums), expected.collect::<Vec<_>>());
        }
        ended.is_err()
    })
}

#[test]
fn a_flag_set_before_all_lanes_have_written_is_found() {
    assert_eq!(first_failure(100, &look_back_of_warps("bar.warp.sync -1;")), None);
    let found = first_failure(100, &look_back_of_warps(""));

    assert!(found.is_some(), "in none of 100 launches");
}

#[test]
fn blocks_that_trust_their_order_are_found() {
    let card = Card::new();
    let module = Module::from_ptx(look_back("mov.u32 %r0, %i;"), &[]).expect("a module");
    let (sums, flags) = (card.upload(&[0u32; 200]), card.upload(&[0u32; 200]));
    let ended = card.run(&module, 200, 1, 0, &[0, at(&sums), at(&flags)]);
    assert_eq!(ended, Err(cust::error::CudaError::LaunchTimeout));
}

#[test]
fn events_and_occupancy() {
    let card = Card::new();
    let module = Module::from_ptx(kernel(""), &[]).expect("a module");
    let stream =
        cust::stream::Stream::new(cust::stream::StreamFlags::NON_BLOCKING, None).expect("a stream");
    let [before, after] = [(); 2].map(|()| Event::new(EventFlags::DEFAULT).expect("an event"));
    before.record(&stream).expect("a record");
    card.run(&module, 1, 1, 0, &[]).expect("a run");
    after.record(&stream).expect("a record");
    after.synchronize().expect("the event");
    assert!(after.elapsed_time_f32(&before).expect("a time") >= 0.0);
    let function = module.get_function("k").expect("the kernel");
    let fit = |threads: u32, shared| {
        function.max_active_blocks_per_multiprocessor(threads.into(), shared).expect("a number")
    };
    assert_eq!((fit(256, 0), fit(1024, 0), fit(32, 0), fit(32, 40 << 10)), (8, 2, 32, 4));
}
