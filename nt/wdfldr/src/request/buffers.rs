//! The buffers of a request, by its transfer method.

use super::Request;
use crate::abi::{WDF_DRIVER_GLOBALS, WDFMEMORY, WDFOBJECT, WDFREQUEST, WdfDeviceIoDirect};
use crate::kernel::{
    Irp, KERNEL_MODE, MmMapLockedPagesSpecifyCache, Outcome, USER_MODE, status_of,
};
use crate::memory::Memory;
use crate::object::{self, Attributes, Body, Typed, lookup};
use crate::violation;
use nt_abi::{
    IRP_MJ_DEVICE_CONTROL, IRP_MJ_INTERNAL_DEVICE_CONTROL, IRP_MJ_READ, IRP_MJ_WRITE, MDL,
    METHOD_BUFFERED, METHOD_IN_DIRECT, METHOD_OUT_DIRECT, NTSTATUS, PVOID, STATUS_BUFFER_TOO_SMALL,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_REQUEST,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// Which of a request's two buffers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Input,
    Output,
}

/// A buffer and its length in bytes.
#[derive(Clone, Copy)]
pub(super) struct Buffer {
    pub address: PVOID,
    pub length: usize,
}

impl Buffer {
    /// Gives a client its buffer, or null for none, and the status.
    ///
    /// # Safety
    /// `address` and `length` are the outputs of a retrieving function.
    pub unsafe fn give(buffer: Outcome<Self>, address: *mut PVOID, length: *mut usize) -> NTSTATUS {
        let found = buffer.unwrap_or(Self {
            address: core::ptr::null_mut(),
            length: 0,
        });
        // SAFETY: By contract.
        unsafe { address.write(found.address) };
        // SAFETY: By contract an optional output.
        if let Some(place) = unsafe { length.as_mut() } {
            *place = found.length;
        }
        status_of(buffer.map(drop))
    }
}

impl Request {
    /// The buffer on one side.
    ///
    /// # Errors
    /// `STATUS_BUFFER_TOO_SMALL` for a buffer of length 0; `STATUS_INVALID_DEVICE_REQUEST` for a side
    /// that the request does not have, and for user addresses (`METHOD_NEITHER`).
    fn buffer(&self, side: Side) -> Outcome<Buffer> {
        let irp = self.irp().ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
        match (u32::from(self.major()), side) {
            (IRP_MJ_READ, Side::Output) | (IRP_MJ_WRITE, Side::Input) => self.transfer_buffer(irp),
            (IRP_MJ_DEVICE_CONTROL | IRP_MJ_INTERNAL_DEVICE_CONTROL, _) => {
                self.control_buffer(irp, side)
            }
            _ => Err(STATUS_INVALID_DEVICE_REQUEST),
        }
    }

    fn transfer_buffer(&self, irp: Irp) -> Outcome<Buffer> {
        let length = nonzero(self.transfer().Length)?;
        let address = if self.device().io_type() == WdfDeviceIoDirect {
            // SAFETY: The request owns the IRP.
            unsafe { mapped(irp) }?
        } else {
            // SAFETY: As above.
            unsafe { (*irp.0).SystemBuffer }
        };
        Ok(Buffer { address, length })
    }

    fn control_buffer(&self, irp: Irp, side: Side) -> Outcome<Buffer> {
        let control = self.control();
        let length = nonzero(match side {
            Side::Input => control.InputBufferLength,
            Side::Output => control.OutputBufferLength,
        })?;
        let address = match (control.IoControlCode & 3, side) {
            (METHOD_BUFFERED, _) | (METHOD_IN_DIRECT | METHOD_OUT_DIRECT, Side::Input) => {
                // SAFETY: The request owns the IRP.
                unsafe { (*irp.0).SystemBuffer }
            }
            // SAFETY: As above.
            (METHOD_IN_DIRECT | METHOD_OUT_DIRECT, Side::Output) => unsafe { mapped(irp) }?,
            _ if self.is_from_user(irp) => return Err(STATUS_INVALID_DEVICE_REQUEST),
            (_, Side::Input) => control.Type3InputBuffer,
            // SAFETY: As above.
            (_, Side::Output) => unsafe { (*irp.0).UserBuffer },
        };
        Ok(Buffer { address, length })
    }

