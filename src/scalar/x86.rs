//! The SIMD leaf on x86-64: SSE2, AVX2 with FMA, AVX-512.
//!
//! A register type exists inside [`dispatch`](super::dispatch::dispatch) only, which checks the
//! machine first; that is the bound that every `SAFETY` line here rests on.

use super::dispatch::{Isa, Kernel, One};
use super::sealed::Sealed;
use super::vector::Vector;
use std::arch::x86_64::*;

// Each set has a module of its own: rustc puts all that is generic over the users' types and comes from one module into one unit of code
// generation, and a set's kernels are a good part of what it compiles for them.
macro_rules! isa {
    ($(#[$doc:meta])* $module:ident $name:ident, $f32:ident, $f64:ident, $single:ty, $features:literal) => {
        mod $module {
            use super::*;

            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub(crate) struct $name;
            impl Sealed for $name {}
            impl Isa for $name {
                type F32 = $f32;
                type F64 = $f64;
                type Single = $single;
                #[inline(always)]
                fn enter<K: Kernel>(kernel: K) -> K::Output {
                    #[inline(never)]
                    #[target_feature(enable = $features)]
                    fn enter<K: Kernel>(kernel: K) -> K::Output {
                        kernel.run::<$name>()
                    }
                    // SAFETY: dispatch found the instruction set.
                    unsafe { enter(kernel) }
                }
                super::super::dispatch::walks!();
            }
        }
        pub(crate) use $module::$name;
    };
}
isa!(
    /// 128-bit vectors.
    sse2 Sse2, F32x4, F64x2, One<false>, "sse2"
);
isa!(
    /// 256-bit vectors with fused multiply-add.
    avx2 Avx2, F32x8, F64x4, One<true>, "avx2,fma"
);
isa!(
    /// 512-bit vectors.
    avx512 Avx512, F32x16, F64x8, One<true>, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"
);

/// One register type: its operations as intrinsics, the odd ones as expressions.
macro_rules! register {
    (
        $name:ident, $raw:ty, $real:ty, $width:literal, $fma:literal, $bits:ty,
        $set1:ident, $set1_int:ident, $cast:ident, $uncast:ident,
        $add:ident, $sub:ident, $mul:ident, $div:ident, $sqrt:ident, $min:ident, $max:ident,
        $and:ident, $or:ident, $xor:ident, $iadd:ident, $isub:ident, $shl:ident, $shr:ident,
        mul_add: |$ma:ident, $mb:ident, $mc:ident| $mul_add:expr,
        select_lt: |$sa:ident, $sb:ident, $sy:ident, $sn:ident| $select_lt:expr,
        select_nan: |$na:ident, $ny:ident, $nn:ident| $select_nan:expr,
        all_le: |$la:ident, $lb:ident| $all_le:expr,
        interleave: |$ia:ident, $ib:ident| $interleave:expr
        $(, scale: $scale:ident)?
    ) => {
        #[doc = concat!(stringify!($width), " lanes of ", stringify!($real), ".")]
        #[derive(Clone, Copy, Debug)]
        #[repr(transparent)]
        pub(crate) struct $name($raw);

        impl Vector for $name {
            type Real = $real;
            const WIDTH: usize = $width;
            const FMA: bool = $fma;

            #[inline(always)]
            fn splat(x: $real) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $set1(x) })
            }
            #[inline(always)]
            fn splat_bits(bits: u64) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $uncast($set1_int(bits as $bits)) })
            }
            #[inline(always)]
            fn as_slice(&self) -> &[$real] {
                // SAFETY: the register is exactly `WIDTH` numbers, aligned to more than one.
                unsafe { std::slice::from_raw_parts((&raw const self.0).cast(), $width) }
            }
            #[inline(always)]
            fn as_mut_slice(&mut self) -> &mut [$real] {
                // SAFETY: as in `as_slice`, and borrowed mutably.
                unsafe { std::slice::from_raw_parts_mut((&raw mut self.0).cast(), $width) }
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $add(self.0, other.0) })
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $sub(self.0, other.0) })
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $mul(self.0, other.0) })
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $div(self.0, other.0) })
            }
            #[inline(always)]
            fn mul_add(self, a: Self, b: Self) -> Self {
                let ($ma, $mb, $mc) = (self.0, a.0, b.0);
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $mul_add })
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $sqrt(self.0) })
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $min(self.0, other.0) })
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $max(self.0, other.0) })
            }
            $(
                #[inline(always)]
                fn scale(self, k: Self) -> Self {
                    // SAFETY: dispatch found the instruction set.
                    Self(unsafe { $scale(self.0, k.0) })
                }
            )?
            #[inline(always)]
            fn select_lt(self, bound: Self, yes: Self, no: Self) -> Self {
                let ($sa, $sb, $sy, $sn) = (self.0, bound.0, yes.0, no.0);
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $select_lt })
            }
            #[inline(always)]
            fn select_nan(self, yes: Self, no: Self) -> Self {
                let ($na, $ny, $nn) = (self.0, yes.0, no.0);
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $select_nan })
            }
            #[inline(always)]
            fn all_le(self, bound: Self) -> bool {
                let ($la, $lb) = (self.0, bound.0);
                // SAFETY: dispatch found the instruction set.
                unsafe { $all_le }
            }
            #[inline(always)]
            fn interleave(self, other: Self) -> (Self, Self) {
                let ($ia, $ib) = (self.0, other.0);
                // SAFETY: dispatch found the instruction set.
                let (first, second) = unsafe { $interleave };
                (Self(first), Self(second))
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $uncast($and($cast(self.0), $cast(other.0))) })
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $uncast($or($cast(self.0), $cast(other.0))) })
            }
            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $uncast($xor($cast(self.0), $cast(other.0))) })
            }
            #[inline(always)]
            fn add_bits(self, other: Self) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $uncast($iadd($cast(self.0), $cast(other.0))) })
            }
            #[inline(always)]
            fn sub_bits(self, other: Self) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $uncast($isub($cast(self.0), $cast(other.0))) })
            }
            #[inline(always)]
            fn shl<const N: i32>(self) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $uncast($shl($cast(self.0), _mm_cvtsi32_si128(N))) })
            }
            #[inline(always)]
            fn shr<const N: i32>(self) -> Self {
                // SAFETY: dispatch found the instruction set.
                Self(unsafe { $uncast($shr($cast(self.0), _mm_cvtsi32_si128(N))) })
            }
        }
    };
}

