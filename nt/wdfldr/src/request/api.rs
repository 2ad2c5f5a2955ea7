//! `WdfRequest...`: completion, parameters, cancellation, forwarding.

use super::{Request, complete};
use crate::abi::{
    PFN_WDF_REQUEST_CANCEL, WDF_DRIVER_GLOBALS, WDF_REQUEST_PARAMETERS, WDFFILEOBJECT, WDFOBJECT,
    WDFQUEUE, WDFREQUEST,
};
use crate::kernel::{KERNEL_MODE, print, status_of};
use crate::object::{Typed, lookup};
use crate::queue::{self, Queue};
use crate::violation;
use nt_abi::{
    BOOLEAN, CCHAR, FALSE, IRP, KPROCESSOR_MODE, NTSTATUS, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_SUCCESS, ULONG_PTR,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// `WdfRequestComplete`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestComplete(_: Globals, Request: WDFREQUEST, Status: NTSTATUS) {
    complete(&lookup(Request), Status, None, 0);
}

/// `WdfRequestCompleteWithPriorityBoost`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestCompleteWithPriorityBoost(
    _: Globals,
    Request: WDFREQUEST,
    Status: NTSTATUS,
    PriorityBoost: CCHAR,
) {
    complete(&lookup(Request), Status, None, PriorityBoost);
}

/// `WdfRequestCompleteWithInformation`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestCompleteWithInformation(
    _: Globals,
    Request: WDFREQUEST,
    Status: NTSTATUS,
    Information: ULONG_PTR,
) {
    complete(&lookup(Request), Status, Some(Information), 0);
}

/// `WdfRequestSetInformation`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestSetInformation(
    _: Globals,
    Request: WDFREQUEST,
    Information: ULONG_PTR,
) {
    if let Some(irp) = lookup::<self::Request>(Request).irp() {
        // SAFETY: The client owns the request, and the request its IRP.
        unsafe { irp.set_information(Information) };
    }
}

/// `WdfRequestGetInformation`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestGetInformation(
    _: Globals,
    Request: WDFREQUEST,
) -> ULONG_PTR {
    let irp = lookup::<self::Request>(Request).irp();
    // SAFETY: As above.
    irp.map_or(0, |irp| unsafe { (*irp.0).IoStatus.Information })
}

/// `WdfRequestGetStatus`: the status in the request's IRP. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestGetStatus(_: Globals, Request: WDFREQUEST) -> NTSTATUS {
    let irp = lookup::<self::Request>(Request).irp();
    // SAFETY: As above.
    irp.map_or(STATUS_SUCCESS, |irp| unsafe { (*irp.0).IoStatus.Status })
}

/// `WdfRequestGetParameters`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestGetParameters(
    _: Globals,
    Request: WDFREQUEST,
    Parameters: *mut WDF_REQUEST_PARAMETERS,
) {
    let request = lookup::<self::Request>(Request);
    if Parameters.is_null() {
        violation::null_parameter(c"WdfRequestGetParameters");
    }
    // SAFETY: The client passes a structure to be filled.
    if !unsafe { request.write_parameters(Parameters) } {
        print(
            c"WDFLDR: WDF_REQUEST_PARAMETERS of request %p has a wrong size\n",
            Request.0,
        );
    }
}

/// `WdfRequestGetFileObject`: null when the framework has none. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestGetFileObject(
    _: Globals,
    Request: WDFREQUEST,
) -> WDFFILEOBJECT {
    lookup::<self::Request>(Request)
        .file()
        .map_or(WDFOBJECT::NULL, Typed::handle)
}

/// `WdfRequestGetIoQueue`: null for a request that came from none. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestGetIoQueue(_: Globals, Request: WDFREQUEST) -> WDFQUEUE {
    lookup::<self::Request>(Request)
        .queue()
        .map_or(WDFOBJECT::NULL, |queue| queue.handle())
}

/// `WdfRequestWdmGetIrp`: null when the request is completed. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestWdmGetIrp(_: Globals, Request: WDFREQUEST) -> *mut IRP {
    lookup::<self::Request>(Request)
        .irp()
        .map_or(core::ptr::null_mut(), |irp| irp.0)
}

