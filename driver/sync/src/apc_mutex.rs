//! What [`FastMutex`](crate::FastMutex) and [`GuardedMutex`](crate::GuardedMutex) have in common:
//! since Windows 8 the two are one structure with two sets of functions.

use core::{cell::UnsafeCell, fmt, marker::PhantomData, pin::Pin};

use pinned_init::{PinInit, pin_data, pin_init, pinned_drop};

use crate::{
    AlreadyOwned, Before, Irql, RaisedUnder, Rank, Unranked,
    dispatcher::{KernelObject, is_waited_for},
    guard::{Exclusive, Guard, Lock, Release, sealed::Sealed},
    held::{self, Held},
    irql::{Apc, At, AtMost, Dispatch},
    nt,
    track::{Class, How, Kind},
};

/// A set of functions for a `FAST_MUTEX`: those of [`FastMutex`](crate::FastMutex) or of
/// [`GuardedMutex`](crate::GuardedMutex).
///
/// Each function asks for a mutex that was initialised by the function of its set and is resident; a
/// release, for one that this thread has acquired by the function that it belongs to.
pub trait Functions: Sealed {
    /// The name of the type.
    #[doc(hidden)]
    const NAME: &str;
    #[doc(hidden)]
    const HELD: Held;
    #[doc(hidden)]
    const KIND: Kind;

    /// Waits, and raises to `APC_LEVEL`.
    ///
    /// # Safety
    ///
    /// IRQL `<= APC_LEVEL`.
    #[doc(hidden)]
    unsafe fn acquire(mutex: *mut nt::FAST_MUTEX);

    /// Acquires and raises to `APC_LEVEL`, or does nothing and gives `FALSE`.
    ///
    /// # Safety
    ///
    /// IRQL `<= APC_LEVEL`.
    #[doc(hidden)]
    unsafe fn try_acquire(mutex: *mut nt::FAST_MUTEX) -> nt::BOOLEAN;

    /// Releases, and restores the IRQL.
    ///
    /// # Safety
    ///
    /// IRQL `APC_LEVEL`.
    #[doc(hidden)]
    unsafe fn release(mutex: *mut nt::FAST_MUTEX);

    /// Waits, and leaves the IRQL alone.
    ///
    /// # Safety
    ///
    /// IRQL `APC_LEVEL`.
    #[doc(hidden)]
    unsafe fn acquire_at_apc_level(mutex: *mut nt::FAST_MUTEX);

    /// Releases, and leaves the IRQL alone.
    ///
    /// # Safety
    ///
    /// IRQL `APC_LEVEL`.
    #[doc(hidden)]
    unsafe fn release_at_apc_level(mutex: *mut nt::FAST_MUTEX);
}

/// Data behind a `FAST_MUTEX`, used by one of its two sets of functions: a
/// [`FastMutex`](crate::FastMutex) or a [`GuardedMutex`](crate::GuardedMutex), where the use of it is
/// told.
///
/// To refuse its owner, [`lock`](Self::lock) tries first and looks at the owner only where it would
/// have to wait: a free mutex costs one call of the kernel, as it does without this crate.
#[pin_data(PinnedDrop)]
pub struct ApcMutex<F: Functions, T: ?Sized, K = Unranked> {
    class: Class,
    functions: PhantomData<fn() -> F>,
    rank: PhantomData<K>,
    #[pin]
    raw: KernelObject<nt::FAST_MUTEX>,
    data: UnsafeCell<T>,
}

// SAFETY: The data is reached by the owner alone; handing it from owner to owner moves it between
// threads, which `T: Send` allows.
unsafe impl<F: Functions, T: ?Sized + Send, K> Sync for ApcMutex<F, T, K> {}

/// `FAST_MUTEX.Count` of a mutex that nobody owns.
pub const FREE: i32 = 1;

impl<F: Functions, T, K: Rank> ApcMutex<F, T, K> {
    /// An initialiser of a mutex around `data` from one of the raw mutex.
    #[cfg_attr(feature = "_track", track_caller)]
    pub(crate) fn around(
        raw: impl PinInit<KernelObject<nt::FAST_MUTEX>>,
        data: T,
    ) -> impl PinInit<Self> {
        let class = Class::new::<T>(F::KIND);
        pin_init!(Self {
            class,
            functions: PhantomData,
            rank: PhantomData,
            raw <- raw,
            data: UnsafeCell::new(data),
        })
    }
}