    /// Whether addresses in the request are those of a user process.
    fn is_from_user(&self, irp: Irp) -> bool {
        // SAFETY: The request owns the IRP.
        let mode = unsafe { (*irp.0).RequestorMode };
        mode == USER_MODE && u32::from(self.major()) != IRP_MJ_INTERNAL_DEVICE_CONTROL
    }

    /// The MDL behind a buffer, for requests with direct transfer.
    fn mdl(&self, side: Side) -> Outcome<*mut MDL> {
        self.buffer(side)?;
        let irp = self.irp().ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
        // SAFETY: The request owns the IRP.
        let mdl = unsafe { (*irp.0).MdlAddress };
        let buffered = matches!(
            u32::from(self.major()),
            IRP_MJ_DEVICE_CONTROL | IRP_MJ_INTERNAL_DEVICE_CONTROL
        ) && side == Side::Input;
        if mdl.is_null() || buffered {
            Err(STATUS_INVALID_DEVICE_REQUEST)
        } else {
            Ok(mdl)
        }
    }
}

const fn nonzero(length: u32) -> Outcome<usize> {
    if length == 0 {
        Err(STATUS_BUFFER_TOO_SMALL)
    } else {
        Ok(length as usize)
    }
}

/// `MmGetSystemAddressForMdlSafe` on the IRP's MDL.
///
/// # Safety
/// The caller owns the IRP.
unsafe fn mapped(irp: Irp) -> Outcome<PVOID> {
    // SAFETY: By contract.
    let mdl = unsafe { (*irp.0).MdlAddress };
    // SAFETY: The MDL of an IRP is alive as long as the IRP, and its pages are locked.
    unsafe { mapped_mdl(mdl) }
}

/// `MmGetSystemAddressForMdlSafe`.
///
/// # Safety
/// The MDL is null or alive, with its pages locked.
pub(super) unsafe fn mapped_mdl(mdl: *mut MDL) -> Outcome<PVOID> {
    /// `MDL_MAPPED_TO_SYSTEM_VA` and `MDL_SOURCE_IS_NONPAGED_POOL`: the address is there.
    const HAS_ADDRESS: i16 = 0x1 | 0x4;
    /// `NormalPagePriority`, not executable.
    const PRIORITY: u32 = 16 | 0x4000_0000;
    /// `MmCached`.
    const CACHED: i32 = 1;
    // SAFETY: By contract.
    let Some(description) = (unsafe { mdl.as_ref() }) else {
        return Err(STATUS_BUFFER_TOO_SMALL);
    };
    if description.MdlFlags & HAS_ADDRESS != 0 {
        return Ok(description.MappedSystemVa);
    }
    // SAFETY: The pages that the MDL describes are locked.
    let address = unsafe {
        MmMapLockedPagesSpecifyCache(mdl, KERNEL_MODE, CACHED, core::ptr::null_mut(), 0, PRIORITY)
    };
    if address.is_null() {
        Err(STATUS_INSUFFICIENT_RESOURCES)
    } else {
        Ok(address)
    }
}

/// Gives a client a buffer of at least `minimum` bytes.
///
/// # Safety
/// `address` and `length` are the outputs of a retrieving function.
unsafe fn retrieve(
    request: WDFREQUEST,
    side: Side,
    minimum: usize,
    address: *mut PVOID,
    length: *mut usize,
) -> NTSTATUS {
    let request = lookup::<Request>(request);
    if address.is_null() {
        violation::null_parameter(c"a function that retrieves a buffer (Buffer)");
    }
    let buffer = request.buffer(side).and_then(|buffer| {
        if buffer.length < minimum {
            Err(STATUS_BUFFER_TOO_SMALL)
        } else {
            Ok(buffer)
        }
    });
    // SAFETY: By contract.
    unsafe { Buffer::give(buffer, address, length) }
}

/// `WdfRequestRetrieveInputBuffer`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestRetrieveInputBuffer(
    _: Globals,
    Request: WDFREQUEST,
    MinimumRequiredLength: usize,
    Buffer: *mut PVOID,
    Length: *mut usize,
) -> NTSTATUS {
    // SAFETY: The client passes places for the outputs.
    unsafe { retrieve(Request, Side::Input, MinimumRequiredLength, Buffer, Length) }
}

