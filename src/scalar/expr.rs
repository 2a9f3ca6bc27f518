//! A scalar that records what is done with it.

use super::ops::assign_and_sum;
use super::sealed::Sealed;
use super::{Parameter, Real, Scalar};
use crate::graph::{Binary, Builder, Id, Op, Unary, record};
use std::marker::PhantomData;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number of which only the expression is known; see [`graph`](crate::graph).
///
/// Its operations are recorded while [`Graph::trace`](crate::graph::Graph::trace) runs a step, on that thread.
#[derive(Clone, Copy, Debug)]
pub struct Expr<R> {
    id: Id,
    /// The recording that it belongs to; 0 for none.
    recording: u32,
    real: PhantomData<R>,
}

impl<R: Real> Expr<R> {
    /// What a workspace holds before the step has written to it.
    pub(crate) const UNWRITTEN: Self = Self { id: 0, recording: 0, real: PhantomData };

    /// The node of the recording under way.
    pub(crate) fn of(id: Id) -> Self {
        record(|_, recording| Self { id, recording, real: PhantomData }).unwrap_or(Self::UNWRITTEN)
    }

    /// Its node, if it belongs to the recording under way.
    pub(crate) fn id(self) -> Option<Id> {
        record(|_, recording| recording == self.recording).filter(|&own| own).map(|_| self.id)
    }

    /// Records an operation on `operands`.
    fn op<const N: usize>(operands: [Self; N], op: impl FnOnce([Id; N]) -> Op) -> Self {
        let done = |builder: &mut Builder, recording: u32| {
            if operands.iter().any(|operand| operand.recording != recording) {
                builder.fail("an entry of `next` that it has not written, or a number kept from another call");
                return Self::UNWRITTEN;
            }
            let id = builder.push(op(operands.map(|operand| operand.id)));
            Self { id, recording, real: PhantomData }
        };
        record(done).unwrap_or(Self::UNWRITTEN)
    }

    fn unary(self, function: Unary) -> Self {
        Self::op([self], |[a]| Op::Unary(function, a))
    }

    fn binary(self, other: Self, function: Binary) -> Self {
        Self::op([self, other], |[a, b]| Op::Binary(function, a, b))
    }
}

macro_rules! operator {
    ($($trait:ident $method:ident)*) => {$(
        impl<R: Real> $trait for Expr<R> {
            type Output = Self;
            fn $method(self, right: Self) -> Self {
                self.binary(right, Binary::$trait)
            }
        }
        impl<R: Real> $trait<R> for Expr<R> {
            type Output = Self;
            fn $method(self, right: R) -> Self {
                self.binary(Self::constant(right), Binary::$trait)
            }
        }
        impl<R: Real> $trait<Parameter<Self>> for Expr<R> {
            type Output = Self;
            fn $method(self, right: Parameter<Self>) -> Self {
                self.binary(right.0, Binary::$trait)
            }
        }
    )*};
}
operator!(Add add Sub sub Mul mul Div div);
assign_and_sum!([R: Real] Expr<R>, Self, R, Parameter<Self>);

impl<R: Real> Neg for Expr<R> {
    type Output = Self;
    fn neg(self) -> Self {
        self.unary(Unary::Neg)
    }
}

impl<R: Real> From<Parameter<Self>> for Expr<R> {
    fn from(p: Parameter<Self>) -> Self {
        p.0
    }
}

impl<R> Sealed for Expr<R> {}

macro_rules! functions {
    ($($name:ident $function:ident)*) => {$(
        fn $name(self) -> Self {
            self.unary(Unary::$function)
        }
    )*};
}
macro_rules! functions_of_two {
    ($($name:ident $function:ident)*) => {$(
        fn $name(self, other: Self) -> Self {
            self.binary(other, Binary::$function)
        }
    )*};
}

impl<R: Real> Scalar for Expr<R> {
    type Real = R;
    type Coeff = Self;

    fn constant(x: R) -> Self {
        Self::from_f64(x.to_f64())
    }
    fn from_f64(x: f64) -> Self {
        Self::op([], |[]| Op::Constant(x))
    }
    fn select(self, bound: Self, yes: Self, no: Self) -> Self {
        Self::op([self, bound, yes, no], Op::Select)
    }
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self::op([self, a, b], |[x, a, b]| Op::MulAdd(x, a, b))
    }
    fn mul_add_param(self, p: Parameter<Self>, b: Self) -> Self {
        self.mul_add(p.0, b)
    }
    fn powi(self, n: i32) -> Self {
        Self::op([self], |[a]| Op::Powi(a, n))
    }
    functions!(
        exp Exp exp_m1 ExpM1 ln Ln ln_1p Ln1p sqrt Sqrt cbrt Cbrt sin Sin cos Cos tan Tan atan Atan sinh Sinh
        cosh Cosh tanh Tanh sigmoid Sigmoid softplus Softplus relu Relu abs Abs sign Sign recip Recip
    );
    functions_of_two!(powf Powf atan2 Atan2 hypot Hypot max Max min Min);
}
