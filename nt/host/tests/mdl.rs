//! Memory descriptor lists: what must be of one that is locked, mapped, unlocked or freed.
#![cfg(not(windows))]

mod support;

use core::ptr;

use nthost::{
    Config, Rules,
    ntddk::{bugcheck as code, *},
    testing::{expect_bug_check, expect_bug_check_with, expect_bug_checks},
};
use support::*;

const SIZE: ULONG = 100;

/// An MDL for a block of pool.
fn mdl(flags: POOL_FLAGS) -> PMDL {
    let block = nt!(ExAllocatePool2(flags, SIZE.into(), 1));
    nt!(IoAllocateMdl(block, SIZE, FALSE, FALSE, ptr::null_mut()))
}

fn nonpaged() -> PMDL {
    mdl(POOL_FLAG_NON_PAGED)
}

fn lock(mdl: PMDL) -> PMDL {
    nt!(MmProbeAndLockPages(mdl, 0, 1));
    mdl
}

fn built() -> PMDL {
    let mdl = nonpaged();
    nt!(MmBuildMdlForNonPagedPool(mdl));
    mdl
}

fn map(mdl: PMDL, mode: KPROCESSOR_MODE, bug_check: ULONG) -> PMDL {
    let none = ptr::null_mut();
    nt!(MmMapLockedPagesSpecifyCache(
        mdl, mode, 1, none, bug_check, 16
    ));
    mdl
}

/// What is done, and the rule that it breaks.
type Case = (u64, fn());

const CASES: &[Case] = &[
    (0x7C, || nt!(MmUnlockPages(nonpaged()))),
    (0x7D, || nt!(MmUnlockPages(built()))),
    (0x7F, || {
        nt!(MmBuildMdlForNonPagedPool(mdl(POOL_FLAG_PAGED)));
    }),
    (0x82, || {
        map(lock(nonpaged()), 0, 1);
    }),
    (0xB0, || {
        lock(lock(nonpaged()));
    }),
    (0xB0, || {
        lock(built());
    }),
    (0xB2, || {
        map(map(lock(nonpaged()), 0, 0), 0, 0);
    }),
    (0xB2, || {
        map(built(), 0, 0);
    }),
    (0xB3, || {
        map(nonpaged(), 0, 0);
    }),
    (0xB8, || nt!(IoFreeMdl(map(lock(nonpaged()), 0, 0)))),
    (0x6E74_0005, || nt!(IoFreeMdl(lock(nonpaged())))),
];

#[test]
fn each_call_for_an_mdl_that_is_not_for_it() {
    let reports = expect_bug_checks(Config::default(), CASES, |(_, call)| call());
    for ((rule, _), report) in CASES.iter().zip(reports) {
        let found = (report.code, report.parameters[0]);
        assert_eq!(found, (VERIFIER, *rule), "{report}");
    }
}

#[test]
fn what_is_not_checked_without_the_rules() {
    let unchecked = Config {
        rules: Rules::DEFAULT - Rules::IO,
        ..Config::default()
    };
    let report = expect_bug_check_with(unchecked, || {
        nt!(IoFreeMdl(map(lock(nonpaged()), 0, 0)));
        nt!(MmUnlockPages(nonpaged()));
    });
    assert_eq!(report.code, code::PFN_LIST_CORRUPT);
}

#[test]
fn locking_pageable_memory_at_dispatch_level() {
    let report = expect_bug_check(|| {
        let mdl = mdl(POOL_FLAG_PAGED);
        raise(DISPATCH);
        lock(mdl);
    });
    assert_eq!(report.code, code::IRQL_NOT_LESS_OR_EQUAL);
    assert_eq!(report.parameters[1..3], [2, 1]);
}

#[test]
fn unlocking_undoes_the_mapping_and_nonpaged_pool_is_mapped_for_user_mode() {
    let locked = map(lock(nonpaged()), 0, 0);
    nt!(MmUnlockPages(locked));
    // SAFETY: The MDL is alive.
    let left = unsafe { (*locked).MdlFlags };
    assert_eq!(left & (MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA), 0);
    nt!(IoFreeMdl(locked));
    nt!(IoFreeMdl(map(built(), 1, 0)));
}

#[test]
fn a_buffer_that_is_too_long() {
    let allocate = |length| {
        let (start, none) = (ptr::null_mut(), ptr::null_mut());
        nt!(IoAllocateMdl(start, length, FALSE, FALSE, none))
    };
    assert!(
        allocate(u32::MAX - 4094).is_null(),
        "4 GiB less a page is the most"
    );
    let longest = allocate(u32::MAX - 4095);
    assert!(!longest.is_null());
    nt!(IoFreeMdl(longest));
}
