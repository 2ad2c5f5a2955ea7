//! Push locks: `EX_PUSH_LOCK`.
//!
//! Bit 0 is set while the lock is held, bit 1 while somebody waits; how many share it lies above bit 3. Those
//! who wait are kept by the kernel, by the address of the lock, and all look again when it becomes free.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use std::sync::Arc;

use nt_abi::{EX_PUSH_LOCK, KEVENT, ULONG, object_type};

use crate::{
    Rules, apc,
    dispatcher::{self, Deadline, Header},
    export::exports,
    irql::APC,
    lock_order,
    thread::{self, LockKind, Origin, Thread},
    verifier,
};

exports!("ntoskrnl.exe";
    ExAcquirePushLockExclusiveEx, ExAcquirePushLockSharedEx, ExInitializePushLock,
    ExReleasePushLockExclusiveEx, ExReleasePushLockSharedEx,
);

/// The lock is held.
const LOCKED: u64 = 1;
/// Somebody waits.
const WAITING: u64 = 2;
/// One who shares the lock.
const SHARE: u64 = 16;

/// What those wait on who wait for one lock: an event that is signalled once, and then forgotten.
fn new_queue() -> Arc<Header> {
    let queue = Arc::new(Header::uninitialized());
    queue.initialize(object_type::NotificationEvent, size_of::<KEVENT>(), 0);
    queue
}

