//! Push locks: sharing, exclusion, and the critical region that they need.
#![cfg(not(windows))]

mod support;

use std::{
    sync::atomic::{AtomicI32, Ordering},
    thread,
};

use nthost::{ntddk::*, testing::expect_bug_check};
use support::*;

type Lock = Object<EX_PUSH_LOCK>;

fn lock() -> Lock {
    let lock = Lock::default();
    nt!(ExInitializePushLock(lock.get()));
    lock
}

fn exclusive(lock: &Lock, body: impl FnOnce()) {
    nt!(KeEnterCriticalRegion());
    nt!(ExAcquirePushLockExclusiveEx(lock.get(), 0));
    body();
    nt!(ExReleasePushLockExclusiveEx(lock.get(), 0));
    nt!(KeLeaveCriticalRegion());
}

fn shared(lock: &Lock, body: impl FnOnce()) {
    nt!(KeEnterCriticalRegion());
    nt!(ExAcquirePushLockSharedEx(lock.get(), 0));
    body();
    nt!(ExReleasePushLockSharedEx(lock.get(), 0));
    nt!(KeLeaveCriticalRegion());
}

#[test]
fn several_share_it() {
    let lock = lock();
    shared(&lock, || {
        thread::scope(|scope| {
            scope.spawn(|| shared(&lock, || ()));
        });
    });
    exclusive(&lock, || ());
    assert_eq!(lock.read(), 0, "a free lock is zero");
}

#[test]
fn many_readers_and_writers() {
    let (lock, value, readers) = (lock(), Object::new((0_u64, 0_u64)), AtomicI32::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    exclusive(&lock, || {
                        assert_eq!(readers.load(Ordering::Relaxed), 0);
                        let (first, _) = value.read();
                        value.write((first + 1, 0));
                        value.write((first + 1, first + 1));
                    });
                }
            });
        }
        for _ in 0..12 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    shared(&lock, || {
                        readers.fetch_add(1, Ordering::Relaxed);
                        let (first, second) = value.read();
                        assert_eq!(first, second);
                        readers.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            });
        }
    });
    assert_eq!((value.read(), lock.read()), ((4000, 4000), 0));
}

#[test]
fn with_apcs_on() {
    let report = expect_bug_check(|| nt!(ExAcquirePushLockSharedEx(lock().get(), 0)));
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0xEA));
    let report = expect_bug_check(|| {
        let lock = lock();
        nt!(KeEnterCriticalRegion());
        nt!(ExAcquirePushLockExclusiveEx(lock.get(), 0));
        nt!(KeLeaveCriticalRegion());
        nt!(ExReleasePushLockExclusiveEx(lock.get(), 0));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0xEB));
}

#[test]
fn acquiring_twice() {
    let report = expect_bug_check(|| {
        let lock = lock();
        exclusive(&lock, || shared(&lock, || ()));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1000));
}

#[test]
fn releasing_the_other_way_and_releasing_what_is_not_held() {
    let report = expect_bug_check(|| {
        let lock = lock();
        shared(&lock, || nt!(ExReleasePushLockExclusiveEx(lock.get(), 0)));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1009));
    let report = expect_bug_check(|| {
        nt!(KeEnterCriticalRegion());
        nt!(ExReleasePushLockSharedEx(lock().get(), 0));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1007));
}
