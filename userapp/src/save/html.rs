//! Results as one page that needs nothing else: style and plots are in it, and no script.

mod figures;
mod locks;
mod summary;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    plot::{self, Axis, COLOURS, Growth, MOST_SERIES, Series},
    throughput::{self, Chart, line_name},
};
use crate::{
    latency::Latency,
    record::{Outcome, RunRecord},
    show::{
        Report,
        units::{count, nanoseconds, percent, rate, seconds},
    },
};

const STYLE: &str = include_str!("report.css");

/// The page.
///
/// # Errors
/// What the plotting library says.
pub fn page(report: &Report) -> Result<String, String> {
    let scenarios: Vec<&RunRecord> = report.runs.iter().filter(|it| it.is_scenario).collect();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "syncstress" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    (summary::of(report))
                    (environment(report))
                    (tests(report))
                    (table(&scenarios))
                    (throughput(&scenarios)?)
                    (latencies("Waits", "How long workers waited for the lock. One that a try got at \
                        once waited 0, which a logarithmic axis has no place for.",
                        "wait (logarithmic, unit at each value)", &scenarios, |run| run.wait.as_ref())?)
                    (latencies("Holds", "How long the lock was held, of those holds that were timed.",
                        "hold (logarithmic, unit at each value)", &scenarios, |run| run.hold.as_ref())?)
                    (latencies("Timer jitter", "How long after its due time the DPC of a timer ran.",
                        "lateness (logarithmic, unit at each value)", &scenarios, |run| run.lateness.as_ref())?)
                    (figures::of(&scenarios))
                    (fairness(&scenarios))
                    @if let Some(stat) = &report.lock_stat { (locks::statistics(stat)) }
                    @if let Some(lockdep) = &report.lockdep { (locks::reports(lockdep)) }
                    (overheads(report))
                    (rounds(report))
                    (logs(report))
                }
            }
        }
    };
    Ok(page.into_string())
}

fn environment(report: &Report) -> Markup {
    let at = &report.environment;
    let machine = [
        at.processor.clone().unwrap_or_default(),
        at.processors
            .map_or_else(String::new, |it| format!("{it} processors")),
        at.operating_system.clone(),
        at.architecture.clone(),
    ];
    let machine: Vec<String> = machine.into_iter().filter(|it| !it.is_empty()).collect();
    html! {
        dl {
            @if let Some(driver) = &report.driver {
                dt { "driver" }
                dd { (driver.version) ", protocol " (driver.protocol) ", " (driver.processors)
                    " processors in its kernel" }
            }
            @if let Some(image) = report.host.as_ref().and_then(|it| it.driver.as_ref()) {
                dt { "image" } dd { code { (image) } }
            }
            dt { "machine" } dd { (machine.join(", ")) }
            dt { "began" } dd { (at.began) }
            dt { "command" } dd { code { (at.command_line.join(" ")) } }
            dt { "tool" } dd { "syncstress " (report.syncstress) }
        }
    }
}

/// Behaviour tests in short: what did not pass, by name.
fn tests(report: &Report) -> Markup {
    let tests: Vec<&RunRecord> = report.runs.iter().filter(|it| !it.is_scenario).collect();
    let passed = tests
        .iter()
        .filter(|it| it.outcome == Outcome::Passed)
        .count();
    html! {
        @if !tests.is_empty() {
            h2 { "Behaviour tests" }
            p { (passed) " of " (tests.len()) " passed." }
            ul {
                @for test in tests.iter().filter(|it| it.outcome != Outcome::Passed) {
                    li { span.bad { (test.outcome.word()) } " " (test.name) }
                }
            }
        }
    }
}

fn table(runs: &[&RunRecord]) -> Markup {
    let of = |latency: &Option<Latency>, figure: fn(&Latency) -> u64| {
        latency
            .as_ref()
            .map_or_else(|| "–".to_owned(), |it| nanoseconds(figure(it)))
    };
    html! {
        @if !runs.is_empty() {
            h2 { "Scenarios" }
            div.wide { table {
                thead { tr {
                    @for name in ["scenario", "result", "workers", "time", "acquired", "per s",
                        "contended", "wait p50", "p99", "p99.99", "longest", "hold p50", "p99",
                        "longest", "failures"] { th { (name) } }
                } }
                tbody { @for run in runs { tr {
                    td { (run.name) @if let Some(what) = differs(run) { br; small { (what) } } }
                    td class=(class_of(run)) { (run.outcome.word()) }
                    td { (run.totals.worker_count) }
                    td { (seconds(run.elapsed_seconds)) }
                    td { (count(run.totals.acquisitions)) }
                    td { (rate(run.acquisitions_per_second)) }
                    td { (percent(run.totals.contention)) }
                    td { (of(&run.wait, |it| it.p50_ns)) }
                    td { (of(&run.wait, |it| it.p99_ns)) }
                    td { (of(&run.wait, |it| it.p99_99_ns)) }
                    td { (of(&run.wait, |it| it.maximum_ns)) }
                    td { (of(&run.hold, |it| it.p50_ns)) }
                    td { (of(&run.hold, |it| it.p99_ns)) }
                    td { (of(&run.hold, |it| it.maximum_ns)) }
                    td { (count(run.failures)) (violations(run)) }
                } } }
            } }
        }
    }
}

