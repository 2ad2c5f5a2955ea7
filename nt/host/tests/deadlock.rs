//! Threads that wait for each other: every kind of lock, found while it happens.
#![cfg(not(windows))]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};

use nthost::{bugcheck::BugCheckReport, ntddk::*, testing::expect_bug_check};
use support::*;

/// Runs both bodies on system threads: each does its first half, waits for the other to have done so, and
/// does its second half. The second halves wait for each other.
fn cross<A, B, C, D>(first: (A, B), second: (C, D))
where
    A: FnOnce() + Send,
    B: FnOnce() + Send,
    C: FnOnce() + Send,
    D: FnOnce() + Send,
{
    let arrived = AtomicU32::new(0);
    let meet = || {
        arrived.fetch_add(1, Ordering::Relaxed);
        while arrived.load(Ordering::Relaxed) < 2 {
            std::thread::yield_now();
        }
    };
    let handle = start_system_thread(|| {
        first.0();
        meet();
        first.1();
    });
    let other = start_system_thread(|| {
        second.0();
        meet();
        second.1();
    });
    join(handle);
    join(other);
}

fn assert_deadlock(report: &BugCheckReport) {
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1001));
    assert_eq!(
        report.rule.matches("waits for 0x").count(),
        2,
        "{}",
        report.rule
    );
    let other = report.others.first().expect("the other thread");
    for (thread, other) in [(&report.thread, other), (other, &report.thread)] {
        let wanted = thread.waits_for.iter().map(|lock| lock.address);
        let held: Vec<_> = other.holds.iter().map(|lock| lock.address).collect();
        assert!(
            wanted.into_iter().any(|lock| held.contains(&lock)),
            "{report}"
        );
    }
    let lock = report.lock.as_ref().expect("a lock");
    assert!(report.thread.waits_for.contains(lock), "{report}");
}

fn mutex() -> Object<KMUTEX> {
    let mutex = Object::default();
    nt!(KeInitializeMutex(mutex.get(), 0));
    mutex
}

fn resource() -> Object<ERESOURCE> {
    let resource = Object::default();
    nt!(ExInitializeResourceLite(resource.get()));
    resource
}

fn lock(mutex: &Object<KMUTEX>) {
    wait(mutex.object(), None);
}

fn spin(lock: &Object<KSPIN_LOCK>) {
    nt!(KeAcquireSpinLockRaiseToDpc(lock.get()));
}

#[test]
fn two_mutexes() {
    let report = expect_bug_check(|| {
        let (a, b) = (mutex(), mutex());
        cross((|| lock(&a), || lock(&b)), (|| lock(&b), || lock(&a)));
    });
    assert_deadlock(&report);
}

#[test]
fn two_spin_locks() {
    let report = expect_bug_check(|| {
        let (a, b) = (Object::new(0), Object::new(0));
        cross((|| spin(&a), || spin(&b)), (|| spin(&b), || spin(&a)));
    });
    assert_deadlock(&report);
}

#[test]
fn a_resource_and_a_mutex() {
    let report = expect_bug_check(|| {
        let (resource, mutex) = (resource(), mutex());
        let shared = || {
            nt!(ExAcquireResourceSharedLite(resource.get(), TRUE));
        };
        let exclusive = || {
            nt!(ExAcquireResourceExclusiveLite(resource.get(), TRUE));
        };
        cross((shared, || lock(&mutex)), (|| lock(&mutex), exclusive));
    });
    assert_deadlock(&report);
}

#[test]
fn a_fast_mutex_and_a_push_lock() {
    let report = expect_bug_check(|| {
        let fast = Object::<FAST_MUTEX>::default();
        nt!(KeInitializeGuardedMutex(fast.get()));
        let push = Object::<EX_PUSH_LOCK>::default();
        let fast = || nt!(ExAcquireFastMutex(fast.get()));
        let push = || nt!(ExAcquirePushLockExclusiveEx(push.get(), 0));
        cross((fast, push), (push, fast));
    });
    assert_deadlock(&report);
}

#[test]
fn two_mutexes_waited_for_together() {
    let report = expect_bug_check(|| {
        let (a, b, c) = (mutex(), mutex(), mutex());
        let both = || {
            wait_for(&[b.object(), c.object()], _WAIT_TYPE::WaitAll, None);
        };
        cross((|| lock(&a), both), (|| lock(&c), || lock(&a)));
    });
    assert_deadlock(&report);
}

#[test]
fn waiting_long_or_with_a_time_out_is_no_deadlock() {
    let (a, b) = (mutex(), mutex());
    let unlock = |mutex: &Object<KMUTEX>| {
        nt!(KeReleaseMutex(mutex.get(), FALSE));
    };
    cross(
        (
            || lock(&a),
            || {
                assert_eq!(wait(b.object(), Some(400 * MS)), STATUS_TIMEOUT);
                unlock(&a);
            },
        ),
        (
            || lock(&b),
            || {
                lock(&a);
                unlock(&a);
                unlock(&b);
            },
        ),
    );
}
