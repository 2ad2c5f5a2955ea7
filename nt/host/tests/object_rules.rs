//! What the I/O and object managers answer with a bug check: IRPs, remove locks, handles and references.
#![cfg(not(windows))]

mod support;

use core::ptr;

use nthost::{
    Config, Rules,
    bugcheck::BugCheckReport,
    ntddk::{bugcheck as code, *},
    testing::{expect_bug_check, expect_bug_check_with},
};
use support::{
    Object, VERIFIER,
    driver::{complete, run_to_bug_check},
    nt, start_system_thread,
};

/// The bug check and its first parameter.
const fn found(report: &BugCheckReport) -> (u32, u64) {
    (report.code, report.parameters[0])
}

const IO: u32 = code::DRIVER_VERIFIER_IOMANAGER_VIOLATION;

#[test]
fn initialising_an_irp_that_was_allocated() {
    let report = expect_bug_check(|| {
        let irp = nt!(IoAllocateIrp(1, FALSE));
        nt!(IoInitializeIrp(irp, 0x118, 1));
    });
    assert_eq!(found(&report), (IO, 0x238));
    let unchecked = Config {
        rules: Rules::DEFAULT - Rules::IO,
        ..Config::default()
    };
    let report = expect_bug_check_with(unchecked, || {
        let irp = nt!(IoAllocateIrp(1, FALSE));
        nt!(IoInitializeIrp(irp, 0x118, 1));
        nt!(IoFreeIrp(irp));
        nt!(KeBugCheck(0xAB));
    });
    assert_eq!(report.code, 0xAB, "it is freed as before: {report}");
}

unsafe extern "win64" fn reuses_its_request(_: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    nt!(IoReuseIrp(irp, STATUS_SUCCESS));
    complete(irp, STATUS_SUCCESS, 0)
}

#[test]
fn reusing_the_irp_of_a_request() {
    let report = expect_bug_check(|| run_to_bug_check(reuses_its_request));
    assert_eq!(found(&report), (IO, 0x311));
}

#[test]
fn freeing_an_irp_as_pool() {
    let report = expect_bug_check(|| {
        let irp = nt!(IoAllocateIrp(1, FALSE));
        nt!(ExFreePool(irp.cast()));
    });
    assert_eq!(found(&report), (VERIFIER, 0x105));
}

/// A remove lock, and a tag.
fn locked(tag: usize) -> (Object<IO_REMOVE_LOCK>, PVOID) {
    let lock = Object::<IO_REMOVE_LOCK>::default();
    nt!(IoInitializeRemoveLockEx(lock.get(), 1, 0, 0, 32));
    let tag = ptr::without_provenance_mut(tag);
    let status = nt!(IoAcquireRemoveLockEx(lock.get(), tag, ptr::null(), 0, 32));
    assert_eq!(status, STATUS_SUCCESS);
    (lock, tag)
}

const OTHER: PVOID = ptr::without_provenance_mut(0x77);

#[test]
fn a_remove_lock_is_released_with_the_tags_that_it_was_acquired_with() {
    let (lock, first) = locked(1);
    let get = lock.get();
    for tag in [OTHER, OTHER, ptr::null_mut()] {
        nt!(IoAcquireRemoveLockEx(get, tag, ptr::null(), 0, 32));
    }
    for tag in [OTHER, ptr::null_mut(), OTHER] {
        nt!(IoReleaseRemoveLockEx(get, tag, 32));
    }
    nt!(IoReleaseRemoveLockAndWaitEx(get, first, 32));
    let status = nt!(IoAcquireRemoveLockEx(get, OTHER, ptr::null(), 0, 32));
    assert_eq!(status, STATUS_DELETE_PENDING);
}

