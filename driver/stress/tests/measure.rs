//! What a run measures, and how it is told.
#![cfg(not(windows))]

mod common;

use common::{Client, engine};
use syncstress_protocol::{Bucket, HistogramKind, Metric, Role, RunReference, Unit, Verdict};
use wdk_sync::Status;

/// A run of a second that has ended and was not collected.
fn finished(client: &Client, name: &str, settings: &[(&str, u64)]) -> RunReference {
    let settings = [&[("seconds", 1)], settings].concat();
    let run = client.start(name, &settings).expect("it starts");
    client.finished(run);
    run
}

fn counted(buckets: &[Bucket]) -> u64 {
    buckets.iter().map(|bucket| bucket.count).sum()
}

fn metric(metrics: &[Metric], name: &str) -> Option<i64> {
    let found = metrics.iter().find(|it| it.name.as_str() == name);
    found.map(|it| it.milli)
}

#[test]
fn every_acquisition_has_a_wait_and_every_timed_one_a_hold() {
    let engine = engine();
    let client = Client::new(&engine);
    for sample in [1, 8] {
        // A wait that comes to nothing is none of an acquisition.
        let settings = [("threads", 3), ("sample", sample), ("timed-wait", 0)];
        let run = finished(&client, "mutex", &settings);
        for worker in client.details(run).unwrap() {
            let histogram = |kind| client.histogram(run, worker.index, kind, 4).unwrap();
            let (waits, buckets) = histogram(HistogramKind::Wait);
            // A wait that was timed stands for up to so many without a try before them.
            let (waited, acquired) = (counted(&buckets), worker.acquisitions);
            assert!(
                (acquired..acquired + sample).contains(&waited),
                "{waited} {acquired}"
            );
            assert!(waits.maximum_ns <= waits.total_ns);
            assert!(waits.total_ns < 3_000_000_000, "no more than the run took");
            let (holds, buckets) = histogram(HistogramKind::Hold);
            assert_eq!(counted(&buckets), worker.acquisitions.div_ceil(sample));
            assert!(holds.total_ns > 0);
        }
        client.collect(run).expect(Verdict::Passed);
    }
}

#[test]
fn a_timed_wait_stands_for_those_that_are_not() {
    let engine = engine();
    let client = Client::new(&engine);
    for name in ["queued-spinlock", "push-lock", "rw-spinlock"] {
        for sample in [1, 16] {
            let settings = [("threads", 1), ("readers", 0), ("sample", sample)];
            let run = finished(&client, name, &settings);
            let acquisitions = client.details(run).unwrap()[0].acquisitions;
            let timed = acquisitions.div_ceil(sample);
            let (_, buckets) = client.histogram(run, 0, HistogramKind::Wait, 9).unwrap();
            assert_eq!(counted(&buckets), timed * sample, "{name}");
            let metrics = client.metrics(run).unwrap();
            for times in ["waits timed", "holds timed"] {
                let told = metric(&metrics, times).unwrap();
                assert_eq!(told, i64::try_from(timed * 1000).unwrap(), "{name}");
            }
            client.collect(run).expect(Verdict::Passed);
        }
    }
}

#[test]
fn holds_are_as_long_as_asked_for() {
    let engine = engine();
    let client = Client::new(&engine);
    let run = finished(&client, "spinlock", &[("threads", 1), ("hold", 200)]);
    let (reply, buckets) = client.histogram(run, 0, HistogramKind::Hold, 64).unwrap();
    let holds = counted(&buckets);
    assert!(reply.total_ns / holds >= 200_000, "{reply:?}");
    for bucket in &buckets {
        assert!(bucket.highest_ns >= 200_000, "{bucket:?}");
    }
    // The median: whoever holds the lock is interrupted by the host now and then.
    let mut up_to = 0;
    let median = buckets.iter().find(|bucket| {
        up_to += bucket.count;
        2 * up_to >= holds
    });
    assert!(median.unwrap().lowest_ns < 2_000_000, "{buckets:?}");
    client.collect(run).expect(Verdict::Passed);
}

#[test]
fn pages_of_any_size_tell_the_same() {
    let engine = engine();
    let client = Client::new(&engine);
    let run = finished(&client, "resource", &[]);
    for worker in [0, 5] {
        for kind in [HistogramKind::Wait, HistogramKind::Hold] {
            let (_, all) = client.histogram(run, worker, kind, 1000).unwrap();
            assert!(!all.is_empty());
            for page in [1, 2, 7] {
                let (_, paged) = client.histogram(run, worker, kind, page).unwrap();
                assert_eq!(paged, all);
            }
            for pair in all.windows(2) {
                assert!(pair[0].highest_ns <= pair[1].lowest_ns, "{pair:?}");
            }
        }
    }
    client.collect(run).expect(Verdict::Passed);
}

