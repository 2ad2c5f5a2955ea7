//! With the features `lockdep` and `lock_stat` off, locks and guards are as large as what they are
//! for: the kernel's object, the data, and what a release needs. What has no room has no state, and
//! that there is no code for it either is for the disassembly of the driver to show.
#![cfg(not(any(feature = "lockdep", feature = "lock_stat")))]

use nthost::ntddk::{ERESOURCE, EX_PUSH_LOCK, EX_SPIN_LOCK, FAST_MUTEX, KMUTEX, KSPIN_LOCK};
use wdk_sync::{
    AtApcLevel, AtDpcLevel, ExclusiveGuard, FastMutex, FastMutexGuard, GuardedMutex,
    GuardedMutexGuard, Mutex, MutexGuard, Passive, PushExclusiveGuard, PushLock, PushSharedGuard,
    QueuedSpinLock, Raised, Raising, RecursiveMutex, RecursiveMutexGuard, Resource,
    RwExclusiveGuard, RwSharedGuard, RwSpinLock, SharedGuard, SpinLock, SpinLockGuard,
};

#[test]
fn a_lock_is_the_kernels_object_and_its_data() {
    assert_eq!(size_of::<SpinLock<()>>(), size_of::<KSPIN_LOCK>());
    assert_eq!(size_of::<QueuedSpinLock<()>>(), size_of::<KSPIN_LOCK>());
    assert_eq!(size_of::<RwSpinLock<()>>(), size_of::<EX_SPIN_LOCK>());
    assert_eq!(size_of::<FastMutex<()>>(), size_of::<FAST_MUTEX>());
    assert_eq!(size_of::<GuardedMutex<()>>(), size_of::<FAST_MUTEX>());
    assert_eq!(size_of::<PushLock<()>>(), size_of::<EX_PUSH_LOCK>());
    assert_eq!(size_of::<Mutex<()>>(), size_of::<KMUTEX>());
    assert_eq!(size_of::<RecursiveMutex<()>>(), size_of::<KMUTEX>());
    let flag = align_of::<ERESOURCE>();
    assert_eq!(
        size_of::<Resource<()>>(),
        size_of::<ERESOURCE>() + flag,
        "whether the exclusive owner has its guard"
    );
    assert_eq!(size_of::<SpinLock<u64>>(), size_of::<KSPIN_LOCK>() + 8);
}

#[test]
fn a_guard_is_a_reference_and_what_the_release_needs() {
    let reference = size_of::<&u8>();
    assert_eq!(size_of::<SpinLockGuard<'_, u8, AtDpcLevel>>(), reference);
    assert_eq!(size_of::<RwSharedGuard<'_, u8, AtDpcLevel>>(), reference);
    assert_eq!(size_of::<RwExclusiveGuard<'_, u8, AtDpcLevel>>(), reference);
    assert_eq!(size_of::<FastMutexGuard<'_, u8, Raising>>(), reference);
    assert_eq!(size_of::<FastMutexGuard<'_, u8, AtApcLevel>>(), reference);
    assert_eq!(size_of::<GuardedMutexGuard<'_, u8, Raising>>(), reference);
    assert_eq!(size_of::<MutexGuard<'_, u8, Passive>>(), reference);
    assert_eq!(size_of::<RecursiveMutexGuard<'_, u8, Passive>>(), reference);
    assert_eq!(size_of::<PushSharedGuard<'_, u8, Passive>>(), reference);
    assert_eq!(size_of::<PushExclusiveGuard<'_, u8, Passive>>(), reference);
    assert_eq!(size_of::<SharedGuard<'_, u8, Passive>>(), reference);
    assert_eq!(size_of::<ExclusiveGuard<'_, u8, Passive>>(), reference);
    // The IRQL to go back to.
    assert_eq!(size_of::<SpinLockGuard<'_, u8, Raised>>(), 2 * reference);
}
