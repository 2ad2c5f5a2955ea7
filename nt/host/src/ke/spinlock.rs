//! Spin locks: `KSPIN_LOCK`.
//!
//! A free lock is zero, as on Windows. A held one is the address of the owning thread with bit 0 set, so
//! that a thread that asks for a lock it has, or releases one it has not, is found at once.

use core::sync::atomic::{AtomicU64, Ordering};

use std::time::Instant;

use nt_abi::{BOOLEAN, KIRQL, PKSPIN_LOCK};

use crate::{
    Rules, deadlock, dispatcher, explore,
    export::exports,
    initialized,
    irql::{self, DISPATCH},
    ke::irql::check_lower,
    kernel, lock_order,
    thread::{self, LockKind, Thread},
    verifier,
};

exports!("ntoskrnl.exe";
    KeAcquireSpinLockAtDpcLevel, KeAcquireSpinLockForDpc, KeAcquireSpinLockRaiseToDpc,
    KeInitializeSpinLock, KeReleaseSpinLock, KeReleaseSpinLockForDpc,
    KeReleaseSpinLockFromDpcLevel, KeTestSpinLock, KeTryToAcquireSpinLockAtDpcLevel,
);

/// Set in a lock that is held by a thread whose address the other bits are.
pub const OWNED: u64 = 1;

/// The lock as an atomic.
///
/// # Safety
///
/// `lock` must point to a `KSPIN_LOCK` that stays where it is.
#[inline]
pub(super) unsafe fn view<'a>(lock: PKSPIN_LOCK, function: &'static str) -> &'a AtomicU64 {
    // SAFETY: The caller vouches for the pointer; a lock is only ever accessed atomically.
    unsafe { verifier::object(lock.cast(), function) }
}

#[inline]
pub(super) fn owned_by(thread: &Thread) -> u64 {
    thread.address() | OWNED
}

/// `KeInitializeSpinLock`: makes a free lock. Any IRQL. One that a thread holds is bug check 0xC4 (0x1005).
///
/// # Safety
///
/// `SpinLock` must point to resident memory for a lock that nobody holds.
pub unsafe extern "win64" fn KeInitializeSpinLock(SpinLock: PKSPIN_LOCK) {
    const NAME: &str = "KeInitializeSpinLock";
    thread::current();
    // SAFETY: This function has the same contract.
    let lock = unsafe { view(SpinLock, NAME) };
    verifier::check_resident(SpinLock as u64, NAME);
    // A free lock is zero, and other memory anything.
    if lock.load(Ordering::Relaxed) != 0 {
        verifier::check_not_held(SpinLock as u64, NAME);
    }
    lock.store(0, Ordering::Release);
    lock_order::forget_lock(SpinLock as u64);
    initialized::note(SpinLock as u64, LockKind::Spin.noun(), NAME);
}

/// `KeAcquireSpinLockRaiseToDpc`, behind the macro `KeAcquireSpinLock`: raises to `DISPATCH_LEVEL`,
/// acquires the lock, and returns the IRQL before. IRQL <= `DISPATCH_LEVEL`.
///
/// Above `DISPATCH_LEVEL` is bug check 0xC4 (0x42); a lock that the thread holds 0xC4 (0x1000).
///
/// # Safety
///
/// `SpinLock` must point to an initialised lock, which must be released with the returned IRQL by
/// `KeReleaseSpinLock`.
pub unsafe extern "win64" fn KeAcquireSpinLockRaiseToDpc(SpinLock: PKSPIN_LOCK) -> KIRQL {
    const NAME: &str = "KeAcquireSpinLock";
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
    acquire(thread, unsafe { view(SpinLock, NAME) }, NAME);
    old
}

/// `KeAcquireSpinLockForDpc`: for a threaded DPC, which runs at `PASSIVE_LEVEL` or at `DISPATCH_LEVEL`; as
/// [`KeAcquireSpinLockRaiseToDpc`].
///
/// # Safety
///
/// `SpinLock` must point to an initialised lock, which must be released with the returned IRQL by
/// [`KeReleaseSpinLockForDpc`].
pub unsafe extern "win64" fn KeAcquireSpinLockForDpc(SpinLock: PKSPIN_LOCK) -> KIRQL {
    // SAFETY: This function has the same contract.
    unsafe { KeAcquireSpinLockRaiseToDpc(SpinLock) }
}

/// `KeReleaseSpinLockForDpc`: releases what [`KeAcquireSpinLockForDpc`] acquired; as [`KeReleaseSpinLock`].
///
/// # Safety
///
/// The caller must hold the lock; `OldIrql` must be what its acquisition returned.
pub unsafe extern "win64" fn KeReleaseSpinLockForDpc(SpinLock: PKSPIN_LOCK, OldIrql: KIRQL) {
    // SAFETY: This function has the same contract.
    unsafe { KeReleaseSpinLock(SpinLock, OldIrql) };
}

