//! Numbers that a recurrence is written in.
//!
//! A step is written once, generic over [`Scalar`]. The library then runs it on
//! `f32` and `f64` ([`Real`]), on SIMD vectors of them ([`Lanes`]: the same step in many
//! blocks of time at once), on dual numbers over any of those ([`Dual`]: exact
//! derivatives), and on expressions ([`Expr`]: the step as a graph).
//!
//! A scalar has no ordering: a step must not branch on values, since lanes hold many at
//! once. Use [`Scalar::select`], [`Scalar::max`], [`Scalar::min`], [`Scalar::abs`] in place of `if`.

pub(crate) mod count;
pub(crate) mod dispatch;
mod dual;
mod expr;
mod lanes;
pub(crate) mod math;
mod ops;
mod real;
pub(crate) mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt::{Debug, Display, LowerExp};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

pub use dispatch::{InstructionSet, Isa};
pub use dual::Dual;
pub use expr::Expr;
pub use lanes::Lanes;
pub use ops::{Constant, Parameter};

/// An entry of θ as a step over the scalar `S` sees it.
pub type Param<S> = Parameter<<S as Scalar>::Coeff>;

pub(crate) mod sealed {
    pub trait Sealed {}
}

/// What a step may do with a number.
///
/// Arithmetic with another scalar, with a plain number of the underlying precision
/// (`x * 2.0`, `x + self.mu`) and with an entry of θ (`x[j] * p[k]`); a plain number on the
/// left is written `Constant(1.0) - x`. The trait is sealed.
///
/// # Example
/// ```
/// use deer_solver::scalar::{Constant, Param, Scalar};
///
/// fn logistic<S: Scalar<Real = f64>>(rate: Param<S>, x: S) -> S {
///     x * (Constant(1.0) - x) * rate
/// }
/// assert_eq!(logistic::<f64>(deer_solver::scalar::Parameter(4.0), 0.25), 0.75);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Scalar`",
    note = "a step is generic: `fn step<S: Scalar<Real = f64>>(…)`; make constants with `S::constant` or `S::from_f64`"
)]
pub trait Scalar:
    sealed::Sealed
    + Copy
    + Debug
    + Send
    + Sync
    + Neg<Output = Self>
    + Sum
    + From<Parameter<<Self as Scalar>::Coeff>>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Add<<Self as Scalar>::Real, Output = Self>
    + Sub<<Self as Scalar>::Real, Output = Self>
    + Mul<<Self as Scalar>::Real, Output = Self>
    + Div<<Self as Scalar>::Real, Output = Self>
    + AddAssign<<Self as Scalar>::Real>
    + SubAssign<<Self as Scalar>::Real>
    + MulAssign<<Self as Scalar>::Real>
    + DivAssign<<Self as Scalar>::Real>
    + Add<Parameter<<Self as Scalar>::Coeff>, Output = Self>
    + Sub<Parameter<<Self as Scalar>::Coeff>, Output = Self>
    + Mul<Parameter<<Self as Scalar>::Coeff>, Output = Self>
    + Div<Parameter<<Self as Scalar>::Coeff>, Output = Self>
    + AddAssign<Parameter<<Self as Scalar>::Coeff>>
    + SubAssign<Parameter<<Self as Scalar>::Coeff>>
    + MulAssign<Parameter<<Self as Scalar>::Coeff>>
    + DivAssign<Parameter<<Self as Scalar>::Coeff>>
{
    /// The precision underneath: `f32` or `f64`.
    type Real: Real;
    /// What an entry of θ is: the real itself, or a tangent or traced value when
    /// differentiating in θ.
    type Coeff: Copy + Debug + Send + Sync;

    /// A number that depends on nothing.
    fn constant(x: Self::Real) -> Self;
    /// A number that depends on nothing, rounded from `f64`.
    fn from_f64(x: f64) -> Self;
    /// `yes` where `self < bound`, else `no`; a NaN on either side takes `no`.
    fn select(self, bound: Self, yes: Self, no: Self) -> Self;

    /// `self · a + b`, fused where the instruction set has it.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// `self · p + b` with an entry `p` of θ, fused where the instruction set has it.
    ///
    /// Cheaper than [`mul_add`](Self::mul_add) on dual numbers, whose tangents then need
    /// one multiplication instead of two.
    fn mul_add_param(self, p: Param<Self>, b: Self) -> Self;
    /// `self · c + b` with a constant `c`, which on dual numbers takes one multiplication for each tangent too.
    #[doc(hidden)]
    #[inline(always)]
    fn mul_add_constant(self, c: Self::Real, b: Self) -> Self {
        self * c + b
    }

    /// Whether `self ≤ bound` in every lane is known; false with a NaN. For shortcuts that do not change the result.
    #[doc(hidden)]
    #[inline(always)]
    fn all_at_most(self, bound: Self) -> bool {
        let _ = bound;
        false
    }

    /// eˣ.
    fn exp(self) -> Self;
    /// eˣ − 1, accurate near 0.
    fn exp_m1(self) -> Self;
    /// Natural logarithm; NaN below 0, −∞ at 0.
    fn ln(self) -> Self;
    /// ln(1 + x), accurate near 0.
    fn ln_1p(self) -> Self;
    /// Square root; NaN below 0.
    fn sqrt(self) -> Self;
    /// Cube root.
    fn cbrt(self) -> Self;
    /// Integer power.
    fn powi(self, n: i32) -> Self;
    /// Real power.
    fn powf(self, exponent: Self) -> Self;
    /// Sine of an angle in radians.
    fn sin(self) -> Self;
    /// Cosine of an angle in radians.
    fn cos(self) -> Self;
    /// Tangent of an angle in radians.
    fn tan(self) -> Self;
    /// Arc tangent, radians.
    fn atan(self) -> Self;
    /// Angle of the point (`x`, `self`), radians.
    fn atan2(self, x: Self) -> Self;
    /// Hyperbolic sine.
    fn sinh(self) -> Self;
    /// Hyperbolic cosine.
    fn cosh(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// 1 / (1 + e⁻ˣ).
    fn sigmoid(self) -> Self;
    /// ln(1 + eˣ), without overflow.
    fn softplus(self) -> Self;
    /// max(x, 0); a NaN stays. Derivative 0 at 0.
    fn relu(self) -> Self;
    /// |x|. Derivative 0 at 0.
    fn abs(self) -> Self;
    /// −1, 0 or 1; a NaN stays. Derivative 0 everywhere.
    fn sign(self) -> Self;
    /// 1 / x.
    fn recip(self) -> Self;
    /// √(x² + y²), without overflow.
    fn hypot(self, y: Self) -> Self;
    /// The larger one, as [`f64::max`] does it: a NaN loses. At a tie the derivative is `self`'s.
    fn max(self, other: Self) -> Self;
    /// The smaller one, as [`f64::min`] does it: a NaN loses. At a tie the derivative is `self`'s.
    fn min(self, other: Self) -> Self;
}

/// A scalar that holds numbers, with tangents or without: reals, lanes of them, and duals over either.
#[doc(hidden)]
pub trait Numeric: Scalar<Coeff = <Self as Scalar>::Real> {
    /// The numbers without tangents.
    type Plain: Numeric<Real = Self::Real, Plain = Self::Plain>;
    /// Runs `kernel` out of line, compiled with the instructions that these numbers are computed with: one copy for all callers.
    fn enter<K: dispatch::Kernel>(kernel: K) -> K::Output;
    /// How many tangents each has.
    const TANGENTS: usize;
    /// The value without tangents.
    fn plain(self) -> Self::Plain;
    /// A value whose tangents are 0.
    fn lift(x: Self::Plain) -> Self;
    /// The product with a number that has no tangents.
    fn scaled(self, factor: Self::Plain) -> Self;
    /// Sets the number in the lane `lane`; tangents stay.
    fn put(&mut self, lane: usize, x: Self::Real);
}

/// `f32` or `f64`: the precision of a recurrence. Sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Real`",
    note = "the precision of a recurrence is `f32` or `f64`"
)]
pub trait Real:
    Scalar<Real = Self, Coeff = Self>
    + crate::scan::product::Product
    + crate::backends::Precompiled
    + crate::solver::control::Control
    + PartialOrd
    + num_traits::Zero
    + num_traits::One
    + Default
    + Display
    + LowerExp
    + 'static
{
    /// Distance from 1 to the next number.
    const EPSILON: Self;
    /// Whether this is the single precision.
    #[doc(hidden)]
    const SINGLE: bool;
    /// The SIMD vector of an instruction set.
    #[doc(hidden)]
    type Vector<I: Isa>: vector::Vector<Real = Self>;

    /// Widened to `f64`, exactly.
    fn to_f64(self) -> f64;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// Both the same bits.
    #[doc(hidden)]
    fn same_bits(self, other: Self) -> bool;
}
