//! Line plots as SVG. What is not a series is drawn in `currentColor`, so a plot is as readable on a
//! dark page as on a light one; the colours of series are chosen for both.

use std::ops::Range;

use plotters::{
    coord::ranged1d::{AsRangedCoord, ValueFormatter},
    prelude::*,
};

/// A line, with the name that the legend has.
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its points, in the order of x.
    pub points: Vec<(f64, f64)>,
}

/// An axis.
pub struct Axis {
    /// What it shows, with the unit.
    pub title: &'static str,
    /// How a value on it is written.
    pub label: fn(f64) -> String,
    /// How many lines across there are at most.
    pub lines: usize,
}

/// How values grow along the y axis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// From zero, evenly.
    Linear,
    /// By factors.
    Logarithmic,
}

/// How many series one plot can tell apart.
pub const MOST_SERIES: usize = 8;

/// The colours of series, as the legend has them.
pub const COLOURS: [&str; MOST_SERIES] = [
    "#3b82d6", "#e0792b", "#2f9e63", "#d14b54", "#8a63c9", "#9b6b4e", "#cf5fa8", "#7f8c1f",
];

/// The size of a plot.
pub const SIZE: (u32, u32) = (760, 340);
/// Stands for `currentColor`, which the backend does not know. No series has it.
const INK: RGBColor = RGBColor(1, 2, 3);
const INK_AS_WRITTEN: &str = "#010203";
const FONT: (&str, i32) = ("sans-serif", 13);

/// Draws at most [`MOST_SERIES`] lines.
///
/// # Errors
/// What the plotting library says.
pub fn lines(series: &[Series], x: &Axis, y: &Axis, growth: Growth) -> Result<String, String> {
    let mut svg = String::new();
    let points = || series.iter().flat_map(|it| &it.points).copied();
    let xs = bounds(points().map(|(x, _)| x));
    let ys = bounds(points().map(|(_, y)| y));
    let drawn = match growth {
        Growth::Linear => {
            let top = 0.0..ys.end.max(f64::MIN_POSITIVE) * 1.05;
            draw(&mut svg, series, x, y, xs, top)
        }
        Growth::Logarithmic => {
            let decades = (ys.start.max(1.0) / 1.2)..ys.end.max(10.0) * 1.2;
            draw(&mut svg, series, x, y, xs, decades.log_scale())
        }
    };
    drawn.map_err(|error| error.to_string())?;
    Ok(svg.replace(INK_AS_WRITTEN, "currentColor"))
}

/// The smallest and the largest value, never the same.
fn bounds(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low.is_finite() && low < high {
        low..high
    } else if low.is_finite() {
        low..low + 1.0
    } else {
        0.0..1.0
    }
}

fn draw<Y>(
    svg: &mut String,
    series: &[Series],
    x: &Axis,
    y: &Axis,
    xs: Range<f64>,
    ys: Y,
) -> Result<(), Box<dyn std::error::Error>>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64> + Ranged<ValueType = f64>,
{
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .margin_right(36)
        .x_label_area_size(44)
        .y_label_area_size(84)
        .build_cartesian_2d(xs, ys)?;
    chart
        .configure_mesh()
        .x_desc(x.title)
        .y_desc(y.title)
        .x_labels(x.lines)
        .y_labels(y.lines)
        .x_label_formatter(&|value| (x.label)(*value))
        .y_label_formatter(&|value| (y.label)(*value))
        .axis_style(INK.mix(0.6))
        .bold_line_style(INK.mix(0.15))
        .light_line_style(TRANSPARENT)
        .label_style(FONT.into_font().color(&INK))
        .axis_desc_style(FONT.into_font().color(&INK))
        .draw()?;
    for (line, colour) in series.iter().zip(COLOURS) {
        let colour = rgb(colour).stroke_width(2);
        chart.draw_series(LineSeries::new(line.points.iter().copied(), colour))?;
        if line.points.len() < 40 {
            let points = line.points.iter();
            chart.draw_series(points.map(|point| Circle::new(*point, 3, colour.filled())))?;
        }
    }
    area.present()?;
    Ok(())
}

/// A colour of [`COLOURS`].
fn rgb(written: &str) -> RGBColor {
    let part = |at: usize| {
        let digits = written.get(at..at + 2).unwrap_or("00");
        u8::from_str_radix(digits, 16).unwrap_or(0)
    };
    RGBColor(part(1), part(3), part(5))
}
