//! `simbatt/func`: IRPs that the driver sees before the framework, and completes or gives back.

use crate::abi::{PWDFDEVICE_INIT, WDFDEVICE, WDFQUEUE, WDFREQUEST};
use crate::kernel::{Irp, Ptr};
use crate::tests::add::{create_device, give_interface};
use crate::tests::callbacks::{driver, event, wdf};
use crate::tests::harness::{interface, note, null, queue_config, status_of, with_device};
use nt_abi::{
    IRP, IRP_MJ_DEVICE_CONTROL, IRP_MJ_MAXIMUM_FUNCTION, IRP_MJ_PNP, IRP_MN_REMOVE_DEVICE,
    IRP_MN_START_DEVICE, NTSTATUS, PDEVICE_OBJECT, PVOID, STATUS_DEVICE_BUSY,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
};

const fn code(function: u32) -> u32 {
    nt_abi::CTL_CODE(0x22, 0x800 + function, 0, 0)
}

/// Completed before the framework sees it.
const REFUSED: u32 = code(0);
/// Given back as it is.
const PASSED: u32 = code(1);
/// Given back with a completion routine.
const WATCHED: u32 = code(2);

/// The control code of an IRP.
fn code_of(irp: Irp) -> u32 {
    // SAFETY: The IRP is the driver's.
    let location = unsafe { irp.location() };
    // SAFETY: A control request has words there, the third of which is its code.
    let [_, _, code, _] = unsafe { location.Parameters.Others };
    u32::try_from(code.addr()).expect("a code")
}

unsafe extern "win64" fn watch(_: PDEVICE_OBJECT, irp: *mut IRP, context: PVOID) -> NTSTATUS {
    let irp: Irp = Ptr(irp);
    // SAFETY: The I/O manager lends the IRP.
    let packet = unsafe { irp.0.read() };
    let (pending, status) = (packet.PendingReturned, packet.IoStatus.Status);
    note(std::format!(
        "back with {status:x} for {:x}",
        context.addr()
    ));
    if pending != 0 {
        // SAFETY: As above.
        unsafe { irp.mark_pending() };
    }
    STATUS_SUCCESS
}

unsafe extern "win64" fn control_first(device: WDFDEVICE, irp: *mut IRP) -> NTSTATUS {
    let irp: Irp = Ptr(irp);
    match code_of(irp) {
        REFUSED => {
            note("refused");
            // SAFETY: The driver owns the IRP.
            return unsafe { irp.complete(STATUS_DEVICE_BUSY) };
        }
        WATCHED => {
            // SAFETY: The driver owns the IRP.
            let location = unsafe { irp.location() };
            let context = core::ptr::without_provenance_mut(0x77);
            // SAFETY: The framework has asked for one more location.
            unsafe { irp.set_next(location, watch, context) };
        }
        _ => {
            note("passed");
            // SAFETY: The driver owns the IRP, and gives it back next.
            unsafe { irp.skip() };
        }
    }
    wdf!(device::WdfDeviceWdmDispatchPreprocessedIrp(device, irp.0))
}

unsafe extern "win64" fn plug_and_play_first(device: WDFDEVICE, irp: *mut IRP) -> NTSTATUS {
    let irp: Irp = Ptr(irp);
    // SAFETY: The driver owns the IRP.
    let location = unsafe { irp.location() };
    note(std::format!("minor {}", location.MinorFunction));
    // SAFETY: As above, and it is given back next.
    unsafe { irp.skip() };
    wdf!(device::WdfDeviceWdmDispatchPreprocessedIrp(device, irp.0))
}

fn assign(init: PWDFDEVICE_INIT, major: u32, minors: &[u32]) -> NTSTATUS {
    let event: crate::abi::PFN_WDFDEVICE_WDM_IRP_PREPROCESS = if major == IRP_MJ_PNP {
        Some(plug_and_play_first)
    } else {
        Some(control_first)
    };
    let minors: std::vec::Vec<_> = minors.iter().map(|&minor| minor.to_le_bytes()[0]).collect();
    let count = u32::try_from(minors.len()).expect("a few");
    let (major, first) = (major.to_le_bytes()[0], minors.as_ptr());
    wdf!(device::WdfDeviceInitAssignWdmIrpPreprocessCallback(
        init, event, major, first, count
    ))
}

fn add(init: PWDFDEVICE_INIT) -> NTSTATUS {
    assert_eq!(
        assign(init, IRP_MJ_MAXIMUM_FUNCTION + 1, &[]),
        STATUS_INVALID_PARAMETER
    );
    assert_eq!(assign(init, IRP_MJ_DEVICE_CONTROL, &[]), STATUS_SUCCESS);
    let minors = [IRP_MN_START_DEVICE, IRP_MN_REMOVE_DEVICE];
    assert_eq!(assign(init, IRP_MJ_PNP, &minors), STATUS_SUCCESS);
    assert_eq!(
        assign(init, IRP_MJ_PNP, &[IRP_MN_START_DEVICE]),
        STATUS_INVALID_DEVICE_REQUEST,
        "once"
    );
    let device = create_device(init);
    give_interface(device);
    let mut config = queue_config(2);
    config.EvtIoDeviceControl =
        Some(event!(|_queue: WDFQUEUE,
                     request: WDFREQUEST,
                     _output: usize,
                     _input: usize,
                     _code: u32| {
            note("in the queue");
            wdf!(request::WdfRequestCompleteWithInformation(
                request,
                STATUS_SUCCESS,
                3
            ));
        }));
    wdf!(queue::WdfIoQueueCreate(
        device,
        &raw mut config,
        null(),
        null()
    ))
}

#[test]
fn a_driver_sees_irps_before_the_framework() {
    let log = with_device(driver!(add), |kernel, _| {
        let file = kernel.open(interface()).expect("open");
        let mut output = [0; 4];
        let refused = file.ioctl(REFUSED, &[], &mut output);
        assert_eq!(status_of(&refused), STATUS_DEVICE_BUSY);
        for code in [PASSED, WATCHED] {
            assert_eq!(file.ioctl(code, &[], &mut output).expect("answered"), 3);
        }
    });
    let expected = [
        "minor 0",
        "refused",
        "passed",
        "in the queue",
        "in the queue",
        "back with 0 for 77",
        "minor 2",
    ];
    assert_eq!(log, expected);
}
