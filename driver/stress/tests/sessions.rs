//! How runs live and end: stop, close, several handles, limits.
#![cfg(not(windows))]

mod common;

use std::{thread::sleep, time::Duration};

use common::{Client, engine};
use syncstress_protocol::{HeldObject, ItemKind, Phase, RunReference, Verdict, ioctl};
use wdk_sync::{Status, testing::at_passive_level};
use zerocopy::IntoBytes;

/// Longer than any test takes.
const LONG: (&str, u64) = ("seconds", 3600);

#[test]
fn a_stopped_run_keeps_what_it_has() {
    let engine = engine();
    let client = Client::new(&engine);
    for scenario in client.working_scenarios() {
        let run = client.start(scenario.name.as_str(), &[LONG]).unwrap();
        while client.progress(run).unwrap().passes == 0 {
            sleep(Duration::from_millis(2));
        }
        client.stop(run).unwrap();
        let phase = client.progress(run).unwrap().phase;
        assert_ne!(phase, Phase::Running.to_wire(), "{}", scenario.name);
        // Once more, in another phase.
        client.stop(run).unwrap();
        let result = client.collect(run).expect(Verdict::Stopped);
        assert!(result.workers.iter().any(|worker| worker.passes > 0));
    }
}

#[test]
fn a_run_can_be_stopped_before_it_has_begun() {
    let engine = engine();
    let client = Client::new(&engine);
    for _ in 0..20 {
        let run = client.start("resource", &[LONG]).unwrap();
        client.stop(run).unwrap();
        client.collect(run).expect(Verdict::Stopped);
    }
}

#[test]
fn a_finished_run_can_be_stopped() {
    let engine = engine();
    let client = Client::new(&engine);
    let run = client.start("event.initial_state", &[]).unwrap();
    while client.progress(run).unwrap().phase != Phase::Finished.to_wire() {
        sleep(Duration::from_millis(1));
    }
    client.stop(run).unwrap();
    client.collect(run).expect(Verdict::Passed);
}

#[test]
fn closing_a_handle_ends_its_run() {
    let engine = engine();
    let client = Client::new(&engine);
    for scenario in client.working_scenarios() {
        let other = Client::new(&engine);
        let run = other.start(scenario.name.as_str(), &[LONG]).unwrap();
        sleep(Duration::from_millis(20));
        // Returns, and only when the workers are gone: they use what is freed here.
        at_passive_level(|irql| other.0.close(irql));
        assert_eq!(other.progress(run).map(drop), Err(Status::NOT_FOUND));
        let again = other.start("spinlock", &[LONG]).map(drop);
        assert_eq!(again, Err(Status::INVALID_DEVICE_STATE));
    }
}

#[test]
fn dropping_a_session_ends_its_run() {
    let engine = engine();
    let client = Client::new(&engine);
    client.start("timer", &[LONG]).unwrap();
    sleep(Duration::from_millis(20));
    at_passive_level(move |_irql| drop(client));
}

#[test]
fn closing_while_others_ask() {
    let engine = engine();
    let client = Client::new(&engine);
    let run = client.start("mutex", &[LONG]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    match client.progress(run) {
                        Ok(progress) => assert_eq!(progress.failures, 0),
                        Err(status) => assert_eq!(status, Status::NOT_FOUND),
                    }
                }
            });
        }
        sleep(Duration::from_millis(5));
        at_passive_level(|irql| client.0.close(irql));
    });
}

