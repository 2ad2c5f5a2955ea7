//! In-stack queued spin locks: a `KSPIN_LOCK` whose waiters queue up, each on a handle of its own.
//!
//! The lock holds the address of the last handle in the queue. A handle holds the address of the lock, with
//! bit 0 set while its thread waits, and the handle after it. So the lock goes to those who wait in the order
//! in which they came. An ordinary holder leaves an odd value in the lock (see [`super::spinlock`]), by which
//! each kind finds the other out.

use core::{
    mem::offset_of,
    ptr,
    sync::atomic::{
        AtomicPtr, AtomicU8, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use nt_abi::{KLOCK_QUEUE_HANDLE, PKLOCK_QUEUE_HANDLE, PKSPIN_LOCK};

use super::{
    irql::check_lower,
    spinlock::{OWNED, spin_until, wrong_irql},
};
use crate::{
    Rules,
    export::exports,
    irql::{self, DISPATCH},
    lock_order,
    thread::{self, LockKind, Thread},
    verifier,
};

exports!("ntoskrnl.exe";
    KeAcquireInStackQueuedSpinLock, KeAcquireInStackQueuedSpinLockAtDpcLevel,
    KeAcquireInStackQueuedSpinLockForDpc, KeReleaseInStackQueuedSpinLock,
    KeReleaseInStackQueuedSpinLockForDpc, KeReleaseInStackQueuedSpinLockFromDpcLevel,
);

/// A [`KLOCK_QUEUE_HANDLE`] with atomic fields.
#[repr(C)]
struct Handle {
    next: AtomicPtr<Self>,
    /// The lock, and [`WAITING`].
    lock: AtomicU64,
    old_irql: AtomicU8,
}

const _: () = {
    assert!(size_of::<Handle>() == size_of::<KLOCK_QUEUE_HANDLE>());
    assert!(offset_of!(Handle, old_irql) == offset_of!(KLOCK_QUEUE_HANDLE, OldIrql));
};

/// Set in the lock's address while the thread of the handle waits.
const WAITING: u64 = 1;

impl Handle {
    /// The handle at an address that a driver gives.
    ///
    /// # Safety
    ///
    /// `handle` must point to memory for a handle that stays where it is.
    unsafe fn at<'a>(handle: PKLOCK_QUEUE_HANDLE, function: &'static str) -> &'a Self {
        // SAFETY: The caller vouches for the memory, whose fields are accessed atomically.
        unsafe { verifier::object(handle.cast(), function) }
    }

    fn address(&self) -> u64 {
        ptr::from_ref(self) as u64
    }

    fn acquire(&self, thread: &'static Thread, lock: PKSPIN_LOCK, function: &'static str) {
        // SAFETY: The driver vouches for the lock, which is only ever accessed atomically.
        let word: &AtomicU64 = unsafe { verifier::object(lock.cast(), function) };
        self.next.store(ptr::null_mut(), Relaxed);
        self.lock.store(lock as u64, Relaxed);
        let mut seen = 0;
        while let Err(now) = word.compare_exchange(seen, self.address(), AcqRel, Relaxed) {
            check_contended(thread, lock as u64, now, function);
            seen = if now & OWNED == 0 { now } else { 0 };
            if now & OWNED != 0 {
                spin_until(thread, lock as u64, function, || word.load(Relaxed) == 0);
            }
            self.lock
                .store(lock as u64 | if seen == 0 { 0 } else { WAITING }, Relaxed);
        }
        if seen != 0 {
            // SAFETY: What the lock held is the address of the last handle in the queue, which waits
            // until it is told of the one after it.
            let previous = unsafe { &*crate::address::pointer::<Self>(seen) };
            previous.next.store(ptr::from_ref(self).cast_mut(), Release);
            spin_until(thread, lock as u64, function, || {
                self.lock.load(Acquire) & WAITING == 0
            });
        }
        thread.held.push(lock as u64, LockKind::QueuedSpin);
        lock_order::check(thread, lock as u64, function);
    }

    fn release(&self, thread: &'static Thread, function: &'static str) {
        let lock = self.lock.load(Relaxed);
        check_held(thread, lock, function);
        thread.held.remove(lock);
        // SAFETY: The thread holds the lock, so that it is one.
        let word = unsafe { AtomicU64::from_ptr(crate::address::pointer(lock)) };
        self.lock.store(0, Relaxed);
        if word
            .compare_exchange(self.address(), 0, Release, Relaxed)
            .is_ok()
        {
            return;
        }
        spin_until(thread, 0, function, || !self.next.load(Acquire).is_null());
        // SAFETY: The next handle waits until its lock no longer says so.
        let next = unsafe { &*self.next.load(Relaxed) };
        next.lock.store(lock, Release);
    }
}

