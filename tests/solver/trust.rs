//! The error bound against the true error, that to the plain loop.

use crate::common::reference::{difference, plain_loop};
use crate::maps::{Kind, Map, Noise, methods};
use deer_solver::cells::{DiagonalLstm, Gru};
use deer_solver::{Cpu, Dynamics, Problem, Real, Solver, diagnostics};
use ndarray::{Array1, Array2};

/// Bounds over true errors, of those cases where there is an error.
#[derive(Default)]
struct Ratios {
    cases: usize,
    ratios: Vec<f64>,
    below: Vec<String>,
}

impl Ratios {
    /// One random problem, solved by one of the methods on blocks of some length to a random tolerance.
    fn case<D: Dynamics>(&mut self, what: &str, dynamics: &D, cpu: &Cpu, seed: u64) {
        let (n, m) = (dynamics.state_dim(), dynamics.input_dim());
        let mut noise = Noise::new(seed);
        let pick = |noise: &mut Noise, count: usize| (noise.next().abs() * 997.0) as usize % count;
        let (batch, steps) = (1 + pick(&mut noise, 2), 20 + pick(&mut noise, 400));
        let x0 = Array2::from_shape_vec((batch, n), noise.vec(batch * n, 1.0)).unwrap();
        let inputs: Vec<Array2<D::Real>> = (0..batch)
            .map(|b| {
                let steps = steps - 7 * b;
                Array2::from_shape_vec((steps, m), noise.vec(steps * m, 1.0)).unwrap()
            })
            .collect();
        let views: Vec<_> = inputs.iter().map(|inputs| inputs.view()).collect();
        let problem = Problem::ragged(dynamics, x0.view(), &views).unwrap();
        let mut solver = methods()[pick(&mut noise, 6)].clone();
        solver.block = [None, Some(1), Some(5), Some(40)][pick(&mut noise, 4)];
        let finest = if <D::Real as Real>::SINGLE { 6.0 } else { 13.0 };
        let rtol = 10f64.powf(-2.5 - (finest - 2.5) * noise.next().abs());
        let solver = solver.tolerance(0.0, rtol);
        let solution = solver.solve(&problem, cpu).unwrap();
        assert!(solution.converged(), "{what}: {}", solution.report());
        let bound = diagnostics::error_bound(&problem, &solution, cpu).unwrap();
        let error = difference(solution.states(), plain_loop(&problem).view());
        self.cases += 1;
        if error > bound.total() {
            self.below.push(format!("{what}, seed {seed}, {rtol:e}: {error:e} and {bound:?}"));
        }
        if error > 0.0 {
            self.ratios.push(bound.total() / error);
        }
    }

    /// In at least 999 cases of 1000 the bound holds, and in the median it is within 100 times the error.
    fn check(mut self, what: &str) {
        let below = self.below.len() as f64 / self.cases as f64;
        self.ratios.sort_by(f64::total_cmp);
        let at = |share: f64| self.ratios[(share * (self.ratios.len() - 1) as f64) as usize];
        println!(
            "{what}: {} cases, {} with an error, {} above the bound; bound over error {:.2} at least, \
             {:.1} in the median, {:.0} in 99 of 100",
            self.cases,
            self.ratios.len(),
            self.below.len(),
            at(0.0),
            at(0.5),
            at(0.99),
        );
        assert!(below <= 1e-3, "{what}: {:?}", self.below);
        assert!(self.ratios.len() * 2 > self.cases, "{what}: errors in {}", self.ratios.len());
        assert!(at(0.5) <= 100.0, "{what}: {} in the median", at(0.5));
    }
}

#[test]
fn bounds_hold_for_random_networks() {
    let cpu = Cpu::with_threads(1).unwrap();
    let mut ratios = Ratios::default();
    for seed in 0..2000u64 {
        let gain = 0.1 + 1.2 * (seed % 17) as f64 / 17.0;
        let network = Map::<f64>::tanh(1 + (seed % 6) as usize, gain, seed);
        ratios.case("tanh", &network, &cpu, seed);
    }
    ratios.check("tanh networks");
}

#[test]
fn bounds_hold_for_cells_and_maps() {
    let cpu = Cpu::with_threads(1).unwrap();
    let mut ratios = Ratios::default();
    for seed in 0..400u64 {
        ratios.case("gru", &Gru::<f64>::random(2, 1 + (seed % 5) as usize, seed), &cpu, seed);
        let lstm = DiagonalLstm::<f64>::random(2, 3, seed);
        ratios.case("diagonal lstm", &lstm, &cpu, seed);
        let a = 0.3 + 0.65 * (seed % 13) as f64 / 13.0;
        for (kind, params) in [
            (Kind::Cubic, vec![a]),
            (Kind::Workspace, vec![a, 0.2 - a]),
            (Kind::Rotation, vec![0.7 * a, 0.7 - 0.5 * a]),
            (Kind::Scales, vec![]),
            (Kind::Pairs, vec![a, 0.3]),
            (Kind::Cycles([3, 5, 2, 4, 0, 1]), vec![a, 0.3]),
        ] {
            ratios.case(&format!("{kind:?}"), &Map::<f64>::new(kind, &params), &cpu, seed);
        }
    }
    ratios.check("cells and maps");
}

