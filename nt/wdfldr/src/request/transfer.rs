//! The buffers that go with a request which a client makes up for the drivers below.

use super::buffers::mapped_mdl;
use super::user_buffers::{Access, LockedPages};
use crate::abi::{
    WDF_MEMORY_DESCRIPTOR, WDFMEMORY, WDFMEMORY_OFFSET, WDFOBJECT, WdfMemoryDescriptorTypeBuffer,
    WdfMemoryDescriptorTypeHandle, WdfMemoryDescriptorTypeMdl,
};
use crate::kernel::{Block, Irp, KERNEL_MODE, Outcome, Ptr, try_box};
use crate::memory::Memory;
use crate::object::{ObjectRef, lookup};
use alloc::boxed::Box;
use core::ffi::c_void;
use nt_abi::{MDL, NTSTATUS, PVOID, STATUS_INVALID_PARAMETER};

/// A buffer of the client's, which is input or output.
pub struct Part {
    pub address: Ptr<c_void>,
    pub length: u32,
    /// What describes its pages, if the client says that; else null.
    mdl: Ptr<MDL>,
    /// The memory object that it is in, which stays as long, and where it begins there.
    memory: Option<(ObjectRef, usize)>,
}

impl Part {
    pub const NONE: Self = Self {
        address: Ptr::NULL,
        length: 0,
        mdl: Ptr::NULL,
        memory: None,
    };

    const fn of_buffer(address: PVOID, length: u32) -> Self {
        Self {
            address: Ptr(address),
            length,
            mdl: Ptr::NULL,
            memory: None,
        }
    }

    /// A part of a memory object; a length of zero is the whole of it.
    pub fn of_memory(memory: WDFMEMORY, offset: Option<&WDFMEMORY_OFFSET>) -> Outcome<Self> {
        if memory == WDFOBJECT::NULL {
            return Ok(Self::NONE);
        }
        let memory = lookup::<Memory>(memory);
        let (address, length) = memory.part(offset)?;
        let start = offset.map_or(0, |offset| offset.BufferOffset);
        Ok(Self {
            address: Ptr(address),
            length: u32::try_from(length).map_err(|_| STATUS_INVALID_PARAMETER)?,
            mdl: Ptr::NULL,
            memory: Some((memory.object().clone(), start)),
        })
    }

    /// What a descriptor says.
    ///
    /// # Safety
    /// The descriptor is null or the client's.
    pub unsafe fn of_descriptor(descriptor: *const WDF_MEMORY_DESCRIPTOR) -> Outcome<Self> {
        // SAFETY: By contract.
        let Some(descriptor) = (unsafe { descriptor.as_ref() }) else {
            return Ok(Self::NONE);
        };
        // The upper half is padding where there is a length.
        #[expect(clippy::cast_possible_truncation, reason = "argued above")]
        let length = descriptor.Second as u32;
        match descriptor.Type {
            WdfMemoryDescriptorTypeBuffer => Ok(Self::of_buffer(descriptor.First, length)),
            WdfMemoryDescriptorTypeMdl => {
                let mdl = descriptor.First.cast::<MDL>();
                // SAFETY: The client passes a list whose pages are locked.
                let address = unsafe { mapped_mdl(mdl) }?;
                Ok(Self {
                    mdl: Ptr(mdl),
                    ..Self::of_buffer(address, length)
                })
            }
            WdfMemoryDescriptorTypeHandle => {
                let offset: *const WDFMEMORY_OFFSET =
                    core::ptr::with_exposed_provenance(descriptor.Second);
                // SAFETY: The client says that this is null or an offset.
                Self::of_memory(WDFOBJECT(descriptor.First.addr()), unsafe {
                    offset.as_ref()
                })
            }
            _ => Err(STATUS_INVALID_PARAMETER),
        }
    }

    /// The handle and the offset that the completion routine gets.
    pub fn words(&self) -> [usize; 2] {
        self.memory
            .as_ref()
            .map_or([0; 2], |(object, start)| [object.handle().0, *start])
    }
}

/// How the lower drivers get at the buffers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// By a copy.
    Buffered,
    /// The output, or the one buffer that there is, by its pages; input by a copy.
    Direct(Access),
    /// By their addresses.
    Neither,
    /// By their addresses in the stack location alone: the IRP keeps the buffers that it has.
    Arguments,
}

/// What describes the pages of a buffer with direct transfer.
enum Pages {
    None,
    /// A list of the client's.
    Given(Ptr<MDL>),
    Locked(LockedPages),
}

