//! KMUTEX, acquired by its owner as often as it likes.

use core::{cell::UnsafeCell, fmt, marker::PhantomData, pin::Pin};

use pinned_init::{PinInit, pin_data, pin_init, pinned_drop};

use crate::{
    Alertable, AlreadyOwned, Before, Irql, Level, Rank, Timeout, Under, Unranked, Wait, WaitStatus,
    dispatcher::KernelObject,
    guard::{Guard, Lock, Release, Shared, sealed::Sealed},
    irql::{Apc, At, AtMost, Dispatch},
    mutex::free_mutex,
    nt,
    track::{Acquiring, Class, How, Kind},
    wait::wait_for,
};

/// Data behind a `KMUTEX` that its owner may acquire again.
///
/// Several guards can be out at once, all on one thread, so they give `&T` and never `&mut T`: put a
/// [`core::cell::Cell`] or a [`core::cell::RefCell`] inside.
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
pub struct RecursiveMutex<T: ?Sized, K = Unranked> {
    class: Class,
    rank: PhantomData<K>,
    #[pin]
    raw: KernelObject<nt::KMUTEX>,
    data: UnsafeCell<T>,
}

// SAFETY: The data is reached by the owner alone: the guards give `&T` to one thread at a time, and to
// others only if `T: Sync`, as guards do; so `T: Send` is enough.
unsafe impl<T: ?Sized + Send, K> Sync for RecursiveMutex<T, K> {}

impl<T> RecursiveMutex<T> {
    /// An initialiser of a free mutex around `data`; see [`NonPaged`](crate::NonPaged).
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn new(data: T) -> impl PinInit<Self> {
        Self::ranked(data)
    }
}

impl<T, K: Rank> RecursiveMutex<T, K> {
    /// An initialiser of a free mutex of rank `K` around `data`; otherwise as [`new`](Self::new).
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn ranked(data: T) -> impl PinInit<Self> {
        let class = Class::new::<T>(Kind::RecursiveMutex);
        pin_init!(Self {
            class,
            rank: PhantomData,
            raw <- free_mutex(),
            data: UnsafeCell::new(data),
        })
    }
}

impl<T: ?Sized, K: Rank> RecursiveMutex<T, K> {
    /// How often one thread may own the mutex at a time: oftener than any stack is deep.
    pub const MAX_DEPTH: u32 = 1 << 16;

    /// Waits for the mutex for as long as it takes; the owner gets it at once.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] [`MAX_DEPTH`](Self::MAX_DEPTH) times.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn lock<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Result<RecursiveMutexGuard<'a, T, Under<L, K>, K>, AlreadyOwned>
    where
        L::Held: Before<K>,
    {
        self.wait(irql, Timeout::Never)
            .acquired()
            .ok_or(AlreadyOwned)
    }

