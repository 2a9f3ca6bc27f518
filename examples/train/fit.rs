//! Training, epoch by epoch.

use crate::common::adam::Adam;
use crate::common::cli::{Misuse, say};
use crate::library::Library;
use crate::model::Model;
use crate::options::Options;
use crate::task::Task;
use deer_solver::Cpu;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// What was reached, and when.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Loss of each step's batch.
    pub(crate) losses: Vec<f64>,
    pub(crate) epochs: Vec<Epoch>,
}

/// The end of an epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch {
    /// Steps of training up to here.
    pub(crate) steps: usize,
    /// Mean loss of the epoch's batches.
    pub(crate) loss: f64,
    /// Share of its sequences that were told rightly, each before it was learnt from.
    pub(crate) training: f64,
    pub(crate) heldout: f64,
    pub(crate) heldout_loss: f64,
}

pub(crate) fn run(options: &Options, task: &Task, cpu: &Cpu) -> Result<History, Misuse> {
    let mut model = Model::new(options);
    let mut adam = Adam::new(model.sizes().iter().sum(), options.rate);
    let library = Library::new(cpu);
    let mut history = History::default();
    let per_epoch = task.train.len().div_ceil(options.batchsize);
    let bar = progress_bar(options.epochs() * per_epoch);
    let started = Instant::now();
    let mut stepping = Duration::ZERO;
    say(format!(
        "{:>6}{:>10}{:>12}{:>10}{:>12}{:>10}",
        "epoch", "loss", "accuracy", "held out", "accuracy", "time"
    ));
    for epoch in 0..options.epochs() {
        let (mut correct, from) = (0, history.losses.len());
        for indices in task.batches(epoch, options.batchsize) {
            let batch = task.train.batch(&indices);
            let begun = Instant::now();
            let step = library.step(&model, &batch)?;
            model.learn(&mut adam, &step.gradient);
            stepping += begun.elapsed();
            correct += step.correct;
            history.losses.push(step.loss);
            bar.inc(1);
            bar.set_message(format!("loss {:.4}", step.loss));
        }
        let losses = &history.losses[from..];
        let heldout = library.score(&model, &task.heldout, options.batchsize)?;
        let end = Epoch {
            steps: history.losses.len(),
            loss: losses.iter().sum::<f64>() / losses.len() as f64,
            training: correct as f64 / task.train.len() as f64,
            heldout: heldout.correct as f64 / task.heldout.len() as f64,
            heldout_loss: heldout.loss,
        };
        bar.suspend(|| say(line(epoch + 1, &end, started.elapsed())));
        history.epochs.push(end);
    }
    bar.finish_and_clear();
    if let Some(last) = history.epochs.last() {
        say(format!(
            "\nheld-out accuracy {:.1} % after {} steps, {:.1} s in all, {:.1} ms a step",
            100.0 * last.heldout,
            last.steps,
            started.elapsed().as_secs_f64(),
            1e3 * stepping.as_secs_f64() / last.steps as f64
        ));
    }
    Ok(history)
}

fn line(number: usize, epoch: &Epoch, elapsed: Duration) -> String {
    format!(
        "{number:>6}{:>10.4}{:>10.1} %{:>10.4}{:>10.1} %{:>8.1} s",
        epoch.loss,
        100.0 * epoch.training,
        epoch.heldout_loss,
        100.0 * epoch.heldout,
        elapsed.as_secs_f64()
    )
}

/// On standard error, if that is a terminal.
fn progress_bar(steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{wide_bar} step {pos}/{len} {elapsed}, {eta} left, {msg}")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