/// Which failures are about the state that the thread was left in.
fn violations(run: &RunRecord) -> Markup {
    let kinds = [(run.irql_violations, "IRQL"), (run.apc_violations, "APC")];
    html! {
        @for (number, what) in kinds.into_iter().filter(|(number, _)| *number > 0) {
            br; small { (count(number)) " of them " (what) }
        }
    }
}

/// The parameters that a sweep varies.
fn differs(run: &RunRecord) -> Option<String> {
    let named = ["threads", "readers", "hold"]
        .iter()
        .filter_map(|name| Some(format!("{name}={}", run.parameters.get(*name)?)));
    let named: Vec<String> = named.collect();
    (!named.is_empty()).then(|| named.join(" "))
}

const fn class_of(run: &RunRecord) -> &'static str {
    match run.outcome {
        Outcome::Passed => "good",
        Outcome::Stopped => "middling",
        Outcome::Failed if run.negative_control => "middling",
        Outcome::Failed | Outcome::Overran | Outcome::Error => "bad",
    }
}

/// Throughput against whatever the runs vary in.
fn throughput(runs: &[&RunRecord]) -> Result<Markup, String> {
    let charts = throughput::charts(runs);
    let drawn = charts.iter().map(|it| {
        let Chart {
            title,
            series,
            x,
            y,
        } = it;
        plots(title, "", series, x, y, Growth::Linear)
    });
    let drawn = drawn.collect::<Result<Vec<_>, String>>()?;
    Ok(html! { @for chart in drawn { (chart) } })
}

/// Latency by percentile, for every run that has some.
fn latencies(
    title: &str,
    text: &str,
    axis: &'static str,
    runs: &[&RunRecord],
    latency: impl Fn(&RunRecord) -> Option<&Latency>,
) -> Result<Markup, String> {
    let mut series: Vec<Series> = Vec::new();
    for run in runs {
        let Some(latency) = latency(run) else {
            continue;
        };
        let points = curve(latency);
        if points.len() < 2 {
            continue;
        }
        let threads = run.totals.worker_count;
        let same = series
            .iter()
            .filter(|it| it.name.starts_with(&run.name))
            .count();
        let name = if same == 0 {
            format!("{}, {threads} workers", run.name)
        } else {
            format!("{}, {threads} workers", line_name(run))
        };
        series.push(Series { name, points });
    }
    let x = Axis {
        title: "percentile (% of all values)",
        label: percentile,
        lines: whole_nines(&series),
    };
    let y = Axis {
        title: axis,
        label: |value| crate::show::units::seconds(value / 1e9),
        lines: 8,
    };
    plots(title, text, &series, &x, &y, Growth::Logarithmic)
}

/// Points of a latency curve: how many nines of all values do not exceed a value.
fn curve(latency: &Latency) -> Vec<(f64, f64)> {
    let mut seen = 0;
    let mut points = Vec::new();
    for [_, highest, count] in &latency.buckets {
        seen += count;
        let above = crate::fairness::ratio(latency.count.saturating_sub(seen), latency.count);
        // Nothing is above the last one: it is as far out as so many values can tell.
        let above = above.max(1.0 / crate::fairness::ratio(latency.count.max(1), 1));
        let nines = (-above.log10()).min(6.0);
        if *highest > 0 {
            let value = crate::fairness::ratio(*highest, 1);
            points.push((nines, value));
        }
    }
    points
}

fn percentile(nines: f64) -> String {
    let part = 100.0 * (1.0 - 10_f64.powf(-nines));
    match nines {
        _ if nines < 2.01 => format!("{part:.0}%"),
        _ if nines < 3.01 => format!("{part:.1}%"),
        _ if nines < 4.01 => format!("{part:.2}%"),
        _ if nines < 5.01 => format!("{part:.3}%"),
        _ => format!("{part:.4}%"),
    }
}

