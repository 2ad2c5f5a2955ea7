//! `EX_SPIN_LOCK`: spin locks that one thread holds exclusively or several share.
//!
//! Bit 31 is set while the lock is held exclusively, bit 30 while somebody waits for that, which keeps those
//! out who come to share it; the bits below count those who do.

use core::sync::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use nt_abi::{KIRQL, LOGICAL, PEX_SPIN_LOCK};

use crate::{
    export::exports,
    irql::{self, DISPATCH},
    ke::{
        irql::check_lower,
        spinlock::{check_last, spin_until},
    },
    lock_order,
    thread::{self, LockKind, Thread},
    verifier,
};

exports!("ntoskrnl.exe";
    ExAcquireSpinLockExclusive, ExAcquireSpinLockExclusiveAtDpcLevel, ExAcquireSpinLockShared,
    ExAcquireSpinLockSharedAtDpcLevel, ExReleaseSpinLockExclusive,
    ExReleaseSpinLockExclusiveFromDpcLevel, ExReleaseSpinLockShared,
    ExReleaseSpinLockSharedFromDpcLevel, ExTryAcquireSpinLockExclusiveAtDpcLevel,
    ExTryAcquireSpinLockSharedAtDpcLevel, ExTryConvertSharedSpinLockExclusive,
);

/// The lock is held exclusively.
const EXCLUSIVE: u32 = 1 << 31;
/// Somebody waits to hold it exclusively.
const WANTED: u32 = 1 << 30;

/// An `EX_SPIN_LOCK`.
#[derive(Clone, Copy)]
struct SharedSpinLock<'a>(&'a AtomicU32);

impl SharedSpinLock<'_> {
    /// The lock at an address that a driver gives.
    ///
    /// # Safety
    ///
    /// `lock` must point to an `EX_SPIN_LOCK` that stays where it is.
    unsafe fn at(lock: PEX_SPIN_LOCK, function: &'static str) -> Self {
        // SAFETY: The caller vouches for the pointer; the lock is only ever accessed atomically.
        Self(unsafe { verifier::object(lock.cast(), function) })
    }

    fn key(self) -> u64 {
        self.0.as_ptr() as u64
    }

    fn try_shared(self, thread: &Thread) -> bool {
        let seen = self.0.load(Relaxed);
        let taken = seen & (EXCLUSIVE | WANTED) == 0
            && self
                .0
                .compare_exchange(seen, seen + 1, Acquire, Relaxed)
                .is_ok();
        if taken {
            thread.held.push(self.key(), LockKind::SharedSpin);
        }
        taken
    }

    fn try_exclusive(self, thread: &Thread) -> bool {
        let seen = self.0.load(Relaxed);
        // Whoever waits as well sets the mark again.
        let taken = seen & !WANTED == 0
            && self
                .0
                .compare_exchange(seen, EXCLUSIVE, Acquire, Relaxed)
                .is_ok();
        if taken {
            thread.held.push(self.key(), LockKind::ExclusiveSpin);
        }
        taken
    }

    fn acquire_shared(self, thread: &'static Thread, function: &'static str) {
        if !self.try_shared(thread) {
            self.check_recursion(thread, function);
            spin_until(thread, self.key(), function, || self.try_shared(thread));
        }
        lock_order::check(thread, self.key(), function);
    }

    fn acquire_exclusive(self, thread: &'static Thread, function: &'static str) {
        if !self.try_exclusive(thread) {
            self.check_recursion(thread, function);
            spin_until(thread, self.key(), function, || {
                self.0.fetch_or(WANTED, Relaxed);
                self.try_exclusive(thread)
            });
        }
        lock_order::check(thread, self.key(), function);
    }

    /// A thread that has to wait must not hold the lock itself. To share it twice is an error too, which
    /// shows only when somebody waits in between.
    fn check_recursion(self, thread: &Thread, function: &'static str) {
        if thread.held.kind_of(self.key()).is_some() {
            verifier::violation(
                0x1000,
                [self.key(), 0, 0],
                function,
                "The thread holds the spin lock already and would wait for itself.",
            );
        }
    }

    fn release(self, thread: &Thread, kind: LockKind, function: &'static str) {
        self.check_held(thread, kind, function);
        thread.held.remove(self.key());
        if kind == LockKind::ExclusiveSpin {
            self.0.fetch_and(!EXCLUSIVE, Release);
        } else {
            self.0.fetch_sub(1, Release);
        }
    }

    fn check_held(self, thread: &Thread, kind: LockKind, function: &'static str) {
        match thread.held.kind_of(self.key()) {
            Some(held) if held == kind => {}
            Some(_) => verifier::violation(
                0x1009,
                [self.key(), 0, 0],
                function,
                "The spin lock is held the other way: shared or exclusive.",
            ),
            None => verifier::violation(
                0x1007,
                [self.key(), 0, 0],
                function,
                "The spin lock is released by a thread that does not hold it.",
            ),
        }
    }

    /// Makes the only one who shares the lock hold it exclusively.
    fn try_convert(self, thread: &Thread) -> bool {
        let seen = self.0.load(Relaxed);
        let converted = seen & !WANTED == 1
            && self
                .0
                .compare_exchange(seen, EXCLUSIVE | seen & WANTED, AcqRel, Relaxed)
                .is_ok();
        if converted {
            thread.held.remove(self.key());
            thread.held.push(self.key(), LockKind::ExclusiveSpin);
        }
        converted
    }
}

