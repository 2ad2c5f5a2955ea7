//! Interrupt objects: `KINTERRUPT`, with the spin lock that keeps an interrupt service routine and the
//! rest of its driver apart.
//!
//! No device of this kernel interrupts by itself: [`Kernel::interrupt`](crate::Kernel::interrupt) does
//! it in a device's place. The service routine runs on the thread that calls that, as on NT it runs on
//! whatever thread it interrupts; and an interrupt comes through when nothing runs at `DISPATCH_LEVEL`
//! on its processor, where a processor of NT would leave a DPC for it.

use core::{
    ffi::c_void,
    sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering},
};
use std::sync::Arc;

use nt_abi::{
    _KINTERRUPT, BOOLEAN, FALSE, KAFFINITY, KIRQL, KSPIN_LOCK, PKINTERRUPT, PKSYNCHRONIZE_ROUTINE,
    PVOID, ULONG, bugcheck::IRQL_UNEXPECTED_VALUE,
};
use parking_lot::RwLock;

use super::spinlock;
use crate::{
    bugcheck,
    export::exports,
    irql::{self, DISPATCH},
    ke::irql::check_lower,
    lock_order, processor,
    thread::{self, Thread},
    verifier,
};

exports!("ntoskrnl.exe";
    KeAcquireInterruptSpinLock, KeReleaseInterruptSpinLock, KeSynchronizeExecution,
);

/// A service routine by its address.
pub type ServiceRoutine = unsafe extern "win64" fn(*mut _KINTERRUPT, PVOID) -> BOOLEAN;

/// An interrupt that is connected. Its address is the driver's `PKINTERRUPT`.
pub struct Interrupt {
    vector: ULONG,
    processors: KAFFINITY,
    shared: bool,
    synchronize_irql: KIRQL,
    routine: ServiceRoutine,
    context: AtomicPtr<c_void>,
    /// The lock of the driver, or null.
    given_lock: AtomicPtr<KSPIN_LOCK>,
    /// The lock that is used if the driver gave none.
    own_lock: AtomicU64,
    /// How many processors are about to run the service routine, or do.
    deliveries: AtomicU32,
}

/// What is connected, in the order in which it was.
static CONNECTED: RwLock<Vec<Arc<Interrupt>>> = RwLock::new(Vec::new());

impl Interrupt {
    /// An interrupt that is not connected yet. `lock` is the driver's spin lock, or null.
    pub const fn new(
        (vector, processors, shared): (ULONG, KAFFINITY, bool),
        synchronize_irql: KIRQL,
        (routine, context): (ServiceRoutine, PVOID),
        lock: *mut KSPIN_LOCK,
    ) -> Self {
        Self {
            vector,
            processors,
            shared,
            synchronize_irql,
            routine,
            context: AtomicPtr::new(context),
            given_lock: AtomicPtr::new(lock),
            own_lock: AtomicU64::new(0),
            deliveries: AtomicU32::new(0),
        }
    }

    /// Connects the interrupt: from now on its service routine may run.
    pub fn connect(self) -> PKINTERRUPT {
        let interrupt = Arc::new(self);
        let address = interrupt.address();
        CONNECTED.write().push(interrupt);
        address
    }