/// Looks at what a lock holds that is not free.
fn check_contended(thread: &Thread, lock: u64, seen: u64, function: &'static str) {
    let (rule, sentence) = if thread.held.kind_of(lock).is_some() {
        (
            0x1000,
            "The thread holds the spin lock already and would wait for itself.",
        )
    } else if seen & OWNED != 0 && verifier::checks(Rules::LOCKS) {
        (0x1008, "The spin lock is held as an ordinary one.")
    } else {
        return;
    };
    verifier::violation(rule, [lock, 0, 0], function, sentence);
}

fn check_held(thread: &Thread, lock: u64, function: &'static str) {
    match thread.held.kind_of(lock) {
        Some(LockKind::QueuedSpin) => {}
        Some(_) => verifier::violation(
            0x1009,
            [lock, 0, 0],
            function,
            "The spin lock was acquired as an ordinary one.",
        ),
        None => verifier::violation(
            0x1007,
            [lock, 0, 0],
            function,
            "The handle is not that of a spin lock which the thread holds.",
        ),
    }
}

/// `KeAcquireInStackQueuedSpinLock`: raises to `DISPATCH_LEVEL`, queues up for the lock and acquires it. IRQL
/// <= `DISPATCH_LEVEL` (bug check 0xC4 (0x42)).
///
/// A lock that the thread holds is bug check 0xC4 (0x1000), one that is held as an ordinary one 0xC4
/// (0x1008).
///
/// # Safety
///
/// `SpinLock` must point to an initialised lock, `LockHandle` to memory that stays where it is until
/// `KeReleaseInStackQueuedSpinLock` was called with it.
pub unsafe extern "win64" fn KeAcquireInStackQueuedSpinLock(
    SpinLock: PKSPIN_LOCK,
    LockHandle: PKLOCK_QUEUE_HANDLE,
) {
    const NAME: &str = "KeAcquireInStackQueuedSpinLock";
    let thread = thread::current();
    let old = thread.irql();
    if old > DISPATCH {
        wrong_irql(
            0x42,
            thread,
            SpinLock,
            NAME,
            "IRQL must be DISPATCH_LEVEL or below.",
        );
    }
    irql::raise(thread, DISPATCH);
    // SAFETY: This function has the same contract.
    let handle = unsafe { Handle::at(LockHandle, NAME) };
    handle.acquire(thread, SpinLock, NAME);
    handle.old_irql.store(old, Relaxed);
}

/// `KeReleaseInStackQueuedSpinLock`: releases the lock and goes back to the IRQL of its acquisition. IRQL =
/// `DISPATCH_LEVEL` (bug check 0xC4 (0x36)).
///
/// A handle without a lock is bug check 0xC4 (0x1007).
///
/// # Safety
///
/// `LockHandle` must be that of a lock which the thread holds.
pub unsafe extern "win64" fn KeReleaseInStackQueuedSpinLock(LockHandle: PKLOCK_QUEUE_HANDLE) {
    const NAME: &str = "KeReleaseInStackQueuedSpinLock";
    let thread = thread::current();
    // SAFETY: This function has the same contract.
    let handle = unsafe { Handle::at(LockHandle, NAME) };
    let old = handle.old_irql.load(Relaxed);
    let lock = handle.lock.load(Relaxed);
    if thread.irql() != DISPATCH {
        verifier::violation(
            0x36,
            [u64::from(thread.irql()), lock, u64::from(old)],
            NAME,
            "IRQL must be DISPATCH_LEVEL.",
        );
    }
    check_lower(thread, old, NAME);
    if old < DISPATCH {
        super::spinlock::check_last(thread, lock, NAME);
    }
    handle.release(thread, NAME);
    irql::lower(thread, old);
}

