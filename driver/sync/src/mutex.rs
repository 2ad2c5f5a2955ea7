//! KMUTEX: a mutex that is a dispatcher object, so that waits for it can time out.

use core::{
    cell::{Cell, UnsafeCell},
    fmt,
    ops::{Deref, DerefMut},
    pin::Pin,
};

use pinned_init::{PinInit, pin_data, pin_init, pinned_drop};

use crate::{
    Alertable, Irql, Level, Timeout, WaitStatus,
    dispatcher::KernelObject,
    held::{self, Held},
    irql::{Apc, AtMost, Dispatch},
    nt,
    wait::wait_for,
};

/// Data behind a `KMUTEX`, for one owner at a time.
///
/// | | |
/// |---|---|
/// | acquire | `<= APC_LEVEL`; a try at `<= DISPATCH_LEVEL` |
/// | IRQL while owned | unchanged |
/// | APCs while owned | normal kernel APCs and user APCs are off |
/// | recursion | the kernel allows it; here it is refused, since it would alias the data |
/// | for | threads that must be able to give up waiting, or that wait for several objects |
///
/// For recursion, [`RecursiveMutex`](crate::RecursiveMutex); where neither time-outs nor waits for
/// several objects are needed, [`FastMutex`](crate::FastMutex) is cheaper.
///
/// A thread that ends while it owns a `KMUTEX` stops the system, so forgetting a guard is no way to
/// keep one. A mutex that is dropped while it is owned is bug check 0xC4 (0x100B).
///
/// Pages: `KeInitializeMutex`, `KeWaitForSingleObject`, `KeReleaseMutex`, `KeReadStateMutex`.
///
/// ```
/// use core::time::Duration;
/// use wdk_sync::{Mutex, NonPaged, Timeout, Wait};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let table = NonPaged::pin_init(Mutex::new([0u32; 16]))?;
/// match table.wait(irql, Timeout::After(Duration::from_millis(50))) {
///     Wait::Acquired(mut table) => table[3] = 7,
///     other => panic!("{other:?}"),
/// }
/// assert_eq!(table.lock(irql).expect("owned by nobody")[3], 7);
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[pin_data(PinnedDrop)]
pub struct Mutex<T: ?Sized> {
    #[pin]
    raw: KernelObject<nt::KMUTEX>,
    /// Whether a guard is out. Read and written by the owner alone.
    owned: Cell<bool>,
    data: UnsafeCell<T>,
}

// SAFETY: `data` and `owned` are reached by the owner alone; handing the data from owner to owner
// moves it between threads, which `T: Send` allows.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

/// How a wait for a mutex ended.
#[derive(Debug)]
#[must_use = "the mutex is released at once if the guard is dropped"]
pub enum Wait<G> {
    /// The mutex is owned now.
    Acquired(G),
    /// The mutex is owned now, and its last owner ended without releasing it: the data may be in the
    /// middle of a change.
    Abandoned(G),
    /// The time ran out.
    TimedOut,
    /// The wait was alertable, and the thread was alerted.
    Alerted,
    /// The wait ended for a user APC.
    UserApc,
    /// This thread owns the mutex already ([`RecursiveMutex`](crate::RecursiveMutex): too many
    /// times).
    AlreadyOwned,
}

impl<G> Wait<G> {
    /// The guard, if the mutex was acquired, abandoned or not.
    pub fn acquired(self) -> Option<G> {
        match self {
            Self::Acquired(guard) | Self::Abandoned(guard) => Some(guard),
            Self::TimedOut | Self::Alerted | Self::UserApc | Self::AlreadyOwned => None,
        }
    }
}

/// The mutex is owned by the thread that asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyOwned;

impl fmt::Display for AlreadyOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lock is already owned by this thread; drop its guard before locking again")
    }
}

impl core::error::Error for AlreadyOwned {}

impl<T> Mutex<T> {
    /// An initialiser of a free mutex around `data`; see [`NonPaged`](crate::NonPaged).
    pub fn new(data: T) -> impl PinInit<Self> {
        pin_init!(Self {
            raw <- free_mutex(),
            owned: Cell::new(false),
            data: UnsafeCell::new(data),
        })
    }
}

