//! Read and write requests that a client makes up for the drivers below.

use super::Request;
use super::control::Call;
use super::transfer::{Method, Part, Transfer};
use super::user_buffers::Access;
use crate::abi::{
    WDF_DRIVER_GLOBALS, WDF_MEMORY_DESCRIPTOR, WDF_REQUEST_SEND_OPTIONS, WDFIOTARGET, WDFMEMORY,
    WDFMEMORY_OFFSET, WDFREQUEST,
};
use crate::io_target::IoTarget;
use crate::kernel::{EMPTY, Outcome, status_of};
use crate::object::{Typed, lookup};
use nt_abi::{
    DO_BUFFERED_IO, DO_DIRECT_IO, IO_STACK_LOCATION, IRP_MJ_READ, IRP_MJ_WRITE, IoStackParameters,
    LARGE_INTEGER, LONGLONG, NTSTATUS, ReadWriteParameters, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_DEVICE_STATE, ULONG_PTR,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

impl Typed<Request> {
    /// Makes a read or write request of it, which transfers data as the target's device asks.
    fn format_transfer(&self, target: &IoTarget, major: u32, part: Part, offset: i64) -> Outcome {
        if self.flight.is_away() || self.is_cancelable() {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        target.stack_size().ok_or(STATUS_INVALID_DEVICE_STATE)?;
        let reads = major == IRP_MJ_READ;
        // SAFETY: The device is one that this driver is attached to, which stays as long.
        let flags = unsafe { (*target.lower().0).Flags };
        let method = if flags & DO_BUFFERED_IO != 0 {
            Method::Buffered
        } else if flags & DO_DIRECT_IO != 0 {
            Method::Direct(if reads { Access::Write } else { Access::Read })
        } else {
            Method::Neither
        };
        let offset = LARGE_INTEGER { QuadPart: offset };
        let read = ReadWriteParameters::new(part.length, offset);
        let [memory, start] = part.words();
        // What is written goes down in a copy where there are copies, and else where output does.
        let (input, output) = if reads || method != Method::Buffered {
            (Part::NONE, part)
        } else {
            (part, Part::NONE)
        };
        let transfer = Transfer::new(method, input, output, self.object().client().tag())?;
        let next = IO_STACK_LOCATION {
            MajorFunction: major.to_le_bytes()[0],
            Parameters: IoStackParameters { Read: read },
            FileObject: self.file_object(),
            ..EMPTY
        };
        let before = self.format(next, Some(transfer), [memory, 0, start, 0, 0, 0]);
        drop(before);
        Ok(())
    }
}

/// # Safety
/// `offset` is null or the client's.
unsafe fn offset_of(offset: *const LONGLONG) -> i64 {
    // SAFETY: By contract.
    unsafe { offset.as_ref() }.copied().unwrap_or_default()
}

macro_rules! transfer_functions {
    ($($format:ident, $send:ident, $major:ident;)*) => {$(
        /// Makes a read or write request of a request, to be sent with `WdfRequestSend`.
        /// IRQL <= `DISPATCH_LEVEL`; `APC_LEVEL` for a device with direct transfer.
        pub unsafe extern "win64" fn $format(
            _: Globals,
            IoTarget: WDFIOTARGET,
            Request: WDFREQUEST,
            Buffer: WDFMEMORY,
            BufferOffset: *mut WDFMEMORY_OFFSET,
            DeviceOffset: *const LONGLONG,
        ) -> NTSTATUS {
            let target = lookup::<self::IoTarget>(IoTarget);
            let request = lookup::<self::Request>(Request);
            // SAFETY: The client passes null or an offset.
            let part = Part::of_memory(Buffer, unsafe { BufferOffset.as_ref() });
            // SAFETY: The client passes null or an offset.
            let offset = unsafe { offset_of(DeviceOffset) };
            status_of(part.and_then(|part| request.format_transfer(&target, $major, part, offset)))
        }

        /// Makes a read or write request, sends it and waits until it is back, as long as the options say.
        /// `STATUS_IO_TIMEOUT` if that was too long. IRQL `PASSIVE_LEVEL`.
        pub unsafe extern "win64" fn $send(
            DriverGlobals: Globals,
            IoTarget: WDFIOTARGET,
            Request: WDFREQUEST,
            Buffer: *const WDF_MEMORY_DESCRIPTOR,
            DeviceOffset: *const LONGLONG,
            RequestOptions: *const WDF_REQUEST_SEND_OPTIONS,
            BytesTransferred: *mut ULONG_PTR,
        ) -> NTSTATUS {
            let call = Call {
                target: IoTarget,
                request: Request,
                buffers: [core::ptr::null(), Buffer],
                options: RequestOptions,
                returned: BytesTransferred,
            };
            // SAFETY: The client passes null or an offset.
            let offset = unsafe { offset_of(DeviceOffset) };
            // SAFETY: The client's pointers, passed on.
            let outcome = unsafe {
                call.send(DriverGlobals, |request, target, [_, part]| {
                    request.format_transfer(target, $major, part, offset)
                })
            };
            outcome.unwrap_or_else(|status| status)
        }
    )*};
}

transfer_functions! {
    WdfIoTargetFormatRequestForRead, WdfIoTargetSendReadSynchronously, IRP_MJ_READ;
    WdfIoTargetFormatRequestForWrite, WdfIoTargetSendWriteSynchronously, IRP_MJ_WRITE;
}
