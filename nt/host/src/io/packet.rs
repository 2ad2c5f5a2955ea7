//! The memory of IRPs: `IoAllocateIrp` and its kind.
//!
//! A block holds what the kernel keeps about the IRP, the IRP, and its stack locations, in this
//! order. Freed blocks are kept for a while with a type that no IRP has, so that whoever still uses
//! one is found out.

use core::{
    alloc::Layout,
    mem::{ManuallyDrop, offset_of},
    ptr,
    sync::atomic::{AtomicUsize, Ordering},
};
use std::{
    alloc,
    collections::{HashSet, VecDeque},
    sync::{Arc, LazyLock},
};

use nt_abi::{
    BOOLEAN, CHAR, IO_STACK_LOCATION, IO_STATUS_BLOCK, IO_TYPE_IRP, IRP, LIST_ENTRY, NTSTATUS,
    PIRP, USHORT,
};
use parking_lot::Mutex;

use super::{irp::Irp, request::Request, rules, violation};
use crate::{Rules, fault, verifier};

/// Who gets an IRP back when its last driver has completed it.
pub enum Origin {
    /// The driver that allocated it: its completion routine takes it back.
    Driver,
    /// A request of this crate or of `IoBuildDeviceIoControlRequest`.
    Request(Arc<Request>),
}

/// What the kernel keeps in front of an IRP.
struct Head {
    origin: Origin,
    /// Who keeps the block alive: its owner, and `IoCancelIrp` calls on the way.
    references: AtomicUsize,
}

#[repr(C, align(16))]
struct Block {
    head: ManuallyDrop<Head>,
    irp: IRP,
}

/// `AllocationFlags` of an IRP that lies in a [`Block`]; drivers have no business with the field.
const IN_BLOCK: u8 = 0x80;
/// The `Type` of an IRP that was freed.
const FREED: i16 = 0x0BAD;
/// How many freed IRPs are kept.
const KEPT: usize = 64;

/// A freed block that is kept. It has its memory and no [`Head`] any more.
struct Freed(*mut Block, Layout);

// SAFETY: A freed block belongs to whoever has this value.
unsafe impl Send for Freed {}

impl Drop for Freed {
    fn drop(&mut self) {
        // SAFETY: The block was allocated with this layout, and this value owns it.
        unsafe { alloc::dealloc(self.0.cast(), self.1) };
    }
}

static KEPT_BLOCKS: Mutex<VecDeque<Freed>> = Mutex::new(VecDeque::new());

/// The IRPs that drivers have allocated and not freed, by address.
static DRIVER_IRPS: LazyLock<Mutex<HashSet<usize>>> = LazyLock::new(Mutex::default);

/// The addresses of the IRPs that drivers have allocated and not freed.
pub fn allocated_by_drivers() -> Vec<usize> {
    DRIVER_IRPS.lock().iter().copied().collect()
}

/// Whether a driver has allocated the IRP at an address, and not freed it.
pub fn is_allocated(address: usize) -> bool {
    DRIVER_IRPS.lock().contains(&address)
}

fn layout(stack_size: CHAR) -> Layout {
    let locations = usize::try_from(stack_size).unwrap_or(0);
    let size = size_of::<Block>() + locations * size_of::<IO_STACK_LOCATION>();
    // SAFETY: The alignment is a power of two, and the size (at most 127 locations) is far from
    // overflow.
    unsafe { Layout::from_size_align_unchecked(size, align_of::<Block>()) }
}

/// Allocates an IRP with so many stack locations.
pub fn allocate(stack_size: CHAR, origin: Origin) -> Irp {
    let layout = layout(stack_size);
    // SAFETY: The layout is not of size zero.
    let memory = unsafe { alloc::alloc_zeroed(layout) };
    #[expect(
        clippy::cast_ptr_alignment,
        reason = "the layout has the alignment of a block"
    )]
    let block = memory.cast::<Block>();
    if block.is_null() {
        alloc::handle_alloc_error(layout);
    }
    let by_driver = matches!(origin, Origin::Driver);
    // SAFETY: The block is fresh and large enough.
    let head = unsafe { &raw mut (*block).head };
    let value = ManuallyDrop::new(Head {
        origin,
        references: AtomicUsize::new(1),
    });
    // SAFETY: As above; there is no value yet that would need to be dropped.
    unsafe { head.write(value) };
    // SAFETY: As above.
    let pointer = unsafe { &raw mut (*block).irp };
    // SAFETY: The block lives until `release` frees it.
    let irp = unsafe { Irp::new(pointer) }.unwrap_or_else(|| alloc::handle_alloc_error(layout));
    initialize(irp, stack_size);
    irp.set_allocation_flags(IN_BLOCK);
    if by_driver {
        DRIVER_IRPS.lock().insert(pointer.addr());
    }
    irp
}

