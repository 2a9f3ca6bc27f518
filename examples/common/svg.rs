//! Curves as SVG files.

use super::cli::Misuse;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

pub(crate) const FONT: &str = "sans-serif";
pub(crate) const COLORS: [RGBColor; 4] =
    [RGBColor(31, 119, 180), RGBColor(214, 39, 40), RGBColor(44, 160, 44), RGBColor(148, 103, 189)];

/// Whether the file can be written, asked before the work rather than after it.
pub(crate) fn check(path: &Path) -> Result<(), Misuse> {
    let name = path.display();
    if path.extension().is_none_or(|extension| extension != "svg") {
        return Err(Misuse::new(format!("--plot {name}: expected a file name that ends in .svg")));
    }
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| Misuse::new(format!("--plot {name}: {error}")))?;
    Ok(())
}

/// Points of a curve that are drawn.
const PIXELS: usize = 1000;

/// How much wider than high the area between the axes is.
const ACROSS: f64 = 1.3;

/// A curve; without a name it is not in the legend.
#[derive(Clone, Debug, Default)]
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// One pair of axes. What is not finite is left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    /// Whether `y` is drawn by its logarithm; then what is not positive is left out.
    pub(crate) log: bool,
    /// Whether a unit is as long up as across.
    pub(crate) square: bool,
    pub(crate) curves: Vec<Curve>,
}

/// Draws the panels side by side, each 500 by 400.
pub(crate) fn draw(path: &Path, panels: &[Panel]) -> Result<(), Misuse> {
    let mut svg = String::new();
    side_by_side(&mut svg, panels)
        .map_err(|error| Misuse::new(format!("--plot {}: {error}", path.display())))?;
    std::fs::write(path, svg)
        .map_err(|error| Misuse::new(format!("--plot {}: {error}", path.display())))
}

fn side_by_side(svg: &mut String, panels: &[Panel]) -> Result<(), Box<dyn Error>> {
    let width = 500 * panels.len() as u32;
    let area = SVGBackend::with_string(svg, (width, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    for (panel, part) in panels.iter().zip(area.split_evenly((1, panels.len()))) {
        panel.draw(&part)?;
    }
    area.present()?;
    Ok(())
}

impl Panel {
    fn draw(&self, area: &DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Box<dyn Error>> {
        let height = |y: f64| if self.log { y.log10() } else { y };
        let points = |curve: &Curve| -> Vec<(f64, f64)> {
            // More than there are pixels make a file large, and no curve finer.
            let thin = curve.points.len().div_ceil(PIXELS).max(1);
            let drawn = curve.points.iter().step_by(thin).map(|&(x, y)| (x, height(y)));
            drawn.filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
        };
        let curves: Vec<_> = self.curves.iter().map(points).collect();
        let (mut left, mut right) = range(curves.iter().flatten().map(|point| point.0), 0.0);
        let (mut bottom, mut top) = range(curves.iter().flatten().map(|point| point.1), 0.06);
        if self.square {
            let half = 0.54 * (right - left).max(top - bottom);
            let across = ACROSS * half;
            (left, right) = (0.5 * (left + right) - across, 0.5 * (left + right) + across);
            (bottom, top) = (0.5 * (bottom + top) - half, 0.5 * (bottom + top) + half);
        }
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 17))
            .margin(12)
            .margin_right(24)
            .x_label_area_size(42)
            .y_label_area_size(64)
            .build_cartesian_2d(left..right, bottom..top)?;
        let log = self.log;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_labels(6)
            .x_label_formatter(&|x| label(*x))
            .y_labels(7)
            .y_label_formatter(&|y| if log { format!("{:.0e}", 10f64.powf(*y)) } else { label(*y) })
            .light_line_style(WHITE)
            .label_style((FONT, 13))
            .axis_desc_style((FONT, 14))
            .draw()?;
        for ((curve, points), color) in self.curves.iter().zip(curves).zip(COLORS.iter().cycle()) {
            let series = chart.draw_series(LineSeries::new(points, color.stroke_width(1)))?;
            if !curve.name.is_empty() {
                series.label(curve.name).legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2))
                });
            }
        }
        if self.curves.iter().any(|curve| !curve.name.is_empty()) {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerRight)
                .background_style(WHITE.mix(0.8))
                .label_font((FONT, 13))
                .draw()?;
        }
        Ok(())
    }
}

/// Smallest and largest, further apart by `margin` of their distance on either side.
fn range(values: impl Iterator<Item = f64>, margin: f64) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    if low >= high || !low.is_finite() {
        let middle = if low.is_finite() { low } else { 0.0 };
        return (middle - 1.0, middle + 1.0);
    }
    (low - margin * (high - low), high + margin * (high - low))
}

/// Three digits at most, without zeros at the end.
fn label(x: f64) -> String {
    let text = format!("{x:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}