#[test]
fn bounds_hold_in_single_precision() {
    let cpu = Cpu::with_threads(1).unwrap();
    let mut ratios = Ratios::default();
    for seed in 0..1000u64 {
        let gain = 0.1 + 1.1 * (seed % 17) as f64 / 17.0;
        let network = Map::<f32>::tanh(1 + (seed % 6) as usize, gain, seed);
        ratios.case("tanh", &network, &cpu, seed);
    }
    ratios.check("tanh networks, f32");
}

/// The loop's own solution has an error too, against a loop in another arithmetic: the lanes' functions are not the standard
/// library's.
#[test]
fn rounding_is_in_the_bound() {
    let gru = Gru::<f64>::random(2, 4, 1);
    let mut noise = Noise::new(2);
    let inputs = Array2::from_shape_vec((3000, 2), noise.vec(6000, 1.0)).unwrap();
    let x0 = Array1::zeros(4);
    let problem = Problem::new(&gru, x0.view(), inputs.view()).unwrap();
    let solution = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    let bound = diagnostics::error_bound(&problem, &solution, &Cpu::new()).unwrap();
    let error = difference(solution.states(), plain_loop(&problem).view());
    assert!(error > 0.0 && error <= bound.total(), "{error:e} and {bound:?}");
    assert!(bound.total() < 1e-13, "{bound:?}");
}

/// Of chaos there is no telling, and the bound says so.
#[test]
fn chaos_has_no_bound() {
    let map = Map::<f64>::new(Kind::Logistic, &[4.0]);
    let x0 = Array1::from_elem(1, 0.3);
    for (steps, told) in [(20, true), (500, false), (20_000, false)] {
        let problem = Problem::autonomous(&map, x0.view(), steps).unwrap();
        let solution = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
        let total = diagnostics::error_bound(&problem, &solution, &Cpu::new()).unwrap().total();
        assert_eq!(total < 1e-6, told, "{steps} steps: {total:e}");
        assert!(told || total > 1.0, "{steps} steps: {total:e}");
    }
    // Beyond the range of the numbers.
    let map = Map::<f32>::new(Kind::Logistic, &[4.0]);
    let x0 = Array1::from_elem(1, 0.3);
    let problem = Problem::autonomous(&map, x0.view(), 1000).unwrap();
    let solution = Solver::sequential().solve(&problem, &Cpu::new()).unwrap();
    let bound = diagnostics::error_bound(&problem, &solution, &Cpu::new()).unwrap();
    assert_eq!(bound.total(), f64::INFINITY);
}

#[test]
fn the_report_has_it_where_it_was_asked_for() {
    let map = Map::<f64>::tanh(3, 0.9, 1);
    let x0 = Array1::zeros(3);
    let inputs = Array2::from_elem((2000, 1), 0.3);
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    let cpu = Cpu::new();
    for solver in methods() {
        let solution = solver.clone().solve(&problem, &cpu).unwrap();
        assert_eq!(solution.report().error_bound, None);
        assert!(!solution.report().to_string().contains("error"));
        let solution = solver.error_bound(true).solve(&problem, &cpu).unwrap();
        let bound = solution.report().error_bound.unwrap();
        let by_function = diagnostics::error_bound(&problem, &solution, &cpu).unwrap().total();
        assert_eq!(bound, by_function);
        assert!(solution.report().to_string().contains("\nerror     "), "{}", solution.report());
    }
}

#[test]
fn bits_of_the_bound_do_not_depend_on_threads() {
    let map = Map::<f64>::tanh(5, 1.0, 1);
    let mut noise = Noise::new(1);
    let x0 = Array1::from(noise.vec::<f64>(5, 1.0));
    let inputs = Array2::from_shape_vec((5000, 1), noise.vec(5000, 1.0)).unwrap();
    let problem = Problem::new(&map, x0.view(), inputs.view()).unwrap();
    let solution = Solver::jacobi().tolerance(0.0, 1e-8).solve(&problem, &Cpu::new()).unwrap();
    let bound = |threads| {
        let cpu = Cpu::with_threads(threads).unwrap();
        diagnostics::error_bound(&problem, &solution, &cpu).unwrap()
    };
    assert_eq!(bound(1), bound(3));
}
