//! Every scenario, for a while: those that must pass, and those that must not.
#![cfg(not(windows))]

mod common;

use std::{collections::HashMap, thread::sleep, time::Duration};

use common::{Client, engine};
use syncstress_protocol::{HistogramKind, ItemFlags, Role, Verdict};

/// Long enough for what a run does all the time.
const SHORT: (&str, u64) = ("milliseconds", 250);

fn passes(name: &str) {
    let engine = engine();
    let client = Client::new(&engine);
    let result = client.run(name, &[SHORT]).expect(Verdict::Passed);
    assert_eq!(result.summary.failures, 0);
    assert!(result.summary.elapsed_100ns >= 2_500_000, "the whole time");
    for worker in &result.workers {
        assert_eq!(worker.failures, 0);
        assert!(worker.longest_wait_ns <= worker.total_wait_ns);
    }
    let acquisitions: u64 = result.workers.iter().map(|it| it.acquisitions).sum();
    assert!(acquisitions > 25, "{acquisitions} acquisitions");
}

#[test]
fn spin_lock() {
    passes("spinlock");
}

#[test]
fn mutex() {
    passes("mutex");
}

#[test]
fn recursive_mutex() {
    passes("recursive-mutex");
}

#[test]
fn resource() {
    passes("resource");
}

#[test]
fn fast_mutex() {
    passes("fast-mutex");
}

#[test]
fn timer() {
    passes("timer");
}

#[test]
fn queued_spin_lock() {
    passes("queued-spinlock");
}

#[test]
fn rw_spin_lock() {
    passes("rw-spinlock");
}

#[test]
fn guarded_mutex() {
    passes("guarded-mutex");
}

#[test]
fn push_lock() {
    passes("push-lock");
}

#[test]
fn rundown() {
    passes("rundown");
}

#[test]
fn semaphore() {
    passes("semaphore");
}

#[test]
fn event() {
    passes("event");
}

#[test]
fn wait_multiple() {
    passes("wait-multiple");
}

#[test]
fn mutex_multiple() {
    passes("mutex-multiple");
}

/// By the number of its expiries, since how many there are in a second is up to the machine.
#[test]
fn timer_accuracy() {
    let engine = engine();
    let client = Client::new(&engine);
    let settings = [("seconds", 3_600), ("threads", 4), ("limit", 50)];
    let result = client
        .run("timer-accuracy", &settings)
        .expect(Verdict::Passed);
    let told = result.workers.iter();
    let told: Vec<_> = told
        .map(|it| (it.role, it.acquisitions, it.failures))
        .collect();
    let (setter, dpc) = (Role::Setter.to_wire(), Role::Dpc.to_wire());
    assert_eq!(told, [[(setter, 50, 0); 4], [(dpc, 50, 0); 4]].concat());
}

#[test]
fn priority_inversion() {
    passes("priority-inversion");
}

#[test]
fn embrace() {
    passes("embrace");
}

#[test]
fn timer_periodic() {
    passes("timer-periodic");
}

#[test]
fn polling_thread() {
    passes("polling-thread");
}

#[test]
fn s_list() {
    passes("s-list");
}

#[test]
fn interlocked_list() {
    passes("interlocked-list");
}

#[test]
fn work_item() {
    passes("work-item");
}

#[test]
fn dpc() {
    passes("dpc");
}

#[test]
fn thread() {
    passes("thread");
}

#[test]
fn every_kind_of_ex_timer() {
    let engine = engine();
    let client = Client::new(&engine);
    for kind in 0..=2 {
        let settings = [SHORT, ("kind", kind), ("due", 300), ("tolerance", 1)];
        let result = client.run("ex-timer", &settings).expect(Verdict::Passed);
        let dpcs = result.workers.iter();
        let dpcs = dpcs.filter(|it| it.role == Role::Dpc.to_wire());
        let ran: u64 = dpcs.map(|it| it.acquisitions).sum();
        assert!(ran > 0, "kind {kind}: no timer expired");
    }
}

#[test]
fn work_items_run() {
    let told = metrics("work-item", &[SHORT, ("threads", 2), ("items", 3)]);
    assert!(told["work item runs"] > 10_000, "{told:?}");
}

/// The figures that a run tells about itself, in thousandths.
fn metrics(name: &str, settings: &[(&str, u64)]) -> HashMap<String, i64> {
    let engine = engine();
    let client = Client::new(&engine);
    let run = client.start(name, settings).unwrap();
    client.finished(run);
    let metrics = client.metrics(run).unwrap();
    client.collect(run).expect(Verdict::Passed);
    let metrics = metrics.iter();
    metrics
        .map(|it| (it.name.as_str().to_owned(), it.milli))
        .collect()
}