impl<F: Functions, T: ?Sized, K: Rank> ApcMutex<F, T, K> {
    /// Waits for the mutex and raises to `APC_LEVEL` until the guard is dropped.
    ///
    /// IRQL: `<= APC_LEVEL`. Pages: `ExAcquireFastMutex`, `KeAcquireGuardedMutex`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread owns it: it would wait for itself.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn lock<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Result<ApcMutexGuard<'a, F, T, Raising, RaisedUnder<Apc, L, K>, K>, AlreadyOwned>
    where
        L::Held: Before<K>,
    {
        let asked = self.class.acquiring(self.raw.get().cast(), How::Exclusive);
        if !self.acquire_at_once(irql) {
            self.refuse_owner()?;
            // SAFETY: The mutex is initialised and resident, and the token says that the IRQL is at
            // most APC_LEVEL.
            unsafe { F::acquire(self.raw.get()) };
        }
        // SAFETY: It was acquired in this way, which raises to APC_LEVEL.
        Ok(unsafe { Guard::new(self, Raising(()), asked.acquired()) })
    }

    /// Acquires the mutex if it is free, and does not wait.
    ///
    /// IRQL: `<= APC_LEVEL`; unchanged if it was not acquired. Pages: `ExTryToAcquireFastMutex`,
    /// `KeTryToAcquireGuardedMutex`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn try_lock<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Option<ApcMutexGuard<'a, F, T, Raising, RaisedUnder<Apc, L, K>, K>>
    where
        L::Held: Before<K>,
    {
        let asked = self
            .class
            .acquiring(self.raw.get().cast(), How::TryExclusive);
        if !self.acquire_at_once(irql) {
            return None;
        }
        // SAFETY: It was acquired in this way, which raises to APC_LEVEL.
        Some(unsafe { Guard::new(self, Raising(()), asked.acquired()) })
    }

    /// Waits for the mutex in code that is at `APC_LEVEL` already, and leaves the level alone;
    /// cheaper than [`lock`](Self::lock).
    ///
    /// IRQL: `APC_LEVEL`. The pages allow a critical region, or a guarded one, at a lower level as
    /// well; Driver Verifier's rule for the fast mutex does not, so this asks for the level.
    /// Pages: `ExAcquireFastMutexUnsafe`, `KeAcquireGuardedMutexUnsafe`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread owns it.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn lock_at_apc_level<'a, L: At<Apc>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> Result<ApcMutexGuard<'a, F, T, AtApcLevel, RaisedUnder<Apc, L, K>, K>, AlreadyOwned>
    where
        L::Held: Before<K>,
    {
        let asked = self.class.acquiring(self.raw.get().cast(), How::Exclusive);
        // The kernel has no try of this form.
        self.refuse_owner()?;
        // SAFETY: The mutex is initialised and resident, and the token says that the IRQL is
        // APC_LEVEL.
        unsafe { F::acquire_at_apc_level(self.raw.get()) };
        // SAFETY: It was acquired in this way, which leaves the level.
        Ok(unsafe { Guard::new(self, AtApcLevel(()), asked.acquired()) })
    }

    /// Runs `f` with the data, at `APC_LEVEL`. Unlike a guard, this cannot be forgotten.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread owns it.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn with<L: AtMost<Apc>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&mut T, &mut Irql<'_, RaisedUnder<Apc, L, K>>) -> R,
    ) -> Result<R, AlreadyOwned>
    where
        L::Held: Before<K>,
    {
        let mut guard = self.lock(irql)?;
        let (data, irql) = guard.parts();
        Ok(f(data, irql))
    }

    /// The address of the `FAST_MUTEX`, for whoever looks at it in a debugger: what
    /// `dt nt!_FAST_MUTEX` takes.
    #[must_use]
    pub fn address(&self) -> usize {
        self.raw.get().addr()
    }

    /// Whether a thread waits for the mutex; an estimate by the time that it is read.
    ///
    /// The kernel has no function that tells: this looks whether the list of those who wait for the
    /// mutex's event, members that `wdm.h` declares, has an entry.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`.
    pub fn is_waited_for<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> bool {
        // SAFETY: `Event.Header` is a member of the mutex.
        let header = unsafe { &raw const (*self.raw.get()).Event.Header };
        // SAFETY: It is that of an event that is initialised and resident where its mutex is.
        unsafe { is_waited_for(header) }
    }

    #[inline]
    fn acquire_at_once<L: AtMost<Apc>>(&self, _irql: &mut Irql<'_, L>) -> bool {
        // SAFETY: The mutex is initialised and resident, and the token says that the IRQL is at most
        // APC_LEVEL.
        unsafe { F::try_acquire(self.raw.get()) != nt::FALSE }
    }

    /// Refuses if this thread owns the mutex. Of a free one, this costs a look.
    #[inline]
    fn refuse_owner(&self) -> Result<(), AlreadyOwned> {
        // SAFETY: `Owner` is a member of the mutex, declared in `wdm.h`.
        let owner = unsafe { &raw const (*self.raw.get()).Owner };
        // SAFETY: It holds a pointer, which is read whole while others change it. A thread sees
        // itself there exactly if it owns the mutex: nobody else writes its address.
        let owner: nt::PVOID = unsafe { owner.read_volatile() }.cast();
        if !owner.is_null() && owner == nt::current_thread() {
            return Err(AlreadyOwned);
        }
        Ok(())
    }
}