register!(
    F32x4, __m128, f32, 4, false, i32,
    _mm_set1_ps, _mm_set1_epi32, _mm_castps_si128, _mm_castsi128_ps,
    _mm_add_ps, _mm_sub_ps, _mm_mul_ps, _mm_div_ps, _mm_sqrt_ps, _mm_min_ps, _mm_max_ps,
    _mm_and_si128, _mm_or_si128, _mm_xor_si128, _mm_add_epi32, _mm_sub_epi32, _mm_sll_epi32, _mm_srl_epi32,
    mul_add: |a, b, c| _mm_add_ps(_mm_mul_ps(a, b), c),
    select_lt: |a, b, y, n| {
        let m = _mm_cmplt_ps(a, b);
        _mm_or_ps(_mm_and_ps(m, y), _mm_andnot_ps(m, n))
    },
    select_nan: |a, y, n| {
        let m = _mm_cmpunord_ps(a, a);
        _mm_or_ps(_mm_and_ps(m, y), _mm_andnot_ps(m, n))
    },
    all_le: |a, b| _mm_movemask_ps(_mm_cmple_ps(a, b)) == 0xf,
    interleave: |a, b| (_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b))
);
register!(
    F64x2, __m128d, f64, 2, false, i64,
    _mm_set1_pd, _mm_set1_epi64x, _mm_castpd_si128, _mm_castsi128_pd,
    _mm_add_pd, _mm_sub_pd, _mm_mul_pd, _mm_div_pd, _mm_sqrt_pd, _mm_min_pd, _mm_max_pd,
    _mm_and_si128, _mm_or_si128, _mm_xor_si128, _mm_add_epi64, _mm_sub_epi64, _mm_sll_epi64, _mm_srl_epi64,
    mul_add: |a, b, c| _mm_add_pd(_mm_mul_pd(a, b), c),
    select_lt: |a, b, y, n| {
        let m = _mm_cmplt_pd(a, b);
        _mm_or_pd(_mm_and_pd(m, y), _mm_andnot_pd(m, n))
    },
    select_nan: |a, y, n| {
        let m = _mm_cmpunord_pd(a, a);
        _mm_or_pd(_mm_and_pd(m, y), _mm_andnot_pd(m, n))
    },
    all_le: |a, b| _mm_movemask_pd(_mm_cmple_pd(a, b)) == 0x3,
    interleave: |a, b| (_mm_unpacklo_pd(a, b), _mm_unpackhi_pd(a, b))
);
register!(
    F32x8, __m256, f32, 8, true, i32,
    _mm256_set1_ps, _mm256_set1_epi32, _mm256_castps_si256, _mm256_castsi256_ps,
    _mm256_add_ps, _mm256_sub_ps, _mm256_mul_ps, _mm256_div_ps, _mm256_sqrt_ps, _mm256_min_ps, _mm256_max_ps,
    _mm256_and_si256, _mm256_or_si256, _mm256_xor_si256, _mm256_add_epi32, _mm256_sub_epi32, _mm256_sll_epi32, _mm256_srl_epi32,
    mul_add: |a, b, c| _mm256_fmadd_ps(a, b, c),
    select_lt: |a, b, y, n| _mm256_blendv_ps(n, y, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)),
    select_nan: |a, y, n| _mm256_blendv_ps(n, y, _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a)),
    all_le: |a, b| _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(a, b)) == 0xff,
    interleave: |a, b| {
        let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
    }
);
register!(
    F64x4, __m256d, f64, 4, true, i64,
    _mm256_set1_pd, _mm256_set1_epi64x, _mm256_castpd_si256, _mm256_castsi256_pd,
    _mm256_add_pd, _mm256_sub_pd, _mm256_mul_pd, _mm256_div_pd, _mm256_sqrt_pd, _mm256_min_pd, _mm256_max_pd,
    _mm256_and_si256, _mm256_or_si256, _mm256_xor_si256, _mm256_add_epi64, _mm256_sub_epi64, _mm256_sll_epi64, _mm256_srl_epi64,
    mul_add: |a, b, c| _mm256_fmadd_pd(a, b, c),
    select_lt: |a, b, y, n| _mm256_blendv_pd(n, y, _mm256_cmp_pd::<_CMP_LT_OQ>(a, b)),
    select_nan: |a, y, n| _mm256_blendv_pd(n, y, _mm256_cmp_pd::<_CMP_UNORD_Q>(a, a)),
    all_le: |a, b| _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LE_OQ>(a, b)) == 0xf,
    interleave: |a, b| {
        let (low, high) = (_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
        (_mm256_permute2f128_pd::<0x20>(low, high), _mm256_permute2f128_pd::<0x31>(low, high))
    }
);
register!(
    F32x16, __m512, f32, 16, true, i32,
    _mm512_set1_ps, _mm512_set1_epi32, _mm512_castps_si512, _mm512_castsi512_ps,
    _mm512_add_ps, _mm512_sub_ps, _mm512_mul_ps, _mm512_div_ps, _mm512_sqrt_ps, _mm512_min_ps, _mm512_max_ps,
    _mm512_and_si512, _mm512_or_si512, _mm512_xor_si512, _mm512_add_epi32, _mm512_sub_epi32, _mm512_sll_epi32, _mm512_srl_epi32,
    mul_add: |a, b, c| _mm512_fmadd_ps(a, b, c),
    select_lt: |a, b, y, n| _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), n, y),
    select_nan: |a, y, n| _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), n, y),
    all_le: |a, b| _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b) == 0xffff,
    interleave: |a, b| {
        let first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        let second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
        (_mm512_permutex2var_ps(a, first, b), _mm512_permutex2var_ps(a, second, b))
    },
    scale: _mm512_scalef_ps
);
register!(
    F64x8, __m512d, f64, 8, true, i64,
    _mm512_set1_pd, _mm512_set1_epi64, _mm512_castpd_si512, _mm512_castsi512_pd,
    _mm512_add_pd, _mm512_sub_pd, _mm512_mul_pd, _mm512_div_pd, _mm512_sqrt_pd, _mm512_min_pd, _mm512_max_pd,
    _mm512_and_si512, _mm512_or_si512, _mm512_xor_si512, _mm512_add_epi64, _mm512_sub_epi64, _mm512_sll_epi64, _mm512_srl_epi64,
    mul_add: |a, b, c| _mm512_fmadd_pd(a, b, c),
    select_lt: |a, b, y, n| _mm512_mask_blend_pd(_mm512_cmp_pd_mask::<_CMP_LT_OQ>(a, b), n, y),
    select_nan: |a, y, n| _mm512_mask_blend_pd(_mm512_cmp_pd_mask::<_CMP_UNORD_Q>(a, a), n, y),
    all_le: |a, b| _mm512_cmp_pd_mask::<_CMP_LE_OQ>(a, b) == 0xff,
    interleave: |a, b| {
        let first = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
        let second = _mm512_add_epi64(first, _mm512_set1_epi64(4));
        (_mm512_permutex2var_pd(a, first, b), _mm512_permutex2var_pd(a, second, b))
    },
    scale: _mm512_scalef_pd
);

/// Asks for the cache lines of `row`, which will be needed soon.
#[inline(always)]
pub(crate) fn prefetch<R>(row: &[R]) {
    const LINE: usize = 64;
    for line in row.chunks((LINE / size_of::<R>()).max(1)) {
        // SAFETY: a hint, without effect on memory; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
    }
}