#[test]
fn every_lock_tells_who_gets_it_next() {
    for lock in 0..=5 {
        let told = metrics("hand-off", &[SHORT, ("threads", 4), ("lock", lock)]);
        assert!(
            (1..=100_000).contains(&told["handed on"]),
            "{lock}: {told:?}"
        );
        assert!(
            told["longest row of one owner"] >= 1_000,
            "{lock}: {told:?}"
        );
        let (mean, most) = (told["overtaken by, mean"], told["overtaken by, most"]);
        assert!((0..=most).contains(&mean), "{lock}: {told:?}");
    }
}

#[test]
fn every_lock_tells_of_its_readers_and_writers() {
    for lock in 0..=2 {
        let told = metrics("rw-phases", &[SHORT, ("lock", lock)]);
        assert!(told["reader phases"] >= 1_000, "{lock}: {told:?}");
        assert!(told["writes in a row, most"] >= 1_000, "{lock}: {told:?}");
        let (mean, most) = (
            told["reads in a phase, mean"],
            told["reads in a phase, most"],
        );
        assert!((1_000..=most).contains(&mean), "{lock}: {told:?}");
    }
}

#[test]
fn an_embrace_happens_and_ends() {
    let settings = [SHORT, ("threads", 4), ("hold", 100), ("timeout", 2)];
    let told = metrics("embrace", &settings);
    assert!(told["embraces ended by a time-out"] > 0, "{told:?}");
}

#[test]
fn the_dpcs_of_a_periodic_timer_overlap_if_they_take_longer_than_its_period() {
    let short = metrics("timer-periodic", &[("seconds", 1), ("period", 20)]);
    assert_eq!(short["overlapping runs"], 0, "{short:?}");
    assert!(
        short["periodic runs"] + short["missed runs"] >= 60_000,
        "{short:?}"
    );
    let long = metrics("timer-periodic", &[SHORT, ("period", 1), ("busy", 3_000)]);
    assert!(long["overlapping runs"] > 0, "{long:?}");
    assert!(long["most runs at once"] >= 2_000, "{long:?}");
}

#[test]
fn thousands_of_timers() {
    let engine = engine();
    let client = Client::new(&engine);
    let settings = [("seconds", 1), ("timers", 4_096), ("think", 0)];
    let result = client.run("timer", &settings).expect(Verdict::Passed);
    let dpcs = result.workers.iter();
    let dpcs = dpcs.filter(|worker| worker.role == Role::Dpc.to_wire());
    let ran: u64 = dpcs.clone().map(|dpc| dpc.acquisitions).sum();
    assert_eq!(dpcs.count(), 64);
    assert!(ran > 1_000, "{ran}");
}

#[test]
fn a_time_out_is_as_long_as_asked_for() {
    let engine = engine();
    let client = Client::new(&engine);
    let timeouts = |timeout| {
        let settings = [
            SHORT,
            ("threads", 4),
            ("hold", 1_000),
            ("try", 0),
            ("timed-wait", 100),
            ("timeout", timeout),
        ];
        let result = client.run("mutex", &settings).expect(Verdict::Passed);
        let timeouts: u64 = result.workers.iter().map(|it| it.timeouts).sum();
        timeouts
    };
    assert!(timeouts(1) > 0);
    assert_eq!(timeouts(1_000), 0);
}

#[test]
fn workers_that_are_shuffled_and_boosted_work_on() {
    for (shuffle, boost) in [(10, 0), (0, 10), (5, 7)] {
        let settings = [
            SHORT,
            ("threads", 4),
            ("shuffle", shuffle),
            ("boost", boost),
        ];
        metrics("mutex", &settings);
        metrics("spinlock", &settings);
    }
}

/// Every negative control, with what its log has to say.
const CONTROLS: [(&str, &str); 8] = [
    ("busted", "the record was torn"),
    ("busted-reader", "a writer was at work while a reader read"),
    ("busted-wake-up", "a wake-up was lost"),
    ("busted-irql", "after the pass: IRQL 1"),
    ("busted-region", "after the pass: IRQL 0, all APCs off"),
    (
        "busted-list",
        "was taken out of a list while somebody had it",
    ),
    ("busted-work-item", "it was queued to run"),
    ("busted-thread", "threads were started and waited for, and"),
];

