//! `FAST_MUTEX`: the cheap mutex for threads, which raises to `APC_LEVEL`.

use core::{
    cell::UnsafeCell,
    fmt,
    ops::{Deref, DerefMut},
    pin::Pin,
};

use pinned_init::{PinInit, pin_data, pin_init, pinned_drop};

use crate::{
    AlreadyOwned, Irql,
    dispatcher::KernelObject,
    held::{self, Held},
    irql::{Apc, AtMost},
    nt,
};

/// Data behind a `FAST_MUTEX`.
///
/// | | |
/// |---|---|
/// | acquire | `<= APC_LEVEL`, leaves `APC_LEVEL` |
/// | release | restores the level that the mutex saved |
/// | APCs while owned | none is delivered, because of the level |
/// | recursion | a deadlock in the kernel; here it is refused |
/// | for | threads that share data for a short time and need no time-out |
///
/// Since Windows 8 a guarded mutex is the same thing by another name.
///
/// Pages: `ExInitializeFastMutex`, `ExAcquireFastMutex`, `ExTryToAcquireFastMutex`,
/// `ExReleaseFastMutex`, `ExAcquireFastMutexUnsafe`, `ExReleaseFastMutexUnsafe`.
///
/// ```
/// use wdk_sync::{FastMutex, NonPaged, current_irql};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let queue = NonPaged::pin_init(FastMutex::new([0u8; 4]))?;
/// queue.with(irql, |queue, irql| {
///     queue[0] = 1;
///     assert_eq!((irql.level(), current_irql()), (1, 1));
/// }).expect("not owned by this thread");
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[pin_data(PinnedDrop)]
pub struct FastMutex<T: ?Sized> {
    #[pin]
    raw: KernelObject<nt::FAST_MUTEX>,
    data: UnsafeCell<T>,
}

// SAFETY: The data is reached by the owner alone; handing it from owner to owner moves it between
// threads, which `T: Send` allows.
unsafe impl<T: ?Sized + Send> Sync for FastMutex<T> {}

impl<T> FastMutex<T> {
    /// An initialiser of a free fast mutex around `data`; see [`NonPaged`](crate::NonPaged).
    pub fn new(data: T) -> impl PinInit<Self> {
        pin_init!(Self {
            raw <- free_fast_mutex(),
            data: UnsafeCell::new(data),
        })
    }
}

/// What `ExInitializeFastMutex`, an inline function of the headers, does.
fn free_fast_mutex() -> impl PinInit<KernelObject<nt::FAST_MUTEX>> {
    let init = |mutex: *mut nt::FAST_MUTEX| {
        let free = nt::FAST_MUTEX {
            Count: FREE,
            ..Default::default()
        };
        // SAFETY: The place is valid for a FAST_MUTEX.
        unsafe { mutex.write(free) };
        // SAFETY: As above; its event is a member of it.
        let event = unsafe { &raw mut (*mutex).Event };
        let kind = nt::_EVENT_TYPE::SynchronizationEvent;
        // SAFETY: The event is resident where its mutex is.
        unsafe { nt::KeInitializeEvent(event, kind, nt::FALSE) };
    };
    // SAFETY: The closure writes the whole object.
    unsafe { KernelObject::new(init) }
}

/// `FAST_MUTEX.Count` of a mutex that nobody owns.
const FREE: i32 = 1;

impl<T: ?Sized> FastMutex<T> {
    /// Waits for the mutex and raises to `APC_LEVEL` until the guard is dropped.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `ExAcquireFastMutex`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread owns it: it would wait for itself.
    pub fn lock<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Result<FastMutexGuard<'a, T, Raising>, AlreadyOwned> {
        // Who owns it matters only to a thread that would wait, so that a free mutex costs one call.
        if !self.acquire_at_once(irql) {
            self.raw.refuse_owner()?;
            // SAFETY: The mutex is initialised and resident, and the token says that the IRQL is at
            // most APC_LEVEL.
            unsafe { nt::ExAcquireFastMutex(self.raw.get()) };
        }
        Ok(FastMutexGuard::new(self, Raising(())))
    }

    /// Acquires the mutex if it is free, and does not wait.
    ///
    /// IRQL: `<= APC_LEVEL`; unchanged if it was not acquired. Page: `ExTryToAcquireFastMutex`.
    pub fn try_lock<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Option<FastMutexGuard<'a, T, Raising>> {
        self.acquire_at_once(irql)
            .then(|| FastMutexGuard::new(self, Raising(())))
    }

    /// Waits for the mutex in code that is at `APC_LEVEL` already, and leaves the level alone;
    /// cheaper than [`lock`](Self::lock).
    ///
    /// IRQL: `APC_LEVEL`. The page allows a critical region at a lower level as well; Driver
    /// Verifier's rule does not, so this asks for the level.
    /// Page: `ExAcquireFastMutexUnsafe`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread owns it.
    pub fn lock_at_apc_level<'a>(
        &'a self,
        _irql: &'a mut Irql<'_, Apc>,
    ) -> Result<FastMutexGuard<'a, T, AtApcLevel>, AlreadyOwned> {
        self.raw.refuse_owner()?;
        // SAFETY: The mutex is initialised and resident, and the token says that the IRQL is
        // APC_LEVEL.
        unsafe { nt::ExAcquireFastMutexUnsafe(self.raw.get()) };
        Ok(FastMutexGuard::new(self, AtApcLevel(())))
    }

    /// Runs `f` with the data, at `APC_LEVEL`. Unlike a guard, this cannot be forgotten.
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
        unsafe { nt::ExTryToAcquireFastMutex(self.raw.get()) != 0 }
    }
}

