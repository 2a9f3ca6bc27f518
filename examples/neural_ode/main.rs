//! The weights of a network in a differential equation, fitted to a trajectory by gradients through the solution.
//!
//! ```text
//! cargo run --release --example neural_ode
//! cargo run --release --example neural_ode -- --steps 1000 --plot neural_ode.svg
//! ```

#[path = "../common/mod.rs"]
mod common;
mod network;

use clap::Parser;
use common::adam::Adam;
use common::cli::{Misuse, Usual, count, main_with, positive, say};
use common::data::normal;
use common::machine::Machine;
use common::race::{Runner, race, table, timed, timed_loop};
use common::svg::{self, Curve, Panel};
use deer_solver::ode::{Discretized, Scheme};
use deer_solver::{Backend, Cpu, Solution, Solver};
use ndarray::{Array1, Array2, Array3, ArrayView1};
use network::{N, Network, reference};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Fits a network to the trajectory that another one makes.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Times of the grid [default: 10000, with --quick 2000]
    #[arg(long, value_parser = positive, allow_negative_numbers = true)]
    points: Option<usize>,
    /// Steps of Adam [default: 400, with --quick 40]
    #[arg(long, value_parser = count, allow_negative_numbers = true)]
    steps: Option<usize>,
    /// Standard deviation by which the weights are off at the start
    #[arg(long, default_value = "1", value_parser = number)]
    disturbance: f64,
    /// Rate of learning
    #[arg(long, default_value = "0.02", value_parser = number)]
    rate: f64,
    #[command(flatten)]
    usual: Usual,
}

fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if (0.0..=10.0).contains(&x) => Ok(x),
        _ => Err("expected a number from 0 to 10".to_owned()),
    }
}

fn main() -> ExitCode {
    main_with(|options: Options| run(&options))
}

fn run(options: &Options) -> Result<(), Misuse> {
    let cpu = options.usual.cpu()?;
    let quick = options.usual.quick;
    let points = options.points.unwrap_or(if quick { 2000 } else { 10_000 }).max(2);
    say(format!("machine   {}", Machine::this()));
    say(format!("solver    deer-solver {}, {}", env!("CARGO_PKG_VERSION"), cpu.describe()));
    say(format!(
        "equation  ẏ = −6 tanh(A₁ relu(A₀ y)) − 10 y³ + 30 sin 6t + 3, {points} points, RK4\n"
    ));
    let (network, y0) = reference()?;
    let times = Array1::linspace(0.0, 1.0, points);
    let truth = timing(&network, &y0, &times, &cpu, quick)?;

    let steps = options.steps.unwrap_or(if quick { 40 } else { 400 });
    if steps == 0 {
        return Ok(());
    }
    let off = normal::<f64>((1, 1, network.weights.len()), 7);
    let start = network.weights.iter().zip(&off).map(|(w, e)| w + options.disturbance * e);
    let mut learner = Network { weights: start.collect() };
    let fitted = fit(options, &mut learner, &y0, &times, &truth, steps, &cpu)?;
    if let Some(path) = &options.usual.plot {
        svg::draw(path, &panels(&times, &truth, &fitted))?;
        say(format!("drawn     {}", path.display()));
    }
    Ok(())
}

/// The trajectory of `network`; timed against the loop, and compared with it.
fn timing(
    network: &Network,
    y0: &Array1<f64>,
    times: &Array1<f64>,
    cpu: &Cpu,
    quick: bool,
) -> Result<Solution<f64>, Misuse> {
    let steps = times.len() - 1;
    let start: [f64; N] = std::array::from_fn(|i| y0[i]);
    let by_loop = || network.step_by_step(start, times[1], steps);
    let discretized = Discretized::new(network, times, Scheme::Rk4);
    let problem = discretized.problem(y0.view(), Array2::zeros((0, 0)).view())?;
    let mut runners: Vec<Runner<'_>> = vec![
        Box::new(|| Ok(timed_loop(steps, "loop", by_loop))),
        Box::new(|| timed(steps, || Ok(Solver::sequential().solve(&problem, cpu)?))),
        Box::new(|| timed(steps, || Ok(Solver::auto().solve(&problem, cpu)?))),
    ];
    let turns = if quick { 1 } else { 7 };
    let (outcomes, _) = race(&mut runners, turns, Duration::from_secs(20))?;
    drop(runners);
    say(table(&["step by step", "Solver::sequential()", "Solver::auto()"], &outcomes));
    let solution = Solver::auto().solve(&problem, cpu)?;
    let states = solution.trajectory(0);
    let mut apart = 0.0f64;
    for (state, expected) in states.rows().into_iter().zip(by_loop()) {
        apart = state.iter().zip(expected).fold(apart, |apart, (a, b)| apart.max((a - b).abs()));
    }
    say(format!("\ndeviation {apart:.1e} at most from the loop\n{}\n", solution.report()));
    if apart > 1e-10 || apart.is_nan() {
        return Err(Misuse::new("the solution is not that of the loop"));
    }
    Ok(solution)
}

