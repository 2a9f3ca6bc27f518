//! `f32` and `f64` as scalars: the standard library's functions, and what it lacks.

use super::dispatch::{Kernel, One};
use super::sealed::Sealed;
use super::{Isa, Numeric, Parameter, Real, Scalar};
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Sub, SubAssign};

macro_rules! parameter_operator {
    ($real:ty, $($trait:ident $method:ident $assign:ident $assign_method:ident $op:tt)*) => {$(
        impl $trait<Parameter<$real>> for $real {
            type Output = $real;
            #[inline(always)]
            fn $method(self, p: Parameter<$real>) -> $real {
                self $op p.0
            }
        }
        impl $assign<Parameter<$real>> for $real {
            #[inline(always)]
            fn $assign_method(&mut self, p: Parameter<$real>) {
                *self = *self $op p.0;
            }
        }
    )*};
}

/// Functions that are the standard library's own.
macro_rules! std_functions {
    ($real:ty: $($name:ident)*) => {$(
        #[inline(always)]
        fn $name(self) -> $real {
            <$real>::$name(self)
        }
    )*};
}

macro_rules! real {
    ($real:ty, $vector:ident, $single:literal) => {
        parameter_operator!($real,
            Add add AddAssign add_assign +
            Sub sub SubAssign sub_assign -
            Mul mul MulAssign mul_assign *
            Div div DivAssign div_assign /
        );
        impl From<Parameter<$real>> for $real {
            #[inline(always)]
            fn from(p: Parameter<$real>) -> $real {
                p.0
            }
        }
        impl Sealed for $real {}

        impl Real for $real {
            const EPSILON: $real = <$real>::EPSILON;
            const SINGLE: bool = $single;
            type Vector<I: Isa> = I::$vector;
            #[inline(always)]
            fn to_f64(self) -> f64 {
                self.into()
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                <$real>::is_finite(self)
            }
            #[inline(always)]
            fn same_bits(self, other: $real) -> bool {
                self.to_bits() == other.to_bits()
            }
        }

        impl Numeric for $real {
            type Plain = $real;
            const TANGENTS: usize = 0;
            #[inline(always)]
            fn enter<K: Kernel>(kernel: K) -> K::Output {
                kernel.run::<One<false>>()
            }
            #[inline(always)]
            fn plain(self) -> $real {
                self
            }
            #[inline(always)]
            fn lift(x: $real) -> $real {
                x
            }
            #[inline(always)]
            fn scaled(self, factor: $real) -> $real {
                self * factor
            }
            #[inline(always)]
            fn put(&mut self, _: usize, x: $real) {
                *self = x;
            }
        }

        impl Scalar for $real {
            type Real = $real;
            type Coeff = $real;

            #[inline(always)]
            fn constant(x: $real) -> $real {
                x
            }
            #[inline(always)]
            fn from_f64(x: f64) -> $real {
                x as $real
            }
            #[inline(always)]
            fn select(self, bound: $real, yes: $real, no: $real) -> $real {
                if self < bound { yes } else { no }
            }
            #[inline(always)]
            fn mul_add(self, a: $real, b: $real) -> $real {
                // Without the instruction the standard one is a slow library call.
                if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
                    <$real>::mul_add(self, a, b)
                } else {
                    self * a + b
                }
            }
            #[inline(always)]
            fn mul_add_param(self, p: Parameter<$real>, b: $real) -> $real {
                Scalar::mul_add(self, p.0, b)
            }
            #[inline(always)]
            fn all_at_most(self, bound: $real) -> bool {
                self <= bound
            }
            #[inline(always)]
            fn mul_add_constant(self, c: $real, b: $real) -> $real {
                Scalar::mul_add(self, c, b)
            }
            std_functions!($real: exp exp_m1 ln ln_1p sqrt cbrt sin cos tan atan sinh cosh tanh abs recip);
            #[inline(always)]
            fn powi(self, n: i32) -> $real {
                <$real>::powi(self, n)
            }
            #[inline(always)]
            fn powf(self, exponent: $real) -> $real {
                <$real>::powf(self, exponent)
            }
            #[inline(always)]
            fn atan2(self, x: $real) -> $real {
                <$real>::atan2(self, x)
            }
            #[inline(always)]
            fn sigmoid(self) -> $real {
                1.0 / (1.0 + (-self).exp())
            }
            #[inline(always)]
            fn softplus(self) -> $real {
                if self > 0.0 { self + (-self).exp().ln_1p() } else { self.exp().ln_1p() }
            }
            #[inline(always)]
            fn relu(self) -> $real {
                if self < 0.0 { 0.0 } else { self }
            }
            #[inline(always)]
            fn sign(self) -> $real {
                if self > 0.0 {
                    1.0
                } else if self < 0.0 {
                    -1.0
                } else {
                    self
                }
            }
            #[inline(always)]
            fn hypot(self, y: $real) -> $real {
                <$real>::hypot(self, y)
            }
            #[inline(always)]
            fn max(self, other: $real) -> $real {
                <$real>::max(self, other)
            }
            #[inline(always)]
            fn min(self, other: $real) -> $real {
                <$real>::min(self, other)
            }
        }
    };
}
real!(f32, F32, true);
real!(f64, F64, false);
