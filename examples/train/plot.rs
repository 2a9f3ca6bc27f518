//! Loss and accuracy against steps of training, as an SVG file.

use crate::common::cli::Misuse;
use crate::common::svg::FONT;
pub(crate) use crate::common::svg::check;
use crate::fit::History;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

const TRAINING: RGBColor = RGBColor(31, 119, 180);
const HELD_OUT: RGBColor = RGBColor(214, 39, 40);

/// Draws the file.
pub(crate) fn draw(path: &Path, history: &History) -> Result<(), Misuse> {
    let mut svg = String::new();
    panels(&mut svg, history)
        .map_err(|error| Misuse::new(format!("--plot {}: {error}", path.display())))?;
    std::fs::write(path, svg)
        .map_err(|error| Misuse::new(format!("--plot {}: {error}", path.display())))
}

fn panels(svg: &mut String, history: &History) -> Result<(), Box<dyn Error>> {
    let area = SVGBackend::with_string(svg, (1000, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(500);
    let steps = history.losses.len().max(1) as f64;
    let losses = history.losses.iter().enumerate().map(|(i, &loss)| ((i + 1) as f64, loss));
    let ends = |value: fn(&crate::fit::Epoch) -> f64| -> Vec<(f64, f64)> {
        history.epochs.iter().map(|epoch| (epoch.steps as f64, value(epoch))).collect()
    };
    let losses: Vec<_> = losses.filter(|(_, loss)| loss.is_finite()).collect();
    let top = losses.iter().fold(0.1, |top: f64, &(_, loss)| top.max(loss)) * 1.08;
    let held_out = ends(|epoch| epoch.heldout_loss);
    panel(&left, "cross entropy", steps, top, [&losses, &held_out])?;
    let (training, held_out) = (ends(|epoch| epoch.training), ends(|epoch| epoch.heldout));
    panel(&right, "accuracy", steps, 1.0, [&training, &held_out])?;
    area.present()?;
    Ok(())
}

/// Of the batches trained on, and of the sequences held out.
fn panel(
    panel: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    steps: f64,
    top: f64,
    [training, held_out]: [&[(f64, f64)]; 2],
) -> Result<(), Box<dyn Error>> {
    let mut chart = ChartBuilder::on(panel)
        .caption(title, (FONT, 17))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(42)
        .y_label_area_size(52)
        .build_cartesian_2d(0.0..steps, 0.0..top * 1.02)?;
    chart
        .configure_mesh()
        .x_desc("steps of training")
        .x_labels(6)
        .x_label_formatter(&|t| format!("{t:.0}"))
        .y_labels(7)
        .y_label_formatter(&|y| format!("{y:.1}"))
        .light_line_style(WHITE)
        .label_style((FONT, 13))
        .axis_desc_style((FONT, 14))
        .draw()?;
    for (name, color, points) in
        [("training", TRAINING, training), ("held out", HELD_OUT, held_out)]
    {
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart.draw_series(held_out.iter().map(|&point| Circle::new(point, 3, HELD_OUT.filled())))?;
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .label_font((FONT, 13))
        .draw()?;
    Ok(())
}
