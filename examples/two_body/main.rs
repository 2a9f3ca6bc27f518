//! Two bodies in the plane, by their equations of motion and by their energy alone; and a network as the energy.
//!
//! ```text
//! cargo run --release --example two_body
//! cargo run --release --example two_body -- --points 1e6 --plot orbits.svg
//! ```

#[path = "../common/mod.rs"]
mod common;
mod energy_net;
mod motion;

use clap::Parser;
use common::cli::{Misuse, Usual, main_with, positive, say};
use common::machine::Machine;
use common::plain::plain_loop;
use common::race::{Runner, race, table, timed, timed_loop};
use common::svg::{self, Curve, Panel};
use deer_solver::ode::{Discretized, Hamiltonian, Ode, Scheme};
use deer_solver::{Backend, Cpu, Solution, Solver};
use energy_net::EnergyNet;
use motion::{N, TwoBody};
use ndarray::{Array1, Array2, ArrayView1, Axis};
use std::process::ExitCode;
use std::time::Duration;

/// Follows two bodies around each other, by the solver and step by step.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Times of the grid [default: 100000, with --quick 2000]
    #[arg(long, value_parser = positive, allow_negative_numbers = true)]
    points: Option<usize>,
    /// Time to follow them for
    #[arg(long, default_value = "20", value_parser = duration, allow_negative_numbers = true)]
    time: f64,
    /// Times of the network's grid [default: 2000, with --quick 300]
    #[arg(long, value_parser = positive, allow_negative_numbers = true)]
    net_points: Option<usize>,
    #[command(flatten)]
    usual: Usual,
}

fn duration(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x > 0.0 && x <= 1e4 => Ok(x),
        _ => Err("expected a number above 0, at most 10000".to_owned()),
    }
}

/// An eccentric orbit.
const START: [f64; N] = [0.8, 0.1, -0.8, -0.1, 0.1, 0.4, -0.1, -0.4];

fn main() -> ExitCode {
    main_with(|options: Options| run(&options))
}

fn run(options: &Options) -> Result<(), Misuse> {
    let cpu = options.usual.cpu()?;
    let quick = options.usual.quick;
    say(format!("machine   {}", Machine::this()));
    say(format!("solver    deer-solver {}, {}", env!("CARGO_PKG_VERSION"), cpu.describe()));
    let points = options.points.unwrap_or(if quick { 2000 } else { 100_000 }).max(2);
    let times = Array1::linspace(0.0, options.time, points);
    let (dt, steps) = (times[1] - times[0], points - 1);
    let by_loop = || TwoBody::step_by_step(START, dt, steps);

    say(format!("\ntwo bodies, RK4, {points} times up to {}", options.time));
    let solution = compare(&TwoBody, &times, &cpu, quick, Some(&by_loop))?;
    let motion = Hamiltonian::new(TwoBody);
    let energies: Vec<f64> = solution
        .trajectory(0)
        .rows()
        .into_iter()
        .map(|state| motion.energy(&state.to_vec()) - motion.energy(&START))
        .collect();
    let lost = energies.iter().fold(0.0f64, |most, error| most.max(error.abs()));
    say(format!("energy     conserved to {lost:.1e} of {:.3}", motion.energy(&START)));

    say("\nthe same from the energy alone");
    let derived = compare(&motion, &times, &cpu, quick, Some(&by_loop))?;
    let apart = largest(derived.states().iter().zip(&solution.states()).map(|(a, b)| a - b));
    say(format!("deviation  {apart:.1e} from the right-hand side by hand"));

    let net_points = options.net_points.unwrap_or(if quick { 300 } else { 2000 }).max(2);
    let net_times = Array1::linspace(0.0, options.time, net_points);
    say(format!("\na network 8–64×6–1 as the energy, random weights, {net_points} times"));
    compare(&Hamiltonian::new(EnergyNet::random(0)), &net_times, &cpu, quick, None)?;

    if let Some(path) = &options.usual.plot {
        svg::draw(path, &panels(&times, &solution, &energies))?;
        say(format!("drawn      {}", path.display()));
    }
    Ok(())
}

/// A loop over time, `[steps][N]`.
type Loop<'l> = &'l dyn Fn() -> Vec<[f64; N]>;

/// Solves `ode` on `times`; timed against the loop, and compared with it. Without a loop by hand, against one over the
/// scheme's step on single numbers.
fn compare<O: Ode<Real = f64>>(
    ode: &O,
    times: &Array1<f64>,
    cpu: &Cpu,
    quick: bool,
    by_hand: Option<Loop<'_>>,
) -> Result<Solution<f64>, Misuse> {
    let steps = times.len() - 1;
    let discretized = Discretized::new(ode, times, Scheme::Rk4);
    let none = Array2::zeros((0, 0));
    let y0 = ArrayView1::from(&START);
    let problem = discretized.problem(y0, none.view())?;
    let inputs = discretized.inputs(none.view())?.insert_axis(Axis(0));
    let plain = || plain_loop(&discretized, y0.insert_axis(Axis(0)), inputs.view());
    let solve = |solver: Solver| timed(steps, || Ok(solver.solve(&problem, cpu)?));
    let mut runners: Vec<Runner<'_>> = vec![
        match by_hand {
            Some(by_hand) => Box::new(move || Ok(timed_loop(steps, "loop", by_hand))),
            None => Box::new(|| Ok(timed_loop(steps, "loop", plain))),
        },
        Box::new(|| solve(Solver::sequential())),
        Box::new(|| solve(Solver::auto())),
    ];
    let turns = if quick { 1 } else { 5 };
    let (outcomes, _) = race(&mut runners, turns, Duration::from_secs(20))?;
    drop(runners);
    let first = if by_hand.is_some() { "RK4 by hand" } else { "plain loop" };
    say(table(&[first, "Solver::sequential()", "Solver::auto()"], &outcomes));

    let solution = Solver::auto().solve(&problem, cpu)?;
    let expected: Vec<f64> = match by_hand {
        Some(by_hand) => by_hand().into_flattened(),
        None => plain().into_iter().collect(),
    };
    let apart = largest(solution.states().iter().zip(&expected).map(|(a, b)| a - b));
    say(format!("\ndeviation  {apart:.1e} at most from the loop"));
    say(solution.report());
    if !(solution.converged() && apart < 1e-6) {
        return Err(Misuse::new("the solution is not that of the loop"));
    }
    Ok(solution)
}

/// The largest magnitude; NaN counts as infinite.
fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |most, x| if x.is_nan() { f64::INFINITY } else { most.max(x.abs()) })
}

/// The orbits, and the error of the energy against time.
fn panels(times: &Array1<f64>, solution: &Solution<f64>, energies: &[f64]) -> [Panel; 2] {
    let states = solution.trajectory(0);
    let body = |name, i: usize| Curve {
        name,
        points: states.rows().into_iter().map(|y| (y[i], y[i + 1])).collect(),
    };
    let orbits = Panel {
        title: "two bodies".to_owned(),
        x: "x",
        y: "y",
        square: true,
        curves: vec![body("", 0), body("", 2)],
        ..Panel::default()
    };
    let points = times.iter().skip(1).zip(energies);
    let energy = Panel {
        title: "error of the energy".to_owned(),
        x: "t",
        y: "|H − H₀|",
        log: true,
        curves: vec![Curve { name: "", points: points.map(|(&t, e)| (t, e.abs())).collect() }],
        ..Panel::default()
    };
    [orbits, energy]
}
