//! Derivatives against differences, in lanes, of second order, and where a function has a corner.

use super::*;
use crate::scalar::dispatch::{Kernel, dispatch};
use crate::scalar::{Constant, InstructionSet, Isa, Lanes, Parameter};

/// Every function and operator, of x and y in the first quadrant (y near 1).
#[inline(always)]
fn all<S: Scalar>(x: S, y: S, p: Param<S>) -> [S; 45] {
    let real = S::Real::from_f64;
    let mut assigned = x;
    assigned += y;
    assigned *= x;
    assigned -= real(0.25);
    assigned /= y;
    assigned += p;
    assigned *= real(1.5);
    assigned /= p;
    [
        x + y,
        x - y,
        x * y,
        x / y,
        x + real(0.7),
        x - real(0.7),
        x * real(0.7),
        x / real(0.7),
        x + p,
        x - p,
        x * p,
        x / p,
        -x,
        Constant(real(2.0)) / x,
        S::from(p) * x,
        assigned,
        [x, y, x * x].into_iter().sum(),
        x.mul_add(y, x),
        x.mul_add_param(p, y),
        x.exp(),
        x.exp_m1(),
        x.ln(),
        x.ln_1p(),
        x.sqrt(),
        x.cbrt(),
        x.powi(3),
        x.powi(-2),
        x.powf(y),
        x.sin(),
        x.cos(),
        x.tan(),
        x.atan(),
        x.atan2(y),
        x.sinh(),
        x.cosh(),
        x.tanh(),
        x.sigmoid(),
        x.softplus(),
        (x - real(0.8)).relu(),
        (x - real(0.8)).abs(),
        x.recip(),
        x.hypot(y),
        x.max(y),
        x.min(y),
        x.select(y, x * y, y),
    ]
}

const P: f64 = 1.3;
const POINTS: [(f64, f64); 5] = [(0.3, 1.1), (0.75, 0.9), (1.2, 0.6), (1.45, 1.9), (2.5, 0.2)];

fn duals(x: f64, y: f64) -> [Dual<f64, 2>; 45] {
    all(Dual::variable(x, 0), Dual::variable(y, 1), Parameter(P))
}

#[test]
fn every_function_agrees_with_central_differences() {
    let step = 1e-6;
    for (x, y) in POINTS {
        let values = all(x, y, Parameter(P));
        let at = |x: f64, y: f64| all(x, y, Parameter(P));
        let (right, left) = (at(x + step, y), at(x - step, y));
        let (up, down) = (at(x, y + step), at(x, y - step));
        for (i, dual) in duals(x, y).into_iter().enumerate() {
            assert!(dual.value.same_bits(values[i]), "{i} at ({x}, {y})");
            let differences = [right[i] - left[i], up[i] - down[i]].map(|d| d / (2.0 * step));
            for (tangent, difference) in dual.tangents.into_iter().zip(differences) {
                let error = (tangent - difference).abs();
                assert!(
                    error <= 1e-8 * (1.0 + difference.abs()),
                    "{i} at ({x}, {y}): {tangent}, {difference}"
                );
            }
        }
    }
}

struct InLanes;
impl Kernel for InLanes {
    type Output = ();
    #[inline(always)]
    fn run<I: Isa>(self) {
        let lanes = Lanes::<f64, I, 1>::LANES;
        let (mut x, mut y) = (Lanes::<f64, I, 1>::from_f64(0.5), Lanes::from_f64(0.5));
        for lane in 0..lanes {
            x.set_lane(lane, POINTS[lane % 5].0);
            y.set_lane(lane, POINTS[lane % 5].1);
        }
        let result = all(Dual::variable(x, 0), Dual::<_, 2>::variable(y, 1), Parameter(P));
        for lane in 0..lanes {
            let (x, y) = POINTS[lane % 5];
            for (i, (dual, exact)) in result.iter().zip(duals(x, y)).enumerate() {
                let close = |a: f64, b: f64| (a - b).abs() <= 1e-14 * (1.0 + b.abs());
                assert!(close(dual.value.lane(lane), exact.value), "{i} at ({x}, {y})");
                for k in 0..2 {
                    let tangent = dual.tangents[k].lane(lane);
                    assert!(close(tangent, exact.tangents[k]), "{i} at ({x}, {y}): {tangent}");
                }
            }
        }
    }
}

