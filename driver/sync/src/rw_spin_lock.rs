//! `EX_SPIN_LOCK`: a spin lock for many readers or one writer.

use core::{cell::UnsafeCell, fmt, marker::PhantomData};

use crate::{
    AtDpcLevel, Before, Dispatch, Irql, Level, Raised, RaisedUnder, Rank, Unranked,
    guard::{Exclusive, Guard, Lock, Release, Shared, sealed::Sealed},
    irql::{At, AtMost},
    nt,
    track::How,
    word_lock::{ReadWrite, WordLock},
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
pub struct RwSpinLock<T: ?Sized, K = Unranked> {
    rank: PhantomData<K>,
    word: WordLock<ReadWrite, T>,
}

// SAFETY: Readers look at the data at the same time, for which it must be `Sync`; a writer takes it
// over from another thread, for which it must be `Send`.
unsafe impl<T: ?Sized + Send + Sync, K> Sync for RwSpinLock<T, K> {}

impl<T> RwSpinLock<T> {
    /// A free lock around `data`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub const fn new(data: T) -> Self {
        Self::ranked(data)
    }
}

impl<T, K: Rank> RwSpinLock<T, K> {
    /// A free lock of rank `K` around `data`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub const fn ranked(data: T) -> Self {
        Self {
            rank: PhantomData,
            word: WordLock::new(data),
        }
    }

    /// Takes the data out again.
    ///
    /// A lock that is still held, by a guard that was forgotten, is a bug check as in its drop.
    pub fn into_inner(self) -> T {
        self.word.into_inner()
    }
}

impl<T: ?Sized, K: Rank> RwSpinLock<T, K> {
    /// Acquires the lock for reading and raises to `DISPATCH_LEVEL` until the guard is dropped.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `ExAcquireSpinLockShared`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn shared<'a, L: AtMost<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> RwSharedGuard<'a, T, Raised, RaisedUnder<Dispatch, L, K>, K>
    where
        L::Held: Before<K>,
    {
        let asked = self.word.acquiring(How::Shared);
        // SAFETY: The lock is initialised, and the token says that the IRQL is low enough.
        let old_irql = unsafe { nt::ExAcquireSpinLockShared(self.word.raw()) };
        // SAFETY: It was acquired in this way, which raises to DISPATCH_LEVEL.
        unsafe { Guard::new(self, Raised(old_irql), asked.acquired()) }
    }

    /// Acquires the lock for reading in code that is at `DISPATCH_LEVEL` already; cheaper than
    /// [`shared`](Self::shared).
    ///
    /// IRQL: `DISPATCH_LEVEL`. Page: `ExAcquireSpinLockSharedAtDpcLevel`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn shared_at_dpc_level<'a, L: At<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> RwSharedGuard<'a, T, AtDpcLevel, RaisedUnder<Dispatch, L, K>, K>
    where
        L::Held: Before<K>,
    {
        let asked = self.word.acquiring(How::Shared);
        // SAFETY: The lock is initialised, and the token says that the IRQL is DISPATCH_LEVEL.
        unsafe { nt::ExAcquireSpinLockSharedAtDpcLevel(self.word.raw()) };
        // SAFETY: It was acquired in this way, which leaves the level.
        unsafe { Guard::new(self, AtDpcLevel(()), asked.acquired()) }
    }

    /// Acquires the lock for writing and raises to `DISPATCH_LEVEL` until the guard is dropped.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `ExAcquireSpinLockExclusive`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn exclusive<'a, L: AtMost<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> RwExclusiveGuard<'a, T, Raised, RaisedUnder<Dispatch, L, K>, K>
    where
        L::Held: Before<K>,
    {
        let asked = self.word.acquiring(How::Exclusive);
        // SAFETY: The lock is initialised, and the token says that the IRQL is low enough.
        let old_irql = unsafe { nt::ExAcquireSpinLockExclusive(self.word.raw()) };
        // SAFETY: It was acquired in this way, which raises to DISPATCH_LEVEL.
        unsafe { Guard::new(self, Raised(old_irql), asked.acquired()) }
    }

    /// Acquires the lock for writing in code that is at `DISPATCH_LEVEL` already; cheaper than
    /// [`exclusive`](Self::exclusive).
    ///
    /// IRQL: `DISPATCH_LEVEL`. Page: `ExAcquireSpinLockExclusiveAtDpcLevel`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn exclusive_at_dpc_level<'a, L: At<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> RwExclusiveGuard<'a, T, AtDpcLevel, RaisedUnder<Dispatch, L, K>, K>
    where
        L::Held: Before<K>,
    {
        let asked = self.word.acquiring(How::Exclusive);
        // SAFETY: The lock is initialised, and the token says that the IRQL is DISPATCH_LEVEL.
        unsafe { nt::ExAcquireSpinLockExclusiveAtDpcLevel(self.word.raw()) };
        // SAFETY: It was acquired in this way, which leaves the level.
        unsafe { Guard::new(self, AtDpcLevel(()), asked.acquired()) }
    }

