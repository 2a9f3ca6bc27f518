//! The SIMD leaf: what a vector register can do, and its portable form.
//!
//! Everything above (arithmetic, elementary functions, kernels) is written once over
//! [`Vector`]. Bit operations act on the pattern of each lane as an unsigned integer of the
//! same width.

use super::{Real, math};
use std::fmt::Debug;

/// A register of `WIDTH` numbers.
pub trait Vector: Copy + Debug + Send + Sync {
    /// A lane's type.
    type Real: Real;
    /// Lanes in the register.
    const WIDTH: usize;
    /// Whether [`mul_add`](Self::mul_add) rounds once.
    const FMA: bool;

    /// `x` in every lane.
    fn splat(x: Self::Real) -> Self;
    /// The bit pattern `bits` (its low half for `f32`) in every lane.
    fn splat_bits(bits: u64) -> Self;
    /// The lanes as numbers.
    fn as_slice(&self) -> &[Self::Real];
    /// The lanes as numbers.
    fn as_mut_slice(&mut self) -> &mut [Self::Real];

    /// Lane-wise sum.
    fn add(self, other: Self) -> Self;
    /// Lane-wise difference.
    fn sub(self, other: Self) -> Self;
    /// Lane-wise product.
    fn mul(self, other: Self) -> Self;
    /// Lane-wise quotient.
    fn div(self, other: Self) -> Self;
    /// `self · a + b`, rounded once where [`FMA`](Self::FMA), else twice.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// `self` where `self < other`, else (NaN too) `other`.
    fn min(self, other: Self) -> Self;
    /// `self` where `self > other`, else (NaN too) `other`.
    fn max(self, other: Self) -> Self;
    /// `self · 2ᵏ` for integral `k`, rounded once, if |self| is within [½, 2] and |k| below
    /// twice the largest exponent.
    #[inline(always)]
    fn scale(self, k: Self) -> Self {
        scale_in_halves(self, k)
    }
    /// `yes` where `self < bound`, else (NaN too) `no`.
    fn select_lt(self, bound: Self, yes: Self, no: Self) -> Self;
    /// `yes` where `self` is a NaN, else `no`.
    fn select_nan(self, yes: Self, no: Self) -> Self;
    /// Whether `self <= bound` in every lane; false with a NaN.
    fn all_le(self, bound: Self) -> bool;

    /// The first half of `self` and `other` lane by lane, then the second: `s₀ o₀ s₁ o₁ …`.
    fn interleave(self, other: Self) -> (Self, Self);
    /// The first numbers of `row`, which has enough.
    #[inline(always)]
    fn load(row: &[Self::Real]) -> Self {
        let mut vector = Self::splat(Self::Real::default());
        vector.as_mut_slice().copy_from_slice(&row[..Self::WIDTH]);
        vector
    }
    /// Writes the lanes to the start of `row`.
    #[inline(always)]
    fn store(self, row: &mut [Self::Real]) {
        row[..Self::WIDTH].copy_from_slice(self.as_slice());
    }

    /// Bitwise and.
    fn and(self, other: Self) -> Self;
    /// Bitwise or.
    fn or(self, other: Self) -> Self;
    /// Bitwise exclusive or.
    fn xor(self, other: Self) -> Self;
    /// Lane-wise sum of the patterns as integers, wrapping.
    fn add_bits(self, other: Self) -> Self;
    /// Lane-wise difference of the patterns as integers, wrapping.
    fn sub_bits(self, other: Self) -> Self;
    /// Patterns shifted left.
    fn shl<const N: i32>(self) -> Self;
    /// Patterns shifted right, zeros from the left.
    fn shr<const N: i32>(self) -> Self;
}

/// `x · 2ᵏ` as `x · 2ʰ · 2ᵏ⁻ʰ` with h = round(k/2): the first product is exact, the second rounds,
/// so that overflow and subnormal numbers come out right.
#[inline(always)]
fn scale_in_halves<V: Vector>(x: V, k: V) -> V {
    let shift = math::exponent_shift::<V>();
    let half = k.mul_add(math::splat(0.5), shift);
    let rest = k.sub(half.sub(shift)).add(shift);
    x.mul(math::power_of_two(half)).mul(math::power_of_two(rest))
}

#[cfg(target_arch = "x86_64")]
pub(crate) use super::x86::prefetch;

/// Asks for the cache lines of `row`: a hint, which plain Rust cannot give.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) fn prefetch<R>(_: &[R]) {}

/// The transpose of `W` vectors of `W` lanes: log₂ `W` rounds of a perfect shuffle.
#[inline(always)]
pub(crate) fn transpose<V: Vector, const W: usize>(mut rows: [V; W]) -> [V; W] {
    let mut round = 1;
    while round < W {
        let before = rows;
        let mut i = 0;
        while i < W / 2 {
            (rows[2 * i], rows[2 * i + 1]) = before[i].interleave(before[i + W / 2]);
            i += 1;
        }
        round *= 2;
    }
    rows
}

/// `N` numbers in plain Rust. `FMA` says that the code around has the instruction.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Array<R, const N: usize, const FMA: bool>([R; N]);

