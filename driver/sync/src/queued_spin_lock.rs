//! `KSPIN_LOCK` as a queued spin lock: the waiters spin each on a place of its own, in the order in
//! which they came.

use core::{
    cell::{Cell, UnsafeCell},
    fmt,
    marker::{PhantomData, PhantomPinned},
    mem::MaybeUninit,
    pin::Pin,
};

use crate::{
    AtDpcLevel, Before, Dispatch, Irql, Level, RaisedUnder, Raising, Rank, Unranked,
    guard::{Exclusive, Guard, Lock, Release, sealed::Sealed},
    held::{self, Held},
    irql::{At, AtMost},
    nt,
    track::How,
    word_lock::{Queued, WordLock},
};

/// Data behind an in-stack queued spin lock.
///
/// | | |
/// |---|---|
/// | acquire | `<= DISPATCH_LEVEL`, leaves `DISPATCH_LEVEL` |
/// | release | restores the level that the queue handle saved |
/// | recursion | a deadlock; the kernel's verifier reports it |
/// | fairness | first come, first served |
/// | for | what [`SpinLock`](crate::SpinLock) is for, where many processors want the lock at once |
///
/// Each acquisition needs a place for its `KLOCK_QUEUE_HANDLE`, which the next waiter writes to and
/// which must not move or go away before the lock is released. [`with`](Self::with) has it in its own
/// frame; for [`lock`](Self::lock) the caller pins a [`QueueHandle`].
///
/// A lock is acquired as a queued one or as an ordinary one, never as both, so this is a type of its
/// own. Like [`SpinLock`](crate::SpinLock) it is `const` and may be a `static`.
///
/// Pages: `KeAcquireInStackQueuedSpinLock`, `KeReleaseInStackQueuedSpinLock`,
/// `KeAcquireInStackQueuedSpinLockAtDpcLevel`, `KeReleaseInStackQueuedSpinLockFromDpcLevel`.
///
/// ```
/// use core::pin::pin;
/// use wdk_sync::{QueueHandle, QueuedSpinLock};
///
/// static HITS: QueuedSpinLock<u32> = QueuedSpinLock::new(0);
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// HITS.with(irql, |hits, _irql| *hits += 1);
///
/// let handle = pin!(QueueHandle::new());
/// let hits = HITS.lock(irql, handle);
/// assert_eq!(*hits, 1);
/// # });
/// ```
pub struct QueuedSpinLock<T: ?Sized, K = Unranked> {
    rank: PhantomData<K>,
    word: WordLock<Queued, T>,
}

// SAFETY: The data is reached by one holder at a time; handing it from holder to holder moves it
// between threads, which `T: Send` allows.
unsafe impl<T: ?Sized + Send, K> Sync for QueuedSpinLock<T, K> {}

impl<T> QueuedSpinLock<T> {
    /// A free lock around `data`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub const fn new(data: T) -> Self {
        Self::ranked(data)
    }
}

impl<T, K: Rank> QueuedSpinLock<T, K> {
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

impl<T: ?Sized, K: Rank> QueuedSpinLock<T, K> {
    /// Runs `f` with the data, at `DISPATCH_LEVEL`.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeAcquireInStackQueuedSpinLock`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn with<L: AtMost<Dispatch>, R>(
        &self,
        _irql: &mut Irql<'_, L>,
        f: impl FnOnce(&mut T, &mut Irql<'_, RaisedUnder<Dispatch, L, K>>) -> R,
    ) -> R
    where
        L::Held: Before<K>,
    {
        let mut handle = MaybeUninit::uninit();
        // SAFETY: The token says that the IRQL is low enough. The handle stays in this frame, where
        // it is until the guard is dropped, whatever `f` does: it gets no hold of the guard.
        let mut guard = unsafe { self.acquire(InFrame::<Raising>::at(&mut handle)) };
        let (data, irql) = guard.parts();
        f(data, irql)
    }

    /// Runs `f` with the data, in code that is at `DISPATCH_LEVEL` already; cheaper than
    /// [`with`](Self::with).
    ///
    /// IRQL: `DISPATCH_LEVEL`. Page: `KeAcquireInStackQueuedSpinLockAtDpcLevel`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn with_at_dpc_level<L: At<Dispatch>, R>(
        &self,
        _irql: &mut Irql<'_, L>,
        f: impl FnOnce(&mut T, &mut Irql<'_, RaisedUnder<Dispatch, L, K>>) -> R,
    ) -> R
    where
        L::Held: Before<K>,
    {
        let mut handle = MaybeUninit::uninit();
        // SAFETY: As in `with`; the token says that the IRQL is DISPATCH_LEVEL.
        let mut guard = unsafe { self.acquire(InFrame::<AtDpcLevel>::at(&mut handle)) };
        let (data, irql) = guard.parts();
        f(data, irql)
    }