fn check_irql(right: bool, rule: u64, thread: &Thread, lock: u64, function: &'static str) {
    if !right {
        let irql = u64::from(thread.irql());
        verifier::violation(rule, [irql, lock, 0], function, "The IRQL is wrong.");
    }
}

/// Raises to `DISPATCH_LEVEL`, and returns the IRQL before.
fn raise(thread: &Thread, lock: SharedSpinLock<'_>, function: &'static str) -> KIRQL {
    let old = thread.irql();
    check_irql(old <= DISPATCH, 0x42, thread, lock.key(), function);
    irql::raise(thread, DISPATCH);
    old
}

/// Releases a lock and lowers the IRQL.
fn release_lowering(lock: SharedSpinLock<'_>, kind: LockKind, old: KIRQL, function: &'static str) {
    let thread = thread::current();
    check_irql(
        thread.irql() == DISPATCH,
        0x32,
        thread,
        lock.key(),
        function,
    );
    lock.check_held(thread, kind, function);
    check_lower(thread, old, function);
    if old < DISPATCH {
        check_last(thread, lock.key(), function);
    }
    lock.release(thread, kind, function);
    irql::lower(thread, old);
}

/// `ExAcquireSpinLockShared`: raises to `DISPATCH_LEVEL`, acquires the lock to share it, and returns the IRQL
/// before. IRQL <= `DISPATCH_LEVEL` (bug check 0xC4 (0x42)).
///
/// # Safety
///
/// `SpinLock` must point to a lock that was zero at first.
pub unsafe extern "win64" fn ExAcquireSpinLockShared(SpinLock: PEX_SPIN_LOCK) -> KIRQL {
    const NAME: &str = "ExAcquireSpinLockShared";
    let thread = thread::current();
    // SAFETY: This function has the same contract.
    let lock = unsafe { SharedSpinLock::at(SpinLock, NAME) };
    let old = raise(thread, lock, NAME);
    lock.acquire_shared(thread, NAME);
    old
}

/// `ExAcquireSpinLockExclusive`: raises to `DISPATCH_LEVEL`, acquires the lock exclusively, and returns the
/// IRQL before. IRQL <= `DISPATCH_LEVEL` (bug check 0xC4 (0x42)).
///
/// # Safety
///
/// `SpinLock` must point to a lock that was zero at first.
pub unsafe extern "win64" fn ExAcquireSpinLockExclusive(SpinLock: PEX_SPIN_LOCK) -> KIRQL {
    const NAME: &str = "ExAcquireSpinLockExclusive";
    let thread = thread::current();
    // SAFETY: This function has the same contract.
    let lock = unsafe { SharedSpinLock::at(SpinLock, NAME) };
    let old = raise(thread, lock, NAME);
    lock.acquire_exclusive(thread, NAME);
    old
}