#[test]
fn releasing_a_remove_lock_with_another_tag() {
    let report = expect_bug_check(|| {
        let (lock, _) = locked(1);
        nt!(IoReleaseRemoveLockEx(lock.get(), OTHER, 32));
    });
    assert_eq!(found(&report), (VERIFIER, 0xD5));
    assert_eq!(report.parameters[2], 0x77);
    let report = expect_bug_check(|| {
        let (lock, tag) = locked(1);
        nt!(IoReleaseRemoveLockEx(lock.get(), tag, 32));
        nt!(IoReleaseRemoveLockEx(lock.get(), tag, 32));
    });
    assert_eq!(found(&report), (VERIFIER, 0xD5), "more often than acquired");
    let report = expect_bug_check(|| {
        let (lock, _) = locked(1);
        nt!(IoReleaseRemoveLockAndWaitEx(lock.get(), OTHER, 32));
    });
    assert_eq!(found(&report), (VERIFIER, 0xD6));
    assert_eq!(report.parameters[2..], [0x77, 1]);
}

#[test]
fn initialising_a_remove_lock_again() {
    let report = expect_bug_check(|| {
        let (lock, tag) = locked(1);
        nt!(IoReleaseRemoveLockAndWaitEx(lock.get(), tag, 32));
        nt!(IoInitializeRemoveLockEx(lock.get(), 1, 0, 0, 32));
    });
    assert_eq!(found(&report), (VERIFIER, 0xD7));
}

fn by_handle(handle: HANDLE, mode: KPROCESSOR_MODE) -> NTSTATUS {
    let mut object = ptr::null_mut();
    let kind = PsThreadType.get();
    let none = ptr::null_mut();
    nt!(ObReferenceObjectByHandle(
        handle,
        SYNCHRONIZE,
        kind,
        mode,
        &raw mut object,
        none
    ))
}

#[test]
fn a_kernel_handle_in_user_mode() {
    let report = expect_bug_check(|| {
        let handle = start_system_thread(|| ());
        by_handle(handle, 1);
    });
    assert_eq!(found(&report), (VERIFIER, 0xF7));
    assert_eq!(report.parameters[3], 1, "the access mode");
    let unchecked = Config {
        rules: Rules::DEFAULT - Rules::HANDLES,
        ..Config::default()
    };
    let report = expect_bug_check_with(unchecked, || {
        let handle = start_system_thread(|| ());
        assert_eq!(by_handle(handle, 1), STATUS_INVALID_HANDLE);
        assert_eq!(by_handle(handle, 0), STATUS_SUCCESS);
        nt!(KeBugCheck(0xAB));
    });
    assert_eq!(report.code, 0xAB, "{report}");
}

#[test]
fn the_type_of_an_object_counts_for_user_mode() {
    let (made, kind) = (nt!(PsGetCurrentThread()).cast(), PsThreadType.get());
    // A type that no object here is of.
    let other = ptr::from_ref(&0_u64).cast_mut().cast();
    let reference = |kind, mode| nt!(ObReferenceObjectByPointer(made, 0, kind, mode));
    assert_eq!(reference(kind, 1), STATUS_SUCCESS);
    assert_eq!(reference(other, 0), STATUS_SUCCESS);
    assert_eq!(reference(ptr::null_mut(), 0), STATUS_SUCCESS);
    assert_eq!(reference(other, 1), STATUS_OBJECT_TYPE_MISMATCH);
    for _ in 0..3 {
        nt!(ObfDereferenceObject(made));
    }
}

#[test]
fn attributes_of_a_handle_that_there_are_not() {
    let object = nt!(PsGetCurrentThread()).cast();
    let open = |attributes| {
        let (none, mut handle) = (ptr::null_mut(), ptr::null_mut());
        let kind = PsThreadType.get();
        let status = nt!(ObOpenObjectByPointer(
            object,
            attributes,
            none,
            0,
            kind,
            0,
            &raw mut handle
        ));
        if status == STATUS_SUCCESS {
            nt!(ZwClose(handle));
        }
        status
    };
    assert_eq!(open(OBJ_KERNEL_HANDLE), STATUS_SUCCESS);
    assert_eq!(open(1), STATUS_INVALID_PARAMETER);
    assert_eq!(open(OBJ_EXCLUSIVE), STATUS_SUCCESS);
    let both = OBJ_EXCLUSIVE | OBJ_INHERIT;
    assert_eq!(open(both), STATUS_INVALID_PARAMETER);
}
