//! Rundown protection: given until the rundown begins, and waited for.
#![cfg(not(windows))]

mod support;

use std::thread;

use nthost::{ntddk::*, testing::expect_bug_check};
use support::*;

type Reference = Object<EX_RUNDOWN_REF>;

fn reference() -> Reference {
    let reference = Reference::default();
    nt!(ExInitializeRundownProtection(reference.get()));
    reference
}

fn protect(reference: &Reference) -> BOOLEAN {
    nt!(ExAcquireRundownProtection(reference.get()))
}

fn release(reference: &Reference) {
    nt!(ExReleaseRundownProtection(reference.get()));
}

fn run_down(reference: &Reference) {
    nt!(ExWaitForRundownProtectionRelease(reference.get()));
}

#[test]
fn without_protections_the_rundown_is_complete_at_once() {
    let reference = reference();
    assert_eq!(protect(&reference), TRUE);
    release(&reference);
    run_down(&reference);
    assert_eq!(
        protect(&reference),
        FALSE,
        "no protection is given any more"
    );
    run_down(&reference);
    nt!(ExRundownCompleted(reference.get()));
    nt!(ExReInitializeRundownProtection(reference.get()));
    assert_eq!(protect(&reference), TRUE);
    release(&reference);
}

#[test]
fn the_rundown_waits_for_all_protections() {
    let reference = reference();
    assert_eq!(nt!(ExAcquireRundownProtectionEx(reference.get(), 3)), TRUE);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| run_down(&reference));
        while protect(&reference) == TRUE {
            release(&reference);
        }
        release(&reference);
        nt!(ExReleaseRundownProtectionEx(reference.get(), 1));
        sleep(20);
        assert!(!waiter.is_finished(), "one protection is left");
        release(&reference);
    });
    assert_eq!(protect(&reference), FALSE);
}

#[test]
fn many_threads_and_one_rundown() {
    let reference = reference();
    let alive = Object::new(true);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while protect(&reference) == TRUE {
                    assert!(alive.read(), "what is protected is there");
                    release(&reference);
                }
            });
        }
        sleep(20);
        run_down(&reference);
        alive.write(false);
    });
}

#[test]
fn releasing_more_than_was_acquired() {
    let report = expect_bug_check(|| release(&reference()));
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1007));
}

#[test]
fn initialising_again_what_is_not_run_down() {
    let report = expect_bug_check(|| {
        let reference = reference();
        protect(&reference);
        nt!(ExReInitializeRundownProtection(reference.get()));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1005));
}

#[test]
fn two_threads_that_wait_for_one_rundown() {
    let report = expect_bug_check(|| {
        let reference = reference();
        protect(&reference);
        thread::scope(|scope| {
            scope.spawn(|| run_down(&reference));
            while protect(&reference) == TRUE {
                release(&reference);
            }
            run_down(&reference);
        });
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1008));
}
