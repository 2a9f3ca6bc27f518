//! Inputs that mislead iterations: the answer is right, or the termination says that it is not.

use crate::common::reference::{Allowance, check_honest, difference, plain_loop};
use crate::maps::{Kind, Map, Noise, always_delivers, methods, with_block};
use deer_solver::cells::Gru;
use deer_solver::{Cpu, Dynamics, Method, Problem, Real, Solution, Solver, Termination};
use ndarray::{Array1, Array2, s};

/// Solves with every method and several blocks, and checks that each says the truth. A recurrence that stays
/// finite must converge in the sweeps allowed by default.
pub(crate) fn every_method<D: Dynamics>(
    what: &str,
    problem: &Problem<'_, D>,
    blocks: &[Option<usize>],
    allowance: Allowance,
) {
    let finite = plain_loop(problem).iter().all(|x| x.to_f64().is_finite());
    let cpu = Cpu::new();
    for solver in methods() {
        for &block in blocks {
            let solver = with_block(&solver, block);
            let solution = solver.solve(problem, &cpu).unwrap();
            let what = format!("{what}, {}, block {block:?}", solver.method);
            check_honest(&what, problem, &solution, allowance);
            if finite {
                assert!(solution.converged(), "{what}: {:?}", solution.terminations());
            } else {
                assert!(!solution.converged(), "{what}");
            }
            if always_delivers(&solver) {
                check_delivered(&what, &solution);
            }
        }
    }
}

pub(crate) fn check_delivered<R: Real>(what: &str, solution: &Solution<R>) {
    for termination in solution.terminations() {
        let delivered =
            matches!(termination, Termination::Converged | Termination::NonFinite { .. });
        assert!(delivered, "{what}: {termination:?}");
    }
}

/// By `auto` on a length where it has a choice.
pub(crate) fn auto<D: Dynamics>(
    what: &str,
    problem: &Problem<'_, D>,
    allowance: Allowance,
) -> Solution<D::Real> {
    let solution = Solver::auto().solve(problem, &Cpu::new()).unwrap();
    check_honest(what, problem, &solution, allowance);
    check_delivered(what, &solution);
    solution
}

pub(crate) const BLOCKS: [Option<usize>; 3] = [None, Some(1), Some(16)];

pub(crate) fn ones<R: Real>() -> Array1<R> {
    Array1::from_elem(1, R::from_f64(1.0))
}

pub(crate) fn column<R: Real>(values: impl IntoIterator<Item = f64>) -> Array2<R> {
    let values: Vec<R> = values.into_iter().map(R::from_f64).collect();
    Array2::from_shape_vec((values.len(), 1), values).unwrap()
}

#[test]
fn logistic_map_in_chaos() {
    let map = Map::<f64>::new(Kind::Logistic, &[4.0]);
    let x0 = Array1::from_elem(1, 0.3);
    let allowance = Allowance { rtol: 0.0, ..Allowance::of::<f64>(1.0) };
    let problem = Problem::autonomous(&map, x0.view(), 20_000).unwrap();
    let solution = auto("logistic", &problem, allowance);
    // Trajectories never meet: anything but the loop is wasted.
    assert_eq!(solution.report().method, Method::Sequential, "{}", solution.report());
    assert!(solution.converged());
    let problem = Problem::autonomous(&map, x0.view(), 300).unwrap();
    every_method("logistic", &problem, &BLOCKS, Allowance::of::<f64>(1.0));
    let map = Map::<f32>::new(Kind::Logistic, &[4.0]);
    let x0 = Array1::from_elem(1, 0.3);
    let problem = Problem::autonomous(&map, x0.view(), 300).unwrap();
    every_method("logistic, f32", &problem, &BLOCKS, Allowance::of::<f32>(1.0));
}

