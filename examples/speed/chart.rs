//! Speed-up over the plain loop against length, a line for each state size.

use crate::common::cli::Misuse;
use crate::common::figure::length;
use crate::table::Measurement;
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

const FONT: &str = "sans-serif";
/// From light to dark with the state size.
const COLORS: [RGBColor; 7] = [
    RGBColor(235, 165, 60),
    RGBColor(244, 140, 70),
    RGBColor(222, 85, 70),
    RGBColor(185, 45, 95),
    RGBColor(135, 30, 120),
    RGBColor(85, 25, 120),
    RGBColor(35, 15, 85),
];

/// One line: a state size, and the speed-up at each length.
struct Line {
    n: usize,
    points: Vec<(f64, f64)>,
}

/// Whether the file can be written, asked before the work rather than after it.
pub(crate) fn check(path: &Path) -> Result<(), Misuse> {
    if path.extension().is_none_or(|extension| extension != "svg") {
        let name = path.display();
        return Err(Misuse::new(format!("--plot {name}: expected a file name that ends in .svg")));
    }
    writable("--plot", path)
}

/// Whether a file can be written.
pub(crate) fn writable(option: &str, path: &Path) -> Result<(), Misuse> {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    file.map(|_| ()).map_err(|error| Misuse::new(format!("{option} {}: {error}", path.display())))
}

/// Draws the measurements of one sequence on the most threads, in the first precision.
pub(crate) fn draw(path: &Path, machine: &str, all: &[Measurement]) -> Result<(), Misuse> {
    let threads = all.iter().map(|m| m.threads).max().unwrap_or(1);
    let dtype = all.first().map_or("", |m| m.dtype.as_str());
    let shown: Vec<&Measurement> =
        all.iter().filter(|m| m.batch == 1 && m.threads == threads && m.dtype == dtype).collect();
    let lines = lines(&shown);
    if lines.iter().all(|line| line.points.is_empty()) {
        return Err(Misuse::new("--plot: expected B = 1 and the method auto among the sizes"));
    }
    let cell = shown.first().map_or("", |m| m.cell.as_str());
    let plural = if threads == 1 { "" } else { "s" };
    let subtitle = format!("{cell}, {dtype}, one sequence, {threads} thread{plural}; {machine}");
    let mut svg = String::new();
    chart(&mut svg, &subtitle, &lines)
        .map_err(|error| Misuse::new(format!("--plot {}: {error}", path.display())))?;
    std::fs::write(path, svg)
        .map_err(|error| Misuse::new(format!("--plot {}: {error}", path.display())))
}

fn lines(shown: &[&Measurement]) -> Vec<Line> {
    let mut sizes: Vec<usize> = shown.iter().map(|m| m.n).collect();
    sizes.dedup();
    let time = |n: usize, steps: usize, method: &str| {
        let same = |m: &&&Measurement| m.n == n && m.steps == steps && m.method == method;
        shown.iter().find(same).and_then(|m| m.result.as_ref()).map(|timed| timed.ns_per_step)
    };
    sizes
        .into_iter()
        .map(|n| {
            let lengths = shown.iter().filter(|m| m.n == n && m.method == "auto").map(|m| m.steps);
            let speed_up = |t| Some((t as f64, time(n, t, "plain")? / time(n, t, "auto")?));
            Line { n, points: lengths.filter_map(speed_up).collect() }
        })
        .collect()
}

fn chart(svg: &mut String, subtitle: &str, lines: &[Line]) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::with_string(svg, (760, 440)).into_drawing_area();
    area.fill(&WHITE)?;
    area.draw(&Text::new(
        "Solver::auto() against the plain loop in Rust: times as fast",
        (24, 14),
        (FONT, 18),
    ))?;
    area.draw(&Text::new(
        subtitle.to_owned(),
        (24, 38),
        (FONT, 13).into_font().color(&BLACK.mix(0.6)),
    ))?;
    let points = || lines.iter().flat_map(|line| line.points.iter());
    let shortest = points().fold(f64::INFINITY, |least, p| least.min(p.0));
    let longest = points().fold(0.0, |most: f64, p| most.max(p.0)).max(shortest * 10.0);
    let fastest = points().fold(4.0, |most: f64, p| most.max(p.1)) * 1.1;
    let mut chart = ChartBuilder::on(&area)
        .margin(16)
        .margin_top(60)
        .margin_right(80)
        .x_label_area_size(44)
        .y_label_area_size(54)
        .build_cartesian_2d((shortest * 0.8..longest * 1.25).log_scale(), 0.0..fastest)?;
    chart
        .configure_mesh()
        .x_desc("length T of the sequence, steps")
        .y_desc("speed-up")
        .x_label_formatter(&|t| length(t.round() as usize))
        .y_label_formatter(&|s| format!("{s}×"))
        .light_line_style(WHITE)
        .y_labels(8)
        .bold_line_style(BLACK.mix(0.15))
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .draw()?;
    chart.draw_series(LineSeries::new(
        [(shortest * 0.8, 1.0), (longest * 1.25, 1.0)],
        BLACK.mix(0.5),
    ))?;
    let mut ends: Vec<(i32, usize, RGBColor)> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let color = COLORS[index * (COLORS.len() - 1) / lines.len().saturating_sub(1).max(1)];
        chart.draw_series(LineSeries::new(line.points.iter().copied(), color.stroke_width(2)))?;
        chart.draw_series(line.points.iter().map(|&p| Circle::new(p, 4, color.filled())))?;
        if let Some(&end) = line.points.last() {
            ends.push((chart.backend_coord(&end).1, line.n, color));
        }
    }
    // Names at the right ends of the lines, moved apart where they would touch.
    ends.sort_by_key(|end| end.0);
    let mut lowest = i32::MIN;
    for (y, n, color) in ends {
        let y = if lowest == i32::MIN { y } else { y.max(lowest + 16) };
        lowest = y;
        area.draw(&Text::new(
            format!("n = {n}"),
            (686, y - 7),
            (FONT, 14).into_font().color(&color),
        ))?;
    }
    area.present()?;
    Ok(())
}