fn initialize(irp: Irp, stack_size: CHAR) {
    let size = size_of::<IRP>()
        + usize::try_from(stack_size).unwrap_or(0) * size_of::<IO_STACK_LOCATION>();
    irp.set_kind(IO_TYPE_IRP);
    irp.set_size(USHORT::try_from(size).unwrap_or(USHORT::MAX));
    irp.set_stack_count(stack_size);
    irp.set_current_location(stack_size.wrapping_add(1));
    irp.set_apc_environment(0);
    let list = irp
        .as_ptr()
        .wrapping_byte_add(offset_of!(IRP, ThreadListEntry))
        .cast();
    irp.set_thread_list(LIST_ENTRY {
        Flink: list,
        Blink: list,
    });
    let stack = irp.as_ptr().wrapping_add(1).cast::<IO_STACK_LOCATION>();
    irp.set_current_stack(stack.wrapping_add(usize::try_from(stack_size).unwrap_or(0)));
}

/// The block of an IRP, if it lies in one.
fn block(irp: Irp) -> Option<*mut Block> {
    let inside = irp.allocation_flags() & IN_BLOCK != 0;
    inside.then(|| {
        irp.as_ptr()
            .wrapping_byte_sub(offset_of!(Block, irp))
            .cast()
    })
}

fn head(irp: Irp) -> Option<&'static Head> {
    let block = block(irp)?;
    // SAFETY: The flag says that the IRP lies in a block, whose head is valid until it is released;
    // the callers do not keep the reference for longer.
    Some(unsafe { &(*block).head })
}

/// The request that an IRP was made for.
pub fn request(irp: Irp) -> Option<Arc<Request>> {
    match &head(irp)?.origin {
        Origin::Request(request) => Some(Arc::clone(request)),
        Origin::Driver => None,
    }
}

/// Keeps the block of an IRP alive until [`release`].
pub fn retain(irp: Irp) {
    if let Some(head) = head(irp) {
        head.references.fetch_add(1, Ordering::Relaxed);
    }
}

/// Gives up a reference to the block of an IRP, which is freed with the last one.
pub fn release(irp: Irp) {
    let Some((block, head)) = block(irp).zip(head(irp)) else {
        return;
    };
    if head.references.fetch_sub(1, Ordering::AcqRel) != 1 {
        return;
    }
    DRIVER_IRPS.lock().remove(&irp.as_ptr().addr());
    let freed = Freed(block, layout(irp.stack_count()));
    irp.set_kind(FREED);
    // SAFETY: The last reference is gone, so nobody uses the head; the block itself is kept.
    let head = unsafe { &mut (*block).head };
    // SAFETY: The head was not dropped: only the last reference comes here.
    unsafe { ManuallyDrop::drop(head) };
    let mut kept = KEPT_BLOCKS.lock();
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(freed);
}

/// Allocates an IRP with so many stack locations. `<= DISPATCH_LEVEL`. The driver sets a completion
/// routine, which takes it back. DDI: `IoAllocateIrp`.
///
/// # Safety
///
/// None needed; what is done with the IRP follows the rules of the I/O manager.
pub unsafe extern "win64" fn IoAllocateIrp(StackSize: CHAR, _ChargeQuota: BOOLEAN) -> PIRP {
    const NAME: &str = "IoAllocateIrp";
    rules::dispatch_level(NAME);
    if StackSize < 0 || fault::denies_allocation(NAME) {
        ptr::null_mut()
    } else {
        allocate(StackSize, Origin::Driver).as_ptr()
    }
}

