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

fn event() -> Object<KEVENT> {
    let event = Object::default();
    nt!(KeInitializeEvent(event.get(), 0, FALSE));
    event
}

fn fast_mutex() -> Object<FAST_MUTEX> {
    let mutex = Object::default();
    nt!(KeInitializeGuardedMutex(mutex.get()));
    mutex
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
        let fast = fast_mutex();
        let push = Object::<EX_PUSH_LOCK>::default();
        let fast = || nt!(ExAcquireFastMutex(fast.get()));
        let push = || nt!(ExAcquirePushLockExclusiveEx(push.get(), 0));
        cross((fast, push), (push, fast));
    });
    assert_deadlock(&report);
}

const unsafe extern "win64" fn nothing(_: *mut KDPC, _: PVOID, _: PVOID, _: PVOID) {}

/// Sets a timer that queues a DPC each millisecond from now on.
fn tick() {
    let timer = Box::leak(Box::new(Object::<KTIMER>::default()));
    let dpc = Box::leak(Box::new(Object::<KDPC>::default()));
    nt!(KeInitializeTimer(timer.get()));
    nt!(KeInitializeDpc(
        dpc.get(),
        Some(nothing),
        core::ptr::null_mut()
    ));
    let due = LARGE_INTEGER { QuadPart: MS };
    nt!(KeSetTimerEx(timer.get(), due, 1, dpc.get()));
}

#[test]
fn a_periodic_timer_makes_no_difference() {
    let mutexes = expect_bug_check(|| {
        tick();
        let (a, b) = (mutex(), mutex());
        cross((|| lock(&a), || lock(&b)), (|| lock(&b), || lock(&a)));
    });
    let resources = expect_bug_check(|| {
        tick();
        let (a, b) = (resource(), resource());
        let own = |resource: &Object<ERESOURCE>| {
            nt!(ExAcquireResourceExclusiveLite(resource.get(), TRUE));
        };
        cross((|| own(&a), || own(&b)), (|| own(&b), || own(&a)));
    });
    let fast_mutexes = expect_bug_check(|| {
        tick();
        let (a, b) = (fast_mutex(), fast_mutex());
        let own = |mutex: &Object<FAST_MUTEX>| nt!(ExAcquireFastMutex(mutex.get()));
        cross((|| own(&a), || own(&b)), (|| own(&b), || own(&a)));
    });
    for report in [mutexes, resources, fast_mutexes] {
        assert_deadlock(&report);
    }
}

#[test]
fn a_periodic_timer_makes_no_difference_in_a_schedule() {
    let report = expect_bug_check(|| {
        nthost::Kernel::get().explore(nthost::Policy::Random, 1);
        tick();
        let (a, b) = (mutex(), mutex());
        let (first, second) = (event(), event());
        let meet = |mine: &Object<KEVENT>, other: &Object<KEVENT>| {
            nt!(KeSetEvent(mine.get(), 0, FALSE));
            wait(other.object(), None);
        };
        let handle = start_system_thread(|| {
            lock(&a);
            meet(&first, &second);
            lock(&b);
        });
        let other = start_system_thread(|| {
            lock(&b);
            meet(&second, &first);
            lock(&a);
        });
        join(handle);
        join(other);
    });
    assert_deadlock(&report);
}

#[test]
fn waiting_for_any_of_several_that_are_all_in_the_circle() {
    let report = expect_bug_check(|| {
        let (a, b, c) = (mutex(), mutex(), mutex());
        let any = || {
            wait_for(&[b.object(), c.object()], _WAIT_TYPE::WaitAny, None);
        };
        let both = || {
            lock(&b);
            lock(&c);
        };
        cross((|| lock(&a), any), (both, || lock(&a)));
    });
    assert_deadlock(&report);
}

#[test]
fn one_of_several_that_can_still_be_had_is_enough() {
    let (a, b, c) = (mutex(), mutex(), mutex());
    let unlock = |mutex: &Object<KMUTEX>| {
        nt!(KeReleaseMutex(mutex.get(), FALSE));
    };
    let owner = start_system_thread(|| {
        lock(&c);
        sleep(500);
        unlock(&c);
    });
    while nt!(KeReadStateMutex(c.get())) == 1 {
        std::thread::yield_now();
    }
    let any = || {
        let objects = [b.object(), c.object()];
        assert_eq!(wait_for(&objects, _WAIT_TYPE::WaitAny, None), 1);
        unlock(&c);
        unlock(&a);
    };
    let second = || {
        lock(&a);
        unlock(&a);
        unlock(&b);
    };
    cross((|| lock(&a), any), (|| lock(&b), second));
    join(owner);
}

#[test]
fn waiting_for_the_end_of_a_thread_under_a_mutex_that_it_wants() {
    let report = expect_bug_check(|| {
        let mutex = mutex();
        on_system_thread(|| {
            lock(&mutex);
            on_system_thread(|| lock(&mutex));
        });
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1001));
    let mut threads = vec![&report.thread];
    threads.extend(&report.others);
    let mut kinds: Vec<_> = threads
        .iter()
        .map(|thread| thread.waits_for[0].kind.as_str())
        .collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["mutex", "thread"]);
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