/// `KeAcquireSpinLockAtDpcLevel`: acquires the lock and leaves the IRQL as it is. IRQL >=
/// `DISPATCH_LEVEL`; below it is bug check 0xC4 (0x40).
///
/// # Safety
///
/// `SpinLock` must point to an initialised lock, which must be released by
/// `KeReleaseSpinLockFromDpcLevel`.
pub unsafe extern "win64" fn KeAcquireSpinLockAtDpcLevel(SpinLock: PKSPIN_LOCK) {
    const NAME: &str = "KeAcquireSpinLockAtDpcLevel";
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
    acquire(thread, unsafe { view(SpinLock, NAME) }, NAME);
}

/// `KeTryToAcquireSpinLockAtDpcLevel`: acquires the lock if it is free, and returns whether it did. IRQL
/// >= `DISPATCH_LEVEL`; below it is bug check 0xC4 (0x40).
///
/// # Safety
///
/// As for [`KeAcquireSpinLockAtDpcLevel`].
pub unsafe extern "win64" fn KeTryToAcquireSpinLockAtDpcLevel(SpinLock: PKSPIN_LOCK) -> BOOLEAN {
    const NAME: &str = "KeTryToAcquireSpinLockAtDpcLevel";
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
    BOOLEAN::from(try_acquire(thread, unsafe { view(SpinLock, NAME) }).is_ok())
}

/// `KeTestSpinLock`: whether the lock is free now. IRQL >= `DISPATCH_LEVEL`.
///
/// # Safety
///
/// `SpinLock` must point to an initialised lock.
pub unsafe extern "win64" fn KeTestSpinLock(SpinLock: PKSPIN_LOCK) -> BOOLEAN {
    thread::current();
    // SAFETY: This function has the same contract.
    BOOLEAN::from(unsafe { view(SpinLock, "KeTestSpinLock") }.load(Ordering::Acquire) == 0)
}

/// `KeReleaseSpinLock`: releases the lock and lowers the IRQL. IRQL = `DISPATCH_LEVEL`.
///
/// Another IRQL is bug check 0xC4 (0x32), a free lock 0xC4 (0x1007), the lock of another thread 0xC4
/// (0x1004). If the IRQL falls below `DISPATCH_LEVEL` while the thread holds another spin lock, that one
/// should have been released first: 0xC4 (0x1003).
///
/// # Safety
///
/// The caller must hold the lock; `NewIrql` must be what its acquisition returned.
pub unsafe extern "win64" fn KeReleaseSpinLock(SpinLock: PKSPIN_LOCK, NewIrql: KIRQL) {
    const NAME: &str = "KeReleaseSpinLock";
    let thread = thread::current();
    if thread.irql() != DISPATCH {
        wrong_irql(0x32, thread, SpinLock, NAME, "IRQL must be DISPATCH_LEVEL.");
    }
    // SAFETY: This function has the same contract.
    let lock = unsafe { view(SpinLock, NAME) };
    check_owner(thread, lock, NAME);
    check_lower(thread, NewIrql, NAME);
    if NewIrql < DISPATCH {
        check_last(thread, lock.as_ptr() as u64, NAME);
    }
    release(thread, lock);
    irql::lower(thread, NewIrql);
}

/// `KeReleaseSpinLockFromDpcLevel`: releases the lock and leaves the IRQL as it is. IRQL >=
/// `DISPATCH_LEVEL`; below it is bug check 0xC4 (0x41).
///
/// # Safety
///
/// The caller must hold the lock, acquired at `DISPATCH_LEVEL`.
pub unsafe extern "win64" fn KeReleaseSpinLockFromDpcLevel(SpinLock: PKSPIN_LOCK) {
    const NAME: &str = "KeReleaseSpinLockFromDpcLevel";
    let thread = thread::current();
    if !thread.is_at_dispatch() {
        wrong_irql(
            0x41,
            thread,
            SpinLock,
            NAME,
            "IRQL must be DISPATCH_LEVEL or above.",
        );
    }
    // SAFETY: This function has the same contract.
    let lock = unsafe { view(SpinLock, NAME) };
    check_owner(thread, lock, NAME);
    release(thread, lock);
}

/// Stops the kernel for a spin lock function at the wrong IRQL.
#[cold]
pub fn wrong_irql(
    rule: u64,
    thread: &Thread,
    lock: PKSPIN_LOCK,
    function: &'static str,
    sentence: &str,
) -> ! {
    verifier::violation(
        rule,
        [u64::from(thread.irql()), lock as u64, 0],
        function,
        sentence,
    )
}

