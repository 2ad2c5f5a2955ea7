//! The client against drivers that break the protocol.

use std::sync::atomic::{AtomicU32, Ordering};

use syncstress_protocol::{ItemKind, Limits, Text};

use super::*;
use crate::transport::fake::Fake;

type Answer = Result<usize, TransportError>;

fn version(major: u16) -> VersionReply {
    VersionReply {
        protocol_major: major,
        protocol_minor: 0,
        driver_version: [1, 2, 3],
        reserved: 0,
        processors: 4,
        items: 0,
        limits: Limits::new_zeroed(),
    }
}

fn item(id: u32) -> ItemDescriptor {
    ItemDescriptor {
        id,
        kind: ItemKind::Scenario.to_wire(),
        name: Text::new("a.b"),
        ..ItemDescriptor::new_zeroed()
    }
}

fn reply(output: &mut [u8], bytes: &[u8]) -> Answer {
    let room = output.get_mut(..bytes.len());
    let room = room.ok_or(TransportError::Refused(NtStatus::BUFFER_TOO_SMALL))?;
    room.copy_from_slice(bytes);
    Ok(bytes.len())
}

/// A client of a driver with the right version that answers everything else with `answer`.
fn client(answer: impl Fn(u32, &[u8], &mut [u8]) -> Answer + Send + Sync + 'static) -> Client {
    let fake = Fake::new(move |code, input, output| match code {
        ioctl::QUERY_VERSION => reply(output, version(PROTOCOL_MAJOR).as_bytes()),
        _ => answer(code, input, output),
    });
    Client::new(Box::new(fake)).expect("the version is right")
}

fn page(total: u32, items: &[ItemDescriptor]) -> Vec<u8> {
    let returned = u32::try_from(items.len()).unwrap();
    let mut bytes = ListReply { total, returned }.as_bytes().to_vec();
    bytes.extend_from_slice(items.as_bytes());
    bytes
}

/// What the client says of a driver that answers every list with `bytes`.
fn list_error(bytes: Vec<u8>) -> String {
    let client = client(move |_, _, output| reply(output, &bytes));
    client.items().expect_err("breaks the protocol").to_string()
}

const RUN: RunReference = RunReference { run: 9 };

fn summary(workers: u32, log_bytes: u32) -> CollectReply {
    CollectReply {
        run: RUN.run,
        verdict: Verdict::Passed.to_wire(),
        workers,
        log_bytes,
        ..CollectReply::new_zeroed()
    }
}

fn collect(summary: &CollectReply, rest: &[u8]) -> Result<Collected, ClientError> {
    let bytes = [summary.as_bytes(), rest].concat();
    let size = u32::try_from(bytes.len()).unwrap();
    client(move |_, _, output| reply(output, &bytes)).collect(RUN, size)
}

#[test]
fn another_major_version_is_refused() {
    let fake = Fake::new(|_, _, output| reply(output, version(PROTOCOL_MAJOR + 1).as_bytes()));
    let error = Client::new(Box::new(fake)).err().expect("another version");
    assert!(matches!(error, ClientError::Version { major, .. } if major == PROTOCOL_MAJOR + 1));
}

