//! KMUTEX: a mutex that is a dispatcher object, so that waits for it can time out.

use core::{
    cell::UnsafeCell,
    fmt,
    marker::PhantomData,
    pin::Pin,
    sync::atomic::{AtomicI32, Ordering},
};

use pinned_init::{PinInit, pin_data, pin_init, pinned_drop};

use crate::{
    Alertable, Before, Irql, Level, Rank, Timeout, Under, Unranked, WaitStatus,
    dispatcher::{KernelObject, is_waited_for},
    guard::{Exclusive, Guard, Lock, Release, sealed::Sealed},
    held::{self, Held},
    irql::{Apc, AtMost, Dispatch},
    nt,
    track::{Acquiring, Class, How, Kind},
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
pub struct Mutex<T: ?Sized, K = Unranked> {
    class: Class,
    rank: PhantomData<K>,
    #[pin]
    raw: KernelObject<nt::KMUTEX>,
    data: UnsafeCell<T>,
}

// SAFETY: The data is reached by the owner alone; handing it from owner to owner moves it between
// threads, which `T: Send` allows.
unsafe impl<T: ?Sized + Send, K> Sync for Mutex<T, K> {}

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
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn new(data: T) -> impl PinInit<Self> {
        Self::ranked(data)
    }
}

impl<T, K: Rank> Mutex<T, K> {
    /// An initialiser of a free mutex of rank `K` around `data`; otherwise as [`new`](Self::new).
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn ranked(data: T) -> impl PinInit<Self> {
        let class = Class::new::<T>(Kind::Mutex);
        pin_init!(Self {
            class,
            rank: PhantomData,
            raw <- free_mutex(),
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

impl<T: ?Sized, K: Rank> Mutex<T, K> {
    /// Waits for the mutex for as long as it takes.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread owns it.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn lock<'a, L: AtMost<Apc>>(
        &'a self,
        irql: &'a mut Irql<'_, L>,
    ) -> Result<MutexGuard<'a, T, Under<L, K>, K>, AlreadyOwned>
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
        irql: &'a mut Irql<'_, L>,
        timeout: Timeout,
    ) -> Wait<MutexGuard<'a, T, Under<L, K>, K>>
    where
        L::Held: Before<K>,
    {
        self.wait_alertable(irql, timeout, Alertable::No)
    }

    /// Waits for the mutex until the time-out or, if asked for, an alert.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeWaitForSingleObject`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn wait_alertable<'a, L: AtMost<Apc>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
        timeout: Timeout,
        alertable: Alertable,
    ) -> Wait<MutexGuard<'a, T, Under<L, K>, K>>
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
        let status = unsafe { wait_for(self.object(), timeout, alertable) };
        self.guard(status, asked)
    }

