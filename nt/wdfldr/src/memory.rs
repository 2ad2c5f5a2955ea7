//! `WDFMEMORY`: a buffer as an object.

use crate::abi::{WDF_DRIVER_GLOBALS, WDF_OBJECT_ATTRIBUTES, WDFMEMORY, WDFMEMORY_OFFSET};
use crate::client::Client;
use crate::kernel::{Block, Outcome, Ptr, SpinLock, status_of};
use crate::lookaside::Loan;
use crate::object::{Body, create_simple, create_simple_object, lookup};
use crate::request::LockedPages;
use crate::violation;
use core::ffi::c_void;
use nt_abi::{
    NTSTATUS, PVOID, STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_INVALID_PARAMETER, ULONG,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// Who owns the buffer.
enum Storage {
    /// The object: freed with it.
    Own { _block: Block },
    /// A lookaside list, which gets it back.
    List { _loan: Loan },
    /// A request.
    Request,
    /// A user, whose pages are locked as long.
    User { _pages: LockedPages },
    /// The client, who may assign another one.
    Client,
}

/// A framework memory object.
pub struct Memory {
    storage: Storage,
    view: SpinLock<View>,
}

#[derive(Clone, Copy)]
struct View {
    address: Ptr<c_void>,
    size: usize,
}

impl Memory {
    const fn new(storage: Storage, address: PVOID, size: usize) -> Self {
        Self {
            storage,
            view: SpinLock::new(View {
                address: Ptr(address),
                size,
            }),
        }
    }

    /// The buffer of a request.
    pub const fn borrowed(address: PVOID, size: usize) -> Self {
        Self::new(Storage::Request, address, size)
    }

    /// A user's buffer, locked and mapped at a system address.
    pub const fn locked(pages: LockedPages, address: PVOID, size: usize) -> Self {
        Self::new(Storage::User { _pages: pages }, address, size)
    }

    /// A buffer of its own, zeroed.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn allocate(size: usize, tag: u32) -> Outcome<Self> {
        let block = Block::new(size, tag)?;
        let (address, size) = (block.as_ptr().cast(), block.size());
        Ok(Self::new(Storage::Own { _block: block }, address, size))
    }

    /// A buffer of a lookaside list.
    pub const fn lent(loan: Loan, address: PVOID, size: usize) -> Self {
        Self::new(Storage::List { _loan: loan }, address, size)
    }

    /// Where the buffer is and how long.
    pub fn buffer(&self) -> (PVOID, usize) {
        let view = self.view.with(|view| *view);
        (view.address.0, view.size)
    }

    /// A part of the buffer; a length of zero is the whole of the rest.
    ///
    /// # Errors
    /// `STATUS_INVALID_DEVICE_REQUEST` for one that is not inside of it.
    pub fn part(&self, part: Option<&WDFMEMORY_OFFSET>) -> Outcome<(PVOID, usize)> {
        let (address, size) = self.buffer();
        let (start, length) = match part {
            Some(part) if part.BufferLength != 0 => (part.BufferOffset, part.BufferLength),
            Some(part) => (part.BufferOffset, size.saturating_sub(part.BufferOffset)),
            None => (0, size),
        };
        if start.checked_add(length).is_none_or(|end| end > size) {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        Ok((address.wrapping_byte_add(start), length))
    }

    /// Copies bytes to the start of the buffer.
    ///
    /// # Errors
    /// `STATUS_BUFFER_TOO_SMALL`.
    pub fn fill(&self, bytes: &[u8]) -> Outcome {
        let place = self.range(0, bytes.len())?;
        // SAFETY: The range lies inside the memory object.
        unsafe { place.copy_from(bytes.as_ptr(), bytes.len()) };
        Ok(())
    }

    /// The address of `length` bytes from `offset` on.
    fn range(&self, offset: usize, length: usize) -> Outcome<*mut u8> {
        let (address, size) = self.buffer();
        if address.is_null() {
            return Err(STATUS_INVALID_DEVICE_REQUEST);
        }
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(STATUS_BUFFER_TOO_SMALL);
        }
        Ok(address.cast::<u8>().wrapping_add(offset))
    }
}

