//! A guitar pedal's diode clipper over a recorded voice: a stiff equation, solved over all samples at once.
//!
//! ```text
//! cargo run --release --example diode_clipper
//! cargo run --release --example diode_clipper -- --input voice.wav --drive 20 --output clipped.wav --plot clipped.svg
//! ```

mod circuit;
#[path = "../common/mod.rs"]
mod common;
mod sound;

use circuit::{Clipper, Unrolled};
use clap::Parser;
use common::cli::{Misuse, Usual, count, main_with, say};
use common::machine::Machine;
use common::race::{Runner, race, table, timed, timed_loop};
use common::svg::{self, Curve, Panel};
use deer_solver::{Backend, Cpu, Implicit, Problem, Solver};
use ndarray::{Array1, ArrayView2};
use sound::Sound;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Times of the circuit for each sample, against aliasing.
const OVERSAMPLING: usize = 8;
/// Volt, 230 dB below one.
const SILENCE: f64 = 3e-12;

/// Sends a sound through a diode clipper, by the trapezoidal rule at eight times its rate.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The sound, of several channels the first [default: examples/data/front_center.wav]
    #[arg(long, value_name = "FILE.wav")]
    input: Option<PathBuf>,
    /// Seconds; a shorter sound is repeated [default: 10, with --quick 1]
    #[arg(long, value_parser = positive, allow_negative_numbers = true)]
    seconds: Option<f64>,
    /// Volt at the circuit's input where the sound is loudest
    #[arg(long, default_value = "10", value_parser = positive, allow_negative_numbers = true)]
    drive: f64,
    /// Iterations of a step
    #[arg(long, default_value = "4", value_parser = count, allow_negative_numbers = true)]
    iterations: usize,
    /// Write the clipped sound
    #[arg(long, value_name = "FILE.wav")]
    output: Option<PathBuf>,
    #[command(flatten)]
    usual: Usual,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if x > 0.0 && x <= 300.0 => Ok(x),
        _ => Err("expected a number above 0, at most 300".to_owned()),
    }
}

fn main() -> ExitCode {
    main_with(|options: Options| run(&options))
}

fn run(options: &Options) -> Result<(), Misuse> {
    let cpu = options.usual.cpu()?;
    let sound = repeated(options)?;
    let rate = f64::from(sound.rate) * OVERSAMPLING as f64;
    let u = sound::oversample(&sound.samples, OVERSAMPLING);
    say(format!("machine   {}", Machine::this()));
    say(format!("solver    deer-solver {}, {}", env!("CARGO_PKG_VERSION"), cpu.describe()));
    say(format!(
        "sound     {:.2} s of {} Hz × {OVERSAMPLING}, {} steps, {} V at most\n",
        sound.samples.len() as f64 / f64::from(sound.rate),
        sound.rate,
        u.len() - 1,
        options.drive
    ));
    let v = clipped(options, &cpu, &u, rate)?;

    let out = Sound { rate: sound.rate, samples: normalized(&sound::decimate(&v, OVERSAMPLING)) };
    if let Some(path) = &options.output {
        sound::write(path, &out)?;
        say(format!("written   {}", path.display()));
    }
    if let Some(path) = &options.usual.plot {
        svg::draw(path, &panels(&u, &v, rate))?;
        say(format!("drawn     {}", path.display()));
    }
    Ok(())
}

/// The sound, for as long as asked, with a largest sample of the voltage asked.
fn repeated(options: &Options) -> Result<Sound, Misuse> {
    let given = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/front_center.wav");
    let Sound { rate, samples } = match &options.input {
        Some(path) => sound::read(path)?,
        None => sound::read(given.as_ref())?,
    };
    let seconds = options.seconds.unwrap_or(if options.usual.quick { 1.0 } else { 10.0 });
    let count = (seconds * f64::from(rate)).ceil() as usize;
    let samples = normalized(&samples);
    let samples = samples.iter().map(|x| x * options.drive).cycle().take(count.max(2)).collect();
    Ok(Sound { rate, samples })
}

