//! IRPs that a driver has built for it.
#![allow(
    clippy::too_many_arguments,
    reason = "as many as the function of NT has"
)]

use core::{ptr, slice};

use nt_abi::{
    _MODE::KernelMode, BOOLEAN, DeviceIoControlParameters, FALSE, IRP_MJ_DEVICE_CONTROL,
    IRP_MJ_INTERNAL_DEVICE_CONTROL, IoStackParameters, METHOD_BUFFERED, METHOD_NEITHER,
    PDEVICE_OBJECT, PIO_STATUS_BLOCK, PIRP, PKEVENT, PVOID, ULONG,
};

use super::{
    request::{Request, Sender, SystemBuffer},
    rules::{Rule, apc_level},
};
use crate::{fault, mm::mdl, thread};

/// Builds a device control request that a driver sends with `IoCallDriver` and waits for on an event.
/// `<= APC_LEVEL`. DDI: `IoBuildDeviceIoControlRequest`.
///
/// The I/O manager frees the IRP when it is completed: the driver must not.
///
/// # Safety
///
/// The device must be alive; the buffers, the event and the status block until the event is set.
pub unsafe extern "win64" fn IoBuildDeviceIoControlRequest(
    IoControlCode: ULONG,
    DeviceObject: PDEVICE_OBJECT,
    InputBuffer: PVOID,
    InputBufferLength: ULONG,
    OutputBuffer: PVOID,
    OutputBufferLength: ULONG,
    InternalDeviceIoControl: BOOLEAN,
    Event: PKEVENT,
    IoStatusBlock: PIO_STATUS_BLOCK,
) -> PIRP {
    const NAME: &str = "IoBuildDeviceIoControlRequest";
    apc_level(Rule::IO_PASSIVE_1, NAME);
    if fault::denies_allocation(NAME) {
        return ptr::null_mut();
    }
    // SAFETY: Valid by the contract of this function.
    let Some(device) = (unsafe { super::object::DeviceObject::new(DeviceObject) }) else {
        return ptr::null_mut();
    };
    let input = if InputBuffer.is_null() {
        &[]
    } else {
        // SAFETY: As above.
        unsafe { slice::from_raw_parts(InputBuffer.cast::<u8>(), InputBufferLength as usize) }
    };
    let output_length = OutputBufferLength as usize;
    let method = IoControlCode & 3;
    let (buffer, copied) = match method {
        METHOD_BUFFERED => (
            SystemBuffer::new(input.len().max(output_length), input),
            output_length,
        ),
        METHOD_NEITHER => (SystemBuffer::new(0, &[]), 0),
        _ => (SystemBuffer::new(input.len(), input), 0),
    };
    let sender = Sender {
        event: Event,
        status: IoStatusBlock,
        output: OutputBuffer.cast(),
        output_length: copied,
    };
    let thread = thread::current();
    let (_, irp) = Request::build(
        thread,
        device,
        None,
        buffer,
        Some(sender),
        |irp, location| {
            irp.set_requestor_mode(KernelMode as i8);
            irp.set_user_buffer(OutputBuffer);
            irp.set_user_event(Event);
            irp.set_user_status(IoStatusBlock);
            location.set_major(if InternalDeviceIoControl == FALSE {
                IRP_MJ_DEVICE_CONTROL as u8
            } else {
                IRP_MJ_INTERNAL_DEVICE_CONTROL as u8
            });
            let mut parameters = DeviceIoControlParameters::new(
                OutputBufferLength,
                InputBufferLength,
                IoControlCode,
            );
            if method == METHOD_NEITHER {
                parameters.Type3InputBuffer = InputBuffer;
            } else if method != METHOD_BUFFERED && output_length != 0 {
                irp.set_mdl(mdl::locked(OutputBuffer.cast(), output_length));
            }
            location.set_parameters(IoStackParameters {
                DeviceIoControl: parameters,
            });
        },
    );
    irp.as_ptr()
}

crate::export::exports! { "ntoskrnl.exe"; IoBuildDeviceIoControlRequest }
