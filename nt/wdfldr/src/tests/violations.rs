//! What stops the system: bug check 0x10D with its parameters.

use super::add::give_interface;
use super::callbacks::{driver, event, wdf};
use super::harness::{ATTRIBUTES, function, globals, interface, null, queue_config, with_device};
use crate::abi::{
    PWDFDEVICE_INIT, WDF_OBJECT_ATTRIBUTES, WDFOBJECT, WDFQUEUE, WDFREQUEST, bugcheck,
};
use nt_abi::bugcheck::WDF_VIOLATION;
use nt_abi::{NTSTATUS, STATUS_SUCCESS};
use nthost::testing::expect_bug_check;

/// Runs `body` as a driver with a device, in a process of its own, and gives the parameters of the
/// bug check that ends it.
macro_rules! parameters {
    ($body:expr) => {{
        let report = expect_bug_check(|| {
            with_device(driver!(device), |_, _| $body());
        });
        assert_eq!(report.code, WDF_VIOLATION);
        report.parameters
    }};
}

fn device(mut init: PWDFDEVICE_INIT) -> NTSTATUS {
    let mut device = WDFOBJECT::NULL;
    wdf!(device::WdfDeviceCreate(
        &raw mut init,
        null(),
        &raw mut device
    ))
}

#[test]
fn a_handle_that_names_nothing() {
    let [error, handle, ..] = parameters!(|| wdf!(object::WdfObjectDelete(WDFOBJECT(0x1234_5677))));
    assert_eq!((error, handle), (bugcheck::WDF_INVALID_HANDLE, 0x1234_5677));
}

#[test]
fn a_handle_of_another_kind() {
    let [error, ..] = parameters!(|| {
        // SAFETY: The globals are the driver's.
        let driver = unsafe { (*globals()).Driver };
        wdf!(sync::WdfSpinLockAcquire(driver));
    });
    assert_eq!(error, bugcheck::WDF_INVALID_HANDLE);
}

#[test]
fn a_handle_after_its_object() {
    let [error, ..] = parameters!(|| {
        let (mut attributes, mut object): (WDF_OBJECT_ATTRIBUTES, _) =
            (ATTRIBUTES, WDFOBJECT::NULL);
        wdf!(object::WdfObjectCreate(
            &raw mut attributes,
            &raw mut object
        ));
        wdf!(object::WdfObjectDelete(object));
        wdf!(object::WdfObjectDelete(object));
    });
    assert_eq!(error, bugcheck::WDF_INVALID_HANDLE);
}

#[test]
fn a_reference_too_few() {
    let [error, ..] = parameters!(|| {
        let (mut attributes, mut object): (WDF_OBJECT_ATTRIBUTES, _) =
            (ATTRIBUTES, WDFOBJECT::NULL);
        wdf!(object::WdfObjectCreate(
            &raw mut attributes,
            &raw mut object
        ));
        let file = core::ptr::null();
        wdf!(object::WdfObjectDereferenceActual(object, null(), 0, file));
    });
    assert_eq!(error, bugcheck::WDF_OBJECT_ERROR);
}

#[test]
fn a_client_stops_the_system_itself() {
    let report = expect_bug_check(|| {
        with_device(driver!(device), |_, _| {
            wdf!(violation::WdfVerifierDbgBreakPoint());
            wdf!(violation::WdfVerifierKeBugCheck(0xDEAD, 1, 2, 3, 4));
        });
    });
    assert_eq!((report.code, report.parameters), (0xDEAD, [1, 2, 3, 4]));
}

#[test]
fn a_function_that_is_not_there() {
    let [error, ..] = parameters!(|| {
        // SAFETY: `WdfChildListGetDevice` takes the globals and a handle.
        let missing = unsafe {
            function::<unsafe extern "win64" fn(super::harness::Globals, WDFOBJECT) -> WDFOBJECT>(1)
        };
        // SAFETY: It takes any handle.
        unsafe { missing(globals(), WDFOBJECT::NULL) };
    });
    assert_eq!(error, bugcheck::WDF_API_UNAVAILABLE);
}

#[test]
fn a_null_where_none_is_allowed() {
    let [error, ..] = parameters!(|| {
        wdf!(sync::WdfSpinLockCreate(null(), null()));
    });
    assert_eq!(error, bugcheck::WDF_REQUIRED_PARAMETER_IS_NULL);
}

#[test]
fn a_spin_lock_released_by_nobody() {
    let [error, _, kind, _] = parameters!(|| {
        let mut lock = WDFOBJECT::NULL;
        wdf!(sync::WdfSpinLockCreate(null(), &raw mut lock));
        wdf!(sync::WdfSpinLockRelease(lock));
    });
    assert_eq!((error, kind), (bugcheck::WDF_INVALID_LOCK_OPERATION, 1));
}

/// A device whose control requests are handled by `$event`.
macro_rules! with_control {
    ($event:expr) => {{
        let report = expect_bug_check(|| {
            fn add(mut init: PWDFDEVICE_INIT) -> NTSTATUS {
                let mut device = WDFOBJECT::NULL;
                wdf!(device::WdfDeviceCreate(
                    &raw mut init,
                    null(),
                    &raw mut device
                ));
                give_interface(device);
                let mut config = queue_config(2);
                config.EvtIoDefault = Some($event);
                wdf!(queue::WdfIoQueueCreate(
                    device,
                    &raw mut config,
                    null(),
                    null()
                ))
            }
            with_device(driver!(add), |kernel, _| {
                let file = kernel.open(interface()).expect("open");
                let stop = file.ioctl(0x22_2000, &[1], &mut [0; 4]);
                // The kernel has stopped: the next call into it ends this process, too.
                crate::kernel::current_irql();
                panic!("{stop:?}");
            });
        });
        assert_eq!(report.code, WDF_VIOLATION);
        report.parameters
    }};
}

#[test]
fn more_bytes_than_the_buffer_has() {
    let [error, kind, ..] = with_control!(event!(|_queue: WDFQUEUE, request: WDFREQUEST| {
        wdf!(request::WdfRequestCompleteWithInformation(
            request,
            STATUS_SUCCESS,
            5
        ));
    }));
    let expected = (
        bugcheck::WDF_REQUEST_FATAL_ERROR,
        bugcheck::WDF_REQUEST_FATAL_ERROR_INFORMATION_LENGTH_MISMATCH,
    );
    assert_eq!((error, kind), expected);
}

#[test]
fn a_request_completed_twice() {
    let [error, ..] = with_control!(event!(|_queue: WDFQUEUE, request: WDFREQUEST| {
        wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
        wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
    }));
    assert_eq!(error, bugcheck::WDF_INVALID_HANDLE);
}

#[test]
fn a_handler_that_returns_at_another_irql() {
    let [error, before, after, _] =
        with_control!(event!(|_queue: WDFQUEUE, request: WDFREQUEST| {
            wdf!(request::WdfRequestComplete(request, STATUS_SUCCESS));
            // SAFETY: Raising is allowed; that it is not undone is the point.
            unsafe { nthost::ntddk::KfRaiseIrql(1) };
        }));
    assert_eq!(
        (error, before, after),
        (bugcheck::WDF_VERIFIER_IRQL_MISMATCH, 0, 1)
    );
}
