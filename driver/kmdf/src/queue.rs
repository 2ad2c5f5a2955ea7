//! The queue: control codes go to the session of their file, from many threads at once.

use wdk_sync::{Irql, Passive, Status};
use wdk_sys::{
    _WDF_EXECUTION_LEVEL, _WDF_IO_QUEUE_DISPATCH_TYPE, _WDF_TRI_STATE, PVOID, ULONG,
    WDF_IO_QUEUE_CONFIG, WDF_NO_HANDLE, WDF_OBJECT_ATTRIBUTES, WDFDEVICE, WDFQUEUE, WDFREQUEST,
    call_unsafe_wdf_function_binding,
};

use crate::{
    abi::{TRUE, inherited_attributes, size},
    file::session_of,
};

/// Creates the default queue of a device: parallel, without a limit.
pub fn create(device: WDFDEVICE) -> Result<(), Status> {
    let mut config = WDF_IO_QUEUE_CONFIG {
        Size: size::<WDF_IO_QUEUE_CONFIG>(),
        DispatchType: _WDF_IO_QUEUE_DISPATCH_TYPE::WdfIoQueueDispatchParallel,
        // There is no hardware whose power could be off.
        PowerManaged: _WDF_TRI_STATE::WdfFalse,
        DefaultQueue: TRUE,
        EvtIoDeviceControl: Some(device_control),
        ..WDF_IO_QUEUE_CONFIG::default()
    };
    config.Settings.Parallel.NumberOfPresentedRequests = ULONG::MAX;
    let mut attributes = WDF_OBJECT_ATTRIBUTES {
        ExecutionLevel: _WDF_EXECUTION_LEVEL::WdfExecutionLevelPassive,
        ..inherited_attributes()
    };
    let mut queue: WDFQUEUE = WDF_NO_HANDLE.cast();
    // SAFETY: The device exists; the others live across the call. The queue goes with the device.
    let status = unsafe {
        call_unsafe_wdf_function_binding!(
            WdfIoQueueCreate,
            device,
            &raw mut config,
            &raw mut attributes,
            &raw mut queue,
        )
    };
    Status::from_raw(status).ok()
}

/// `EvtIoDeviceControl`.
///
/// IRQL: `PASSIVE_LEVEL`, by the execution level of the queue. Page:
/// `EVT_WDF_IO_QUEUE_IO_DEVICE_CONTROL`.
extern "C" fn device_control(
    _queue: WDFQUEUE,
    request: WDFREQUEST,
    output_length: usize,
    input_length: usize,
    code: ULONG,
) {
    let (status, information) = match answer(request, output_length, input_length, code) {
        Ok(bytes) => (Status::SUCCESS, bytes),
        Err(status) => (status, 0),
    };
    // SAFETY: The queue gave the request to this callback to complete; that is done once, and
    // nothing of it is used afterwards.
    unsafe {
        call_unsafe_wdf_function_binding!(
            WdfRequestCompleteWithInformation,
            request,
            status.into_raw(),
            information as u64,
        );
    }
}

fn answer(
    request: WDFREQUEST,
    output_length: usize,
    input_length: usize,
    code: ULONG,
) -> Result<usize, Status> {
    /// The two lowest bits of a control code.
    const METHOD: ULONG = 3;
    const METHOD_BUFFERED: ULONG = 0;
    if code & METHOD != METHOD_BUFFERED {
        // Another method would mean other buffers; no code of the protocol has one.
        return Err(Status::INVALID_DEVICE_REQUEST);
    }
    // SAFETY: The request is not completed yet.
    let file = unsafe { call_unsafe_wdf_function_binding!(WdfRequestGetFileObject, request) };
    // SAFETY: A file is not closed while it has a request that is not completed.
    let session = unsafe { session_of(file) }.ok_or(Status::INVALID_DEVICE_REQUEST)?;
    let length = input_length.max(output_length);
    let buffer: &mut [u8] = if length == 0 {
        &mut []
    } else {
        let start = system_buffer(request, input_length)?;
        // SAFETY: The I/O manager allocates the system buffer with the larger of both lengths, of
        // which the input is initialised.
        let tail = unsafe { start.add(input_length) };
        // SAFETY: As above. The rest may be what was in memory before, which neither Rust nor the
        // caller is to see.
        unsafe { tail.write_bytes(0, length.saturating_sub(input_length)) };
        // SAFETY: The buffer is initialised now, belongs to the request, and nothing else uses it
        // until the request is completed.
        unsafe { core::slice::from_raw_parts_mut(start, length) }
    };
    // SAFETY: The queue has passive execution level, so this runs at PASSIVE_LEVEL, and the callback
    // has no other token.
    let mut irql = unsafe { Irql::<Passive>::assume() };
    session.dispatch(&mut irql, code, buffer, input_length, output_length)
}

/// The one buffer of a `METHOD_BUFFERED` request that has input, output or both. The framework gives
/// it by the length that is not zero.
fn system_buffer(request: WDFREQUEST, input_length: usize) -> Result<*mut u8, Status> {
    let mut buffer: PVOID = core::ptr::null_mut();
    let status = if input_length > 0 {
        // SAFETY: The request is not completed yet, and the pointer lives across the call.
        unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRequestRetrieveInputBuffer,
                request,
                input_length,
                &raw mut buffer,
                core::ptr::null_mut(),
            )
        }
    } else {
        // SAFETY: As above.
        unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRequestRetrieveOutputBuffer,
                request,
                1,
                &raw mut buffer,
                core::ptr::null_mut(),
            )
        }
    };
    Status::from_raw(status).ok()?;
    Ok(buffer.cast())
}
