//! Results as a `JUnit` report: a suite for each primitive, a case for each run.

use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use crate::{
    record::{Outcome, RunRecord},
    show::Report,
};

/// The document.
pub fn document(report: &Report) -> Result<String, String> {
    let host = report.host.as_ref().map(ToString::to_string);
    let name = format!("syncstress on {}", host.as_deref().unwrap_or("no host"));
    let mut document = quick_junit::Report::new(name);
    let mut primitives: Vec<&str> = report.runs.iter().map(|run| &*run.primitive).collect();
    primitives.sort_unstable();
    primitives.dedup();
    for primitive in primitives {
        let mut suite = TestSuite::new(primitive);
        let runs = report.runs.iter().filter(|run| run.primitive == primitive);
        suite.add_test_cases(runs.map(case));
        document.add_test_suite(suite);
    }
    if !report.not_run.is_empty() || report.error.is_some() {
        document.add_test_suite(rest(report));
    }
    document.to_string().map_err(|error| error.to_string())
}

/// A negative control that failed did what it is for.
fn case(run: &RunRecord) -> TestCase {
    let as_it_should = run.negative_control && run.outcome == Outcome::Failed;
    let status = if as_it_should || !run.speaks_against() {
        TestCaseStatus::success()
    } else {
        let kind = if run.outcome == Outcome::Error {
            NonSuccessKind::Error
        } else {
            NonSuccessKind::Failure
        };
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(format!("{}: {} failures", run.outcome.word(), run.failures));
        status.set_description(run.log.clone());
        status
    };
    let parameters: Vec<String> = run
        .parameters
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let name = if parameters.is_empty() {
        run.name.clone()
    } else {
        format!("{} {}", run.name, parameters.join(" "))
    };
    let mut case = TestCase::new(name, status);
    case.set_time(Duration::try_from_secs_f64(run.elapsed_seconds).unwrap_or_default());
    case
}

/// What did not run, and what ended the command.
fn rest(report: &Report) -> TestSuite {
    let mut suite = TestSuite::new("not run");
    for name in &report.not_run {
        suite.add_test_case(TestCase::new(name, TestCaseStatus::skipped()));
    }
    if let Some(error) = &report.error {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(error);
        suite.add_test_case(TestCase::new("the command", status));
    }
    suite
}
