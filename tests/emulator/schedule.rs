//! The seeded choice of who runs next, and for how long.

/// A xorshift generator.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        // The first steps of SplitMix64 spread near seeds apart.
        let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((x ^ x >> 31) | 1)
    }

    #[inline(always)]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `bound`, which is not 0.
    #[inline(always)]
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// Whether a chance of one in `n` came true.
    pub(crate) fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }
}

/// How a launch is scheduled, drawn once for each.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// Instructions of a turn: at least, and at most this many more.
    shortest: u32,
    spread: u32,
    /// One in so many groups is chosen at random, the others from the threads that are furthest behind.
    random_leader: u32,
    /// One in so many groups is only a part of the threads that stand at the same instruction.
    split: u32,
    /// One in so many stores to global memory is done by a part of the threads that have come to it, which go on before the
    /// others: what is published too early is then seen too early.
    split_store: u32,
}

impl Policy {
    pub(crate) fn draw(random: &mut Random) -> Self {
        match random.below(8) {
            0..4 => {
                Self { shortest: 100, spread: 400, random_leader: 16, split: 64, split_store: 32 }
            }
            4..7 => {
                Self { shortest: 20, spread: 380, random_leader: 8, split: 16, split_store: 16 }
            }
            _ => Self { shortest: 1, spread: 60, random_leader: 3, split: 4, split_store: 4 },
        }
    }

    pub(crate) fn turn(&self, random: &mut Random) -> u32 {
        self.shortest + random.below(self.spread)
    }

    /// Those of `lanes` that do a store to global memory now.
    pub(crate) fn storing(&self, random: &mut Random, lanes: u32) -> u32 {
        if random.one_in(self.split_store) { part(lanes, random) } else { lanes }
    }

    /// The threads of `runnable` that run next, where they stand, and where they wait for the others.
    pub(crate) fn group(&self, random: &mut Random, places: &[u32; 32], runnable: u32) -> Group {
        // Threads that cannot run stand nowhere.
        let mut standing = [u32::MAX; 32];
        for l in 0..32 {
            standing[l] = places[l] | (runnable >> l & 1).wrapping_sub(1);
        }
        let place = if random.one_in(self.random_leader) {
            let mut lane = random.below(32);
            while runnable >> lane & 1 == 0 {
                lane = (lane + 1) % 32;
            }
            places[lane as usize]
        } else {
            standing.iter().fold(u32::MAX, |least, &at| least.min(at))
        };
        let mut lanes = 0;
        let mut meeting = u32::MAX;
        for (l, &at) in standing.iter().enumerate() {
            lanes |= u32::from(at == place) << l;
            meeting = meeting.min(if at > place { at } else { u32::MAX });
        }
        let all = lanes;
        if random.one_in(self.split) {
            lanes = part(all, random);
        }
        Group { lanes, place, meeting, left: all & !lanes }
    }
}

/// Some of `lanes`, or all of them.
fn part(lanes: u32, random: &mut Random) -> u32 {
    let part = lanes & random.next() as u32;
    if part == 0 { lanes } else { part }
}

/// Threads of a warp that run an instruction together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    pub(crate) lanes: u32,
    pub(crate) place: u32,
    /// The next place where other threads of the warp stand.
    pub(crate) meeting: u32,
    /// Threads that stand at the same place and stay there for this turn.
    pub(crate) left: u32,
}

/// Numbers below `count` in random order.
pub(crate) fn shuffled(count: u32, random: &mut Random) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i as u32 + 1) as usize);
    }
    order
}
