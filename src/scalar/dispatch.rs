//! Instruction sets, and the one place where a kernel is compiled for each and chosen at run time.

use super::sealed::Sealed;
use super::vector::{Array, Vector};
#[cfg(feature = "cpu")]
use crate::backends::cpu::walks::Walks;
use std::fmt::Debug;

/// An instruction set that kernels are compiled for. Sealed.
///
/// A type of this trait exists inside a kernel only, after a check that the machine has the
/// instructions.
pub trait Isa: Sealed + Copy + Debug + Send + Sync + 'static {
    /// A vector of `f32`.
    #[doc(hidden)]
    type F32: Vector<Real = f32>;
    /// A vector of `f64`.
    #[doc(hidden)]
    type F64: Vector<Real = f64>;
    /// The same arithmetic, one number at a time.
    #[doc(hidden)]
    type Single: Isa;

    /// Runs `kernel` out of line, compiled with these instructions: one copy for all callers.
    #[doc(hidden)]
    fn enter<K: Kernel>(kernel: K) -> K::Output;

    /// Runs a walk in `f32`. Not generic, so that it is compiled in this crate.
    #[cfg(feature = "cpu")]
    #[doc(hidden)]
    fn walk_f32(walk: Walks<'_, '_, f32, Self>);
    /// The same in `f64`.
    #[cfg(feature = "cpu")]
    #[doc(hidden)]
    fn walk_f64(walk: Walks<'_, '_, f64, Self>);
}

/// The walks of an instruction set whose vectors fill lanes.
macro_rules! walks {
    () => {
        #[cfg(feature = "cpu")]
        #[inline(never)]
        fn walk_f32(walk: crate::backends::cpu::walks::Walks<'_, '_, f32, Self>) {
            walk.enter();
        }
        #[cfg(feature = "cpu")]
        #[inline(never)]
        fn walk_f64(walk: crate::backends::cpu::walks::Walks<'_, '_, f64, Self>) {
            walk.enter();
        }
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use walks;

/// The instruction sets of the CPU backend, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum InstructionSet {
    /// 128-bit vectors in plain Rust, for any machine.
    Portable,
    /// x86-64's baseline: 128-bit vectors.
    Sse2,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors.
    Avx512,
}

impl InstructionSet {
    /// Every set that this machine can run.
    pub fn available() -> Vec<Self> {
        [Self::Portable, Self::Sse2, Self::Avx2, Self::Avx512]
            .into_iter()
            .filter(|set| set.is_available())
            .collect()
    }

    /// The best set of this machine.
    pub fn detect() -> Self {
        [Self::Avx512, Self::Avx2, Self::Sse2]
            .into_iter()
            .find(|set| set.is_available())
            .unwrap_or(Self::Portable)
    }

    /// Whether this machine can run it and this build has it: sets below what the compiler was told that every machine has
    /// (`-C target-cpu=native`, say) are left out.
    #[cfg(target_arch = "x86_64")]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => !ASSUMES_AVX2 || cfg!(test),
            Self::Sse2 => !ASSUMES_AVX2,
            Self::Avx2 => {
                !ASSUMES_AVX512
                    && is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
            }
            Self::Avx512 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512bw")
            }
        }
    }

    /// Whether this machine can run it and this build has it.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_available(self) -> bool {
        self == Self::Portable
    }
}

/// Code that is compiled once for each instruction set.
///
/// `run` and everything it calls down to the arithmetic is `#[inline(always)]`: a function
/// left out of line is compiled without the instructions.
pub trait Kernel {
    /// What it returns.
    type Output;
    /// The code, with the vectors of `I`.
    fn run<I: Isa>(self) -> Self::Output;
}

/// Vectors of 128 bits in plain Rust.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;
#[cfg(any(test, not(target_arch = "x86_64")))]
impl Sealed for Portable {}
#[cfg(any(test, not(target_arch = "x86_64")))]
impl Isa for Portable {
    type F32 = Array<f32, 4, false>;
    type F64 = Array<f64, 2, false>;
    type Single = One<false>;
    #[inline(never)]
    fn enter<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Self>()
    }
    walks!();
}

/// One number at a time, with fused multiply-add or without.
#[derive(Clone, Copy, Debug)]
pub(crate) struct One<const FMA: bool>;
impl<const FMA: bool> Sealed for One<FMA> {}
impl<const FMA: bool> Isa for One<FMA> {
    type F32 = Array<f32, 1, FMA>;
    type F64 = Array<f64, 1, FMA>;
    type Single = Self;
    #[inline(always)]
    fn enter<K: Kernel>(kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        if FMA {
            #[inline(never)]
            #[target_feature(enable = "avx2,fma")]
            fn enter<K: Kernel>(kernel: K) -> K::Output {
                kernel.run::<One<true>>()
            }
            // SAFETY: `One<true>` belongs to sets that dispatch has found with AVX2 and FMA.
            return unsafe { enter(kernel) };
        }
        #[inline(never)]
        fn enter<K: Kernel, const FMA: bool>(kernel: K) -> K::Output {
            kernel.run::<One<FMA>>()
        }
        enter::<K, FMA>(kernel)
    }
    // Chunks are in lanes, of which this has none.
    #[cfg(feature = "cpu")]
    fn walk_f32(_: Walks<'_, '_, f32, Self>) {
        unreachable!("walks are along chunks in lanes")
    }
    #[cfg(feature = "cpu")]
    fn walk_f64(_: Walks<'_, '_, f64, Self>) {
        unreachable!("walks are along chunks in lanes")
    }
}

/// Whether the compiler may use these instructions everywhere: what is below them is then not compiled.
#[cfg(target_arch = "x86_64")]
const ASSUMES_AVX2: bool = cfg!(all(target_feature = "avx2", target_feature = "fma"));
#[cfg(target_arch = "x86_64")]
const ASSUMES_AVX512: bool = ASSUMES_AVX2
    && cfg!(all(
        target_feature = "avx512f",
        target_feature = "avx512vl",
        target_feature = "avx512dq",
        target_feature = "avx512bw",
    ));

/// Runs `kernel` with the instructions of `set`, or of the best set below it that the machine has.
#[inline]
pub(crate) fn dispatch<K: Kernel>(set: InstructionSet, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        use super::x86::{Avx2, Avx512, Sse2};
        match set {
            // In tests only: users of x86-64 need not compile what no one runs there.
            #[cfg(test)]
            InstructionSet::Portable => Portable::enter(kernel),
            _ if ASSUMES_AVX512 => Avx512::enter(kernel),
            InstructionSet::Avx512 if set.is_available() => Avx512::enter(kernel),
            _ if ASSUMES_AVX2 => Avx2::enter(kernel),
            InstructionSet::Avx2 | InstructionSet::Avx512
                if InstructionSet::Avx2.is_available() =>
            {
                Avx2::enter(kernel)
            }
            _ => Sse2::enter(kernel),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = set;
        Portable::enter(kernel)
    }
}
