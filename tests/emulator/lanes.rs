//! Registers of a warp and functions over all of its lanes at once.
//!
//! A register of 32 bits or fewer is a row of 32 `u32`, one a lane; one of 64 bits a row of 32 `u64`; a predicate is one `u32` with a bit a lane.
//! Every arithmetic instruction is decoded into a [`Lanes`] function over such rows, compiled for AVX2 with FMA beside the plain one.

use std::sync::OnceLock;

/// Lanes of a warp.
pub(crate) const WARP: usize = 32;

/// The registers of one warp.
#[derive(Debug, Default)]
pub(crate) struct Registers {
    pub(crate) words: Vec<[u32; WARP]>,
    pub(crate) longs: Vec<[u64; WARP]>,
    pub(crate) predicates: Vec<u32>,
}

/// Where an instruction's result and operands are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Slots {
    pub(crate) d: u32,
    pub(crate) a: u32,
    pub(crate) b: u32,
    pub(crate) c: u32,
    pub(crate) e: u32,
}

/// Executes one instruction in the lanes of the mask.
///
/// Unsafe to call without the processor's features that it was compiled for; [`wide`] says whether they are there.
pub(crate) type Lanes = unsafe fn(&mut Registers, &Slots, u32);

/// Whether functions compiled for AVX2 and FMA may be called.
pub(crate) fn wide() -> bool {
    static WIDE: OnceLock<bool> = OnceLock::new();
    *WIDE.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        {
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            false
        }
    })
}

/// A type that a lane of a register can be read and written as.
pub(crate) trait Lane: Copy {
    fn load(registers: &Registers, slot: u32) -> [Self; WARP];
    fn store(registers: &mut Registers, slot: u32, values: &[Self; WARP], mask: u32);
}

macro_rules! lane {
    ($file:ident, $raw:ty: $($t:ty, $from:expr, $to:expr;)+) => {$(
        impl Lane for $t {
            #[inline(always)]
            fn load(registers: &Registers, slot: u32) -> [Self; WARP] {
                let row = &registers.$file[slot as usize];
                let mut out = [<$t>::default(); WARP];
                for l in 0..WARP {
                    out[l] = $from(row[l]);
                }
                out
            }

            #[inline(always)]
            fn store(registers: &mut Registers, slot: u32, values: &[Self; WARP], mask: u32) {
                let row = &mut registers.$file[slot as usize];
                if mask == u32::MAX {
                    for l in 0..WARP {
                        row[l] = $to(values[l]);
                    }
                } else {
                    for l in 0..WARP {
                        let keep = ((mask >> l & 1) as $raw).wrapping_sub(1);
                        row[l] = (row[l] & keep) | ($to(values[l]) & !keep);
                    }
                }
            }
        }
    )+};
}

lane!(words, u32:
    u8, |x: u32| x as u8, |x: u8| u32::from(x);
    i8, |x: u32| x as i8, |x: i8| u32::from(x as u8);
    u16, |x: u32| x as u16, |x: u16| u32::from(x);
    i16, |x: u32| x as i16, |x: i16| u32::from(x as u16);
    u32, |x: u32| x, |x: u32| x;
    i32, |x: u32| x as i32, |x: i32| x as u32;
    f32, f32::from_bits, f32::to_bits;
);
lane!(longs, u64:
    u64, |x: u64| x, |x: u64| x;
    i64, |x: u64| x as i64, |x: i64| x as u64;
    f64, f64::from_bits, f64::to_bits;
);

impl Lane for bool {
    #[inline(always)]
    fn load(registers: &Registers, slot: u32) -> [Self; WARP] {
        let bits = registers.predicates[slot as usize];
        let mut out = [false; WARP];
        for (l, value) in out.iter_mut().enumerate() {
            *value = bits >> l & 1 != 0;
        }
        out
    }

    #[inline(always)]
    fn store(registers: &mut Registers, slot: u32, values: &[Self; WARP], mask: u32) {
        let mut bits = 0;
        for (l, &value) in values.iter().enumerate() {
            bits |= u32::from(value) << l;
        }
        let row = &mut registers.predicates[slot as usize];
        *row = (*row & !mask) | (bits & mask);
    }
}

#[inline(always)]
pub(crate) fn map1<D: Lane + Default, A: Lane>(
    r: &mut Registers,
    s: &Slots,
    mask: u32,
    f: impl Fn(A) -> D,
) {
    let a = A::load(r, s.a);
    let mut out = [D::default(); WARP];
    for l in 0..WARP {
        out[l] = f(a[l]);
    }
    D::store(r, s.d, &out, mask);
}

