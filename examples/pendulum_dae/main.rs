//! A pendulum as a differential-algebraic equation of index 3, its constraint kept to rounding.
//!
//! ```text
//! cargo run --release --example pendulum_dae
//! cargo run --release --example pendulum_dae -- --points 1e5 --plot pendulum.svg
//! ```

#[path = "../common/mod.rs"]
mod common;
mod pendulum;

use clap::Parser;
use common::cli::{Misuse, Usual, main_with, positive, say};
use common::machine::Machine;
use common::race::{Runner, race, table, timed, timed_loop};
use common::svg::{self, Curve, Panel};
use deer_solver::ode::{ImplicitDiscretized, Scheme};
use deer_solver::{Backend, Cpu, Solution, Solver};
use ndarray::{Array1, Array2, ArrayView1};
use pendulum::Pendulum;
use std::process::ExitCode;
use std::time::Duration;

/// Swings a pendulum by backward Euler, by the solver and step by step.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Times of the grid [default: 1000 and 10000, with --quick 1000]
    #[arg(long, value_parser = positive, allow_negative_numbers = true)]
    points: Option<usize>,
    /// Seconds
    #[arg(long, default_value = "2", value_parser = seconds, allow_negative_numbers = true)]
    seconds: f64,
    #[command(flatten)]
    usual: Usual,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x > 0.0 && x <= 1e4 => Ok(x),
        _ => Err("expected a number above 0, at most 10000".to_owned()),
    }
}

fn main() -> ExitCode {
    main_with(|options: Options| run(&options))
}

fn run(options: &Options) -> Result<(), Misuse> {
    let cpu = options.usual.cpu()?;
    say(format!("machine   {}", Machine::this()));
    say(format!("solver    deer-solver {}, {}", env!("CARGO_PKG_VERSION"), cpu.describe()));
    let points = match (options.points, options.usual.quick) {
        (Some(points), _) => vec![points.max(2)],
        (None, true) => vec![1000],
        (None, false) => vec![1000, 10_000],
    };
    let mut last = None;
    for points in points {
        let times = Array1::linspace(0.0, options.seconds, points);
        let solution = swing(options, &cpu, &times)?;
        last = Some((times, solution));
    }
    if let (Some(path), Some((times, solution))) = (&options.usual.plot, &last) {
        svg::draw(path, &panels(times, solution))?;
        say(format!("drawn     {}", path.display()));
    }
    Ok(())
}

const PENDULUM: Pendulum = Pendulum { gravity: [10.0] };

/// Solves on `times`; timed against the loop, and compared with it.
fn swing(options: &Options, cpu: &Cpu, times: &Array1<f64>) -> Result<Solution<f64>, Misuse> {
    let steps = times.len() - 1;
    let dt = times[1] - times[0];
    let discretized = ImplicitDiscretized::of_dae(&PENDULUM, times, Scheme::BackwardEuler);
    let y0 = ArrayView1::from(&Pendulum::START);
    let problem = discretized.problem(y0, Array2::zeros((0, 0)).view())?;
    let solve = |solver: Solver| timed(steps, || Ok(solver.solve(&problem, cpu)?));
    let mut runners: Vec<Runner<'_>> = vec![
        Box::new(|| Ok(timed_loop(steps, "loop", || PENDULUM.step_by_step(dt, steps)))),
        Box::new(|| solve(Solver::sequential())),
        Box::new(|| solve(Solver::auto())),
    ];
    let turns = if options.usual.quick { 1 } else { 5 };
    let (outcomes, _) = race(&mut runners, turns, Duration::from_secs(30))?;
    drop(runners);
    say(format!("\n{} points, {} s, step {dt:.2e} s", times.len(), options.seconds));
    let names = ["step by step", "Solver::sequential()", "Solver::auto()"];
    say(table(&names, &outcomes));

    let solution = Solver::auto().solve(&problem, cpu)?;
    let mut apart = 0.0f64;
    for (state, expected) in
        solution.trajectory(0).rows().into_iter().zip(PENDULUM.step_by_step(dt, steps))
    {
        for (a, b) in state.iter().zip(expected) {
            apart = apart.max((a - b).abs() / (1.0 + b.abs()));
        }
    }
    let violation = violations(&solution).into_iter().fold(0.0, f64::max);
    let energies = energies(&solution);
    let lost = energies.first().unwrap_or(&0.0) - energies.last().unwrap_or(&0.0);
    say(format!("\nconstraint |x² + y² − 1| ≤ {violation:.1e}"));
    say(format!("energy     {lost:.2e} lost, which the scheme damps away"));
    say(format!("deviation  {apart:.1e} at most from the loop"));
    say(solution.report());
    if !(solution.converged() && violation < 1e-12) {
        return Err(Misuse::new("the constraint is not kept"));
    }
    Ok(solution)
}

/// Of the constraint, at each time.
fn violations(solution: &Solution<f64>) -> Vec<f64> {
    let states = solution.trajectory(0);
    states.rows().into_iter().map(|y| (y[0] * y[0] + y[1] * y[1] - 1.0).abs()).collect()
}

/// Kinetic and potential energy of a unit of mass, at each time.
fn energies(solution: &Solution<f64>) -> Vec<f64> {
    let energy =
        |y: ArrayView1<'_, f64>| 0.5 * (y[2] * y[2] + y[3] * y[3]) + PENDULUM.gravity[0] * y[1];
    solution.trajectory(0).rows().into_iter().map(energy).collect()
}

/// State and energy against time.
fn panels(times: &Array1<f64>, solution: &Solution<f64>) -> [Panel; 2] {
    let states = solution.trajectory(0);
    let curve = |name, values: Vec<f64>| Curve {
        name,
        points: times.iter().skip(1).copied().zip(values).collect(),
    };
    let motion = Panel {
        title: "a pendulum by backward Euler".to_owned(),
        x: "s",
        y: "metre, metre a second²",
        curves: ["x", "y", "u", "v", "T"]
            .into_iter()
            .enumerate()
            .filter(|(i, _)| [0, 1, 4].contains(i))
            .map(|(i, name)| curve(name, states.column(i).to_vec()))
            .collect(),
        ..Panel::default()
    };
    let energy = Panel {
        title: "energy".to_owned(),
        x: "s",
        y: "joule a kilogram",
        curves: vec![curve("", energies(solution))],
        ..Panel::default()
    };
    [motion, energy]
}
