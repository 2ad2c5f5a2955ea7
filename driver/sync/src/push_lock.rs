//! `EX_PUSH_LOCK`: shared or exclusive, in one machine word.

use core::{
    cell::UnsafeCell,
    fmt,
    ops::{Deref, DerefMut},
    pin::Pin,
};

use pinned_init::{PinInit, pin_data, pin_init, pinned_drop};

use crate::{
    Irql, Level,
    dispatcher::KernelObject,
    held::{self, Held},
    irql::{Apc, AtMost},
    nt,
    region::{enter_critical_region, leave_critical_region},
};

/// Data behind an `EX_PUSH_LOCK`: many readers or one writer.
///
/// | | |
/// |---|---|
/// | acquire | `<= APC_LEVEL`; the guard enters a critical region first |
/// | release | the guard leaves its critical region afterwards |
/// | IRQL while owned | unchanged |
/// | recursion | shared in shared, unless someone waits for exclusive access meanwhile; all else is a deadlock |
/// | fairness | none among those who wait for exclusive access |
/// | for | small objects in great number, read much oftener than changed |
///
/// The kernel keeps no owner of a push lock, so recursion cannot be refused as a
/// [`Resource`](crate::Resource) refuses it: a thread that asks for exclusive access to a lock that it
/// has waits forever.
///
/// Pages: `ExInitializePushLock`, `ExAcquirePushLockShared`, `ExAcquirePushLockExclusive`,
/// `ExReleasePushLockShared`, `ExReleasePushLockExclusive`, `KeEnterCriticalRegion`. Those of the
/// acquisitions give no IRQL; waiting needs `<= APC_LEVEL`, and so does the critical region.
///
/// ```
/// use wdk_sync::{NonPaged, PushLock, are_apcs_disabled};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let entry = NonPaged::pin_init(PushLock::new([0u32; 2]))?;
/// entry.exclusive(irql)[0] = 5;
/// let mut entry = entry.shared(irql);
/// assert_eq!(entry[0], 5);
/// assert!(are_apcs_disabled(entry.irql()));
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[pin_data(PinnedDrop)]
pub struct PushLock<T: ?Sized> {
    #[pin]
    raw: KernelObject<nt::EX_PUSH_LOCK>,
    data: UnsafeCell<T>,
}

// SAFETY: Readers look at the data at the same time, for which it must be `Sync`; a writer takes it
// over from another thread, for which it must be `Send`.
unsafe impl<T: ?Sized + Send + Sync> Sync for PushLock<T> {}

/// `EX_DEFAULT_PUSH_LOCK_FLAGS`: what the macros of the pages pass.
const FLAGS: u32 = 0;

impl<T> PushLock<T> {
    /// An initialiser of a free push lock around `data`; see [`NonPaged`](crate::NonPaged).
    ///
    /// Page: `ExInitializePushLock`.
    pub fn new(data: T) -> impl PinInit<Self> {
        let init = |lock| {
            // SAFETY: The place is valid for an EX_PUSH_LOCK.
            unsafe { nt::ExInitializePushLock(lock) };
        };
        pin_init!(Self {
            // SAFETY: ExInitializePushLock initialises the whole lock.
            raw <- unsafe { KernelObject::new(init) },
            data: UnsafeCell::new(data),
        })
    }
}

impl<T: ?Sized> PushLock<T> {
    /// Waits for shared access, behind those who wait for exclusive access.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExAcquirePushLockShared`.
    pub fn shared<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> PushSharedGuard<'a, T, L> {
        enter_critical_region(irql);
        // SAFETY: The lock is initialised, in a critical region and at an IRQL of at most APC_LEVEL.
        unsafe { nt::ExAcquirePushLockSharedEx(self.raw.get(), FLAGS) };
        PushSharedGuard {
            lock: self,
            irql: Irql::new(),
        }
    }

    /// Waits for exclusive access.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExAcquirePushLockExclusive`.
    pub fn exclusive<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> PushExclusiveGuard<'a, T, L> {
        enter_critical_region(irql);
        // SAFETY: As for shared access.
        unsafe { nt::ExAcquirePushLockExclusiveEx(self.raw.get(), FLAGS) };
        PushExclusiveGuard {
            lock: self,
            irql: Irql::new(),
        }
    }

    /// Runs `f` with the data, shared. Unlike a guard, this cannot be forgotten.
    pub fn with_shared<L: AtMost<Apc>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&T, &mut Irql<'_, L>) -> R,
    ) -> R {
        let mut guard = self.shared(irql);
        let (data, irql) = guard.parts();
        f(data, irql)
    }

    /// Runs `f` with the data, exclusive. Unlike a guard, this cannot be forgotten.
    pub fn with_exclusive<L: AtMost<Apc>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&mut T, &mut Irql<'_, L>) -> R,
    ) -> R {
        let mut guard = self.exclusive(irql);
        let (data, irql) = guard.parts();
        f(data, irql)
    }
}