/// What the fit went through.
struct Fit {
    losses: Vec<f64>,
    /// Trajectories `[1, T, n]` of the first and of the last weights.
    before: Array3<f64>,
    after: Array3<f64>,
}

/// Steps of Adam on half the mean square of the distance from `truth`.
fn fit(
    options: &Options,
    learner: &mut Network,
    y0: &Array1<f64>,
    times: &Array1<f64>,
    truth: &Solution<f64>,
    steps: usize,
    cpu: &Cpu,
) -> Result<Fit, Misuse> {
    let mut adam = Adam::new(learner.weights.len(), options.rate);
    let mut losses = Vec::with_capacity(steps);
    let mut first = None;
    let mut last = truth.states().to_owned();
    let started = Instant::now();
    let weight = 1.0 / truth.states().len() as f64;
    for step in 0..steps {
        let discretized = Discretized::new(&*learner, times, Scheme::Rk4);
        let problem = discretized.problem(y0.view(), Array2::zeros((0, 0)).view())?;
        let solution = Solver::auto().solve(&problem, cpu)?;
        let distance = &solution.states() - &truth.states();
        let loss = 0.5 * weight * distance.iter().map(|x| x * x).sum::<f64>();
        let gradient = solution.vjp(&problem, (distance * weight).view(), cpu)?.params;
        last.assign(&solution.states());
        drop(problem);
        first.get_or_insert_with(|| last.clone());
        if step % (steps / 8).max(1) == 0 {
            say(format!("step {step:>5}   loss {loss:.3e}"));
        }
        losses.push(loss);
        adam.update(learner.weights.iter_mut(), &gradient.to_vec());
    }
    let each = started.elapsed().as_secs_f64() * 1e3 / steps as f64;
    let (start, end) = (losses[0], losses[losses.len() - 1]);
    say(format!("step {:>5}   loss {end:.3e}", steps - 1));
    say(format!(
        "fitted    loss {:.0} times smaller after {steps} steps, {each:.1} ms each",
        start / end
    ));
    if end.is_nan() || end >= 0.5 * start {
        return Err(Misuse::new("the loss did not fall: choose a smaller --rate"));
    }
    Ok(Fit { losses, before: first.unwrap_or_default(), after: last })
}

/// Losses against steps; one component of the trajectories.
fn panels(times: &Array1<f64>, truth: &Solution<f64>, fit: &Fit) -> [Panel; 2] {
    let loss = Panel {
        title: "loss".to_owned(),
        x: "steps of Adam",
        y: "half mean square",
        log: true,
        curves: vec![Curve {
            name: "",
            points: fit.losses.iter().enumerate().map(|(k, &loss)| (k as f64, loss)).collect(),
        }],
        ..Panel::default()
    };
    let curve = |name, values: ArrayView1<'_, f64>| Curve {
        name,
        points: times.iter().skip(1).copied().zip(values.to_vec()).collect(),
    };
    let component = |states: &Array3<f64>| states.slice(ndarray::s![0, .., 0]).to_owned();
    let trajectory = Panel {
        title: "first component".to_owned(),
        x: "t",
        y: "y₁",
        curves: vec![
            curve("to be fitted", truth.trajectory(0).column(0)),
            curve("before", component(&fit.before).view()),
            curve("after", component(&fit.after).view()),
        ],
        ..Panel::default()
    };
    [loss, trajectory]
}
