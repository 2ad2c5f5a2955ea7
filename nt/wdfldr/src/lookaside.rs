//! `WDFLOOKASIDE`: memory objects of one size, whose buffers are used again.

use crate::abi::{WDF_DRIVER_GLOBALS, WDF_OBJECT_ATTRIBUTES, WDFLOOKASIDE, WDFMEMORY};
use crate::client::Client;
use crate::kernel::{Block, Outcome, SpinLock, status_of};
use crate::memory::Memory;
use crate::object::{
    Attributes, Body, ParentRule, Rules, Typed, create_simple, create_under, lookup,
};
use crate::violation;
use alloc::vec::Vec;
use nt_abi::{NTSTATUS, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, ULONG};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// How many buffers a list keeps; the others go back to the pool.
const DEPTH: usize = 16;

/// A framework lookaside list object.
pub struct Lookaside {
    size: usize,
    tag: u32,
    /// Of the memory objects.
    attributes: Attributes,
    free: SpinLock<Vec<Block>>,
}

/// A buffer while a memory object has it.
pub struct Loan {
    block: Option<Block>,
    list: Typed<Lookaside>,
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            let surplus = self.list.free.with(|free| {
                if free.len() == DEPTH {
                    return Some(block);
                }
                free.push(block);
                None
            });
            drop(surplus);
        }
    }
}

impl Typed<Lookaside> {
    /// A buffer that was used before, or a new one.
    fn lend(&self) -> Outcome<Memory> {
        let used = self.free.with(Vec::pop);
        let block = match used {
            Some(block) => block,
            None => Block::new(self.size, self.tag)?,
        };
        let address = block.as_ptr().cast();
        let loan = Loan {
            block: Some(block),
            list: self.clone(),
        };
        Ok(Memory::lent(loan, address, self.size))
    }
}

/// `WdfLookasideListCreate`. Paged and nonpaged memory are one here. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfLookasideListCreate(
    DriverGlobals: Globals,
    LookasideAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    BufferSize: usize,
    _PoolType: i32,
    MemoryAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    PoolTag: ULONG,
    Lookaside: *mut WDFLOOKASIDE,
) -> NTSTATUS {
    if Lookaside.is_null() {
        violation::null_parameter(c"WdfLookasideListCreate");
    }
    if BufferSize == 0 {
        return STATUS_INVALID_PARAMETER;
    }
    let rules = Rules {
        parent: ParentRule::Optional,
        levels: false,
    };
    // SAFETY: The client passes its attributes.
    let attributes = match unsafe { Attributes::read(MemoryAttributes, rules) } {
        Ok(attributes) => attributes,
        Err(status) => return status,
    };
    let mut free = Vec::new();
    if free.try_reserve(DEPTH).is_err() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let client = Client::from_globals(DriverGlobals);
    let body = Body::Lookaside(self::Lookaside {
        size: BufferSize,
        tag: if PoolTag == 0 { client.tag() } else { PoolTag },
        attributes,
        free: SpinLock::new(free),
    });
    // SAFETY: The client's pointers, passed on.
    unsafe { create_simple(DriverGlobals, body, LookasideAttributes, Lookaside) }
}

/// `WdfMemoryCreateFromLookaside`: what is in the buffer is not defined. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfMemoryCreateFromLookaside(
    _: Globals,
    Lookaside: WDFLOOKASIDE,
    Memory: *mut WDFMEMORY,
) -> NTSTATUS {
    let list = lookup::<self::Lookaside>(Lookaside);
    if Memory.is_null() {
        violation::null_parameter(c"WdfMemoryCreateFromLookaside");
    }
    let client = list.object().client();
    let created = list
        .lend()
        .and_then(|memory| create_under(client, Body::Memory(memory), &list.attributes));
    status_of(created.map(|object| {
        // SAFETY: The place is not null.
        unsafe { Memory.write(object.handle()) };
    }))
}
