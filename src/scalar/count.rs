//! Counting what a step does: operations, and the longest chain of them from state to state.

use super::ops::assign_and_sum;
use super::sealed::Sealed;
use super::{Parameter, Real, Scalar};
use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::{Add, Div, Mul, Neg, Sub};

thread_local! {
    static OPERATIONS: Cell<Operations> = const { Cell::new(Operations { vector: 0, single: 0 }) };
}

/// Instructions of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Operations {
    /// Those that lanes share.
    pub(crate) vector: u64,
    /// Those that each lane does by itself: functions that are not vectorised.
    pub(crate) single: u64,
}

/// A number of which only the cycles are known until it is there, counted from the step's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count<R> {
    pub(crate) ready: u32,
    real: PhantomData<R>,
}

impl<R> Count<R> {
    pub(crate) fn at(ready: u32) -> Self {
        Self { ready, real: PhantomData }
    }

    /// The result of `instructions` vector instructions that take `latency` cycles from here.
    fn then(self, latency: u32, instructions: u64) -> Self {
        OPERATIONS.with(|all| {
            let Operations { vector, single } = all.get();
            all.set(Operations { vector: vector + instructions, single });
        });
        Self::at(self.ready + latency)
    }

    /// The result of a call for each lane.
    fn call(self) -> Self {
        const CALL: u32 = 60;
        OPERATIONS.with(|all| {
            let Operations { vector, single } = all.get();
            all.set(Operations { vector, single: single + u64::from(CALL) });
        });
        Self::at(self.ready + CALL)
    }

    fn with<C>(self, other: Count<C>) -> Self {
        Self::at(self.ready.max(other.ready))
    }
}

/// The operations that `work` counts.
pub(crate) fn operations(work: impl FnOnce()) -> Operations {
    OPERATIONS.with(|all| all.set(Operations::default()));
    work();
    OPERATIONS.with(Cell::get)
}

/// Cycles and instructions of an addition, multiplication or both fused.
pub(crate) const ARITHMETIC: (u32, u64) = (4, 1);
const DIVISION: (u32, u64) = (13, 8);

macro_rules! operator {
    ($($trait:ident $method:ident $cost:ident)*) => {$(
        impl<R: Real> $trait for Count<R> {
            type Output = Self;
            fn $method(self, right: Self) -> Self {
                self.with(right).then($cost.0, $cost.1)
            }
        }
        impl<R: Real> $trait<R> for Count<R> {
            type Output = Self;
            fn $method(self, _: R) -> Self {
                self.then($cost.0, $cost.1)
            }
        }
        impl<R: Real> $trait<Parameter<R>> for Count<R> {
            type Output = Self;
            fn $method(self, _: Parameter<R>) -> Self {
                self.then($cost.0, $cost.1)
            }
        }
    )*};
}
operator!(Add add ARITHMETIC Sub sub ARITHMETIC Mul mul ARITHMETIC Div div DIVISION);
assign_and_sum!([R: Real] Count<R>, Self, R, Parameter<R>);

impl<R: Real> Neg for Count<R> {
    type Output = Self;
    fn neg(self) -> Self {
        self.then(1, 1)
    }
}

impl<R: Real> From<Parameter<R>> for Count<R> {
    fn from(_: Parameter<R>) -> Self {
        Self::at(0)
    }
}

impl<R> Sealed for Count<R> {}

/// Functions with their latency and instructions on vectors.
macro_rules! functions {
    ($($name:ident $latency:literal $instructions:literal)*) => {$(
        fn $name(self) -> Self {
            self.then($latency, $instructions)
        }
    )*};
}
macro_rules! calls {
    ($($name:ident)*) => {$(
        fn $name(self) -> Self {
            self.call()
        }
    )*};
}
macro_rules! of_two {
    ($($name:ident $with:ident($($cost:literal),*))*) => {$(
        fn $name(self, other: Self) -> Self {
            self.with(other).$with($($cost),*)
        }
    )*};
}

impl<R: Real> Scalar for Count<R> {
    type Real = R;
    type Coeff = R;

    fn constant(_: R) -> Self {
        Self::at(0)
    }
    fn from_f64(_: f64) -> Self {
        Self::at(0)
    }
    fn select(self, bound: Self, yes: Self, no: Self) -> Self {
        self.with(bound).with(yes).with(no).then(5, 2)
    }
    fn mul_add(self, a: Self, b: Self) -> Self {
        self.with(a).with(b).then(ARITHMETIC.0, ARITHMETIC.1)
    }
    fn mul_add_param(self, _: Parameter<R>, b: Self) -> Self {
        self.with(b).then(ARITHMETIC.0, ARITHMETIC.1)
    }
    fn mul_add_constant(self, _: R, b: Self) -> Self {
        self.with(b).then(ARITHMETIC.0, ARITHMETIC.1)
    }
    fn powi(self, _: i32) -> Self {
        self.then(12, 4)
    }
    functions!(
        exp 40 16 exp_m1 45 20 ln 50 28 sqrt 15 10 sin 45 22 cos 45 22 sinh 60 36 cosh 60 36 tanh 50 24
        sigmoid 50 22 softplus 90 40 relu 4 2 abs 1 1 sign 6 4 recip 13 8
    );
    calls!(ln_1p cbrt tan atan);
    of_two!(powf call() atan2 call() hypot call() max then(6, 3) min then(6, 3));
}
