//! What a scenario tells of the phenomenon that it is about.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::differs;
use crate::{
    record::{Figure, RunRecord},
    show::units::{rate, seconds},
};

/// What every scenario tells: how it was measured. The page has no table of that; the JSON has.
const OF_EVERY_RUN: [&str; 4] = [
    "clock cost",
    "clock frequency",
    "holds timed",
    "waits timed",
];

/// A line for each scenario that tells more than how it was measured.
pub fn of(runs: &[&RunRecord]) -> Markup {
    let telling: Vec<_> = runs
        .iter()
        .map(|run| (run, told(&run.metrics)))
        .filter(|(_, told)| !told.is_empty())
        .collect();
    html! {
        @if !telling.is_empty() {
            h2 { "Phenomena" }
            p { "What scenarios found of the thing that they are about." }
            dl.figures { @for (run, told) in telling {
                dt { (run.name) @if let Some(what) = differs(run) { br; small { (what) } } }
                dd { @for (name, value) in told {
                    span.figure { (name) " " b { (value) } }
                } }
            } }
        }
    }
}

fn told(metrics: &BTreeMap<String, Figure>) -> Vec<(&str, String)> {
    let metrics = metrics.iter();
    metrics
        .filter(|(name, _)| !OF_EVERY_RUN.contains(&name.as_str()))
        .map(|(name, figure)| (name.as_str(), written(figure)))
        .collect()
}

fn written(figure: &Figure) -> String {
    let unit = &*figure.unit;
    match unit {
        "ns" => seconds(figure.value / 1e9),
        "" if figure.value >= 1_000.0 => rate(figure.value),
        "" | "%" => format!("{}{unit}", rounded(figure.value)),
        _ => format!("{} {unit}", rounded(figure.value)),
    }
}

/// Whole numbers as such, others to a tenth.
fn rounded(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}
