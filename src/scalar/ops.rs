//! Entries of θ and constants as operands, and the operator impls that every scalar needs.

use super::{Real, Scalar};
use std::ops::{Add, Div, Mul, Sub};

/// One entry of θ, as [`Dynamics::step`](crate::Dynamics::step) receives it.
///
/// Multiply, add, subtract or divide a scalar by it (`x[j] * p[k]`); `S::from(p[k])` makes a scalar
/// of it.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[repr(transparent)]
pub struct Parameter<C>(pub C);

impl<C> Parameter<C> {
    /// A slice of values as a slice of parameters, without copying.
    pub fn from_slice(values: &[C]) -> &[Self] {
        // SAFETY: `Parameter<C>` is `repr(transparent)` over `C`: same size, alignment and validity.
        unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
    }
}

/// A plain number on the left of an operator: `Constant(1.0) - x`.
///
/// The language does not let a library define `1.0 - x` for a generic `x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constant<R>(pub R);

macro_rules! constant_operator {
    ($($trait:ident $method:ident $op:tt)*) => {$(
        impl<R: Real, S: Scalar<Real = R>> $trait<S> for Constant<R> {
            type Output = S;
            #[inline(always)]
            fn $method(self, right: S) -> S {
                S::constant(self.0) $op right
            }
        }
    )*};
}
constant_operator!(Add add + Sub sub - Mul mul * Div div /);

/// `a op= b` from `a = a op b` for each right operand, and `Sum` from `+`.
macro_rules! assign_and_sum {
    ($generics:tt $self:ty, $($right:ty),+) => {
        $(
            crate::scalar::ops::assign!($generics $self, $right, AddAssign add_assign +);
            crate::scalar::ops::assign!($generics $self, $right, SubAssign sub_assign -);
            crate::scalar::ops::assign!($generics $self, $right, MulAssign mul_assign *);
            crate::scalar::ops::assign!($generics $self, $right, DivAssign div_assign /);
        )+
        crate::scalar::ops::sum!($generics $self);
    };
}
macro_rules! assign {
    ([$($generics:tt)*] $self:ty, $right:ty, $trait:ident $method:ident $op:tt) => {
        impl<$($generics)*> std::ops::$trait<$right> for $self {
            #[inline(always)]
            fn $method(&mut self, right: $right) {
                *self = *self $op right;
            }
        }
    };
}
macro_rules! sum {
    ([$($generics:tt)*] $self:ty) => {
        impl<$($generics)*> std::iter::Sum for $self {
            #[inline(always)]
            fn sum<It: Iterator<Item = Self>>(mut terms: It) -> Self {
                let Some(mut sum) = terms.next() else {
                    return <Self as crate::scalar::Scalar>::from_f64(0.0);
                };
                // A loop, not `fold`: see `map!` in lanes.rs.
                for term in terms {
                    sum += term;
                }
                sum
            }
        }
    };
}
pub(crate) use {assign, assign_and_sum, sum};
