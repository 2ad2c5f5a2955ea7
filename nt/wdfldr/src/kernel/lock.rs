//! A spin lock with the data that it protects.

use super::{KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock};
use core::cell::UnsafeCell;
use nt_abi::{KIRQL, KSPIN_LOCK};

/// A `KSPIN_LOCK` and its data, usable as a static: a zeroed lock is an initialised one.
///
/// The framework's own locks are leaves: nothing of the client runs under one, and where two are
/// held, the object tree's is the inner one, and a queue's the outer one of its device's idle machine.
pub struct SpinLock<T> {
    lock: UnsafeCell<KSPIN_LOCK>,
    data: UnsafeCell<T>,
}

// SAFETY: The data is reached through the lock alone, by one thread at a time.
unsafe impl<T: Send> Send for SpinLock<T> {}
// SAFETY: As above.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    pub const fn new(data: T) -> Self {
        Self {
            lock: UnsafeCell::new(0),
            data: UnsafeCell::new(data),
        }
    }

    /// Runs `f` on the data at `DISPATCH_LEVEL`. IRQL <= `DISPATCH_LEVEL`; not recursive.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with_irql(|data, _| f(data))
    }

    /// As [`with`](Self::with), and tells `f` the IRQL of the caller.
    pub fn with_irql<R>(&self, f: impl FnOnce(&mut T, KIRQL) -> R) -> R {
        // SAFETY: The lock lives as long as `self`, in nonpaged memory, and callers run at or below
        // `DISPATCH_LEVEL`, as every function of the framework documents.
        let irql = unsafe { KeAcquireSpinLockRaiseToDpc(self.lock.get()) };
        // SAFETY: The lock is held, so nobody else refers to the data until it is released below.
        let data = unsafe { &mut *self.data.get() };
        let result = f(data, irql);
        // SAFETY: This thread acquired the lock above, and passes back the IRQL that it got.
        unsafe { KeReleaseSpinLock(self.lock.get(), irql) };
        result
    }
}