/// `KeAcquireInStackQueuedSpinLockAtDpcLevel`: as [`KeAcquireInStackQueuedSpinLock`], and leaves the IRQL as
/// it is. IRQL >= `DISPATCH_LEVEL` (bug check 0xC4 (0x40)).
///
/// # Safety
///
/// As there; `KeReleaseInStackQueuedSpinLockFromDpcLevel` releases the lock.
pub unsafe extern "win64" fn KeAcquireInStackQueuedSpinLockAtDpcLevel(
    SpinLock: PKSPIN_LOCK,
    LockHandle: PKLOCK_QUEUE_HANDLE,
) {
    const NAME: &str = "KeAcquireInStackQueuedSpinLockAtDpcLevel";
    let thread = thread::current();
    if !thread.is_at_dispatch() {
        wrong_irql(
            0x40,
            thread,
            SpinLock,
            NAME,
            "IRQL must be DISPATCH_LEVEL or above.",
        );
    }
    // SAFETY: This function has the same contract.
    unsafe { Handle::at(LockHandle, NAME) }.acquire(thread, SpinLock, NAME);
}

/// `KeReleaseInStackQueuedSpinLockFromDpcLevel`: releases the lock and leaves the IRQL as it is. IRQL >=
/// `DISPATCH_LEVEL` (bug check 0xC4 (0x41)).
///
/// # Safety
///
/// `LockHandle` must be that of a lock which the thread holds.
pub unsafe extern "win64" fn KeReleaseInStackQueuedSpinLockFromDpcLevel(
    LockHandle: PKLOCK_QUEUE_HANDLE,
) {
    const NAME: &str = "KeReleaseInStackQueuedSpinLockFromDpcLevel";
    let thread = thread::current();
    // SAFETY: This function has the same contract.
    let handle = unsafe { Handle::at(LockHandle, NAME) };
    if !thread.is_at_dispatch() {
        let lock = crate::address::pointer(handle.lock.load(Relaxed));
        wrong_irql(
            0x41,
            thread,
            lock,
            NAME,
            "IRQL must be DISPATCH_LEVEL or above.",
        );
    }
    handle.release(thread, NAME);
}

/// `KeAcquireInStackQueuedSpinLockForDpc`: as [`KeAcquireInStackQueuedSpinLock`], for a DPC that may be a
/// threaded one.
///
/// # Safety
///
/// As there; `KeReleaseInStackQueuedSpinLockForDpc` releases the lock.
pub unsafe extern "win64" fn KeAcquireInStackQueuedSpinLockForDpc(
    SpinLock: PKSPIN_LOCK,
    LockHandle: PKLOCK_QUEUE_HANDLE,
) {
    // SAFETY: This function has the same contract.
    unsafe { KeAcquireInStackQueuedSpinLock(SpinLock, LockHandle) };
}

/// `KeReleaseInStackQueuedSpinLockForDpc`: as [`KeReleaseInStackQueuedSpinLock`].
///
/// # Safety
///
/// `LockHandle` must be that of a lock which the thread holds.
pub unsafe extern "win64" fn KeReleaseInStackQueuedSpinLockForDpc(LockHandle: PKLOCK_QUEUE_HANDLE) {
    // SAFETY: This function has the same contract.
    unsafe { KeReleaseInStackQueuedSpinLock(LockHandle) };
}
