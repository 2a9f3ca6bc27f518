//! Residual against sweep, and the first states, as an SVG file.

use crate::common::cli::Misuse;
pub(crate) use crate::common::svg::check;
use crate::common::svg::{COLORS, FONT};
use crate::compare::Comparison;
use crate::options::{Options, name};
use deer_solver::Real;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

/// Draws the file.
pub(crate) fn draw<R: Real>(
    path: &Path,
    options: &Options,
    comparison: &Comparison<R>,
) -> Result<(), Misuse> {
    let mut svg = String::new();
    panels(&mut svg, options, comparison)
        .map_err(|error| Misuse::new(format!("--plot {}: {error}", path.display())))?;
    std::fs::write(path, svg)
        .map_err(|error| Misuse::new(format!("--plot {}: {error}", path.display())))
}

fn panels<R: Real>(
    svg: &mut String,
    options: &Options,
    comparison: &Comparison<R>,
) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::with_string(svg, (1000, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(500);
    residuals(&left, options, comparison)?;
    states(&right, comparison)?;
    area.present()?;
    Ok(())
}

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn residuals<R: Real>(
    panel: &Panel<'_>,
    options: &Options,
    comparison: &Comparison<R>,
) -> Result<(), Box<dyn Error>> {
    let report = comparison.solution.report();
    let history = &report.history;
    if history.is_empty() {
        let text = format!("{} made no sweeps", report.method);
        panel.draw(&Text::new(text, (120, 180), (FONT, 16)))?;
        return Ok(());
    }
    // A residual of zero has no logarithm: it is drawn at the bottom.
    let finite =
        || history.iter().map(|sweep| sweep.residual).filter(|r| r.is_finite() && *r > 0.0);
    let floor = finite().fold(R::EPSILON.to_f64(), f64::min) / 10.0;
    let top = finite().fold(1.0, f64::max) * 2.0;
    let points: Vec<(f64, f64)> = history
        .iter()
        .enumerate()
        .filter(|(_, sweep)| !sweep.residual.is_nan())
        .map(|(index, sweep)| ((index + 1) as f64, sweep.residual.clamp(floor, top)))
        .collect();
    let title = format!("{}, {}: residual after each sweep", name(options.cell), report.method);
    let mut chart = ChartBuilder::on(panel)
        .caption(title, (FONT, 17))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(0.5..history.len() as f64 + 0.5, (floor..top).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("sweep")
        .y_desc("largest residual at a border")
        .x_labels(history.len().clamp(2, 10))
        .x_label_formatter(&|x| if x.fract() == 0.0 { format!("{x}") } else { String::new() })
        .y_label_formatter(&|y| format!("{y:.0e}"))
        .light_line_style(WHITE)
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .draw()?;
    chart.draw_series(LineSeries::new(points.iter().copied(), COLORS[0].stroke_width(2)))?;
    chart.draw_series(points.iter().map(|&(x, y)| {
        let zero = y <= floor;
        Circle::new((x, y), 4, if zero { COLORS[0].stroke_width(1) } else { COLORS[0].filled() })
    }))?;
    if points.iter().any(|&(_, y)| y <= floor) {
        chart.draw_series([Text::new("open circle: 0", (0.6, floor * 2.0), (FONT, 13))])?;
    }
    Ok(())
}

fn states<R: Real>(panel: &Panel<'_>, comparison: &Comparison<R>) -> Result<(), Box<dyn Error>> {
    /// Steps shown.
    const STEPS: usize = 400;
    let all = comparison.solution.states();
    let (batch, steps, n) = all.dim();
    if batch == 0 || steps == 0 || n == 0 {
        panel.draw(&Text::new("no states", (200, 180), (FONT, 16)))?;
        return Ok(());
    }
    let shown = steps.min(STEPS);
    let components = n.min(COLORS.len());
    let value = |t: usize, i: usize| all[[0, t, i]].to_f64();
    let (mut bottom, mut top) = (f64::INFINITY, f64::NEG_INFINITY);
    for t in 0..shown {
        for x in (0..components).map(|i| value(t, i)).filter(|x| x.is_finite()) {
            bottom = bottom.min(x);
            top = top.max(x);
        }
    }
    if bottom > top {
        (bottom, top) = (-1.0, 1.0);
    }
    let margin = 0.08 * (top - bottom).max(1e-3);
    let mut chart = ChartBuilder::on(panel)
        .caption(format!("states 1 to {components} of {n}, first {shown} steps"), (FONT, 17))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(42)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..shown as f64, bottom - margin..top + margin)?;
    chart
        .configure_mesh()
        .x_desc("step t")
        .y_desc("state")
        .x_labels(6)
        .x_label_formatter(&|t| format!("{t:.0}"))
        .y_labels(7)
        .light_line_style(WHITE)
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .draw()?;
    for (i, color) in COLORS.iter().enumerate().take(components) {
        let points =
            (0..shown).map(|t| ((t + 1) as f64, value(t, i))).filter(|point| point.1.is_finite());
        chart.draw_series(LineSeries::new(points, color.stroke_width(1)))?;
    }
    Ok(())
}
