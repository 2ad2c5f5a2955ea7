//! What the page begins with.

use maud::{Markup, html};

use crate::{
    exit::Exit,
    record::{Outcome, RunRecord},
    show::{
        Report,
        units::{count, nanoseconds, seconds},
    },
};

/// The verdict, in a word, a sentence, and a row of numbers.
pub fn of(report: &Report) -> Markup {
    let host = report.host.as_ref().map(ToString::to_string);
    let (word, class) = match report.verdict {
        Exit::Passed => ("PASSED", "good"),
        Exit::Interrupted => ("INTERRUPTED", "middling"),
        Exit::BugCheck => ("BUG CHECK", "bad"),
        Exit::Failed => ("FAILED", "bad"),
        Exit::Usage | Exit::Unreachable | Exit::Protocol => ("ERROR", "bad"),
    };
    html! {
        h1 { "syncstress " (report.command) }
        p.host { "on " strong { (host.as_deref().unwrap_or("no host")) } }
        p { span class=(format!("verdict {class}")) { (word) } " " (sentence(report)) }
        @if let Some(error) = &report.error { p.bad { (error) } }
        @if let Some(bug_check) = &report.bug_check { pre { (bug_check.text) } }
        @if report.runs.len() > 1 {
            div.cards { @for (number, what) in cards(report) {
                div.card { b { (number) } " " (what) }
            } }
        }
    }
}

fn sentence(report: &Report) -> String {
    let against: Vec<&str> = report
        .runs
        .iter()
        .filter(|run| run.speaks_against())
        .map(|run| run.name.as_str())
        .collect();
    let runs = report.runs.len();
    let mut parts = vec![if against.is_empty() {
        format!("{runs} runs, none of which speaks against the driver")
    } else {
        let names = against.join(", ");
        format!("{} of {runs} runs speak against it: {names}", against.len())
    }];
    match report.leaks.as_deref() {
        Some([]) => parts.push("nothing left behind at unload".to_owned()),
        Some(leaks) => parts.push(format!("{} things not freed", leaks.len())),
        None => {}
    }
    if !report.not_run.is_empty() {
        parts.push(format!("{} did not run", report.not_run.len()));
    }
    parts.join("; ")
}

/// A number, and what there are so many of.
type Card = (String, &'static str);

fn cards(report: &Report) -> Vec<Card> {
    let passed = |is_scenario| {
        let of_kind = report.runs.iter();
        let runs: Vec<&RunRecord> = of_kind.filter(|it| it.is_scenario == is_scenario).collect();
        let passed = runs.iter().filter(|it| it.outcome == Outcome::Passed);
        (!runs.is_empty()).then(|| format!("{} / {}", passed.count(), runs.len()))
    };
    let sum = |of: fn(&RunRecord) -> u64| report.runs.iter().map(of).fold(0, u64::saturating_add);
    let time: f64 = report.runs.iter().map(|run| run.elapsed_seconds).sum();
    let waits = report.runs.iter().filter_map(|run| run.wait.as_ref());
    let cards = [
        (passed(false), "behaviour tests passed"),
        (passed(true), "scenarios passed"),
        (
            Some(count(sum(|run| run.totals.acquisitions))),
            "acquisitions",
        ),
        (Some(count(sum(|run| run.failures))), "violations found"),
        (
            waits.map(|it| it.maximum_ns).max().map(nanoseconds),
            "longest wait",
        ),
        (Some(seconds(time)), "of runs"),
    ];
    let there = cards.into_iter();
    there
        .filter_map(|(number, what)| Some((number?, what)))
        .collect()
}