/// One pulse moves the state to the other attractor; every block but the first is guessed on the
/// first one.
#[test]
fn bistable_map_on_the_other_attractor() {
    let map = Map::<f64>::new(Kind::Bistable, &[]);
    let pulse =
        |steps, at: usize| column::<f64>((0..steps).map(|t| if t == at { -9.0 } else { 0.01 }));
    for (steps, at) in [(300, 5), (300, 150), (20_000, 3), (20_000, 15_000)] {
        let (x0, inputs) = (ones(), pulse(steps, at));
        let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
        let expected = plain_loop(&problem);
        assert!(expected[[0, steps - 1, 0]] < -0.9);
        if steps == 300 {
            every_method("bistable", &problem, &BLOCKS, Allowance::of::<f64>(1.0));
        }
        let solution = auto("bistable", &problem, Allowance::of::<f64>(1.0));
        assert!(solution.converged());
        assert!(difference(solution.states(), expected.view()) < 1e-12, "pulse at {at}");
    }
}

/// From next to the repeller 0 the state leaves for 1; every guess is still on its way.
#[test]
fn cubic_map_leaves_a_repeller() {
    let map = Map::<f64>::new(Kind::Cubic, &[0.5]);
    for x0 in [1e-3, -1e-9] {
        let x0 = Array1::from_elem(1, x0);
        let problem = Problem::autonomous(&map, x0.view(), 300).unwrap();
        every_method("cubic", &problem, &BLOCKS, Allowance::of::<f64>(0.0));
        let problem = Problem::autonomous(&map, x0.view(), 10_000).unwrap();
        let solution = auto("cubic", &problem, Allowance::of::<f64>(0.0));
        assert!((solution.states()[[0, 9_999, 0]] - x0[0].signum()).abs() < 1e-13);
    }
}

#[test]
fn tanh_network_in_chaos() {
    let allowance = Allowance { slack: 256.0, ..Allowance::of::<f64>(1.0) };
    let network = Map::<f64>::tanh(32, 2.5, 1);
    let x0 = Array1::from(Noise::new(2).vec::<f64>(32, 1.0));
    let inputs = column((0..1500).map(|t| 0.1 * (t as f64).sin()));
    let problem = Problem::new(&network, x0.view(), inputs.view()).unwrap();
    let solution = auto("tanh 32", &problem, allowance);
    assert_eq!(solution.report().method, Method::Sequential, "{}", solution.report());
    let short = inputs.slice(s![..80, ..]);
    let problem = Problem::new(&network, x0.view(), short).unwrap();
    every_method("tanh 32", &problem, &[None, Some(8)], allowance);
    let network = Map::<f32>::tanh(3, 4.0, 3);
    let x0 = Array1::from(Noise::new(2).vec::<f32>(3, 1.0));
    let inputs = column((0..200).map(|t| 0.1 * (t as f64).sin()));
    let problem = Problem::new(&network, x0.view(), inputs.view()).unwrap();
    every_method(
        "tanh 3, f32",
        &problem,
        &BLOCKS,
        Allowance { slack: 64.0, ..Allowance::of::<f32>(1.0) },
    );
}

#[test]
fn weights_times_a_hundred() {
    for seed in 0..3 {
        let mut gru = Gru::<f64>::random(2, 3, seed);
        gru.params_mut().iter_mut().for_each(|p| *p *= 100.0);
        let mut noise = Noise::new(seed);
        let inputs = Array2::from_shape_vec((300, 2), noise.vec(600, 1.0)).unwrap();
        let x0 = Array1::from(noise.vec::<f64>(3, 1.0));
        let problem = Problem::new(&gru, x0.view(), inputs.view()).unwrap();
        // Sums of some hundred are rounded before they pass a gate.
        let allowance = Allowance { slack: 4096.0, ..Allowance::of::<f64>(1.0) };
        every_method("weights × 100", &problem, &BLOCKS, allowance);
    }
}

/// `x' = a_t x + b_t`.
fn affine<R: Real>(what: &str, x0: f64, coefficients: &[[f64; 2]], scale: f64) {
    let map = Map::<R>::new(Kind::Affine, &[]);
    let x0 = Array1::from_elem(1, R::from_f64(x0));
    let inputs: Vec<R> = coefficients.iter().flatten().map(|&u| R::from_f64(u)).collect();
    let inputs = Array2::from_shape_vec((coefficients.len(), 2), inputs).unwrap();
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    every_method(what, &problem, &BLOCKS, Allowance::of::<R>(scale));
}