#[pinned_drop]
impl<T: ?Sized> PinnedDrop for PushLock<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: An EX_PUSH_LOCK is a word, zero if nobody has it, and nobody changes it: the lock is
        // borrowed by nobody.
        if unsafe { self.raw.get().read_volatile() } != 0 {
            held::stop(Held::PushLock, self.raw.get().cast());
        }
    }
}

impl<T: ?Sized> fmt::Debug for PushLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushLock").finish_non_exhaustive()
    }
}

/// Shared access to the data of a [`PushLock`]. Released, and the critical region left, when dropped.
#[must_use = "the access is released as soon as the guard is dropped"]
pub struct PushSharedGuard<'a, T: ?Sized, L: Level> {
    lock: &'a PushLock<T>,
    irql: Irql<'a, L>,
}

// SAFETY: A shared guard gives out `&T` alone; its token is reached through `&mut`.
unsafe impl<T: ?Sized + Sync, L: Level> Sync for PushSharedGuard<'_, T, L> {}

impl<'a, T: ?Sized, L: Level> PushSharedGuard<'a, T, L> {
    /// The token, for what is to be done under the lock.
    pub const fn irql(&mut self) -> &mut Irql<'a, L> {
        &mut self.irql
    }

    /// Data and token at once.
    pub const fn parts(&mut self) -> (&T, &mut Irql<'a, L>) {
        // SAFETY: The guard has shared access, so nobody changes the data.
        let data = unsafe { &*self.lock.data.get() };
        (data, &mut self.irql)
    }
}

impl<T: ?Sized, L: Level> Deref for PushSharedGuard<'_, T, L> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The guard has shared access, so nobody changes the data.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized, L: Level> Drop for PushSharedGuard<'_, T, L> {
    fn drop(&mut self) {
        // SAFETY: The guard has shared access, acquired on this thread in the critical region that
        // it is in, and releases it once.
        unsafe { nt::ExReleasePushLockSharedEx(self.lock.raw.get(), FLAGS) };
        leave_critical_region();
    }
}

impl<T: ?Sized + fmt::Debug, L: Level> fmt::Debug for PushSharedGuard<'_, T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Exclusive access to the data of a [`PushLock`]. Released, and the critical region left, when
/// dropped.
#[must_use = "the access is released as soon as the guard is dropped"]
pub struct PushExclusiveGuard<'a, T: ?Sized, L: Level> {
    lock: &'a PushLock<T>,
    irql: Irql<'a, L>,
}

// SAFETY: A shared guard gives out `&T` alone; its token is reached through `&mut`.
unsafe impl<T: ?Sized + Sync, L: Level> Sync for PushExclusiveGuard<'_, T, L> {}

impl<'a, T: ?Sized, L: Level> PushExclusiveGuard<'a, T, L> {
    /// The token, for what is to be done under the lock.
    pub const fn irql(&mut self) -> &mut Irql<'a, L> {
        &mut self.irql
    }

    /// Data and token at once.
    pub const fn parts(&mut self) -> (&mut T, &mut Irql<'a, L>) {
        // SAFETY: The guard has exclusive access, so nothing else reaches the data, and it is
        // borrowed through `&mut self`.
        let data = unsafe { &mut *self.lock.data.get() };
        (data, &mut self.irql)
    }
}

impl<T: ?Sized, L: Level> Deref for PushExclusiveGuard<'_, T, L> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The guard has exclusive access, so nothing else changes the data.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized, L: Level> DerefMut for PushExclusiveGuard<'_, T, L> {
    fn deref_mut(&mut self) -> &mut T {
        self.parts().0
    }
}

impl<T: ?Sized, L: Level> Drop for PushExclusiveGuard<'_, T, L> {
    fn drop(&mut self) {
        // SAFETY: As for the guard of shared access, with exclusive access.
        unsafe { nt::ExReleasePushLockExclusiveEx(self.lock.raw.get(), FLAGS) };
        leave_critical_region();
    }
}

impl<T: ?Sized + fmt::Debug, L: Level> fmt::Debug for PushExclusiveGuard<'_, T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
