//! `KGUARDED_MUTEX`: since Windows 8 the fast mutex by another name.

use core::{
    cell::UnsafeCell,
    fmt,
    ops::{Deref, DerefMut},
    pin::Pin,
};

use pinned_init::{PinInit, pin_data, pin_init, pinned_drop};

use crate::{
    AlreadyOwned, AtApcLevel, Irql, Raising,
    dispatcher::KernelObject,
    held::Held,
    irql::{Apc, AtMost},
    nt,
};

/// Data behind a `KGUARDED_MUTEX`.
///
/// | | |
/// |---|---|
/// | acquire | `<= APC_LEVEL`, leaves `APC_LEVEL` (Windows 8 and later) |
/// | release | restores the level that the mutex saved |
/// | APCs while owned | none is delivered |
/// | recursion | a deadlock in the kernel; here it is refused |
/// | for | what [`FastMutex`](crate::FastMutex) is for, in drivers that use guarded mutexes |
///
/// Before Windows 8 a guarded mutex was of its own kind: it left the level alone and disabled APCs by
/// a guarded region. What its owner may do is the same.
///
/// Pages: `KeInitializeGuardedMutex`, `KeAcquireGuardedMutex`, `KeTryToAcquireGuardedMutex`,
/// `KeReleaseGuardedMutex`, `KeAcquireGuardedMutexUnsafe`, `KeReleaseGuardedMutexUnsafe`.
///
/// ```
/// use wdk_sync::{GuardedMutex, NonPaged, are_all_apcs_disabled};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let queue = NonPaged::pin_init(GuardedMutex::new(irql, [0u8; 4]))?;
/// queue.with(irql, |queue, irql| {
///     queue[0] = 1;
///     assert!(are_all_apcs_disabled(irql));
/// }).expect("not owned by this thread");
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[pin_data(PinnedDrop)]
pub struct GuardedMutex<T: ?Sized> {
    #[pin]
    raw: KernelObject<nt::FAST_MUTEX>,
    data: UnsafeCell<T>,
}

// SAFETY: The data is reached by the owner alone; handing it from owner to owner moves it between
// threads, which `T: Send` allows.
unsafe impl<T: ?Sized + Send> Sync for GuardedMutex<T> {}

impl<T> GuardedMutex<T> {
    /// An initialiser of a free mutex around `data`; see [`NonPaged`](crate::NonPaged). It borrows
    /// the token, because the page asks for `<= APC_LEVEL`.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeInitializeGuardedMutex`.
    pub fn new<L: AtMost<Apc>>(_irql: &Irql<'_, L>, data: T) -> impl PinInit<Self> {
        let init = |mutex: *mut nt::FAST_MUTEX| {
            // SAFETY: The place is valid for the mutex and resident.
            unsafe { nt::KeInitializeGuardedMutex(mutex.cast()) };
        };
        pin_init!(Self {
            // SAFETY: KeInitializeGuardedMutex initialises the whole object.
            raw <- unsafe { KernelObject::new(init) },
            data: UnsafeCell::new(data),
        })
    }
}

impl<T: ?Sized> GuardedMutex<T> {
    /// Waits for the mutex; no APC is delivered until the guard is dropped.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeAcquireGuardedMutex`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread owns it: it would wait for itself.
    pub fn lock<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Result<GuardedMutexGuard<'a, T, Raising>, AlreadyOwned> {
        // Who owns it matters only to a thread that would wait, so that a free mutex costs one call.
        if !self.acquire_at_once(irql) {
            self.raw.refuse_owner()?;
            // SAFETY: The mutex is initialised and resident, and the token says that the IRQL is at
            // most APC_LEVEL.
            unsafe { nt::KeAcquireGuardedMutex(self.raw.get().cast()) };
        }
        Ok(GuardedMutexGuard::new(self, Raising(())))
    }

    /// Acquires the mutex if it is free, and does not wait.
    ///
    /// IRQL: `<= APC_LEVEL`; unchanged if it was not acquired. Page: `KeTryToAcquireGuardedMutex`.
    pub fn try_lock<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Option<GuardedMutexGuard<'a, T, Raising>> {
        self.acquire_at_once(irql)
            .then(|| GuardedMutexGuard::new(self, Raising(())))
    }

    /// Waits for the mutex in code that is at `APC_LEVEL` already; cheaper than [`lock`](Self::lock).
    ///
    /// IRQL: `APC_LEVEL`. The page allows a guarded region at a lower level as well.
    /// Page: `KeAcquireGuardedMutexUnsafe`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread owns it.
    pub fn lock_at_apc_level<'a>(
        &'a self,
        _irql: &'a mut Irql<'_, Apc>,
    ) -> Result<GuardedMutexGuard<'a, T, AtApcLevel>, AlreadyOwned> {
        self.raw.refuse_owner()?;
        // SAFETY: The mutex is initialised and resident, and the token says that the IRQL is
        // APC_LEVEL.
        unsafe { nt::KeAcquireGuardedMutexUnsafe(self.raw.get().cast()) };
        Ok(GuardedMutexGuard::new(self, AtApcLevel(())))
    }

    /// Runs `f` with the data, without APCs. Unlike a guard, this cannot be forgotten.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread owns it.
    pub fn with<L: AtMost<Apc>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&mut T, &mut Irql<'_, Apc>) -> R,
    ) -> Result<R, AlreadyOwned> {
        let mut guard = self.lock(irql)?;
        let (data, irql) = guard.parts();
        Ok(f(data, irql))
    }

    fn acquire_at_once<L: AtMost<Apc>>(&self, _irql: &mut Irql<'_, L>) -> bool {
        // SAFETY: The mutex is initialised and resident, and the token says that the IRQL is at most
        // APC_LEVEL.
        unsafe { nt::KeTryToAcquireGuardedMutex(self.raw.get().cast()) != 0 }
    }
}

