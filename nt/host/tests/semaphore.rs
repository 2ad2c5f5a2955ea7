//! `KSEMAPHORE`: counting, waking, and its limit.
#![cfg(not(windows))]

mod support;

use std::{
    sync::atomic::{AtomicI32, Ordering},
    thread,
};

use nthost::{Kernel, Stop, ntddk::*, testing::expect_bug_check};
use support::*;

type Semaphore = Object<KSEMAPHORE>;

fn semaphore(count: LONG, limit: LONG) -> Semaphore {
    let semaphore = Semaphore::default();
    nt!(KeInitializeSemaphore(semaphore.get(), count, limit));
    semaphore
}

fn release(semaphore: &Semaphore, adjustment: LONG) -> LONG {
    nt!(KeReleaseSemaphore(semaphore.get(), 0, adjustment, FALSE))
}

fn state(semaphore: &Semaphore) -> LONG {
    nt!(KeReadStateSemaphore(semaphore.get()))
}

#[test]
fn each_wait_takes_one_and_releasing_returns_the_count_before() {
    let semaphore = semaphore(2, 5);
    assert_eq!(wait(semaphore.object(), None), STATUS_SUCCESS);
    assert_eq!(wait(semaphore.object(), None), STATUS_SUCCESS);
    assert_eq!(
        (state(&semaphore), wait(semaphore.object(), Some(0))),
        (0, STATUS_TIMEOUT)
    );
    assert_eq!(
        (
            release(&semaphore, 3),
            release(&semaphore, 2),
            state(&semaphore)
        ),
        (0, 3, 5)
    );
}

#[test]
fn a_release_wakes_as_many_as_it_adds() {
    let (semaphore, inside) = (semaphore(0, 100), AtomicI32::new(0));
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                assert_eq!(wait(semaphore.object(), None), STATUS_SUCCESS);
                inside.fetch_add(1, Ordering::Relaxed);
            });
        }
        sleep(50);
        release(&semaphore, 3);
        sleep(50);
        assert_eq!((inside.load(Ordering::Relaxed), state(&semaphore)), (3, 0));
        release(&semaphore, 7);
    });
}

#[test]
fn no_more_than_its_count_are_inside() {
    let (semaphore, inside) = (semaphore(3, 3), AtomicI32::new(0));
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                for _ in 0..300 {
                    assert_eq!(wait(semaphore.object(), None), STATUS_SUCCESS);
                    assert!(inside.fetch_add(1, Ordering::Relaxed) < 3);
                    inside.fetch_sub(1, Ordering::Relaxed);
                    release(&semaphore, 1);
                }
            });
        }
    });
    assert_eq!(state(&semaphore), 3);
}

#[test]
fn releasing_beyond_the_limit() {
    let report = expect_bug_check(|| {
        release(&semaphore(1, 2), 2);
    });
    let status = i64::from(STATUS_SEMAPHORE_LIMIT_EXCEEDED).cast_unsigned();
    assert_eq!(
        (report.code, report.parameters[0]),
        (bugcheck::KMODE_EXCEPTION_NOT_HANDLED, status)
    );
}

#[test]
fn a_release_beyond_the_limit_leaves_the_count() {
    let report = expect_bug_check(|| {
        let semaphore = semaphore(1, 2);
        let stopped = Kernel::get().run(|| {
            release(&semaphore, 2);
        });
        assert!(matches!(stopped, Err(Stop::BugCheck(_))));
        // The kernel is dead; the memory is there.
        let left = semaphore.read().Header.SignalState;
        assert_eq!(left, 1);
        state(&semaphore);
    });
    assert_eq!(report.code, bugcheck::KMODE_EXCEPTION_NOT_HANDLED);
}

#[test]
fn a_release_with_wait_keeps_the_irql_up_until_the_wait() {
    let semaphore = semaphore(0, 2);
    let count = nt!(KeReleaseSemaphore(semaphore.get(), 0, 1, TRUE));
    assert_eq!((count, irql()), (0, DISPATCH));
    let waited = wait(semaphore.object(), None);
    assert_eq!((waited, irql()), (STATUS_SUCCESS, PASSIVE));
}

#[test]
fn one_that_was_never_initialised() {
    let report = expect_bug_check(|| {
        release(&Semaphore::default(), 1);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1002));
}
