//! `EX_SPIN_LOCK`: sharing, exclusion, conversion, and what each misuse ends in.
#![cfg(not(windows))]

mod support;

use std::{
    sync::atomic::{AtomicI32, Ordering},
    thread,
};

use nthost::{ntddk::*, testing::expect_bug_check};
use support::*;

type Lock = Object<EX_SPIN_LOCK>;

fn shared(lock: &Lock) -> KIRQL {
    nt!(ExAcquireSpinLockShared(lock.get()))
}

fn exclusive(lock: &Lock) -> KIRQL {
    nt!(ExAcquireSpinLockExclusive(lock.get()))
}

#[test]
fn both_kinds_raise_to_dispatch_level_and_restore() {
    let lock = Lock::default();
    let old = shared(&lock);
    assert_eq!((old, irql(), lock.read()), (PASSIVE, DISPATCH, 1));
    nt!(ExReleaseSpinLockShared(lock.get(), old));
    let old = exclusive(&lock);
    assert_eq!((old, irql()), (PASSIVE, DISPATCH));
    nt!(ExReleaseSpinLockExclusive(lock.get(), old));
    assert_eq!((irql(), lock.read()), (PASSIVE, 0));
}

#[test]
fn at_dispatch_level_the_irql_stays() {
    let lock = Lock::default();
    let old = raise(DISPATCH);
    nt!(ExAcquireSpinLockSharedAtDpcLevel(lock.get()));
    nt!(ExReleaseSpinLockSharedFromDpcLevel(lock.get()));
    nt!(ExAcquireSpinLockExclusiveAtDpcLevel(lock.get()));
    nt!(ExReleaseSpinLockExclusiveFromDpcLevel(lock.get()));
    assert_eq!(irql(), DISPATCH);
    lower(old);
}

#[test]
fn trying_and_converting() {
    let lock = Lock::default();
    let old = raise(DISPATCH);
    assert_eq!(nt!(ExTryAcquireSpinLockSharedAtDpcLevel(lock.get())), 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let old = raise(DISPATCH);
            assert_eq!(nt!(ExTryAcquireSpinLockExclusiveAtDpcLevel(lock.get())), 0);
            assert_eq!(nt!(ExTryAcquireSpinLockSharedAtDpcLevel(lock.get())), 1);
            assert_eq!(
                nt!(ExTryConvertSharedSpinLockExclusive(lock.get())),
                0,
                "two share it"
            );
            nt!(ExReleaseSpinLockSharedFromDpcLevel(lock.get()));
            lower(old);
        });
    });
    assert_eq!(nt!(ExTryConvertSharedSpinLockExclusive(lock.get())), 1);
    nt!(ExReleaseSpinLockExclusiveFromDpcLevel(lock.get()));
    assert_eq!(nt!(ExTryAcquireSpinLockExclusiveAtDpcLevel(lock.get())), 1);
    nt!(ExReleaseSpinLockExclusiveFromDpcLevel(lock.get()));
    lower(old);
}

#[test]
fn many_readers_and_writers() {
    let (lock, value, readers) = (
        Lock::default(),
        Object::new((0_u64, 0_u64)),
        AtomicI32::new(0),
    );
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let old = exclusive(&lock);
                    assert_eq!(readers.load(Ordering::Relaxed), 0);
                    let (first, _) = value.read();
                    value.write((first + 1, 0));
                    value.write((first + 1, first + 1));
                    nt!(ExReleaseSpinLockExclusive(lock.get(), old));
                }
            });
        }
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let old = shared(&lock);
                    readers.fetch_add(1, Ordering::Relaxed);
                    let (first, second) = value.read();
                    assert_eq!(first, second);
                    readers.fetch_sub(1, Ordering::Relaxed);
                    nt!(ExReleaseSpinLockShared(lock.get(), old));
                }
            });
        }
    });
    assert_eq!((value.read(), lock.read()), ((2000, 2000), 0));
}

#[test]
fn asking_for_exclusive_access_while_sharing() {
    let report = expect_bug_check(|| {
        let lock = Lock::default();
        shared(&lock);
        exclusive(&lock);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1000));
}

#[test]
fn releasing_the_other_way_and_releasing_what_is_not_held() {
    let report = expect_bug_check(|| {
        let lock = Lock::default();
        let old = shared(&lock);
        nt!(ExReleaseSpinLockExclusive(lock.get(), old));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1009));
    let report = expect_bug_check(|| {
        raise(DISPATCH);
        nt!(ExReleaseSpinLockSharedFromDpcLevel(Lock::default().get()));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1007));
}