#[test]
fn products_of_jacobians_overflow() {
    let grow = |steps: usize, by: f64| vec![[by, 0.0]; steps];
    affine::<f64>("overflow", 1.0, &grow(400, 10.0), 0.0);
    affine::<f32>("overflow, f32", 1.0, &grow(300, 10.0), 0.0);
    affine::<f64>("overflow with alternating sign", 1.0, &grow(400, -10.0), 0.0);
    // Up to 1e250 and back, the guess of every block up to 1e200 beyond it.
    let mut up_and_down = grow(250, 10.0);
    up_and_down.extend(grow(350, 0.1));
    affine::<f64>("up and down", 1.0, &up_and_down, 0.0);
    affine::<f64>("up and down from far", 1e50, &up_and_down, 0.0);
    // Reset to the small and growing again: guesses from x0 overflow where the recurrence does not.
    let resets: Vec<_> =
        (0..600).map(|t| if t % 150 == 20 { [0.0, 1e-100] } else { [10.0, 0.0] }).collect();
    affine::<f64>("resets", 1e200, &resets, 0.0);
    // Small after large: the residual is relative to what is left.
    let decay = |t: usize| if t == 100 { [0.0, 1e-100] } else { [0.5 + 0.4 * (t % 3) as f64, 0.0] };
    affine::<f64>("decay", 1e100, &(0..600).map(decay).collect::<Vec<_>>(), 0.0);
    affine::<f32>("decay, f32", 1.0, &vec![[0.2, 1e-20]; 300], 0.0);
    // The linear part overflows, the state is 0.
    affine::<f64>("zero", 0.0, &grow(700, 10.0), 0.0);
    affine::<f32>("zero, f32", 0.0, &grow(300, 10.0), 0.0);
}

/// Blocks guessed to be infinite, or finite where the recurrence is infinite, are not taken for right.
#[test]
fn infinite_guesses() {
    for steps in [200, 5000] {
        let map = Map::<f64>::new(Kind::Affine, &[]);
        // Infinite from the tenth step on; each guess of a later block is finite.
        let overflow = |t: usize| if t < 10 { [1e40, 0.0] } else { [1.0, 1.0] };
        let inputs: Vec<f64> = (0..steps).flat_map(overflow).collect();
        let inputs = Array2::from_shape_vec((steps, 2), inputs).unwrap();
        let problem = Problem::new(&map, ones().view(), inputs.view()).unwrap();
        let solution = auto("infinite", &problem, Allowance::of::<f64>(0.0));
        assert_eq!(solution.termination(), Termination::NonFinite { batch: 0, t: 7 });
        if steps < 1000 {
            every_method("infinite", &problem, &BLOCKS, Allowance::of::<f64>(0.0));
        }
    }
}

#[test]
fn saturation() {
    let map = Map::<f64>::new(Kind::Clip, &[1.5]);
    let mut noise = Noise::new(1);
    for scale in [0.3, 1.5] {
        let inputs = column(noise.vec::<f64>(300, scale));
        let problem = Problem::new(&map, ones().view(), inputs.view()).unwrap();
        every_method("clip", &problem, &BLOCKS, Allowance::of::<f64>(1.0));
    }
}

#[test]
fn weak_contraction() {
    let mut noise = Noise::new(1);
    let coefficients: Vec<_> = (0..400).map(|_| [0.9999, noise.next()]).collect();
    affine::<f64>("weak", 0.0, &coefficients, 1.0);
    affine::<f32>("weak, f32", 0.0, &coefficients, 1.0);
}

