//! ERESOURCEs: what each misuse ends in.
#![cfg(not(windows))]

mod support;

use nthost::{
    Config,
    ntddk::*,
    testing::{expect_bug_check, expect_bug_checks},
};
use support::{resource::*, *};

#[test]
fn acquiring_and_releasing_with_apcs_on() {
    let report = expect_bug_check(|| {
        Resource::new().exclusive(TRUE);
    });
    assert_eq!(
        (report.code, &report.parameters[..3]),
        (VERIFIER, &[0x37, 0, 0][..])
    );
    let report = expect_bug_check(|| {
        let resource = Resource::new();
        protected(|| resource.shared(TRUE));
        resource.release();
    });
    assert_eq!(
        (report.code, &report.parameters[..3]),
        (VERIFIER, &[0x38, 0, 0][..])
    );
}

#[test]
fn each_way_to_acquire_and_release_with_apcs_on() {
    let acquisitions: [fn(&Resource); 5] = [
        |resource| {
            resource.exclusive(FALSE);
        },
        |resource| {
            nt!(ExTryToAcquireResourceExclusiveLite(resource.get()));
        },
        |resource| {
            resource.shared(FALSE);
        },
        |resource| {
            resource.starve(FALSE);
        },
        |resource| {
            resource.polite(FALSE);
        },
    ];
    let reports = expect_bug_checks(Config::default(), &acquisitions, |acquire| {
        acquire(&Resource::new());
    });
    for report in reports {
        assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x37));
    }
    let report = expect_bug_check(|| {
        let resource = Resource::new();
        protected(|| resource.exclusive(TRUE));
        let me = nt!(KeGetCurrentThread()) as u64;
        nt!(ExReleaseResourceForThreadLite(resource.get(), me));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x38));
}

/// The page warns of that: nobody is left to release it for the one who waits.
#[test]
fn one_who_shares_it_waits_for_those_who_wait_for_exclusive_access() {
    let report = expect_bug_check(|| {
        let resource = Resource::new();
        nt!(KeEnterCriticalRegion());
        resource.shared(TRUE);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                protected(|| {
                    resource.exclusive(TRUE);
                });
            });
            resource.await_waiters((0, 1));
            resource.polite(TRUE);
        });
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1001));
}

#[test]
fn acquiring_at_dispatch_level() {
    let report = expect_bug_check(|| {
        let resource = Resource::new();
        raise(DISPATCH);
        resource.shared(FALSE);
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x20007));
}

#[test]
fn releasing_what_is_not_owned() {
    let report = expect_bug_check(|| protected(|| Resource::new().release()));
    assert_eq!(report.code, bugcheck::RESOURCE_NOT_OWNED);
    assert_eq!(report.parameters[1], report.thread.address);
}

#[test]
fn releasing_for_another_thread_without_an_owner_pointer() {
    let report = expect_bug_check(|| {
        let resource = Resource::new();
        let mine = nt!(KeGetCurrentThread()) as u64;
        nt!(KeEnterCriticalRegion());
        resource.exclusive(TRUE);
        elsewhere(|| nt!(ExReleaseResourceForThreadLite(resource.get(), mine)));
    });
    assert_eq!(report.code, bugcheck::ERESOURCE_INVALID_RELEASE);
}

#[test]
fn waiting_for_exclusive_access_while_sharing() {
    let report = expect_bug_check(|| {
        let resource = Resource::new();
        protected(|| {
            resource.shared(TRUE);
            resource.exclusive(TRUE);
        });
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1000));
}

#[test]
fn converting_what_is_not_owned_exclusively() {
    let report = expect_bug_check(|| {
        let resource = Resource::new();
        protected(|| {
            resource.shared(TRUE);
            nt!(ExConvertExclusiveToSharedLite(resource.get()));
        });
    });
    assert_eq!(report.code, bugcheck::SHARED_RESOURCE_CONV_ERROR);
}

#[test]
fn deleting_while_it_is_owned() {
    let report = expect_bug_check(|| {
        let resource = Resource::new();
        protected(|| {
            resource.shared(TRUE);
            resource.delete();
        });
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x100B));
    assert_eq!(report.parameters[2], report.thread.address);
}

#[test]
fn initialising_twice_and_deleting_twice() {
    let report = expect_bug_check(|| {
        let resource = Resource::new();
        nt!(ExInitializeResourceLite(resource.get()));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0xD0));
    let report = expect_bug_check(|| {
        let resource = Resource::new();
        resource.delete();
        resource.delete();
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0xD1));
}

#[test]
fn one_that_was_never_initialised() {
    let report = expect_bug_check(|| {
        let resource = Resource(Object::default());
        protected(|| resource.exclusive(TRUE));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x1002));
}

#[test]
fn one_that_is_not_aligned() {
    let report = expect_bug_check(|| {
        let memory = Object::new([0_u64; 14]);
        let resource = memory.get().wrapping_byte_add(4).cast::<ERESOURCE>();
        nt!(ExInitializeResourceLite(resource));
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x3D));
}

#[test]
fn freeing_one_that_was_not_deleted() {
    let report = expect_bug_check(|| {
        let memory = nt!(ExAllocatePool2(
            POOL_FLAG_NON_PAGED,
            0x80,
            u32::from_le_bytes(*b"test")
        ));
        nt!(ExInitializeResourceLite(
            memory.wrapping_byte_add(0x10).cast()
        ));
        nt!(ExFreePool(memory));
    });
    assert_eq!(
        (report.code, report.parameters[0], report.parameters[3]),
        (VERIFIER, 0xD2, 0x80)
    );
    assert_eq!(report.parameters[1], report.parameters[2] + 0x10);
}

#[test]
fn a_thread_that_ends_and_owns_one() {
    let report = expect_bug_check(|| {
        let resource = Resource::new();
        on_system_thread(|| {
            resource.shared(TRUE);
        });
    });
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x100A));
}
