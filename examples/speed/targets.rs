//! What the library promises of its speed, each beside what this machine gives. Ratios are of medians of
//! runs in turn.

use crate::common::cli::Misuse;
use crate::common::data;
use crate::common::figure::{self, Bound, Target, length};
use crate::common::race::{Outcome, Runner, race};
use crate::job::Job;
use crate::memory;
use crate::options::{Method, Options};
use crate::table::PLAIN_STEPS;
use deer_solver::cells::{Elman, Gru};
use deer_solver::scalar::{Constant, Param, Scalar};
use deer_solver::{Cpu, Dynamics, Solver};
use indicatif::ProgressBar;
use ndarray::{Array1, Array3, Axis};
use std::time::Duration;

struct Measured {
    targets: Vec<Target>,
    bar: ProgressBar,
    quick: bool,
}

impl Measured {
    fn add(&mut self, what: String, bound: Bound, measured: Option<f64>, unit: &'static str) {
        self.bar.set_message(what.clone());
        self.bar.tick();
        self.targets.push(Target::new(what, bound, measured, unit));
    }

    /// Medians of methods on threads, in turn.
    fn race<D: Dynamics>(
        &self,
        job: &Job<'_, D>,
        contestants: &[(Method, &Cpu)],
    ) -> Result<Vec<Outcome>, Misuse> {
        let mut runners: Vec<_> =
            contestants.iter().map(|&(method, cpu)| job.runner(method, cpu, PLAIN_STEPS)).collect();
        self.medians(&mut runners)
    }

