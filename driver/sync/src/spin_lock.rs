//! `KSPIN_LOCK`: a spin lock that keeps its holder on its processor.

use core::{cell::UnsafeCell, fmt, marker::PhantomData};

use crate::{
    Before, Dispatch, Irql, RaisedUnder, Rank, Unranked,
    guard::{Exclusive, Guard, Lock, Release, sealed::Sealed},
    irql::{At, AtMost},
    nt,
    track::How,
    word_lock::{Spin, WordLock},
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
pub struct SpinLock<T: ?Sized, K = Unranked> {
    rank: PhantomData<K>,
    word: WordLock<Spin, T>,
}

// SAFETY: The data is reached by one holder at a time; handing it from holder to holder moves it
// between threads, which `T: Send` allows.
unsafe impl<T: ?Sized + Send, K> Sync for SpinLock<T, K> {}

impl<T> SpinLock<T> {
    /// A free spin lock around `data`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub const fn new(data: T) -> Self {
        Self::ranked(data)
    }
}

impl<T, K: Rank> SpinLock<T, K> {
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

impl<T: ?Sized, K: Rank> SpinLock<T, K> {
    /// Acquires the lock and raises to `DISPATCH_LEVEL` until the guard is dropped.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeAcquireSpinLockRaiseToDpc`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn lock<'a, L: AtMost<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> SpinLockGuard<'a, T, Raised, RaisedUnder<Dispatch, L, K>, K>
    where
        L::Held: Before<K>,
    {
        let asked = self.word.acquiring(How::Exclusive);
        // SAFETY: The lock is initialised, and the token says that the IRQL is low enough.
        let old_irql = unsafe { nt::KeAcquireSpinLockRaiseToDpc(self.word.raw()) };
        // SAFETY: It was acquired in this way, which raises to DISPATCH_LEVEL.
        unsafe { Guard::new(self, Raised(old_irql), asked.acquired()) }
    }

    /// Acquires the lock in code that is at `DISPATCH_LEVEL` already, as in a DPC; cheaper than
    /// [`lock`](Self::lock).
    ///
    /// IRQL: `DISPATCH_LEVEL`. Page: `KeAcquireSpinLockAtDpcLevel`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn lock_at_dpc_level<'a, L: At<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> SpinLockGuard<'a, T, AtDpcLevel, RaisedUnder<Dispatch, L, K>, K>
    where
        L::Held: Before<K>,
    {
        let asked = self.word.acquiring(How::Exclusive);
        // SAFETY: The lock is initialised, and the token says that the IRQL is DISPATCH_LEVEL.
        unsafe { nt::KeAcquireSpinLockAtDpcLevel(self.word.raw()) };
        // SAFETY: It was acquired in this way, which leaves the level.
        unsafe { Guard::new(self, AtDpcLevel(()), asked.acquired()) }
    }

    /// Acquires the lock if it is free, and does not spin.
    ///
    /// IRQL: `DISPATCH_LEVEL`. Page: `KeTryToAcquireSpinLockAtDpcLevel`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn try_lock_at_dpc_level<'a, L: At<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> Option<SpinLockGuard<'a, T, AtDpcLevel, RaisedUnder<Dispatch, L, K>, K>>
    where
        L::Held: Before<K>,
    {
        let asked = self.word.acquiring(How::TryExclusive);
        // SAFETY: The lock is initialised, and the token says that the IRQL is DISPATCH_LEVEL.
        let acquired = unsafe { nt::KeTryToAcquireSpinLockAtDpcLevel(self.word.raw()) };
        if acquired == nt::FALSE {
            return None;
        }
        // SAFETY: It was acquired in this way, which leaves the level.
        Some(unsafe { Guard::new(self, AtDpcLevel(()), asked.acquired()) })
    }

    /// Runs `f` with the data, at `DISPATCH_LEVEL`. Unlike a guard, this cannot be forgotten.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn with<L: AtMost<Dispatch>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&mut T, &mut Irql<'_, RaisedUnder<Dispatch, L, K>>) -> R,
    ) -> R
    where
        L::Held: Before<K>,
    {
        let mut guard = self.lock(irql);
        let (data, irql) = guard.parts();
        f(data, irql)
    }

    /// The data, without the lock: whoever has the lock for itself has no need to take it.
    pub const fn get_mut(&mut self) -> &mut T {
        self.word.get_mut()
    }
}

impl<T: ?Sized, K> Sealed for SpinLock<T, K> {}
impl<T: ?Sized, K> Lock for SpinLock<T, K> {
    type Data = T;

    #[inline]
    fn data(&self) -> &UnsafeCell<T> {
        self.word.data()
    }
}

impl<T: Default, K: Rank> Default for SpinLock<T, K> {
    fn default() -> Self {
        Self::ranked(T::default())
    }
}

impl<T: ?Sized, K> fmt::Debug for SpinLock<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinLock").finish_non_exhaustive()
    }
}

/// How a spin lock was acquired, and so how it is released.
pub trait Acquisition: Copy + Sealed {
    /// Releases the lock in the fitting way.
    ///
    /// # Safety
    ///
    /// The lock was acquired in this way on this processor, is held, and the IRQL is
    /// `DISPATCH_LEVEL`.
    #[doc(hidden)]
    unsafe fn release(self, lock: *mut nt::KSPIN_LOCK);
}

/// Acquired with the level raised from this one.
#[derive(Clone, Copy, Debug)]
pub struct Raised(pub(crate) nt::KIRQL);

impl Sealed for Raised {}
impl Acquisition for Raised {
    #[inline]
    unsafe fn release(self, lock: *mut nt::KSPIN_LOCK) {
        // SAFETY: The caller holds the lock, acquired when the level was the one saved here.
        unsafe { nt::KeReleaseSpinLock(lock, self.0) };
    }
}

/// Acquired at `DISPATCH_LEVEL`, which stays.
#[derive(Clone, Copy, Debug)]
pub struct AtDpcLevel(pub(crate) ());

impl Sealed for AtDpcLevel {}
impl Acquisition for AtDpcLevel {
    #[inline]
    unsafe fn release(self, lock: *mut nt::KSPIN_LOCK) {
        // SAFETY: The caller holds the lock, acquired without raising.
        unsafe { nt::KeReleaseSpinLockFromDpcLevel(lock) };
    }
}

impl<T: ?Sized, K, A: Acquisition> Release<SpinLock<T, K>, Exclusive> for A {
    #[inline]
    unsafe fn release(self, lock: &SpinLock<T, K>) {
        // SAFETY: The caller holds the lock, acquired in this way.
        unsafe { Acquisition::release(self, lock.word.raw()) };
    }
}

/// The data of a [`SpinLock`] while it is held. Releases the lock and restores the level when
/// dropped.
pub type SpinLockGuard<'a, T, A, L = Dispatch, K = Unranked> =
    Guard<'a, SpinLock<T, K>, A, Exclusive, L>;
