//! Forward derivatives over any scalar.
//!
//! A dual number is x + Σ_k ẋ_k ε_k with ε_j ε_k = 0, and f maps it to f(x) + f′(x)·Σ_k ẋ_k ε_k:
//! every operation carries `N` directional derivatives along, exact but for rounding (Griewank
//! and Walther, *Evaluating Derivatives*, 2nd edition, chapter 3). Values are those of the scalar
//! underneath, bit for bit. An operation costs about 1 + 2N of the scalar's, a function its own
//! cost, a slope and N products.

use super::dispatch::Kernel;
use super::ops::assign_and_sum;
use super::sealed::Sealed;
use super::{Numeric, Param, Real, Scalar};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A value with `N` tangents.
///
/// The parameters θ and plain numbers are constants to it. Over another `Dual` it gives second
/// derivatives.
///
/// # Example
/// ```
/// use deer_solver::scalar::{Dual, Scalar};
///
/// // ∂(x·y²)/∂x and ∂/∂y at (3, 2)
/// let x = Dual::<f64, 2>::variable(3.0, 0);
/// let y = Dual::<f64, 2>::variable(2.0, 1);
/// let z = x * y * y;
/// assert_eq!(z.value, 12.0);
/// assert_eq!(z.tangents, [4.0, 12.0]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Dual<S, const N: usize> {
    /// The value.
    pub value: S,
    /// Its derivatives in `N` directions.
    pub tangents: [S; N],
}

impl<S: Scalar, const N: usize> Dual<S, N> {
    /// A value with given tangents.
    #[inline(always)]
    pub fn new(value: S, tangents: [S; N]) -> Self {
        Self { value, tangents }
    }

    /// The independent variable `k`: tangent `k` is 1, the others 0.
    #[inline(always)]
    pub fn variable(value: S, k: usize) -> Self {
        let mut x = Self::fixed(value);
        x.tangents[k] = S::from_f64(1.0);
        x
    }

    /// A value whose tangents are 0.
    #[inline(always)]
    fn fixed(value: S) -> Self {
        Self { value, tangents: [S::from_f64(0.0); N] }
    }

    /// A function's `value` with its `slope` at `self`.
    #[inline(always)]
    fn chain(mut self, value: S, slope: S) -> Self {
        for k in 0..N {
            self.tangents[k] *= slope;
        }
        self.value = value;
        self
    }

    /// A function's `value` with its slopes at (`self`, `other`).
    #[inline(always)]
    fn chain_of_two(mut self, other: Self, value: S, slope: S, other_slope: S) -> Self {
        for k in 0..N {
            self.tangents[k] = self.tangents[k].mul_add(slope, other.tangents[k] * other_slope);
        }
        self.value = value;
        self
    }

    /// `value` with `self`'s tangents where `left < right`, else `other`'s.
    #[inline(always)]
    fn with_tangents_where(mut self, left: S, right: S, value: S, other: Self) -> Self {
        for k in 0..N {
            self.tangents[k] = left.select(right, self.tangents[k], other.tangents[k]);
        }
        self.value = value;
        self
    }
}

impl<S: Scalar, const N: usize> Neg for Dual<S, N> {
    type Output = Self;
    #[inline(always)]
    fn neg(mut self) -> Self {
        for k in 0..N {
            self.tangents[k] = -self.tangents[k];
        }
        self.value = -self.value;
        self
    }
}

macro_rules! linear_operator {
    ($($trait:ident $method:ident $op:tt)*) => {$(
        impl<S: Scalar, const N: usize> $trait for Dual<S, N> {
            type Output = Self;
            #[inline(always)]
            fn $method(mut self, right: Self) -> Self {
                for k in 0..N {
                    self.tangents[k] $op right.tangents[k];
                }
                self.value $op right.value;
                self
            }
        }
        impl<R: Real, S: Scalar<Real = R>, const N: usize> $trait<R> for Dual<S, N> {
            type Output = Self;
            #[inline(always)]
            fn $method(mut self, right: R) -> Self {
                self.value $op right;
                self
            }
        }
        impl<S: Scalar, const N: usize> $trait<Param<S>> for Dual<S, N> {
            type Output = Self;
            #[inline(always)]
            fn $method(mut self, right: Param<S>) -> Self {
                self.value $op right;
                self
            }
        }
    )*};
}
linear_operator!(Add add += Sub sub -=);

impl<S: Scalar, const N: usize> Mul for Dual<S, N> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, right: Self) -> Self {
        self.chain_of_two(right, self.value * right.value, right.value, self.value)
    }
}
impl<R: Real, S: Scalar<Real = R>, const N: usize> Mul<R> for Dual<S, N> {
    type Output = Self;
    #[inline(always)]
    fn mul(mut self, right: R) -> Self {
        for k in 0..N {
            self.tangents[k] *= right;
        }
        self.value *= right;
        self
    }
}
impl<S: Scalar, const N: usize> Mul<Param<S>> for Dual<S, N> {
    type Output = Self;
    #[inline(always)]
    fn mul(mut self, right: Param<S>) -> Self {
        for k in 0..N {
            self.tangents[k] *= right;
        }
        self.value *= right;
        self
    }
}