macro_rules! array_vector {
    ($real:ty, $bits:ty) => {
        impl<const N: usize, const FMA: bool> Vector for Array<$real, N, FMA> {
            type Real = $real;
            const WIDTH: usize = N;
            const FMA: bool = FMA;

            #[inline(always)]
            fn splat(x: $real) -> Self {
                Self([x; N])
            }
            #[inline(always)]
            fn splat_bits(bits: u64) -> Self {
                Self([<$real>::from_bits(bits as $bits); N])
            }
            #[inline(always)]
            fn as_slice(&self) -> &[$real] {
                &self.0
            }
            #[inline(always)]
            fn as_mut_slice(&mut self) -> &mut [$real] {
                &mut self.0
            }
            #[inline(always)]
            fn add(mut self, other: Self) -> Self {
                for i in 0..N {
                    self.0[i] += other.0[i];
                }
                self
            }
            #[inline(always)]
            fn sub(mut self, other: Self) -> Self {
                for i in 0..N {
                    self.0[i] -= other.0[i];
                }
                self
            }
            #[inline(always)]
            fn mul(mut self, other: Self) -> Self {
                for i in 0..N {
                    self.0[i] *= other.0[i];
                }
                self
            }
            #[inline(always)]
            fn div(mut self, other: Self) -> Self {
                for i in 0..N {
                    self.0[i] /= other.0[i];
                }
                self
            }
            #[inline(always)]
            fn mul_add(mut self, a: Self, b: Self) -> Self {
                for i in 0..N {
                    self.0[i] = if FMA {
                        self.0[i].mul_add(a.0[i], b.0[i])
                    } else {
                        self.0[i] * a.0[i] + b.0[i]
                    };
                }
                self
            }
            #[inline(always)]
            fn sqrt(mut self) -> Self {
                for i in 0..N {
                    self.0[i] = self.0[i].sqrt();
                }
                self
            }
            #[inline(always)]
            fn min(mut self, other: Self) -> Self {
                for i in 0..N {
                    self.0[i] = if self.0[i] < other.0[i] { self.0[i] } else { other.0[i] };
                }
                self
            }
            #[inline(always)]
            fn max(mut self, other: Self) -> Self {
                for i in 0..N {
                    self.0[i] = if self.0[i] > other.0[i] { self.0[i] } else { other.0[i] };
                }
                self
            }
            #[inline(always)]
            fn select_lt(self, bound: Self, mut yes: Self, no: Self) -> Self {
                for i in 0..N {
                    yes.0[i] = if self.0[i] < bound.0[i] { yes.0[i] } else { no.0[i] };
                }
                yes
            }
            #[inline(always)]
            fn select_nan(self, mut yes: Self, no: Self) -> Self {
                for i in 0..N {
                    yes.0[i] = if self.0[i].is_nan() { yes.0[i] } else { no.0[i] };
                }
                yes
            }
            #[inline(always)]
            fn interleave(self, other: Self) -> (Self, Self) {
                let (mut first, mut second) = (self, self);
                for i in 0..N {
                    let from = if i % 2 == 0 { &self } else { &other };
                    first.0[i] = from.0[i / 2];
                    // `N` = 1 has no second half; nothing reads it.
                    second.0[i] = from.0[(N + i) / 2 % N];
                }
                (first, second)
            }
            #[inline(always)]
            fn all_le(self, bound: Self) -> bool {
                let mut all = true;
                for i in 0..N {
                    all &= self.0[i] <= bound.0[i];
                }
                all
            }
            #[inline(always)]
            fn and(mut self, other: Self) -> Self {
                for i in 0..N {
                    self.0[i] = <$real>::from_bits(self.0[i].to_bits() & other.0[i].to_bits());
                }
                self
            }
            #[inline(always)]
            fn or(mut self, other: Self) -> Self {
                for i in 0..N {
                    self.0[i] = <$real>::from_bits(self.0[i].to_bits() | other.0[i].to_bits());
                }
                self
            }
            #[inline(always)]
            fn xor(mut self, other: Self) -> Self {
                for i in 0..N {
                    self.0[i] = <$real>::from_bits(self.0[i].to_bits() ^ other.0[i].to_bits());
                }
                self
            }
            #[inline(always)]
            fn add_bits(mut self, other: Self) -> Self {
                for i in 0..N {
                    self.0[i] =
                        <$real>::from_bits(self.0[i].to_bits().wrapping_add(other.0[i].to_bits()));
                }
                self
            }
            #[inline(always)]
            fn sub_bits(mut self, other: Self) -> Self {
                for i in 0..N {
                    self.0[i] =
                        <$real>::from_bits(self.0[i].to_bits().wrapping_sub(other.0[i].to_bits()));
                }
                self
            }
            #[inline(always)]
            fn shl<const S: i32>(mut self) -> Self {
                for i in 0..N {
                    self.0[i] = <$real>::from_bits(self.0[i].to_bits() << S);
                }
                self
            }
            #[inline(always)]
            fn shr<const S: i32>(mut self) -> Self {
                for i in 0..N {
                    self.0[i] = <$real>::from_bits(self.0[i].to_bits() >> S);
                }
                self
            }
        }
    };
}
array_vector!(f32, u32);
array_vector!(f64, u64);
