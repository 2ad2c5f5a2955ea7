//! What I/O Verification and the rules of the I/O manager answer with a bug check.
#![cfg(not(windows))]

mod support;

use std::ptr;

use nthost::{
    bugcheck::BugCheckReport, ntddk::bugcheck as code, ntddk::*, testing::expect_bug_check,
};
use support::{
    VERIFIER,
    driver::{complete, mark_pending, run_to_bug_check, set_cancel_routine},
    nt, wait,
};

/// An error of I/O Verification.
fn assert_io(report: &BugCheckReport, error: u64) {
    assert_eq!(
        report.code,
        code::DRIVER_VERIFIER_IOMANAGER_VIOLATION,
        "{report}"
    );
    assert_eq!(report.parameters[0], error, "{report}");
}

/// The address is that of a routine of the child process, which lies elsewhere, at the same place in its
/// page.
fn assert_address(address: u64, routine: *const ()) {
    assert_eq!(address % 0x1000, routine as u64 % 0x1000);
}

macro_rules! handler {
    ($name:ident, $irp:ident => $body:expr) => {
        unsafe extern "win64" fn $name(_device: PDEVICE_OBJECT, $irp: PIRP) -> NTSTATUS {
            $body
        }
    };
}

handler!(completes_twice, irp => {
    complete(irp, STATUS_SUCCESS, 0);
    complete(irp, STATUS_SUCCESS, 0)
});

#[test]
fn completing_an_irp_twice() {
    let report = expect_bug_check(|| run_to_bug_check(completes_twice));
    assert_eq!(report.code, code::MULTIPLE_IRP_COMPLETE_REQUESTS);
}

handler!(completes_as_pending, irp => complete(irp, STATUS_PENDING, 0));

#[test]
fn completing_with_status_pending() {
    let report = expect_bug_check(|| run_to_bug_check(completes_as_pending));
    assert_io(&report, 0x06);
}

const unsafe extern "win64" fn never_called(_device: PDEVICE_OBJECT, _irp: PIRP) {}

handler!(keeps_cancel_routine, irp => {
    set_cancel_routine(irp, Some(never_called));
    complete(irp, STATUS_SUCCESS, 0)
});

#[test]
fn completing_with_a_cancel_routine() {
    let report = expect_bug_check(|| run_to_bug_check(keeps_cancel_routine));
    assert_io(&report, 0x07);
    assert_address(report.parameters[1], never_called as *const ());
}

const unsafe extern "win64" fn forgets(_device: PDEVICE_OBJECT, _irp: PIRP) -> NTSTATUS {
    STATUS_SUCCESS
}

#[test]
fn neither_completing_nor_passing_on() {
    let report = expect_bug_check(|| run_to_bug_check(forgets));
    assert_io(&report, 0x226);
}

handler!(says_something_else, irp => {
    complete(irp, STATUS_DEVICE_BUSY, 0);
    STATUS_SUCCESS
});

#[test]
fn returning_another_status_than_that_of_the_irp() {
    let report = expect_bug_check(|| run_to_bug_check(says_something_else));
    assert_io(&report, 0x224);
}

handler!(pends_without_mark, irp => {
    complete(irp, STATUS_SUCCESS, 0);
    STATUS_PENDING
});

#[test]
fn returning_pending_without_marking_the_irp() {
    let report = expect_bug_check(|| run_to_bug_check(pends_without_mark));
    assert_io(&report, 0x23D);
}

handler!(marks_without_pending, irp => {
    mark_pending(irp);
    complete(irp, STATUS_SUCCESS, 0)
});

#[test]
fn marking_the_irp_without_returning_pending() {
    let report = expect_bug_check(|| run_to_bug_check(marks_without_pending));
    assert_io(&report, 0x23E);
}

handler!(returns_raised, irp => {
    nt!(KfRaiseIrql(2));
    complete(irp, STATUS_SUCCESS, 0)
});

#[test]
fn returning_at_a_raised_irql() {
    let report = expect_bug_check(|| run_to_bug_check(returns_raised));
    assert_io(&report, 0x05);
    assert_eq!(report.parameters[2..], [0, 2]);
}

handler!(stays_in_region, irp => {
    nt!(KeEnterCriticalRegion());
    complete(irp, STATUS_SUCCESS, 0)
});