/// `WdfRequestRetrieveOutputBuffer`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestRetrieveOutputBuffer(
    _: Globals,
    Request: WDFREQUEST,
    MinimumRequiredSize: usize,
    Buffer: *mut PVOID,
    Length: *mut usize,
) -> NTSTATUS {
    // SAFETY: The client passes places for the outputs.
    unsafe { retrieve(Request, Side::Output, MinimumRequiredSize, Buffer, Length) }
}

/// The memory object of a buffer: one per request and side, a child of the request.
fn memory(request: &Typed<Request>, side: Side) -> Outcome<WDFMEMORY> {
    let index = side as usize;
    if let Some(handle) = request
        .state
        .with(|state| state.memory[index].as_ref().map(|memory| memory.handle()))
    {
        return Ok(handle);
    }
    let buffer = request.buffer(side)?;
    let client = request.object().client();
    let body = Body::Memory(Memory::borrowed(buffer.address, buffer.length));
    let memory = object::create(client, body, &Attributes::DEFAULT, Some(request.object()))?;
    memory.make_permanent();
    // Two threads may get here at once; the first one's object is the request's.
    let mut memory = Some(memory);
    let handle = request.state.with(|state| {
        let place = &mut state.memory[index];
        if place.is_none() {
            *place = memory.take();
        }
        place
            .as_ref()
            .map_or(WDFOBJECT::NULL, |memory| memory.handle())
    });
    if let Some(late) = memory {
        object::delete(&late);
    }
    Ok(handle)
}

/// # Safety
/// `place` is the output of a retrieving function.
unsafe fn retrieve_memory(request: WDFREQUEST, side: Side, place: *mut WDFMEMORY) -> NTSTATUS {
    let request = lookup::<Request>(request);
    if place.is_null() {
        violation::null_parameter(c"a function that retrieves memory (Memory)");
    }
    let memory = memory(&request, side);
    // SAFETY: By contract.
    unsafe { place.write(memory.unwrap_or(WDFOBJECT::NULL)) };
    status_of(memory.map(drop))
}

/// `WdfRequestRetrieveInputMemory`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestRetrieveInputMemory(
    _: Globals,
    Request: WDFREQUEST,
    Memory: *mut WDFMEMORY,
) -> NTSTATUS {
    // SAFETY: The client passes a place for the output.
    unsafe { retrieve_memory(Request, Side::Input, Memory) }
}

/// `WdfRequestRetrieveOutputMemory`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestRetrieveOutputMemory(
    _: Globals,
    Request: WDFREQUEST,
    Memory: *mut WDFMEMORY,
) -> NTSTATUS {
    // SAFETY: The client passes a place for the output.
    unsafe { retrieve_memory(Request, Side::Output, Memory) }
}

/// # Safety
/// `place` is the output of a retrieving function.
unsafe fn retrieve_mdl(request: WDFREQUEST, side: Side, place: *mut *mut MDL) -> NTSTATUS {
    let mdl = lookup::<Request>(request).mdl(side);
    if place.is_null() {
        violation::null_parameter(c"a function that retrieves an MDL (Mdl)");
    }
    // SAFETY: By contract.
    unsafe { place.write(mdl.unwrap_or(core::ptr::null_mut())) };
    status_of(mdl.map(drop))
}

/// `WdfRequestRetrieveInputWdmMdl`, for requests that have one: write requests of a direct I/O
/// device. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestRetrieveInputWdmMdl(
    _: Globals,
    Request: WDFREQUEST,
    Mdl: *mut *mut MDL,
) -> NTSTATUS {
    // SAFETY: The client passes a place for the output.
    unsafe { retrieve_mdl(Request, Side::Input, Mdl) }
}

/// `WdfRequestRetrieveOutputWdmMdl`, for requests that have one. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfRequestRetrieveOutputWdmMdl(
    _: Globals,
    Request: WDFREQUEST,
    Mdl: *mut *mut MDL,
) -> NTSTATUS {
    // SAFETY: The client passes a place for the output.
    unsafe { retrieve_mdl(Request, Side::Output, Mdl) }
}
