//! What the dispatcher objects of this crate have in common: they are initialised in place by a
//! function of the kernel and stay there.

use core::{cell::UnsafeCell, marker::PhantomPinned};

use pinned_init::{PinInit, pin_init_from_closure};

/// An object of the kernel, initialised in place, that the kernel alone reads and writes.
#[repr(transparent)]
pub struct KernelObject<T> {
    object: UnsafeCell<T>,
    pinned: PhantomPinned,
}

impl<T> KernelObject<T> {
    /// An initialiser that calls `init` with the place of the object.
    ///
    /// # Safety
    ///
    /// `init` initialises the whole object and does not fail.
    pub unsafe fn new<E>(init: impl FnOnce(*mut T)) -> impl PinInit<Self, E> {
        // SAFETY: The caller vouches that `init` initialises the object; the other field has no
        // size. `repr(transparent)` makes the cast sound.
        unsafe {
            pin_init_from_closure(|slot: *mut Self| {
                init(slot.cast());
                Ok(())
            })
        }
    }

    /// The object, as the kernel's functions take it.
    pub const fn get(&self) -> *mut T {
        self.object.get()
    }
}
