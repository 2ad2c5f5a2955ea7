//! `KSPIN_LOCK`: a spin lock that keeps its holder on its processor.

use core::{
    cell::UnsafeCell,
    fmt,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
};

use crate::{
    Dispatch, Irql,
    held::{self, Held},
    irql::AtMost,
    nt,
};

/// Data behind a `KSPIN_LOCK`.
///
/// | | |
/// |---|---|
/// | acquire | `<= DISPATCH_LEVEL`, leaves `DISPATCH_LEVEL` |
/// | release | restores the level that the guard saved |
/// | recursion | a deadlock; the kernel's verifier reports it |
/// | for | data that DPCs share with each other or with threads, for some microseconds |
///
/// A zeroed `KSPIN_LOCK` is an initialised one and nothing points to it, so this is `const` and may
/// be a `static`. It must be in resident memory: a static of the driver's image outside its paged
/// sections, or [`NonPaged`](crate::NonPaged).
///
/// Pages: `KeAcquireSpinLockRaiseToDpc`, `KeReleaseSpinLock`, `KeAcquireSpinLockAtDpcLevel`,
/// `KeReleaseSpinLockFromDpcLevel`, `KeTryToAcquireSpinLockAtDpcLevel`.
///
/// ```
/// use wdk_sync::SpinLock;
///
/// static HITS: SpinLock<u32> = SpinLock::new(0);
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// *HITS.lock(irql) += 1;
/// HITS.with(irql, |hits, _irql| assert_eq!(*hits, 1));
/// # });
/// ```
pub struct SpinLock<T: ?Sized> {
    raw: UnsafeCell<nt::KSPIN_LOCK>,
    data: UnsafeCell<T>,
}

// SAFETY: The data is reached by one holder at a time; handing it from holder to holder moves it
// between threads, which `T: Send` allows.
unsafe impl<T: ?Sized + Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// A free spin lock around `data`.
    pub const fn new(data: T) -> Self {
        Self {
            raw: UnsafeCell::new(0),
            data: UnsafeCell::new(data),
        }
    }

    /// Takes the data out again.
    ///
    /// A lock that is still held, by a guard that was forgotten, is a bug check as in its drop.
    pub fn into_inner(self) -> T {
        self.check_free();
        let this = ManuallyDrop::new(self);
        // SAFETY: The lock was taken by value, so nothing borrows the data, and it is read once: the
        // lock is not dropped.
        unsafe { this.data.get().read() }
    }
}

impl<T: ?Sized> SpinLock<T> {
    /// Acquires the lock and raises to `DISPATCH_LEVEL` until the guard is dropped.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeAcquireSpinLockRaiseToDpc`.
    pub fn lock<'a, L: AtMost<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> SpinLockGuard<'a, T, Raised> {
        // SAFETY: The lock is initialised, and the token says that the IRQL is low enough.
        let old_irql = unsafe { nt::KeAcquireSpinLockRaiseToDpc(self.raw.get()) };
        SpinLockGuard::new(self, Raised(old_irql))
    }

    /// Acquires the lock in code that is at `DISPATCH_LEVEL` already, as in a DPC; cheaper than
    /// [`lock`](Self::lock).
    ///
    /// IRQL: `DISPATCH_LEVEL`. Page: `KeAcquireSpinLockAtDpcLevel`.
    pub fn lock_at_dpc_level<'a>(
        &'a self,
        _irql: &'a mut Irql<'_, Dispatch>,
    ) -> SpinLockGuard<'a, T, AtDpcLevel> {
        // SAFETY: The lock is initialised, and the token says that the IRQL is DISPATCH_LEVEL.
        unsafe { nt::KeAcquireSpinLockAtDpcLevel(self.raw.get()) };
        SpinLockGuard::new(self, AtDpcLevel(()))
    }

    /// Acquires the lock if it is free, and does not spin.
    ///
    /// IRQL: `DISPATCH_LEVEL`. Page: `KeTryToAcquireSpinLockAtDpcLevel`.
    pub fn try_lock_at_dpc_level<'a>(
        &'a self,
        _irql: &'a mut Irql<'_, Dispatch>,
    ) -> Option<SpinLockGuard<'a, T, AtDpcLevel>> {
        // SAFETY: The lock is initialised, and the token says that the IRQL is DISPATCH_LEVEL.
        let acquired = unsafe { nt::KeTryToAcquireSpinLockAtDpcLevel(self.raw.get()) };
        (acquired != nt::FALSE).then(|| SpinLockGuard::new(self, AtDpcLevel(())))
    }

    /// Runs `f` with the data, at `DISPATCH_LEVEL`. Unlike a guard, this cannot be forgotten.
    pub fn with<L: AtMost<Dispatch>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&mut T, &mut Irql<'_, Dispatch>) -> R,
    ) -> R {
        let mut guard = self.lock(irql);
        let (data, irql) = guard.parts();
        f(data, irql)
    }

    /// The data, without the lock: whoever has the lock for itself has no need to take it.
    pub const fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    fn check_free(&self) {
        // SAFETY: A `KSPIN_LOCK` is a number; the lock is borrowed by nobody else when it ends.
        if unsafe { self.raw.get().read() } != 0 {
            held::stop(Held::SpinLock, self.raw.get().cast());
        }
    }
}