#[test]
fn every_negative_control_fails_for_its_own_reason() {
    let engine = engine();
    let client = Client::new(&engine);
    let mut controls: Vec<String> = Vec::new();
    for item in client.scenarios() {
        if item.flags & ItemFlags::EXPECTED_TO_FAIL != 0 {
            controls.push(item.name.as_str().to_owned());
        }
    }
    assert_eq!(controls, CONTROLS.map(|(name, _)| name));
    for (name, reason) in CONTROLS {
        let run = client.start(name, &[("seconds", 1)]).unwrap();
        client.finished(run);
        let details = client.details(run).unwrap();
        let result = client.collect(run).expect(Verdict::Failed);
        assert!(result.log.contains(reason), "{name}: {}", result.log);
        for (_, other) in CONTROLS.iter().filter(|(other, _)| *other != name) {
            assert!(!result.log.contains(other), "{name}: {}", result.log);
        }
        let irql: u64 = details.iter().map(|it| it.irql_violations).sum();
        let apcs: u64 = details.iter().map(|it| it.apc_violations).sum();
        assert_eq!(
            (irql > 0, apcs > 0),
            (name == "busted-irql", name == "busted-region")
        );
    }
}

#[test]
fn dpcs_contend_with_threads() {
    let engine = engine();
    let client = Client::new(&engine);
    for name in [
        "spinlock",
        "queued-spinlock",
        "rw-spinlock",
        "s-list",
        "interlocked-list",
    ] {
        let settings = [SHORT, ("threads", 2), ("readers", 2), ("dpcs", 3)];
        let result = client.run(name, &settings).expect(Verdict::Passed);
        let dpcs: Vec<_> = result
            .workers
            .iter()
            .filter(|worker| worker.role == Role::Dpc.to_wire())
            .collect();
        assert_eq!(dpcs.len(), 3);
        assert!(
            dpcs.iter().all(|dpc| dpc.acquisitions > 0),
            "{name}: {dpcs:?}"
        );
    }
}

/// A timer that expires for the first time after the run was to be over.
#[test]
fn a_run_goes_on_until_something_was_acquired() {
    let engine = engine();
    let client = Client::new(&engine);
    let settings = [("milliseconds", 1), ("period", 300)];
    let result = client
        .run("timer-periodic", &settings)
        .expect(Verdict::Passed);
    assert!(result.summary.elapsed_100ns >= 2_500_000);
}

#[test]
fn a_limit_ends_a_run_before_its_time() {
    let engine = engine();
    let client = Client::new(&engine);
    let settings = [("seconds", 60), ("threads", 3), ("limit", 500)];
    for name in ["mutex", "push-lock", "event"] {
        let result = client.run(name, &settings).expect(Verdict::Passed);
        assert!(result.summary.elapsed_100ns < 300_000_000);
        let writers = result.workers.iter().take(3);
        if name != "event" {
            assert!(writers.clone().all(|it| it.acquisitions >= 500));
        }
        assert!(
            writers.clone().all(|it| it.acquisitions <= 510),
            "no more than asked for"
        );
    }
}

#[test]
fn holds_can_be_long_and_spread() {
    let engine = engine();
    let client = Client::new(&engine);
    let longest = |settings: &[(&str, u64)]| {
        let settings = [&[("seconds", 1), ("threads", 1), ("sample", 1)], settings].concat();
        let run = client.start("fast-mutex", &settings).unwrap();
        client.finished(run);
        let (_, buckets) = client.histogram(run, 0, HistogramKind::Hold, 64).unwrap();
        client.collect(run).expect(Verdict::Passed);
        let count = |from: u64, to: u64| -> u64 {
            let fitting = buckets
                .iter()
                .filter(|it| (from..to).contains(&it.lowest_ns));
            fitting.map(|it| it.count).sum()
        };
        (
            count(0, 40_000),
            count(40_000, 900_000),
            count(900_000, u64::MAX),
        )
    };
    let (short, _, long) = longest(&[("long-hold", 1_000), ("long-every", 20)]);
    let share = short / long.max(1);
    assert!((10..40).contains(&share), "one in {share} is long");
    // Even: as many are below half of the mean as one would think.
    for spread in [1, 2] {
        let (short, middle, _) = longest(&[("hold", 80), ("spread", spread)]);
        assert!(short * 10 > middle && short < middle, "{short} {middle}");
    }
    let (short, ..) = longest(&[("hold", 80), ("spread", 0)]);
    assert_eq!(short, 0, "none is shorter than it was to be");
}