    /// Acquires the lock with a handle of the caller's, and raises to `DISPATCH_LEVEL` until the
    /// guard is dropped.
    ///
    /// A handle that another acquisition uses, by a guard that was forgotten, is bug check 0xC4
    /// (0x100B).
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeAcquireInStackQueuedSpinLock`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn lock<'a, L: AtMost<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
        handle: Pin<&'a mut QueueHandle>,
    ) -> QueuedSpinLockGuard<'a, T, Raising, RaisedUnder<Dispatch, L, K>, K>
    where
        L::Held: Before<K>,
    {
        // SAFETY: The token says that the IRQL is low enough. The handle is pinned, so its memory stays
        // until it is dropped, and that stops the system while it is in use.
        unsafe { self.acquire(InUse::mark(handle)) }
    }

    /// Acquires the lock with a handle of the caller's, in code that is at `DISPATCH_LEVEL` already;
    /// cheaper than [`lock`](Self::lock).
    ///
    /// IRQL: `DISPATCH_LEVEL`. Page: `KeAcquireInStackQueuedSpinLockAtDpcLevel`.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn lock_at_dpc_level<'a, L: At<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
        handle: Pin<&'a mut QueueHandle>,
    ) -> QueuedSpinLockGuard<'a, T, AtDpcLevel, RaisedUnder<Dispatch, L, K>, K>
    where
        L::Held: Before<K>,
    {
        // SAFETY: As in `lock`; the token says that the IRQL is DISPATCH_LEVEL.
        unsafe { self.acquire(InUse::mark(handle)) }
    }

    /// The data, without the lock: whoever has the lock for itself has no need to take it.
    pub const fn get_mut(&mut self) -> &mut T {
        self.word.get_mut()
    }

    /// # Safety
    ///
    /// The IRQL fits the acquisition, which leaves `L`, and its handle is writable, used by nothing else, and stays
    /// where it is until the guard was dropped.
    #[inline]
    #[cfg_attr(feature = "_track", track_caller)]
    unsafe fn acquire<P: HandlePlace, L: Level>(
        &self,
        place: P,
    ) -> Guard<'_, Self, P, Exclusive, L> {
        let asked = self.word.acquiring(How::Exclusive);
        // SAFETY: The caller vouches for IRQL and handle.
        unsafe { P::Acquisition::acquire(self.word.raw(), place.handle()) };
        // SAFETY: It was acquired in this way, which leaves `L`.
        unsafe { Guard::new(self, place, asked.acquired()) }
    }
}

impl<T: ?Sized, K> Sealed for QueuedSpinLock<T, K> {}
impl<T: ?Sized, K> Lock for QueuedSpinLock<T, K> {
    type Data = T;

    #[inline]
    fn data(&self) -> &UnsafeCell<T> {
        self.word.data()
    }
}

impl<T: Default, K: Rank> Default for QueuedSpinLock<T, K> {
    fn default() -> Self {
        Self::ranked(T::default())
    }
}

impl<T: ?Sized, K> fmt::Debug for QueuedSpinLock<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueuedSpinLock").finish_non_exhaustive()
    }
}

/// A place for the `KLOCK_QUEUE_HANDLE` of one acquisition of a [`QueuedSpinLock`].
///
/// It is pinned while it is used: `let handle = pin!(QueueHandle::new());`. Other processors write to
/// it while they wait for the lock, so if it is dropped in use, because its guard was forgotten, that
/// is bug check 0xC4 (0x100B). One that could be moved is refused:
///
/// ```compile_fail,E0277
/// # use core::pin::Pin;
/// # use wdk_sync::{Irql, Passive, QueueHandle, QueuedSpinLock};
/// fn lock(lock: &QueuedSpinLock<u32>, irql: &mut Irql<'_, Passive>) {
///     let mut handle = QueueHandle::new();
///     let guard = lock.lock(irql, Pin::new(&mut handle));
/// }
/// ```
pub struct QueueHandle {
    raw: UnsafeCell<MaybeUninit<nt::KLOCK_QUEUE_HANDLE>>,
    in_use: Cell<bool>,
    _pinned: PhantomPinned,
}

impl QueueHandle {
    /// A handle that is not in use.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            raw: UnsafeCell::new(MaybeUninit::uninit()),
            in_use: Cell::new(false),
            _pinned: PhantomPinned,
        }
    }

    fn require_unused(&self) {
        if self.in_use.get() {
            held::stop(Held::QueuedSpinLock, self.raw.get().cast());
        }
    }
}

impl Default for QueueHandle {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for QueueHandle {
    fn drop(&mut self) {
        self.require_unused();
    }
}

impl fmt::Debug for QueueHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueHandle")
            .field("in_use", &self.in_use)
            .finish_non_exhaustive()
    }
}