    /// Runs `f` with the data, for reading, at `DISPATCH_LEVEL`. Unlike a guard, this cannot be
    /// forgotten.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn with_shared<L: AtMost<Dispatch>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&T, &mut Irql<'_, RaisedUnder<Dispatch, L, K>>) -> R,
    ) -> R
    where
        L::Held: Before<K>,
    {
        let mut guard = self.shared(irql);
        let (data, irql) = guard.parts();
        f(data, irql)
    }

    /// Runs `f` with the data, for writing, at `DISPATCH_LEVEL`. Unlike a guard, this cannot be
    /// forgotten.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn with_exclusive<L: AtMost<Dispatch>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&mut T, &mut Irql<'_, RaisedUnder<Dispatch, L, K>>) -> R,
    ) -> R
    where
        L::Held: Before<K>,
    {
        let mut guard = self.exclusive(irql);
        let (data, irql) = guard.parts();
        f(data, irql)
    }

    /// The data, without the lock: whoever has the lock for itself has no need to take it.
    pub const fn get_mut(&mut self) -> &mut T {
        self.word.get_mut()
    }
}

impl<T: ?Sized, K> Sealed for RwSpinLock<T, K> {}
impl<T: ?Sized, K> Lock for RwSpinLock<T, K> {
    type Data = T;

    #[inline]
    fn data(&self) -> &UnsafeCell<T> {
        self.word.data()
    }
}

impl<T: Default, K: Rank> Default for RwSpinLock<T, K> {
    fn default() -> Self {
        Self::ranked(T::default())
    }
}

impl<T: ?Sized, K> fmt::Debug for RwSpinLock<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwSpinLock").finish_non_exhaustive()
    }
}

/// How an `EX_SPIN_LOCK` was acquired, and so how it is released: [`Raised`] or [`AtDpcLevel`].
pub trait RwAcquisition: Copy + Sealed {
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

impl RwAcquisition for Raised {
    #[inline]
    unsafe fn release_shared(self, lock: *mut nt::EX_SPIN_LOCK) {
        // SAFETY: The caller has shared access, acquired when the level was the one saved here.
        unsafe { nt::ExReleaseSpinLockShared(lock, self.0) };
    }

    #[inline]
    unsafe fn release_exclusive(self, lock: *mut nt::EX_SPIN_LOCK) {
        // SAFETY: The caller has exclusive access, acquired when the level was the one saved here.
        unsafe { nt::ExReleaseSpinLockExclusive(lock, self.0) };
    }
}

impl RwAcquisition for AtDpcLevel {
    #[inline]
    unsafe fn release_shared(self, lock: *mut nt::EX_SPIN_LOCK) {
        // SAFETY: The caller has shared access, acquired without raising.
        unsafe { nt::ExReleaseSpinLockSharedFromDpcLevel(lock) };
    }

    #[inline]
    unsafe fn release_exclusive(self, lock: *mut nt::EX_SPIN_LOCK) {
        // SAFETY: The caller has exclusive access, acquired without raising.
        unsafe { nt::ExReleaseSpinLockExclusiveFromDpcLevel(lock) };
    }
}

impl<T: ?Sized, K, A: RwAcquisition> Release<RwSpinLock<T, K>, Shared> for A {
    #[inline]
    unsafe fn release(self, lock: &RwSpinLock<T, K>) {
        // SAFETY: The caller has shared access, acquired in this way.
        unsafe { self.release_shared(lock.word.raw()) };
    }
}

impl<T: ?Sized, K, A: RwAcquisition> Release<RwSpinLock<T, K>, Exclusive> for A {
    #[inline]
    unsafe fn release(self, lock: &RwSpinLock<T, K>) {
        // SAFETY: The caller has exclusive access, acquired in this way or converted.
        unsafe { self.release_exclusive(lock.word.raw()) };
    }
}

/// The data of a [`RwSpinLock`] while it is held for reading. Releases the lock and restores the
/// level when dropped.
pub type RwSharedGuard<'a, T, A, L = Dispatch, K = Unranked> =
    Guard<'a, RwSpinLock<T, K>, A, Shared, L>;

/// The data of a [`RwSpinLock`] while it is held for writing. Releases the lock and restores the
/// level when dropped.
pub type RwExclusiveGuard<'a, T, A, L = Dispatch, K = Unranked> =
    Guard<'a, RwSpinLock<T, K>, A, Exclusive, L>;

impl<'a, T: ?Sized, A: RwAcquisition, L: Level, K> RwSharedGuard<'a, T, A, L, K> {
    /// Goes from reading to writing without letting go, if nobody else holds the lock.
    ///
    /// IRQL: `DISPATCH_LEVEL`, as the guard has it. Page: `ExTryConvertSharedSpinLockExclusive`.
    ///
    /// # Errors
    ///
    /// The guard itself, still for reading, if someone else reads.
    #[inline]
    pub fn try_upgrade(self) -> Result<RwExclusiveGuard<'a, T, A, L, K>, Self> {
        // SAFETY: This thread has shared access and is at DISPATCH_LEVEL.
        if unsafe { nt::ExTryConvertSharedSpinLockExclusive(self.lock().word.raw()) } == 0 {
            return Err(self);
        }
        let (lock, acquisition, mut acquired) = self.into_parts();
        acquired.converted(How::TryExclusive);
        // SAFETY: The shared access has become an exclusive one, and its guard is gone.
        Ok(unsafe { Guard::new(lock, acquisition, acquired) })
    }
}
