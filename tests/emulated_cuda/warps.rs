//! What the lanes of a warp do together.

use cust::module::Module;

use crate::card::{Card, at, download, kernel};

/// The word `%w` of each of `threads` threads, of one block, from the word `%u` of `values`.
fn lanes(body: &str, values: &[u32]) -> Vec<u32> {
    let text = kernel(&format!(
        ".reg .u32 %u, %w, %l; .reg .pred %p, %q; .reg .b64 %v;\n\
         mad.wide.u32 %x, %i, 4, %a; ld.global.u32 %u, [%x]; mov.u32 %w, 0; mov.u32 %l, %laneid;\n{body}\n\
         mad.wide.u32 %x, %i, 4, %c; st.global.u32 [%x], %w;"
    ));
    let card = Card::new();
    let module = Module::from_ptx(&text, &[])
        .unwrap_or_else(|error| panic!("{body}: {error}: {:?}", crate::card::refused(&text)));
    let (values, out) = (card.upload(values), card.upload(&vec![0u32; values.len()]));
    // Several launches, for several schedules.
    for _ in 0..20 {
        card.run(&module, 1, values.len() as u32, 0, &[at(&values), 0, at(&out)]).expect("a run");
    }
    download(&out)
}

fn numbers(count: u32) -> Vec<u32> {
    (0..count).map(|i| i * i + 3).collect()
}

#[test]
fn shuffles() {
    let values = numbers(64);
    let up = lanes("shfl.sync.up.b32 %w|%p, %u, 3, 0, -1; @!%p mov.u32 %w, 1;", &values);
    let down = lanes("shfl.sync.down.b32 %w|%p, %u, 5, 31, -1; @!%p mov.u32 %w, 1;", &values);
    let exchanged = lanes("shfl.sync.bfly.b32 %w, %u, 7, 31, -1;", &values);
    let first_of_eight = lanes("shfl.sync.idx.b32 %w, %u, 0, 0x181f, -1;", &values);
    for i in 0..64usize {
        let lane = i % 32;
        assert_eq!(up[i], if lane >= 3 { values[i - 3] } else { 1 });
        assert_eq!(down[i], if lane + 5 < 32 { values[i + 5] } else { 1 });
        assert_eq!(exchanged[i], values[i ^ 7]);
        assert_eq!(first_of_eight[i], values[i / 8 * 8]);
    }
}

#[test]
fn lanes_that_come_apart_meet_again() {
    // Lanes leave a loop at different times, and sum over the warp by butterflies.
    let body = "mov.u32 %w, %u;\nagain: setp.gt.u32 %p, %l, 0; @!%p bra done; sub.u32 %l, %l, 1; add.u32 %w, %w, 1; bra again;\n\
        done: bar.warp.sync -1;\n\
        shfl.sync.bfly.b32 %l, %w, 16, 31, -1; add.u32 %w, %w, %l; shfl.sync.bfly.b32 %l, %w, 8, 31, -1; add.u32 %w, %w, %l;\n\
        shfl.sync.bfly.b32 %l, %w, 4, 31, -1; add.u32 %w, %w, %l; shfl.sync.bfly.b32 %l, %w, 2, 31, -1; add.u32 %w, %w, %l;\n\
        shfl.sync.bfly.b32 %l, %w, 1, 31, -1; add.u32 %w, %w, %l;";
    let values = numbers(96);
    let got = lanes(body, &values);
    for i in 0..96 {
        let warp = &values[i / 32 * 32..][..32];
        assert_eq!(got[i], warp.iter().sum::<u32>() + 31 * 32 / 2);
    }
}

#[test]
fn votes_and_reductions() {
    let values = numbers(32);
    let ballot = lanes(
        "and.b32 %w, %u, 1; setp.eq.u32 %p, %w, 1; vote.sync.ballot.b32 %w, %p, -1;",
        &values,
    );
    let odd = values.iter().enumerate().fold(0u32, |mask, (i, value)| mask | (value & 1) << i);
    assert_eq!(ballot, vec![odd; 32]);
    let any = lanes(
        "setp.eq.u32 %p, %u, 12; vote.sync.any.pred %q, %p, -1; selp.u32 %w, 1, 0, %q;",
        &values,
    );
    assert_eq!(any, vec![1; 32]);
    let all = lanes(
        "setp.lt.u32 %p, %u, 500; vote.sync.all.pred %q, %p, -1; selp.u32 %w, 1, 0, %q;",
        &values,
    );
    assert_eq!(all, vec![0; 32]);
    // Sets of lanes, each on its own.
    let halves = lanes(
        "setp.lt.u32 %p, %l, 16; @%p bra low;\n\
         vote.sync.ballot.b32 %w, %p, 0xffff0000; bra end;\n\
         low: vote.sync.ballot.b32 %w, %p, 0x0000ffff;\nend:",
        &values,
    );
    assert_eq!(halves[..16], [0xffff; 16]);
    assert_eq!(halves[16..], [0; 16]);
}

#[test]
fn lanes_that_match() {
    let values: Vec<u32> = (0..32).map(|i| i % 3).collect();
    let any = lanes("match.any.sync.b32 %w, %u, -1;", &values);
    let all = lanes("match.all.sync.b32 %w|%p, %u, -1; @%p mov.u32 %w, 1;", &values);
    for i in 0..32 {
        let same = (0..32).filter(|&j| values[j] == values[i]).fold(0u32, |mask, j| mask | 1 << j);
        assert_eq!((any[i], all[i]), (same, 0));
    }
}

#[test]
fn exited_lanes_are_not_waited_for() {
    // 40 threads, of which the second warp has eight, and one of the first leaves.
    let body = "setp.eq.u32 %p, %i, 3; @%p ret;\n\
        setp.ge.u32 %q, %u, 0; vote.sync.ballot.b32 %w, %q, -1;";
    let got = lanes(body, &numbers(40));
    for (i, &mask) in got.iter().enumerate() {
        let expected = match i {
            3 => 0,
            0..32 => !8,
            _ => 0xff,
        };
        assert_eq!(mask, expected, "thread {i}");
    }
}
