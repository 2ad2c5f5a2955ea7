//! `WDFSPINLOCK` and `WDFWAITLOCK`.

use crate::abi::{
    WDF_DRIVER_GLOBALS, WDF_OBJECT_ATTRIBUTES, WDFOBJECT, WDFSPINLOCK, WDFWAITLOCK, bugcheck,
};
use crate::kernel::{
    KERNEL_MODE, KeAcquireSpinLockRaiseToDpc, KeEnterCriticalRegion, KeInitializeEvent,
    KeLeaveCriticalRegion, KeReleaseSpinLock, KeSetEvent, KeWaitForSingleObject, NoMemory, print,
    this_thread, try_box,
};
use crate::object::{Body, create_simple, lookup};
use crate::violation;
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use nt_abi::{
    _EVENT_TYPE, _KWAIT_REASON, FALSE, KEVENT, KSPIN_LOCK, LARGE_INTEGER, LONGLONG, NTSTATUS,
    STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS, TRUE,
};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// The thread that holds a lock, and the check that it is the one to release it.
pub struct Holder(AtomicUsize);

impl Holder {
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Whether the calling thread is the one.
    pub fn is_this_thread(&self) -> bool {
        self.0.load(Ordering::Relaxed) == this_thread()
    }

    /// Stops the system where waiting would be forever.
    pub fn refuse_recursion(&self, lock: WDFOBJECT) {
        /// `WDF_RECURSIVE_LOCK`.
        const RECURSIVE: u64 = 0x2;
        if self.is_this_thread() {
            print(
                c"WDF_VIOLATION: lock %p is acquired again by the thread that holds it\n",
                lock.0,
            );
            violation::stop(RECURSIVE, lock.0 as u64, 0);
        }
    }

    pub fn taken(&self) {
        self.0.store(this_thread(), Ordering::Relaxed);
    }

    /// Stops the system when another thread, or none, holds the lock. `kind` is the third parameter of
    /// the bug check.
    pub fn given_up(&self, lock: WDFOBJECT, kind: u64) {
        if self.0.swap(0, Ordering::Relaxed) != this_thread() {
            print(
                c"WDF_VIOLATION: lock %p is released by a thread that does not hold it\n",
                lock.0,
            );
            violation::stop(bugcheck::WDF_INVALID_LOCK_OPERATION, lock.0 as u64, kind);
        }
    }
}

/// A framework spin lock object.
pub struct SpinLockObject {
    lock: UnsafeCell<KSPIN_LOCK>,
    /// The IRQL to go back to, while the lock is held.
    irql: AtomicU8,
    holder: Holder,
}

// SAFETY: The lock word is only passed to the kernel's spin lock functions.
unsafe impl Sync for SpinLockObject {}

impl SpinLockObject {
    /// The kernel's lock, for an interrupt that is synchronized by it.
    pub const fn kernel_lock(&self) -> *mut KSPIN_LOCK {
        self.lock.get()
    }
}

/// `WdfSpinLockCreate`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfSpinLockCreate(
    DriverGlobals: Globals,
    SpinLockAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    SpinLock: *mut WDFSPINLOCK,
) -> NTSTATUS {
    if SpinLock.is_null() {
        violation::null_parameter(c"WdfSpinLockCreate");
    }
    let body = Body::SpinLock(SpinLockObject {
        lock: UnsafeCell::new(0),
        irql: AtomicU8::new(0),
        holder: Holder::new(),
    });
    // SAFETY: The client's pointers, passed on.
    unsafe { create_simple(DriverGlobals, body, SpinLockAttributes, SpinLock) }
}

/// `WdfSpinLockAcquire`. IRQL <= `DISPATCH_LEVEL`; `DISPATCH_LEVEL` afterwards.
pub unsafe extern "win64" fn WdfSpinLockAcquire(_: Globals, SpinLock: WDFSPINLOCK) {
    let lock = lookup::<SpinLockObject>(SpinLock);
    lock.holder.refuse_recursion(SpinLock);
    // SAFETY: The object is alive; the caller is at or below `DISPATCH_LEVEL`.
    let irql = unsafe { KeAcquireSpinLockRaiseToDpc(lock.lock.get()) };
    lock.irql.store(irql, Ordering::Relaxed);
    lock.holder.taken();
}