#[test]
fn rotation() {
    for (angle, factor) in [(1.0f64, 1.0f64), (0.01, 1.0), (2.0, 1.001), (1.0, 0.9)] {
        let params = [factor * angle.cos(), factor * angle.sin()];
        let x0 = Array1::from(vec![1.0, 0.0]);
        let map = Map::<f64>::new(Kind::Rotation, &params);
        let problem = Problem::autonomous(&map, x0.view(), 400).unwrap();
        every_method("rotation", &problem, &BLOCKS, Allowance::of::<f64>(1.0));
    }
    // The state decays through the subnormal numbers.
    let map = Map::<f32>::new(Kind::Rotation, &[0.5, 0.6]);
    let x0 = Array1::from(vec![1.0, 0.0]);
    let problem = Problem::autonomous(&map, x0.view(), 500).unwrap();
    every_method("decay", &problem, &BLOCKS, Allowance::of::<f32>(1e-30));
}

/// The default tolerance is relative.
#[test]
fn tiny_states() {
    let mut noise = Noise::new(1);
    let coefficients: Vec<_> = (0..400).map(|_| [0.7, 1e-30 * noise.next()]).collect();
    affine::<f64>("tiny", 1e-28, &coefficients, 1e-30);
    affine::<f32>("tiny, f32", 1e-28, &coefficients, 1e-30);
}

#[test]
fn mixed_scales() {
    let map = Map::<f64>::new(Kind::Scales, &[]);
    let inputs = column(Noise::new(3).vec::<f64>(300, 1.0));
    let x0 = Array1::from(vec![1e6, 1e-3]);
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    let expected = plain_loop(&problem);
    every_method(
        "scales",
        &problem,
        &BLOCKS,
        Allowance { slack: 256.0, ..Allowance::of::<f64>(1e-3) },
    );
    let solution =
        auto("scales", &problem, Allowance { slack: 256.0, ..Allowance::of::<f64>(1e-3) });
    for i in 0..2 {
        let component = s![.., .., i..=i];
        let apart = difference(solution.states().slice(component), expected.slice(component));
        let bound = if i == 0 { 1e-6 } else { 1e-14 };
        assert!(apart < bound, "component {i}: off by {apart:e}");
    }
}

/// A NaN in the chain rule beside a finite value spoils a prediction, not the answer.
#[test]
fn derivatives_that_are_not_finite() {
    let map = Map::<f64>::new(Kind::Steep, &[]);
    let mut noise = Noise::new(4);
    let inputs = column((0..300).map(|_| 0.6 * noise.next()));
    let problem = Problem::new(&map, ones().view(), inputs.view()).unwrap();
    let below = plain_loop(&problem).iter().filter(|&&x| x < 0.1).count();
    assert!((10..200).contains(&below), "{below}");
    let allowance = Allowance { slack: 256.0, ..Allowance::of::<f64>(1.0) };
    every_method("steep", &problem, &BLOCKS, allowance);
    for block in [1, 16] {
        let solution = Solver::deer().block(block).solve(&problem, &Cpu::new()).unwrap();
        // By sweeps, not by giving up on a residual that is no number.
        let history = &solution.report().history;
        assert!(history.iter().all(|sweep| sweep.residual.is_finite()), "{history:?}");
    }
}

/// Components that pass through zero have a relative tolerance below the rounding of the step: Newton must
/// not go on for as many sweeps as there are steps.
#[test]
fn rounding_does_not_keep_newton_from_ending() {
    let mut noise = Noise::new(5);
    let inputs = Array2::from_shape_vec((2000, 2), noise.vec(4000, 1.0)).unwrap();
    let gru = Gru::<f32>::random(2, 5, 1);
    let x0 = Array1::zeros(5);
    let problem = Problem::new(&gru, x0.view(), inputs.view()).unwrap();
    for solver in [Solver::deer(), Solver::quasi_deer()] {
        for block in [1, 2, 8] {
            let solution = solver.clone().block(block).solve(&problem, &Cpu::new()).unwrap();
            assert!(solution.converged());
            assert!(solution.report().sweeps < 50, "{}", solution.report());
            check_honest("rounding", &problem, &solution, Allowance::of::<f32>(1.0));
        }
    }
}
