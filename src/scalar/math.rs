//! Elementary functions on vectors.

use super::vector::Vector;
use super::{Real, Scalar};

macro_rules! per_lane {
    ($($name:ident)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<V: Vector>(mut x: V) -> V {
            for lane in x.as_mut_slice() {
                *lane = Scalar::$name(*lane);
            }
            x
        }
    )*};
}
per_lane!(exp exp_m1 ln ln_1p cbrt sin cos tan atan sinh cosh tanh sigmoid softplus relu abs sign recip);

macro_rules! per_lane_of_two {
    ($($name:ident)*) => {$(
        #[inline(always)]
        pub(crate) fn $name<V: Vector>(mut x: V, y: V) -> V {
            for (lane, y) in x.as_mut_slice().iter_mut().zip(y.as_slice()) {
                *lane = Scalar::$name(*lane, *y);
            }
            x
        }
    )*};
}
per_lane_of_two!(powf atan2 hypot max min);

/// −x.
#[inline(always)]
pub(crate) fn neg<V: Vector>(x: V) -> V {
    x.xor(V::splat(-V::Real::from_f64(0.0)))
}

/// Square root.
#[inline(always)]
pub(crate) fn sqrt<V: Vector>(x: V) -> V {
    x.sqrt()
}

/// Integer power.
#[inline(always)]
pub(crate) fn powi<V: Vector>(mut x: V, n: i32) -> V {
    for lane in x.as_mut_slice() {
        *lane = Scalar::powi(*lane, n);
    }
    x
}
