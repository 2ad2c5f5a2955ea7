//! How it all came out.

use syncstress_protocol::ItemKind;

use super::{
    report::Report,
    screen::{GREEN, RED, Screen},
};
use crate::{
    exit::Exit,
    record::{Outcome, RunRecord},
    transport::BugCheck,
    wire,
};

/// How many names of failed runs the verdict has.
const MOST_NAMES: usize = 5;

impl Screen {
    /// How it all came out: leaks, and the verdict with what it rests on.
    pub fn verdict(self, report: &Report) {
        for leak in report.leaks.iter().flatten() {
            self.line(format_args!("{RED}not freed:{RED:#} {}", leak.0));
        }
        let style = if report.verdict == Exit::Passed {
            GREEN.bold()
        } else {
            RED
        };
        let word = match report.verdict {
            Exit::Passed => "PASSED",
            Exit::BugCheck => "BUG CHECK",
            Exit::Interrupted => "INTERRUPTED",
            Exit::Failed => "FAILED",
            Exit::Usage | Exit::Unreachable | Exit::Protocol => "ERROR",
        };
        let host = report
            .host
            .as_ref()
            .map_or_else(String::new, |host| format!(" on {host}"));
        self.line(format_args!(
            "{style}{word}{style:#}{host}: {}",
            summary(report)
        ));
    }

    /// A bug check's report.
    pub fn bug_check(self, bug_check: &BugCheck) {
        self.line(format_args!(
            "\n{RED}The kernel stopped with a bug check.{RED:#}"
        ));
        self.line(bug_check.text.trim_end());
        self.line("");
    }
}

/// The numbers behind the verdict, in one line.
fn summary(report: &Report) -> String {
    let mut parts = Vec::new();
    let (scenarios, tests): (Vec<&RunRecord>, Vec<&RunRecord>) =
        report.runs.iter().partition(|run| run.is_scenario);
    let is_pattern = |run: &&RunRecord| run.kind == wire::kind(ItemKind::HoldPattern.to_wire());
    let (patterns, tests): (Vec<&RunRecord>, Vec<&RunRecord>) =
        tests.into_iter().partition(is_pattern);
    for (runs, what) in [
        (tests, "behaviour tests"),
        (scenarios, "stress scenarios"),
        (patterns, "hold patterns"),
    ] {
        if !runs.is_empty() {
            parts.push(counted(&runs, what));
        }
    }
    if !report.not_run.is_empty() {
        parts.push(format!("{} did not run", report.not_run.len()));
    }
    match report.leaks.as_deref() {
        Some([]) => parts.push("nothing left behind at unload".to_owned()),
        Some(leaks) => parts.push(format!("{} things not freed", leaks.len())),
        None => {}
    }
    if parts.is_empty() {
        parts.push("nothing ran".to_owned());
    }
    parts.join("; ")
}

fn counted(runs: &[&RunRecord], what: &str) -> String {
    let with = |outcome| runs.iter().filter(|run| run.outcome == outcome).count();
    let passed = format!("{} of {} {what} passed", with(Outcome::Passed), runs.len());
    let stopped = match with(Outcome::Stopped) {
        0 => String::new(),
        stopped => format!(", {stopped} stopped"),
    };
    let against: Vec<&str> = runs
        .iter()
        .filter(|run| run.speaks_against())
        .map(|run| run.name.as_str())
        .collect();
    let named = against[..against.len().min(MOST_NAMES)].join(", ");
    let against = match against.len() {
        0 => String::new(),
        count if count > MOST_NAMES => format!(" (not {named} and {} more)", count - MOST_NAMES),
        _ => format!(" (not {named})"),
    };
    passed + &stopped + &against
}
