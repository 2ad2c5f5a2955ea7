//! Every scenario, for a second: those that must pass, and the one that must not.

mod common;

use common::{Client, engine};
use syncstress_protocol::{Role, Verdict};

fn passes(name: &str) {
    let engine = engine();
    let client = Client::new(&engine);
    let result = client.run(name, &[("seconds", 1)]).expect(Verdict::Passed);
    assert_eq!(result.summary.failures, 0);
    assert!(result.summary.elapsed_100ns >= 10_000_000, "a whole second");
    for worker in &result.workers {
        assert_eq!(worker.failures, 0);
        assert!(worker.longest_wait_ns <= worker.total_wait_ns);
    }
    let acquisitions: u64 = result.workers.iter().map(|it| it.acquisitions).sum();
    assert!(acquisitions > 100, "{acquisitions} acquisitions");
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
    let settings = [("seconds", 1), ("threads", 3), ("readers", 5)];
    let result = client.run("resource", &settings).expect(Verdict::Passed);
    assert_eq!(count(&result, Role::Writer), 3);
    assert_eq!(count(&result, Role::Reader), 5);
    let settings = [("seconds", 1), ("threads", 5), ("timers", 3)];
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
        let settings = [("seconds", 1), ("threads", 64), ("readers", 64)];
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
        ("seconds", 1),
        ("threads", 8),
        ("readers", 4),
        ("hold", 100),
        ("try", 0),
    ];
    for name in ["spinlock", "mutex", "resource", "fast-mutex"] {
        let result = client.run(name, &settings).expect(Verdict::Passed);
        let contended: u64 = result.workers.iter().map(|it| it.contended).sum();
        let waited: u64 = result.workers.iter().map(|it| it.total_wait_ns).sum();
        assert!(contended > 0, "{name}: eight threads never met");
        assert!(waited > 0, "{name}: nobody waited");
        assert_eq!(result.summary.kernel_contention > 0, name == "resource");
    }
}