/// A push lock.
#[derive(Clone, Copy)]
struct AtomicPushLock(&'static AtomicU64);

impl AtomicPushLock {
    /// The lock at an address that a driver gives.
    ///
    /// # Safety
    ///
    /// `lock` must point to a push lock that stays where it is while it is used.
    unsafe fn at(lock: *mut EX_PUSH_LOCK, function: &'static str) -> Self {
        // SAFETY: The caller vouches for the pointer; the lock is only ever accessed atomically.
        Self(unsafe { verifier::object(lock.cast(), function) })
    }

    fn key(self) -> u64 {
        self.0.as_ptr() as u64
    }

    fn try_acquire(self, kind: LockKind) -> bool {
        let seen = self.0.load(Relaxed);
        let next = if seen & LOCKED == 0 {
            seen | LOCKED
                | if kind == LockKind::PushShared {
                    SHARE
                } else {
                    0
                }
        } else if kind == LockKind::PushShared && seen >= SHARE && seen & WAITING == 0 {
            seen + SHARE
        } else {
            return false;
        };
        self.0
            .compare_exchange(seen, next, Acquire, Relaxed)
            .is_ok()
    }

    fn acquire(self, thread: &'static Thread, kind: LockKind, function: &'static str) {
        self.check_caller(thread, 0xEA, function);
        while !self.try_acquire(kind) {
            self.wait(thread, function);
        }
        thread.held.push(self.key(), kind);
        lock_order::check(thread, self.key(), function);
    }

    /// Waits until the lock may have become free.
    #[cold]
    fn wait(self, thread: &'static Thread, function: &'static str) {
        if thread.held.kind_of(self.key()).is_some() && verifier::checks(Rules::LOCKS) {
            verifier::violation(
                0x1000,
                [self.key(), 0, 0],
                function,
                "The thread holds the push lock already and would wait for itself.",
            );
        }
        let mut dispatcher = dispatcher::lock(thread);
        // Whoever releases the lock after this takes the dispatcher lock to look for those who wait.
        let seen = self.0.fetch_or(WAITING, Relaxed);
        if seen & LOCKED == 0 {
            self.0.fetch_and(!WAITING, Relaxed);
            let woken = dispatcher.state().push_locks.remove(&self.key());
            if let Some(queue) = woken {
                dispatcher.signal(&queue, 1);
            }
            return;
        }
        let queue = Arc::clone(
            dispatcher
                .state()
                .push_locks
                .entry(self.key())
                .or_insert_with(new_queue),
        );
        thread.waiting_for(self.key(), || dispatcher.wait_on(&queue, Deadline::Never));
        drop(dispatcher);
        apc::deliver(thread);
    }

    fn release(self, thread: &'static Thread, kind: LockKind, function: &'static str) {
        self.check_caller(thread, 0xEB, function);
        self.check_held(thread, kind, function);
        thread.held.remove(self.key());
        let freed = self.0.fetch_update(Release, Relaxed, |seen| {
            let left = if kind == LockKind::PushShared {
                seen.saturating_sub(SHARE)
            } else {
                seen
            };
            Some(if left < SHARE { left & WAITING } else { left })
        });
        // The update always stores, so that this is what the lock held.
        let seen = freed.unwrap_or_else(|seen| seen);
        let free = kind == LockKind::PushExclusive || seen < 2 * SHARE;
        if free && seen & WAITING != 0 {
            self.wake(thread);
        }
    }

    #[cold]
    fn wake(self, thread: &'static Thread) {
        let mut dispatcher = dispatcher::lock(thread);
        self.0.fetch_and(!WAITING, Relaxed);
        let queue = dispatcher.state().push_locks.remove(&self.key());
        if let Some(queue) = queue {
            dispatcher.signal(&queue, 1);
        }
    }

    fn check_held(self, thread: &Thread, kind: LockKind, function: &'static str) {
        let held = thread.held.kind_of(self.key());
        if held != Some(kind) && verifier::checks(Rules::LOCKS) {
            let (rule, sentence) = if held.is_none() {
                (
                    0x1007,
                    "The push lock is released by a thread that does not hold it.",
                )
            } else {
                (
                    0x1009,
                    "The push lock is held the other way: shared or exclusive.",
                )
            };
            verifier::violation(rule, [self.key(), 0, 0], function, sentence);
        }
    }

    fn check_caller(self, thread: &Thread, rule: u64, function: &'static str) {
        if thread.irql() > APC {
            verifier::rule(0x20007, function, "IRQL must be APC_LEVEL or below.");
        }
        let apcs = thread.object.combined_apc_disable();
        if apcs == 0
            && thread.irql() < APC
            && thread.origin() == Origin::Host
            && verifier::checks(Rules::APC)
        {
            verifier::violation(
                rule,
                [u64::from(thread.irql()), apcs, self.key()],
                function,
                "Normal kernel APCs are not off: the caller is in no critical region.",
            );
        }
    }
}

/// `ExInitializePushLock`: makes a free push lock. Any IRQL.
///
/// # Safety
///
/// `PushLock` must point to memory for a push lock that nobody uses.
pub unsafe extern "win64" fn ExInitializePushLock(PushLock: *mut EX_PUSH_LOCK) {
    thread::current();
    // SAFETY: This function has the same contract.
    unsafe { AtomicPushLock::at(PushLock, "ExInitializePushLock") }
        .0
        .store(0, Release);
    lock_order::forget_lock(PushLock as u64);
}

/// `ExAcquirePushLockExclusiveEx`, behind the macro `ExAcquirePushLockExclusive`: waits for exclusive access.
/// IRQL <= `APC_LEVEL`.
///
/// Normal kernel APCs must be off: bug check 0xC4 (0xEA). A lock that the thread holds is 0xC4 (0x1000).
///
/// # Safety
///
/// `PushLock` must point to an initialised push lock.
pub unsafe extern "win64" fn ExAcquirePushLockExclusiveEx(
    PushLock: *mut EX_PUSH_LOCK,
    _Flags: ULONG,
) {
    // SAFETY: This function has the same contract.
    let lock = unsafe { AtomicPushLock::at(PushLock, "ExAcquirePushLockExclusive") };
    lock.acquire(
        thread::current(),
        LockKind::PushExclusive,
        "ExAcquirePushLockExclusive",
    );
}

/// `ExAcquirePushLockSharedEx`, behind the macro `ExAcquirePushLockShared`: waits to share the lock. IRQL <=
/// `APC_LEVEL`.
///
/// Bug checks as for [`ExAcquirePushLockExclusiveEx`].
///
/// # Safety
///
/// `PushLock` must point to an initialised push lock.
pub unsafe extern "win64" fn ExAcquirePushLockSharedEx(PushLock: *mut EX_PUSH_LOCK, _Flags: ULONG) {
    // SAFETY: This function has the same contract.
    let lock = unsafe { AtomicPushLock::at(PushLock, "ExAcquirePushLockShared") };
    lock.acquire(
        thread::current(),
        LockKind::PushShared,
        "ExAcquirePushLockShared",
    );
}

/// `ExReleasePushLockExclusiveEx`, behind the macro `ExReleasePushLockExclusive`. IRQL <= `APC_LEVEL`.
///
/// Normal kernel APCs must still be off: bug check 0xC4 (0xEB). One who does not hold the lock gets 0xC4
/// (0x1007), one who shares it 0xC4 (0x1009).
///
/// # Safety
///
/// The caller must hold the lock exclusively.
pub unsafe extern "win64" fn ExReleasePushLockExclusiveEx(
    PushLock: *mut EX_PUSH_LOCK,
    _Flags: ULONG,
) {
    // SAFETY: This function has the same contract.
    let lock = unsafe { AtomicPushLock::at(PushLock, "ExReleasePushLockExclusive") };
    lock.release(
        thread::current(),
        LockKind::PushExclusive,
        "ExReleasePushLockExclusive",
    );
}

/// `ExReleasePushLockSharedEx`, behind the macro `ExReleasePushLockShared`. IRQL <= `APC_LEVEL`.
///
/// Bug checks as for [`ExReleasePushLockExclusiveEx`].
///
/// # Safety
///
/// The caller must share the lock.
pub unsafe extern "win64" fn ExReleasePushLockSharedEx(PushLock: *mut EX_PUSH_LOCK, _Flags: ULONG) {
    // SAFETY: This function has the same contract.
    let lock = unsafe { AtomicPushLock::at(PushLock, "ExReleasePushLockShared") };
    lock.release(
        thread::current(),
        LockKind::PushShared,
        "ExReleasePushLockShared",
    );
}
