//! Steps that are equations, and the longer ones that stand for them.

use super::*;
use crate::dynamics::{Implicit, Recurrence};

/// Stages are polynomials' values: `Σ_j a_ij c_j^(q−1) = c_i^q / q` for q up to the number of slopes.
#[test]
fn stages_are_collocation() {
    for scheme in
        [Scheme::BackwardEuler, Scheme::Trapezoidal, Scheme::ImplicitMidpoint, Scheme::RadauIIA5]
    {
        let tableau = tableau(scheme).unwrap();
        let known = usize::from(tableau.from_start);
        for (row, coefficients) in tableau.stages.iter().enumerate() {
            let end = tableau.nodes[row + known];
            for q in 1..=coefficients.len() as i32 {
                let sum: f64 = coefficients
                    .iter()
                    .zip(tableau.nodes)
                    .map(|(a, c)| a * if q == 1 { 1.0 } else { c.powi(q - 1) })
                    .sum();
                assert!((sum - end.powi(q) / f64::from(q)).abs() < 1e-15, "{scheme} {row} {q}");
            }
        }
    }
}

/// y″ = 2 (1 − y²) y′ − y.
struct VanDerPol;
impl Ode for VanDerPol {
    type Real = f64;
    fn state_dim(&self) -> usize {
        2
    }
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
        dy[0] = y[1];
        dy[1] = (y[1] - y[0] * y[0] * y[1]) * 2.0 - y[0];
    }
}

/// Where a recurrence leads from (1, 1) by the inputs `[steps, m]`.
fn run<D: Recurrence<Real = f64>>(recurrence: &D, inputs: &[f64]) -> [f64; 2] {
    let (mut work, mut x, mut next) = (recurrence.work::<f64>(), [1.0, 1.0], [0.0; 2]);
    for u in inputs.chunks(recurrence.input_dim()) {
        recurrence.advance(&[], &x, u, &mut next, &mut work);
        x = next;
    }
    x
}

/// A long step leads where the short ones do that it stands for, up to a higher power of its length; on a grid that is made coarser
/// twice, too.
#[test]
fn long_steps_stand_for_short_ones() {
    for (scheme, explicit, order) in [
        (Scheme::BackwardEuler, false, 3),
        (Scheme::Trapezoidal, false, 4),
        (Scheme::ImplicitMidpoint, false, 4),
        (Scheme::BackwardEuler, true, 5),
        (Scheme::Trapezoidal, true, 4),
        (Scheme::ImplicitMidpoint, true, 4),
    ] {
        let equation = StepEquation { ode: &VanDerPol, scheme, interpolation: Interpolation::Held };
        let recurrence = Implicit::new(equation);
        let coarser = match explicit {
            false => recurrence.coarser().unwrap().0,
            true => recurrence.coarser_explicit().unwrap().0,
        };
        let short = 0.1 / 512.0;
        let inputs: Vec<f64> = (0..512).flat_map(|k| [f64::from(k) * short, short]).collect();
        let exact = run(&recurrence, &inputs);
        let distance = |y: [f64; 2]| (y[0] - exact[0]).abs().max((y[1] - exact[1]).abs());
        let miss = |steps: usize| {
            let mut long = vec![0.0; steps * 3];
            recurrence.coarsen(&inputs, steps, &mut long);
            assert_eq!(long[2], steps as f64 / 512.0);
            let mut longer = [0.0; 3];
            coarser.coarsen(&long, 1, &mut longer);
            assert!((longer[2] - 1.0 / 512.0).abs() < 1e-15);
            distance(run(&coarser, &long))
        };
        // What is left of the short steps' own error is proportional to it.
        let [four, eight] = [4, 8].map(miss);
        let power = (four / eight).log2();
        assert!(power > f64::from(order) - 1.3, "{scheme}: {four:.1e}, {eight:.1e}");
        let plain = Implicit::new(*coarser.residual());
        let mut inputs_of_plain = [0.0; 16];
        equation.coarsen(&inputs, 8, &mut inputs_of_plain);
        let without = distance(run(&plain, &inputs_of_plain));
        assert!(eight < 0.01 * without, "{scheme}: {eight:.1e}, {without:.1e}");
    }
}

/// The same with inputs between the points of the grid and an equation that is not autonomous.
#[test]
fn long_steps_stand_for_driven_ones() {
    struct Driven;
    impl Ode for Driven {
        type Real = f64;
        fn state_dim(&self) -> usize {
            2
        }
        fn input_dim(&self) -> usize {
            1
        }
        fn scratch_dim(&self) -> usize {
            1
        }
        fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], t: S, y: &[S], u: &[S], dy: &mut [S]) {
            dy[2] = y[1] * t.cos();
            dy[0] = dy[2] - u[0] * y[0];
            dy[1] = u[0] - y[0];
        }
    }
    let equation = StepEquation {
        ode: &Driven,
        scheme: Scheme::BackwardEuler,
        interpolation: Interpolation::Linear,
    };
    let recurrence = Implicit::new(equation);
    let (coarser, order) = recurrence.coarser_explicit().unwrap();
    assert_eq!(order, 5);
    let short = 0.1 / 512.0;
    let u = |k: u32| 1.0 + 3.0 * f64::from(k) * short;
    let inputs: Vec<f64> =
        (0..512).flat_map(|k| [f64::from(k) * short, short, u(k), u(k + 1)]).collect();
    let mut long = vec![0.0; 8 * 5];
    recurrence.coarsen(&inputs, 8, &mut long);
    let (exact, long) = (run(&recurrence, &inputs), run(&coarser, &long));
    for (exact, long) in exact.iter().zip(&long) {
        assert!((exact - long).abs() < 1e-12, "{exact} {long}");
    }
}

#[test]
fn strain_is_of_explicit_steps_that_are_too_long() {
    struct Fading;
    impl Ode for Fading {
        type Real = f64;
        fn state_dim(&self) -> usize {
            2
        }
        fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
            dy[0] = -y[0];
            dy[1] = y[1] * -1e6;
        }
    }
    let equation = StepEquation {
        ode: &Fading,
        scheme: Scheme::BackwardEuler,
        interpolation: Interpolation::Held,
    };
    let recurrence = Implicit::new(equation);
    let explicit = recurrence.coarser_explicit().unwrap().0;
    // Whatever is left of the component that is stiff.
    for size in [1.0, 1e-20, 0.0] {
        let strain = |coarser: &Implicit<_>, dt| {
            coarser.strain(&[], &[1.0, size], &[0.0, dt, 0.1], &[1.0, size])
        };
        let (short, long) = (strain(&explicit, 1e-7), strain(&explicit, 1e-4));
        assert!((0.03..0.3).contains(&short), "{short}");
        assert!((long / short - 1e3).abs() < 1.0, "{long} {short}");
        assert_eq!(strain(&recurrence.coarser().unwrap().0, 1e-4), 0.0);
    }
}
