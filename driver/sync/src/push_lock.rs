//! `EX_PUSH_LOCK`: shared or exclusive, in one machine word.

use core::{cell::UnsafeCell, fmt, marker::PhantomData, pin::Pin};

use pinned_init::{PinInit, pin_data, pin_init, pinned_drop};

use crate::{
    Before, Irql, Rank, Under, Unranked,
    dispatcher::KernelObject,
    guard::{Exclusive, Guard, Lock, Release, Shared, sealed::Sealed},
    held::{self, Held},
    irql::{Apc, AtMost},
    nt,
    region::{enter_critical_region, leave_critical_region},
    track::{Class, How, Kind},
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
pub struct PushLock<T: ?Sized, K = Unranked> {
    class: Class,
    rank: PhantomData<K>,
    #[pin]
    raw: KernelObject<nt::EX_PUSH_LOCK>,
    data: UnsafeCell<T>,
}

// SAFETY: Readers look at the data at the same time, for which it must be `Sync`; a writer takes it
// over from another thread, for which it must be `Send`.
unsafe impl<T: ?Sized + Send + Sync, K> Sync for PushLock<T, K> {}

/// `EX_DEFAULT_PUSH_LOCK_FLAGS`: what the macros of the pages pass.
const FLAGS: u32 = 0;

impl<T> PushLock<T> {
    /// An initialiser of a free push lock around `data`; see [`NonPaged`](crate::NonPaged).
    ///
    /// Page: `ExInitializePushLock`.
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn new(data: T) -> impl PinInit<Self> {
        Self::ranked(data)
    }
}

impl<T, K: Rank> PushLock<T, K> {
    /// An initialiser of a free push lock of rank `K` around `data`; otherwise as [`new`](Self::new).
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn ranked(data: T) -> impl PinInit<Self> {
        let class = Class::new::<T>(Kind::PushLock);
        let init = |lock| {
            // SAFETY: The place is valid for an EX_PUSH_LOCK.
            unsafe { nt::ExInitializePushLock(lock) };
        };
        pin_init!(Self {
            class,
            rank: PhantomData,
            // SAFETY: ExInitializePushLock initialises the whole lock.
            raw <- unsafe { KernelObject::new(init) },
            data: UnsafeCell::new(data),
        })
    }
}

impl<T: ?Sized, K: Rank> PushLock<T, K> {
    /// Waits for shared access, behind those who wait for exclusive access.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExAcquirePushLockShared`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn shared<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> PushSharedGuard<'a, T, Under<L, K>, K>
    where
        L::Held: Before<K>,
    {
        let asked = self.class.acquiring(self.raw.get().cast(), How::Shared);
        enter_critical_region(irql);
        // SAFETY: The lock is initialised, in a critical region and at an IRQL of at most APC_LEVEL.
        unsafe { nt::ExAcquirePushLockSharedEx(self.raw.get(), FLAGS) };
        // SAFETY: It was acquired, in a critical region, and the IRQL stays.
        unsafe { Guard::new(self, (), asked.acquired()) }
    }

    /// Waits for exclusive access.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExAcquirePushLockExclusive`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn exclusive<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> PushExclusiveGuard<'a, T, Under<L, K>, K>
    where
        L::Held: Before<K>,
    {
        let asked = self.class.acquiring(self.raw.get().cast(), How::Exclusive);
        enter_critical_region(irql);
        // SAFETY: As for shared access.
        unsafe { nt::ExAcquirePushLockExclusiveEx(self.raw.get(), FLAGS) };
        // SAFETY: It was acquired, in a critical region, and the IRQL stays.
        unsafe { Guard::new(self, (), asked.acquired()) }
    }

    /// Runs `f` with the data, shared. Unlike a guard, this cannot be forgotten.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn with_shared<L: AtMost<Apc>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&T, &mut Irql<'_, Under<L, K>>) -> R,
    ) -> R
    where
        L::Held: Before<K>,
    {
        let mut guard = self.shared(irql);
        let (data, irql) = guard.parts();
        f(data, irql)
    }

    /// Runs `f` with the data, exclusive. Unlike a guard, this cannot be forgotten.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn with_exclusive<L: AtMost<Apc>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&mut T, &mut Irql<'_, Under<L, K>>) -> R,
    ) -> R
    where
        L::Held: Before<K>,
    {
        let mut guard = self.exclusive(irql);
        let (data, irql) = guard.parts();
        f(data, irql)
    }
}

#[pinned_drop]
impl<T: ?Sized, K> PinnedDrop for PushLock<T, K> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: An EX_PUSH_LOCK is a word, zero if nobody has it, and nobody changes it: the lock is
        // borrowed by nobody.
        if unsafe { self.raw.get().read_volatile() } != 0 {
            held::stop(Held::PushLock, self.raw.get().cast());
        }
    }
}

impl<T: ?Sized, K> fmt::Debug for PushLock<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushLock").finish_non_exhaustive()
    }
}

/// Shared access to the data of a [`PushLock`]. Released, and the critical region left, when dropped.
pub type PushSharedGuard<'a, T, L, K = Unranked> = Guard<'a, PushLock<T, K>, (), Shared, L>;

/// Exclusive access to the data of a [`PushLock`]. Released, and the critical region left, when
/// dropped.
pub type PushExclusiveGuard<'a, T, L, K = Unranked> = Guard<'a, PushLock<T, K>, (), Exclusive, L>;

impl<T: ?Sized, K> Sealed for PushLock<T, K> {}
impl<T: ?Sized, K> Lock for PushLock<T, K> {
    type Data = T;

    #[inline]
    fn data(&self) -> &UnsafeCell<T> {
        &self.data
    }
}

impl<T: ?Sized, K> Release<PushLock<T, K>, Shared> for () {
    #[inline]
    unsafe fn release(self, lock: &PushLock<T, K>) {
        // SAFETY: The caller has shared access, acquired on this thread in the critical region that
        // it is in, and releases it once.
        unsafe { nt::ExReleasePushLockSharedEx(lock.raw.get(), FLAGS) };
        leave_critical_region();
    }
}

impl<T: ?Sized, K> Release<PushLock<T, K>, Exclusive> for () {
    #[inline]
    unsafe fn release(self, lock: &PushLock<T, K>) {
        // SAFETY: As for shared access, with exclusive access.
        unsafe { nt::ExReleasePushLockExclusiveEx(lock.raw.get(), FLAGS) };
        leave_critical_region();
    }
}