/// Every scenario with every parameter at both ends of its range.
#[test]
fn both_ends_of_every_range_work() {
    let engine = engine();
    let client = Client::new(&engine);
    for scenario in client.scenarios() {
        let parameters = client.parameters(scenario.id);
        for parameter in &parameters {
            let name = parameter.name.as_str();
            // All threads together are limited: most of one sort leave room for few of the other.
            let others = parameters.iter().filter(|it| {
                it.id != parameter.id && ["threads", "readers"].contains(&it.name.as_str())
            });
            let few: Vec<_> = others.map(|it| (it.id, it.minimum)).collect();
            for value in [parameter.minimum, parameter.maximum] {
                let values = [&[(parameter.id, value)], &few[..]].concat();
                let run = client.start_raw(scenario.id, &values);
                let run = run.unwrap_or_else(|status| panic!("{scenario:?} {name}: {status}"));
                sleep(Duration::from_millis(10));
                client.stop(run).unwrap();
                let result = client.collect(run);
                let control = scenario.flags & ItemFlags::EXPECTED_TO_FAIL != 0;
                if !control {
                    assert!(
                        matches!(result.verdict(), Verdict::Stopped | Verdict::Passed),
                        "{scenario:?} {name} {value}: {}",
                        result.log
                    );
                }
            }
        }
    }
}

#[test]
fn a_broken_lock_fails_for_the_right_reason() {
    let engine = engine();
    let client = Client::new(&engine);
    for threads in [2, 4, 16] {
        let settings = [("seconds", 1), ("threads", threads)];
        let result = client.run("busted", &settings).expect(Verdict::Failed);
        assert!(result.summary.failures > 0);
        assert!(result.log.contains("the record was torn"), "{}", result.log);
        let found: u64 = result.workers.iter().map(|worker| worker.failures).sum();
        assert_eq!(found, result.summary.failures);
    }
}

#[test]
fn roles_are_as_many_as_asked_for() {
    let engine = engine();
    let client = Client::new(&engine);
    let count = |result: &common::Result, role: Role| {
        let workers = result.workers.iter();
        workers.filter(|it| it.role == role.to_wire()).count()
    };
    let settings = [SHORT, ("threads", 3), ("readers", 5)];
    let result = client.run("resource", &settings).expect(Verdict::Passed);
    assert_eq!(count(&result, Role::Writer), 3);
    assert_eq!(count(&result, Role::Reader), 5);
    let settings = [SHORT, ("threads", 5), ("timers", 3)];
    let result = client.run("timer", &settings).expect(Verdict::Passed);
    assert_eq!(count(&result, Role::Setter), 3);
    assert_eq!(count(&result, Role::Canceller), 2);
    assert_eq!(count(&result, Role::Dpc), 3);
    for (index, worker) in result.workers.iter().enumerate() {
        assert_eq!(worker.index as usize, index);
    }
}

#[test]
fn sixty_four_workers_of_every_kind() {
    let engine = engine();
    let client = Client::new(&engine);
    for scenario in client.working_scenarios() {
        let parameters = client.parameters(scenario.id);
        if !parameters.iter().any(|it| it.name.as_str() == "threads") {
            continue;
        }
        let settings = [SHORT, ("threads", 64), ("readers", 64)];
        let result = client
            .run(scenario.name.as_str(), &settings)
            .expect(Verdict::Passed);
        assert!(result.workers.len() >= 64);
    }
}

#[test]
fn contention_is_seen() {
    let engine = engine();
    let client = Client::new(&engine);
    let settings = [
        SHORT,
        ("threads", 8),
        ("readers", 4),
        ("hold", 100),
        ("try", 0),
    ];
    for name in [
        "spinlock",
        "queued-spinlock",
        "rw-spinlock",
        "mutex",
        "resource",
        "fast-mutex",
        "guarded-mutex",
        "push-lock",
    ] {
        let result = client.run(name, &settings).expect(Verdict::Passed);
        let contended: u64 = result.workers.iter().map(|it| it.contended).sum();
        let waited: u64 = result.workers.iter().map(|it| it.total_wait_ns).sum();
        assert!(contended > 0, "{name}: eight threads never met");
        assert!(waited > 0, "{name}: nobody waited");
        assert_eq!(result.summary.kernel_contention > 0, name == "resource");
    }
}

/// Also where one wait that is timed stands for more of them than the worker then has.
#[test]
fn no_more_is_contended_than_was_attempted() {
    let engine = engine();
    let client = Client::new(&engine);
    let settings = [
        ("seconds", 1),
        ("limit", 3),
        ("hold", 200),
        ("try", 50),
        ("sample", 1_000),
    ];
    for scenario in client.working_scenarios() {
        let name = scenario.name.as_str();
        let result = client.run(name, &settings).expect(Verdict::Passed);
        for worker in &result.workers {
            let attempts = worker.acquisitions + worker.timeouts;
            assert!(worker.contended <= attempts, "{name}: {worker:?}");
        }
    }
}