#[test]
fn a_short_version_breaks_the_protocol() {
    let fake = Fake::new(|_, _, output| reply(output, &version(1).as_bytes()[..8]));
    let error = Client::new(Box::new(fake)).err().expect("too short");
    assert!(
        matches!(
            error,
            ClientError::Protocol {
                request: "QUERY_VERSION",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn more_bytes_than_there_is_room_for_break_the_protocol() {
    let client = client(|_, _, output| Ok(output.len() + 1));
    assert!(matches!(client.items(), Err(ClientError::Protocol { .. })));
    assert!(matches!(
        client.progress(RUN),
        Err(ClientError::Protocol { .. })
    ));
}

#[test]
fn a_list_is_read_page_by_page() {
    let asked = AtomicU32::new(0);
    let client = client(move |_, input, output| {
        let request = ListRequest::read_from_bytes(input).unwrap();
        assert_eq!(request.first, asked.load(Ordering::Relaxed));
        let more = [item(request.first), item(request.first + 1)];
        let more = &more[..(5 - request.first as usize).min(2)];
        asked.fetch_add(2, Ordering::Relaxed);
        reply(output, &page(5, more))
    });
    let ids: Vec<u32> = client.items().unwrap().iter().map(|item| item.id).collect();
    assert_eq!(ids, [0, 1, 2, 3, 4]);
}

#[test]
fn a_list_that_does_not_get_on_breaks_the_protocol() {
    assert!(list_error(page(5, &[])).contains("0 entries of 5"));
}

#[test]
fn a_list_with_more_than_its_total_breaks_the_protocol() {
    assert!(list_error(page(1, &[item(1), item(2)])).contains("2 entries of 1"));
}

#[test]
fn a_list_whose_count_does_not_match_its_bytes_breaks_the_protocol() {
    let mut short = page(2, &[item(1), item(2)]);
    short.pop();
    assert!(list_error(short).contains("breaks the protocol"));
    let mut huge = page(2, &[item(1)]);
    huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(list_error(huge).contains("breaks the protocol"));
}

#[test]
fn an_endless_list_breaks_the_protocol() {
    assert!(list_error(page(u32::MAX, &[item(1)])).contains("4294967295 entries"));
}

#[test]
fn run_zero_breaks_the_protocol() {
    let client = client(|_, _, output| reply(output, RunReference { run: 0 }.as_bytes()));
    assert!(matches!(
        client.start(1, &[]),
        Err(ClientError::Protocol {
            request: "START",
            ..
        })
    ));
}

#[test]
fn parameters_follow_the_start_request() {
    let client = client(|_, input, output| {
        let (request, values) = StartRequest::read_from_prefix(input).unwrap();
        assert_eq!((request.item, request.parameters), (7, 1));
        let value = ParameterValue::read_from_bytes(values).unwrap();
        assert_eq!((value.id, value.value), (2, 12));
        reply(output, RUN.as_bytes())
    });
    let values = [ParameterValue {
        id: 2,
        reserved: 0,
        value: 12,
    }];
    assert_eq!(client.start(7, &values).unwrap(), RUN);
}

#[test]
fn an_unknown_phase_breaks_the_protocol() {
    let progress = Progress {
        phase: 77,
        ..Progress::new_zeroed()
    };
    let client = client(move |_, _, output| reply(output, progress.as_bytes()));
    assert!(
        client
            .progress(RUN)
            .unwrap_err()
            .to_string()
            .contains("phase 77")
    );
}

#[test]
fn a_result_is_workers_and_then_a_log() {
    let worker = WorkerReport {
        index: 3,
        passes: 17,
        ..WorkerReport::new_zeroed()
    };
    let rest = [worker.as_bytes(), b"line\n".as_slice()].concat();
    let collected = collect(&summary(1, 5), &rest).unwrap();
    assert_eq!(collected.verdict, Verdict::Passed);
    assert_eq!(
        (collected.workers.len(), collected.workers[0].passes),
        (1, 17)
    );
    assert_eq!(collected.log, "line\n");
}

#[test]
fn a_log_that_is_no_utf8_is_still_a_log() {
    assert_eq!(
        collect(&summary(0, 2), &[b'a', 0xFF]).unwrap().log,
        "a\u{fffd}"
    );
}

#[test]
fn a_result_that_does_not_add_up_breaks_the_protocol() {
    let worker = WorkerReport::new_zeroed();
    for (workers, log_bytes) in [(1, 1), (0, 0), (2, 0), (u32::MAX, 0), (0, u32::MAX)] {
        let error = collect(&summary(workers, log_bytes), worker.as_bytes());
        assert!(
            matches!(error, Err(ClientError::Protocol { .. })),
            "{workers} {log_bytes}"
        );
    }
}

#[test]
fn a_result_of_another_run_or_with_an_unknown_verdict_breaks_the_protocol() {
    let other = CollectReply {
        run: 8,
        ..summary(0, 0)
    };
    assert!(
        collect(&other, &[])
            .unwrap_err()
            .to_string()
            .contains("run 8")
    );
    let odd = CollectReply {
        verdict: 0,
        ..summary(0, 0)
    };
    assert!(
        collect(&odd, &[])
            .unwrap_err()
            .to_string()
            .contains("verdict 0")
    );
}

#[test]
fn a_result_of_absurd_size_is_not_asked_for() {
    let client = client(|_, _, _| panic!("asked"));
    assert!(matches!(
        client.collect(RUN, u32::MAX),
        Err(ClientError::Protocol { .. })
    ));
}

#[test]
fn a_refusal_keeps_its_status() {
    let client = client(|_, _, _| Err(TransportError::Refused(NtStatus::DEVICE_BUSY)));
    assert_eq!(
        client.start(1, &[]).unwrap_err().refusal(),
        Some(NtStatus::DEVICE_BUSY)
    );
}
