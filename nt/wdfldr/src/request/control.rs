//! Control requests that a client makes up for the drivers below.

use super::transfer::{Method, Part, Transfer};
use super::user_buffers::Access;
use super::{Request, own, send::Manner};
use crate::abi::{
    WDF_DRIVER_GLOBALS, WDF_MEMORY_DESCRIPTOR, WDF_REQUEST_SEND_OPTIONS, WDFIOTARGET, WDFMEMORY,
    WDFMEMORY_OFFSET, WDFOBJECT, WDFREQUEST,
};
use crate::io_target::IoTarget;
use crate::kernel::{EMPTY, Outcome, status_of};
use crate::object::{Typed, lookup};
use nt_abi::{
    DeviceIoControlParameters, IO_STACK_LOCATION, IRP_MJ_DEVICE_CONTROL,
    IRP_MJ_INTERNAL_DEVICE_CONTROL, IoStackParameters, METHOD_BUFFERED, METHOD_IN_DIRECT,
    METHOD_OUT_DIRECT, NTSTATUS, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_DEVICE_REQUEST, ULONG,
    ULONG_PTR,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

impl Typed<Request> {
    /// Makes a control request of it.
    fn format_control(&self, major: u32, code: u32, input: Part, output: Part) -> Outcome {
        if self.flight.is_away() || self.is_cancelable() {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        let mut control = DeviceIoControlParameters::new(output.length, input.length, code);
        let method = match code & 3 {
            METHOD_BUFFERED => Method::Buffered,
            METHOD_IN_DIRECT => Method::Direct(Access::Read),
            METHOD_OUT_DIRECT => Method::Direct(Access::Write),
            _ => {
                control.Type3InputBuffer = input.address.0;
                Method::Neither
            }
        };
        let ([input_memory, input_offset], [output_memory, output_offset]) =
            (input.words(), output.words());
        let parameters = [
            code as usize,
            input_memory,
            input_offset,
            output_memory,
            output_offset,
            0,
        ];
        let transfer = Transfer::new(method, input, output, self.object().client().tag())?;
        let next = IO_STACK_LOCATION {
            MajorFunction: major.to_le_bytes()[0],
            Parameters: IoStackParameters {
                DeviceIoControl: control,
            },
            FileObject: self.file_object(),
            ..EMPTY
        };
        let before = self.format(next, Some(transfer), parameters);
        drop(before);
        Ok(())
    }
}

/// A request that is sent while its sender waits.
pub(super) struct Call<const N: usize = 2> {
    pub target: WDFIOTARGET,
    pub request: WDFREQUEST,
    pub buffers: [*const WDF_MEMORY_DESCRIPTOR; N],
    pub options: *const WDF_REQUEST_SEND_OPTIONS,
    pub returned: *mut ULONG_PTR,
}

impl<const N: usize> Call<N> {
    /// Has `format` make a request of it, of its own if the client gives none, and sends that; returns its
    /// status.
    ///
    /// # Safety
    /// The pointers are null or the client's.
    pub unsafe fn send(
        &self,
        globals: Globals,
        format: impl FnOnce(&Typed<Request>, &IoTarget, [Part; N]) -> Outcome,
    ) -> Outcome<NTSTATUS> {
        let target = lookup::<IoTarget>(self.target);
        // SAFETY: By contract.
        let options = unsafe { self.options.as_ref() };
        if options.is_some_and(|options| options.Size as usize != size_of_val(options)) {
            return Err(STATUS_INFO_LENGTH_MISMATCH);
        }
        let manner = Manner::of(options);
        let mut parts = [const { Part::NONE }; N];
        for (part, buffer) in parts.iter_mut().zip(self.buffers) {
            // SAFETY: By contract.
            *part = unsafe { Part::of_descriptor(buffer) }?;
        }
        let own = if self.request == WDFOBJECT::NULL {
            // SAFETY: There are no attributes.
            Some(unsafe { own::create_for(globals, core::ptr::null(), &target) }?)
        } else {
            None
        };
        let request = own.clone().unwrap_or_else(|| lookup(self.request));
        let outcome = format(&request, &target, parts)
            .and_then(|()| request.send_and_wait(&target, manner))
            .and_then(|()| self.finish(&request));
        if let Some(own) = own {
            own::delete(&own);
        }
        outcome
    }

    /// The outcome of a request that is back.
    fn finish(&self, request: &Request) -> Outcome<NTSTATUS> {
        let irp = request.irp().ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
        // SAFETY: The request is back and owns its IRP.
        let outcome = unsafe { (*irp.0).IoStatus };
        // SAFETY: An optional output of the client's.
        if let Some(place) = unsafe { self.returned.as_mut() } {
            *place = outcome.Information;
        }
        Ok(outcome.Status)
    }
}

macro_rules! control_functions {
    ($($format:ident, $send:ident, $major:ident;)*) => {$(
        /// Makes a control request of a request, to be sent with `WdfRequestSend`.
        /// IRQL <= `DISPATCH_LEVEL`.
        pub unsafe extern "win64" fn $format(
            _: Globals,
            IoTarget: WDFIOTARGET,
            Request: WDFREQUEST,
            IoctlCode: ULONG,
            InputBuffer: WDFMEMORY,
            InputBufferOffset: *mut WDFMEMORY_OFFSET,
            OutputBuffer: WDFMEMORY,
            OutputBufferOffset: *mut WDFMEMORY_OFFSET,
        ) -> NTSTATUS {
            lookup::<self::IoTarget>(IoTarget);
            let request = lookup::<self::Request>(Request);
            // SAFETY: The client passes null or an offset.
            let input = Part::of_memory(InputBuffer, unsafe { InputBufferOffset.as_ref() });
            // SAFETY: As above.
            let output = Part::of_memory(OutputBuffer, unsafe { OutputBufferOffset.as_ref() });
            status_of(input.and_then(|input| {
                request.format_control($major, IoctlCode, input, output?)
            }))
        }

        /// Makes a control request, sends it and waits until it is back, as long as the options say.
        /// `STATUS_IO_TIMEOUT` if that was too long. IRQL `PASSIVE_LEVEL`.
        pub unsafe extern "win64" fn $send(
            DriverGlobals: Globals,
            IoTarget: WDFIOTARGET,
            Request: WDFREQUEST,
            IoctlCode: ULONG,
            InputBuffer: *const WDF_MEMORY_DESCRIPTOR,
            OutputBuffer: *const WDF_MEMORY_DESCRIPTOR,
            RequestOptions: *const WDF_REQUEST_SEND_OPTIONS,
            BytesReturned: *mut ULONG_PTR,
        ) -> NTSTATUS {
            let call = Call {
                target: IoTarget,
                request: Request,
                buffers: [InputBuffer, OutputBuffer],
                options: RequestOptions,
                returned: BytesReturned,
            };
            // SAFETY: The client's pointers, passed on.
            let outcome = unsafe {
                call.send(DriverGlobals, |request, _, [input, output]| {
                    request.format_control($major, IoctlCode, input, output)
                })
            };
            outcome.unwrap_or_else(|status| status)
        }
    )*};
}

control_functions! {
    WdfIoTargetFormatRequestForIoctl, WdfIoTargetSendIoctlSynchronously, IRP_MJ_DEVICE_CONTROL;
    WdfIoTargetFormatRequestForInternalIoctl, WdfIoTargetSendInternalIoctlSynchronously,
        IRP_MJ_INTERNAL_DEVICE_CONTROL;
}