impl<T: ?Sized> Drop for SpinLock<T> {
    fn drop(&mut self) {
        self.check_free();
    }
}

impl<T: Default> Default for SpinLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinLock").finish_non_exhaustive()
    }
}

mod sealed {
    pub trait Sealed {}
}

/// How a spin lock was acquired, and so how it is released.
pub trait Acquisition: sealed::Sealed {
    /// Releases the lock in the fitting way.
    ///
    /// # Safety
    ///
    /// The lock was acquired in this way on this processor, is held, and the IRQL is
    /// `DISPATCH_LEVEL`.
    #[doc(hidden)]
    unsafe fn release(&self, lock: *mut nt::KSPIN_LOCK);
}

/// Acquired with the level raised from this one.
#[derive(Clone, Copy, Debug)]
pub struct Raised(pub(crate) nt::KIRQL);

impl sealed::Sealed for Raised {}
impl Acquisition for Raised {
    unsafe fn release(&self, lock: *mut nt::KSPIN_LOCK) {
        // SAFETY: The caller holds the lock, acquired when the level was the one saved here.
        unsafe { nt::KeReleaseSpinLock(lock, self.0) };
    }
}

/// Acquired at `DISPATCH_LEVEL`, which stays.
#[derive(Clone, Copy, Debug)]
pub struct AtDpcLevel(pub(crate) ());

impl sealed::Sealed for AtDpcLevel {}
impl Acquisition for AtDpcLevel {
    unsafe fn release(&self, lock: *mut nt::KSPIN_LOCK) {
        // SAFETY: The caller holds the lock, acquired without raising.
        unsafe { nt::KeReleaseSpinLockFromDpcLevel(lock) };
    }
}

/// The data of a [`SpinLock`] while it is held. Releases the lock and restores the level when
/// dropped.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct SpinLockGuard<'a, T: ?Sized, A: Acquisition> {
    lock: &'a SpinLock<T>,
    irql: Irql<'a, Dispatch>,
    acquisition: A,
}

// SAFETY: A shared guard gives out `&T` alone; its token is reached through `&mut`.
unsafe impl<T: ?Sized + Sync, A: Acquisition> Sync for SpinLockGuard<'_, T, A> {}

impl<'a, T: ?Sized, A: Acquisition> SpinLockGuard<'a, T, A> {
    const fn new(lock: &'a SpinLock<T>, acquisition: A) -> Self {
        Self {
            lock,
            irql: Irql::new(),
            acquisition,
        }
    }

    /// The token of `DISPATCH_LEVEL`, for what is to be done under the lock.
    pub const fn irql(&mut self) -> &mut Irql<'a, Dispatch> {
        &mut self.irql
    }

    /// Data and token at once.
    pub const fn parts(&mut self) -> (&mut T, &mut Irql<'a, Dispatch>) {
        // SAFETY: The guard holds the lock, so nothing else reaches the data, and it is borrowed
        // through `&mut self`.
        let data = unsafe { &mut *self.lock.data.get() };
        (data, &mut self.irql)
    }
}

impl<T: ?Sized, A: Acquisition> Deref for SpinLockGuard<'_, T, A> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The guard holds the lock, so nothing else changes the data.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized, A: Acquisition> DerefMut for SpinLockGuard<'_, T, A> {
    fn deref_mut(&mut self) -> &mut T {
        self.parts().0
    }
}

impl<T: ?Sized, A: Acquisition> Drop for SpinLockGuard<'_, T, A> {
    fn drop(&mut self) {
        // SAFETY: The guard holds the lock, acquired in the way that `acquisition` tells, and stayed
        // on its thread. The token of DISPATCH_LEVEL was borrowed by whatever raised since, and that
        // is gone.
        unsafe { self.acquisition.release(self.lock.raw.get()) };
    }
}

impl<T: ?Sized + fmt::Debug, A: Acquisition> fmt::Debug for SpinLockGuard<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
