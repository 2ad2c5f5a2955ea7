//! `EX_SPIN_LOCK`: a spin lock for many readers or one writer.

use core::{
    cell::UnsafeCell,
    fmt,
    mem::{self, ManuallyDrop},
    ops::{Deref, DerefMut},
};

use crate::{
    AtDpcLevel, Dispatch, Irql, Raised,
    held::{self, Held},
    irql::AtMost,
    nt,
};

/// Data behind an `EX_SPIN_LOCK`.
///
/// | | |
/// |---|---|
/// | acquire | `<= DISPATCH_LEVEL`, leaves `DISPATCH_LEVEL` |
/// | release | restores the level that the guard saved |
/// | recursion | a deadlock, shared in shared too |
/// | upgrade | [`try_upgrade`](RwSharedGuard::try_upgrade), for the only reader |
/// | for | data that is read at `DISPATCH_LEVEL` much oftener than changed |
///
/// A zeroed `EX_SPIN_LOCK` is an initialised one and nothing points to it, so this is `const` and may
/// be a `static`. It must be in resident memory, as a [`SpinLock`](crate::SpinLock) must.
///
/// Pages: `ExAcquireSpinLockShared`, `ExAcquireSpinLockExclusive`, `ExReleaseSpinLockShared`,
/// `ExReleaseSpinLockExclusive`, their forms `...AtDpcLevel` and `...FromDpcLevel`, and
/// `ExTryConvertSharedSpinLockExclusive`. There is no page of a try form.
///
/// ```
/// use wdk_sync::RwSpinLock;
///
/// static ROUTES: RwSpinLock<[u32; 4]> = RwSpinLock::new([0; 4]);
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// ROUTES.exclusive(irql)[1] = 7;
/// let routes = ROUTES.shared(irql);
/// assert_eq!(routes[1], 7);
/// match routes.try_upgrade() {
///     Ok(mut routes) => routes[1] = 8,
///     Err(_shared) => panic!("nobody else reads"),
/// }
/// ROUTES.with_shared(irql, |routes, _irql| assert_eq!(routes[1], 8));
/// # });
/// ```
pub struct RwSpinLock<T: ?Sized> {
    raw: UnsafeCell<nt::EX_SPIN_LOCK>,
    data: UnsafeCell<T>,
}

// SAFETY: Readers look at the data at the same time, for which it must be `Sync`; a writer takes it
// over from another thread, for which it must be `Send`.
unsafe impl<T: ?Sized + Send + Sync> Sync for RwSpinLock<T> {}

impl<T> RwSpinLock<T> {
    /// A free lock around `data`.
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

impl<T: ?Sized> RwSpinLock<T> {
    /// Acquires the lock for reading and raises to `DISPATCH_LEVEL` until the guard is dropped.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `ExAcquireSpinLockShared`.
    pub fn shared<'a, L: AtMost<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> RwSharedGuard<'a, T, Raised> {
        // SAFETY: The lock is initialised, and the token says that the IRQL is low enough.
        let old_irql = unsafe { nt::ExAcquireSpinLockShared(self.raw.get()) };
        RwSharedGuard::new(self, Raised(old_irql))
    }