impl KernelObject<nt::FAST_MUTEX> {
    /// Refuses if this thread owns the mutex.
    pub fn refuse_owner(&self) -> Result<(), AlreadyOwned> {
        // SAFETY: `Owner` is a member of the mutex, declared in `wdm.h`.
        let owner = unsafe { &raw const (*self.get()).Owner };
        // SAFETY: It holds a pointer, which is read whole while others change it. A thread sees
        // itself there exactly if it owns the mutex: nobody else writes its address.
        if unsafe { owner.read_volatile() }.cast() == nt::current_thread() {
            return Err(AlreadyOwned);
        }
        Ok(())
    }

    /// Stops the system unless the mutex is free, before it is dropped.
    pub fn require_free(&self, kind: Held) {
        // SAFETY: `Count` is a member of the mutex.
        let count = unsafe { &raw const (*self.get()).Count };
        // SAFETY: It holds an integer, and nobody changes it: the mutex is borrowed by nobody.
        if unsafe { count.read_volatile() } != FREE {
            held::stop(kind, self.get().cast());
        }
    }
}

#[pinned_drop]
impl<T: ?Sized> PinnedDrop for FastMutex<T> {
    fn drop(self: Pin<&mut Self>) {
        self.raw.require_free(Held::FastMutex);
    }
}

impl<T: ?Sized> fmt::Debug for FastMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FastMutex").finish_non_exhaustive()
    }
}

mod sealed {
    pub trait Sealed {}
}

/// How a fast mutex was acquired, and so how it is released: the two ways must not be mixed.
pub trait FastAcquisition: sealed::Sealed {
    /// Releases the mutex in the fitting way.
    ///
    /// # Safety
    ///
    /// The mutex was acquired in this way on this thread, is owned, and the IRQL is `APC_LEVEL`.
    #[doc(hidden)]
    unsafe fn release(&self, mutex: *mut nt::FAST_MUTEX);
}

/// Acquired with the level raised; the lock itself, or its queue handle, keeps the one before.
#[derive(Debug)]
pub struct Raising(pub(crate) ());

impl sealed::Sealed for Raising {}
impl FastAcquisition for Raising {
    unsafe fn release(&self, mutex: *mut nt::FAST_MUTEX) {
        // SAFETY: The caller owns the mutex, acquired by the function that this one belongs to.
        unsafe { nt::ExReleaseFastMutex(mutex) };
    }
}

/// Acquired at `APC_LEVEL`, which stays: the `Unsafe` form.
#[derive(Debug)]
pub struct AtApcLevel(pub(crate) ());

impl sealed::Sealed for AtApcLevel {}
impl FastAcquisition for AtApcLevel {
    unsafe fn release(&self, mutex: *mut nt::FAST_MUTEX) {
        // SAFETY: The caller owns the mutex, acquired by the function that this one belongs to.
        unsafe { nt::ExReleaseFastMutexUnsafe(mutex) };
    }
}

/// The data of a [`FastMutex`] while it is owned. Releases the mutex and restores the level when
/// dropped.
#[must_use = "the mutex is released as soon as the guard is dropped"]
pub struct FastMutexGuard<'a, T: ?Sized, A: FastAcquisition> {
    mutex: &'a FastMutex<T>,
    irql: Irql<'a, Apc>,
    acquisition: A,
}

// SAFETY: A shared guard gives out `&T` alone; its token is reached through `&mut`.
unsafe impl<T: ?Sized + Sync, A: FastAcquisition> Sync for FastMutexGuard<'_, T, A> {}

impl<'a, T: ?Sized, A: FastAcquisition> FastMutexGuard<'a, T, A> {
    const fn new(mutex: &'a FastMutex<T>, acquisition: A) -> Self {
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

impl<T: ?Sized, A: FastAcquisition> Deref for FastMutexGuard<'_, T, A> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The guard owns the mutex, so nothing else changes the data.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T: ?Sized, A: FastAcquisition> DerefMut for FastMutexGuard<'_, T, A> {
    fn deref_mut(&mut self) -> &mut T {
        self.parts().0
    }
}

impl<T: ?Sized, A: FastAcquisition> Drop for FastMutexGuard<'_, T, A> {
    fn drop(&mut self) {
        // SAFETY: The guard owns the mutex, acquired in the way that `acquisition` tells, and stayed
        // on its thread; whatever raised the level since borrowed its token and is gone.
        unsafe { self.acquisition.release(self.mutex.raw.get()) };
    }
}

impl<T: ?Sized + fmt::Debug, A: FastAcquisition> fmt::Debug for FastMutexGuard<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
