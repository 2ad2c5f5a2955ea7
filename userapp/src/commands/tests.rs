//! Commands on a fake driver: what is kept and how it ends when things go wrong.

use std::sync::atomic::{AtomicU32, Ordering};

use syncstress_protocol::{
    CollectReply, ItemDescriptor, ItemKind, ListReply, PROTOCOL_MAJOR, Phase, Progress,
    RunReference, StartRequest, Text, Verdict, VersionReply, ioctl,
};
use zerocopy::{FromBytes as _, FromZeros as _, Immutable, IntoBytes};

use super::*;
use crate::{
    status::NtStatus,
    transport::{BugCheck, Leak, TransportError, fake::Fake},
};

fn put<T: IntoBytes + Immutable + ?Sized>(output: &mut [u8], value: &T) -> usize {
    let bytes = value.as_bytes();
    output[..bytes.len()].copy_from_slice(bytes);
    bytes.len()
}

fn list(output: &mut [u8]) -> usize {
    let item = |id, kind: ItemKind, name| ItemDescriptor {
        id,
        kind: kind.to_wire(),
        primitive: 1,
        name: Text::new(name),
        ..ItemDescriptor::new_zeroed()
    };
    let items = [
        item(1, ItemKind::BehaviourTest, "a.one"),
        item(2, ItemKind::BehaviourTest, "a.two"),
        item(3, ItemKind::BehaviourTest, "a.three"),
        item(4, ItemKind::Scenario, "a.storm"),
    ];
    let header = ListReply {
        total: 4,
        returned: 4,
    };
    put(output, &[header.as_bytes(), items.as_bytes()].concat()[..])
}

/// A driver whose runs end at once, and pass unless `verdict_of` the item says otherwise.
fn driver(verdict_of: fn(u32) -> Result<Verdict, TransportError>) -> Fake {
    let item = AtomicU32::new(0);
    let run = RunReference { run: 1 };
    Fake::new(move |code, input, output| {
        Ok(match code {
            ioctl::QUERY_VERSION => {
                let version = VersionReply::new_zeroed();
                put(
                    output,
                    &VersionReply {
                        protocol_major: PROTOCOL_MAJOR,
                        ..version
                    },
                )
            }
            ioctl::LIST_ITEMS => list(output),
            ioctl::START => {
                let (request, _) = StartRequest::read_from_prefix(input).unwrap();
                item.store(request.item, Ordering::Relaxed);
                put(output, &run)
            }
            ioctl::PROGRESS => put(
                output,
                &Progress {
                    phase: Phase::Finished.to_wire(),
                    collect_bytes: 4096,
                    ..Progress::new_zeroed()
                },
            ),
            ioctl::COLLECT => {
                let verdict = verdict_of(item.load(Ordering::Relaxed))?.to_wire();
                put(
                    output,
                    &CollectReply {
                        run: run.run,
                        verdict,
                        ..CollectReply::new_zeroed()
                    },
                )
            }
            ioctl::QUERY_LOCK_WATCH => {
                return Err(TransportError::Refused(NtStatus::INVALID_DEVICE_REQUEST));
            }
            _ => panic!("code {code:#X}"),
        })
    })
}

fn carry_out(arguments: &[&str], driver: Fake, interrupt: &Interrupt) -> Report {
    let line = [&["syncstress", "--json"], arguments].concat();
    let cli = Cli::try_parse_from(line).unwrap();
    let mut conduct = Conduct::new(&cli.command, Screen::new(&cli.display), interrupt);
    let ended = conduct.on(Box::new(driver));
    conduct.report.judge(ended.err().as_ref());
    conduct.report
}

fn names(report: &Report) -> Vec<&str> {
    report.runs.iter().map(|run| run.name.as_str()).collect()
}

#[test]
fn stress_runs_the_tests_and_then_the_scenarios() {
    let report = carry_out(
        &["stress"],
        driver(|_| Ok(Verdict::Passed)),
        &Interrupt::default(),
    );
    assert_eq!(names(&report), ["a.one", "a.two", "a.three", "a.storm"]);
    assert_eq!(report.verdict, Exit::Passed);
}

#[test]
fn a_failure_does_not_keep_the_rest_from_running() {
    let second_fails = |item| {
        Ok(if item == 2 {
            Verdict::Failed
        } else {
            Verdict::Passed
        })
    };
    let report = carry_out(&["stress"], driver(second_fails), &Interrupt::default());
    assert_eq!(report.runs.len(), 4);
    assert_eq!(report.verdict, Exit::Failed);
}

#[test]
fn a_bug_check_keeps_what_ran_and_names_what_did_not() {
    let second_kills = |item| match item {
        2 => Err(TransportError::BugCheck(Box::new(BugCheck {
            text: "IRQL_NOT_LESS_OR_EQUAL".to_owned(),
            report: serde_json::json!({ "code": 10 }),
        }))),
        _ => Ok(Verdict::Passed),
    };
    let report = carry_out(&["stress"], driver(second_kills), &Interrupt::default());
    assert_eq!(names(&report), ["a.one"]);
    assert_eq!(report.not_run, ["a.two", "a.three", "a.storm"]);
    assert_eq!(report.verdict, Exit::BugCheck);
    assert_eq!(
        report.bug_check.map(|it| it.text).as_deref(),
        Some("IRQL_NOT_LESS_OR_EQUAL")
    );
    assert_eq!(report.leaks, None);
}

#[test]
fn after_an_interrupt_nothing_more_starts() {
    let interrupt = Interrupt::default();
    interrupt.request();
    let report = carry_out(&["test"], driver(|_| Ok(Verdict::Passed)), &interrupt);
    assert_eq!(report.runs.len(), 0);
    assert_eq!(report.not_run, ["a.one", "a.two", "a.three"]);
    assert!(report.interrupted);
    assert_eq!(report.verdict, Exit::Interrupted);
}

#[test]
fn what_is_left_behind_fails_what_passed() {
    let leaving = driver(|_| Ok(Verdict::Passed)).leaving(Leak("32 bytes, tag SyTe".to_owned()));
    let report = carry_out(&["test", "a.one"], leaving, &Interrupt::default());
    assert_eq!(names(&report), ["a.one"]);
    assert_eq!(report.verdict, Exit::Failed);
}

#[test]
fn a_wrong_name_runs_nothing() {
    let report = carry_out(
        &["test", "b"],
        driver(|_| Ok(Verdict::Passed)),
        &Interrupt::default(),
    );
    assert_eq!(report.verdict, Exit::Usage);
    assert!(report.runs.is_empty());
}
