//! The first steps of training by the library and by the hand-written loop, side by side.

use crate::common::adam::Adam;
use crate::common::cli::{Misuse, say};
use crate::library::Library;
use crate::model::{Model, Step};
use crate::options::Options;
use crate::plain_bptt::PlainBptt;
use crate::task::Task;
use crate::threads;
use deer_solver::Cpu;
use std::time::{Duration, Instant};

/// Largest relative difference of two losses that rounding explains.
const AGREE: f64 = 1e-3;

/// What one of the two took.
#[derive(Default)]
struct Times {
    steps: Vec<Duration>,
    forward: Vec<Duration>,
    backward: Vec<Duration>,
}

impl Times {
    /// Times one step of training: the way forward, the way back and Adam. As in training, one of the same kind comes before
    /// it: threads that were idle take a while to be on cores of their own.
    fn step(
        &mut self,
        model: &mut Model,
        adam: &mut Adam<f32>,
        mut step: impl FnMut(&Model) -> Result<Step, Misuse>,
    ) -> Result<Step, Misuse> {
        step(model)?;
        let started = Instant::now();
        let step = step(model)?;
        model.learn(adam, &step.gradient);
        self.steps.push(started.elapsed());
        self.forward.push(step.forward);
        self.backward.push(step.backward);
        Ok(step)
    }
}

/// Trains two models from the same weights on the same batches.
pub(crate) fn run(options: &Options, task: &Task, cpu: &Cpu) -> Result<(), Misuse> {
    // A sequence is one thread's.
    let threads = threads::count(options.threads).min(options.batchsize);
    let (library, mut plain) = (Library::new(cpu), PlainBptt::new(threads));
    let mut models = [Model::new(options), Model::new(options)];
    let adam = Adam::new(models[0].sizes().iter().sum(), options.rate);
    let mut adams = [adam.clone(), adam];
    let mut times = [Times::default(), Times::default()];
    let mut largest = 0.0f64;

    say("the same training, by back-propagation through time written by hand");
    say(format!("{:>6}{:>14}{:>14}{:>12}", "step", "loss", "by hand", "difference"));
    let mut batches = (0..).flat_map(|epoch| task.batches(epoch, options.batchsize));
    for number in 1..=options.compare() {
        let Some(indices) = batches.next() else { break };
        let batch = task.train.batch(&indices);
        let ours = times[0].step(&mut models[0], &mut adams[0], |m| library.step(m, &batch))?;
        let theirs = times[1].step(&mut models[1], &mut adams[1], |m| Ok(plain.step(m, &batch)))?;
        let difference = (ours.loss - theirs.loss).abs() / theirs.loss.abs();
        largest = largest.max(difference);
        say(format!("{number:>6}{:>14.7}{:>14.7}{difference:>12.1e}", ours.loss, theirs.loss));
        if number == 1 {
            let between = distance(&ours.gradient, &theirs.gradient);
            say(format!("{:>46}", format!("(gradients: {between:.1e})")));
        }
        // Not a number is no agreement either.
        if difference.is_nan() || difference >= AGREE {
            return Err(Misuse::new(format!(
                "losses differ by {difference:.1e} of their size at step {number}, more than rounding explains: \
                 choose a smaller --rate or fewer steps to --compare"
            )));
        }
    }
    say(format!("largest relative difference {largest:.1e}\n"));
    say(table(times, threads));
    Ok(())
}

/// The distance of `a` from `b`, relative to the length of `b`.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let apart: f64 = a.iter().zip(b).map(|(&a, &b)| square(a - b)).sum();
    let length: f64 = b.iter().map(|&b| square(b)).sum();
    (apart / length).sqrt()
}

fn table(times: [Times; 2], threads: usize) -> String {
    let count = times[0].steps.len();
    let [ours, theirs] =
        times.map(|times| [times.forward, times.backward, times.steps].map(median));
    let mut lines =
        vec![format!("{:<12}{:>14}{:>14}{:>10}", "", "in parallel", "by hand", "speed-up")];
    for (name, (ours, theirs)) in
        ["forward", "backward", "a step"].into_iter().zip(ours.into_iter().zip(theirs))
    {
        let milliseconds = |time: f64| format!("{:.1} ms", time * 1e3);
        let ratio = format!("{:.1}×", theirs / ours);
        lines.push(format!(
            "{name:<12}{:>14}{:>14}{ratio:>10}",
            milliseconds(ours),
            milliseconds(theirs)
        ));
    }
    let plural = if threads == 1 { "" } else { "s" };
    lines.push(format!(
        "(medians of {count}; {threads} thread{plural} each, by hand over the batch)\n"
    ));
    lines.join("\n")
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}
