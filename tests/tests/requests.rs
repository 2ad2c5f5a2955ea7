//! Requests that no honest program sends, and handles that come and go.
#![cfg(not(windows))]

use std::{
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use syncstress::{
    client::{Client, ClientError, Collected},
    status::NtStatus,
    transport::TransportError,
};
use syncstress_protocol::{
    CollectReply, ItemDescriptor, ItemFlags, ItemKind, ListReply, ListRequest, MAX_PARAMETERS,
    ParameterValue, Phase, Progress, RunReference, StartRequest, Verdict, VersionReply, ioctl,
};
use syncstress_tests::{on_every_host, open};
use zerocopy::IntoBytes as _;

/// No item and no run has this number.
const NOBODY: u32 = 0xDEAD_BEEF;
/// How long a run may take that was told to end.
const SOON: Duration = Duration::from_secs(20);

/// What the driver answers to a request, and that it writes nothing if it refuses.
fn send(client: &Client, code: u32, input: &[u8], room: usize) -> Result<usize, NtStatus> {
    let mut output = vec![0xA5; room];
    match client.handle().ioctl(code, input, &mut output) {
        Ok(written) => {
            assert!(written <= room);
            Ok(written)
        }
        Err(TransportError::Refused(status)) => {
            assert!(
                output.iter().all(|&byte| byte == 0xA5),
                "{status}, and bytes written"
            );
            Err(status)
        }
        Err(error) => panic!("{error}"),
    }
}

fn scenario(client: &Client) -> ItemDescriptor {
    let items = client.items().expect("a list");
    let fits = |item: &&ItemDescriptor| {
        item.kind == ItemKind::Scenario.to_wire() && item.flags & ItemFlags::EXPECTED_TO_FAIL == 0
    };
    *items.iter().find(fits).expect("a scenario")
}

fn start_request(item: u32, parameters: u32, values: &[ParameterValue]) -> Vec<u8> {
    [
        StartRequest { item, parameters }.as_bytes(),
        values.as_bytes(),
    ]
    .concat()
}

/// A value of the named parameter of an item.
fn value(client: &Client, item: u32, name: &str, value: u64) -> ParameterValue {
    let parameters = client.parameters(item).expect("a list");
    let parameter = parameters
        .iter()
        .find(|it| it.name.as_str() == name)
        .expect("a parameter");
    ParameterValue {
        id: parameter.id,
        reserved: 0,
        value,
    }
}

fn start(client: &Client, seconds: u64) -> RunReference {
    let item = scenario(client).id;
    client
        .start(item, &[value(client, item, "seconds", seconds)])
        .expect("it starts")
}

/// Waits for the end of a run and takes its result.
fn collect(client: &Client, run: RunReference) -> Collected {
    let started = Instant::now();
    loop {
        let state = client.progress(run).expect("progress");
        if state.phase == Phase::Finished {
            return client
                .collect(run, state.counts.collect_bytes)
                .expect("a result");
        }
        assert!(started.elapsed() < SOON, "{:?}", state.counts);
        sleep(Duration::from_millis(5));
    }
}

/// That the handle has no run: nothing was started by what was refused.
fn has_no_run(client: &Client) {
    let run = start(client, 1);
    client.stop(run).expect("it stops");
    let collected = collect(client, run);
    assert_ne!(collected.verdict, Verdict::Failed, "{}", collected.log);
}

on_every_host! {
    fn unknown_codes_are_invalid_device_requests(host) {
        let client = open(host);
        let next = ioctl::ALL[ioctl::ALL.len() - 1] + 4;
        // A method that is not buffered, other access bits, another device type.
        let odd = [0, 1, u32::MAX, next, ioctl::START | 3, ioctl::START & !0xC000, 0x0002_E000];
        for code in odd {
            let answer = send(&client, code, &[0; 16], 4096);
            assert_eq!(answer, Err(NtStatus::INVALID_DEVICE_REQUEST), "{code:#X}");
        }
        has_no_run(&client);
    }

    fn sizes_are_checked_before_anything_is_read(host) {
        let client = open(host);
        let item = scenario(&client).id;
        let one = value(&client, item, "seconds", 1);
        let list = ListRequest { item: 0, first: 0 };
        let run = RunReference { run: 1 };
        let long = |bytes: &[u8]| [bytes, &[0]].concat();
        let short = |bytes: &[u8]| bytes[..bytes.len() - 1].to_vec();
        let bad_inputs = [
            (ioctl::QUERY_VERSION, vec![0]),
            (ioctl::LIST_ITEMS, vec![]),
            (ioctl::LIST_ITEMS, short(list.as_bytes())),
            (ioctl::LIST_ITEMS, long(list.as_bytes())),
            (ioctl::LIST_PARAMETERS, vec![]),
            (ioctl::START, vec![]),
            (ioctl::START, short(&start_request(item, 0, &[]))),
            (ioctl::START, long(&start_request(item, 0, &[]))),
            (ioctl::START, start_request(item, 1, &[])),
            (ioctl::START, start_request(item, 0, &[one])),
            (ioctl::START, start_request(item, 2, &[one])),
            (ioctl::START, long(&start_request(item, 1, &[one]))),
            (ioctl::PROGRESS, vec![]),
            (ioctl::PROGRESS, long(run.as_bytes())),
            (ioctl::STOP, short(run.as_bytes())),
            (ioctl::COLLECT, vec![]),
        ];
        for (code, input) in bad_inputs {
            let answer = send(&client, code, &input, 4096);
            assert_eq!(answer, Err(NtStatus::INFO_LENGTH_MISMATCH), "{code:#X} {}", input.len());
        }
        has_no_run(&client);
    }

    fn answers_that_do_not_fit_are_refused_and_nothing_is_done(host) {
        let client = open(host);
        let item = scenario(&client).id;
        let requests = [
            (ioctl::QUERY_VERSION, vec![], size_of::<VersionReply>()),
            (
                ioctl::LIST_ITEMS,
                ListRequest { item: 0, first: 0 }.as_bytes().to_vec(),
                size_of::<ListReply>(),
            ),
            (ioctl::START, start_request(item, 0, &[]), size_of::<RunReference>()),
        ];
        for (code, input, size) in requests {
            for room in [0, size - 1] {
                let answer = send(&client, code, &input, room);
                assert_eq!(answer, Err(NtStatus::BUFFER_TOO_SMALL), "{code:#X} {room}");
            }
        }
        has_no_run(&client);
    }

    fn a_list_gives_what_fits(host) {
        let client = open(host);
        let request = ListRequest { item: 0, first: 0 };
        let entry = size_of::<ItemDescriptor>();
        for (room, entries) in [(0, 0), (entry - 1, 0), (entry, 1), (3 * entry + 1, 3)] {
            let room = size_of::<ListReply>() + room;
            let written = send(&client, ioctl::LIST_ITEMS, request.as_bytes(), room);
            assert_eq!(written, Ok(size_of::<ListReply>() + entries * entry));
        }
    }

    fn unknown_items_and_runs_are_not_found(host) {
        let client = open(host);
        let run = RunReference { run: NOBODY.into() };
        let requests = [
            (ioctl::START, start_request(NOBODY, 0, &[])),
            (ioctl::START, start_request(0, 0, &[])),
            (ioctl::LIST_PARAMETERS, ListRequest { item: NOBODY, first: 0 }.as_bytes().to_vec()),
            (ioctl::PROGRESS, run.as_bytes().to_vec()),
            (ioctl::STOP, run.as_bytes().to_vec()),
            (ioctl::COLLECT, run.as_bytes().to_vec()),
            (ioctl::PROGRESS, RunReference { run: 0 }.as_bytes().to_vec()),
        ];
        for (code, input) in requests {
            let answer = send(&client, code, &input, 4096);
            assert_eq!(answer, Err(NtStatus::NOT_FOUND), "{code:#X}");
        }
        has_no_run(&client);
    }

    fn values_outside_their_range_are_invalid(host) {
        let client = open(host);
        let item = scenario(&client).id;
        let valid = value(&client, item, "seconds", 1);
        let bad = [
            vec![ParameterValue { value: 0, ..valid }],
            vec![ParameterValue { value: u64::MAX, ..valid }],
            vec![ParameterValue { id: NOBODY, ..valid }],
            vec![ParameterValue { reserved: 1, ..valid }],
            vec![valid, valid],
            vec![valid; MAX_PARAMETERS + 1],
            vec![value(&client, item, "threads", 0)],
            vec![value(&client, item, "threads", 1 << 40)],
        ];
        for values in bad {
            let count = u32::try_from(values.len()).expect("few");
            let input = start_request(item, count, &values);
            let answer = send(&client, ioctl::START, &input, 4096);
            assert_eq!(answer, Err(NtStatus::INVALID_PARAMETER), "{values:?}");
        }
        let past_the_end = ListRequest { item: 0, first: u32::MAX };
        let answer = send(&client, ioctl::LIST_ITEMS, past_the_end.as_bytes(), 4096);
        assert_eq!(answer, Err(NtStatus::INVALID_PARAMETER));
        has_no_run(&client);
    }

    fn a_handle_has_one_run_at_a_time(host) {
        let client = open(host);
        let run = start(&client, 60);
        let second = client.start(scenario(&client).id, &[]).err();
        let second = second.and_then(|error: ClientError| error.refusal());
        assert_eq!(second, Some(NtStatus::DEVICE_BUSY));
        let early = send(&client, ioctl::COLLECT, run.as_bytes(), 1 << 20);
        assert_eq!(early, Err(NtStatus::DEVICE_BUSY));
        client.stop(run).expect("it stops");
        assert_eq!(collect(&client, run).verdict, Verdict::Stopped);
    }

    fn a_result_that_does_not_fit_is_kept(host) {
        let client = open(host);
        let run = start(&client, 60);
        client.stop(run).expect("it stops");
        let started = Instant::now();
        while client.progress(run).expect("progress").phase != Phase::Finished {
            assert!(started.elapsed() < SOON);
            sleep(Duration::from_millis(5));
        }
        let bytes = client.progress(run).expect("progress").counts.collect_bytes as usize;
        for room in [0, size_of::<CollectReply>(), bytes - 1] {
            let answer = send(&client, ioctl::COLLECT, run.as_bytes(), room);
            assert_eq!(answer, Err(NtStatus::BUFFER_TOO_SMALL), "{room}");
        }
        assert_eq!(send(&client, ioctl::COLLECT, run.as_bytes(), bytes), Ok(bytes));
        let again = send(&client, ioctl::COLLECT, run.as_bytes(), bytes);
        assert_eq!(again, Err(NtStatus::NOT_FOUND), "a result is given once");
    }

    fn a_run_belongs_to_its_handle(host) {
        let (owner, other) = (open(host), open(host));
        let run = start(&owner, 60);
        let reference = run.as_bytes();
        for code in [ioctl::PROGRESS, ioctl::STOP, ioctl::COLLECT] {
            assert_eq!(send(&other, code, reference, 1 << 20), Err(NtStatus::NOT_FOUND));
        }
        assert_eq!(owner.progress(run).expect("progress").phase, Phase::Running);
        owner.stop(run).expect("it stops");
        assert_eq!(collect(&owner, run).verdict, Verdict::Stopped);
    }

    fn closing_a_handle_ends_its_run(host) {
        for _ in 0..3 {
            let client = open(host);
            start(&client, 3600);
            sleep(Duration::from_millis(50));
            let asked = Instant::now();
            client.close().expect("it closes");
            assert!(asked.elapsed() < SOON);
        }
        has_no_run(&open(host));
    }

    fn many_handles_run_at_once(host) {
        scope(|scope| {
            let sessions: Vec<_> = (0..8)
                .map(|_| scope.spawn(move || {
                    let client = open(host);
                    collect(&client, start(&client, 1))
                }))
                .collect();
            for session in sessions {
                let collected = session.join().expect("no panic");
                assert_eq!(collected.verdict, Verdict::Passed, "{}", collected.log);
            }
        });
    }

    fn one_handle_takes_requests_from_many_threads(host) {
        let client = open(host);
        let run = start(&client, 60);
        scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let progress = client.progress(run).expect("progress");
                        assert_eq!(progress.phase, Phase::Running);
                        assert!(client.items().expect("a list").len() > 1);
                    }
                });
            }
        });
        client.stop(run).expect("it stops");
        let collected = collect(&client, run);
        assert_eq!(collected.verdict, Verdict::Stopped, "{}", collected.log);
    }

    fn progress_only_grows(host) {
        let client = open(host);
        let run = start(&client, 1);
        let mut last = client.progress(run).expect("progress").counts;
        loop {
            let state = client.progress(run).expect("progress");
            let Progress { elapsed_100ns, passes, acquisitions, failures, .. } = state.counts;
            assert!(elapsed_100ns >= last.elapsed_100ns);
            assert!(passes >= last.passes && acquisitions >= last.acquisitions);
            assert_eq!(failures, 0);
            last = state.counts;
            if state.phase == Phase::Finished {
                break;
            }
            sleep(Duration::from_millis(10));
        }
        let collected = collect(&client, run);
        let passes: u64 = collected.workers.iter().map(|worker| worker.passes).sum();
        assert_eq!(passes, last.passes);
    }
}