/// How a queued spin lock was acquired, and so how it is released: [`Raising`] or [`AtDpcLevel`].
pub trait QueuedAcquisition: Copy + Sealed {
    /// Acquires the lock.
    ///
    /// # Safety
    ///
    /// The lock is initialised and the IRQL is `<= DISPATCH_LEVEL`, for [`AtDpcLevel`] that level
    /// exactly. The handle is writable, used by nothing else, and stays where it is until it was
    /// released.
    #[doc(hidden)]
    unsafe fn acquire(lock: *mut nt::KSPIN_LOCK, handle: *mut nt::KLOCK_QUEUE_HANDLE);

    /// Releases the lock.
    ///
    /// # Safety
    ///
    /// The lock was acquired in this way and with this handle on this processor, is held, and the
    /// IRQL is `DISPATCH_LEVEL`.
    #[doc(hidden)]
    unsafe fn release(handle: *mut nt::KLOCK_QUEUE_HANDLE);
}

impl QueuedAcquisition for Raising {
    #[inline]
    unsafe fn acquire(lock: *mut nt::KSPIN_LOCK, handle: *mut nt::KLOCK_QUEUE_HANDLE) {
        // SAFETY: This function has the same contract.
        unsafe { nt::KeAcquireInStackQueuedSpinLock(lock, handle) };
    }

    #[inline]
    unsafe fn release(handle: *mut nt::KLOCK_QUEUE_HANDLE) {
        // SAFETY: The caller holds the lock, acquired by the function that this one belongs to.
        unsafe { nt::KeReleaseInStackQueuedSpinLock(handle) };
    }
}

impl QueuedAcquisition for AtDpcLevel {
    #[inline]
    unsafe fn acquire(lock: *mut nt::KSPIN_LOCK, handle: *mut nt::KLOCK_QUEUE_HANDLE) {
        // SAFETY: This function has the same contract.
        unsafe { nt::KeAcquireInStackQueuedSpinLockAtDpcLevel(lock, handle) };
    }

    #[inline]
    unsafe fn release(handle: *mut nt::KLOCK_QUEUE_HANDLE) {
        // SAFETY: The caller holds the lock, acquired by the function that this one belongs to.
        unsafe { nt::KeReleaseInStackQueuedSpinLockFromDpcLevel(handle) };
    }
}

/// Where the queue handle of an acquisition is.
trait HandlePlace: Copy + Sealed {
    /// How the lock is acquired with it.
    type Acquisition: QueuedAcquisition;

    /// The handle, as the kernel's functions take it.
    fn handle(self) -> *mut nt::KLOCK_QUEUE_HANDLE;

    /// The lock was released with the handle.
    fn released(self);
}

impl<T: ?Sized, K, P: HandlePlace> Release<QueuedSpinLock<T, K>, Exclusive> for P {
    #[inline]
    unsafe fn release(self, _lock: &QueuedSpinLock<T, K>) {
        // SAFETY: The caller holds the lock, acquired in this way with this handle.
        unsafe { P::Acquisition::release(self.handle()) };
        self.released();
    }
}

/// A handle in the frame of a function of this module.
#[derive(Clone, Copy)]
struct InFrame<A> {
    handle: *mut nt::KLOCK_QUEUE_HANDLE,
    acquisition: PhantomData<A>,
}

impl<A> InFrame<A> {
    #[inline]
    const fn at(handle: &mut MaybeUninit<nt::KLOCK_QUEUE_HANDLE>) -> Self {
        Self {
            handle: handle.as_mut_ptr(),
            acquisition: PhantomData,
        }
    }
}

impl<A> Sealed for InFrame<A> {}
impl<A: QueuedAcquisition> HandlePlace for InFrame<A> {
    type Acquisition = A;

    #[inline]
    fn handle(self) -> *mut nt::KLOCK_QUEUE_HANDLE {
        self.handle
    }

    #[inline]
    fn released(self) {}
}

/// A [`QueueHandle`], in use until the lock is released.
#[derive(Clone, Copy, Debug)]
pub struct InUse<'a, A> {
    handle: &'a QueueHandle,
    acquisition: PhantomData<A>,
}

impl<'a, A> InUse<'a, A> {
    #[inline]
    fn mark(handle: Pin<&'a mut QueueHandle>) -> Self {
        let handle = Pin::get_ref(handle.into_ref());
        handle.require_unused();
        handle.in_use.set(true);
        Self {
            handle,
            acquisition: PhantomData,
        }
    }
}

impl<A> Sealed for InUse<'_, A> {}
impl<A: QueuedAcquisition> HandlePlace for InUse<'_, A> {
    type Acquisition = A;

    #[inline]
    fn handle(self) -> *mut nt::KLOCK_QUEUE_HANDLE {
        self.handle.raw.get().cast()
    }

    #[inline]
    fn released(self) {
        self.handle.in_use.set(false);
    }
}

/// The data of a [`QueuedSpinLock`] while it is held. Releases the lock and restores the level when
/// dropped.
pub type QueuedSpinLockGuard<'a, T, A, L = Dispatch, K = Unranked> =
    Guard<'a, QueuedSpinLock<T, K>, InUse<'a, A>, Exclusive, L>;