/// `WdfRequestGetRequestorMode`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestGetRequestorMode(
    _: Globals,
    Request: WDFREQUEST,
) -> KPROCESSOR_MODE {
    let irp = lookup::<self::Request>(Request).irp();
    // SAFETY: The client owns the request, and the request its IRP.
    irp.map_or(KERNEL_MODE, |irp| unsafe { (*irp.0).RequestorMode })
}

/// `WdfRequestIsFrom32BitProcess`: there are no 32-bit processes here. IRQL <= `APC_LEVEL`.
pub unsafe extern "win64" fn WdfRequestIsFrom32BitProcess(
    _: Globals,
    Request: WDFREQUEST,
) -> BOOLEAN {
    lookup::<self::Request>(Request);
    FALSE
}

/// `WdfRequestIsReserved`: there are no forward progress queues here. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestIsReserved(_: Globals, Request: WDFREQUEST) -> BOOLEAN {
    lookup::<self::Request>(Request);
    FALSE
}

/// `WdfRequestIsCanceled`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestIsCanceled(_: Globals, Request: WDFREQUEST) -> BOOLEAN {
    let irp = lookup::<self::Request>(Request).irp();
    // SAFETY: The client owns the request, and the request its IRP.
    irp.is_some_and(|irp| unsafe { irp.is_cancelled() }).into()
}

/// `WdfRequestMarkCancelable`. When the request is cancelled already, the event is called before
/// this returns, or after the callback that this is called from where callbacks are synchronized.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestMarkCancelable(
    _: Globals,
    Request: WDFREQUEST,
    EvtRequestCancel: PFN_WDF_REQUEST_CANCEL,
) {
    let request = lookup::<self::Request>(Request);
    if EvtRequestCancel.is_none() {
        violation::null_parameter(c"WdfRequestMarkCancelable");
    }
    request.mark_cancelable_or_cancel(EvtRequestCancel);
}

/// `WdfRequestMarkCancelableEx`: `STATUS_CANCELLED` when the request is cancelled already, and then
/// the event is not called. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestMarkCancelableEx(
    _: Globals,
    Request: WDFREQUEST,
    EvtRequestCancel: PFN_WDF_REQUEST_CANCEL,
) -> NTSTATUS {
    let request = lookup::<self::Request>(Request);
    if EvtRequestCancel.is_none() {
        violation::null_parameter(c"WdfRequestMarkCancelableEx");
    }
    status_of(request.mark_cancelable(EvtRequestCancel))
}

/// `WdfRequestUnmarkCancelable`: `STATUS_CANCELLED` when the event is or will be called.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestUnmarkCancelable(
    _: Globals,
    Request: WDFREQUEST,
) -> NTSTATUS {
    status_of(lookup::<self::Request>(Request).unmark_cancelable())
}

/// `WdfRequestForwardToIoQueue`: to another queue of the same device. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestForwardToIoQueue(
    _: Globals,
    Request: WDFREQUEST,
    DestinationQueue: WDFQUEUE,
) -> NTSTATUS {
    let request = lookup::<self::Request>(Request);
    let queue = lookup::<Queue>(DestinationQueue);
    let same_queue = request
        .queue()
        .is_some_and(|own| own.object().is(queue.object()));
    let same_device = request.device().object().is(queue.device().object());
    if same_queue || !same_device || request.is_cancelable() || request.irp().is_none() {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    queue::forward(&queue, &request)
}

/// `WdfRequestRequeue`: back to the front of the manual queue that it came from.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestRequeue(_: Globals, Request: WDFREQUEST) -> NTSTATUS {
    let request = lookup::<self::Request>(Request);
    match request.queue() {
        Some(queue) if !request.is_cancelable() => queue::requeue(&queue, &request),
        _ => STATUS_INVALID_DEVICE_REQUEST,
    }
}

/// `WdfRequestStopAcknowledge`: the answer to `EvtIoStop`, which lets the queue stop with the request
/// in the client's hands, or takes it back into the queue. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestStopAcknowledge(
    _: Globals,
    Request: WDFREQUEST,
    Requeue: BOOLEAN,
) {
    let request = lookup::<self::Request>(Request);
    if let Some(queue) = request.queue() {
        queue::acknowledge_stop(&queue, &request, Requeue != 0);
    }
}