    /// Acquires the lock for reading in code that is at `DISPATCH_LEVEL` already; cheaper than
    /// [`shared`](Self::shared).
    ///
    /// IRQL: `DISPATCH_LEVEL`. Page: `ExAcquireSpinLockSharedAtDpcLevel`.
    pub fn shared_at_dpc_level<'a>(
        &'a self,
        _irql: &'a mut Irql<'_, Dispatch>,
    ) -> RwSharedGuard<'a, T, AtDpcLevel> {
        // SAFETY: The lock is initialised, and the token says that the IRQL is DISPATCH_LEVEL.
        unsafe { nt::ExAcquireSpinLockSharedAtDpcLevel(self.raw.get()) };
        RwSharedGuard::new(self, AtDpcLevel(()))
    }

    /// Acquires the lock for writing and raises to `DISPATCH_LEVEL` until the guard is dropped.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `ExAcquireSpinLockExclusive`.
    pub fn exclusive<'a, L: AtMost<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> RwExclusiveGuard<'a, T, Raised> {
        // SAFETY: The lock is initialised, and the token says that the IRQL is low enough.
        let old_irql = unsafe { nt::ExAcquireSpinLockExclusive(self.raw.get()) };
        RwExclusiveGuard::new(self, Raised(old_irql))
    }

    /// Acquires the lock for writing in code that is at `DISPATCH_LEVEL` already; cheaper than
    /// [`exclusive`](Self::exclusive).
    ///
    /// IRQL: `DISPATCH_LEVEL`. Page: `ExAcquireSpinLockExclusiveAtDpcLevel`.
    pub fn exclusive_at_dpc_level<'a>(
        &'a self,
        _irql: &'a mut Irql<'_, Dispatch>,
    ) -> RwExclusiveGuard<'a, T, AtDpcLevel> {
        // SAFETY: The lock is initialised, and the token says that the IRQL is DISPATCH_LEVEL.
        unsafe { nt::ExAcquireSpinLockExclusiveAtDpcLevel(self.raw.get()) };
        RwExclusiveGuard::new(self, AtDpcLevel(()))
    }

    /// Runs `f` with the data, for reading, at `DISPATCH_LEVEL`. Unlike a guard, this cannot be
    /// forgotten.
    pub fn with_shared<L: AtMost<Dispatch>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&T, &mut Irql<'_, Dispatch>) -> R,
    ) -> R {
        let mut guard = self.shared(irql);
        let (data, irql) = guard.parts();
        f(data, irql)
    }

    /// Runs `f` with the data, for writing, at `DISPATCH_LEVEL`. Unlike a guard, this cannot be
    /// forgotten.
    pub fn with_exclusive<L: AtMost<Dispatch>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&mut T, &mut Irql<'_, Dispatch>) -> R,
    ) -> R {
        let mut guard = self.exclusive(irql);
        let (data, irql) = guard.parts();
        f(data, irql)
    }

    /// The data, without the lock: whoever has the lock for itself has no need to take it.
    pub const fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    fn check_free(&self) {
        // SAFETY: An `EX_SPIN_LOCK` is a number; the lock is borrowed by nobody else when it ends.
        if unsafe { self.raw.get().read() } != 0 {
            held::stop(Held::RwSpinLock, self.raw.get().cast());
        }
    }
}

impl<T: ?Sized> Drop for RwSpinLock<T> {
    fn drop(&mut self) {
        self.check_free();
    }
}

impl<T: Default> Default for RwSpinLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized> fmt::Debug for RwSpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwSpinLock").finish_non_exhaustive()
    }
}

mod sealed {
    pub trait Sealed {}
}

/// How an `EX_SPIN_LOCK` was acquired, and so how it is released: [`Raised`] or [`AtDpcLevel`].
pub trait RwAcquisition: Copy + sealed::Sealed {
    /// Releases shared access.
    ///
    /// # Safety
    ///
    /// The lock was acquired in this way on this processor, is held for shared access, and the IRQL
    /// is `DISPATCH_LEVEL`.
    #[doc(hidden)]
    unsafe fn release_shared(self, lock: *mut nt::EX_SPIN_LOCK);

    /// Releases exclusive access.
    ///
    /// # Safety
    ///
    /// As for shared access, with the lock held for exclusive access, acquired or converted.
    #[doc(hidden)]
    unsafe fn release_exclusive(self, lock: *mut nt::EX_SPIN_LOCK);
}

impl sealed::Sealed for Raised {}
impl RwAcquisition for Raised {
    unsafe fn release_shared(self, lock: *mut nt::EX_SPIN_LOCK) {
        // SAFETY: The caller has shared access, acquired when the level was the one saved here.
        unsafe { nt::ExReleaseSpinLockShared(lock, self.0) };
    }

    unsafe fn release_exclusive(self, lock: *mut nt::EX_SPIN_LOCK) {
        // SAFETY: The caller has exclusive access, acquired when the level was the one saved here.
        unsafe { nt::ExReleaseSpinLockExclusive(lock, self.0) };
    }
}

impl sealed::Sealed for AtDpcLevel {}
impl RwAcquisition for AtDpcLevel {
    unsafe fn release_shared(self, lock: *mut nt::EX_SPIN_LOCK) {
        // SAFETY: The caller has shared access, acquired without raising.
        unsafe { nt::ExReleaseSpinLockSharedFromDpcLevel(lock) };
    }

    unsafe fn release_exclusive(self, lock: *mut nt::EX_SPIN_LOCK) {
        // SAFETY: The caller has exclusive access, acquired without raising.
        unsafe { nt::ExReleaseSpinLockExclusiveFromDpcLevel(lock) };
    }
}

