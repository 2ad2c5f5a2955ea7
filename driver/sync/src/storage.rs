//! Resident memory that does not move: where locks live.

use core::{fmt, marker::PhantomData, mem, ops::Deref, pin::Pin, ptr::NonNull};

use pinned_init::PinInit;

use crate::{Status, nt};

/// The pool tag of this crate: `!poolused 4 Sync` in a debugger.
const TAG: u32 = u32::from_le_bytes(*b"Sync");

/// Owns a value in nonpaged pool, pinned there.
///
/// The dispatcher objects of NT have list heads that point into themselves and must be resident
/// while they are used, so the locks of this crate are initialised in place and never moved. A
/// structure that holds several of them takes one allocation: `#[pin_data]` and `try_pin_init!` of
/// the crate `pinned-init` compose their initialisers.
///
/// A value may be aligned to 16 bytes, one of a page or more to a page; a larger alignment does not
/// compile.
///
/// IRQL: allocating and freeing, `<= DISPATCH_LEVEL`. Pages: `ExAllocatePool2`,
/// `ExFreePoolWithTag`.
///
/// ```
/// use wdk_sync::{Mutex, NonPaged};
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let names = NonPaged::pin_init(Mutex::new(["NT"; 4]))?;
/// names.lock(irql).expect("not owned yet")[0] = "Wine";
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
pub struct NonPaged<T> {
    value: NonNull<T>,
    owns: PhantomData<T>,
}

// SAFETY: A `NonPaged<T>` is the one owner of its value, as a `Box<T>` is.
unsafe impl<T: Send> Send for NonPaged<T> {}
// SAFETY: Shared, it gives out `&T` and nothing else.
unsafe impl<T: Sync> Sync for NonPaged<T> {}

impl<T> NonPaged<T> {
    /// Allocates, and initialises the value in place.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`] if the pool is exhausted, or what the initialiser gives.
    pub fn pin_init<E>(init: impl PinInit<T, E>) -> Result<Self, Status>
    where
        Status: From<E>,
    {
        let memory = Allocation::<T>::new()?;
        // SAFETY: The memory is fresh, large and aligned enough, and is not used after an error;
        // it never moves before the value is dropped.
        unsafe { init.__pinned_init(memory.0.as_ptr()) }?;
        let value = memory.0;
        mem::forget(memory);
        Ok(Self {
            value,
            owns: PhantomData,
        })
    }

    /// Allocates, and moves `value` there.
    ///
    /// # Errors
    ///
    /// [`Status::INSUFFICIENT_RESOURCES`] if the pool is exhausted.
    pub fn new(value: T) -> Result<Self, Status> {
        Self::pin_init(value)
    }

    /// The value's address, by which [`from_ptr`](Self::from_ptr) takes it over.
    pub(crate) const fn as_ptr(&self) -> *mut T {
        self.value.as_ptr()
    }

    /// Takes over a value that was given away by [`mem::forget`].
    ///
    /// # Safety
    ///
    /// `value` is the address of a value that was created by this type and forgotten, and it is
    /// taken over once.
    pub(crate) const unsafe fn from_ptr(value: *mut T) -> Self {
        // SAFETY: The address of a value is not null.
        let value = unsafe { NonNull::new_unchecked(value) };
        Self {
            value,
            owns: PhantomData,
        }
    }

    /// Moves the value out and frees its memory.
    ///
    /// # Safety
    ///
    /// Nothing relies on the value staying where it is.
    pub(crate) unsafe fn into_inner(self) -> T {
        let memory = Allocation(self.value);
        mem::forget(self);
        // SAFETY: The value is initialised and read once: it is not dropped here. The caller vouches
        // that it may move.
        unsafe { memory.0.read() }
    }

    /// The value, pinned for good.
    #[must_use]
    pub const fn as_pin(&self) -> Pin<&T> {
        // SAFETY: The value was initialised by `pin_init` and lives as long as `self`.
        let value = unsafe { self.value.as_ref() };
        // SAFETY: It stays where it is until it is dropped there.
        unsafe { Pin::new_unchecked(value) }
    }
}

impl<T> Deref for NonPaged<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The value was initialised by `pin_init` and lives as long as `self`.
        unsafe { self.value.as_ref() }
    }
}

impl<T> Drop for NonPaged<T> {
    fn drop(&mut self) {
        let _memory = Allocation(self.value);
        // SAFETY: The value is initialised, nothing borrows it any more, and it is dropped once and
        // in place; its memory is freed afterwards.
        unsafe { self.value.drop_in_place() };
    }
}

impl<T: fmt::Debug> fmt::Debug for NonPaged<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Nonpaged memory for a `T` that is not there, freed when this is dropped.
struct Allocation<T>(NonNull<T>);

impl<T> Allocation<T> {
    /// What pool gives: 16 bytes, or a page for blocks of a page and more.
    const ALIGNED: () = {
        const PAGE: usize = 4096;
        let aligned = if mem::size_of::<T>() < PAGE { 16 } else { PAGE };
        assert!(
            mem::align_of::<T>() <= aligned,
            "nonpaged pool aligns to 16 bytes, and blocks of a page and more to a page: a value of larger \
             alignment cannot live there"
        );
    };

    fn new() -> Result<Self, Status> {
        let () = Self::ALIGNED;
        // A block of no bytes is refused by the pool.
        let bytes = mem::size_of::<T>().max(1) as u64;
        // SAFETY: The size is not zero and the tag is four printable characters; the flags ask for
        // memory at any IRQL up to DISPATCH_LEVEL.
        let memory = unsafe { nt::ExAllocatePool2(nt::POOL_FLAG_NON_PAGED, bytes, TAG) };
        NonNull::new(memory.cast())
            .map(Self)
            .ok_or(Status::INSUFFICIENT_RESOURCES)
    }
}

impl<T> Drop for Allocation<T> {
    fn drop(&mut self) {
        // SAFETY: The block came from ExAllocatePool2 with this tag and is freed once.
        unsafe { nt::ExFreePoolWithTag(self.0.as_ptr().cast(), TAG) };
    }
}
