//! What the spin locks are made of: one word, zero while the lock is free, beside the data.

use core::{cell::UnsafeCell, mem::ManuallyDrop};

use crate::{
    held::{self, Held},
    nt,
    track::{Acquiring, Class, How, Kind},
};

/// A kind of lock of one word.
pub trait Word {
    /// The word, as the kernel's functions take it.
    type Raw: Copy + PartialEq;

    /// A free lock: zero.
    const FREE: Self::Raw;

    /// What a lock dropped while it is held is called in the bug check.
    const HELD: Held;

    /// What the classes of these locks say.
    const KIND: Kind;
}

/// `KSPIN_LOCK`.
pub enum Spin {}

impl Word for Spin {
    type Raw = nt::KSPIN_LOCK;
    const FREE: Self::Raw = 0;
    const HELD: Held = Held::SpinLock;
    const KIND: Kind = Kind::SpinLock;
}

/// `KSPIN_LOCK` with queue handles.
pub enum Queued {}

impl Word for Queued {
    type Raw = nt::KSPIN_LOCK;
    const FREE: Self::Raw = 0;
    const HELD: Held = Held::QueuedSpinLock;
    const KIND: Kind = Kind::QueuedSpinLock;
}

/// `EX_SPIN_LOCK`.
pub enum ReadWrite {}

impl Word for ReadWrite {
    type Raw = nt::EX_SPIN_LOCK;
    const FREE: Self::Raw = 0;
    const HELD: Held = Held::RwSpinLock;
    const KIND: Kind = Kind::RwSpinLock;
}

/// A word and the data behind it. Dropped while it is held, it stops the system.
pub struct WordLock<W: Word, T: ?Sized> {
    class: Class,
    raw: UnsafeCell<W::Raw>,
    data: UnsafeCell<T>,
}

impl<W: Word, T> WordLock<W, T> {
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub const fn new(data: T) -> Self {
        Self {
            class: Class::new::<T>(W::KIND),
            raw: UnsafeCell::new(W::FREE),
            data: UnsafeCell::new(data),
        }
    }

    pub fn into_inner(self) -> T {
        self.require_free();
        let this = ManuallyDrop::new(self);
        // SAFETY: The lock was taken by value, so nothing borrows the data, and it is read once: the
        // lock is not dropped.
        unsafe { this.data.get().read() }
    }
}

impl<W: Word, T: ?Sized> WordLock<W, T> {
    /// The word, as the kernel's functions take it.
    #[inline]
    pub const fn raw(&self) -> *mut W::Raw {
        self.raw.get()
    }

    #[inline]
    pub const fn data(&self) -> &UnsafeCell<T> {
        &self.data
    }

    pub const fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    /// The lock is about to be asked for.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn acquiring(&self, how: How) -> Acquiring<'_> {
        self.class.acquiring(self.raw().cast(), how)
    }

    fn require_free(&self) {
        // SAFETY: The word is a number; the lock is borrowed by nobody else when it ends.
        if unsafe { self.raw().read() } != W::FREE {
            held::stop(W::HELD, self.raw().cast());
        }
    }
}

impl<W: Word, T: ?Sized> Drop for WordLock<W, T> {
    fn drop(&mut self) {
        self.require_free();
    }
}