    /// Waits for the mutex until the time-out.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn wait<'a, L: AtMost<Apc>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
        timeout: Timeout,
    ) -> Wait<RecursiveMutexGuard<'a, T, Under<L, K>, K>>
    where
        L::Held: Before<K>,
    {
        let asked = self.acquiring(if timeout == Timeout::ZERO {
            How::TryExclusive
        } else {
            How::Exclusive
        });
        // SAFETY: The mutex is initialised and resident, and the token says that the IRQL is at most
        // APC_LEVEL.
        let status = unsafe { wait_for(self.raw.get().cast(), timeout, Alertable::No) };
        self.guard(status, asked)
    }

    /// Acquires the mutex if it is free or owned by this thread, and does not wait.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn try_lock<'a, L: AtMost<Apc>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> Option<RecursiveMutexGuard<'a, T, Under<L, K>, K>>
    where
        L::Held: Before<K>,
    {
        // SAFETY: The token says that the IRQL is low enough.
        unsafe { self.acquire_at_once() }
    }

    /// As [`try_lock`](Self::try_lock), at `DISPATCH_LEVEL`.
    ///
    /// A DPC is the owner of what the thread owns that it interrupts, so it may come to data that this
    /// thread is in the middle of using: `T` must allow that as it must allow use by several threads.
    ///
    /// IRQL: `DISPATCH_LEVEL`. Page: `KeWaitForSingleObject`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn try_lock_at_dispatch_level<'a, L: At<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> Option<RecursiveMutexGuard<'a, T, Under<L, K>, K>>
    where
        T: Sync,
        L::Held: Before<K>,
    {
        // SAFETY: The token says that the IRQL is DISPATCH_LEVEL.
        unsafe { self.acquire_at_once() }
    }

    /// # Safety
    ///
    /// The IRQL is `L`, and at most `DISPATCH_LEVEL`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    unsafe fn acquire_at_once<L: Level>(&self) -> Option<RecursiveMutexGuard<'_, T, L, K>> {
        let asked = self.acquiring(How::TryExclusive);
        // SAFETY: The mutex is initialised and resident; with a time-out of zero any IRQL up to
        // DISPATCH_LEVEL will do.
        let status = unsafe { wait_for(self.raw.get().cast(), Timeout::ZERO, Alertable::No) };
        self.guard(status, asked).acquired()
    }

    /// Whether the mutex was free at some moment during the call.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeReadStateMutex`.
    pub fn is_free<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> bool {
        self.raw.is_free()
    }

    /// The address of the `KMUTEX`, for whoever looks at it in a debugger: what `dt nt!_KMUTANT` takes.
    #[must_use]
    pub fn address(&self) -> usize {
        self.raw.get().addr()
    }

    #[inline]
    fn guard<'a, L: Level>(
        &'a self,
        status: WaitStatus,
        asked: Acquiring<'a>,
    ) -> Wait<RecursiveMutexGuard<'a, T, L, K>> {
        match status {
            WaitStatus::Acquired if self.raw.depth() > Self::MAX_DEPTH => {
                // SAFETY: This thread has just acquired the mutex, and makes no guard of that.
                unsafe { self.raw.release() };
                Wait::AlreadyOwned
            }
            // SAFETY: This thread has acquired the mutex, and the guard releases that acquisition.
            WaitStatus::Acquired => Wait::Acquired(unsafe { self.take(asked) }),
            // SAFETY: As above. The guards of the owner that ended are gone with its stack.
            WaitStatus::Abandoned => Wait::Abandoned(unsafe { self.take(asked) }),
            WaitStatus::TimedOut => Wait::TimedOut,
            WaitStatus::Alerted => Wait::Alerted,
            WaitStatus::UserApc => Wait::UserApc,
        }
    }

    /// The mutex is about to be asked for.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    fn acquiring(&self, how: How) -> Acquiring<'_> {
        self.class.acquiring(self.raw.get().cast(), how)
    }

    /// The guard of an acquisition.
    ///
    /// # Safety
    ///
    /// This thread has acquired the mutex, no other guard is to release that acquisition, and the
    /// IRQL is `L`.
    #[inline]
    unsafe fn take<'a, L: Level>(
        &'a self,
        asked: Acquiring<'a>,
    ) -> RecursiveMutexGuard<'a, T, L, K> {
        // SAFETY: The caller vouches for it.
        unsafe { Guard::new(self, (), asked.acquired()) }
    }
}

#[pinned_drop]
impl<T: ?Sized, K> PinnedDrop for RecursiveMutex<T, K> {
    fn drop(self: Pin<&mut Self>) {
        self.raw.require_free();
    }
}

impl<T: ?Sized, K> fmt::Debug for RecursiveMutex<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecursiveMutex").finish_non_exhaustive()
    }
}

/// The data of a [`RecursiveMutex`] while it is owned. Releases one acquisition when dropped.
pub type RecursiveMutexGuard<'a, T, L, K = Unranked> =
    Guard<'a, RecursiveMutex<T, K>, (), Shared, L>;

impl<T: ?Sized, L: Level, K> RecursiveMutexGuard<'_, T, L, K> {
    /// How many guards its owner has of the mutex.
    #[must_use]
    pub fn depth(guard: &Self) -> u32 {
        guard.lock().raw.depth()
    }
}

impl<T: ?Sized, K> Sealed for RecursiveMutex<T, K> {}
impl<T: ?Sized, K> Lock for RecursiveMutex<T, K> {
    type Data = T;

    #[inline]
    fn data(&self) -> &UnsafeCell<T> {
        &self.data
    }
}

impl<T: ?Sized, K> Release<RecursiveMutex<T, K>, Shared> for () {
    #[inline]
    unsafe fn release(self, mutex: &RecursiveMutex<T, K>) {
        // SAFETY: The caller owns the mutex by the acquisition that it releases.
        unsafe { mutex.raw.release() };
    }
}