/// With a largest sample of 1.
fn normalized(samples: &[f64]) -> Vec<f64> {
    let largest = samples.iter().fold(f64::MIN_POSITIVE, |largest, x| largest.max(x.abs()));
    samples.iter().map(|x| x / largest).collect()
}

/// The voltage over the diodes at the times of `u`, by the solver; timed against the loop, and compared with it.
fn clipped(options: &Options, cpu: &Cpu, u: &[f64], rate: f64) -> Result<Vec<f64>, Misuse> {
    let clipper = Clipper::new(1.0 / rate);
    let implicit = Implicit::new(clipper);
    let unrolled = Unrolled { clipper, iterations: options.iterations };
    let inputs = ArrayView2::from_shape((u.len() - 1, 1), &u[1..])?;
    let x0 = Array1::from_iter(clipper.discharged(u[0]));
    let until_solved = Problem::new(&implicit, x0.view(), inputs)?;
    let problem = Problem::new(&unrolled, x0.view(), inputs)?;
    let steps = u.len() - 1;
    // A silent sound decays for ever: from here on that is no concern of anybody's.
    let auto = Solver::auto().tolerance(SILENCE, 1e-13);
    let mut runners: Vec<Runner<'_>> = vec![
        Box::new(|| Ok(timed_loop(steps, "loop", || clipper.sample_by_sample(u)))),
        Box::new(|| timed(steps, || Ok(auto.solve(&until_solved, cpu)?))),
        Box::new(|| timed(steps, || Ok(Solver::sequential().solve(&problem, cpu)?))),
        Box::new(|| timed(steps, || Ok(auto.solve(&problem, cpu)?))),
    ];
    let turns = if options.usual.quick { 1 } else { 5 };
    let (outcomes, _) = race(&mut runners, turns, Duration::from_secs(30))?;
    drop(runners);
    let names = [
        "sample by sample",
        "Implicit, auto",
        "fixed iterations, sequential",
        "fixed iterations, auto",
    ];
    say(table(&names, &outcomes));

    let solution = auto.solve(&problem, cpu)?;
    let states = solution.trajectory(0).column(0).to_owned();
    let by_loop = clipper.sample_by_sample(u);
    let apart = states.iter().zip(&by_loop).fold(0.0f64, |apart, (a, b)| apart.max((a - b).abs()));
    say(format!("\ndeviation {apart:.1e} V at most from the loop"));
    say(format!("{}\n", solution.report()));
    if !(solution.converged() && apart < 1e-10) {
        return Err(Misuse::new(
            "the solution is not that of the loop: choose more --iterations, or a smaller --drive",
        ));
    }
    let mut v = vec![0.0];
    v.extend(states);
    Ok(v)
}

/// 12 ms around the loudest sample, and the transfer curve over it.
fn panels(u: &[f64], v: &[f64], rate: f64) -> [Panel; 2] {
    let loudest = (0..u.len()).fold(0, |best, k| if u[k].abs() > u[best].abs() { k } else { best });
    let half = (0.006 * rate) as usize;
    let (first, last) = (loudest.saturating_sub(half), (loudest + half).min(u.len()));
    let curve = |name, x: &[f64]| Curve {
        name,
        points: (first..last).map(|k| (1e3 * (k - first) as f64 / rate, x[k])).collect(),
    };
    let wave = Panel {
        title: "a voice through a diode clipper".to_owned(),
        x: "ms",
        y: "volt",
        curves: vec![curve("in", u), curve("over the diodes", v)],
        ..Panel::default()
    };
    let transfer = Panel {
        title: "out against in".to_owned(),
        x: "volt in",
        y: "volt over the diodes",
        curves: vec![Curve { name: "", points: (first..last).map(|k| (u[k], v[k])).collect() }],
        ..Panel::default()
    };
    [wave, transfer]
}