#[inline]
fn try_acquire(thread: &Thread, lock: &AtomicU64) -> Result<(), u64> {
    lock.compare_exchange(0, owned_by(thread), Ordering::Acquire, Ordering::Relaxed)?;
    thread.held.push(lock.as_ptr() as u64, LockKind::Spin);
    Ok(())
}

#[inline]
pub(super) fn acquire(thread: &'static Thread, lock: &AtomicU64, function: &'static str) {
    if let Err(seen) = try_acquire(thread, lock) {
        acquire_contended(thread, lock, seen, function);
    }
    lock_order::check(thread, lock.as_ptr() as u64, function);
}

#[cold]
fn acquire_contended(thread: &'static Thread, lock: &AtomicU64, seen: u64, function: &'static str) {
    let address = lock.as_ptr() as u64;
    if seen == owned_by(thread) {
        wait_for_itself(address, function);
    }
    if seen != 0 && seen & OWNED == 0 && verifier::checks(Rules::LOCKS) {
        check_even(address, seen, function);
    }
    if thread.held.kind_of(address).is_some() {
        wait_for_itself(address, function);
    }
    spin_until(thread, address, function, || {
        lock.load(Ordering::Relaxed) == 0 && try_acquire(thread, lock).is_ok()
    });
}

fn wait_for_itself(lock: u64, function: &'static str) -> ! {
    verifier::violation(
        0x1000,
        [lock, 0, 0],
        function,
        "The thread holds the spin lock already and would wait for itself.",
    )
}

/// Tells a lock that is held as a queued one from memory that is no lock.
#[cold]
fn check_even(address: u64, seen: u64, function: &'static str) -> ! {
    let mut queued = false;
    thread::each(|other| queued |= other.held.kind_of(address) == Some(LockKind::QueuedSpin));
    let (rule, sentence) = if queued {
        (0x1008, "The spin lock is held as a queued one.".to_owned())
    } else {
        let sentence = format!("It holds 0x{seen:X}: never initialised, or overwritten.");
        (0x1002, sentence)
    };
    verifier::violation(rule, [address, 0, 0], function, sentence)
}

/// Spins until `done`, for `lock`: for a moment on the processor, then giving way to other threads of the
/// host, on which the one may be that holds the lock.
pub fn spin_until(
    thread: &'static Thread,
    lock: u64,
    function: &'static str,
    mut done: impl FnMut() -> bool,
) {
    /// How often it looks before it gives way.
    const LOOKS: u32 = 64;
    let mut looks = 0;
    let mut start = None;
    thread.waiting_for(lock, || {
        while !done() {
            kernel::check_alive(thread);
            if explore::is_on() {
                if start.is_none() {
                    start = Some(Instant::now());
                    deadlock::check_spinning(thread, function);
                }
                if explore::spin() {
                    let mut dispatcher = dispatcher::lock(thread);
                    deadlock::nothing_runs(&mut dispatcher, thread, function);
                }
                continue;
            }
            if looks < LOOKS {
                looks += 1;
                core::hint::spin_loop();
                continue;
            }
            std::thread::yield_now();
            let since: &mut Instant = start.get_or_insert_with(Instant::now);
            if since.elapsed() > deadlock::PATIENCE {
                deadlock::check_spinning(thread, function);
                *since = Instant::now();
            }
        }
    });
}

#[inline]
pub(super) fn check_owner(thread: &Thread, lock: &AtomicU64, function: &'static str) {
    let seen = lock.load(Ordering::Relaxed);
    if seen != owned_by(thread) {
        not_owner(thread, lock, seen, function);
    }
}

#[cold]
fn not_owner(thread: &Thread, lock: &AtomicU64, seen: u64, function: &'static str) -> ! {
    let address = lock.as_ptr() as u64;
    if seen == 0 {
        verifier::violation(
            0x1007,
            [address, 0, 0],
            function,
            "The spin lock is released and nobody holds it.",
        );
    }
    if seen & OWNED == 0 {
        verifier::violation(
            0x1009,
            [address, 0, 0],
            function,
            "The spin lock is held as a queued one.",
        );
    }
    verifier::violation(
        0x1004,
        [address, seen & !OWNED, thread.address()],
        function,
        "The spin lock is released by a thread that does not hold it.",
    )
}

/// Checks that no spin lock is held besides the one at `address`, with which the thread leaves `DISPATCH_LEVEL`.
#[inline]
pub fn check_last(thread: &Thread, address: u64, function: &'static str) {
    if let Some(other) = thread.held.last_spin_besides(address)
        && verifier::checks(Rules::LOCKS)
    {
        verifier::violation(
            0x1003,
            [address, other, 0],
            function,
            "The release lowers the IRQL under another spin lock, which should have been released first.",
        );
    }
}

#[inline]
pub(super) fn release(thread: &Thread, lock: &AtomicU64) {
    thread.held.remove(lock.as_ptr() as u64);
    lock.store(0, Ordering::Release);
}