/// `ExReleaseSpinLockShared`: releases a lock that is shared, and lowers the IRQL. IRQL = `DISPATCH_LEVEL`
/// (bug check 0xC4 (0x32)).
///
/// One who does not hold it gets bug check 0xC4 (0x1007), one who holds it exclusively 0xC4 (0x1009).
///
/// # Safety
///
/// The caller must share the lock; `OldIrql` must be what its acquisition returned.
pub unsafe extern "win64" fn ExReleaseSpinLockShared(SpinLock: PEX_SPIN_LOCK, OldIrql: KIRQL) {
    const NAME: &str = "ExReleaseSpinLockShared";
    // SAFETY: This function has the same contract.
    let lock = unsafe { SharedSpinLock::at(SpinLock, NAME) };
    release_lowering(lock, LockKind::SharedSpin, OldIrql, NAME);
}

/// `ExReleaseSpinLockExclusive`: releases a lock that is held exclusively, and lowers the IRQL. IRQL =
/// `DISPATCH_LEVEL` (bug check 0xC4 (0x32)).
///
/// One who does not hold it gets bug check 0xC4 (0x1007), one who shares it 0xC4 (0x1009).
///
/// # Safety
///
/// The caller must hold the lock exclusively; `OldIrql` must be what its acquisition returned.
pub unsafe extern "win64" fn ExReleaseSpinLockExclusive(SpinLock: PEX_SPIN_LOCK, OldIrql: KIRQL) {
    const NAME: &str = "ExReleaseSpinLockExclusive";
    // SAFETY: This function has the same contract.
    let lock = unsafe { SharedSpinLock::at(SpinLock, NAME) };
    release_lowering(lock, LockKind::ExclusiveSpin, OldIrql, NAME);
}

/// `ExAcquireSpinLockSharedAtDpcLevel`: acquires the lock to share it, and leaves the IRQL as it is. IRQL >=
/// `DISPATCH_LEVEL` (bug check 0xC4 (0x40)).
///
/// # Safety
///
/// `SpinLock` must point to a lock that was zero at first.
pub unsafe extern "win64" fn ExAcquireSpinLockSharedAtDpcLevel(SpinLock: PEX_SPIN_LOCK) {
    const NAME: &str = "ExAcquireSpinLockSharedAtDpcLevel";
    let thread = thread::current();
    check_irql(thread.is_at_dispatch(), 0x40, thread, SpinLock as u64, NAME);
    // SAFETY: This function has the same contract.
    unsafe { SharedSpinLock::at(SpinLock, NAME) }.acquire_shared(thread, NAME);
}

/// `ExAcquireSpinLockExclusiveAtDpcLevel`: acquires the lock exclusively, and leaves the IRQL as it is. IRQL
/// >= `DISPATCH_LEVEL` (bug check 0xC4 (0x40)).
///
/// # Safety
///
/// `SpinLock` must point to a lock that was zero at first.
pub unsafe extern "win64" fn ExAcquireSpinLockExclusiveAtDpcLevel(SpinLock: PEX_SPIN_LOCK) {
    const NAME: &str = "ExAcquireSpinLockExclusiveAtDpcLevel";
    let thread = thread::current();
    check_irql(thread.is_at_dispatch(), 0x40, thread, SpinLock as u64, NAME);
    // SAFETY: This function has the same contract.
    unsafe { SharedSpinLock::at(SpinLock, NAME) }.acquire_exclusive(thread, NAME);
}

/// `ExReleaseSpinLockSharedFromDpcLevel`: releases a lock that is shared, and leaves the IRQL as it is. IRQL
/// >= `DISPATCH_LEVEL` (bug check 0xC4 (0x41)).
///
/// # Safety
///
/// The caller must share the lock.
pub unsafe extern "win64" fn ExReleaseSpinLockSharedFromDpcLevel(SpinLock: PEX_SPIN_LOCK) {
    const NAME: &str = "ExReleaseSpinLockSharedFromDpcLevel";
    let thread = thread::current();
    check_irql(thread.is_at_dispatch(), 0x41, thread, SpinLock as u64, NAME);
    // SAFETY: This function has the same contract.
    unsafe { SharedSpinLock::at(SpinLock, NAME) }.release(thread, LockKind::SharedSpin, NAME);
}