/// `WdfSpinLockRelease`. IRQL `DISPATCH_LEVEL`; what it was before the acquisition afterwards.
pub unsafe extern "win64" fn WdfSpinLockRelease(_: Globals, SpinLock: WDFSPINLOCK) {
    let lock = lookup::<SpinLockObject>(SpinLock);
    lock.holder.given_up(SpinLock, 1);
    let irql = lock.irql.load(Ordering::Relaxed);
    // SAFETY: This thread holds the lock, as was checked, and passes back the IRQL that it had.
    unsafe { KeReleaseSpinLock(lock.lock.get(), irql) };
}

/// A framework wait lock object: a synchronization event that is signalled while the lock is free,
/// at an address of its own.
pub struct WaitLock {
    event: Box<UnsafeCell<MaybeUninit<KEVENT>>>,
    holder: Holder,
}

// SAFETY: The event is only passed to the kernel's functions.
#[allow(clippy::non_send_fields_in_send_ty, reason = "argued above")]
unsafe impl Send for WaitLock {}
// SAFETY: As above.
unsafe impl Sync for WaitLock {}

impl WaitLock {
    fn new() -> Result<Self, NoMemory> {
        let event = try_box(UnsafeCell::new(MaybeUninit::uninit()))?;
        let lock = Self {
            event,
            holder: Holder::new(),
        };
        // SAFETY: The event is writable memory at its final address, and nobody else knows it.
        unsafe { KeInitializeEvent(lock.raw(), _EVENT_TYPE::SynchronizationEvent, TRUE) };
        Ok(lock)
    }

    const fn raw(&self) -> *mut KEVENT {
        self.event.get().cast()
    }
}

/// `WdfWaitLockCreate`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfWaitLockCreate(
    DriverGlobals: Globals,
    LockAttributes: *mut WDF_OBJECT_ATTRIBUTES,
    Lock: *mut WDFWAITLOCK,
) -> NTSTATUS {
    if Lock.is_null() {
        violation::null_parameter(c"WdfWaitLockCreate");
    }
    let Ok(lock) = WaitLock::new() else {
        return STATUS_INSUFFICIENT_RESOURCES;
    };
    // SAFETY: The client's pointers, passed on.
    unsafe { create_simple(DriverGlobals, Body::WaitLock(lock), LockAttributes, Lock) }
}

/// `WdfWaitLockAcquire`: `STATUS_TIMEOUT` (a success code) when `Timeout`, in 100 ns, negative for
/// relative, is over. The holder is in a critical region. IRQL `PASSIVE_LEVEL`; with a timeout of zero
/// <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfWaitLockAcquire(
    _: Globals,
    Lock: WDFWAITLOCK,
    Timeout: *mut LONGLONG,
) -> NTSTATUS {
    let lock = lookup::<WaitLock>(Lock);
    // A try by the holder fails as by anybody else; a wait of its own would never end.
    if Timeout.is_null() {
        lock.holder.refuse_recursion(Lock);
    }
    // SAFETY: The caller is below `DISPATCH_LEVEL` or only tries; left on release or failure.
    unsafe { KeEnterCriticalRegion() };
    // SAFETY: The event is alive with its object; the time is the caller's, null or valid.
    let status = unsafe {
        KeWaitForSingleObject(
            lock.raw().cast(),
            _KWAIT_REASON::Executive,
            KERNEL_MODE,
            FALSE,
            Timeout.cast::<LARGE_INTEGER>(),
        )
    };
    if status == STATUS_SUCCESS {
        lock.holder.taken();
    } else {
        // SAFETY: Entered above.
        unsafe { KeLeaveCriticalRegion() };
    }
    status
}

/// `WdfWaitLockRelease`. IRQL <= `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn WdfWaitLockRelease(_: Globals, Lock: WDFWAITLOCK) {
    let lock = lookup::<WaitLock>(Lock);
    lock.holder.given_up(Lock, 1);
    // SAFETY: The event is alive with its object.
    unsafe { KeSetEvent(lock.raw(), 0, FALSE) };
    // SAFETY: Entered on acquisition, by this thread.
    unsafe { KeLeaveCriticalRegion() };
}
