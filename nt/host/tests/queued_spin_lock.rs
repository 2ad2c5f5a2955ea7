//! In-stack queued spin locks, and how they and ordinary spin locks find each other out.
#![cfg(not(windows))]

mod support;

use std::thread;

use nthost::{ntddk::*, testing::expect_bug_check};
use support::*;

type Lock = Object<KSPIN_LOCK>;
type Handle = Object<KLOCK_QUEUE_HANDLE>;

fn acquire(lock: &Lock, handle: &Handle) {
    nt!(KeAcquireInStackQueuedSpinLock(lock.get(), handle.get()));
}

fn release(handle: &Handle) {
    nt!(KeReleaseInStackQueuedSpinLock(handle.get()));
}

#[test]
fn acquiring_raises_to_dispatch_level_and_releasing_restores() {
    let (lock, handle) = (Lock::default(), Handle::default());
    for before in [PASSIVE, APC, DISPATCH] {
        let outer = raise(before);
        acquire(&lock, &handle);
        assert_eq!((irql(), handle.read().OldIrql), (DISPATCH, before));
        release(&handle);
        assert_eq!(irql(), before);
        lower(outer);
    }
    assert_eq!(lock.read(), 0);
}

#[test]
fn at_dispatch_level_the_irql_stays() {
    let (lock, handle) = (Lock::default(), Handle::default());
    let old = raise(DISPATCH);
    nt!(KeAcquireInStackQueuedSpinLockAtDpcLevel(
        lock.get(),
        handle.get()
    ));
    nt!(KeReleaseInStackQueuedSpinLockFromDpcLevel(handle.get()));
    assert_eq!(irql(), DISPATCH);
    lower(old);
}

#[test]
fn many_threads_exclude_each_other() {
    let (lock, counter) = (Lock::default(), Object::new(0));
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let handle = Handle::default();
                    acquire(&lock, &handle);
                    counter.write(counter.read() + 1);
                    release(&handle);
                }
            });
        }
    });
    assert_eq!((counter.read(), lock.read()), (16_000, 0));
}

#[test]
fn acquiring_twice() {
    let report = expect_bug_check(|| {
        let lock = Lock::default();
        acquire(&lock, &Handle::default());
        acquire(&lock, &Handle::default());
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1000));
}

#[test]
fn releasing_a_handle_that_holds_nothing() {
    let report = expect_bug_check(|| {
        let (lock, handle) = (Lock::default(), Handle::default());
        acquire(&lock, &handle);
        release(&handle);
        raise(DISPATCH);
        release(&handle);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1007));
}

#[test]
fn releasing_below_dispatch_level() {
    let report = expect_bug_check(|| {
        let (lock, handle) = (Lock::default(), Handle::default());
        acquire(&lock, &handle);
        lower(PASSIVE);
        release(&handle);
    });
    assert_eq!(
        (report.code, &report.parameters[..2]),
        (VERIFIER, &[0x36, 0][..])
    );
}

#[test]
fn acquiring_a_queued_lock_as_an_ordinary_one() {
    let report = expect_bug_check(|| {
        let lock = Lock::default();
        thread::scope(|scope| {
            scope.spawn(|| {
                acquire(&lock, &Handle::default());
                loop {
                    thread::park();
                }
            });
            while nt!(KeTestSpinLock(lock.get())) == TRUE {}
            sleep(10);
            nt!(KeAcquireSpinLockRaiseToDpc(lock.get()));
        });
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1008));
}

#[test]
fn acquiring_an_ordinary_lock_as_a_queued_one() {
    let report = expect_bug_check(|| {
        let lock = Lock::default();
        thread::scope(|scope| {
            scope.spawn(|| {
                nt!(KeAcquireSpinLockRaiseToDpc(lock.get()));
                loop {
                    thread::park();
                }
            });
            while nt!(KeTestSpinLock(lock.get())) == TRUE {}
            acquire(&lock, &Handle::default());
        });
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1008));
}

#[test]
fn releasing_a_queued_lock_as_an_ordinary_one() {
    let report = expect_bug_check(|| {
        let lock = Lock::default();
        acquire(&lock, &Handle::default());
        nt!(KeReleaseSpinLock(lock.get(), PASSIVE));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1009));
}