#[test]
fn returning_inside_of_a_critical_region() {
    let report = expect_bug_check(|| run_to_bug_check(stays_in_region));
    assert_eq!(
        (report.code, report.parameters[0]),
        (VERIFIER, 0xC5),
        "{report}"
    );
    assert_address(report.parameters[1], stays_in_region as *const ());
    assert_eq!(report.parameters[2..], [0xFFFF, 0]);
}

handler!(keeps_a_mutex, irp => {
    let mutex = Box::leak(Box::new(KMUTEX::default()));
    nt!(KeInitializeMutex(mutex, 0));
    wait((&raw mut *mutex).cast(), None);
    complete(irp, STATUS_SUCCESS, 0)
});

#[test]
fn returning_with_a_mutex() {
    let report = expect_bug_check(|| run_to_bug_check(keeps_a_mutex));
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0xC5));
    assert_address(report.parameters[1], keeps_a_mutex as *const ());
    assert_eq!(report.parameters[2..], [0xFFFF, 0]);
}

handler!(returns_too_much, irp => complete(irp, STATUS_SUCCESS, 1000));

#[test]
fn returning_more_output_than_there_is_room() {
    let report = expect_bug_check(|| run_to_bug_check(returns_too_much));
    assert_io(&report, 0x200);
}

handler!(passes_to_nobody, irp => nt!(IofCallDriver(ptr::null_mut(), irp)));

#[test]
fn passing_an_irp_to_no_device() {
    let report = expect_bug_check(|| run_to_bug_check(passes_to_nobody));
    assert_io(&report, 0x204);
}

unsafe extern "win64" fn passes_to_itself(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    nt!(IofCallDriver(device, irp))
}

#[test]
fn running_out_of_stack_locations() {
    let report = expect_bug_check(|| run_to_bug_check(passes_to_itself));
    assert_eq!(report.code, code::NO_MORE_IRP_STACK_LOCATIONS);
}

handler!(frees_the_request, irp => {
    nt!(IoFreeIrp(irp));
    STATUS_SUCCESS
});

#[test]
fn freeing_the_irp_of_a_request() {
    let report = expect_bug_check(|| run_to_bug_check(frees_the_request));
    assert_io(&report, 0x02);
}

unsafe extern "win64" fn deletes_twice(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    nt!(IoDeleteDevice(device));
    nt!(IoDeleteDevice(device));
    complete(irp, STATUS_SUCCESS, 0)
}

#[test]
fn deleting_a_device_twice() {
    let report = expect_bug_check(|| run_to_bug_check(deletes_twice));
    assert_io(&report, 0x240);
}

unsafe extern "win64" fn detaches(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    nt!(IoDetachDevice(device));
    complete(irp, STATUS_SUCCESS, 0)
}

#[test]
fn detaching_from_a_device_that_nothing_is_attached_to() {
    let report = expect_bug_check(|| run_to_bug_check(detaches));
    assert_io(&report, 0x202);
}

handler!(links_at_dispatch, irp => {
    nt!(KfRaiseIrql(2));
    let mut string = UNICODE_STRING::default();
    nt!(IoDeleteSymbolicLink(&raw mut string));
    complete(irp, STATUS_SUCCESS, 0)
});

#[test]
fn a_passive_function_at_dispatch_level() {
    let report = expect_bug_check(|| run_to_bug_check(links_at_dispatch));
    assert_eq!((report.code, report.parameters[0]), (VERIFIER, 0x2000D));
}

handler!(compares_at_dispatch, irp => {
    nt!(KfRaiseIrql(2));
    let string = UNICODE_STRING::default();
    nt!(RtlCompareUnicodeString(&raw const string, &raw const string, TRUE));
    complete(irp, STATUS_SUCCESS, 0)
});

#[test]
fn a_pageable_function_at_dispatch_level() {
    let report = expect_bug_check(|| run_to_bug_check(compares_at_dispatch));
    assert_eq!(report.code, code::IRQL_NOT_LESS_OR_EQUAL);
    assert_eq!(report.parameters[1..3], [2, 8]);
    assert_eq!(report.function, "RtlCompareUnicodeString");
}

unsafe extern "win64" fn routine(_device: PDEVICE_OBJECT, _context: PVOID) {
    nt!(KeEnterCriticalRegion());
}

