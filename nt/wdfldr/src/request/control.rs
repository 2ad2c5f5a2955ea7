//! Control requests that a client makes up for the drivers below.

use super::{Request, own, send::Manner};
use crate::abi::{
    WDF_DRIVER_GLOBALS, WDF_MEMORY_DESCRIPTOR, WDF_REQUEST_SEND_OPTIONS, WDFIOTARGET, WDFMEMORY,
    WDFMEMORY_OFFSET, WDFOBJECT, WDFREQUEST, WdfMemoryDescriptorTypeBuffer,
    WdfMemoryDescriptorTypeHandle,
};
use crate::io_target::IoTarget;
use crate::kernel::{Block, Irp, Outcome, Ptr, print, status_of, try_box};
use crate::memory::Memory;
use crate::object::{ObjectRef, Typed, lookup};
use core::ffi::c_void;
use nt_abi::{
    DeviceIoControlParameters, IO_STACK_LOCATION, IRP_MJ_DEVICE_CONTROL,
    IRP_MJ_INTERNAL_DEVICE_CONTROL, IoStackParameters, METHOD_BUFFERED, METHOD_NEITHER, NTSTATUS,
    PVOID, STATUS_INFO_LENGTH_MISMATCH, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER,
    STATUS_NOT_SUPPORTED, ULONG, ULONG_PTR,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// A buffer of the client's, which is input or output.
struct Part {
    address: Ptr<c_void>,
    length: u32,
    /// The memory object that it is in, which stays as long, and where it begins there.
    memory: Option<(ObjectRef, usize)>,
}

impl Part {
    const NONE: Self = Self {
        address: Ptr::NULL,
        length: 0,
        memory: None,
    };

    const fn of_buffer(address: PVOID, length: u32) -> Self {
        Self {
            address: Ptr(address),
            length,
            memory: None,
        }
    }

    /// A part of a memory object; a length of zero is the whole of it.
    fn of_memory(memory: WDFMEMORY, offset: Option<&WDFMEMORY_OFFSET>) -> Outcome<Self> {
        if memory == WDFOBJECT::NULL {
            return Ok(Self::NONE);
        }
        let memory = lookup::<Memory>(memory);
        let (address, length) = memory.part(offset)?;
        let start = offset.map_or(0, |offset| offset.BufferOffset);
        Ok(Self {
            address: Ptr(address),
            length: u32::try_from(length).map_err(|_| STATUS_INVALID_PARAMETER)?,
            memory: Some((memory.object().clone(), start)),
        })
    }

    /// What a descriptor says.
    ///
    /// # Safety
    /// The descriptor is null or the client's.
    unsafe fn of_descriptor(descriptor: *const WDF_MEMORY_DESCRIPTOR) -> Outcome<Self> {
        // SAFETY: By contract.
        let Some(descriptor) = (unsafe { descriptor.as_ref() }) else {
            return Ok(Self::NONE);
        };
        match descriptor.Type {
            WdfMemoryDescriptorTypeBuffer => {
                // The upper half is padding.
                #[expect(clippy::cast_possible_truncation, reason = "argued above")]
                let length = descriptor.Second as u32;
                Ok(Self::of_buffer(descriptor.First, length))
            }
            WdfMemoryDescriptorTypeHandle => {
                let offset: *const WDFMEMORY_OFFSET =
                    core::ptr::with_exposed_provenance(descriptor.Second);
                // SAFETY: The client says that this is null or an offset.
                Self::of_memory(WDFOBJECT(descriptor.First.addr()), unsafe {
                    offset.as_ref()
                })
            }
            kind => {
                print(
                    c"WDFLDR: a memory descriptor of type %Iu is not implemented\n",
                    usize::try_from(kind).unwrap_or_default(),
                );
                Err(STATUS_NOT_SUPPORTED)
            }
        }
    }

    /// The handle and the offset that the completion routine gets.
    fn words(&self) -> [usize; 2] {
        self.memory
            .as_ref()
            .map_or([0; 2], |(object, start)| [object.handle().0, *start])
    }
}

/// The buffers of a control request on its way.
pub struct Transfer {
    /// What the lower drivers read and write, if they get a copy.
    system: Option<Block>,
    output: Part,
    _input: Part,
    /// Whether the output is copied when the request is back.
    copies: bool,
    /// `UserBuffer` for the lower drivers.
    user: Ptr<c_void>,
    /// The buffers that the IRP has besides, when this is not on its way.
    before: [Ptr<c_void>; 2],
}

impl Transfer {
    /// Puts the buffers into the IRP.
    pub fn begin(&mut self, irp: Irp) {
        let system = self
            .system
            .as_ref()
            .map_or(core::ptr::null_mut(), |block| block.as_ptr().cast());
        self.before = exchange(irp, [Ptr(system), self.user]);
    }

    /// Takes them out of an IRP that is back; returns how many bytes the lower drivers say that they have
    /// written.
    pub fn end(self, irp: Irp) -> usize {
        exchange(irp, self.before);
        // SAFETY: The IRP is back, and so the request's.
        let outcome = unsafe { (*irp.0).IoStatus };
        let written = usize::try_from(outcome.Information).unwrap_or_default();
        if let Some(system) = &self.system
            && self.copies
            && !is_error(outcome.Status)
        {
            let length = written.min(self.output.length as usize);
            let output = self.output.address.0.cast::<u8>();
            // SAFETY: Both are at least that long; the client's buffer stays until the request is back.
            unsafe { output.copy_from_nonoverlapping(system.as_ptr(), length) };
        }
        written
    }
}

/// `NT_ERROR`.
const fn is_error(status: NTSTATUS) -> bool {
    status.cast_unsigned() >> 30 == 3
}

/// Gives the IRP a system buffer and a user buffer, for those that it has.
fn exchange(irp: Irp, [system, user]: [Ptr<c_void>; 2]) -> [Ptr<c_void>; 2] {
    // SAFETY: The callers own the IRP.
    let place = unsafe { &mut (*irp.0).SystemBuffer };
    let before = core::mem::replace(place, system.0);
    // SAFETY: As above.
    let place = unsafe { &mut (*irp.0).UserBuffer };
    [Ptr(before), Ptr(core::mem::replace(place, user.0))]
}

impl Typed<Request> {
    /// Makes a control request of it.
    fn format_control(&self, major: u32, code: u32, input: Part, output: Part) -> Outcome {
        if self.flight.is_away() || self.is_cancelable() {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        let method = code & 3;
        let mut control = DeviceIoControlParameters::new(output.length, input.length, code);
        let mut user = Ptr::NULL;
        let copied = match method {
            METHOD_BUFFERED => input.length.max(output.length),
            METHOD_NEITHER => {
                control.Type3InputBuffer = input.address.0;
                user = output.address;
                0
            }
            _ if output.length != 0 => {
                print(
                    c"WDFLDR: control code 0x%Ix: an output buffer with direct transfer is not implemented\n",
                    code as usize,
                );
                return Err(STATUS_NOT_SUPPORTED);
            }
            _ => input.length,
        };
        let system = match copied {
            0 => None,
            length => Some(Block::new(length as usize, self.object().client().tag())?),
        };
        if let Some(system) = &system {
            let from = input.address.0.cast::<u8>();
            // SAFETY: The block is at least as long as the input, which is the client's.
            unsafe { from.copy_to_nonoverlapping(system.as_ptr(), input.length as usize) };
        }
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
        let transfer = try_box(Transfer {
            system,
            output,
            _input: input,
            copies: method == METHOD_BUFFERED,
            user,
            before: [Ptr::NULL; 2],
        })?;
        let next = IO_STACK_LOCATION {
            MajorFunction: major.to_le_bytes()[0],
            Parameters: IoStackParameters {
                DeviceIoControl: control,
            },
            FileObject: self.file_object(),
            ..own::EMPTY
        };
        let before = self.format(next, Some(transfer), parameters);
        drop(before);
        Ok(())
    }
}

/// A control request that is sent while its sender waits.
struct Call {
    target: WDFIOTARGET,
    request: WDFREQUEST,
    major: u32,
    code: u32,
    input: *const WDF_MEMORY_DESCRIPTOR,
    output: *const WDF_MEMORY_DESCRIPTOR,
    options: *const WDF_REQUEST_SEND_OPTIONS,
    returned: *mut ULONG_PTR,
}

impl Call {
    /// Sends it, by a request of its own if the client gives none; returns its status.
    ///
    /// # Safety
    /// The pointers are null or the client's.
    unsafe fn send(&self, globals: Globals) -> Outcome<NTSTATUS> {
        let target = lookup::<IoTarget>(self.target);
        // SAFETY: By contract.
        let options = unsafe { self.options.as_ref() };
        if options.is_some_and(|options| options.Size as usize != size_of_val(options)) {
            return Err(STATUS_INFO_LENGTH_MISMATCH);
        }
        let manner = Manner::of(options);
        // SAFETY: By contract.
        let input = unsafe { Part::of_descriptor(self.input) }?;
        // SAFETY: By contract.
        let output = unsafe { Part::of_descriptor(self.output) }?;
        if self.request != WDFOBJECT::NULL {
            let request = lookup::<Request>(self.request);
            return self.send_as(&request, &target, [input, output], manner);
        }
        // SAFETY: There are no attributes.
        let request = unsafe { own::create_for(globals, core::ptr::null(), &target) }?;
        let outcome = self.send_as(&request, &target, [input, output], manner);
        own::delete(&request);
        outcome
    }

    fn send_as(
        &self,
        request: &Typed<Request>,
        target: &Typed<IoTarget>,
        [input, output]: [Part; 2],
        manner: Manner,
    ) -> Outcome<NTSTATUS> {
        request.format_control(self.major, self.code, input, output)?;
        request.send_and_wait(target, manner)?;
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
                major: $major,
                code: IoctlCode,
                input: InputBuffer,
                output: OutputBuffer,
                options: RequestOptions,
                returned: BytesReturned,
            };
            // SAFETY: The client's pointers, passed on.
            unsafe { call.send(DriverGlobals) }.unwrap_or_else(|status| status)
        }
    )*};
}

control_functions! {
    WdfIoTargetFormatRequestForIoctl, WdfIoTargetSendIoctlSynchronously, IRP_MJ_DEVICE_CONTROL;
    WdfIoTargetFormatRequestForInternalIoctl, WdfIoTargetSendInternalIoctlSynchronously,
        IRP_MJ_INTERNAL_DEVICE_CONTROL;
}
