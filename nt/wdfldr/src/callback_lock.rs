//! Automatic synchronization: the locks under which a client's callbacks run one at a time.
//!
//! A device and each of its queues have a *callback lock*: a spin lock, or a fast mutex where callbacks
//! are to run at `PASSIVE_LEVEL`. Which of them is held around a callback follows from the execution
//! level and synchronization scope that the client set ("Using Automatic Synchronization"). A thread
//! that holds the lock already never presents: it leaves that to a worker thread, or to its own
//! presentation when that is over.

use crate::abi::{
    STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL, WDF_DRIVER_GLOBALS, WDF_OBJECT_ATTRIBUTES, WDFOBJECT,
    WdfExecutionLevelInheritFromParent, WdfExecutionLevelPassive, WdfSynchronizationScopeDevice,
    WdfSynchronizationScopeInheritFromParent, WdfSynchronizationScopeQueue, bugcheck,
};
use crate::device::Device;
use crate::kernel::{
    ExAcquireFastMutexUnsafe, ExReleaseFastMutexUnsafe, KeAcquireSpinLockRaiseToDpc,
    KeEnterCriticalRegion, KeInitializeEvent, KeLeaveCriticalRegion, KeReleaseSpinLock, Outcome,
    try_box,
};
use crate::object::{self, Body, ObjectRef, Typed, device_of, lookup, parent_of};
use crate::queue::Queue;
use crate::sync::Holder;
use crate::violation;
use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU8, Ordering};
use nt_abi::{_EVENT_TYPE, FALSE, FAST_MUTEX, KIRQL, KSPIN_LOCK};

type Globals = *mut WDF_DRIVER_GLOBALS;

/// Which callbacks exclude each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of a device, its queues and its files.
    Device,
    /// Those of one queue.
    Queue,
    /// None.
    None,
}

/// Execution level and synchronization scope of an object, with everything inherited resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Constraints {
    /// Whether callbacks run at `PASSIVE_LEVEL` only.
    pub passive: bool,
    pub scope: Scope,
}

impl Constraints {
    /// Those of a driver that sets none.
    pub const DEFAULT: Self = Self {
        passive: false,
        scope: Scope::None,
    };

    /// Those that an object's attributes ask for, under a parent with these.
    pub const fn under(self, attributes: &WDF_OBJECT_ATTRIBUTES) -> Self {
        Self {
            passive: match attributes.ExecutionLevel {
                WdfExecutionLevelInheritFromParent => self.passive,
                level => level == WdfExecutionLevelPassive,
            },
            scope: match attributes.SynchronizationScope {
                WdfSynchronizationScopeInheritFromParent => self.scope,
                WdfSynchronizationScopeDevice => Scope::Device,
                WdfSynchronizationScopeQueue => Scope::Queue,
                _ => Scope::None,
            },
        }
    }
}

enum Kind {
    Spin(UnsafeCell<KSPIN_LOCK>),
    /// In a place of its own, for waiters are linked to it.
    Mutex(Box<UnsafeCell<FAST_MUTEX>>),
}

/// The lock that is held around callbacks.
pub struct CallbackLock {
    kind: Kind,
    /// The IRQL to go back to, while a spin lock is held.
    irql: AtomicU8,
    holder: Holder,
}

// SAFETY: The kernel's lock is only passed to the kernel's functions.
#[allow(clippy::non_send_fields_in_send_ty, reason = "argued above")]
unsafe impl Send for CallbackLock {}
// SAFETY: As above.
unsafe impl Sync for CallbackLock {}

impl CallbackLock {
    /// A lock for callbacks at `PASSIVE_LEVEL`, or for those at `DISPATCH_LEVEL` and below.
    ///
    /// # Errors
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    pub fn new(passive: bool) -> Outcome<Self> {
        let kind = if passive {
            Kind::Mutex(new_fast_mutex()?)
        } else {
            Kind::Spin(UnsafeCell::new(0))
        };
        Ok(Self {
            kind,
            irql: AtomicU8::new(0),
            holder: Holder::new(),
        })
    }

    /// The lock as parameters of bug checks name it.
    fn name(&self) -> WDFOBJECT {
        WDFOBJECT(core::ptr::from_ref(self).addr())
    }

    /// Acquires the lock. IRQL <= `APC_LEVEL` for a passive lock, which leaves it and enters a critical
    /// region; else <= `DISPATCH_LEVEL`, and `DISPATCH_LEVEL` afterwards.
    pub fn acquire(&self) {
        self.holder.refuse_recursion(self.name());
        match &self.kind {
            Kind::Spin(lock) => {
                // SAFETY: The lock is initialised and lives as long as the object that it is part of.
                let irql: KIRQL = unsafe { KeAcquireSpinLockRaiseToDpc(lock.get()) };
                self.irql.store(irql, Ordering::Relaxed);
            }
            Kind::Mutex(mutex) => {
                // SAFETY: Left on release, by this thread.
                unsafe { KeEnterCriticalRegion() };
                // SAFETY: The mutex was initialised when it was made, and APCs are off.
                unsafe { ExAcquireFastMutexUnsafe(mutex.get()) };
            }
        }
        self.holder.taken();
    }

