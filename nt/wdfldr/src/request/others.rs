//! Internal control requests whose parameters are three addresses: what the drivers of a stack have agreed on.

use super::transfer::{Part, Transfer};
use super::{Request, control::Call};
use crate::abi::{
    WDF_DRIVER_GLOBALS, WDF_MEMORY_DESCRIPTOR, WDF_REQUEST_SEND_OPTIONS, WDFIOTARGET, WDFMEMORY,
    WDFMEMORY_OFFSET, WDFREQUEST,
};
use crate::io_target::IoTarget;
use crate::kernel::{EMPTY, Outcome, status_of};
use crate::object::{Typed, lookup};
use nt_abi::{
    IO_STACK_LOCATION, IRP_MJ_INTERNAL_DEVICE_CONTROL, IoStackParameters, NTSTATUS,
    STATUS_INVALID_DEVICE_REQUEST, ULONG, ULONG_PTR,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

impl Typed<Request> {
    /// Makes such a request of it: the code is where other control requests have it, which is the third argument.
    fn format_others(&self, code: u32, arguments: [Part; 3]) -> Outcome {
        if self.flight.is_away() || self.is_cancelable() {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        let [first, second, fourth] = arguments.each_ref().map(|part| part.address.0);
        let third = core::ptr::without_provenance_mut(code as usize);
        let transfer = Transfer::of_arguments(arguments)?;
        let next = IO_STACK_LOCATION {
            MajorFunction: IRP_MJ_INTERNAL_DEVICE_CONTROL.to_le_bytes()[0],
            Parameters: IoStackParameters {
                Others: [first, second, third, fourth],
            },
            FileObject: self.file_object(),
            ..EMPTY
        };
        let parameters = [code as usize, 0, 0, 0, 0, 0];
        let before = self.format(next, Some(transfer), parameters);
        drop(before);
        Ok(())
    }
}

/// `WdfIoTargetFormatRequestForInternalIoctlOthers`: makes a request with three arguments of a request, to be sent
/// with `WdfRequestSend`. IRQL <= `DISPATCH_LEVEL`.
///
/// `STATUS_INVALID_DEVICE_REQUEST` for one that is on its way, and for a part that is not in its memory.
pub unsafe extern "win64" fn WdfIoTargetFormatRequestForInternalIoctlOthers(
    _: Globals,
    IoTarget: WDFIOTARGET,
    Request: WDFREQUEST,
    IoctlCode: ULONG,
    OtherArg1: WDFMEMORY,
    OtherArg1Offset: *mut WDFMEMORY_OFFSET,
    OtherArg2: WDFMEMORY,
    OtherArg2Offset: *mut WDFMEMORY_OFFSET,
    OtherArg4: WDFMEMORY,
    OtherArg4Offset: *mut WDFMEMORY_OFFSET,
) -> NTSTATUS {
    lookup::<self::IoTarget>(IoTarget);
    let request = lookup::<self::Request>(Request);
    let given = [
        (OtherArg1, OtherArg1Offset),
        (OtherArg2, OtherArg2Offset),
        (OtherArg4, OtherArg4Offset),
    ];
    let mut arguments = [const { Part::NONE }; 3];
    for (argument, (memory, offset)) in arguments.iter_mut().zip(given) {
        // SAFETY: The client passes null or an offset.
        match Part::of_memory(memory, unsafe { offset.as_ref() }) {
            Ok(part) => *argument = part,
            Err(status) => return status,
        }
    }
    status_of(request.format_others(IoctlCode, arguments))
}

/// `WdfIoTargetSendInternalIoctlOthersSynchronously`: makes a request with three arguments, sends it and waits until
/// it is back, as long as the options say. `STATUS_IO_TIMEOUT` if that was too long. IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfIoTargetSendInternalIoctlOthersSynchronously(
    DriverGlobals: Globals,
    IoTarget: WDFIOTARGET,
    Request: WDFREQUEST,
    IoctlCode: ULONG,
    OtherArg1: *const WDF_MEMORY_DESCRIPTOR,
    OtherArg2: *const WDF_MEMORY_DESCRIPTOR,
    OtherArg4: *const WDF_MEMORY_DESCRIPTOR,
    RequestOptions: *const WDF_REQUEST_SEND_OPTIONS,
    BytesReturned: *mut ULONG_PTR,
) -> NTSTATUS {
    let call = Call {
        target: IoTarget,
        request: Request,
        buffers: [OtherArg1, OtherArg2, OtherArg4],
        options: RequestOptions,
        returned: BytesReturned,
    };
    // SAFETY: The client's pointers, passed on.
    let outcome = unsafe {
        call.send(DriverGlobals, |request, _, arguments| {
            request.format_others(IoctlCode, arguments)
        })
    };
    outcome.unwrap_or_else(|status| status)
}
