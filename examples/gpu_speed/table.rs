//! The measurements as Markdown, and what they should be.

use crate::common::figure::{Bound, Target, length, significant};
use crate::jobs::Job;
use crate::measure::{Line, Timed};
use crate::scan::Scan;

/// How many times as long as the fastest other way `auto` may take.
const SLOWEST: f64 = 1.2;

/// What a job's figures should be on an H200. Those against other programs are `scripts/gpu-peers`' to tell.
pub(crate) fn targets(job: &Job, line: &Line) -> Vec<Target> {
    let timed = line.result.as_ref();
    let mut targets = Vec::new();
    if let Some(most) = job.at_most {
        let what = format!("{}: `auto`, states left on the device", job.name);
        let bound = Bound::AtMost((most * 1e6).round());
        targets.push(Target::new(what, bound, timed.map(|timed| timed.resident * 1e6), " µs"));
    }
    let what = format!("{}: time of `vjp` to `auto`, both from the host and back", job.name);
    let ratio = timed.and_then(|timed| Some(timed.gradient.seconds? / timed.fetched));
    targets.push(Target::new(what, Bound::AtMost(3.5), ratio, "×"));
    let what = format!("{}: time of `auto` to the best of the others and the CPU", job.name);
    let ratio = timed.and_then(|timed| timed.of_best);
    targets.push(Target::new(what, Bound::AtMost(SLOWEST), ratio, "×"));
    targets
}

pub(crate) fn scan_target(scan: &Scan) -> Target {
    let what = "scan: bandwidth to a copy's".to_owned();
    let percent = scan.of_copy.map(|share| share * 100.0);
    Target::new(what, Bound::AtLeast(80.0), percent, " %")
}

/// With `judged`, whether `auto` is as fast as it should be.
pub(crate) fn markdown(lines: &[Line], judged: bool) -> String {
    let head = [
        ("job", false),
        ("", false),
        ("B", true),
        ("n", true),
        ("T", true),
        ("`auto` on the device", false),
        ("resident, ms", true),
        ("fetched, ms", true),
        ("`vjp`, ms", true),
        ("`sequential`, ms", true),
        ("`deer`, ms", true),
        ("`jacobi`, ms", true),
        ("CPU, ms", true),
        ("`sequential` ⁄ `auto`", true),
        ("CPU ⁄ `auto`", true),
        ("difference", true),
        ("`auto` ⁄ best", true),
        ("verdict", false),
    ];
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = row(head.iter().map(|(name, _)| (*name).to_owned()).collect());
    let rule = |&(_, right): &(_, bool)| if right { "---:|" } else { "---|" };
    text.push_str(&format!("|{}\n", head.iter().map(rule).collect::<String>()));
    let mut reasons = String::new();
    for line in lines {
        let Line { job, cell, batch, n, steps, .. } = line;
        let mut cells = vec![(*job).to_owned(), (*cell).to_owned()];
        cells.extend([batch.to_string(), n.to_string(), length(*steps)]);
        match (&line.result, &line.error) {
            (Some(timed), _) => {
                cells.extend(figures(timed, judged));
                for (name, way) in timed.ways() {
                    if let Some(error) = &way.error {
                        reasons.push_str(&format!("\n`{job}`, `{name}`: {error}\n"));
                    }
                }
            }
            (None, error) => cells.push(error.as_deref().unwrap_or_default().replace('|', "∣")),
        }
        cells.resize(head.len(), "–".to_owned());
        text.push_str(&row(cells));
    }
    text.push_str(
        "\nMedians, of at most 21 runs each. All but *fetched*, `vjp` and the CPU with the states left on the device; ratios are to \
         *resident*, or of it. *Best* is the shortest of `sequential`, `deer` and `jacobi` on the device and `auto` on the CPU.\n",
    );
    text + &reasons
}

fn figures(timed: &Timed, judged: bool) -> Vec<String> {
    let Timed { method, sweeps, resident, fetched, gradient, sequential, cpu, .. } = timed;
    let plural = if *sweeps == 1 { "" } else { "s" };
    let mut cells = vec![format!("{method}, {sweeps} sweep{plural}")];
    cells.extend([*resident, *fetched].map(milliseconds));
    let ways = [gradient, sequential, &timed.deer, &timed.jacobi, cpu];
    cells.extend(ways.map(|way| or_dash(way.seconds, milliseconds)));
    let ratio = |seconds| format!("{}×", significant(seconds / resident));
    cells.extend([sequential, cpu].map(|way| or_dash(way.seconds, ratio)));
    cells.push(format!("{:.0e}", timed.difference));
    let best = timed.best.unwrap_or_default();
    cells.push(or_dash(timed.of_best, |share| format!("{}× {best}", significant(share))));
    cells.push(match timed.of_best {
        Some(share) if judged && share <= SLOWEST => "met".to_owned(),
        Some(_) if judged => "**missed**".to_owned(),
        _ => "–".to_owned(),
    });
    cells
}

fn or_dash(value: Option<f64>, shown: impl Fn(f64) -> String) -> String {
    value.map_or("–".to_owned(), shown)
}

fn milliseconds(seconds: f64) -> String {
    let milliseconds = seconds * 1e3;
    if milliseconds < 1.0 { format!("{milliseconds:.3}") } else { significant(milliseconds) }
}