// The tangents share one reciprocal; the value has a division of its own, since the product with a
// reciprocal rounds differently from the same step without derivatives.
impl<S: Scalar, const N: usize> Div for Dual<S, N> {
    type Output = Self;
    #[inline(always)]
    fn div(self, right: Self) -> Self {
        let quotient = self.value / right.value;
        let inverse = right.value.recip();
        self.chain_of_two(right, quotient, inverse, -(quotient * inverse))
    }
}
impl<R: Real, S: Scalar<Real = R>, const N: usize> Div<R> for Dual<S, N> {
    type Output = Self;
    #[inline(always)]
    fn div(self, right: R) -> Self {
        self.chain(self.value / right, S::constant(right.recip()))
    }
}
impl<S: Scalar, const N: usize> Div<Param<S>> for Dual<S, N> {
    type Output = Self;
    #[inline(always)]
    fn div(self, right: Param<S>) -> Self {
        self.chain(self.value / right, S::from(right).recip())
    }
}

assign_and_sum!([S: Scalar, const N: usize] Dual<S, N>, Self, Param<S>);
macro_rules! assign_real {
    ($($trait:ident $method:ident $op:tt)*) => {$(
        impl<R: Real, S: Scalar<Real = R>, const N: usize> std::ops::$trait<R> for Dual<S, N> {
            #[inline(always)]
            fn $method(&mut self, right: R) {
                *self = *self $op right;
            }
        }
    )*};
}
assign_real!(AddAssign add_assign + SubAssign sub_assign - MulAssign mul_assign * DivAssign div_assign /);

impl<S: Scalar, const N: usize> From<Param<S>> for Dual<S, N> {
    #[inline(always)]
    fn from(p: Param<S>) -> Self {
        Self::fixed(S::from(p))
    }
}

impl<S: Scalar, const N: usize> Sealed for Dual<S, N> {}

impl<S: Numeric, const N: usize> Numeric for Dual<S, N> {
    type Plain = S::Plain;
    const TANGENTS: usize = (1 + N) * (1 + S::TANGENTS) - 1;
    #[inline(always)]
    fn enter<K: Kernel>(kernel: K) -> K::Output {
        S::enter(kernel)
    }
    #[inline(always)]
    fn plain(self) -> S::Plain {
        self.value.plain()
    }
    #[inline(always)]
    fn lift(x: S::Plain) -> Self {
        Self::fixed(S::lift(x))
    }
    #[inline(always)]
    fn scaled(mut self, factor: S::Plain) -> Self {
        for k in 0..N {
            self.tangents[k] = self.tangents[k].scaled(factor);
        }
        self.value = self.value.scaled(factor);
        self
    }
    #[inline(always)]
    fn put(&mut self, lane: usize, x: S::Real) {
        self.value.put(lane, x);
    }
}

impl<S: Scalar, const N: usize> Scalar for Dual<S, N> {
    type Real = S::Real;
    type Coeff = S::Coeff;