#[test]
fn two_sessions_run_at_the_same_time() {
    let engine = engine();
    let (first, second) = (Client::new(&engine), Client::new(&engine));
    let settings = [LONG, ("threads", 3)];
    let one = first.start("spinlock", &settings).unwrap();
    let two = second.start("resource", &settings).unwrap();
    assert_ne!(one, two);
    for (client, run) in [(&first, one), (&second, two)] {
        let progress = loop {
            let progress = client.progress(run).unwrap();
            assert_eq!(progress.phase, Phase::Running.to_wire());
            if progress.passes > 0 {
                break progress;
            }
            sleep(Duration::from_millis(2));
        };
        assert_eq!(progress.workers, if run == one { 3 } else { 11 });
        assert!(progress.elapsed_100ns > 0);
        assert_eq!(progress.planned_100ns, 3600 * 10_000_000);
    }
    first.stop(one).unwrap();
    first.collect(one).expect(Verdict::Stopped);
    assert_eq!(
        second.progress(two).unwrap().phase,
        Phase::Running.to_wire()
    );
    second.stop(two).unwrap();
    second.collect(two).expect(Verdict::Stopped);
}

#[test]
fn a_session_sees_the_runs_of_others_and_cannot_touch_them() {
    let engine = engine();
    let (owner, other) = (Client::new(&engine), Client::new(&engine));
    assert!(other.runs().is_empty());
    let run = owner.start("resource", &[LONG, ("threads", 2)]).unwrap();
    let seen = loop {
        let seen = other.runs()[0];
        if seen.progress.acquisitions > 0 {
            break seen;
        }
        sleep(Duration::from_millis(2));
    };
    assert_eq!((seen.run, seen.workers), (run.run, 10));
    assert_eq!(seen.progress.planned_100ns, 3600 * 10_000_000);
    let workers = other.details_of_any(run).unwrap();
    assert_eq!(workers.len(), 10);
    assert!(workers.iter().any(|worker| worker.acquisitions > 0));
    // What changes a run is for its owner.
    assert_eq!(other.stop(run), Err(Status::NOT_FOUND));
    assert_eq!(other.details(run).map(drop), Err(Status::NOT_FOUND));
    owner.stop(run).unwrap();
    owner.collect(run).expect(Verdict::Stopped);
    assert!(other.runs().is_empty());
    assert_eq!(other.details_of_any(run).map(drop), Err(Status::NOT_FOUND));
}

#[test]
fn runs_are_not_seen_once_their_session_is_closed_or_gone() {
    let engine = engine();
    let (closed, dropped, other) = (
        Client::new(&engine),
        Client::new(&engine),
        Client::new(&engine),
    );
    closed.start("mutex", &[LONG]).unwrap();
    dropped.start("spinlock", &[LONG]).unwrap();
    assert_eq!(other.runs().len(), 2);
    at_passive_level(|irql| closed.0.close(irql));
    assert_eq!(other.runs().len(), 1);
    at_passive_level(move |_irql| drop(dropped));
    assert!(other.runs().is_empty());
}

#[test]
fn the_limits_are_enforced_and_given_back() {
    let engine = engine();
    let limits = Client::new(&engine).version().limits;
    // More threads in one run than a run may have.
    let client = Client::new(&engine);
    let threads = u64::from(limits.threads_per_run);
    let too_many = [LONG, ("threads", threads), ("readers", 1)];
    let refused = client.start("resource", &too_many).map(drop);
    assert_eq!(refused, Err(Status::QUOTA_EXCEEDED));
    // More runs than there may be.
    let few = [LONG, ("threads", 1), ("think", 100_000)];
    let clients: Vec<_> = (0..limits.runs).map(|_| Client::new(&engine)).collect();
    let runs: Vec<_> = clients
        .iter()
        .map(|it| it.start("mutex", &few).unwrap())
        .collect();
    let refused = client.start("mutex", &few).map(drop);
    assert_eq!(refused, Err(Status::QUOTA_EXCEEDED));
    for (client, run) in clients.iter().zip(runs) {
        client.stop(run).unwrap();
        client.collect(run).expect(Verdict::Stopped);
    }
    let run = client.start("mutex", &few).unwrap();
    client.stop(run).unwrap();
    client.collect(run).expect(Verdict::Stopped);
}

