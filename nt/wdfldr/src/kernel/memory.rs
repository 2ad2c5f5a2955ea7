//! Memory that may be refused.

use super::{ExAllocatePoolWithTag, ExFreePoolWithTag};
use alloc::alloc::alloc;
use alloc::boxed::Box;
use core::alloc::Layout;
use core::ptr::NonNull;
use nt_abi::{NTSTATUS, STATUS_INSUFFICIENT_RESOURCES};

/// Nonpaged pool had nothing left.
#[derive(Clone, Copy, Debug)]
pub struct NoMemory;

impl From<NoMemory> for NTSTATUS {
    fn from(_: NoMemory) -> Self {
        STATUS_INSUFFICIENT_RESOURCES
    }
}

/// `Box::new` that can be refused.
///
/// # Errors
/// [`NoMemory`].
pub fn try_box<T>(value: T) -> Result<Box<T>, NoMemory> {
    const { assert!(size_of::<T>() > 0) };
    // SAFETY: The layout is not of size zero, by the assertion above.
    let memory = unsafe { alloc(Layout::new::<T>()) };
    let place = NonNull::new(memory.cast::<T>()).ok_or(NoMemory)?;
    // SAFETY: The memory was allocated just now with the layout of T, and is not shared.
    unsafe { place.write(value) };
    // SAFETY: It holds a T, came from the global allocator with T's layout, and is owned by nobody
    // else.
    Ok(unsafe { Box::from_raw(place.as_ptr()) })
}

/// The pool type `NonPagedPoolNx`.
const NON_PAGED_POOL_NX: i32 = 512;

/// A zeroed block of nonpaged pool under a client's tag, freed when dropped.
#[derive(Debug)]
pub struct Block {
    start: NonNull<u8>,
    size: usize,
    tag: u32,
}

// SAFETY: A block is plain memory with one owner.
unsafe impl Send for Block {}
// SAFETY: Sharing a block gives out its address and size only.
unsafe impl Sync for Block {}

impl Block {
    /// Allocates `size` bytes, aligned to 16. IRQL <= `DISPATCH_LEVEL`.
    ///
    /// # Errors
    /// [`NoMemory`].
    pub fn new(size: usize, tag: u32) -> Result<Self, NoMemory> {
        let size = size.max(1);
        // SAFETY: The size is not zero; the function fails by returning null.
        let memory = unsafe { ExAllocatePoolWithTag(NON_PAGED_POOL_NX, size as u64, tag) };
        let start = NonNull::new(memory.cast::<u8>()).ok_or(NoMemory)?;
        // SAFETY: The block is `size` bytes long and was allocated just now.
        unsafe { start.write_bytes(0, size) };
        Ok(Self { start, size, tag })
    }

    pub const fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The start of the block as a structure that begins it.
    #[allow(
        clippy::cast_ptr_alignment,
        reason = "pool is aligned to 16, which is asserted"
    )]
    pub const fn start<T>(&self) -> *mut T {
        const { assert!(align_of::<T>() <= 16) };
        self.start.as_ptr().cast()
    }

    pub const fn size(&self) -> usize {
        self.size
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: The block came from `ExAllocatePoolWithTag` with this tag and has one owner.
        unsafe { ExFreePoolWithTag(self.start.as_ptr().cast(), self.tag) };
    }
}
