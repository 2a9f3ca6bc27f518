//! Each cell's way through one sequence, with each instruction set, against its step.

use super::{DiagonalGru, DiagonalLstm, Elman, Gru, Lem, Lstm};
use crate::dynamics::Dynamics;
use crate::dynamics::recurrence::step_in_order;
use crate::scalar::dispatch::{Kernel, One, dispatch};
use crate::scalar::{InstructionSet, Isa, Real, Scalar};

/// One sequence: through `inputs` from `x`, to the states `[T, n]` and the last one.
struct Run<'a, D: Dynamics> {
    cell: &'a D,
    x: Vec<D::Real>,
    inputs: &'a [D::Real],
    states: Vec<D::Real>,
    steps: usize,
}

impl<D: Dynamics> Kernel for Run<'_, D> {
    type Output = (Vec<D::Real>, Vec<D::Real>);
    #[inline(always)]
    fn run<I: Isa>(mut self) -> Self::Output {
        let params = self.cell.params();
        let Run { cell, x, inputs, states, steps } = &mut self;
        cell.run_in_order::<I>(params, x, inputs, states, *steps);
        (self.states, self.x)
    }
}

/// The same by `step`, on one number at a time.
fn by_step<D: Dynamics>(mut run: Run<D>, fused: bool) -> (Vec<D::Real>, Vec<D::Real>) {
    let params = run.cell.params();
    let Run { cell, x, inputs, states, steps } = &mut run;
    if fused {
        step_in_order::<D, One<true>>(cell, params, x, inputs, states, *steps);
    } else {
        step_in_order::<D, One<false>>(cell, params, x, inputs, states, *steps);
    }
    (run.states, run.x)
}

/// Numbers between ±1 without a pattern.
fn noise<R: Real>(count: usize, seed: f64) -> Vec<R> {
    (0..count).map(|i| R::from_f64((12.9 * i as f64 + 7.7 * seed + 0.3).sin())).collect()
}

/// `same_bits`: whether the cell promises the bits of `step`.
fn check<D: Dynamics>(cell: &D, same_bits: bool) {
    let (n, m) = (cell.state_dim(), cell.input_dim());
    let tolerance = if same_bits { 0.0 } else { 40.0 * D::Real::EPSILON.to_f64() };
    for steps in [0, 1, 2, 40] {
        let inputs = &noise::<D::Real>(steps * m, 1.0);
        for set in InstructionSet::available() {
            let states = vec![D::Real::from_f64(f64::NAN); steps * n];
            let run = || Run { cell, x: noise(n, 2.0), inputs, states: states.clone(), steps };
            let (states, last) = dispatch(set, run());
            let (expected, expected_last) = by_step(run(), set >= InstructionSet::Avx2);
            let name = format!("{} n={n} m={m} T={steps} {set:?}", std::any::type_name::<D>());
            for (at, (a, b)) in states.iter().zip(&expected).enumerate() {
                let error = (a.to_f64() - b.to_f64()).abs();
                assert!(error <= tolerance, "{name}: entry {at} off by {error:e}");
            }
            let from = if steps == 0 { &expected_last } else { &states[(steps - 1) * n..] };
            assert_eq!(last, from, "{name}: the last state");
        }
    }
}

#[test]
fn runs_in_order_equal_the_step() {
    for n in [0, 1, 2, 3, 5, 7, 8, 16, 17, 31, 33, 64] {
        for m in [0, 1, 3] {
            let few = n < 8;
            check(&Gru::<f32>::random(m, n, 1), few);
            check(&Gru::<f64>::random(m, n, 1), few);
            check(&Lstm::<f64>::random(m, n, 2), few);
            check(&Elman::<f32>::random(m, n, 3), few);
            check(&Lem::<f32>::random(m, n, 4), few);
            check(&DiagonalGru::<f64>::random(m, n, 5), true);
            check(&DiagonalLstm::<f32>::random(m, n, 6), true);
        }
    }
}