/// An initialiser of a free `KMUTEX`.
pub fn free_mutex() -> impl PinInit<KernelObject<nt::KMUTEX>> {
    let init = |mutex| {
        // SAFETY: The place is valid for a KMUTEX and resident, as the initialisers of this crate
        // ask of storage. The second argument is reserved.
        unsafe { nt::KeInitializeMutex(mutex, 0) };
    };
    // SAFETY: KeInitializeMutex initialises the whole object.
    unsafe { KernelObject::new(init) }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the mutex for as long as it takes.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread owns it.
    pub fn lock<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Result<MutexGuard<'a, T, L>, AlreadyOwned> {
        self.wait(irql, Timeout::Never)
            .acquired()
            .ok_or(AlreadyOwned)
    }

    /// Waits for the mutex until the time-out.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    pub fn wait<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
        timeout: Timeout,
    ) -> Wait<MutexGuard<'a, T, L>> {
        self.wait_alertable(irql, timeout, Alertable::No)
    }

    /// Waits for the mutex until the time-out or, if asked for, an alert.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    pub fn wait_alertable<'a, L: AtMost<Apc>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
        timeout: Timeout,
        alertable: Alertable,
    ) -> Wait<MutexGuard<'a, T, L>> {
        // SAFETY: The mutex is initialised and resident, and the token says that the IRQL is at most
        // APC_LEVEL.
        self.guard(unsafe { wait_for(self.raw.get().cast(), timeout, alertable) })
    }

    /// Acquires the mutex if it is free, and does not wait.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`: a wait with a time-out of zero is allowed there.
    /// Page: `KeWaitForSingleObject`.
    pub fn try_lock<'a, L: AtMost<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> Option<MutexGuard<'a, T, L>> {
        // SAFETY: The mutex is initialised and resident; with a time-out of zero any IRQL up to
        // DISPATCH_LEVEL will do.
        let status = unsafe { wait_for(self.raw.get().cast(), Timeout::ZERO, Alertable::No) };
        self.guard(status).acquired()
    }

    /// Whether the mutex was free at some moment during the call.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeReadStateMutex`.
    pub fn is_free<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> bool {
        // SAFETY: The mutex is initialised and resident.
        unsafe { nt::KeReadStateMutex(self.raw.get()) == 1 }
    }

    /// Runs `f` with the data. Unlike a guard, this cannot be forgotten.
    ///
    /// IRQL: `<= APC_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread owns it.
    pub fn with<L: AtMost<Apc>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&mut T, &mut Irql<'_, L>) -> R,
    ) -> Result<R, AlreadyOwned> {
        let mut guard = self.lock(irql)?;
        let (data, irql) = guard.parts();
        Ok(f(data, irql))
    }

    fn guard<L: Level>(&self, status: WaitStatus) -> Wait<MutexGuard<'_, T, L>> {
        match status {
            // The kernel lets the owner in again. Its first guard still has the data.
            WaitStatus::Acquired if self.owned.get() => {
                self.release();
                Wait::AlreadyOwned
            }
            WaitStatus::Acquired => Wait::Acquired(self.take()),
            WaitStatus::Abandoned => Wait::Abandoned(self.take()),
            WaitStatus::TimedOut => Wait::TimedOut,
            WaitStatus::Alerted => Wait::Alerted,
            WaitStatus::UserApc => Wait::UserApc,
        }
    }

    /// The guard of an acquisition by this thread.
    pub(crate) fn take<L: Level>(&self) -> MutexGuard<'_, T, L> {
        self.owned.set(true);
        MutexGuard {
            mutex: self,
            irql: Irql::new(),
        }
    }

    /// The mutex, as `KeWaitForXxx` take it.
    pub(crate) const fn object(&self) -> nt::PVOID {
        self.raw.get().cast()
    }

    /// Whether this thread owns the mutex.
    pub(crate) fn is_owned_by_this_thread(&self) -> bool {
        // SAFETY: `OwnerThread` is a member of the mutex, declared in `wdm.h`.
        let owner = unsafe { &raw const (*self.raw.get()).OwnerThread };
        // SAFETY: It holds a pointer, which is read whole while others change it. A thread sees
        // itself there exactly if it owns the mutex: nobody else writes its address.
        unsafe { owner.read_volatile() }.cast() == nt::current_thread()
    }

    /// Releases one acquisition of this thread.
    fn release(&self) {
        // SAFETY: Private to the places that have acquired on this thread and release once; so the
        // kernel has no exception to raise. `Wait` is FALSE.
        unsafe { nt::KeReleaseMutex(self.raw.get(), nt::FALSE) };
    }
}

#[pinned_drop]
impl<T: ?Sized> PinnedDrop for Mutex<T> {
    fn drop(self: Pin<&mut Self>) {
        if self.owned.get() {
            held::stop(Held::Mutex, self.raw.get().cast());
        }
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

/// The data of a [`Mutex`] while it is owned. Releases the mutex when dropped.
///
/// The kernel raises an exception if another thread than the owner releases, so a guard stays on its
/// thread:
///
/// ```compile_fail,E0277
/// # use wdk_sync::{Irql, Mutex, Passive};
/// fn send(mutex: &Mutex<u32>, irql: &mut Irql<'_, Passive>) {
///     let guard = mutex.lock(irql).unwrap();
///     std::thread::scope(|scope| {
///         scope.spawn(move || drop(guard));
///     });
/// }
/// ```
#[must_use = "the mutex is released as soon as the guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized, L: Level> {
    mutex: &'a Mutex<T>,
    irql: Irql<'a, L>,
}

// SAFETY: A shared guard gives out `&T` alone; its token is reached through `&mut`.
unsafe impl<T: ?Sized + Sync, L: Level> Sync for MutexGuard<'_, T, L> {}

impl<'a, T: ?Sized, L: Level> MutexGuard<'a, T, L> {
    /// The token, for what is to be done under the lock.
    pub const fn irql(&mut self) -> &mut Irql<'a, L> {
        &mut self.irql
    }

    /// Data and token at once.
    pub const fn parts(&mut self) -> (&mut T, &mut Irql<'a, L>) {
        // SAFETY: This is the only guard, so nothing else reaches the data, and it is borrowed
        // through `&mut self`.
        let data = unsafe { &mut *self.mutex.data.get() };
        (data, &mut self.irql)
    }
}

impl<T: ?Sized, L: Level> Deref for MutexGuard<'_, T, L> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: This is the only guard, so nothing else changes the data.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T: ?Sized, L: Level> DerefMut for MutexGuard<'_, T, L> {
    fn deref_mut(&mut self) -> &mut T {
        self.parts().0
    }
}

impl<T: ?Sized, L: Level> Drop for MutexGuard<'_, T, L> {
    fn drop(&mut self) {
        self.mutex.owned.set(false);
        self.mutex.release();
    }
}

impl<T: ?Sized + fmt::Debug, L: Level> fmt::Debug for MutexGuard<'_, T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