    fn medians(&self, runners: &mut [Runner<'_>]) -> Result<Vec<Outcome>, Misuse> {
        let (turns, share) = if self.quick { (1, 1.0) } else { (7, 10.0) };
        Ok(race(runners, turns, Duration::from_secs_f64(share))?.0)
    }
}

/// How many times as fast the second is.
fn ratio(slow: &Outcome, fast: &Outcome) -> Option<f64> {
    Some(slow.ns_per_step() / fast.ns_per_step())
}

/// Measures all of them, or with `--quick` those that take a moment.
pub(crate) fn measure(options: &Options, cores: usize) -> Result<Vec<Target>, Misuse> {
    let one = Cpu::with_threads(1)?;
    let two = Cpu::with_threads(2)?;
    let bar = ProgressBar::new_spinner();
    let mut measured = Measured { targets: Vec::new(), bar, quick: options.quick };
    sequential(&mut measured, &one)?;
    auto(&mut measured, &one, &two, cores)?;
    newton(&mut measured, &two, cores)?;
    chaotic(&mut measured, &one)?;
    gradient(&mut measured, &one)?;
    let steps = if options.quick { 1_000_000 } else { 10_000_000 };
    let what = format!("peak memory beyond inputs and outputs, n = 2, T = {}", length(steps));
    measured.add(what, Bound::AtMost(64.0), memory::beyond_arrays(steps), " MB");
    measured.bar.finish_and_clear();
    Ok(measured.targets)
}

fn gru(n: usize) -> Gru<f32> {
    Gru::random(2, n, 0)
}

fn sequential(measured: &mut Measured, one: &Cpu) -> Result<(), Misuse> {
    let inputs = data::normal::<f32>((1, 100_000, 2), 1);
    for (n, most) in [(1, 45.0), (2, 55.0), (4, 100.0), (8, 150.0), (16, 200.0), (32, 350.0)] {
        let outcomes = measured.race(&Job::new(&gru(n), &inputs), &[(Method::Sequential, one)])?;
        let what = format!("`sequential`, T = 1e5, n = {n}, a step");
        measured.add(what, Bound::AtMost(most), Some(outcomes[0].ns_per_step()), " ns");
    }
    Ok(())
}

fn auto(measured: &mut Measured, one: &Cpu, two: &Cpu, cores: usize) -> Result<(), Misuse> {
    let steps = if measured.quick { 100_000 } else { 1_000_000 };
    let sizes: &[usize] = if measured.quick { &[1, 2, 8] } else { &[1, 2, 4, 8, 16, 32] };
    let inputs = data::normal::<f32>((1, steps, 2), 1);
    let at = length(steps);
    for &n in sizes {
        let least = if n <= 8 { 6.0 } else { 3.0 };
        let gru = gru(n);
        let outcomes = measured.race(
            &Job::new(&gru, &inputs),
            &[
                (Method::Plain, one),
                (Method::Sequential, one),
                (Method::Auto, one),
                (Method::Auto, two),
            ],
        )?;
        let [plain, sequential, auto, on_two] = &outcomes[..] else { continue };
        let against =
            |baseline: &str| format!("`auto` against {baseline}, T = {at}, n = {n}, 1 thread");
        measured.add(against("`sequential`"), Bound::AtLeast(least), ratio(sequential, auto), "×");
        measured.add(against("the plain loop"), Bound::AtLeast(12.0), ratio(plain, auto), "×");
        let two_threads = if cores >= 2 { ratio(auto, on_two) } else { None };
        let what = format!("`auto`, 2 threads against 1, T = {at}, n = {n}");
        measured.add(what, Bound::AtLeast(1.8), two_threads, "×");
    }
    let inputs = data::normal::<f32>((1, 10_000, 2), 1);
    for n in [1, 2, 4, 8] {
        let gru = gru(n);
        let contestants = [(Method::Sequential, one), (Method::Auto, one)];
        let outcomes = measured.race(&Job::new(&gru, &inputs), &contestants)?;
        let what = format!("`auto` against `sequential`, T = 1e4, n = {n}, 1 thread");
        measured.add(what, Bound::AtLeast(4.0), ratio(&outcomes[0], &outcomes[1]), "×");
    }
    let inputs = data::normal::<f32>((16, 10_000, 2), 1);
    let outcomes =
        measured.race(&Job::new(&gru(2), &inputs), &[(Method::Plain, one), (Method::Auto, two)])?;
    let what = "`auto`, 2 threads, against 16 plain loops, B = 16, T = 1e4, n = 2".to_owned();
    measured.add(what, Bound::AtLeast(10.0), ratio(&outcomes[0], &outcomes[1]), "×");
    Ok(())
}

fn newton(measured: &mut Measured, two: &Cpu, cores: usize) -> Result<(), Misuse> {
    let inputs = data::normal::<f32>((1, 100_000, 2), 1);
    for n in [1, 2, 4] {
        let gru = gru(n);
        let outcomes = measured.race(
            &Job::new(&gru, &inputs),
            &[(Method::Sequential, two), (Method::Deer, two), (Method::QuasiDeer, two)],
        )?;
        for (name, outcome, promised) in
            [("deer", &outcomes[1], n <= 2), ("quasi_deer", &outcomes[2], n <= 4)]
        {
            if promised {
                let what = format!("`{name}` against `sequential`, T = 1e5, n = {n}, 2 threads");
                let measurable = if cores >= 2 { ratio(&outcomes[0], outcome) } else { None };
                measured.add(what, Bound::AtLeast(1.0), measurable, "×");
            }
        }
    }
    Ok(())
}

/// Gradients of `½ Σ x²`, which has the cotangent `x`.
fn gradient(measured: &mut Measured, one: &Cpu) -> Result<(), Misuse> {
    let steps = if measured.quick { 100_000 } else { 1_000_000 };
    let sizes: &[usize] = if measured.quick { &[2] } else { &[1, 2, 4, 8, 16, 32] };
    let inputs = data::normal::<f32>((1, steps, 2), 1);
    for &n in sizes {
        let gru = gru(n);
        let job = Job::new(&gru, &inputs);
        let mut runners = vec![job.solve(Solver::auto(), one), job.gradient(one)?];
        if n <= 8 {
            runners.push(job.backpropagation(one)?);
        }
        let outcomes = measured.medians(&mut runners)?;
        let [solve, reverse, plain @ ..] = &outcomes[..] else { continue };
        let at = length(steps);
        let what = format!("time of `vjp` to `auto`, T = {at}, n = {n}, 1 thread");
        measured.add(what, Bound::AtMost(4.0), ratio(reverse, solve), "×");
        if let [plain] = plain {
            let what = format!("`vjp` against a plain loop backwards, T = {at}, n = {n}, 1 thread");
            measured.add(what, Bound::AtLeast(5.0), ratio(plain, reverse), "×");
        }
    }
    Ok(())
}

/// The logistic map at r = 4: no two trajectories ever meet.
struct Logistic;

impl Dynamics for Logistic {
    type Real = f32;
    fn state_dim(&self) -> usize {
        1
    }
    #[inline(always)]
    fn step<S: Scalar<Real = f32>>(&self, _: &[Param<S>], x: &[S], _: &[S], next: &mut [S]) {
        next[0] = x[0] * (Constant(1.0) - x[0]) * 4.0;
    }
}

/// A tanh network whose weights have the standard deviation 2.5/√n.
fn wild(n: usize) -> Result<Elman<f32>, Misuse> {
    let gain = 2.5 / (n as f32).sqrt();
    let weights = data::normal::<f32>((1, n, n), 2).remove_axis(Axis(0)) * gain;
    let input = data::normal::<f32>((1, n, 1), 3).remove_axis(Axis(0)) * 0.1;
    Ok(Elman::new(input.view(), weights.view(), Array1::zeros(n).view())?)
}

fn chaotic(measured: &mut Measured, one: &Cpu) -> Result<(), Misuse> {
    let contestants = [(Method::Sequential, one), (Method::Auto, one)];
    let none = Array3::zeros((1, 100_000, 0));
    let outcomes = measured.race(&Job::new(&Logistic, &none).starting_at(0.3), &contestants)?;
    let what = "time of `auto` to `sequential`, logistic map r = 4, T = 1e5".to_owned();
    measured.add(what, Bound::AtMost(1.15), ratio(&outcomes[1], &outcomes[0]), "×");

    let (network, inputs) = (wild(32)?, data::normal::<f32>((1, 100_000, 1), 1));
    let outcomes = measured.race(&Job::new(&network, &inputs), &contestants)?;
    let what = "time of `auto` to `sequential`, tanh network gain 2.5, n = 32, T = 1e5".to_owned();
    measured.add(what, Bound::AtMost(1.15), ratio(&outcomes[1], &outcomes[0]), "×");
    Ok(())
}

/// As a Markdown table.
pub(crate) fn markdown(targets: &[Target]) -> String {
    let title = "\n**Targets** (GRU, float32, B = 1 where not said otherwise)\n\n";
    format!("{title}{}", figure::targets(targets))
}
