//! Runs on drivers that stop late, refuse, or do not stop at all.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use syncstress_protocol::{
    CollectReply, ItemKind, PROTOCOL_MAJOR, Verdict, VersionReply, WorkerReport, ioctl,
};
use zerocopy::{FromZeros as _, IntoBytes};

use super::*;
use crate::{
    catalog::samples,
    record::Outcome,
    status::NtStatus,
    transport::{TransportError, fake::Fake},
};

/// A driver with one run, which finishes after some looks at it, or when it is stopped, or never.
#[derive(Default)]
struct Script {
    /// Looks until the run finishes by itself.
    looks: Option<u32>,
    /// Whether it obeys STOP.
    obeys: bool,
    /// The status that START gets.
    refusal: Option<NtStatus>,
    /// What COLLECT tells.
    verdict: Option<Verdict>,
    failures: u64,
    looked: AtomicU32,
    stops: AtomicU32,
}

impl Script {
    fn answer(&self, code: u32, output: &mut [u8]) -> Result<usize, TransportError> {
        let version = VersionReply {
            protocol_major: PROTOCOL_MAJOR,
            ..VersionReply::new_zeroed()
        };
        Ok(match code {
            ioctl::QUERY_VERSION => put(output, &version),
            ioctl::START => match self.refusal {
                Some(status) => return Err(TransportError::Refused(status)),
                None => put(output, &RunReference { run: 1 }),
            },
            ioctl::PROGRESS => put(output, &self.progress()),
            ioctl::STOP => {
                self.stops.fetch_add(1, Ordering::Relaxed);
                0
            }
            ioctl::COLLECT => put(output, &self.result()),
            _ => panic!("code {code:#X}"),
        })
    }

    fn progress(&self) -> Progress {
        let looked = self.looked.fetch_add(1, Ordering::Relaxed);
        let stopped = self.obeys && self.stops.load(Ordering::Relaxed) > 0;
        let finished = stopped || self.looks.is_some_and(|looks| looked >= looks);
        let phase = if finished {
            Phase::Finished
        } else {
            Phase::Running
        };
        Progress {
            phase: phase.to_wire(),
            workers: 3,
            collect_bytes: if finished {
                u32::try_from(size_of::<Answer>()).unwrap()
            } else {
                0
            },
            ..Progress::new_zeroed()
        }
    }

    fn result(&self) -> Answer {
        let summary = CollectReply {
            run: 1,
            verdict: self.verdict.unwrap_or(Verdict::Passed).to_wire(),
            status: NtStatus::NOT_SUPPORTED.0,
            workers: 2,
            elapsed_100ns: 20_000_000,
            failures: self.failures,
            ..CollectReply::new_zeroed()
        };
        let worker = |acquisitions| WorkerReport {
            role: 1,
            acquisitions,
            contended: acquisitions / 2,
            total_wait_ns: acquisitions * 10,
            ..WorkerReport::new_zeroed()
        };
        Answer {
            summary,
            workers: [worker(100), worker(300)],
        }
    }
}

#[derive(IntoBytes, zerocopy::Immutable)]
#[repr(C)]
struct Answer {
    summary: CollectReply,
    workers: [WorkerReport; 2],
}

fn put<T: IntoBytes + zerocopy::Immutable>(output: &mut [u8], value: &T) -> usize {
    let bytes = value.as_bytes();
    output[..bytes.len()].copy_from_slice(bytes);
    bytes.len()
}

fn run_on(script: Script, interrupt: &Interrupt) -> (Result<RunRecord, Error>, Arc<Script>) {
    let script = Arc::new(script);
    let driver = script.clone();
    let fake = Fake::new(move |code, _, output| driver.answer(code, output));
    let client = Client::new(Box::new(fake)).unwrap();
    let item = samples::item(1, ItemKind::Scenario, "a.b", false);
    let patience = Patience {
        to_finish: Duration::from_millis(50),
        to_stop: Duration::from_millis(50),
    };
    let runner = Runner {
        client: &client,
        interrupt,
        patience,
    };
    (runner.run(&item, &Values::default(), &mut |_| {}), script)
}

fn outcome_of(script: Script) -> Outcome {
    run_on(script, &Interrupt::default()).0.unwrap().outcome
}

#[test]
fn a_run_is_watched_to_its_end() {
    let script = Script {
        looks: Some(3),
        ..Script::default()
    };
    let (record, script) = run_on(script, &Interrupt::default());
    let record = record.unwrap();
    assert_eq!(record.outcome, Outcome::Passed);
    assert_eq!(script.looked.load(Ordering::Relaxed), 4);
    assert_eq!(script.stops.load(Ordering::Relaxed), 0);
    assert_eq!(record.totals.acquisitions, 400);
    assert_eq!(record.totals.mean_wait_ns, 10);
    assert!((record.totals.contention - 0.5).abs() < 1e-9);
    assert!((record.acquisitions_per_second - 200.0).abs() < 1e-9);
    assert!((record.fairness.unwrap().jain - 0.8).abs() < 1e-9);
}

#[test]
fn a_refused_start_is_the_result_of_the_run() {
    let script = Script {
        refusal: Some(NtStatus::QUOTA_EXCEEDED),
        ..Script::default()
    };
    let record = run_on(script, &Interrupt::default()).0.unwrap();
    assert_eq!(record.outcome, Outcome::Error);
    assert_eq!(record.status, Some(NtStatus::QUOTA_EXCEEDED));
}

#[test]
fn an_interrupt_stops_the_run_once_and_keeps_its_result() {
    let interrupt = Interrupt::default();
    interrupt.request();
    let script = Script {
        obeys: true,
        verdict: Some(Verdict::Stopped),
        ..Script::default()
    };
    let (record, script) = run_on(script, &interrupt);
    assert_eq!(record.unwrap().outcome, Outcome::Stopped);
    assert_eq!(script.stops.load(Ordering::Relaxed), 1);
}

#[test]
fn a_run_past_its_time_is_stopped_and_speaks_against_the_driver() {
    let script = Script {
        obeys: true,
        verdict: Some(Verdict::Stopped),
        ..Script::default()
    };
    let record = run_on(script, &Interrupt::default()).0.unwrap();
    assert_eq!(record.outcome, Outcome::Overran);
    assert!(record.speaks_against());
}

#[test]
fn a_run_that_does_not_stop_is_an_error() {
    let error = run_on(Script::default(), &Interrupt::default())
        .0
        .unwrap_err();
    assert!(matches!(error, Error::Stuck { workers: 3, .. }), "{error}");
    assert!(error.leaves_nothing_to_unload());
}

#[test]
fn failures_are_believed_before_the_verdict() {
    let passed = Script {
        looks: Some(0),
        failures: 1,
        ..Script::default()
    };
    assert_eq!(outcome_of(passed), Outcome::Failed);
    let failed = Script {
        looks: Some(0),
        verdict: Some(Verdict::Failed),
        ..Script::default()
    };
    assert_eq!(outcome_of(failed), Outcome::Failed);
}

#[test]
fn a_run_that_could_not_be_run_says_why() {
    let script = Script {
        looks: Some(0),
        verdict: Some(Verdict::Error),
        ..Script::default()
    };
    let record = run_on(script, &Interrupt::default()).0.unwrap();
    assert_eq!(
        (record.outcome, record.status),
        (Outcome::Error, Some(NtStatus::NOT_SUPPORTED))
    );
}