unsafe extern "win64" fn works_badly(device: PDEVICE_OBJECT, _irp: PIRP) -> NTSTATUS {
    let item = nt!(IoAllocateWorkItem(device));
    nt!(IoQueueWorkItem(item, Some(routine), 1, ptr::null_mut()));
    // The routine stops the kernel, which ends this wait.
    let mut event = KEVENT::default();
    nt!(KeInitializeEvent(&raw mut event, 0, FALSE));
    nt!(KeWaitForSingleObject(
        (&raw mut event).cast(),
        0,
        0,
        FALSE,
        ptr::null_mut()
    ))
}

#[test]
fn a_work_item_that_stays_in_a_critical_region() {
    let report = expect_bug_check(|| run_to_bug_check(works_badly));
    assert_eq!(report.code, code::APC_INDEX_MISMATCH);
    assert_address(report.parameters[0], routine as *const ());
}

unsafe extern "win64" fn waits_for_good(_device: PDEVICE_OBJECT, _context: PVOID) {
    std::thread::sleep(std::time::Duration::from_mins(1));
}

/// A work item that waits for a worker thread, none of which ever becomes free.
fn queued_item(device: PDEVICE_OBJECT) -> PVOID {
    let mut item = ptr::null_mut();
    for _ in 0..64 {
        item = nt!(IoAllocateWorkItem(device));
        nt!(IoQueueWorkItem(
            item,
            Some(waits_for_good),
            1,
            ptr::null_mut()
        ));
    }
    item
}

unsafe extern "win64" fn frees_a_queued_item(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    nt!(IoFreeWorkItem(queued_item(device)));
    complete(irp, STATUS_SUCCESS, 0)
}

unsafe extern "win64" fn queues_an_item_twice(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    let item = queued_item(device);
    nt!(IoQueueWorkItem(
        item,
        Some(waits_for_good),
        1,
        ptr::null_mut()
    ));
    complete(irp, STATUS_SUCCESS, 0)
}

#[test]
fn a_work_item_freed_or_queued_while_it_is_queued() {
    let report = expect_bug_check(|| run_to_bug_check(frees_a_queued_item));
    assert_eq!(
        (report.code, report.parameters[0]),
        (code::WORKER_INVALID, 2)
    );
    assert_address(report.parameters[2], waits_for_good as *const ());
    let report = expect_bug_check(|| run_to_bug_check(queues_an_item_twice));
    let found = (report.code, report.parameters[0], report.parameters[2]);
    assert_eq!(found, (code::WORKER_INVALID, 1, 1));
}

unsafe extern "win64" fn allocates_for_an_irp(_device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    nt!(IoAllocateWorkItem(irp.cast()));
    complete(irp, STATUS_SUCCESS, 0)
}

unsafe extern "win64" fn allocates_for_its_driver(device: PDEVICE_OBJECT, irp: PIRP) -> NTSTATUS {
    // SAFETY: The device is the driver's own.
    let driver = unsafe { (*device).DriverObject };
    let item = nt!(IoAllocateWorkItem(driver.cast()));
    let status = if item.is_null() {
        STATUS_UNSUCCESSFUL
    } else {
        STATUS_SUCCESS
    };
    nt!(IoFreeWorkItem(item));
    complete(irp, status, 0)
}

#[test]
fn a_work_item_is_of_a_device_or_a_driver() {
    let report = expect_bug_check(|| run_to_bug_check(allocates_for_an_irp));
    assert_eq!(
        (report.code, report.parameters[0]),
        (code::WORKER_INVALID, 3)
    );
    let (driver, file) =
        support::driver::load("owner", allocates_for_its_driver).expect("a driver");
    assert_eq!(
        file.ioctl(support::driver::code(METHOD_BUFFERED), b"", &mut [])
            .expect("success"),
        0
    );
    file.close().expect("a close");
    driver.unload().expect("an unload");
}

handler!(frees_a_wrong_mdl, irp => {
    let mut mdl = MDL::default();
    nt!(IoFreeMdl(&raw mut mdl));
    complete(irp, STATUS_SUCCESS, 0)
});

#[test]
fn freeing_an_mdl_that_is_none() {
    let report = expect_bug_check(|| run_to_bug_check(frees_a_wrong_mdl));
    let found = (report.code, report.parameters[0]);
    assert_eq!(found, (code::BAD_POOL_CALLER, 0x46));
}
