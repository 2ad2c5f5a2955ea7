//! The first plot of throughput as a picture of its own, with its legend and the host.

use maud::{Markup, PreEscaped, html};

use super::{
    plot::{self, COLOURS, Growth, MOST_SERIES, SIZE, Series},
    throughput,
};
use crate::{record::RunRecord, show::Report};

/// Both sorts of pages that it may be put into.
const STYLE: &str = "svg { color: #1c2430; font-family: system-ui, sans-serif; font-size: 13px } \
    @media (prefers-color-scheme: dark) { svg { color: #e4e8ee } }";
/// Where the plot begins, under the title.
const TOP: usize = 52;
/// Entries of the legend in a line.
const IN_A_LINE: usize = 3;
/// The height of a line of the legend.
const LINE: usize = 22;

/// The picture.
///
/// # Errors
/// That there is nothing to draw, or too much, or what the plotting library says.
pub fn picture(report: &Report) -> Result<String, String> {
    let scenarios: Vec<&RunRecord> = report.runs.iter().filter(|it| it.is_scenario).collect();
    let charts = throughput::charts(&scenarios);
    let chart = charts
        .first()
        .ok_or("nothing varies, so there is no line")?;
    if chart.series.len() > MOST_SERIES {
        return Err(format!(
            "{} lines are more than the {MOST_SERIES} that one picture can tell apart",
            chart.series.len()
        ));
    }
    let plot = plot::lines(&chart.series, &chart.x, &chart.y, Growth::Linear)?;
    let (width, plot_height) = (SIZE.0 as usize, SIZE.1 as usize);
    let height = TOP + plot_height + chart.series.len().div_ceil(IN_A_LINE) * LINE + 8;
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height)
            viewBox=(format!("0 0 {width} {height}")) {
            style { (PreEscaped(STYLE)) }
            text x="12" y="20" fill="currentColor" font-weight="bold" { (chart.title) }
            text x="12" y="40" fill="currentColor" opacity="0.75" { (host(report)) }
            g transform=(format!("translate(0 {TOP})")) { (PreEscaped(plot)) }
            @for (index, line) in chart.series.iter().enumerate() {
                (entry(index, line, width, TOP + plot_height))
            }
        }
    };
    Ok(picture.into_string())
}

fn host(report: &Report) -> String {
    let host = report.host.as_ref().map(ToString::to_string);
    let at = &report.environment;
    let processors = at.processors.map(|it| format!("{it} processors"));
    let parts = [host, at.processor.clone(), processors];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("on {}", parts.join(", "))
}

fn entry(index: usize, line: &Series, width: usize, top: usize) -> Markup {
    let x = 12 + index % IN_A_LINE * (width / IN_A_LINE);
    let y = top + index / IN_A_LINE * LINE;
    html! {
        rect x=(x) y=(y) width="12" height="12" rx="2" fill=(COLOURS[index % MOST_SERIES]) {}
        text x=(x + 18) y=(y + 11) fill="currentColor" { (line.name) }
    }
}
