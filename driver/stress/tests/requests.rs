//! Requests that are refused: with which status, and that nothing changed.

mod common;

use common::{Client, engine, start_request};
use syncstress_protocol::{
    CollectReply, ListReply, ListRequest, MAX_PARAMETERS, Progress, RunReference, StartRequest,
    VersionReply, ioctl,
};
use wdk_sync::Status;
use zerocopy::IntoBytes;

const SPIN_LOCK: u32 = 1;
const THREADS: u32 = 1;
const READERS: u32 = 2;
const SECONDS: u32 = 3;
const NO_ITEM: u32 = 0x7FFF_FFFF;

/// A code, its input, the room for output, and the status that it gets.
type Case = (&'static str, u32, Vec<u8>, usize, Status);

fn list(item: u32, first: u32) -> Vec<u8> {
    ListRequest { item, first }.as_bytes().to_vec()
}

fn run_reference(run: u64) -> Vec<u8> {
    RunReference { run }.as_bytes().to_vec()
}

fn start_header(item: u32, parameters: u32) -> Vec<u8> {
    StartRequest { item, parameters }.as_bytes().to_vec()
}

fn without_last(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.pop();
    bytes
}

fn with_one_more(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.push(0);
    bytes
}

fn sizes() -> Vec<Case> {
    const VERSION: usize = size_of::<VersionReply>();
    const LENGTH: Status = Status::INFO_LENGTH_MISMATCH;
    const SMALL: Status = Status::BUFFER_TOO_SMALL;
    let run = || run_reference(1);
    let start = || start_request(SPIN_LOCK, &[(SECONDS, 1)]);
    vec![
        (
            "version, input",
            ioctl::QUERY_VERSION,
            vec![0],
            VERSION,
            LENGTH,
        ),
        ("version, no room", ioctl::QUERY_VERSION, vec![], 0, SMALL),
        (
            "version, short",
            ioctl::QUERY_VERSION,
            vec![],
            VERSION - 1,
            SMALL,
        ),
        ("items, no input", ioctl::LIST_ITEMS, vec![], 4096, LENGTH),
        (
            "items, short input",
            ioctl::LIST_ITEMS,
            without_last(list(0, 0)),
            4096,
            LENGTH,
        ),
        (
            "items, long input",
            ioctl::LIST_ITEMS,
            with_one_more(list(0, 0)),
            4096,
            LENGTH,
        ),
        (
            "items, short",
            ioctl::LIST_ITEMS,
            list(0, 0),
            size_of::<ListReply>() - 1,
            SMALL,
        ),
        (
            "parameters, no input",
            ioctl::LIST_PARAMETERS,
            vec![],
            4096,
            LENGTH,
        ),
        (
            "parameters, long input",
            ioctl::LIST_PARAMETERS,
            with_one_more(list(1, 0)),
            64,
            LENGTH,
        ),
        (
            "parameters, short",
            ioctl::LIST_PARAMETERS,
            list(SPIN_LOCK, 0),
            7,
            SMALL,
        ),
        ("start, no input", ioctl::START, vec![], 8, LENGTH),
        ("start, half a header", ioctl::START, vec![1; 4], 8, LENGTH),
        (
            "start, no values",
            ioctl::START,
            start_header(SPIN_LOCK, 1),
            8,
            LENGTH,
        ),
        (
            "start, half a value",
            ioctl::START,
            without_last(start()),
            8,
            LENGTH,
        ),
        (
            "start, trailing byte",
            ioctl::START,
            with_one_more(start()),
            8,
            LENGTH,
        ),
        ("start, no room", ioctl::START, start(), 7, SMALL),
        ("progress, no input", ioctl::PROGRESS, vec![], 128, LENGTH),
        (
            "progress, long input",
            ioctl::PROGRESS,
            with_one_more(run()),
            128,
            LENGTH,
        ),
        (
            "progress, short",
            ioctl::PROGRESS,
            run(),
            size_of::<Progress>() - 1,
            SMALL,
        ),
        ("stop, no input", ioctl::STOP, vec![], 0, LENGTH),
        (
            "stop, short input",
            ioctl::STOP,
            without_last(run()),
            0,
            LENGTH,
        ),
        ("collect, no input", ioctl::COLLECT, vec![], 4096, LENGTH),
        (
            "collect, long input",
            ioctl::COLLECT,
            with_one_more(run()),
            4096,
            LENGTH,
        ),
    ]
}

fn values() -> Vec<Case> {
    const INVALID: Status = Status::INVALID_PARAMETER;
    let start = |values: &[(u32, u64)]| start_request(SPIN_LOCK, values);
    let too_many = u32::try_from(MAX_PARAMETERS).unwrap() + 1;
    let mut reserved = start(&[(SECONDS, 1)]);
    // Behind the header and the id.
    reserved[size_of::<StartRequest>() + 4] = 1;
    vec![
        (
            "items of an item",
            ioctl::LIST_ITEMS,
            list(1, 0),
            4096,
            INVALID,
        ),
        (
            "items behind the end",
            ioctl::LIST_ITEMS,
            list(0, 10_000),
            4096,
            INVALID,
        ),
        (
            "parameters behind the end",
            ioctl::LIST_PARAMETERS,
            list(SPIN_LOCK, 99),
            4096,
            INVALID,
        ),
        (
            "parameters of nothing",
            ioctl::LIST_PARAMETERS,
            list(NO_ITEM, 0),
            4096,
            Status::NOT_FOUND,
        ),
        (
            "start nothing",
            ioctl::START,
            start_header(NO_ITEM, 0),
            8,
            Status::NOT_FOUND,
        ),
        (
            "start item 0",
            ioctl::START,
            start_header(0, 0),
            8,
            Status::NOT_FOUND,
        ),
        (
            "no threads",
            ioctl::START,
            start(&[(THREADS, 0)]),
            8,
            INVALID,
        ),
        (
            "257 threads",
            ioctl::START,
            start(&[(THREADS, 257)]),
            8,
            INVALID,
        ),
        (
            "no seconds",
            ioctl::START,
            start(&[(SECONDS, 0)]),
            8,
            INVALID,
        ),
        (
            "two days",
            ioctl::START,
            start(&[(SECONDS, 172_800)]),
            8,
            INVALID,
        ),
        (
            "all bits set",
            ioctl::START,
            start(&[(SECONDS, u64::MAX)]),
            8,
            INVALID,
        ),
        (
            "a parameter twice",
            ioctl::START,
            start(&[(SECONDS, 1), (SECONDS, 1)]),
            8,
            INVALID,
        ),
        (
            "a parameter of others",
            ioctl::START,
            start(&[(READERS, 1)]),
            8,
            INVALID,
        ),
        (
            "no such parameter",
            ioctl::START,
            start(&[(9999, 1)]),
            8,
            INVALID,
        ),
        ("a reserved field", ioctl::START, reserved, 8, INVALID),
        (
            "more than fit",
            ioctl::START,
            start_header(SPIN_LOCK, too_many),
            8,
            INVALID,
        ),
        (
            "billions",
            ioctl::START,
            start_header(SPIN_LOCK, u32::MAX),
            8,
            INVALID,
        ),
        (
            "a test with parameters",
            ioctl::START,
            start_request(1001, &[(SECONDS, 1)]),
            8,
            INVALID,
        ),
        (
            "progress of nothing",
            ioctl::PROGRESS,
            run_reference(77),
            128,
            Status::NOT_FOUND,
        ),
        (
            "stop nothing",
            ioctl::STOP,
            run_reference(77),
            0,
            Status::NOT_FOUND,
        ),
        (
            "stop run 0",
            ioctl::STOP,
            run_reference(0),
            0,
            Status::NOT_FOUND,
        ),
        (
            "collect nothing",
            ioctl::COLLECT,
            run_reference(77),
            4096,
            Status::NOT_FOUND,
        ),
    ]
}

fn codes() -> Vec<Case> {
    const UNKNOWN: Status = Status::INVALID_DEVICE_REQUEST;
    // The other transfer methods of a known function, and functions that there are not.
    let codes = [
        0,
        u32::MAX,
        ioctl::START | 1,
        ioctl::START | 2,
        ioctl::START | 3,
        ioctl::COLLECT + 4,
        ioctl::QUERY_VERSION - 4,
    ];
    let cases = codes.map(|code| ("an unknown code", code, vec![0; 16], 4096, UNKNOWN));
    cases.to_vec()
}

#[test]
fn malformed_requests_are_refused_and_change_nothing() {
    let engine = engine();
    let client = Client::new(&engine);
    for (what, code, input, output, status) in [sizes(), values(), codes()].concat() {
        assert_eq!(
            client.send(code, &input, output),
            Err(status),
            "{what} (code {code:#x})"
        );
    }
    // No run was started: the handle has room for one.
    let run = client.start("spinlock", &[("seconds", 1)]).unwrap();
    assert_eq!(run.run, 1, "no request took a number");
    client.stop(run).unwrap();
    client.collect(run);
}

#[test]
fn malformed_requests_do_not_disturb_a_run() {
    let engine = engine();
    let client = Client::new(&engine);
    let run = client
        .start("mutex", &[("seconds", 60), ("threads", 2)])
        .unwrap();
    for (what, code, input, output, status) in [sizes(), codes()].concat() {
        assert_eq!(client.send(code, &input, output), Err(status), "{what}");
    }
    let progress = client.progress(run).unwrap();
    assert_eq!(progress.failures, 0);
    client.stop(run).unwrap();
    client
        .collect(run)
        .expect(syncstress_protocol::Verdict::Stopped);
}

#[test]
fn a_buffer_that_is_smaller_than_its_lengths_say_is_refused() {
    let engine = engine();
    let client = Client::new(&engine);
    wdk_sync::testing::at_passive_level(|irql| {
        let mut buffer = [0; 8];
        for (input, output) in [(9, 0), (0, 9), (usize::MAX, usize::MAX)] {
            let answer = client
                .0
                .dispatch(irql, ioctl::QUERY_VERSION, &mut buffer, input, output);
            assert_eq!(answer, Err(Status::INFO_LENGTH_MISMATCH));
        }
    });
}

#[test]
fn a_second_run_on_a_handle_is_refused() {
    let engine = engine();
    let client = Client::new(&engine);
    let run = client
        .start("spinlock", &[("seconds", 60), ("threads", 1)])
        .unwrap();
    let second = client.start("mutex", &[]).map(|run| run.run);
    assert_eq!(second, Err(Status::DEVICE_BUSY));
    client.stop(run).unwrap();
    client.collect(run);
    // Room again.
    client
        .run("event.initial_state", &[])
        .expect(syncstress_protocol::Verdict::Passed);
}

#[test]
fn a_run_belongs_to_its_handle() {
    let engine = engine();
    let (owner, other) = (Client::new(&engine), Client::new(&engine));
    let run = owner
        .start("spinlock", &[("seconds", 60), ("threads", 1)])
        .unwrap();
    assert_eq!(other.progress(run).map(drop), Err(Status::NOT_FOUND));
    assert_eq!(other.stop(run), Err(Status::NOT_FOUND));
    let collected = other.send(ioctl::COLLECT, run.as_bytes(), 4096);
    assert_eq!(collected, Err(Status::NOT_FOUND));
    owner.stop(run).unwrap();
    owner.collect(run);
}

#[test]
fn a_result_waits_until_there_is_room_for_it() {
    let engine = engine();
    let client = Client::new(&engine);
    let run = client
        .start("spinlock", &[("seconds", 60), ("threads", 2)])
        .unwrap();
    let busy = client.send(ioctl::COLLECT, run.as_bytes(), 4096);
    assert_eq!(busy, Err(Status::DEVICE_BUSY));
    client.stop(run).unwrap();
    let bytes = loop {
        match client.progress(run).unwrap().collect_bytes {
            0 => std::thread::sleep(std::time::Duration::from_millis(2)),
            bytes => break bytes as usize,
        }
    };
    for room in [0, 1, size_of::<CollectReply>(), bytes - 1] {
        let short = client.send(ioctl::COLLECT, run.as_bytes(), room);
        assert_eq!(short, Err(Status::BUFFER_TOO_SMALL));
    }
    assert_eq!(client.collect(run).workers.len(), 2);
    assert_eq!(client.progress(run).map(drop), Err(Status::NOT_FOUND));
}

#[test]
fn lists_go_on_where_they_ended() {
    let engine = engine();
    let client = Client::new(&engine);
    let total = client.items().len();
    let last = u32::try_from(total).unwrap();
    let answer = client
        .send(ioctl::LIST_ITEMS, &list(0, last), 4096)
        .unwrap();
    assert_eq!(answer.len(), size_of::<ListReply>(), "nothing is left");
    let answer = client.send(ioctl::LIST_ITEMS, &list(0, 0), size_of::<ListReply>());
    assert_eq!(
        answer.unwrap().len(),
        size_of::<ListReply>(),
        "nothing fits"
    );
}
