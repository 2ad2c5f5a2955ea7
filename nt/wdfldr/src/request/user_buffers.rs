//! Buffers at user addresses (`METHOD_NEITHER`): got hold of in the caller's context, and locked so that
//! they can be used in any.

use super::Request;
use super::buffers::{Buffer, Side, mapped_mdl};
use crate::abi::{
    STATUS_INVALID_USER_BUFFER, WDF_DRIVER_GLOBALS, WDFMEMORY, WDFREQUEST, WdfDeviceIoNeither,
};
use crate::kernel::{
    IoAllocateMdl, IoFreeMdl, MmProbeAndLockPages, MmUnlockPages, Outcome, Ptr, status_of,
};
use crate::memory::Memory;
use crate::object::{self, Attributes, Body, Typed, lookup};
use crate::violation;
use core::sync::atomic::Ordering;
use nt_abi::{
    FALSE, IRP_MJ_DEVICE_CONTROL, IRP_MJ_READ, IRP_MJ_WRITE, KPROCESSOR_MODE, MDL, METHOD_NEITHER,
    NTSTATUS, PVOID, STATUS_BUFFER_TOO_SMALL, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_INVALID_DEVICE_REQUEST,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// The pages of a user buffer, locked in memory until this is dropped.
pub struct LockedPages(Ptr<MDL>);

impl Drop for LockedPages {
    fn drop(&mut self) {
        // SAFETY: The pages were locked when this was made, and are unlocked once.
        unsafe { MmUnlockPages(self.0.0) };
        // SAFETY: The list was allocated when this was made, and nobody else has it.
        unsafe { IoFreeMdl(self.0.0) };
    }
}

/// `LOCK_OPERATION`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read = 0,
    Write = 1,
}

impl LockedPages {
    /// Locks the pages of a buffer. IRQL <= `APC_LEVEL`.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn lock(
        address: PVOID,
        length: u32,
        mode: KPROCESSOR_MODE,
        access: Access,
    ) -> Outcome<Self> {
        // SAFETY: The list describes the buffer; it belongs to no IRP.
        let mdl = unsafe { IoAllocateMdl(address, length, FALSE, FALSE, core::ptr::null_mut()) };
        if mdl.is_null() {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        // SAFETY: The list was allocated above. What may not be accessed raises an exception, which
        // stops the system: there is nothing here that could catch it.
        unsafe { MmProbeAndLockPages(mdl, mode, access as i32) };
        Ok(Self(Ptr(mdl)))
    }

    pub const fn list(&self) -> *mut MDL {
        self.0.0
    }
}

impl Request {
    /// The user's buffer on one side, as the user passed it.
    fn user_buffer(&self, side: Side) -> Outcome<Buffer> {
        let irp = self.irp().ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
        if !self.in_caller_context.load(Ordering::Acquire) {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        // SAFETY: The request owns the IRP.
        let output = unsafe { (*irp.0).UserBuffer };
        let neither = self.device().io_type() == WdfDeviceIoNeither;
        let (address, length) = match (u32::from(self.major()), side) {
            (IRP_MJ_READ, Side::Output) | (IRP_MJ_WRITE, Side::Input) if neither => {
                (output, self.transfer().Length)
            }
            (IRP_MJ_DEVICE_CONTROL, _) if self.control().IoControlCode & 3 == METHOD_NEITHER => {
                let control = self.control();
                match side {
                    Side::Input => (control.Type3InputBuffer, control.InputBufferLength),
                    Side::Output => (output, control.OutputBufferLength),
                }
            }
            _ => return Err(STATUS_INVALID_DEVICE_REQUEST),
        };
        Ok(Buffer {
            address,
            length: length as usize,
        })
    }

    fn lock(&self, address: PVOID, length: usize, access: Access) -> Outcome<Memory> {
        let irp = self.irp().ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
        if length == 0 {
            return Err(STATUS_INVALID_USER_BUFFER);
        }
        let size = u32::try_from(length).map_err(|_| STATUS_INVALID_USER_BUFFER)?;
        // SAFETY: The request owns the IRP.
        let mode = unsafe { (*irp.0).RequestorMode };
        let pages = LockedPages::lock(address, size, mode, access)?;
        // SAFETY: The list is alive, and its pages are locked.
        let address = unsafe { mapped_mdl(pages.list()) }?;
        Ok(Memory::locked(pages, address, length))
    }
}

/// # Safety
/// `address` and `length` are the outputs of a retrieving function.
unsafe fn retrieve(
    request: WDFREQUEST,
    side: Side,
    minimum: usize,
    address: *mut PVOID,
    length: *mut usize,
) -> NTSTATUS {
    if address.is_null() {
        violation::null_parameter(c"a function that retrieves a user buffer (Buffer)");
    }
    let buffer = lookup::<Request>(request)
        .user_buffer(side)
        .and_then(|buffer| {
            if buffer.length < minimum {
                Err(STATUS_BUFFER_TOO_SMALL)
            } else {
                Ok(buffer)
            }
        });
    // SAFETY: By contract.
    unsafe { Buffer::give(buffer, address, length) }
}

/// `WdfRequestRetrieveUnsafeUserInputBuffer`: in `EvtIoInCallerContext`, for `METHOD_NEITHER`.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRequestRetrieveUnsafeUserInputBuffer(
    _: Globals,
    Request: WDFREQUEST,
    MinimumRequiredLength: usize,
    InputBuffer: *mut PVOID,
    Length: *mut usize,
) -> NTSTATUS {
    // SAFETY: The client passes places for the outputs.
    unsafe {
        retrieve(
            Request,
            Side::Input,
            MinimumRequiredLength,
            InputBuffer,
            Length,
        )
    }
}

