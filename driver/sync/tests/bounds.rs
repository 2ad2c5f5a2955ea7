//! Send and Sync, both ways: what may cross threads does, and what must not does not.
#![cfg(not(windows))]

use core::cell::Cell;

use static_assertions::{assert_impl_all, assert_not_impl_any};
use wdk_sync::{
    AtApcLevel, AtDpcLevel, CriticalRegion, Dirql, Dispatch, DpcControl, Event, ExTimer,
    ExclusiveGuard, FastMutex, FastMutexGuard, GuardedMutex, GuardedMutexGuard, GuardedRegion,
    HandedOver, HighResolution, Holding, InterlockedList, InterruptLock, Irql, ListNode, LockAny,
    Mutex, MutexGuard, MutexGuards, NonPaged, NonPagedArc, Passive, PushExclusiveGuard, PushLock,
    PushSharedGuard, QueueHandle, QueuedSpinLock, QueuedSpinLockGuard, Raised, Raising,
    RecursiveMutex, RecursiveMutexGuard, Resource, RunDown, Rundown, RundownGuard,
    RwExclusiveGuard, RwSharedGuard, RwSpinLock, SList, SListNodes, Semaphore, SharedGuard,
    SpinLock, SpinLockGuard, Thread, Wait, WaitableExTimer, WaitableTimer, WorkItemControl,
};

type NotSend = *mut u8;
type SendNotSync = Cell<u8>;

// A lock hands its data from thread to thread: it is shared if the data may be sent.
assert_impl_all!(SpinLock<SendNotSync>: Send, Sync);
assert_impl_all!(Mutex<SendNotSync>: Send, Sync);
assert_impl_all!(RecursiveMutex<SendNotSync>: Send, Sync);
assert_impl_all!(FastMutex<SendNotSync>: Send, Sync);
assert_impl_all!(QueuedSpinLock<SendNotSync>: Send, Sync);
assert_impl_all!(GuardedMutex<SendNotSync>: Send, Sync);
assert_impl_all!(InterlockedList<SendNotSync>: Send, Sync);
assert_impl_all!(InterruptLock<SendNotSync>: Send, Sync);
assert_not_impl_any!(InterruptLock<NotSend>: Send, Sync);
assert_impl_all!(SList<SendNotSync>: Send, Sync);
assert_impl_all!(SListNodes<SendNotSync>: Send);
assert_not_impl_any!(QueuedSpinLock<NotSend>: Send, Sync);
assert_not_impl_any!(GuardedMutex<NotSend>: Send, Sync);
assert_not_impl_any!(InterlockedList<NotSend>: Send, Sync);
assert_not_impl_any!(SList<NotSend>: Send, Sync);
assert_not_impl_any!(SListNodes<NotSend>: Send, Sync);
assert_not_impl_any!(SpinLock<NotSend>: Send, Sync);
assert_not_impl_any!(Mutex<NotSend>: Send, Sync);
assert_not_impl_any!(RecursiveMutex<NotSend>: Send, Sync);
assert_not_impl_any!(FastMutex<NotSend>: Send, Sync);

// Readers and users look at the data together: it must be Sync, too.
assert_impl_all!(Resource<u8>: Send, Sync);
assert_impl_all!(Resource<SendNotSync>: Send);
assert_not_impl_any!(Resource<SendNotSync>: Sync);
assert_not_impl_any!(Resource<NotSend>: Send, Sync);
assert_impl_all!(RwSpinLock<u8>: Send, Sync);
assert_not_impl_any!(RwSpinLock<SendNotSync>: Sync);
assert_not_impl_any!(RwSpinLock<NotSend>: Send, Sync);
assert_impl_all!(PushLock<u8>: Send, Sync);
assert_not_impl_any!(PushLock<SendNotSync>: Sync);
assert_not_impl_any!(PushLock<NotSend>: Send, Sync);
assert_impl_all!(Rundown<u8>: Send, Sync);
assert_not_impl_any!(Rundown<SendNotSync>: Sync);
assert_not_impl_any!(Rundown<NotSend>: Send, Sync);

