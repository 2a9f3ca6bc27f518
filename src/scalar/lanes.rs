//! The same step in many blocks of time at once.

use super::dispatch::Kernel;
use super::ops::assign_and_sum;
use super::sealed::Sealed;
use super::vector::{Vector, transpose};
use super::{Isa, Numeric, Parameter, Real, Scalar, math};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// `K` SIMD vectors of `R`, every lane of which is another block of time (or another
/// sequence of a batch).
///
/// Two vectors at a time give each dependent instruction an independent neighbour, which
/// hides its latency.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Lanes<R: Real, I: Isa, const K: usize>([R::Vector<I>; K]);

impl<R: Real, I: Isa, const K: usize> Lanes<R, I, K> {
    /// How many lanes there are.
    pub const LANES: usize = K * <R::Vector<I> as Vector>::WIDTH;

    /// The lane `lane`.
    #[inline(always)]
    pub fn lane(&self, lane: usize) -> R {
        let width = <R::Vector<I> as Vector>::WIDTH;
        self.0[lane / width].as_slice()[lane % width]
    }

    /// Sets the lane `lane` to `x`.
    #[inline(always)]
    pub fn set_lane(&mut self, lane: usize, x: R) {
        let width = <R::Vector<I> as Vector>::WIDTH;
        self.0[lane / width].as_mut_slice()[lane % width] = x;
    }

    /// The vector `k` of the `K`.
    #[inline(always)]
    pub(crate) fn vector(&self, k: usize) -> Lanes<R, I, 1> {
        Lanes([self.0[k]])
    }

    /// Sets lane `first + l` of value `e` to `rows[l][from + e]`, for the `W` lanes of one vector and as many
    /// values.
    #[inline(always)]
    pub(crate) fn load_rows<const W: usize>(
        values: &mut [Self],
        first: usize,
        rows: &[&[R]],
        from: usize,
    ) {
        let mut vectors = [<R::Vector<I> as Vector>::splat(R::default()); W];
        for lane in 0..W {
            vectors[lane] = Vector::load(&rows[lane][from..]);
        }
        vectors = transpose(vectors);
        for e in 0..W {
            values[e].0[first / W] = vectors[e];
        }
    }

    /// The `W` lanes of one vector from lane `first` on of `W` values, each lane as a row.
    #[inline(always)]
    pub(crate) fn rows<const W: usize>(values: &[Self], first: usize) -> [R::Vector<I>; W] {
        let mut vectors = [values[0].0[first / W]; W];
        for e in 0..W {
            vectors[e] = values[e].0[first / W];
        }
        transpose(vectors)
    }

    /// All lanes of all `values`, one value after the other.
    #[inline(always)]
    pub(crate) fn flatten(values: &[Self]) -> &[R] {
        // SAFETY: a value is `LANES` numbers without padding: arrays of registers, each exactly its
        // lanes (see `Vector::as_slice`).
        unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len() * Self::LANES) }
    }

    /// All lanes of all `values`, one value after the other.
    #[inline(always)]
    pub(crate) fn flatten_mut(values: &mut [Self]) -> &mut [R] {
        // SAFETY: as in `flatten`, and borrowed mutably.
        unsafe {
            std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len() * Self::LANES)
        }
    }
}

/// `self` with `f` of each of its vectors, and of those of a second operand.
///
/// Not a method that takes a function: the call through `Fn` is a function of its own, compiled
/// without the kernel's instructions if the compiler decides against inlining it.
macro_rules! map {
    ($self:ident, $f:path) => {{
        let mut result = $self;
        for k in 0..K {
            result.0[k] = $f($self.0[k]);
        }
        result
    }};
    ($self:ident, $other:ident, $f:path) => {{
        let (mut result, other): (Self, Self) = ($self, $other);
        for k in 0..K {
            result.0[k] = $f($self.0[k], other.0[k]);
        }
        result
    }};
}

