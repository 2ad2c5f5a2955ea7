//! `FAST_MUTEX`: the cheap mutex for threads, which raises to `APC_LEVEL`.

use pinned_init::PinInit;

use crate::{
    Apc, Rank, Unranked,
    apc_mutex::{ApcMutex, ApcMutexGuard, FREE, Functions},
    dispatcher::KernelObject,
    guard::sealed::Sealed,
    held::Held,
    nt,
    track::Kind,
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
pub type FastMutex<T, K = Unranked> = ApcMutex<Fast, T, K>;

/// The data of a [`FastMutex`] while it is owned. Releases the mutex and restores the level when
/// dropped.
pub type FastMutexGuard<'a, T, A, L = Apc, K = Unranked> = ApcMutexGuard<'a, Fast, T, A, L, K>;

impl<T> FastMutex<T> {
    /// An initialiser of a free fast mutex around `data`; see [`NonPaged`](crate::NonPaged).
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn new(data: T) -> impl PinInit<Self> {
        Self::ranked(data)
    }
}

impl<T, K: Rank> FastMutex<T, K> {
    /// An initialiser of a free fast mutex of rank `K` around `data`; otherwise as [`new`](Self::new).
    #[cfg_attr(feature = "_track", track_caller)]
    pub fn ranked(data: T) -> impl PinInit<Self> {
        Self::around(free_fast_mutex(), data)
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

/// `ExAcquireFastMutex` and its like.
#[derive(Clone, Copy, Debug)]
pub enum Fast {}

impl Sealed for Fast {}
impl Functions for Fast {
    const NAME: &str = "FastMutex";
    const HELD: Held = Held::FastMutex;
    const KIND: Kind = Kind::FastMutex;

    #[inline]
    unsafe fn acquire(mutex: *mut nt::FAST_MUTEX) {
        // SAFETY: This function has the same contract.
        unsafe { nt::ExAcquireFastMutex(mutex) };
    }

    #[inline]
    unsafe fn try_acquire(mutex: *mut nt::FAST_MUTEX) -> nt::BOOLEAN {
        // SAFETY: This function has the same contract.
        unsafe { nt::ExTryToAcquireFastMutex(mutex) }
    }

    #[inline]
    unsafe fn release(mutex: *mut nt::FAST_MUTEX) {
        // SAFETY: This function has the same contract.
        unsafe { nt::ExReleaseFastMutex(mutex) };
    }

    #[inline]
    unsafe fn acquire_at_apc_level(mutex: *mut nt::FAST_MUTEX) {
        // SAFETY: This function has the same contract.
        unsafe { nt::ExAcquireFastMutexUnsafe(mutex) };
    }

    #[inline]
    unsafe fn release_at_apc_level(mutex: *mut nt::FAST_MUTEX) {
        // SAFETY: This function has the same contract.
        unsafe { nt::ExReleaseFastMutexUnsafe(mutex) };
    }
}
