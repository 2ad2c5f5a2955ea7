//! Looking up reports: the tests of one process share the tables, so each has names of its own.

use wdk_sync::lockdep::{self, Link, Problem, Report};

fn name_asked(link: &Link) -> &'static str {
    link.asked().expect("a class").name()
}

fn reports_of(prefix: &str) -> impl Iterator<Item = &'static Report> {
    lockdep::reports().filter(move |report| name_asked(report.link()).starts_with(prefix))
}

/// What is wrong with the locks whose name begins so.
pub fn problems_of(prefix: &str) -> Vec<Problem> {
    reports_of(prefix).map(Report::problem).collect()
}

/// The cycle of the locks whose name begins so.
pub fn cycle_of(prefix: &str) -> Option<&'static Report> {
    reports_of(prefix).find(|report| report.problem() == Problem::Cycle)
}

/// The chain of a report: what was held, and what was asked for under it.
pub fn names(report: &Report) -> Vec<String> {
    let name = |link: &Link| format!("{} < {}", link.held().unwrap().name(), name_asked(link));
    report.chain().map(name).collect()
}