/// `WdfRequestRetrieveUnsafeUserOutputBuffer`: in `EvtIoInCallerContext`, for `METHOD_NEITHER`.
/// IRQL `PASSIVE_LEVEL`.
pub unsafe extern "win64" fn WdfRequestRetrieveUnsafeUserOutputBuffer(
    _: Globals,
    Request: WDFREQUEST,
    MinimumRequiredLength: usize,
    OutputBuffer: *mut PVOID,
    Length: *mut usize,
) -> NTSTATUS {
    // SAFETY: The client passes places for the outputs.
    unsafe {
        retrieve(
            Request,
            Side::Output,
            MinimumRequiredLength,
            OutputBuffer,
            Length,
        )
    }
}

/// The memory object of a locked buffer, which ends with the request.
///
/// # Safety
/// `place` is the output of a locking function.
unsafe fn lock(
    request: &Typed<Request>,
    (address, length): (PVOID, usize),
    access: Access,
    place: *mut WDFMEMORY,
) -> NTSTATUS {
    if address.is_null() || place.is_null() {
        violation::null_parameter(c"a function that locks a user buffer");
    }
    let memory = request.lock(address, length, access).and_then(|memory| {
        let client = request.object().client();
        let body = Body::Memory(memory);
        let object = object::create(client, body, &Attributes::DEFAULT, Some(request.object()))?;
        object.make_permanent();
        // SAFETY: By contract.
        unsafe { place.write(object.handle()) };
        Ok(())
    });
    status_of(memory)
}

/// `WdfRequestProbeAndLockUserBufferForRead`: for reading what the user wrote. IRQL `PASSIVE_LEVEL`, in
/// the caller's context.
pub unsafe extern "win64" fn WdfRequestProbeAndLockUserBufferForRead(
    _: Globals,
    Request: WDFREQUEST,
    Buffer: PVOID,
    Length: usize,
    MemoryObject: *mut WDFMEMORY,
) -> NTSTATUS {
    let request = lookup::<self::Request>(Request);
    // SAFETY: The client passes a place for the output.
    unsafe { lock(&request, (Buffer, Length), Access::Read, MemoryObject) }
}

/// `WdfRequestProbeAndLockUserBufferForWrite`: for writing what the user reads. IRQL `PASSIVE_LEVEL`, in
/// the caller's context.
pub unsafe extern "win64" fn WdfRequestProbeAndLockUserBufferForWrite(
    _: Globals,
    Request: WDFREQUEST,
    Buffer: PVOID,
    Length: usize,
    MemoryObject: *mut WDFMEMORY,
) -> NTSTATUS {
    let request = lookup::<self::Request>(Request);
    // SAFETY: The client passes a place for the output.
    unsafe { lock(&request, (Buffer, Length), Access::Write, MemoryObject) }
}