    /// Releases the lock; the IRQL is what it was before.
    pub fn release(&self) {
        self.holder.given_up(self.name(), 0);
        match &self.kind {
            Kind::Spin(lock) => {
                let irql = self.irql.load(Ordering::Relaxed);
                // SAFETY: This thread holds the lock, as was checked.
                unsafe { KeReleaseSpinLock(lock.get(), irql) };
            }
            Kind::Mutex(mutex) => {
                // SAFETY: As above.
                unsafe { ExReleaseFastMutexUnsafe(mutex.get()) };
                // SAFETY: Entered on acquisition.
                unsafe { KeLeaveCriticalRegion() };
            }
        }
    }

    /// Whether the calling thread holds it.
    pub fn is_mine(&self) -> bool {
        self.holder.is_this_thread()
    }
}

/// `ExInitializeFastMutex`, which the kernel's headers do inline.
fn new_fast_mutex() -> Outcome<Box<UnsafeCell<FAST_MUTEX>>> {
    let mutex = try_box(UnsafeCell::new(FAST_MUTEX::default()))?;
    // SAFETY: The mutex is at its final address, and nobody else knows it.
    unsafe { (*mutex.get()).Count = 1 };
    // SAFETY: As above.
    let event = unsafe { &raw mut (*mutex.get()).Event };
    // SAFETY: The event is a part of the mutex.
    unsafe { KeInitializeEvent(event, _EVENT_TYPE::SynchronizationEvent, FALSE) };
    Ok(mutex)
}

/// Calls `f` with a lock held, if there is one.
pub fn synchronized<R>(lock: Option<&CallbackLock>, f: impl FnOnce() -> R) -> R {
    let Some(lock) = lock else { return f() };
    lock.acquire();
    let result = f();
    lock.release();
    result
}

/// What the callback of a timer, a DPC or a work item with `AutomaticSerialization` excludes.
pub enum Serialized {
    No,
    Device(Typed<Device>),
    Queue(Typed<Queue>),
}

impl Serialized {
    /// For a child of `parent`, whose callback runs at `PASSIVE_LEVEL` or at `DISPATCH_LEVEL`.
    ///
    /// # Errors
    /// `STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL` when the parent's callbacks run at another level.
    pub fn under(parent: &ObjectRef, automatic: bool, passive: bool) -> Outcome<Self> {
        if !automatic {
            return Ok(Self::No);
        }
        let Some((this, constraints)) = Self::nearest(parent) else {
            return Ok(Self::No);
        };
        match constraints.scope {
            Scope::None => Ok(Self::No),
            _ if constraints.passive != passive => Err(STATUS_WDF_INCOMPATIBLE_EXECUTION_LEVEL),
            _ => Ok(this),
        }
    }

    /// The nearest object up the tree that has a callback lock.
    fn nearest(parent: &ObjectRef) -> Option<(Self, Constraints)> {
        let mut object = parent.clone();
        loop {
            let device = match object.body() {
                Body::Queue(_) => {
                    let queue = object.typed::<Queue>()?;
                    let constraints = queue.constraints();
                    return Some((Self::Queue(queue), constraints));
                }
                Body::File(_) => {
                    let device = device_of(&object)?;
                    let constraints = device.files.constraints();
                    return Some((Self::Device(device), constraints));
                }
                Body::Request(request) => request.device().clone(),
                Body::Device(_) => object.typed::<Device>()?,
                _ => {
                    object = parent_of(&object)?;
                    continue;
                }
            };
            let constraints = device.constraints();
            return Some((Self::Device(device), constraints));
        }
    }

    /// Calls `f`, the client's callback, as promised.
    pub fn call(&self, f: impl FnOnce()) {
        let lock = match self {
            Self::No => None,
            Self::Device(device) => Some(device.callback_lock()),
            Self::Queue(queue) => Some(queue.callback_lock()),
        };
        synchronized(lock, f);
    }
}

/// Calls `f` with the callback lock of a device, of a queue, or of a file with the scope device; anything
/// else has none, and stops the system.
fn with_lock_of(handle: WDFOBJECT, f: impl FnOnce(&CallbackLock)) {
    let object = object::any(handle);
    match object.body() {
        Body::Device(device) => f(device.callback_lock()),
        Body::Queue(queue) => f(queue.callback_lock()),
        Body::File(file) if file.is_synchronized() => {
            f(lookup::<Device>(file.device()).callback_lock());
        }
        _ => violation::stop(bugcheck::WDF_INVALID_LOCK_OPERATION, handle.0 as u64, 0),
    }
}

/// `WdfObjectAcquireLock`: the callback lock of a device or a queue. IRQL <= `APC_LEVEL` for objects of
/// execution level passive, and in a critical region afterwards; else <= `DISPATCH_LEVEL`, and
/// `DISPATCH_LEVEL` afterwards.
pub unsafe extern "win64" fn WdfObjectAcquireLock(_: Globals, Object: WDFOBJECT) {
    with_lock_of(Object, CallbackLock::acquire);
}

/// `WdfObjectReleaseLock`: back to the IRQL before the acquisition.
pub unsafe extern "win64" fn WdfObjectReleaseLock(_: Globals, Object: WDFOBJECT) {
    with_lock_of(Object, CallbackLock::release);
}