#[test]
fn what_is_told_in_full_is_what_is_collected() {
    let engine = engine();
    let client = Client::new(&engine);
    let run = finished(&client, "fast-mutex", &[("threads", 5)]);
    let details = client.details(run).unwrap();
    let result = client.collect(run).expect(Verdict::Passed);
    assert_eq!(details.len(), 5);
    for (detail, report) in details.iter().zip(&result.workers) {
        assert_eq!(detail.acquisitions, report.acquisitions);
        assert_eq!(detail.contended, report.contended);
        assert_eq!((detail.irql_violations, detail.apc_violations), (0, 0));
        assert_eq!(detail.role, Role::Writer.to_wire());
    }
    assert_eq!(client.details(run), Err(Status::NOT_FOUND), "collected");
}

#[test]
fn a_run_can_be_looked_at_while_it_goes_on() {
    let engine = engine();
    let client = Client::new(&engine);
    let run = client.start("spinlock", &[("seconds", 60)]).unwrap();
    let passes = |details: Vec<syncstress_protocol::WorkerDetail>| -> u64 {
        details.iter().map(|worker| worker.passes).sum()
    };
    let start = passes(client.details(run).unwrap());
    let mut now = start;
    while now == start {
        now = passes(client.details(run).unwrap());
    }
    assert!(client.metrics(run).unwrap().is_empty());
    client.stop(run).unwrap();
    client.collect(run).expect(Verdict::Stopped);
}

#[test]
fn nothing_is_measured_where_that_is_asked_for() {
    let engine = engine();
    let client = Client::new(&engine);
    let run = finished(&client, "spinlock", &[("measure", 0)]);
    for kind in [HistogramKind::Wait, HistogramKind::Hold] {
        let (reply, buckets) = client.histogram(run, 0, kind, 10).unwrap();
        assert_eq!((reply.total_ns, buckets.len()), (0, 0));
    }
    assert!(client.details(run).unwrap()[0].acquisitions > 0);
    client.collect(run).expect(Verdict::Passed);
}

#[test]
fn the_clock_tells_its_frequency_and_its_cost() {
    let engine = engine();
    let client = Client::new(&engine);
    let run = finished(&client, "mutex", &[]);
    let metrics = client.metrics(run).unwrap();
    let frequency = metric(&metrics, "clock frequency").expect("a frequency");
    assert!((10_000_000_000..10_000_000_000_000).contains(&frequency));
    let cost = metric(&metrics, "clock cost").expect("a cost");
    assert!((1..10_000_000).contains(&cost), "{cost} ps");
    client.collect(run).expect(Verdict::Passed);
}

#[test]
fn what_measuring_costs_is_seen_in_one_run() {
    let engine = engine();
    let client = Client::new(&engine);
    let run = finished(&client, "spinlock", &[("threads", 1), ("measure", 2)]);
    let metrics = client.metrics(run).unwrap();
    for which in ["bare", "measured"] {
        let [low, middle, high] = ["p10", "p50", "p90"]
            .map(|it| metric(&metrics, &format!("{which} pass, {it}")).expect("a time"));
        assert!(0 < low && low <= middle && middle <= high);
    }
    for metric in &metrics {
        assert!(Unit::from_wire(metric.unit).is_some());
    }
    // Half of the passes were measured.
    let acquisitions = client.details(run).unwrap()[0].acquisitions;
    let (_, waits) = client.histogram(run, 0, HistogramKind::Wait, 99).unwrap();
    let share = counted(&waits) * 100 / acquisitions;
    assert!((40..=60).contains(&share), "{share} %");
    client.collect(run).expect(Verdict::Passed);
}

#[test]
fn what_is_not_there_is_refused() {
    let engine = engine();
    let client = Client::new(&engine);
    let run = finished(&client, "timer", &[("timers", 2), ("threads", 2)]);
    let status = |worker, kind| client.histogram(run, worker, kind, 9).err();
    let dpc = 2;
    assert_eq!(status(dpc, HistogramKind::Lateness), None);
    assert_eq!(status(dpc, HistogramKind::Wait), Some(Status::NOT_FOUND));
    assert_eq!(status(0, HistogramKind::Lateness), Some(Status::NOT_FOUND));
    assert_eq!(status(4, HistogramKind::Hold), Some(Status::NOT_FOUND));
    let tiny = client.histogram(run, 0, HistogramKind::Hold, 0).err();
    assert_eq!(tiny, Some(Status::BUFFER_TOO_SMALL));
    client.collect(run).expect(Verdict::Passed);
    let other = RunReference { run: run.run + 1 };
    assert_eq!(client.metrics(other).err(), Some(Status::NOT_FOUND));
}