    /// What a driver calls the interrupt.
    pub const fn address(&self) -> PKINTERRUPT {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// The vector that it is connected to.
    pub const fn vector(&self) -> ULONG {
        self.vector
    }

    /// Whether other interrupts may be connected to the same vector.
    pub const fn is_shared(&self) -> bool {
        self.shared
    }

    fn lock(&self) -> &AtomicU64 {
        let given = self.given_lock.load(Ordering::Relaxed);
        if given.is_null() {
            return &self.own_lock;
        }
        // SAFETY: The driver vouched for its spin lock when it connected the interrupt, for as long as
        // that is connected.
        unsafe { spinlock::view(given, "IoConnectInterruptEx") }
    }

    /// Raises to the interrupt's IRQL, acquires its lock, and returns the IRQL before.
    fn acquire(&self, thread: &'static Thread, function: &'static str) -> KIRQL {
        let old = thread.irql();
        if old > self.synchronize_irql {
            verifier::violation(
                0x30,
                [u64::from(old), u64::from(self.synchronize_irql), 0],
                function,
                "The IRQL is higher than the SynchronizeIrql of the interrupt.",
            );
        }
        irql::raise(thread, self.synchronize_irql);
        spinlock::acquire(thread, self.lock(), function);
        old
    }

    /// Releases the lock and lowers the IRQL to `new`.
    fn release(&self, thread: &'static Thread, new: KIRQL, function: &'static str) {
        let lock = self.lock();
        spinlock::check_owner(thread, lock, function);
        check_lower(thread, new, function);
        if new < DISPATCH {
            spinlock::check_last(thread, lock.as_ptr() as u64, function);
        } else {
            self.check_last(thread, new, function);
        }
        spinlock::release(thread, lock);
        irql::lower(thread, new);
    }

    /// Checks that the thread holds the lock of no other interrupt whose IRQL is above `new`.
    fn check_last(&self, thread: &Thread, new: KIRQL, function: &'static str) {
        let lock = self.lock().as_ptr() as u64;
        let owned = spinlock::owned_by(thread);
        let other = CONNECTED
            .read()
            .iter()
            .filter(|other| other.synchronize_irql > new)
            .map(|other| other.lock())
            .find(|other| other.as_ptr() as u64 != lock && other.load(Ordering::Relaxed) == owned)
            .map(|other| other.as_ptr() as u64);
        if let Some(other) = other {
            verifier::violation(
                0x1003,
                [lock, other, 0],
                function,
                "The release lowers the IRQL under another interrupt's spin lock, which should have \
                 been released first.",
            );
        }
    }

    /// Runs `routine` at the interrupt's IRQL with its lock held. `whose` is what bug check 0xC8 says of a
    /// routine that returns at another IRQL: a number for its kind, the routine, and its object.
    fn synchronize<R>(
        &self,
        thread: &'static Thread,
        function: &'static str,
        whose: [u64; 3],
        routine: impl FnOnce() -> R,
    ) -> R {
        let old = self.acquire(thread, function);
        let result = routine();
        let (now, level) = (thread.irql(), self.synchronize_irql);
        if now != level {
            let [kind, routine, object] = whose;
            let levels = u64::from(now) << 16 | u64::from(level) << 8;
            bugcheck::raise(
                IRQL_UNEXPECTED_VALUE,
                [levels | kind, routine, object, 0],
                function,
                format!("The routine was called at IRQL {level} and returned at IRQL {now}."),
            );
        }
        self.release(thread, old, function);
        result
    }
}

/// An interrupt on its way to the service routine, for which its disconnection waits.
struct Delivery(Arc<Interrupt>);

impl Delivery {
    fn new(interrupt: &Arc<Interrupt>) -> Self {
        interrupt.deliveries.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(interrupt))
    }

    /// Runs the service routine, and tells whether the interrupt was its device's.
    fn run(&self, thread: &'static Thread) -> bool {
        let Self(interrupt) = self;
        let context = interrupt.context.load(Ordering::Relaxed);
        let whose = [
            3,
            interrupt.routine as usize as u64,
            interrupt.address() as u64,
        ];
        let claimed = interrupt.synchronize(thread, "KiInterruptDispatch", whose, || {
            // SAFETY: The driver vouched for routine and context when it connected the interrupt, whose
            // disconnection waits for this.
            unsafe { (interrupt.routine)(interrupt.address(), context) }
        });
        claimed != FALSE
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.0.deliveries.fetch_sub(1, Ordering::Release);
    }
}

/// Interrupts a processor, and tells whether a service routine took the interrupt. Below `DISPATCH_LEVEL`.
///
/// It runs those that are connected to `vector` there, one after the other, until one says that the
/// interrupt was its device's.
pub fn deliver(thread: &'static Thread, vector: ULONG, processor: u32) -> bool {
    if processor >= processor::count() {
        return false;
    }
    let old = thread.irql();
    let affinity = thread.system_affinity();
    thread.set_system_affinity(1 << processor);
    irql::raise(thread, DISPATCH);
    thread.set_system_affinity(affinity);
    let deliveries: Vec<_> = CONNECTED
        .read()
        .iter()
        .filter(|interrupt| interrupt.vector == vector)
        .filter(|interrupt| interrupt.processors >> processor & 1 == 1)
        .map(Delivery::new)
        .collect();
    let claimed = deliveries.iter().any(|delivery| delivery.run(thread));
    drop(deliveries);
    irql::lower(thread, old);
    claimed
}

/// Disconnects an interrupt, and waits until its service routine runs nowhere.
pub fn disconnect(thread: &'static Thread, address: PKINTERRUPT, function: &'static str) {
    let interrupt = find(address, function);
    CONNECTED
        .write()
        .retain(|other| !Arc::ptr_eq(other, &interrupt));
    let lock = interrupt.lock().as_ptr() as u64;
    spinlock::spin_until(thread, lock, function, || {
        interrupt.deliveries.load(Ordering::Acquire) == 0
    });
    if interrupt.given_lock.load(Ordering::Relaxed).is_null() {
        lock_order::forget_lock(lock);
    }
}

