//! Completion: the end of a request.

use super::Request;
use crate::abi::{
    InformationLengthMismatch, STATUS_WDF_BUSY, STATUS_WDF_INTERNAL_ERROR,
    STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS, STATUS_WDF_PAUSED, STATUS_WDF_TOO_FRAGMENTED,
    STATUS_WDF_TOO_MANY_TRANSFERS, bugcheck,
};
use crate::file;
use crate::kernel::{IofCompleteRequest, Irp, Ptr, USER_MODE, print};
use crate::object::{self, Typed};
use crate::violation;
use core::sync::atomic::Ordering;
use nt_abi::{
    CCHAR, IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, IRP_MJ_READ, IRP_MJ_WRITE, NT_SUCCESS, NTSTATUS,
    STATUS_DEVICE_BUSY, STATUS_INSUFFICIENT_RESOURCES, STATUS_INTERNAL_ERROR,
    STATUS_INVALID_DEVICE_REQUEST,
};

/// Completes a request: cleanup events, then the IRP, then the request is deleted and its queue goes
/// on. `information` replaces what was set before. IRQL <= `DISPATCH_LEVEL`.
pub fn complete(
    request: &Typed<Request>,
    status: NTSTATUS,
    information: Option<u64>,
    boost: CCHAR,
) {
    if request.own.is_some() {
        violation::invalid_handle(
            request.handle(),
            c"WDFREQUEST: the driver created it, so it is deleted, not completed",
        );
    }
    if request.is_cancelable() && request.unmark_cancelable().is_ok() {
        print(
            c"WDFLDR: request %p was completed while cancelable; it is unmarked\n",
            request.handle().0,
        );
    }
    let irp = request.irp.swap(core::ptr::null_mut(), Ordering::AcqRel);
    if irp.is_null() {
        // The client kept the handle by a reference and completed twice.
        violation::invalid_handle(request.handle(), c"WDFREQUEST: it is completed already");
    }
    let irp: Irp = Ptr(irp);
    let status = public_status(status);
    if let Some(information) = information {
        // SAFETY: The request owned the IRP, and the swap made this call its one owner.
        unsafe { irp.set_information(information) };
    }
    check_information(request, irp, status);
    if u32::from(request.major()) == IRP_MJ_CREATE && !NT_SUCCESS(status) {
        file::abandon(request);
    }
    object::delete(request.object());
    // SAFETY: As above.
    unsafe { irp.set_status(status) };
    // SAFETY: The IRP is owned, has its status, and is given up here.
    unsafe { IofCompleteRequest(irp.0, boost) };
    if let Some(queue) = request.queue() {
        queue.finished(&queue, request);
    }
}

/// Statuses of the framework's own never leave it.
const fn public_status(status: NTSTATUS) -> NTSTATUS {
    /// `FACILITY_DRIVER_FRAMEWORK`, in place.
    const FRAMEWORK: NTSTATUS = 0x20 << 16;
    match status {
        STATUS_WDF_PAUSED | STATUS_WDF_BUSY => STATUS_DEVICE_BUSY,
        STATUS_WDF_INTERNAL_ERROR => STATUS_INTERNAL_ERROR,
        STATUS_WDF_TOO_FRAGMENTED | STATUS_WDF_TOO_MANY_TRANSFERS => STATUS_INVALID_DEVICE_REQUEST,
        STATUS_WDF_NOT_ENOUGH_MAP_REGISTERS => STATUS_INSUFFICIENT_RESOURCES,
        other if other & 0x0FFF_0000 == FRAMEWORK => STATUS_INVALID_DEVICE_REQUEST,
        other => other,
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a word is 64 bits long")]
/// Stops the system when more bytes are reported than the buffer has, which the I/O manager would
/// copy out.
fn check_information(request: &Request, irp: Irp, status: NTSTATUS) {
    // SAFETY: `complete` owns the IRP.
    let mode = unsafe { (*irp.0).RequestorMode };
    let limit = match u32::from(request.major()) {
        IRP_MJ_READ | IRP_MJ_WRITE => request.transfer().Length,
        IRP_MJ_DEVICE_CONTROL if mode == USER_MODE => {
            // With no output, the information may count input that was used.
            match request.control().OutputBufferLength {
                0 => return,
                length => length,
            }
        }
        _ => return,
    };
    // SAFETY: As above.
    let information = unsafe { (*irp.0).IoStatus.Information };
    if NT_SUCCESS(status) && information > u64::from(limit) {
        let data = InformationLengthMismatch {
            Request: crate::abi::WDFOBJECT::NULL,
            Irp: irp.0.cast(),
            OutputBufferLength: limit,
            Information: information,
            MajorFunction: request.major(),
        };
        print(
            c"WDF_VIOLATION: a request is completed with %Iu bytes, more than its buffer has\n",
            information as usize,
        );
        violation::stop(
            bugcheck::WDF_REQUEST_FATAL_ERROR,
            bugcheck::WDF_REQUEST_FATAL_ERROR_INFORMATION_LENGTH_MISMATCH,
            (&raw const data).addr() as u64,
        );
    }
}