    #[inline(always)]
    fn constant(x: S::Real) -> Self {
        Self::fixed(S::constant(x))
    }
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        Self::fixed(S::from_f64(x))
    }
    #[inline(always)]
    fn select(self, bound: Self, yes: Self, no: Self) -> Self {
        let value = self.value.select(bound.value, yes.value, no.value);
        yes.with_tangents_where(self.value, bound.value, value, no)
    }
    #[inline(always)]
    fn mul_add(self, a: Self, mut b: Self) -> Self {
        for k in 0..N {
            let outer = self.value.mul_add(a.tangents[k], b.tangents[k]);
            b.tangents[k] = self.tangents[k].mul_add(a.value, outer);
        }
        b.value = self.value.mul_add(a.value, b.value);
        b
    }
    #[inline(always)]
    fn mul_add_param(self, p: Param<S>, mut b: Self) -> Self {
        for k in 0..N {
            b.tangents[k] = self.tangents[k].mul_add_param(p, b.tangents[k]);
        }
        b.value = self.value.mul_add_param(p, b.value);
        b
    }
    #[inline(always)]
    fn all_at_most(self, bound: Self) -> bool {
        self.value.all_at_most(bound.value)
    }
    #[inline(always)]
    fn mul_add_constant(self, c: S::Real, mut b: Self) -> Self {
        for k in 0..N {
            b.tangents[k] = self.tangents[k].mul_add_constant(c, b.tangents[k]);
        }
        b.value = self.value.mul_add_constant(c, b.value);
        b
    }

    #[inline(always)]
    fn exp(self) -> Self {
        let e = self.value.exp();
        self.chain(e, e)
    }
    #[inline(always)]
    fn exp_m1(self) -> Self {
        let m = self.value.exp_m1();
        self.chain(m, m + one::<S>())
    }
    #[inline(always)]
    fn ln(self) -> Self {
        self.chain(self.value.ln(), self.value.recip())
    }
    #[inline(always)]
    fn ln_1p(self) -> Self {
        self.chain(self.value.ln_1p(), (self.value + one::<S>()).recip())
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        self.chain(root, S::from_f64(0.5) / root)
    }
    #[inline(always)]
    fn cbrt(self) -> Self {
        let root = self.value.cbrt();
        self.chain(root, S::from_f64(1.0 / 3.0) / (root * root))
    }
    #[inline(always)]
    fn powi(self, n: i32) -> Self {
        if n == 0 {
            return Self::constant(one::<S>());
        }
        let slope = self.value.powi(n.saturating_sub(1)) * S::from_f64(f64::from(n));
        self.chain(self.value.powi(n), slope)
    }
    /// Derivative in the base 0 where the exponent is 0, derivative in the exponent 0 where
    /// the base is not positive.
    #[inline(always)]
    fn powf(self, exponent: Self) -> Self {
        let zero = S::from_f64(0.0);
        let (x, y) = (self.value, exponent.value);
        let power = x.powf(y);
        let slope = y * x.powf(y - one::<S>());
        let slope = zero.select(y.abs(), slope, zero);
        let exponent_slope = zero.select(x, power * x.ln(), zero);
        self.chain_of_two(exponent, power, slope, exponent_slope)
    }
    #[inline(always)]
    fn sin(self) -> Self {
        self.chain(self.value.sin(), self.value.cos())
    }
    #[inline(always)]
    fn cos(self) -> Self {
        self.chain(self.value.cos(), -self.value.sin())
    }
    #[inline(always)]
    fn tan(self) -> Self {
        let tan = self.value.tan();
        self.chain(tan, tan.mul_add(tan, S::from_f64(1.0)))
    }
    #[inline(always)]
    fn atan(self) -> Self {
        let slope = self.value.mul_add(self.value, S::from_f64(1.0)).recip();
        self.chain(self.value.atan(), slope)
    }
    /// Derivative 0 at the origin.
    #[inline(always)]
    fn atan2(self, x: Self) -> Self {
        let angle = self.value.atan2(x.value);
        let inverse = recip_or_zero(self.value.hypot(x.value));
        let (sine, cosine) = (self.value * inverse, x.value * inverse);
        self.chain_of_two(x, angle, cosine * inverse, -(sine * inverse))
    }
    #[inline(always)]
    fn sinh(self) -> Self {
        self.chain(self.value.sinh(), self.value.cosh())
    }
    #[inline(always)]
    fn cosh(self) -> Self {
        self.chain(self.value.cosh(), self.value.sinh())
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        let t = self.value.tanh();
        self.chain(t, (-t).mul_add(t, S::from_f64(1.0)))
    }
    #[inline(always)]
    fn sigmoid(self) -> Self {
        let s = self.value.sigmoid();
        self.chain(s, (-s).mul_add(s, s))
    }
    #[inline(always)]
    fn softplus(self) -> Self {
        self.chain(self.value.softplus(), self.value.sigmoid())
    }
    #[inline(always)]
    fn relu(self) -> Self {
        let zero = S::from_f64(0.0);
        self.with_tangents_where(zero, self.value, self.value.relu(), Self::fixed(zero))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.chain(self.value.abs(), self.value.sign())
    }
    #[inline(always)]
    fn sign(self) -> Self {
        Self::fixed(self.value.sign())
    }
    #[inline(always)]
    fn recip(self) -> Self {
        let inverse = self.value.recip();
        self.chain(inverse, -(inverse * inverse))
    }
    /// Derivative 0 at the origin.
    #[inline(always)]
    fn hypot(self, y: Self) -> Self {
        let length = self.value.hypot(y.value);
        let inverse = recip_or_zero(length);
        self.chain_of_two(y, length, self.value * inverse, y.value * inverse)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // A NaN of `self` becomes −∞, and the comparison takes the other's tangents.
        let value = self.value.max(other.value);
        let low = self.value.max(S::from_f64(f64::NEG_INFINITY));
        other.with_tangents_where(low, other.value, value, self)
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        let value = self.value.min(other.value);
        let high = self.value.min(S::from_f64(f64::INFINITY));
        other.with_tangents_where(other.value, high, value, self)
    }
}

#[inline(always)]
fn one<S: Scalar>() -> S::Real {
    S::Real::from_f64(1.0)
}

/// 1 / x, 0 where x is not positive.
#[inline(always)]
fn recip_or_zero<S: Scalar>(x: S) -> S {
    let zero = S::from_f64(0.0);
    zero.select(x, x.recip(), zero)
}

#[cfg(test)]
mod tests;
