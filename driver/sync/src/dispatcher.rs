//! What the dispatcher objects of this crate have in common: they are initialised in place by a
//! function of the kernel and stay there.

use core::{cell::UnsafeCell, marker::PhantomPinned};

use pinned_init::{PinInit, pin_init_from_closure};

use crate::nt;

/// An object of the kernel, initialised in place, that the kernel alone reads and writes.
#[repr(transparent)]
pub struct KernelObject<T> {
    object: UnsafeCell<T>,
    pinned: PhantomPinned,
}

#[expect(
    clippy::non_send_fields_in_send_ty,
    reason = "argued below, for any object of the kernel"
)]
// SAFETY: A kernel object belongs to no thread; where an owner matters, as for a KMUTEX, the guards
// of this crate see to it.
unsafe impl<T> Send for KernelObject<T> {}
// SAFETY: It is reached through functions of the kernel alone, which serialise themselves, and
// through volatile reads.
unsafe impl<T> Sync for KernelObject<T> {}

impl<T> KernelObject<T> {
    /// An initialiser that calls `init` with the place of the object.
    ///
    /// # Safety
    ///
    /// `init` initialises the whole object and does not fail.
    pub unsafe fn new(init: impl FnOnce(*mut T)) -> impl PinInit<Self> {
        let init = |object| {
            init(object);
            Ok(())
        };
        // SAFETY: The caller vouches that `init` initialises the object.
        unsafe { Self::try_new(init) }
    }

    /// An initialiser that calls `init` with the place of the object.
    ///
    /// # Safety
    ///
    /// If `init` succeeds, it has initialised the whole object.
    pub unsafe fn try_new<E>(init: impl FnOnce(*mut T) -> Result<(), E>) -> impl PinInit<Self, E> {
        let init = |slot: *mut Self| init(slot.cast());
        // SAFETY: The caller vouches that `init` initialises the object; the other field has no
        // size. `repr(transparent)` makes the cast sound.
        unsafe { pin_init_from_closure(init) }
    }

    /// The object, as the kernel's functions take it.
    pub const fn get(&self) -> *mut T {
        self.object.get()
    }
}

/// Whether a thread waits for the dispatcher object with this header.
///
/// # Safety
///
/// The object is initialised and resident.
pub unsafe fn is_waited_for(header: *const nt::DISPATCHER_HEADER) -> bool {
    // SAFETY: `WaitListHead` is a member of the header.
    let head = unsafe { &raw const (*header).WaitListHead };
    // SAFETY: `Flink` is a member of the head of the list.
    let first = unsafe { &raw const (*head).Flink };
    // SAFETY: It holds a pointer, which is read whole while others change it, and points back to the
    // head if nobody waits.
    !core::ptr::eq(unsafe { first.read_volatile() }, head)
}

/// A type that is, or stands for, a dispatcher object. Private to the crate, so that
/// [`Waitable`](crate::Waitable) can be implemented here alone.
///
/// # Safety
///
/// The object is initialised, stays resident while the value is borrowed, and may be waited for by
/// any thread: a wait that it satisfies makes nobody its owner.
pub unsafe trait DispatcherObject {
    /// The object, as `KeWaitForXxx` take it.
    fn object(&self) -> nt::PVOID;
}