impl Pages {
    fn of(part: &Part, access: Access) -> Outcome<Self> {
        if part.length == 0 {
            return Ok(Self::None);
        }
        if !part.mdl.is_null() {
            return Ok(Self::Given(part.mdl));
        }
        LockedPages::lock(part.address.0, part.length, KERNEL_MODE, access).map(Self::Locked)
    }

    const fn list(&self) -> *mut MDL {
        match self {
            Self::None => core::ptr::null_mut(),
            Self::Given(list) => list.0,
            Self::Locked(pages) => pages.list(),
        }
    }
}

/// The buffers of a request on its way.
pub struct Transfer {
    /// What the lower drivers read and write, if they get a copy.
    system: Option<Block>,
    output: Part,
    /// The others, which stay as long.
    _kept: [Part; 3],
    /// Whether the output is copied when the request is back.
    copies: bool,
    /// Whether the lower drivers find these buffers in the IRP.
    exchanges: bool,
    /// `UserBuffer` for the lower drivers.
    user: Ptr<c_void>,
    pages: Pages,
    /// The buffers that the IRP has besides, when this is not on its way.
    before: Buffers,
}

/// Where an IRP has its buffers.
#[derive(Clone, Copy)]
struct Buffers {
    system: Ptr<c_void>,
    user: Ptr<c_void>,
    list: Ptr<MDL>,
}

impl Transfer {
    /// The buffers of a request. IRQL <= `DISPATCH_LEVEL`; `APC_LEVEL` with pages to be locked.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn new(method: Method, input: Part, output: Part, tag: u32) -> Outcome<Box<Self>> {
        Self::with(method, [input, Part::NONE, Part::NONE], output, tag)
    }

    /// The arguments of a request, which are in its stack location.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn of_arguments(arguments: [Part; 3]) -> Outcome<Box<Self>> {
        Self::with(Method::Arguments, arguments, Part::NONE, 0)
    }

    fn with(method: Method, kept: [Part; 3], output: Part, tag: u32) -> Outcome<Box<Self>> {
        let input = &kept[0];
        let copied = match method {
            Method::Buffered => input.length.max(output.length),
            Method::Direct(_) => input.length,
            Method::Neither | Method::Arguments => 0,
        };
        let system = match copied {
            0 => None,
            length => Some(Block::new(length as usize, tag)?),
        };
        if let Some(system) = &system {
            let from = input.address.0.cast::<u8>();
            // SAFETY: The block is at least as long as the input, which is the client's.
            unsafe { from.copy_to_nonoverlapping(system.as_ptr(), input.length as usize) };
        }
        let pages = match method {
            Method::Direct(access) => Pages::of(&output, access)?,
            Method::Buffered | Method::Neither | Method::Arguments => Pages::None,
        };
        let user = if method == Method::Neither {
            output.address
        } else {
            Ptr::NULL
        };
        Ok(try_box(Self {
            system,
            copies: method == Method::Buffered,
            exchanges: method != Method::Arguments,
            output,
            _kept: kept,
            user,
            pages,
            before: Buffers {
                system: Ptr::NULL,
                user: Ptr::NULL,
                list: Ptr::NULL,
            },
        })?)
    }

    /// Puts the buffers into the IRP.
    pub fn begin(&mut self, irp: Irp) {
        if !self.exchanges {
            return;
        }
        let system = self
            .system
            .as_ref()
            .map_or(core::ptr::null_mut(), |block| block.as_ptr().cast());
        let buffers = Buffers {
            system: Ptr(system),
            user: self.user,
            list: Ptr(self.pages.list()),
        };
        self.before = exchange(irp, buffers);
    }

    /// Takes them out of an IRP that is back; returns how many bytes the lower drivers say that they have
    /// written.
    pub fn end(self, irp: Irp) -> usize {
        if self.exchanges {
            exchange(irp, self.before);
        }
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

/// Gives the IRP other buffers, for those that it has.
const fn exchange(irp: Irp, buffers: Buffers) -> Buffers {
    // SAFETY: The callers own the IRP.
    let irp = unsafe { &mut *irp.0 };
    let Buffers { system, user, list } = buffers;
    Buffers {
        system: Ptr(core::mem::replace(&mut irp.SystemBuffer, system.0)),
        user: Ptr(core::mem::replace(&mut irp.UserBuffer, user.0)),
        list: Ptr(core::mem::replace(&mut irp.MdlAddress, list.0)),
    }
}
