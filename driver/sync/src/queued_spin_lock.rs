//! `KSPIN_LOCK` as a queued spin lock: the waiters spin each on a place of its own, in the order in
//! which they came.

use core::{
    cell::{Cell, UnsafeCell},
    fmt,
    marker::{PhantomData, PhantomPinned},
    mem::{ManuallyDrop, MaybeUninit},
    ops::{Deref, DerefMut},
    pin::Pin,
};

use crate::{
    AtDpcLevel, Dispatch, Irql, Raising,
    held::{self, Held},
    irql::AtMost,
    nt,
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
pub struct QueuedSpinLock<T: ?Sized> {
    raw: UnsafeCell<nt::KSPIN_LOCK>,
    data: UnsafeCell<T>,
}

// SAFETY: The data is reached by one holder at a time; handing it from holder to holder moves it
// between threads, which `T: Send` allows.
unsafe impl<T: ?Sized + Send> Sync for QueuedSpinLock<T> {}

impl<T> QueuedSpinLock<T> {
    /// A free lock around `data`.
    pub const fn new(data: T) -> Self {
        Self {
            raw: UnsafeCell::new(0),
            data: UnsafeCell::new(data),
        }
    }

    /// Takes the data out again.
    ///
    /// A lock that is still held, by a guard that was forgotten, is a bug check as in its drop.
    pub fn into_inner(self) -> T {
        self.check_free();
        let this = ManuallyDrop::new(self);
        // SAFETY: The lock was taken by value, so nothing borrows the data, and it is read once: the
        // lock is not dropped.
        unsafe { this.data.get().read() }
    }
}

impl<T: ?Sized> QueuedSpinLock<T> {
    /// Runs `f` with the data, at `DISPATCH_LEVEL`.
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeAcquireInStackQueuedSpinLock`.
    pub fn with<L: AtMost<Dispatch>, R>(
        &self,
        _irql: &mut Irql<'_, L>,
        f: impl FnOnce(&mut T, &mut Irql<'_, Dispatch>) -> R,
    ) -> R {
        let mut handle = MaybeUninit::uninit();
        // SAFETY: The token says that the IRQL is low enough. The handle stays in this frame, where
        // it is until `_hold` is dropped, whatever `f` does.
        let _hold = unsafe { Hold::<Raising>::new(self.raw.get(), handle.as_mut_ptr()) };
        // SAFETY: The lock is held, so nothing else reaches the data.
        let data = unsafe { &mut *self.data.get() };
        f(data, &mut Irql::new())
    }

    /// Runs `f` with the data, in code that is at `DISPATCH_LEVEL` already; cheaper than
    /// [`with`](Self::with).
    ///
    /// IRQL: `DISPATCH_LEVEL`. Page: `KeAcquireInStackQueuedSpinLockAtDpcLevel`.
    pub fn with_at_dpc_level<R>(
        &self,
        _irql: &mut Irql<'_, Dispatch>,
        f: impl FnOnce(&mut T, &mut Irql<'_, Dispatch>) -> R,
    ) -> R {
        let mut handle = MaybeUninit::uninit();
        // SAFETY: As in `with`; the token says that the IRQL is DISPATCH_LEVEL.
        let _hold = unsafe { Hold::<AtDpcLevel>::new(self.raw.get(), handle.as_mut_ptr()) };
        // SAFETY: The lock is held, so nothing else reaches the data.
        let data = unsafe { &mut *self.data.get() };
        f(data, &mut Irql::new())
    }

    /// Acquires the lock with a handle of the caller's, and raises to `DISPATCH_LEVEL` until the
    /// guard is dropped.
    ///
    /// A handle that another acquisition uses, by a guard that was forgotten, is bug check 0xC4
    /// (0x100B).
    ///
    /// IRQL: `<= DISPATCH_LEVEL`. Page: `KeAcquireInStackQueuedSpinLock`.
    pub fn lock<'a, L: AtMost<Dispatch>>(
        &'a self,
        _irql: &'a mut Irql<'_, L>,
        handle: Pin<&'a mut QueueHandle>,
    ) -> QueuedSpinLockGuard<'a, T, Raising> {
        // SAFETY: The token says that the IRQL is low enough.
        unsafe { self.acquire(handle) }
    }

    /// Acquires the lock with a handle of the caller's, in code that is at `DISPATCH_LEVEL` already;
    /// cheaper than [`lock`](Self::lock).
    ///
    /// IRQL: `DISPATCH_LEVEL`. Page: `KeAcquireInStackQueuedSpinLockAtDpcLevel`.
    pub fn lock_at_dpc_level<'a>(
        &'a self,
        _irql: &'a mut Irql<'_, Dispatch>,
        handle: Pin<&'a mut QueueHandle>,
    ) -> QueuedSpinLockGuard<'a, T, AtDpcLevel> {
        // SAFETY: The token says that the IRQL is DISPATCH_LEVEL.
        unsafe { self.acquire(handle) }
    }

    /// The data, without the lock: whoever has the lock for itself has no need to take it.
    pub const fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    /// # Safety
    ///
    /// The IRQL fits the acquisition `A`.
    unsafe fn acquire<'a, A: QueuedAcquisition>(
        &'a self,
        handle: Pin<&'a mut QueueHandle>,
    ) -> QueuedSpinLockGuard<'a, T, A> {
        let handle = Pin::get_ref(handle.into_ref());
        let in_use = InUse::mark(handle);
        // SAFETY: The caller vouches for the IRQL. The handle is pinned, so its memory stays until
        // it is dropped, and that stops the system while it is in use.
        let hold = unsafe { Hold::new(self.raw.get(), handle.raw.get().cast()) };
        QueuedSpinLockGuard {
            lock: self,
            irql: Irql::new(),
            _hold: hold,
            _in_use: in_use,
        }
    }

    fn check_free(&self) {
        // SAFETY: A `KSPIN_LOCK` is a number; the lock is borrowed by nobody else when it ends.
        if unsafe { self.raw.get().read() } != 0 {
            held::stop(Held::QueuedSpinLock, self.raw.get().cast());
        }
    }
}

impl<T: ?Sized> Drop for QueuedSpinLock<T> {
    fn drop(&mut self) {
        self.check_free();
    }
}

impl<T: Default> Default for QueuedSpinLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: ?Sized> fmt::Debug for QueuedSpinLock<T> {
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

/// The mark on a handle that an acquisition uses.
struct InUse<'a>(&'a QueueHandle);

impl<'a> InUse<'a> {
    fn mark(handle: &'a QueueHandle) -> Self {
        handle.require_unused();
        handle.in_use.set(true);
        Self(handle)
    }
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.0.in_use.set(false);
    }
}

mod sealed {
    pub trait Sealed {}
}

/// How a queued spin lock was acquired, and so how it is released: [`Raising`] or [`AtDpcLevel`].
pub trait QueuedAcquisition: sealed::Sealed {
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

impl sealed::Sealed for Raising {}
impl QueuedAcquisition for Raising {
    unsafe fn acquire(lock: *mut nt::KSPIN_LOCK, handle: *mut nt::KLOCK_QUEUE_HANDLE) {
        // SAFETY: This function has the same contract.
        unsafe { nt::KeAcquireInStackQueuedSpinLock(lock, handle) };
    }

    unsafe fn release(handle: *mut nt::KLOCK_QUEUE_HANDLE) {
        // SAFETY: The caller holds the lock, acquired by the function that this one belongs to.
        unsafe { nt::KeReleaseInStackQueuedSpinLock(handle) };
    }
}

impl sealed::Sealed for AtDpcLevel {}
impl QueuedAcquisition for AtDpcLevel {
    unsafe fn acquire(lock: *mut nt::KSPIN_LOCK, handle: *mut nt::KLOCK_QUEUE_HANDLE) {
        // SAFETY: This function has the same contract.
        unsafe { nt::KeAcquireInStackQueuedSpinLockAtDpcLevel(lock, handle) };
    }

    unsafe fn release(handle: *mut nt::KLOCK_QUEUE_HANDLE) {
        // SAFETY: The caller holds the lock, acquired by the function that this one belongs to.
        unsafe { nt::KeReleaseInStackQueuedSpinLockFromDpcLevel(handle) };
    }
}

/// An acquisition, released when dropped.
struct Hold<A: QueuedAcquisition> {
    handle: *mut nt::KLOCK_QUEUE_HANDLE,
    acquisition: PhantomData<A>,
}

impl<A: QueuedAcquisition> Hold<A> {
    /// # Safety
    ///
    /// As for [`QueuedAcquisition::acquire`]; and this is dropped on the same thread, at
    /// `DISPATCH_LEVEL`, before the handle goes away, or never.
    unsafe fn new(lock: *mut nt::KSPIN_LOCK, handle: *mut nt::KLOCK_QUEUE_HANDLE) -> Self {
        // SAFETY: This function has the same contract.
        unsafe { A::acquire(lock, handle) };
        Self {
            handle,
            acquisition: PhantomData,
        }
    }
}

impl<A: QueuedAcquisition> Drop for Hold<A> {
    fn drop(&mut self) {
        // SAFETY: The lock was acquired in this way with this handle, and the contract of `new` says
        // where this runs.
        unsafe { A::release(self.handle) };
    }
}

/// The data of a [`QueuedSpinLock`] while it is held. Releases the lock and restores the level when
/// dropped.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct QueuedSpinLockGuard<'a, T: ?Sized, A: QueuedAcquisition> {
    lock: &'a QueuedSpinLock<T>,
    irql: Irql<'a, Dispatch>,
    // Dropped in this order: the handle is in use until the lock is released.
    _hold: Hold<A>,
    _in_use: InUse<'a>,
}

// SAFETY: A shared guard gives out `&T` alone; its token is reached through `&mut`.
unsafe impl<T: ?Sized + Sync, A: QueuedAcquisition> Sync for QueuedSpinLockGuard<'_, T, A> {}

impl<'a, T: ?Sized, A: QueuedAcquisition> QueuedSpinLockGuard<'a, T, A> {
    /// The token of `DISPATCH_LEVEL`, for what is to be done under the lock.
    pub const fn irql(&mut self) -> &mut Irql<'a, Dispatch> {
        &mut self.irql
    }

    /// Data and token at once.
    pub const fn parts(&mut self) -> (&mut T, &mut Irql<'a, Dispatch>) {
        // SAFETY: The guard holds the lock, so nothing else reaches the data, and it is borrowed
        // through `&mut self`.
        let data = unsafe { &mut *self.lock.data.get() };
        (data, &mut self.irql)
    }
}

impl<T: ?Sized, A: QueuedAcquisition> Deref for QueuedSpinLockGuard<'_, T, A> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The guard holds the lock, so nothing else changes the data.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized, A: QueuedAcquisition> DerefMut for QueuedSpinLockGuard<'_, T, A> {
    fn deref_mut(&mut self) -> &mut T {
        self.parts().0
    }
}

impl<T: ?Sized + fmt::Debug, A: QueuedAcquisition> fmt::Debug for QueuedSpinLockGuard<'_, T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