#[pinned_drop]
impl<T: ?Sized> PinnedDrop for GuardedMutex<T> {
    fn drop(self: Pin<&mut Self>) {
        self.raw.require_free(Held::GuardedMutex);
    }
}

impl<T: ?Sized> fmt::Debug for GuardedMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedMutex").finish_non_exhaustive()
    }
}

mod sealed {
    pub trait Sealed {}
}

/// How a guarded mutex was acquired, and so how it is released: [`Raising`] or [`AtApcLevel`].
pub trait GuardedAcquisition: sealed::Sealed {
    /// Releases the mutex in the fitting way.
    ///
    /// # Safety
    ///
    /// The mutex was acquired in this way on this thread, is owned, and the IRQL is the one that the
    /// acquisition left.
    #[doc(hidden)]
    unsafe fn release(&self, mutex: *mut nt::FAST_MUTEX);
}

impl sealed::Sealed for Raising {}
impl GuardedAcquisition for Raising {
    unsafe fn release(&self, mutex: *mut nt::FAST_MUTEX) {
        // SAFETY: The caller owns the mutex, acquired by the function that this one belongs to.
        unsafe { nt::KeReleaseGuardedMutex(mutex.cast()) };
    }
}

impl sealed::Sealed for AtApcLevel {}
impl GuardedAcquisition for AtApcLevel {
    unsafe fn release(&self, mutex: *mut nt::FAST_MUTEX) {
        // SAFETY: The caller owns the mutex, acquired by the function that this one belongs to.
        unsafe { nt::KeReleaseGuardedMutexUnsafe(mutex.cast()) };
    }
}

/// The data of a [`GuardedMutex`] while it is owned. Releases the mutex and lets APCs in again when
/// dropped.
#[must_use = "the mutex is released as soon as the guard is dropped"]
pub struct GuardedMutexGuard<'a, T: ?Sized, A: GuardedAcquisition> {
    mutex: &'a GuardedMutex<T>,
    irql: Irql<'a, Apc>,
    acquisition: A,
}

// SAFETY: A shared guard gives out `&T` alone; its token is reached through `&mut`.
unsafe impl<T: ?Sized + Sync, A: GuardedAcquisition> Sync for GuardedMutexGuard<'_, T, A> {}

impl<'a, T: ?Sized, A: GuardedAcquisition> GuardedMutexGuard<'a, T, A> {
    const fn new(mutex: &'a GuardedMutex<T>, acquisition: A) -> Self {
        Self {
            mutex,
            irql: Irql::new(),
            acquisition,
        }
    }

    /// The token of `APC_LEVEL`, for what is to be done under the lock.
    pub const fn irql(&mut self) -> &mut Irql<'a, Apc> {
        &mut self.irql
    }

    /// Data and token at once.
    pub const fn parts(&mut self) -> (&mut T, &mut Irql<'a, Apc>) {
        // SAFETY: The guard owns the mutex, so nothing else reaches the data, and it is borrowed
        // through `&mut self`.
        let data = unsafe { &mut *self.mutex.data.get() };
        (data, &mut self.irql)
    }
}

impl<T: ?Sized, A: GuardedAcquisition> Deref for GuardedMutexGuard<'_, T, A> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The guard owns the mutex, so nothing else changes the data.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T: ?Sized, A: GuardedAcquisition> DerefMut for GuardedMutexGuard<'_, T, A> {
    fn deref_mut(&mut self) -> &mut T {
        self.parts().0
    }
}

impl<T: ?Sized, A: GuardedAcquisition> Drop for GuardedMutexGuard<'_, T, A> {
    fn drop(&mut self) {
        // SAFETY: The guard owns the mutex, acquired in the way that `acquisition` tells, and stayed
        // on its thread; whatever raised the level since borrowed its token and is gone.
        unsafe { self.acquisition.release(self.mutex.raw.get()) };
    }
}

impl<T: ?Sized + fmt::Debug, A: GuardedAcquisition> fmt::Debug for GuardedMutexGuard<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