/// The data of a [`RwSpinLock`] while it is held for reading. Releases the lock and restores the
/// level when dropped.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct RwSharedGuard<'a, T: ?Sized, A: RwAcquisition> {
    lock: &'a RwSpinLock<T>,
    irql: Irql<'a, Dispatch>,
    acquisition: A,
}

// SAFETY: A shared guard gives out `&T` alone; its token is reached through `&mut`.
unsafe impl<T: ?Sized + Sync, A: RwAcquisition> Sync for RwSharedGuard<'_, T, A> {}

impl<'a, T: ?Sized, A: RwAcquisition> RwSharedGuard<'a, T, A> {
    const fn new(lock: &'a RwSpinLock<T>, acquisition: A) -> Self {
        Self {
            lock,
            irql: Irql::new(),
            acquisition,
        }
    }

    /// Goes from reading to writing without letting go, if nobody else holds the lock.
    ///
    /// IRQL: `DISPATCH_LEVEL`, as the guard has it. Page: `ExTryConvertSharedSpinLockExclusive`.
    ///
    /// # Errors
    ///
    /// The guard itself, still for reading, if someone else reads.
    pub fn try_upgrade(self) -> Result<RwExclusiveGuard<'a, T, A>, Self> {
        let lock = self.lock;
        // SAFETY: This thread has shared access and is at DISPATCH_LEVEL.
        if unsafe { nt::ExTryConvertSharedSpinLockExclusive(lock.raw.get()) } == 0 {
            return Err(self);
        }
        let acquisition = self.acquisition;
        mem::forget(self);
        Ok(RwExclusiveGuard::new(lock, acquisition))
    }

    /// The token of `DISPATCH_LEVEL`, for what is to be done under the lock.
    pub const fn irql(&mut self) -> &mut Irql<'a, Dispatch> {
        &mut self.irql
    }

    /// Data and token at once.
    pub const fn parts(&mut self) -> (&T, &mut Irql<'a, Dispatch>) {
        // SAFETY: The guard has shared access, so nobody changes the data.
        let data = unsafe { &*self.lock.data.get() };
        (data, &mut self.irql)
    }
}

impl<T: ?Sized, A: RwAcquisition> Deref for RwSharedGuard<'_, T, A> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The guard has shared access, so nobody changes the data.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized, A: RwAcquisition> Drop for RwSharedGuard<'_, T, A> {
    fn drop(&mut self) {
        // SAFETY: The guard has shared access, acquired in the way that `acquisition` tells, and
        // stayed on its thread. The token of DISPATCH_LEVEL was borrowed by whatever raised since,
        // and that is gone.
        unsafe { self.acquisition.release_shared(self.lock.raw.get()) };
    }
}

impl<T: ?Sized + fmt::Debug, A: RwAcquisition> fmt::Debug for RwSharedGuard<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The data of a [`RwSpinLock`] while it is held for writing. Releases the lock and restores the
/// level when dropped.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct RwExclusiveGuard<'a, T: ?Sized, A: RwAcquisition> {
    lock: &'a RwSpinLock<T>,
    irql: Irql<'a, Dispatch>,
    acquisition: A,
}

// SAFETY: A shared guard gives out `&T` alone; its token is reached through `&mut`.
unsafe impl<T: ?Sized + Sync, A: RwAcquisition> Sync for RwExclusiveGuard<'_, T, A> {}

impl<'a, T: ?Sized, A: RwAcquisition> RwExclusiveGuard<'a, T, A> {
    const fn new(lock: &'a RwSpinLock<T>, acquisition: A) -> Self {
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
        // SAFETY: The guard has exclusive access, so nothing else reaches the data, and it is
        // borrowed through `&mut self`.
        let data = unsafe { &mut *self.lock.data.get() };
        (data, &mut self.irql)
    }
}

impl<T: ?Sized, A: RwAcquisition> Deref for RwExclusiveGuard<'_, T, A> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The guard has exclusive access, so nothing else changes the data.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized, A: RwAcquisition> DerefMut for RwExclusiveGuard<'_, T, A> {
    fn deref_mut(&mut self) -> &mut T {
        self.parts().0
    }
}

impl<T: ?Sized, A: RwAcquisition> Drop for RwExclusiveGuard<'_, T, A> {
    fn drop(&mut self) {
        // SAFETY: As for the guard of shared access, with exclusive access.
        unsafe { self.acquisition.release_exclusive(self.lock.raw.get()) };
    }
}

impl<T: ?Sized + fmt::Debug, A: RwAcquisition> fmt::Debug for RwExclusiveGuard<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