/// `ExReleaseSpinLockExclusiveFromDpcLevel`: releases a lock that is held exclusively, and leaves the IRQL as
/// it is. IRQL >= `DISPATCH_LEVEL` (bug check 0xC4 (0x41)).
///
/// # Safety
///
/// The caller must hold the lock exclusively.
pub unsafe extern "win64" fn ExReleaseSpinLockExclusiveFromDpcLevel(SpinLock: PEX_SPIN_LOCK) {
    const NAME: &str = "ExReleaseSpinLockExclusiveFromDpcLevel";
    let thread = thread::current();
    check_irql(thread.is_at_dispatch(), 0x41, thread, SpinLock as u64, NAME);
    // SAFETY: This function has the same contract.
    unsafe { SharedSpinLock::at(SpinLock, NAME) }.release(thread, LockKind::ExclusiveSpin, NAME);
}

/// `ExTryAcquireSpinLockSharedAtDpcLevel`: acquires the lock to share it if that is possible now, and returns
/// whether it did. IRQL >= `DISPATCH_LEVEL` (bug check 0xC4 (0x40)).
///
/// # Safety
///
/// `SpinLock` must point to a lock that was zero at first.
pub unsafe extern "win64" fn ExTryAcquireSpinLockSharedAtDpcLevel(
    SpinLock: PEX_SPIN_LOCK,
) -> LOGICAL {
    const NAME: &str = "ExTryAcquireSpinLockSharedAtDpcLevel";
    let thread = thread::current();
    check_irql(thread.is_at_dispatch(), 0x40, thread, SpinLock as u64, NAME);
    // SAFETY: This function has the same contract.
    LOGICAL::from(unsafe { SharedSpinLock::at(SpinLock, NAME) }.try_shared(thread))
}

/// `ExTryAcquireSpinLockExclusiveAtDpcLevel`: acquires the lock exclusively if that is possible now, and
/// returns whether it did. IRQL >= `DISPATCH_LEVEL` (bug check 0xC4 (0x40)).
///
/// # Safety
///
/// `SpinLock` must point to a lock that was zero at first.
pub unsafe extern "win64" fn ExTryAcquireSpinLockExclusiveAtDpcLevel(
    SpinLock: PEX_SPIN_LOCK,
) -> LOGICAL {
    const NAME: &str = "ExTryAcquireSpinLockExclusiveAtDpcLevel";
    let thread = thread::current();
    check_irql(thread.is_at_dispatch(), 0x40, thread, SpinLock as u64, NAME);
    // SAFETY: This function has the same contract.
    LOGICAL::from(unsafe { SharedSpinLock::at(SpinLock, NAME) }.try_exclusive(thread))
}

/// `ExTryConvertSharedSpinLockExclusive`: makes the caller, who shares the lock, hold it exclusively if nobody
/// else shares it, and returns whether it did.
///
/// IRQL >= `DISPATCH_LEVEL` (bug check 0xC4 (0x40)).
///
/// # Safety
///
/// The caller must share the lock.
pub unsafe extern "win64" fn ExTryConvertSharedSpinLockExclusive(
    SpinLock: PEX_SPIN_LOCK,
) -> LOGICAL {
    const NAME: &str = "ExTryConvertSharedSpinLockExclusive";
    let thread = thread::current();
    check_irql(thread.is_at_dispatch(), 0x40, thread, SpinLock as u64, NAME);
    // SAFETY: This function has the same contract.
    let lock = unsafe { SharedSpinLock::at(SpinLock, NAME) };
    lock.check_held(thread, LockKind::SharedSpin, NAME);
    LOGICAL::from(lock.try_convert(thread))
}
