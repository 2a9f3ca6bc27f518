//! Van der Pol's oscillator with μ = 1000, stiff, within a tolerance on the global error.
//!
//! ```text
//! cargo run --release --example stiff_vdp
//! cargo run --release --example stiff_vdp -- --tolerance 1e-8 --plot relaxation.svg
//! ```

#[path = "../common/mod.rs"]
mod common;

use clap::Parser;
use common::cli::{Misuse, Usual, main_with, say};
use common::machine::Machine;
use common::svg::{self, Curve, Panel};
use deer_solver::ode::{self, Ode, Scheme};
use deer_solver::scalar::{Constant, Param, Scalar};
use deer_solver::{Backend, Solver};
use ndarray::array;
use std::process::ExitCode;
use std::time::Instant;

/// Solves Van der Pol's equation with μ = 1000 up to t = 2000 by Radau IIA.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Relative tolerance, and absolute [default: 1e-6, with --quick 1e-4]
    #[arg(long, value_parser = tolerance, allow_negative_numbers = true)]
    tolerance: Option<f64>,
    #[command(flatten)]
    usual: Usual,
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if (1e-11..=0.1).contains(&x) => Ok(x),
        _ => Err("expected a number from 1e-11 to 0.1".to_owned()),
    }
}

const MU: f64 = 1000.0;
const END: f64 = 2000.0;
/// At the end, from the *Test Set for Initial Value Problem Solvers* (Mazzia & Magherini, Bari 2008), problem VDPOL, the
/// second in this equation's time.
const REFERENCE: [f64; 2] = [1.706_167_732_170_483, -8.928_097_010_247_975e-4];

struct VanDerPol;

impl Ode for VanDerPol {
    type Real = f64;
    fn state_dim(&self) -> usize {
        2
    }
    #[inline(always)]
    fn rhs<S: Scalar<Real = f64>>(&self, _: &[Param<S>], _: S, y: &[S], _: &[S], dy: &mut [S]) {
        dy[0] = y[1];
        dy[1] = (Constant(1.0) - y[0] * y[0]) * y[1] * MU - y[0];
    }
}

fn main() -> ExitCode {
    main_with(|options: Options| run(&options))
}

fn run(options: &Options) -> Result<(), Misuse> {
    let cpu = options.usual.cpu()?;
    let tolerance = options.tolerance.unwrap_or(if options.usual.quick { 1e-4 } else { 1e-6 });
    say(format!("machine   {}", Machine::this()));
    say(format!("solver    deer-solver {}, {}", env!("CARGO_PKG_VERSION"), cpu.describe()));
    say(format!(
        "equation  ÿ = {MU} (1 − y²) ẏ − y from 2, 0 up to t = {END}, tolerance {tolerance:e}\n"
    ));
    let (y0, times) = (array![2.0, 0.0], array![0.0, END]);
    let solvers =
        [("Solver::sequential()", Solver::sequential()), ("Solver::auto()", Solver::auto())];
    let mut last = None;
    for (name, solver) in solvers {
        let settings = ode::Options::default()
            .scheme(Scheme::RadauIIA5)
            .tolerance(tolerance, tolerance)
            .solver(solver);
        let started = Instant::now();
        let solution = ode::solve_ivp(&VanDerPol, y0.view(), times.view(), &settings, &cpu)?;
        let elapsed = started.elapsed().as_secs_f64() * 1e3;
        let end = solution.states().row(1).to_vec();
        let error = (0..2).fold(0.0f64, |most, i| {
            most.max((end[i] - REFERENCE[i]).abs() / (tolerance + tolerance * REFERENCE[i].abs()))
        });
        say(format!(
            "{name:<22}{elapsed:>9.1} ms   {} points, {} grids, error {error:.1e} of the tolerance, {:?}",
            solution.grid().len(),
            solution.grids(),
            solution.termination()
        ));
        if !solution.converged() || error.is_nan() || error > 1.0 {
            return Err(Misuse::new("the end is not that of the reference"));
        }
        last = Some(solution);
    }
    if let (Some(path), Some(solution)) = (&options.usual.plot, last) {
        let mut state = Curve::default();
        let mut steps = Curve::default();
        let grid = solution.grid();
        for (from, to) in grid.iter().zip(grid.iter().skip(1)) {
            state.points.push((*from, solution.at(*from)?[0]));
            steps.points.push((*from, to - from));
        }
        let panel = |title: &str, y, log, curve| Panel {
            title: title.to_owned(),
            x: "t",
            y,
            log,
            curves: vec![curve],
            ..Panel::default()
        };
        let state = panel("Van der Pol's oscillator, μ = 1000", "y", false, state);
        let steps = panel("steps", "Δt", true, steps);
        svg::draw(path, &[state, steps])?;
        say(format!("drawn     {}", path.display()));
    }
    Ok(())
}