/// Whether `vector` is connected by an interrupt for which `condition` holds.
pub fn is_connected(vector: ULONG, condition: impl Fn(&Interrupt) -> bool) -> bool {
    CONNECTED
        .read()
        .iter()
        .any(|interrupt| interrupt.vector == vector && condition(interrupt))
}

/// What is connected.
pub fn connected() -> Vec<Arc<Interrupt>> {
    CONNECTED.read().clone()
}

/// The interrupt that a driver means; anything that is not connected is bug check 0xC4 (0xE1).
fn find(address: PKINTERRUPT, function: &'static str) -> Arc<Interrupt> {
    let found = CONNECTED
        .read()
        .iter()
        .find(|interrupt| interrupt.address() == address)
        .cloned();
    found.unwrap_or_else(|| {
        let sentence = "No interrupt is connected whose object is at this address.";
        verifier::violation(0xE1, [address as u64, 0, 0], function, sentence)
    })
}

/// `KeSynchronizeExecution`: raises to the interrupt's `SynchronizeIrql`, acquires its spin lock, and
/// returns what `SynchronizeRoutine` returns. IRQL <= `SynchronizeIrql`.
///
/// A higher IRQL is bug check 0xC4 (0x30), a lock that the thread holds 0xC4 (0x1000), a routine that
/// returns at another IRQL 0xC8.
///
/// # Safety
///
/// `Interrupt` must be connected until this returns; `SynchronizeRoutine` must be a routine that may be
/// called with `SynchronizeContext` at that IRQL.
pub unsafe extern "win64" fn KeSynchronizeExecution(
    Interrupt: PKINTERRUPT,
    SynchronizeRoutine: PKSYNCHRONIZE_ROUTINE,
    SynchronizeContext: PVOID,
) -> BOOLEAN {
    const NAME: &str = "KeSynchronizeExecution";
    let thread = thread::current();
    let Some(routine) = SynchronizeRoutine else {
        verifier::violation(0xE1, [0; 3], NAME, "SynchronizeRoutine is null.");
    };
    let whose = [2, routine as usize as u64, SynchronizeContext as u64];
    find(Interrupt, NAME).synchronize(thread, NAME, whose, || {
        // SAFETY: The caller vouches for routine and context.
        unsafe { routine(SynchronizeContext) }
    })
}

/// `KeAcquireInterruptSpinLock`: raises to the interrupt's `SynchronizeIrql`, acquires its spin lock, and
/// returns the IRQL before. IRQL <= `SynchronizeIrql`.
///
/// A higher IRQL is bug check 0xC4 (0x30), a lock that the thread holds 0xC4 (0x1000).
///
/// # Safety
///
/// `Interrupt` must be connected until the lock was released, by [`KeReleaseInterruptSpinLock`] with the
/// returned IRQL.
pub unsafe extern "win64" fn KeAcquireInterruptSpinLock(Interrupt: PKINTERRUPT) -> KIRQL {
    const NAME: &str = "KeAcquireInterruptSpinLock";
    find(Interrupt, NAME).acquire(thread::current(), NAME)
}

/// `KeReleaseInterruptSpinLock`: releases the spin lock and lowers the IRQL. IRQL = `SynchronizeIrql`.
///
/// Another IRQL is bug check 0xC4 (0x32), a free lock 0xC4 (0x1007), the lock of another thread 0xC4
/// (0x1004). If the IRQL falls below that of another spin lock that the thread holds, that one should
/// have been released first: 0xC4 (0x1003).
///
/// # Safety
///
/// The caller must hold the lock; `OldIrql` must be what its acquisition returned.
pub unsafe extern "win64" fn KeReleaseInterruptSpinLock(Interrupt: PKINTERRUPT, OldIrql: KIRQL) {
    const NAME: &str = "KeReleaseInterruptSpinLock";
    let thread = thread::current();
    let interrupt = find(Interrupt, NAME);
    if thread.irql() != interrupt.synchronize_irql {
        let lock = interrupt.lock().as_ptr();
        let sentence = "IRQL must be the SynchronizeIrql of the interrupt.";
        spinlock::wrong_irql(0x32, thread, lock, NAME, sentence);
    }
    interrupt.release(thread, OldIrql, NAME);
}