// Guards are released by the thread that acquired; tokens speak of one thread. A guard that is shared
// shares its data and no more.
assert_not_impl_any!(Irql<'static, Passive>: Send, Sync);
assert_not_impl_any!(Irql<'static, Dispatch>: Send, Sync);
assert_not_impl_any!(Irql<'static, Dirql>: Send, Sync);
assert_not_impl_any!(CriticalRegion<'static, Passive>: Send, Sync);
assert_not_impl_any!(GuardedRegion<'static, Passive>: Send, Sync);
assert_not_impl_any!(QueueHandle: Send, Sync, Unpin);

/// Of guards of a `u8`, and of the same of data that is not `Sync`.
macro_rules! guards {
    ($($guard:ident<$($parameter:ty),*>;)*) => {$(
        assert_not_impl_any!($guard<'static, u8, $($parameter),*>: Send);
        assert_impl_all!($guard<'static, u8, $($parameter),*>: Sync);
        assert_not_impl_any!($guard<'static, SendNotSync, $($parameter),*>: Send, Sync);
    )*};
}

guards! {
    SpinLockGuard<Raised>;
    SpinLockGuard<AtDpcLevel>;
    QueuedSpinLockGuard<Raising>;
    QueuedSpinLockGuard<AtDpcLevel>;
    RwSharedGuard<Raised>;
    RwExclusiveGuard<Raised>;
    MutexGuard<Passive>;
    RecursiveMutexGuard<Passive>;
    FastMutexGuard<Raising>;
    FastMutexGuard<AtApcLevel>;
    GuardedMutexGuard<Raising>;
    SharedGuard<Passive>;
    ExclusiveGuard<Passive>;
    PushSharedGuard<Passive>;
    PushExclusiveGuard<Passive>;
}

assert_not_impl_any!(MutexGuards<'static, u8, Passive, 2>: Send);
assert_impl_all!(MutexGuards<'static, u8, Passive, 2>: Sync);
assert_not_impl_any!(MutexGuards<'static, SendNotSync, Passive, 2>: Sync);
assert_not_impl_any!(Wait<MutexGuard<'static, u8, Passive>>: Send);
assert_not_impl_any!(LockAny<MutexGuard<'static, u8, Passive>>: Send);

// What the kernel counts without an owner may be released by any thread.
assert_impl_all!(RundownGuard<'static, u8>: Send, Sync);
assert_impl_all!(RunDown<'static, u8>: Send, Sync);
assert_impl_all!(HandedOver<&'static Resource<u8>>: Send, Sync);
assert_not_impl_any!(RundownGuard<'static, SendNotSync>: Send, Sync);
assert_not_impl_any!(HandedOver<&'static Resource<SendNotSync>>: Send, Sync);

// Storage is as its content; waitable objects belong to nobody.
assert_impl_all!(NonPaged<Mutex<u8>>: Send, Sync);
assert_not_impl_any!(NonPaged<NotSend>: Send, Sync);
assert_impl_all!(NonPagedArc<Mutex<u8>>: Send, Sync);
assert_not_impl_any!(NonPagedArc<SendNotSync>: Send, Sync);
assert_not_impl_any!(NonPagedArc<NotSend>: Send, Sync);
assert_impl_all!(Event: Send, Sync);
assert_impl_all!(WaitableTimer: Send, Sync);
assert_impl_all!(WaitableExTimer: Send, Sync);
assert_impl_all!(ExTimer<u8, HighResolution>: Send, Sync);
assert_not_impl_any!(ExTimer<SendNotSync>: Sync);
assert_not_impl_any!(ExTimer<NotSend>: Send, Sync);
assert_impl_all!(Semaphore: Send, Sync);
assert_impl_all!(DpcControl: Send, Sync);
assert_impl_all!(WorkItemControl: Send, Sync);
assert_impl_all!(ListNode<SendNotSync>: Send);
assert_not_impl_any!(ListNode<SendNotSync>: Sync);
assert_not_impl_any!(ListNode<NotSend>: Send, Sync);
assert_impl_all!(Thread<u8>: Send, Sync);
assert_not_impl_any!(Thread<NotSend>: Send, Sync);

// A lock whose address the kernel knows is not to be moved.
assert_not_impl_any!(Mutex<u8>: Unpin);
assert_not_impl_any!(RecursiveMutex<u8>: Unpin);
assert_not_impl_any!(FastMutex<u8>: Unpin);
assert_not_impl_any!(Resource<u8>: Unpin);
assert_not_impl_any!(Event: Unpin);
assert_not_impl_any!(WaitableTimer: Unpin);
assert_not_impl_any!(ExTimer<u8>: Unpin);
assert_not_impl_any!(GuardedMutex<u8>: Unpin);
assert_not_impl_any!(PushLock<u8>: Unpin);
assert_not_impl_any!(Rundown<u8>: Unpin);
assert_not_impl_any!(Semaphore: Unpin);
assert_not_impl_any!(DpcControl: Unpin);
assert_not_impl_any!(WorkItemControl: Unpin);
assert_not_impl_any!(InterlockedList<u8>: Unpin);

wdk_sync::lock_ranks! { Ranked; }
assert_impl_all!(SpinLock<SendNotSync, Ranked>: Send, Sync);
assert_not_impl_any!(SpinLock<NotSend, Ranked>: Send, Sync);
assert_not_impl_any!(Irql<'static, Holding<Passive, Ranked>>: Send, Sync);

#[test]
fn a_rank_takes_no_room() {
    assert_eq!(size_of::<Irql<'static, Holding<Passive, Ranked>>>(), 0);
    assert_eq!(
        size_of::<SpinLock<u64, Ranked>>(),
        size_of::<SpinLock<u64>>()
    );
    assert_eq!(
        size_of::<SpinLockGuard<'static, u8, AtDpcLevel, Holding<Dispatch, Ranked>, Ranked>>(),
        size_of::<&u8>()
    );
}

#[test]
fn a_token_and_an_at_dpc_acquisition_take_no_room() {
    assert_eq!(size_of::<Irql<'static, Passive>>(), 0);
    assert_eq!(
        size_of::<SpinLockGuard<'static, u8, AtDpcLevel>>(),
        size_of::<&u8>(),
        "a guard that saves no IRQL is a pointer"
    );
    assert_eq!(
        size_of::<PushSharedGuard<'static, u8, Passive>>(),
        size_of::<&u8>()
    );
    assert_eq!(size_of::<RundownGuard<'static, u8>>(), size_of::<&u8>());
}
