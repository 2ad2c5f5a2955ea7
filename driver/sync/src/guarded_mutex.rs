//! `KGUARDED_MUTEX`: since Windows 8 the fast mutex by another name.

use pinned_init::PinInit;

use crate::{
    Irql, Rank, Unranked,
    apc_mutex::{ApcMutex, ApcMutexGuard, Functions},
    dispatcher::KernelObject,
    guard::sealed::Sealed,
    held::Held,
    irql::{Apc, AtMost},
    nt,
    track::Kind,
};

/// Data behind a `KGUARDED_MUTEX`.
///
/// | | |
/// |---|---|
/// | acquire | `<= APC_LEVEL`, leaves `APC_LEVEL` (Windows 8 and later) |
/// | release | restores the level that the mutex saved |
/// | APCs while owned | none is delivered |
/// | recursion | a deadlock in the kernel; here it is refused |
/// | for | what [`FastMutex`](crate::FastMutex) is for, in drivers that use guarded mutexes |
///
/// Before Windows 8 a guarded mutex was of its own kind: it left the level alone and disabled APCs by
/// a guarded region. What its owner may do is the same.
///
/// Pages: `KeInitializeGuardedMutex`, `KeAcquireGuardedMutex`, `KeTryToAcquireGuardedMutex`,
/// `KeReleaseGuardedMutex`, `KeAcquireGuardedMutexUnsafe`, `KeReleaseGuardedMutexUnsafe`.
///
/// ```
/// use wdk_sync::{GuardedMutex, NonPaged, are_all_apcs_disabled};
///
/// # wdk_sync::testing::at_passive_level(|irql| {
/// let queue = NonPaged::pin_init(GuardedMutex::new(irql, [0u8; 4]))?;
/// queue.with(irql, |queue, irql| {
///     queue[0] = 1;
///     assert!(are_all_apcs_disabled(irql));
/// }).expect("not owned by this thread");
/// # Ok::<(), wdk_sync::Status>(())
/// # }).unwrap();
/// ```
pub type GuardedMutex<T, K = Unranked> = ApcMutex<Guarded, T, K>;

/// The data of a [`GuardedMutex`] while it is owned. Releases the mutex and lets APCs in again when
/// dropped.
pub type GuardedMutexGuard<'a, T, A, L = Apc, K = Unranked> =
    ApcMutexGuard<'a, Guarded, T, A, L, K>;

impl<T> GuardedMutex<T> {
    /// An initialiser of a free mutex around `data`; see [`NonPaged`](crate::NonPaged). It borrows
    /// the token, because the page asks for `<= APC_LEVEL`.
    ///
    /// IRQL: `<= APC_LEVEL`. Page: `KeInitializeGuardedMutex`.
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn new<L: AtMost<Apc>>(irql: &Irql<'_, L>, data: T) -> impl PinInit<Self> {
        Self::ranked(irql, data)
    }
}

impl<T, K: Rank> GuardedMutex<T, K> {
    /// An initialiser of a free mutex of rank `K` around `data`; otherwise as [`new`](Self::new).
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn ranked<L: AtMost<Apc>>(_irql: &Irql<'_, L>, data: T) -> impl PinInit<Self> {
        let init = |mutex: *mut nt::FAST_MUTEX| {
            // SAFETY: The place is valid for the mutex and resident.
            unsafe { nt::KeInitializeGuardedMutex(mutex.cast()) };
        };
        // SAFETY: KeInitializeGuardedMutex initialises the whole object.
        Self::around(unsafe { KernelObject::new(init) }, data)
    }
}

/// `KeAcquireGuardedMutex` and its like.
#[derive(Clone, Copy, Debug)]
pub enum Guarded {}

impl Sealed for Guarded {}
impl Functions for Guarded {
    const NAME: &str = "GuardedMutex";
    const HELD: Held = Held::GuardedMutex;
    const KIND: Kind = Kind::GuardedMutex;

    #[inline]
    unsafe fn acquire(mutex: *mut nt::FAST_MUTEX) {
        // SAFETY: This function has the same contract.
        unsafe { nt::KeAcquireGuardedMutex(mutex.cast()) };
    }

    #[inline]
    unsafe fn try_acquire(mutex: *mut nt::FAST_MUTEX) -> nt::BOOLEAN {
        // SAFETY: This function has the same contract.
        unsafe { nt::KeTryToAcquireGuardedMutex(mutex.cast()) }
    }

    #[inline]
    unsafe fn release(mutex: *mut nt::FAST_MUTEX) {
        // SAFETY: This function has the same contract.
        unsafe { nt::KeReleaseGuardedMutex(mutex.cast()) };
    }

    #[inline]
    unsafe fn acquire_at_apc_level(mutex: *mut nt::FAST_MUTEX) {
        // SAFETY: This function has the same contract.
        unsafe { nt::KeAcquireGuardedMutexUnsafe(mutex.cast()) };
    }

    #[inline]
    unsafe fn release_at_apc_level(mutex: *mut nt::FAST_MUTEX) {
        // SAFETY: This function has the same contract.
        unsafe { nt::KeReleaseGuardedMutexUnsafe(mutex.cast()) };
    }
}
