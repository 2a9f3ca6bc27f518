//! The measurements as Markdown, and what they should be.

use crate::common::figure::{Bound, Target, length, significant};
use crate::jobs::Job;
use crate::measure::{Line, Timed};
use crate::scan::Scan;

/// What a job's figures should be on an H200. Those against other programs are `scripts/gpu-peers`' to tell.
pub(crate) fn targets(job: &Job, line: &Line) -> Vec<Target> {
    let timed = line.result.as_ref();
    let figure = |of: fn(&Timed) -> f64| timed.map(of);
    let mut targets = Vec::new();
    if let Some(most) = job.at_most {
        let what = format!("{}: `auto`, states left on the device", job.name);
        let bound = Bound::AtMost((most * 1e6).round());
        targets.push(Target::new(what, bound, figure(|timed| timed.resident * 1e6), " µs"));
    }
    let what = format!("{}: time of `vjp` to `auto`, both from the host and back", job.name);
    let ratio = figure(|timed| timed.gradient / timed.fetched);
    targets.push(Target::new(what, Bound::AtMost(3.5), ratio, "×"));
    let what = format!("{}: time of `auto` to the better of the loop there and the CPU", job.name);
    let ratio = figure(|timed| timed.resident / timed.sequential.min(timed.cpu));
    targets.push(Target::new(what, Bound::AtMost(1.2), ratio, "×"));
    targets
}

pub(crate) fn scan_target(scan: &Scan) -> Target {
    let what = "scan: bandwidth to a copy's".to_owned();
    let percent = scan.of_copy.map(|share| share * 100.0);
    Target::new(what, Bound::AtLeast(80.0), percent, " %")
}

pub(crate) fn markdown(lines: &[Line]) -> String {
    let mut text = "| job | | B | n | T | `auto` on the device | resident, ms | fetched, ms | `vjp`, ms | in order, ms | CPU, ms | \
                    in order ⁄ `auto` | CPU ⁄ `auto` | difference |\n\
                    |---|---|---:|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for line in lines {
        let Line { job, cell, batch, n, steps, .. } = line;
        text.push_str(&format!("| {job} | {cell} | {batch} | {n} | {} | ", length(*steps)));
        let cells = match (&line.result, &line.error) {
            (Some(timed), _) => figures(timed),
            (None, error) => {
                let error = error.as_deref().unwrap_or_default().replace('|', "∣");
                format!("{error}{}", " | –".repeat(8))
            }
        };
        text.push_str(&format!("{cells} |\n"));
    }
    text.push_str("\nMedians. *Resident*: states left on the device; ratios are to it. *In order*: the loop, on the device.\n");
    text
}

fn figures(timed: &Timed) -> String {
    let Timed { method, sweeps, resident, fetched, gradient, sequential, cpu, .. } = timed;
    let plural = if *sweeps == 1 { "" } else { "s" };
    let mut cells = vec![format!("{method}, {sweeps} sweep{plural}")];
    cells.extend([resident, fetched, gradient, sequential, cpu].map(|time| milliseconds(*time)));
    cells.extend([sequential, cpu].map(|time| format!("{}×", significant(time / resident))));
    cells.push(format!("{:.0e}", timed.difference));
    cells.join(" | ")
}

fn milliseconds(seconds: f64) -> String {
    let milliseconds = seconds * 1e3;
    if milliseconds < 1.0 { format!("{milliseconds:.3}") } else { significant(milliseconds) }
}