#[test]
fn threads_of_all_runs_are_limited_together() {
    let engine = engine();
    let limits = Client::new(&engine).version().limits;
    let full = [
        LONG,
        ("threads", u64::from(limits.threads_per_run)),
        ("think", 100_000),
    ];
    let clients = [(); 3].map(|()| Client::new(&engine));
    let one = clients[0].start("fast-mutex", &full).unwrap();
    let two = clients[1].start("fast-mutex", &full).unwrap();
    assert_eq!(2 * limits.threads_per_run, limits.threads_total);
    let third = clients[2].start("event.initial_state", &[]).map(drop);
    assert_eq!(third, Err(Status::QUOTA_EXCEEDED));
    clients[0].stop(one).unwrap();
    let result = clients[0].collect(one).expect(Verdict::Stopped);
    assert_eq!(result.workers.len(), limits.threads_per_run as usize);
    clients[2]
        .run("event.initial_state", &[])
        .expect(Verdict::Passed);
    clients[1].stop(two).unwrap();
    clients[1].collect(two).expect(Verdict::Stopped);
}

#[test]
fn numbers_are_never_given_twice() {
    let engine = engine();
    let clients = [Client::new(&engine), Client::new(&engine)];
    let mut last = 0;
    for round in 0..6 {
        let client = &clients[round % 2];
        let run = client.start("event.initial_state", &[]).unwrap();
        assert!(run.run > last);
        last = run.run;
        client.collect(run);
        let gone = client.send(ioctl::COLLECT, run.as_bytes(), 4096);
        assert_eq!(gone, Err(Status::NOT_FOUND));
    }
}

#[test]
fn every_pattern_is_held_until_it_is_stopped_or_its_handle_closed() {
    let engine = engine();
    let client = Client::new(&engine);
    let patterns = client.items().into_iter();
    for pattern in patterns.filter(|item| item.kind == ItemKind::HoldPattern.to_wire()) {
        let name = pattern.name.as_str();
        let run = client.start(name, &[]).unwrap();
        let held = held(&client, run);
        assert_eq!(held.pattern.as_str(), name);
        assert_ne!(held.address, 0);
        client.stop(run).unwrap();
        client.collect(run).expect(Verdict::Passed);

        let other = Client::new(&engine);
        let run = other.start(name, &[]).unwrap();
        self::held(&other, run);
        at_passive_level(|irql| other.0.close(irql));
    }
}

#[test]
fn what_holds_nothing_says_so() {
    let engine = engine();
    let client = Client::new(&engine);
    let ask = |run| client.ask::<HeldObject>(ioctl::QUERY_HELD, &run);
    assert_eq!(ask(RunReference { run: 1 }).err(), Some(Status::NOT_FOUND));
    let run = client.start("resource", &[LONG]).unwrap();
    assert_eq!(ask(run).err(), Some(Status::INVALID_DEVICE_STATE));
    client.stop(run).unwrap();
    client.collect(run).expect(Verdict::Stopped);
    let run = client.start("mutex.owned", &[LONG]).unwrap();
    held(&client, run);
    let short = size_of::<HeldObject>() - 1;
    let refused = client.send(ioctl::QUERY_HELD, run.as_bytes(), short);
    assert_eq!(refused, Err(Status::BUFFER_TOO_SMALL));
    let refused = client.send(ioctl::QUERY_HELD, &[], short + 1);
    assert_eq!(refused, Err(Status::INFO_LENGTH_MISMATCH));
    client.stop(run).unwrap();
    client.finished(run);
    assert_eq!(ask(run).err(), Some(Status::INVALID_DEVICE_STATE));
}

/// What a run holds, once it does.
fn held(client: &Client, run: RunReference) -> HeldObject {
    loop {
        match client.ask(ioctl::QUERY_HELD, &run) {
            Err(Status::INVALID_DEVICE_STATE) => sleep(Duration::from_millis(1)),
            held => return held.unwrap(),
        }
        let phase = client.progress(run).unwrap().phase;
        assert_eq!(phase, Phase::Running.to_wire(), "it is not there");
    }
}
