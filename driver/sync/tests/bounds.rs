//! Send and Sync, both ways: what may cross threads does, and what must not does not.

use core::cell::Cell;

use static_assertions::{assert_impl_all, assert_not_impl_any};
use wdk_sync::{
    AtDpcLevel, Dispatch, Event, ExclusiveGuard, FastMutex, FastMutexGuard, Irql, Mutex,
    MutexGuard, NonPaged, Passive, Raised, Raising, RecursiveMutex, RecursiveMutexGuard, Resource,
    SharedGuard, SpinLock, SpinLockGuard, Thread, WaitableTimer,
};

type NotSend = *mut u8;
type SendNotSync = Cell<u8>;

// A lock hands its data from thread to thread: it is shared if the data may be sent.
assert_impl_all!(SpinLock<SendNotSync>: Send, Sync);
assert_impl_all!(Mutex<SendNotSync>: Send, Sync);
assert_impl_all!(RecursiveMutex<SendNotSync>: Send, Sync);
assert_impl_all!(FastMutex<SendNotSync>: Send, Sync);
assert_not_impl_any!(SpinLock<NotSend>: Send, Sync);
assert_not_impl_any!(Mutex<NotSend>: Send, Sync);
assert_not_impl_any!(RecursiveMutex<NotSend>: Send, Sync);
assert_not_impl_any!(FastMutex<NotSend>: Send, Sync);

// Readers of an ERESOURCE look at the data together: it must be Sync, too.
assert_impl_all!(Resource<u8>: Send, Sync);
assert_impl_all!(Resource<SendNotSync>: Send);
assert_not_impl_any!(Resource<SendNotSync>: Sync);
assert_not_impl_any!(Resource<NotSend>: Send, Sync);

// Guards are released by the thread that acquired; tokens speak of one thread.
assert_not_impl_any!(Irql<'static, Passive>: Send, Sync);
assert_not_impl_any!(Irql<'static, Dispatch>: Send, Sync);
assert_not_impl_any!(SpinLockGuard<'static, u8, Raised>: Send);
assert_not_impl_any!(SpinLockGuard<'static, u8, AtDpcLevel>: Send);
assert_not_impl_any!(MutexGuard<'static, u8, Passive>: Send);
assert_not_impl_any!(RecursiveMutexGuard<'static, u8, Passive>: Send, Sync);
assert_not_impl_any!(FastMutexGuard<'static, u8, Raising>: Send);
assert_not_impl_any!(SharedGuard<'static, u8, Passive>: Send);
assert_not_impl_any!(ExclusiveGuard<'static, u8, Passive>: Send);
assert_impl_all!(SpinLockGuard<'static, u8, Raised>: Sync);
assert_impl_all!(MutexGuard<'static, u8, Passive>: Sync);
assert_not_impl_any!(SpinLockGuard<'static, SendNotSync, Raised>: Sync);
assert_not_impl_any!(MutexGuard<'static, SendNotSync, Passive>: Sync);

// Storage is as its content; waitable objects belong to nobody.
assert_impl_all!(NonPaged<Mutex<u8>>: Send, Sync);
assert_not_impl_any!(NonPaged<NotSend>: Send, Sync);
assert_impl_all!(Event: Send, Sync);
assert_impl_all!(WaitableTimer: Send, Sync);
assert_impl_all!(Thread<u8>: Send, Sync);
assert_not_impl_any!(Thread<NotSend>: Send, Sync);

// A lock whose address the kernel knows is not to be moved.
assert_not_impl_any!(Mutex<u8>: Unpin);
assert_not_impl_any!(RecursiveMutex<u8>: Unpin);
assert_not_impl_any!(FastMutex<u8>: Unpin);
assert_not_impl_any!(Resource<u8>: Unpin);
assert_not_impl_any!(Event: Unpin);
assert_not_impl_any!(WaitableTimer: Unpin);

#[test]
fn a_token_and_an_at_dpc_acquisition_take_no_room() {
    assert_eq!(size_of::<Irql<'static, Passive>>(), 0);
    assert_eq!(
        size_of::<SpinLockGuard<'static, u8, AtDpcLevel>>(),
        size_of::<&u8>(),
        "a guard that saves no IRQL is a pointer"
    );
}
