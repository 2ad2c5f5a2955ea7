//! Requests that are refused: with which status, and that nothing changed.
#![cfg(not(windows))]

mod common;

use common::{Client, engine, start_request};
use syncstress_protocol::{
    CollectReply, HistogramRequest, ListReply, ListRequest, MAX_PARAMETERS, PageRequest, Progress,
    RunReference, StartRequest, VersionReply, ioctl,
};
use wdk_sync::Status;
use zerocopy::IntoBytes;

const SPIN_LOCK: u32 = 1;
const THREADS: u32 = 1;
const READERS: u32 = 2;
const SECONDS: u32 = 3;
/// A behaviour test.
const TEST: u32 = 1001;
const NO_ITEM: u32 = 0x7FFF_FFFF;

/// What is wrong with a request, its input, the room for output, and the status that it gets.
type Case = (&'static str, Vec<u8>, usize, Status);

const LENGTH: Status = Status::INFO_LENGTH_MISMATCH;
const SMALL: Status = Status::BUFFER_TOO_SMALL;
const INVALID: Status = Status::INVALID_PARAMETER;
const MISSING: Status = Status::NOT_FOUND;
const UNKNOWN: Status = Status::INVALID_DEVICE_REQUEST;

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

fn version() -> Vec<Case> {
    const SIZE: usize = size_of::<VersionReply>();
    vec![
        ("input", vec![0], SIZE, LENGTH),
        ("no room", vec![], 0, SMALL),
        ("little room", vec![], SIZE - 1, SMALL),
    ]
}

fn items() -> Vec<Case> {
    vec![
        ("no input", vec![], 4096, LENGTH),
        ("short input", without_last(list(0, 0)), 4096, LENGTH),
        ("long input", with_one_more(list(0, 0)), 4096, LENGTH),
        ("no room", list(0, 0), size_of::<ListReply>() - 1, SMALL),
        ("of an item", list(SPIN_LOCK, 0), 4096, INVALID),
        ("behind the end", list(0, 10_000), 4096, INVALID),
    ]
}

fn parameters() -> Vec<Case> {
    vec![
        ("no input", vec![], 4096, LENGTH),
        (
            "long input",
            with_one_more(list(SPIN_LOCK, 0)),
            4096,
            LENGTH,
        ),
        ("no room", list(SPIN_LOCK, 0), 7, SMALL),
        ("of nothing", list(NO_ITEM, 0), 4096, MISSING),
        ("behind the end", list(SPIN_LOCK, 99), 4096, INVALID),
    ]
}

fn start_sizes() -> Vec<Case> {
    let start = || start_request(SPIN_LOCK, &[(SECONDS, 1)]);
    vec![
        ("no input", vec![], 8, LENGTH),
        ("half a header", vec![1; 4], 8, LENGTH),
        ("no values", start_header(SPIN_LOCK, 1), 8, LENGTH),
        ("half a value", without_last(start()), 8, LENGTH),
        ("trailing byte", with_one_more(start()), 8, LENGTH),
        ("no room", start(), 7, SMALL),
    ]
}

fn start_values() -> Vec<Case> {
    let start = |values: &[(u32, u64)]| start_request(SPIN_LOCK, values);
    let too_many = u32::try_from(MAX_PARAMETERS).unwrap() + 1;
    let mut reserved = start(&[(SECONDS, 1)]);
    // Behind the header and the id.
    reserved[size_of::<StartRequest>() + 4] = 1;
    let twice = start(&[(SECONDS, 1), (SECONDS, 1)]);
    vec![
        ("nothing", start_header(NO_ITEM, 0), 8, MISSING),
        ("item 0", start_header(0, 0), 8, MISSING),
        ("no threads", start(&[(THREADS, 0)]), 8, INVALID),
        ("257 threads", start(&[(THREADS, 257)]), 8, INVALID),
        ("no seconds", start(&[(SECONDS, 0)]), 8, INVALID),
        ("two days", start(&[(SECONDS, 172_800)]), 8, INVALID),
        ("all bits set", start(&[(SECONDS, u64::MAX)]), 8, INVALID),
        ("a parameter twice", twice, 8, INVALID),
        ("one of others", start(&[(READERS, 1)]), 8, INVALID),
        ("no such parameter", start(&[(9999, 1)]), 8, INVALID),
        ("a reserved field", reserved, 8, INVALID),
        ("too many", start_header(SPIN_LOCK, too_many), 8, INVALID),
        ("billions", start_header(SPIN_LOCK, u32::MAX), 8, INVALID),
        (
            "of a test",
            start_request(TEST, &[(SECONDS, 1)]),
            8,
            INVALID,
        ),
    ]
}

fn progress() -> Vec<Case> {
    const SIZE: usize = size_of::<Progress>();
    vec![
        ("no input", vec![], SIZE, LENGTH),
        ("long input", with_one_more(run_reference(1)), SIZE, LENGTH),
        ("no room", run_reference(1), SIZE - 1, SMALL),
        ("of nothing", run_reference(77), SIZE, MISSING),
    ]
}

/// For stop and collect, which have the same input.
fn run_references() -> Vec<Case> {
    vec![
        ("no input", vec![], 4096, LENGTH),
        ("short input", without_last(run_reference(1)), 4096, LENGTH),
        ("long input", with_one_more(run_reference(1)), 4096, LENGTH),
        ("of nothing", run_reference(77), 4096, MISSING),
        ("of run 0", run_reference(0), 4096, MISSING),
    ]
}

/// For workers and metrics, which have the same input.
fn pages() -> Vec<Case> {
    let page = |run: u64, reserved: u32| {
        let request = PageRequest {
            run,
            first: 0,
            reserved,
        };
        request.as_bytes().to_vec()
    };
    vec![
        ("no input", vec![], 4096, LENGTH),
        ("short input", without_last(page(1, 0)), 4096, LENGTH),
        ("long input", with_one_more(page(1, 0)), 4096, LENGTH),
        ("reserved", page(1, 1), 4096, INVALID),
        ("of nothing", page(77, 0), 4096, MISSING),
    ]
}

fn histograms() -> Vec<Case> {
    let histogram = |run: u64, kind: u32, reserved: u32| {
        let request = HistogramRequest {
            run,
            worker: 0,
            kind,
            first: 0,
            reserved,
        };
        request.as_bytes().to_vec()
    };
    vec![
        ("no input", vec![], 4096, LENGTH),
        (
            "long input",
            with_one_more(histogram(1, 1, 0)),
            4096,
            LENGTH,
        ),
        ("no kind", histogram(1, 0, 0), 4096, INVALID),
        ("unknown kind", histogram(1, 99, 0), 4096, INVALID),
        ("reserved", histogram(1, 1, 1), 4096, INVALID),
        ("no room", histogram(1, 1, 0), 24, SMALL),
        ("of nothing", histogram(77, 1, 0), 4096, MISSING),
    ]
}

/// Every code with its cases, known or not.
fn all() -> Vec<(u32, Vec<Case>)> {
    // The other transfer methods of a known function, and functions that there are not.
    let unknown = [
        0,
        u32::MAX,
        ioctl::START | 1,
        ioctl::START | 2,
        ioctl::START | 3,
        ioctl::ALL[ioctl::ALL.len() - 1] + 4,
        ioctl::QUERY_VERSION - 4,
    ];
    let unknown = unknown.map(|code| (code, vec![("the code", vec![0; 16], 4096, UNKNOWN)]));
    let mut all = vec![
        (ioctl::QUERY_VERSION, version()),
        (ioctl::LIST_ITEMS, items()),
        (ioctl::LIST_PARAMETERS, parameters()),
        (ioctl::START, start_sizes()),
        (ioctl::START, start_values()),
        (ioctl::PROGRESS, progress()),
        (ioctl::STOP, run_references()),
        (ioctl::COLLECT, run_references()),
        (ioctl::WORKERS, pages()),
        (ioctl::METRICS, pages()),
        (ioctl::HISTOGRAM, histograms()),
        (ioctl::LIST_RUNS, items()),
        (ioctl::LIST_RUN_WORKERS, pages()),
    ];
    all.extend(unknown);
    all
}

#[track_caller]
fn refuses_all(client: &Client) {
    for (code, cases) in all() {
        for (what, input, output, status) in cases {
            let answer = client.send(code, &input, output);
            assert_eq!(answer, Err(status), "{what} of code {code:#x}");
        }
    }
}

#[test]
fn malformed_requests_are_refused_and_change_nothing() {
    let engine = engine();
    let client = Client::new(&engine);
    refuses_all(&client);
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
    assert_eq!(run.run, 1);
    refuses_all(&client);
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
