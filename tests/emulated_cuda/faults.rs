//! What ends a kernel.

use cust::error::CudaError;
use cust::memory::DeviceBuffer;
use cust::module::Module;

use crate::card::{Card, at, kernel};

/// How a launch of so many threads ends that has 16 words in `%a` and 16 that nobody wrote in `%b`.
fn ending(threads: u32, body: &str) -> Result<(), CudaError> {
    let card = Card::new();
    let text = kernel(&format!(
        ".reg .u32 %r<4>; .reg .pred %p; .shared .align 16 .b8 tile[256]; .local .align 4 .b8 own[16];\n\
         mov.u32 %r0, tile; mad.lo.u32 %r0, %t, 4, %r0; mov.u32 %r1, 1; {body}"
    ));
    let module = Module::from_ptx(&text, &[])
        .unwrap_or_else(|_| panic!("{body}: {:?}", crate::card::refused(&text)));
    let written = card.upload(&[1u32; 16]);
    // SAFETY: the kernels read what was never written on purpose, and no one else does.
    let unwritten = unsafe { DeviceBuffer::<u32>::uninitialized(16).expect("a buffer") };
    let ended = card.run(&module, 1, threads, 0, &[at(&written), at(&unwritten)]);
    // The context answers the same from then on.
    if let Err(error) = ended {
        assert_eq!(DeviceBuffer::<u32>::zeroed(1).err(), Some(error));
    }
    ended
}

const ILLEGAL: Result<(), CudaError> = Err(CudaError::IllegalAddress);

#[test]
fn addresses_outside() {
    assert_eq!(ending(16, "mad.wide.u32 %x, %t, 4, %a; ld.global.u32 %r2, [%x];"), Ok(()));
    assert_eq!(ending(17, "mad.wide.u32 %x, %t, 4, %a; ld.global.u32 %r2, [%x];"), ILLEGAL);
    assert_eq!(ending(1, "st.global.u32 [%a+64], %r1;"), ILLEGAL);
    assert_eq!(ending(1, "ld.global.u32 %r2, [%a+-4];"), ILLEGAL);
    assert_eq!(ending(1, "ld.global.u32 %r2, [%d];"), ILLEGAL);
    assert_eq!(ending(1, "atom.global.add.u32 %r2, [%a+64], 1;"), ILLEGAL);
    assert_eq!(ending(1, "ld.global.v2.u32 {%r2, %r3}, [%a+56];"), Ok(()));
    assert_eq!(ending(1, "ld.global.v4.u32 {%r2, %r3, %r2, %r3}, [%a+64];"), ILLEGAL);
    assert_eq!(ending(64, "st.shared.u32 [%r0], %r1;"), Ok(()));
    assert_eq!(ending(65, "st.shared.u32 [%r0], %r1;"), ILLEGAL);
    assert_eq!(ending(1, "st.local.u32 [own+16], %r1;"), ILLEGAL);
    // A pointer of the host, and one into memory that was given back.
    assert_eq!(ending(1, "mov.u64 %x, 140000000000; st.global.u32 [%x], %r1;"), ILLEGAL);
}

#[test]
fn memory_given_back() {
    let card = Card::new();
    let module =
        Module::from_ptx(kernel(".reg .u32 %r; ld.global.u32 %r, [%a];"), &[]).expect("a module");
    let gone = at(&card.upload(&[1u32; 4]));
    assert_eq!(card.run(&module, 1, 1, 0, &[gone]), ILLEGAL);
}

#[test]
fn memory_of_another_context() {
    let owner = Card::new();
    let words = owner.upload(&[1u32; 4]);
    let card = Card::new();
    let module =
        Module::from_ptx(kernel(".reg .u32 %r; ld.global.u32 %r, [%a];"), &[]).expect("a module");
    assert_eq!(card.run(&module, 1, 1, 0, &[at(&words)]), ILLEGAL);
}

#[test]
fn misaligned_addresses() {
    assert_eq!(ending(1, "ld.global.u32 %r2, [%a+2];"), Err(CudaError::MisalignedAddress));
    assert_eq!(
        ending(1, "ld.global.v2.u32 {%r2, %r3}, [%a+4];"),
        Err(CudaError::MisalignedAddress)
    );
    assert_eq!(ending(1, "st.shared.u32 [tile+1], %r1;"), Err(CudaError::MisalignedAddress));
}

#[test]
fn memory_that_nobody_wrote() {
    assert_eq!(ending(1, "ld.global.u32 %r2, [%b];"), ILLEGAL);
    assert_eq!(ending(1, "st.global.u16 [%b], %r1; ld.global.u32 %r2, [%b];"), ILLEGAL);
    assert_eq!(ending(1, "st.global.u32 [%b], %r1; ld.global.u32 %r2, [%b];"), Ok(()));
    assert_eq!(ending(1, "ld.shared.u32 %r2, [tile];"), ILLEGAL);
    assert_eq!(ending(1, "ld.local.u32 %r2, [own];"), ILLEGAL);
}