#[test]
fn lanes_have_the_derivatives_of_single_numbers() {
    for set in InstructionSet::available() {
        dispatch(set, InLanes);
    }
}

#[test]
fn duals_of_duals_have_second_derivatives() {
    let step = 1e-6;
    for (x, y) in POINTS {
        let inner = Dual::<f64, 1>::variable(x, 0);
        let p = Parameter(P);
        let second = all(Dual::<_, 1>::variable(inner, 0), Dual::constant(y), p);
        let (right, left) = (duals(x + step, y), duals(x - step, y));
        for i in 0..second.len() {
            let difference = (right[i].tangents[0] - left[i].tangents[0]) / (2.0 * step);
            let tangent = second[i].tangents[0].tangents[0];
            assert!(second[i].tangents[0].value == second[i].value.tangents[0]);
            assert!(
                (tangent - difference).abs() <= 1e-7 * (1.0 + difference.abs()),
                "{i} at ({x}, {y}): {tangent}, {difference}"
            );
        }
    }
}

#[test]
fn ties_corners_and_nans_are_as_documented() {
    let x = |value: f64| Dual::<f64, 2>::variable(value, 0);
    let y = |value: f64| Dual::<f64, 2>::variable(value, 1);
    let tangents = |d: Dual<f64, 2>| d.tangents;
    let (first, second, none) = ([1.0, 0.0], [0.0, 1.0], [0.0, 0.0]);
    assert_eq!(tangents(x(2.0).max(y(2.0))), first);
    assert_eq!(tangents(x(2.0).min(y(2.0))), first);
    assert_eq!(tangents(x(1.0).max(y(2.0))), second);
    assert_eq!(tangents(x(1.0).min(y(2.0))), first);
    for f in [Dual::max, Dual::min] {
        assert_eq!(tangents(f(x(f64::NAN), y(2.0))), second);
        assert_eq!(tangents(f(x(2.0), y(f64::NAN))), first);
    }
    assert_eq!(tangents(x(2.0).select(y(2.0), x(5.0), y(6.0))), second);
    assert_eq!(tangents(x(f64::NAN).select(y(2.0), x(5.0), y(6.0))), second);
    for zero in [0.0, -0.0] {
        assert_eq!(tangents(x(zero).relu()), none);
        assert_eq!(tangents(x(zero).abs()), none);
        assert_eq!(tangents(x(zero).hypot(y(0.0))), none);
        assert_eq!(tangents(x(zero).atan2(y(0.0))), none);
        assert_eq!(tangents(x(zero).powi(0)), none);
        assert_eq!(tangents(x(zero).powi(1)), first);
        assert_eq!(tangents(x(zero).powi(2)), none);
        assert_eq!(tangents(x(zero).powf(Dual::constant(1.0))), first);
        assert_eq!(tangents(x(zero).powf(Dual::constant(0.0))), none);
    }
    assert_eq!(tangents(x(-3.0).powf(Dual::constant(2.0))), [-6.0, 0.0]);
    assert_eq!(tangents(x(-3.0).sign()), none);
    assert_eq!(tangents(x(-3.0).abs()), [-1.0, 0.0]);
    assert_eq!(tangents(x(3.0).relu()), first);
    assert!(x(f64::NAN).relu().value.is_nan());
    assert!(
        (tangents(x(1e300).hypot(y(1e300)))[0] - std::f64::consts::FRAC_1_SQRT_2).abs() < 1e-15
    );
}