/// `WdfMemoryCreate`. Paged and nonpaged memory are one here. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfMemoryCreate(
    DriverGlobals: Globals,
    Attributes: *mut WDF_OBJECT_ATTRIBUTES,
    _PoolType: i32,
    PoolTag: ULONG,
    BufferSize: usize,
    Memory: *mut WDFMEMORY,
    Buffer: *mut PVOID,
) -> NTSTATUS {
    if Memory.is_null() {
        violation::null_parameter(c"WdfMemoryCreate");
    }
    if BufferSize == 0 {
        return STATUS_INVALID_PARAMETER;
    }
    let client = Client::from_globals(DriverGlobals);
    let tag = if PoolTag == 0 { client.tag() } else { PoolTag };
    let outcome = self::Memory::allocate(BufferSize, tag).and_then(|memory| {
        let (address, _) = memory.buffer();
        // SAFETY: The client's pointers, passed on.
        let object =
            unsafe { create_simple_object(DriverGlobals, Body::Memory(memory), Attributes) }?;
        // SAFETY: The client passes a place for the handle.
        unsafe { Memory.write(object.handle()) };
        // SAFETY: An optional output; the client passes null or a place for it.
        if let Some(place) = unsafe { Buffer.as_mut() } {
            *place = address;
        }
        Ok(())
    });
    status_of(outcome)
}

/// `WdfMemoryCreatePreallocated`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfMemoryCreatePreallocated(
    DriverGlobals: Globals,
    Attributes: *mut WDF_OBJECT_ATTRIBUTES,
    Buffer: PVOID,
    BufferSize: usize,
    Memory: *mut WDFMEMORY,
) -> NTSTATUS {
    if Buffer.is_null() || Memory.is_null() {
        violation::null_parameter(c"WdfMemoryCreatePreallocated");
    }
    if BufferSize == 0 {
        return STATUS_INVALID_PARAMETER;
    }
    let memory = self::Memory::new(Storage::Client, Buffer, BufferSize);
    // SAFETY: The client's pointers, passed on.
    unsafe { create_simple(DriverGlobals, Body::Memory(memory), Attributes, Memory) }
}

/// `WdfMemoryGetBuffer`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfMemoryGetBuffer(
    _: Globals,
    Memory: WDFMEMORY,
    BufferSize: *mut usize,
) -> PVOID {
    let (address, size) = lookup::<self::Memory>(Memory).buffer();
    // SAFETY: An optional output; the client passes null or a place for it.
    if let Some(place) = unsafe { BufferSize.as_mut() } {
        *place = size;
    }
    address
}

/// `WdfMemoryAssignBuffer`, for memory that was created around a buffer of the client.
/// IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfMemoryAssignBuffer(
    _: Globals,
    Memory: WDFMEMORY,
    Buffer: PVOID,
    BufferSize: usize,
) -> NTSTATUS {
    let memory = lookup::<self::Memory>(Memory);
    if Buffer.is_null() {
        violation::null_parameter(c"WdfMemoryAssignBuffer");
    }
    match &memory.storage {
        Storage::Client if BufferSize > 0 => {
            memory.view.with(|view| {
                *view = View {
                    address: Ptr(Buffer),
                    size: BufferSize,
                }
            });
            nt_abi::STATUS_SUCCESS
        }
        Storage::Client => STATUS_INVALID_PARAMETER,
        Storage::Own { .. } | Storage::List { .. } | Storage::Request | Storage::User { .. } => {
            STATUS_INVALID_DEVICE_REQUEST
        }
    }
}

/// `WdfMemoryCopyToBuffer`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfMemoryCopyToBuffer(
    _: Globals,
    SourceMemory: WDFMEMORY,
    SourceOffset: usize,
    Buffer: PVOID,
    NumBytesToCopyTo: usize,
) -> NTSTATUS {
    let memory = lookup::<self::Memory>(SourceMemory);
    if Buffer.is_null() {
        violation::null_parameter(c"WdfMemoryCopyToBuffer");
    }
    let source = memory.range(SourceOffset, NumBytesToCopyTo).map(|source| {
        // SAFETY: The range lies inside the memory object; the client's buffer takes that many bytes.
        unsafe { Buffer.cast::<u8>().copy_from(source, NumBytesToCopyTo) };
    });
    status_of(source)
}

/// `WdfMemoryCopyFromBuffer`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfMemoryCopyFromBuffer(
    _: Globals,
    DestinationMemory: WDFMEMORY,
    DestinationOffset: usize,
    Buffer: PVOID,
    NumBytesToCopyFrom: usize,
) -> NTSTATUS {
    let memory = lookup::<self::Memory>(DestinationMemory);
    if Buffer.is_null() {
        violation::null_parameter(c"WdfMemoryCopyFromBuffer");
    }
    let target = memory
        .range(DestinationOffset, NumBytesToCopyFrom)
        .map(|target| {
            // SAFETY: The range lies inside the memory object; the client's buffer has that many bytes.
            unsafe { target.copy_from(Buffer.cast::<u8>(), NumBytesToCopyFrom) };
        });
    status_of(target)
}