#[inline(always)]
pub(crate) fn map2<D: Lane + Default, A: Lane, B: Lane>(
    r: &mut Registers,
    s: &Slots,
    mask: u32,
    f: impl Fn(A, B) -> D,
) {
    let (a, b) = (A::load(r, s.a), B::load(r, s.b));
    let mut out = [D::default(); WARP];
    for l in 0..WARP {
        out[l] = f(a[l], b[l]);
    }
    D::store(r, s.d, &out, mask);
}

#[inline(always)]
pub(crate) fn map3<D: Lane + Default, A: Lane, B: Lane, C: Lane>(
    r: &mut Registers,
    s: &Slots,
    mask: u32,
    f: impl Fn(A, B, C) -> D,
) {
    let (a, b, c) = (A::load(r, s.a), B::load(r, s.b), C::load(r, s.c));
    let mut out = [D::default(); WARP];
    for l in 0..WARP {
        out[l] = f(a[l], b[l], c[l]);
    }
    D::store(r, s.d, &out, mask);
}

#[inline(always)]
pub(crate) fn map4<D: Lane + Default, A: Lane, B: Lane, C: Lane, E: Lane>(
    r: &mut Registers,
    s: &Slots,
    mask: u32,
    f: impl Fn(A, B, C, E) -> D,
) {
    let (a, b, c, e) = (A::load(r, s.a), B::load(r, s.b), C::load(r, s.c), E::load(r, s.e));
    let mut out = [D::default(); WARP];
    for l in 0..WARP {
        out[l] = f(a[l], b[l], c[l], e[l]);
    }
    D::store(r, s.d, &out, mask);
}

/// A [`Lanes`] function of an expression of one to four typed operands, computed in all lanes.
macro_rules! lanes {
    (|$($x:ident: $t:ty),+| -> $d:ty { $body:expr }) => {{
        #[inline(always)]
        fn lane($($x: $t),+) -> $d {
            $body
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn wide(registers: &mut $crate::lanes::Registers, slots: &$crate::lanes::Slots, mask: u32) {
            $crate::lanes::lanes!(@map $($x)+)(registers, slots, mask, lane)
        }
        fn plain(registers: &mut $crate::lanes::Registers, slots: &$crate::lanes::Slots, mask: u32) {
            $crate::lanes::lanes!(@map $($x)+)(registers, slots, mask, lane)
        }
        #[cfg(target_arch = "x86_64")]
        let chosen = if $crate::lanes::wide() { wide as $crate::lanes::Lanes } else { plain as $crate::lanes::Lanes };
        #[cfg(not(target_arch = "x86_64"))]
        let chosen = plain as $crate::lanes::Lanes;
        chosen
    }};
    (@map $a:ident) => { $crate::lanes::map1 };
    (@map $a:ident $b:ident) => { $crate::lanes::map2 };
    (@map $a:ident $b:ident $c:ident) => { $crate::lanes::map3 };
    (@map $a:ident $b:ident $c:ident $e:ident) => { $crate::lanes::map4 };
}
pub(crate) use lanes;

/// A [`Lanes`] function of an expression that is costly or cannot run on all lanes: one active lane after the other.
macro_rules! each {
    (|$($x:ident: $t:ty),+| -> $d:ty { $body:expr }) => {{
        fn each(registers: &mut $crate::lanes::Registers, slots: &$crate::lanes::Slots, mask: u32) {
            fn lane($($x: $t),+) -> $d {
                $body
            }
            $crate::lanes::each!(@run registers slots mask lane ($d) $($x: $t),+)
        }
        each as $crate::lanes::Lanes
    }};
    (@run $r:ident $s:ident $m:ident $f:ident ($d:ty) $($x:ident: $t:ty),+) => {{
        let mut names = [$s.a, $s.b, $s.c, $s.e].into_iter();
        $(let $x = <$t as $crate::lanes::Lane>::load($r, names.next().unwrap_or(0));)+
        let mut out = [<$d>::default(); $crate::lanes::WARP];
        for l in 0..$crate::lanes::WARP {
            if $m >> l & 1 != 0 {
                out[l] = $f($($x[l]),+);
            }
        }
        <$d as $crate::lanes::Lane>::store($r, $s.d, &out, $m);
    }};
}
pub(crate) use each;