#[pinned_drop]
impl<F: Functions, T: ?Sized, K> PinnedDrop for ApcMutex<F, T, K> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: `Count` is a member of the mutex.
        let count = unsafe { &raw const (*self.raw.get()).Count };
        // SAFETY: It holds an integer, and nobody changes it: the mutex is borrowed by nobody.
        if unsafe { count.read_volatile() } != FREE {
            held::stop(F::HELD, self.raw.get().cast());
        }
    }
}

impl<F: Functions, T: ?Sized, K> fmt::Debug for ApcMutex<F, T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(F::NAME).finish_non_exhaustive()
    }
}

impl<F: Functions, T: ?Sized, K> Sealed for ApcMutex<F, T, K> {}
impl<F: Functions, T: ?Sized, K> Lock for ApcMutex<F, T, K> {
    type Data = T;

    #[inline]
    fn data(&self) -> &UnsafeCell<T> {
        &self.data
    }
}

/// How a fast or guarded mutex was acquired, and so how it is released: [`Raising`] or
/// [`AtApcLevel`]. The two ways must not be mixed.
pub trait ApcAcquisition: Copy + Sealed {
    /// Releases the mutex in the fitting way.
    ///
    /// # Safety
    ///
    /// The mutex was acquired in this way on this thread, is owned, and the IRQL is `APC_LEVEL`.
    #[doc(hidden)]
    unsafe fn release<F: Functions>(self, mutex: *mut nt::FAST_MUTEX);
}

/// Acquired with the level raised; the lock itself, or its queue handle, keeps the one before.
#[derive(Clone, Copy, Debug)]
pub struct Raising(());

impl Sealed for Raising {}
impl ApcAcquisition for Raising {
    #[inline]
    unsafe fn release<F: Functions>(self, mutex: *mut nt::FAST_MUTEX) {
        // SAFETY: The caller owns the mutex, acquired by the function that this one belongs to.
        unsafe { F::release(mutex) };
    }
}

/// Acquired at `APC_LEVEL`, which stays: the `Unsafe` form.
#[derive(Clone, Copy, Debug)]
pub struct AtApcLevel(());

impl Sealed for AtApcLevel {}
impl ApcAcquisition for AtApcLevel {
    #[inline]
    unsafe fn release<F: Functions>(self, mutex: *mut nt::FAST_MUTEX) {
        // SAFETY: The caller owns the mutex, acquired by the function that this one belongs to.
        unsafe { F::release_at_apc_level(mutex) };
    }
}

impl<F: Functions, T: ?Sized, K, A: ApcAcquisition> Release<ApcMutex<F, T, K>, Exclusive> for A {
    #[inline]
    unsafe fn release(self, mutex: &ApcMutex<F, T, K>) {
        // SAFETY: The caller owns the mutex, acquired in this way.
        unsafe { ApcAcquisition::release::<F>(self, mutex.raw.get()) };
    }
}

/// The data of a [`FastMutex`](crate::FastMutex) or a [`GuardedMutex`](crate::GuardedMutex) while it
/// is owned. Releases the mutex when dropped.
pub type ApcMutexGuard<'a, F, T, A, L = Apc, K = Unranked> =
    Guard<'a, ApcMutex<F, T, K>, A, Exclusive, L>;