#[test]
fn races_on_shared_memory() {
    let read_other = "xor.b32 %r2, %r0, 4; ld.shared.u32 %r3, [%r2];";
    let far = "xor.b32 %r2, %r0, 128; ld.shared.u32 %r3, [%r2];";
    let write = "st.shared.u32 [%r0], %r1;";
    assert_eq!(ending(64, &format!("{write} {read_other}")), ILLEGAL);
    assert_eq!(ending(64, &format!("{write} bar.warp.sync -1; {read_other}")), Ok(()));
    assert_eq!(ending(64, &format!("{write} bar.warp.sync -1; {far}")), ILLEGAL);
    assert_eq!(ending(64, &format!("{write} bar.sync 0; {far}")), Ok(()));
    // A vote orders nothing.
    assert_eq!(
        ending(32, &format!("{write} vote.sync.any.pred %p, %p, -1; {read_other}")),
        ILLEGAL
    );
    // A barrier of half a warp orders that half.
    let halves = "setp.lt.u32 %p, %t, 16; @%p bra low; bar.warp.sync 0xffff0000; bra both;\n\
        low: bar.warp.sync 0x0000ffff; both:";
    assert_eq!(ending(32, &format!("{write} {halves} {read_other}")), Ok(()));
    let across = "xor.b32 %r2, %r0, 64; ld.shared.u32 %r3, [%r2];";
    assert_eq!(ending(32, &format!("{write} {halves} {across}")), ILLEGAL);
    // Writes after reads, and of the same place.
    let barrier = "bar.sync 0;";
    assert_eq!(
        ending(64, &format!("{write} {barrier} {read_other} st.shared.u32 [%r0], %r1;")),
        ILLEGAL
    );
    assert_eq!(ending(64, &format!("{write} {barrier} {read_other} {barrier} {write}")), Ok(()));
    assert_eq!(ending(2, "st.shared.u32 [tile], %r1;"), ILLEGAL);
    // Everybody reads one word, and then a lane of the same warp writes it.
    let one = "setp.eq.u32 %p, %t, 5; @%p st.shared.u32 [tile], %r1;";
    let all_read = format!("{one} bar.sync 0; ld.shared.u32 %r3, [tile];");
    assert_eq!(ending(32, &format!("{all_read} {one}")), ILLEGAL);
    assert_eq!(ending(32, &format!("{all_read} bar.warp.sync -1; {one}")), Ok(()));
    assert_eq!(ending(64, &format!("{all_read} bar.warp.sync -1; {one}")), ILLEGAL);
    // Atomic operations do not race with one another, but with a plain read.
    let zero = "setp.eq.u32 %p, %t, 0; @%p st.shared.u32 [tile], %r1; bar.sync 0;";
    let count = "atom.shared.add.u32 %r2, [tile], 1;";
    assert_eq!(ending(64, &format!("{zero} {count}")), Ok(()));
    assert_eq!(ending(64, &format!("{zero} {count} ld.shared.u32 %r3, [tile];")), ILLEGAL);
    assert_eq!(ending(64, &format!("{zero} {count} ld.volatile.shared.u32 %r3, [tile];")), Ok(()));
}

#[test]
fn bytes_of_one_word_do_not_race() {
    assert_eq!(
        ending(64, "mov.u32 %r2, tile; add.u32 %r2, %r2, %t; st.shared.u8 [%r2], %r1;"),
        Ok(())
    );
    assert_eq!(
        ending(
            64,
            "mov.u32 %r2, tile; shr.u32 %r3, %t, 1; add.u32 %r2, %r2, %r3; st.shared.u8 [%r2], %r1;"
        ),
        ILLEGAL
    );
}

#[test]
fn threads_that_wait_for_ever() {
    let timeout = Err(CudaError::LaunchTimeout);
    // Two warps at two barriers.
    let apart = "setp.lt.u32 %p, %t, 32; @%p bra low; bar.sync 1; bra end; low: bar.sync 2; end:";
    assert_eq!(ending(64, apart), timeout);
    // Lanes that wait for lanes that wait for them.
    let crossed =
        "setp.eq.u32 %p, %t, 0; @%p bra one; bar.sync 0; bra end; one: bar.warp.sync -1; end:";
    assert_eq!(ending(32, crossed), timeout);
    assert_eq!(
        ending(
            32,
            "again: ld.volatile.global.u32 %r2, [%a]; setp.eq.u32 %p, %r2, 1; @%p bra again;"
        ),
        timeout
    );
    // Threads that leave are not waited for.
    assert_eq!(ending(64, "setp.lt.u32 %p, %t, 40; @%p ret; bar.sync 0;"), Ok(()));
}

#[test]
fn traps_and_masks() {
    assert_eq!(ending(1, "trap;"), Err(CudaError::IllegalInstruction));
    assert_eq!(ending(32, "bar.warp.sync 0xfffffffe;"), Err(CudaError::LaunchFailed));
    let two_masks = "setp.eq.u32 %p, %t, 0; selp.b32 %r2, -1, 0xfffffffe, %p; or.b32 %r2, %r2, 2; bar.warp.sync %r2;";
    assert_eq!(ending(32, two_masks), Err(CudaError::LaunchFailed));
    assert_eq!(ending(32, "mov.u32 %r2, 17; bar.sync %r2;"), Err(CudaError::IllegalInstruction));
}
