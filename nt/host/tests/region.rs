//! Critical and guarded regions: what they turn off, how they nest, and what each misuse ends in.
#![cfg(not(windows))]

mod support;

use nthost::{ntddk::*, testing::expect_bug_check};
use support::*;

/// Whether normal APCs are off, and whether all are.
fn apcs_off() -> (BOOLEAN, BOOLEAN) {
    (nt!(KeAreApcsDisabled()), nt!(KeAreAllApcsDisabled()))
}

#[test]
fn regions_nest() {
    assert_eq!(apcs_off(), (FALSE, FALSE));
    nt!(KeEnterCriticalRegion());
    nt!(KeEnterCriticalRegion());
    assert_eq!(apcs_off(), (TRUE, FALSE));
    nt!(KeEnterGuardedRegion());
    assert_eq!(apcs_off(), (TRUE, TRUE));
    nt!(KeLeaveCriticalRegion());
    nt!(KeLeaveCriticalRegion());
    assert_eq!(
        apcs_off(),
        (TRUE, TRUE),
        "a guarded region turns normal ones off, too"
    );
    nt!(KeLeaveGuardedRegion());
    assert_eq!(apcs_off(), (FALSE, FALSE));
}

#[test]
fn apc_level_blocks_all_and_disables_none() {
    let old = raise(APC);
    assert_eq!(apcs_off(), (FALSE, TRUE));
    lower(old);
}

#[test]
fn the_counts_lie_in_the_thread() {
    nt!(KeEnterCriticalRegion());
    nt!(KeEnterGuardedRegion());
    let thread = nt!(KeGetCurrentThread());
    // SAFETY: The running thread's object is there.
    let thread = unsafe { &*thread };
    assert_eq!(
        (thread.KernelApcDisable, thread.SpecialApcDisable),
        (-1, -1)
    );
    nt!(KeLeaveGuardedRegion());
    nt!(KeLeaveCriticalRegion());
}

#[test]
fn leaving_what_was_not_entered() {
    let report = expect_bug_check(|| nt!(KeLeaveCriticalRegion()));
    assert_eq!(
        (report.code, report.parameters),
        (VERIFIER, [0x3E, 0, 0, 0])
    );
    let report = expect_bug_check(|| on_system_thread(|| nt!(KeLeaveCriticalRegion())));
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x3E));
    let report = expect_bug_check(|| nt!(KeLeaveGuardedRegion()));
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x4000E));
}

#[test]
fn above_apc_level() {
    let report = expect_bug_check(|| {
        raise(DISPATCH);
        nt!(KeEnterCriticalRegion());
    });
    assert_eq!(
        (report.code, &report.parameters[..2]),
        (VERIFIER, &[0x11A, 2][..])
    );
    let report = expect_bug_check(|| {
        nt!(KeEnterCriticalRegion());
        raise(DISPATCH);
        nt!(KeLeaveCriticalRegion());
    });
    assert_eq!(
        (report.code, &report.parameters[..2]),
        (VERIFIER, &[0x11B, 2][..])
    );
    let report = expect_bug_check(|| {
        raise(DISPATCH);
        nt!(KeEnterGuardedRegion());
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x20010));
}