    /// Acquires the mutex if it is free, and does not wait.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`: a wait with a time-out of zero is allowed there.
    /// Page: `KeWaitForSingleObject`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn try_lock<'a, L: AtMost<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
    ) -> Option<MutexGuard<'a, T, Under<L, K>, K>>
    where
        L::Held: Before<K>,
    {
        let asked = self.acquiring(How::TryExclusive);
        // SAFETY: The mutex is initialised and resident; with a time-out of zero any IRQL up to
        // DISPATCH_LEVEL will do.
        let status = unsafe { wait_for(self.object(), Timeout::ZERO, Alertable::No) };
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

    /// Whether a thread waits for the mutex; an estimate by the time that it is read.
    ///
    /// The kernel has no function that tells: this looks whether the list of those who wait, a member
    /// that `wdm.h` declares, has an entry.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`.
    pub fn is_waited_for<L: AtMost<Dispatch>>(&self, _irql: &Irql<'_, L>) -> bool {
        // SAFETY: `Header` is a member of the mutex.
        let header = unsafe { &raw const (*self.raw.get()).Header };
        // SAFETY: The mutex is initialised and resident.
        unsafe { is_waited_for(header) }
    }

    /// Runs `f` with the data. Unlike a guard, this cannot be forgotten.
    ///
    /// IRQL: `<= APC_LEVEL`.
    ///
    /// # Errors
    ///
    /// [`AlreadyOwned`] if this thread owns it.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn with<L: AtMost<Apc>, R>(
        &self,
        irql: &mut Irql<'_, L>,
        f: impl FnOnce(&mut T, &mut Irql<'_, Under<L, K>>) -> R,
    ) -> Result<R, AlreadyOwned>
    where
        L::Held: Before<K>,
    {
        let mut guard = self.lock(irql)?;
        let (data, irql) = guard.parts();
        Ok(f(data, irql))
    }

    #[inline]
    fn guard<'a, L: Level>(
        &'a self,
        status: WaitStatus,
        asked: Acquiring<'a>,
    ) -> Wait<MutexGuard<'a, T, L, K>> {
        match status {
            // The kernel lets the owner in again. Its first guard still has the data.
            WaitStatus::Acquired if self.raw.depth() > 1 => {
                // SAFETY: This thread has just acquired the mutex, and makes no guard of that.
                unsafe { self.raw.release() };
                Wait::AlreadyOwned
            }
            // SAFETY: This thread has acquired the mutex, for the first time.
            WaitStatus::Acquired => Wait::Acquired(unsafe { self.take(asked) }),
            // SAFETY: As above: an abandoned mutex is owned by nobody.
            WaitStatus::Abandoned => Wait::Abandoned(unsafe { self.take(asked) }),
            WaitStatus::TimedOut => Wait::TimedOut,
            WaitStatus::Alerted => Wait::Alerted,
            WaitStatus::UserApc => Wait::UserApc,
        }
    }

    /// The mutex is about to be asked for.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub(crate) fn acquiring(&self, how: How) -> Acquiring<'_> {
        self.class.acquiring(self.raw.get().cast(), how)
    }

    /// The guard of an acquisition.
    ///
    /// # Safety
    ///
    /// This thread has acquired the mutex, there is no other guard of it, and the IRQL is `L`.
    #[inline]
    pub(crate) unsafe fn take<'a, L: Level>(
        &'a self,
        asked: Acquiring<'a>,
    ) -> MutexGuard<'a, T, L, K> {
        // SAFETY: The caller vouches for it.
        unsafe { Guard::new(self, (), asked.acquired()) }
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
}

impl KernelObject<nt::KMUTEX> {
    /// Whether the mutex was free at some moment during the call, at `IRQL <= DISPATCH_LEVEL`.
    pub fn is_free(&self) -> bool {
        // SAFETY: The mutex is initialised and resident.
        unsafe { nt::KeReadStateMutex(self.get()) == 1 }
    }

    /// How often its owner, this thread, has acquired the mutex.
    #[inline]
    pub fn depth(&self) -> u32 {
        // SAFETY: `Header.SignalState` is a member of the mutex, declared in `wdm.h`.
        let state = unsafe { &raw mut (*self.get()).Header.SignalState };
        // SAFETY: It holds an aligned integer, what KeReadStateMutex reads, which others read and change
        // whole.
        let state = unsafe { AtomicI32::from_ptr(state) };
        // 1 of a free mutex, and less by one for each acquisition.
        1_i32.abs_diff(state.load(Ordering::Relaxed))
    }

    /// Releases one acquisition of this thread.
    ///
    /// # Safety
    ///
    /// This thread has acquired the mutex and releases that acquisition once; so the kernel has no
    /// exception to raise.
    #[inline]
    pub unsafe fn release(&self) {
        // SAFETY: The caller vouches for the acquisition. `Wait` is FALSE.
        unsafe { nt::KeReleaseMutex(self.get(), nt::FALSE) };
    }

    /// Stops the system unless the mutex is free, before it is dropped.
    pub fn require_free(&self) {
        if !self.is_free() {
            held::stop(Held::Mutex, self.get().cast());
        }
    }
}

#[pinned_drop]
impl<T: ?Sized, K> PinnedDrop for Mutex<T, K> {
    fn drop(self: Pin<&mut Self>) {
        self.raw.require_free();
    }
}

impl<T: ?Sized, K> fmt::Debug for Mutex<T, K> {
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
pub type MutexGuard<'a, T, L, K = Unranked> = Guard<'a, Mutex<T, K>, (), Exclusive, L>;

impl<T: ?Sized, K> Sealed for Mutex<T, K> {}
impl<T: ?Sized, K> Lock for Mutex<T, K> {
    type Data = T;

    #[inline]
    fn data(&self) -> &UnsafeCell<T> {
        &self.data
    }
}

impl<T: ?Sized, K> Release<Mutex<T, K>, Exclusive> for () {
    #[inline]
    unsafe fn release(self, mutex: &Mutex<T, K>) {
        // SAFETY: The caller owns the mutex by one acquisition.
        unsafe { mutex.raw.release() };
    }
}