macro_rules! operator {
    ($($trait:ident $method:ident)*) => {$(
        impl<R: Real, I: Isa, const K: usize> $trait for Lanes<R, I, K> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, right: Self) -> Self {
                map!(self, right, Vector::$method)
            }
        }
        impl<R: Real, I: Isa, const K: usize> $trait<R> for Lanes<R, I, K> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, right: R) -> Self {
                let right = Self::constant(right);
                map!(self, right, Vector::$method)
            }
        }
        impl<R: Real, I: Isa, const K: usize> $trait<Parameter<R>> for Lanes<R, I, K> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, right: Parameter<R>) -> Self {
                let right = Self::constant(right.0);
                map!(self, right, Vector::$method)
            }
        }
    )*};
}
operator!(Add add Sub sub Mul mul Div div);
assign_and_sum!([R: Real, I: Isa, const K: usize] Lanes<R, I, K>, Self, R, Parameter<R>);

impl<R: Real, I: Isa, const K: usize> Neg for Lanes<R, I, K> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        map!(self, math::neg)
    }
}

impl<R: Real, I: Isa, const K: usize> From<Parameter<R>> for Lanes<R, I, K> {
    #[inline(always)]
    fn from(p: Parameter<R>) -> Self {
        Self::constant(p.0)
    }
}

impl<R: Real, I: Isa, const K: usize> Sealed for Lanes<R, I, K> {}

macro_rules! functions {
    ($($name:ident)*) => {$(
        #[inline(always)]
        fn $name(self) -> Self {
            map!(self, math::$name)
        }
    )*};
}
macro_rules! functions_of_two {
    ($($name:ident)*) => {$(
        #[inline(always)]
        fn $name(self, other: Self) -> Self {
            map!(self, other, math::$name)
        }
    )*};
}

impl<R: Real, I: Isa, const K: usize> Numeric for Lanes<R, I, K> {
    type Plain = Self;
    const TANGENTS: usize = 0;
    #[inline(always)]
    fn enter<F: Kernel>(kernel: F) -> F::Output {
        I::enter(kernel)
    }
    #[inline(always)]
    fn plain(self) -> Self {
        self
    }
    #[inline(always)]
    fn lift(x: Self) -> Self {
        x
    }
    #[inline(always)]
    fn scaled(self, factor: Self) -> Self {
        self * factor
    }
    #[inline(always)]
    fn put(&mut self, lane: usize, x: R) {
        self.set_lane(lane, x);
    }
}

impl<R: Real, I: Isa, const K: usize> Scalar for Lanes<R, I, K> {
    type Real = R;
    type Coeff = R;

    #[inline(always)]
    fn constant(x: R) -> Self {
        Self([<R::Vector<I> as Vector>::splat(x); K])
    }
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        Self::constant(R::from_f64(x))
    }
    #[inline(always)]
    fn select(mut self, bound: Self, yes: Self, no: Self) -> Self {
        for k in 0..K {
            self.0[k] = self.0[k].select_lt(bound.0[k], yes.0[k], no.0[k]);
        }
        self
    }
    #[inline(always)]
    fn mul_add(mut self, a: Self, b: Self) -> Self {
        for k in 0..K {
            self.0[k] = self.0[k].mul_add(a.0[k], b.0[k]);
        }
        self
    }
    #[inline(always)]
    fn mul_add_param(self, p: Parameter<R>, b: Self) -> Self {
        self.mul_add(Self::constant(p.0), b)
    }
    #[inline(always)]
    fn all_at_most(self, bound: Self) -> bool {
        let mut all = true;
        for k in 0..K {
            all &= self.0[k].all_le(bound.0[k]);
        }
        all
    }
    #[inline(always)]
    fn mul_add_constant(self, c: R, b: Self) -> Self {
        self.mul_add(Self::constant(c), b)
    }
    functions!(exp exp_m1 ln ln_1p sqrt cbrt sin cos tan atan sinh cosh tanh sigmoid softplus relu abs sign recip);
    functions_of_two!(powf atan2 hypot max min);
    #[inline(always)]
    fn powi(mut self, n: i32) -> Self {
        for k in 0..K {
            self.0[k] = math::powi(self.0[k], n);
        }
        self
    }
}
