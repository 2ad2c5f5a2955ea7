//! KMUTEX, acquired by its owner as often as it likes.

use core::{
    cell::{Cell, UnsafeCell},
    fmt,
    ops::Deref,
    pin::Pin,
};

use pinned_init::{PinInit, pin_data, pin_init, pinned_drop};

use crate::{
    Alertable, AlreadyOwned, Irql, Level, Timeout, Wait, WaitStatus,
    dispatcher::KernelObject,
    held::{self, Held},
    irql::{Apc, AtMost, Dispatch},
    mutex::free_mutex,
    nt,
    wait::wait_for,
};

/// Data behind a `KMUTEX` that its owner may acquire again.
///
/// Several guards can be out at once, all on one thread, so they give `&T` and never `&mut T`: put a
/// [`Cell`] or a [`core::cell::RefCell`] inside.
///
/// IRQL, APCs and pages: as for [`Mutex`](crate::Mutex). The kernel raises
/// `STATUS_MUTANT_LIMIT_EXCEEDED` past 2^31 acquisitions; here [`MAX_DEPTH`](Self::MAX_DEPTH)
/// comes first.
///
/// ```
/// use core::cell::Cell;
/// use wdk_sync::{NonPaged, RecursiveMutex, RecursiveMutexGuard};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let count = NonPaged::pin_init(RecursiveMutex::new(Cell::new(0)))?;
/// let mut outer = count.lock(irql).expect("far from the limit");
/// let (value, irql) = outer.parts();
/// value.set(1);
/// let inner = count.lock(irql).expect("the owner may come in again");
/// assert_eq!((inner.get(), RecursiveMutexGuard::depth(&inner)), (1, 2));
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
#[pin_data(PinnedDrop)]
pub struct RecursiveMutex<T: ?Sized> {
    #[pin]
    raw: KernelObject<nt::KMUTEX>,
    /// How many guards are out. Read and written by the owner alone.
    depth: Cell<u32>,
    data: UnsafeCell<T>,
}

// SAFETY: `data` and `depth` are reached by the owner alone: the guards give `&T` to one thread at a
// time, which `T: Send` allows.
unsafe impl<T: ?Sized + Send> Sync for RecursiveMutex<T> {}

impl<T> RecursiveMutex<T> {
    /// An initialiser of a free mutex around `data`; see [`NonPaged`](crate::NonPaged).
    pub fn new(data: T) -> impl PinInit<Self> {
        pin_init!(Self {
            raw <- free_mutex(),
            depth: Cell::new(0),
            data: UnsafeCell::new(data),
        })
    }
}

impl<T: ?Sized> RecursiveMutex<T> {
    /// How often one thread may own the mutex at a time.
    pub const MAX_DEPTH: u32 = 1 << 30;

    /// Waits for the mutex for as long as it takes; the owner gets it at once.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] [`MAX_DEPTH`](Self::MAX_DEPTH) times.
    pub fn lock<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Result<RecursiveMutexGuard<'a, T, L>, AlreadyOwned> {
        self.wait(irql, Timeout::Never)
            .acquired()
            .ok_or(AlreadyOwned)
    }

    /// Waits for the mutex until the time-out.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    pub fn wait<'a, L: AtMost<Apc>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
        timeout: Timeout,
    ) -> Wait<RecursiveMutexGuard<'a, T, L>> {
        // SAFETY: The mutex is initialised and resident, and the token says that the IRQL is at most
        // APC_LEVEL.
        self.guard(unsafe { wait_for(self.raw.get().cast(), timeout, Alertable::No) })
    }

    /// Acquires the mutex if it is free or owned by this thread, and does not wait.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeWaitForSingleObject`.
    pub fn try_lock<'a, L: AtMost<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> Option<RecursiveMutexGuard<'a, T, L>> {
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

    fn guard<L: Level>(&self, status: WaitStatus) -> Wait<RecursiveMutexGuard<'_, T, L>> {
        match status {
            WaitStatus::Acquired if self.depth.get() >= Self::MAX_DEPTH => {
                self.release();
                Wait::AlreadyOwned
            }
            WaitStatus::Acquired => {
                self.depth.set(self.depth.get() + 1);
                Wait::Acquired(RecursiveMutexGuard {
                    mutex: self,
                    irql: Irql::new(),
                })
            }
            WaitStatus::Abandoned => {
                // The guards of the owner that ended are gone with its stack.
                self.depth.set(1);
                Wait::Abandoned(RecursiveMutexGuard {
                    mutex: self,
                    irql: Irql::new(),
                })
            }
            WaitStatus::TimedOut => Wait::TimedOut,
            WaitStatus::Alerted => Wait::Alerted,
            WaitStatus::UserApc => Wait::UserApc,
        }
    }

    /// Releases one acquisition of this thread.
    fn release(&self) {
        // SAFETY: Private to the places that have acquired on this thread and release once; so the
        // kernel has no exception to raise. `Wait` is FALSE.
        unsafe { nt::KeReleaseMutex(self.raw.get(), nt::FALSE) };
    }
}

#[pinned_drop]
impl<T: ?Sized> PinnedDrop for RecursiveMutex<T> {
    fn drop(self: Pin<&mut Self>) {
        if self.depth.get() != 0 {
            held::stop(Held::Mutex, self.raw.get().cast());
        }
    }
}

impl<T: ?Sized> fmt::Debug for RecursiveMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecursiveMutex").finish_non_exhaustive()
    }
}

/// The data of a [`RecursiveMutex`] while it is owned. Releases one acquisition when dropped.
#[must_use = "the mutex is released as soon as the guard is dropped"]
pub struct RecursiveMutexGuard<'a, T: ?Sized, L: Level> {
    mutex: &'a RecursiveMutex<T>,
    irql: Irql<'a, L>,
}

impl<'a, T: ?Sized, L: Level> RecursiveMutexGuard<'a, T, L> {
    /// How many guards this thread has of the mutex.
    #[must_use]
    pub const fn depth(guard: &Self) -> u32 {
        guard.mutex.depth.get()
    }

    /// The token, for what is to be done under the lock.
    pub const fn irql(&mut self) -> &mut Irql<'a, L> {
        &mut self.irql
    }

    /// Data and token at once.
    pub const fn parts(&mut self) -> (&T, &mut Irql<'a, L>) {
        // SAFETY: The owner's guards share the data on one thread.
        let data = unsafe { &*self.mutex.data.get() };
        (data, &mut self.irql)
    }
}

impl<T: ?Sized, L: Level> Deref for RecursiveMutexGuard<'_, T, L> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The owner's guards share the data on one thread.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T: ?Sized, L: Level> Drop for RecursiveMutexGuard<'_, T, L> {
    fn drop(&mut self) {
        self.mutex.depth.set(self.mutex.depth.get() - 1);
        self.mutex.release();
    }
}

impl<T: ?Sized + fmt::Debug, L: Level> fmt::Debug for RecursiveMutexGuard<'_, T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