/// Frees an IRP that a driver allocated. `<= DISPATCH_LEVEL`. DDI: `IoFreeIrp`.
///
/// Bug check 0xC9 (1) if it is none, (2) if it belongs to a request of a thread.
///
/// # Safety
///
/// The IRP must belong to the caller, who does not use it any more.
pub unsafe extern "win64" fn IoFreeIrp(Irp: PIRP) {
    const NAME: &str = "IoFreeIrp";
    rules::dispatch_level(NAME);
    // SAFETY: Alive by the contract of this function.
    let irp = unsafe { super::irp::Irp::new(Irp) };
    let Some(irp) = irp.filter(|irp| irp.is_valid() && irp.allocation_flags() & IN_BLOCK != 0)
    else {
        let sentence = "The memory is no IRP that is allocated.";
        violation::io(0x01, [Irp as u64, 0, 0], NAME, sentence);
    };
    if request(irp).is_some() {
        let sentence = "The IRP belongs to a request of a thread; it is completed, not freed.";
        violation::io(0x02, [Irp as u64, 0, 0], NAME, sentence);
    }
    release(irp);
}

/// Initialises an IRP in memory of the driver's own. `<= DISPATCH_LEVEL`. DDI: `IoInitializeIrp`.
///
/// Bug check 0xC9 (0x238) for one that `IoAllocateIrp` has allocated, and so initialised. With that rule off it is
/// initialised, and still one that `IoFreeIrp` frees.
///
/// # Safety
///
/// `Irp` must have room for `PacketSize` bytes, enough for the stack locations.
pub unsafe extern "win64" fn IoInitializeIrp(Irp: PIRP, PacketSize: USHORT, StackSize: CHAR) {
    const NAME: &str = "IoInitializeIrp";
    rules::dispatch_level(NAME);
    let is_allocated = is_allocated(Irp.addr());
    if is_allocated && verifier::checks(Rules::IO) {
        let sentence = "IoAllocateIrp has initialised the IRP; IoReuseIrp makes it anew.";
        violation::io(0x238, [0, Irp as u64, 0], NAME, sentence);
    }
    // SAFETY: `PacketSize` bytes are there, by the contract of this function.
    unsafe { Irp.cast::<u8>().write_bytes(0, PacketSize.into()) };
    // SAFETY: As above.
    if let Some(irp) = unsafe { super::irp::Irp::new(Irp) } {
        initialize(irp, StackSize);
        irp.set_allocation_flags(if is_allocated { IN_BLOCK } else { 0 });
    }
}

/// Makes an IRP as it was when it was allocated, with a status. `<= DISPATCH_LEVEL`. DDI:
/// `IoReuseIrp`.
///
/// Bug check 0xC9 (0x311) for one that `IoBuildDeviceIoControlRequest` built, or that belongs to a request.
///
/// # Safety
///
/// The IRP must belong to the caller, and come from `IoAllocateIrp` or `IoInitializeIrp`.
pub unsafe extern "win64" fn IoReuseIrp(Irp: PIRP, Iostatus: NTSTATUS) {
    const NAME: &str = "IoReuseIrp";
    rules::dispatch_level(NAME);
    // SAFETY: Alive by the contract of this function.
    let Some(irp) = (unsafe { super::irp::Irp::new(Irp) }) else {
        return;
    };
    if request(irp).is_some() && verifier::checks(Rules::IO) {
        let sentence = "The IRP is one that the I/O manager frees when it is completed.";
        violation::io(0x311, [0, irp.address(), 0], NAME, sentence);
    }
    let (flags, stack_size) = (irp.allocation_flags(), irp.stack_count());
    let locations = usize::try_from(stack_size).unwrap_or(0);
    let size = size_of::<IRP>() + locations * size_of::<IO_STACK_LOCATION>();
    // SAFETY: So many bytes belong to an IRP with this many stack locations.
    unsafe { Irp.cast::<u8>().write_bytes(0, size) };
    initialize(irp, stack_size);
    irp.set_allocation_flags(flags);
    irp.set_io_status(IO_STATUS_BLOCK {
        Status: Iostatus,
        Information: 0,
    });
}

crate::export::exports! {
    "ntoskrnl.exe"; IoAllocateIrp, IoFreeIrp, IoInitializeIrp, IoReuseIrp
}