/// So many lines across that they are at whole numbers of nines.
fn whole_nines(series: &[Series]) -> usize {
    let points = series.iter().flat_map(|line| &line.points);
    let most = points.map(|(nines, _)| *nines).fold(0.0, f64::max);
    (1..=6)
        .take_while(|nines| f64::from(*nines) <= most)
        .count()
        + 1
}

/// As many plots as it takes to tell all series apart, with their legends.
fn plots(
    title: &str,
    text: &str,
    series: &[Series],
    x: &Axis,
    y: &Axis,
    growth: Growth,
) -> Result<Markup, String> {
    if series.is_empty() {
        return Ok(html! {});
    }
    let figures = series
        .chunks(MOST_SERIES)
        .map(|some| Ok(figure(some, &plot::lines(some, x, y, growth)?)))
        .collect::<Result<Vec<_>, String>>()?;
    Ok(html! {
        h2 { (title) }
        @if !text.is_empty() { p { (text) } }
        div.plots { @for figure in figures { (figure) } }
    })
}

fn figure(series: &[Series], svg: &str) -> Markup {
    html! {
        figure {
            div.plot { (PreEscaped(svg)) }
            figcaption {
                @for (line, colour) in series.iter().zip(COLOURS) {
                    span.key { i style=(format!("background:{colour}")) {} (line.name) }
                }
            }
        }
    }
}

fn fairness(runs: &[&RunRecord]) -> Markup {
    let fair: Vec<_> = runs
        .iter()
        .filter_map(|run| Some((run, run.fairness?)))
        .collect();
    html! {
        @if !fair.is_empty() {
            h2 { "Fairness" }
            p { "Jain's index, and the smallest share of a worker over the largest: 1 is even." }
            div.wide { table.bars {
                thead { tr { th { "scenario" } th { "Jain" } th { "min/max" } } }
                tbody { @for (run, it) in fair { tr {
                    td { (run.name) @if let Some(what) = differs(run) { br; small { (what) } } }
                    td { (bar(it.jain)) }
                    td { (bar(it.min_over_max)) }
                } } }
            } }
        }
    }
}

fn bar(part: f64) -> Markup {
    html! {
        span.bar { b style=(format!("width:{:.1}%", part.clamp(0.0, 1.0) * 100.0)) {} }
        " " (format!("{part:.3}"))
    }
}

fn overheads(report: &Report) -> Markup {
    html! {
        @if !report.overheads.is_empty() {
            h2 { "What measuring costs" }
            p { "Medians of passes with and without measurement, in turns, in one run with one \
                thread. The overhead is the median difference of those that followed one another, over \
                the quickest quarter." }
            div.wide { table {
                thead { tr {
                    @for name in ["scenario", "bare pass", "measured pass", "overhead", "bound"] {
                        th { (name) }
                    }
                } }
                tbody { @for it in &report.overheads { tr {
                    td { (it.scenario) }
                    td { (format!("{:.1} ns", it.bare_ns)) }
                    td { (format!("{:.1} ns", it.measured_ns)) }
                    td class=(if it.is_too_much() { "bad" } else { "good" }) {
                        (format!("{:.1} ns", it.difference_ns))
                    }
                    td { (format!("{:.1} ns", it.bound_ns)) }
                } } }
            } }
        }
    }
}

fn rounds(report: &Report) -> Markup {
    html! {
        @if !report.rounds.is_empty() {
            h2 { "Rounds" }
            div.wide { table {
                thead { tr {
                    @for name in ["round", "ended", "acquired", "memory", "threads",
                        "descriptors", "against"] { th { (name) } }
                } }
                tbody { @for it in &report.rounds { tr {
                    td { (it.number) }
                    td { (seconds(it.ended_seconds)) }
                    td { (count(it.acquisitions)) }
                    @if let Some(usage) = &it.usage {
                        td { (usage.memory_kib) " KiB" }
                        td { (usage.threads) }
                        td { (usage.descriptors) }
                    } @else { td { "–" } td { "–" } td { "–" } }
                    td { (it.against.join(", ")) }
                } } }
            } }
        }
    }
}

/// What runs wrote that speak against the driver, or were meant to.
fn logs(report: &Report) -> Markup {
    let told = report
        .runs
        .iter()
        .filter(|run| !run.outcome.is_good() && !run.log.is_empty());
    html! {
        @for run in told {
            h3 { (run.name) }
            pre { (run.log) }
        }
        @for leak in report.leaks.iter().flatten() {
            p.bad { "not freed: " (leak.0) }
        }
    }
}
