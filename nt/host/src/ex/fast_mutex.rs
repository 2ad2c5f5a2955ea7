//! Fast mutexes, and guarded mutexes, which have been the same since Windows 8.
//!
//! `Count` is 1 when the mutex is free, 0 when it is held, and less by one for each thread that waits. Who
//! releases it to one who waits signals the event, which lets one thread through.

use core::{
    mem::offset_of,
    ptr,
    sync::atomic::{
        AtomicI32, AtomicPtr, AtomicU32,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
};

use nt_abi::{BOOLEAN, FALSE, FAST_MUTEX, KEVENT, PFAST_MUTEX, TRUE, object_type};

use crate::{
    dispatcher::{self, Deadline, Header, WaitBlock, WaitKind},
    export::exports,
    initialized,
    irql::{self, APC},
    ke::region::{enter_critical_region, leave_critical_region},
    lock_order, spin,
    thread::{self, LockKind, Thread},
    verifier,
};

exports!("ntoskrnl.exe";
    ExAcquireFastMutex, ExAcquireFastMutexUnsafe, ExEnterCriticalRegionAndAcquireFastMutexUnsafe,
    ExReleaseFastMutex, ExReleaseFastMutexUnsafe, ExReleaseFastMutexUnsafeAndLeaveCriticalRegion,
    ExTryToAcquireFastMutex, KeAcquireGuardedMutex, KeAcquireGuardedMutexUnsafe,
    KeInitializeGuardedMutex, KeReleaseGuardedMutex, KeReleaseGuardedMutexUnsafe,
    KeTryToAcquireGuardedMutex,
);

/// A [`FAST_MUTEX`] with atomic fields.
#[repr(C)]
pub struct FastMutex {
    count: AtomicI32,
    owner: AtomicPtr<Thread>,
    contention: AtomicU32,
    event: Header,
    old_irql: AtomicU32,
}

const _: () = {
    assert!(size_of::<FastMutex>() == size_of::<FAST_MUTEX>());
    assert!(offset_of!(FastMutex, owner) == offset_of!(FAST_MUTEX, Owner));
    assert!(offset_of!(FastMutex, event) == offset_of!(FAST_MUTEX, Event));
    assert!(offset_of!(FastMutex, old_irql) == offset_of!(FAST_MUTEX, OldIrql));
};

/// The numbers of the rules that the functions check.
struct Rules {
    name: &'static str,
    irql: u64,
    kind: LockKind,
}

impl FastMutex {
    /// The mutex at an address that a driver gives.
    ///
    /// # Safety
    ///
    /// `mutex` must point to memory for a fast mutex that stays where it is.
    unsafe fn at<'a>(mutex: PFAST_MUTEX, function: &'static str) -> &'a Self {
        // SAFETY: The caller vouches for the memory, whose fields are accessed atomically.
        unsafe { verifier::object(mutex.cast(), function) }
    }

    fn key(&self) -> u64 {
        ptr::from_ref(self) as u64
    }

    fn initialize(&self) {
        self.count.store(1, Relaxed);
        self.owner.store(ptr::null_mut(), Relaxed);
        self.contention.store(0, Relaxed);
        self.event
            .initialize(object_type::SynchronizationEvent, size_of::<KEVENT>(), 0);
        lock_order::forget_lock(self.key());
    }

    fn is_owned_by(&self, thread: &Thread) -> bool {
        ptr::eq(self.owner.load(Relaxed), thread)
    }

    fn try_acquire(&self, thread: &Thread, kind: LockKind) -> bool {
        let acquired = self.count.compare_exchange(1, 0, Acquire, Relaxed).is_ok();
        if acquired {
            self.own(thread, kind);
        }
        acquired
    }

    fn own(&self, thread: &Thread, kind: LockKind) {
        self.owner.store(ptr::from_ref(thread).cast_mut(), Relaxed);
        thread.held.push(self.key(), kind);
    }

    fn acquire(&self, thread: &'static Thread, rules: &Rules) {
        if !self.try_acquire(thread, rules.kind) {
            self.acquire_contended(thread, rules);
        }
        lock_order::check(thread, self.key(), rules.name);
    }

    #[cold]
    fn acquire_contended(&self, thread: &'static Thread, rules: &Rules) {
        if self.is_owned_by(thread) {
            verifier::violation(
                0x1000,
                [self.key(), 0, 0],
                rules.name,
                "The thread holds the fast mutex already and would wait for itself.",
            );
        }
        let is_event = self.event.kind() == object_type::SynchronizationEvent;
        if !is_event || !self.event.is_waitable() || self.count.load(Relaxed) > 1 {
            verifier::violation(
                0x1002,
                [self.key(), 0, 0],
                rules.name,
                "The object is not a fast mutex that was initialised.",
            );
        }
        let becomes_free = || self.count.load(Relaxed) == 1 && self.try_acquire(thread, rules.kind);
        if spin::for_a_moment(becomes_free) {
            return;
        }
        if self.count.fetch_sub(1, AcqRel) != 1 {
            self.contention.fetch_add(1, Relaxed);
            let blocks = [WaitBlock::new()];
            thread.waiting_for(self.key(), || {
                dispatcher::wait(
                    thread,
                    &[&self.event],
                    &blocks,
                    WaitKind::Any,
                    Deadline::Never,
                )
            });
        }
        self.own(thread, rules.kind);
    }

    /// Frees the mutex, whose owner `thread` is by [`Self::check_owner`].
    fn release(&self, thread: &'static Thread) {
        thread.held.remove(self.key());
        self.owner.store(ptr::null_mut(), Relaxed);
        if self.count.fetch_add(1, AcqRel) < 0 {
            dispatcher::lock(thread).signal(&self.event, 1);
        }
    }

    fn check_owner(&self, thread: &Thread, rules: &Rules) {
        let owner = self.owner.load(Relaxed);
        if !ptr::eq(owner, thread) {
            let (rule, sentence) = if owner.is_null() {
                (0x1007, "The fast mutex is released and nobody holds it.")
            } else {
                (
                    0x1004,
                    "The fast mutex is released by a thread that does not hold it.",
                )
            };
            let parameters = [self.key(), owner as u64, thread.address()];
            verifier::violation(rule, parameters, rules.name, sentence);
        }
        if thread
            .held
            .kind_of(self.key())
            .is_some_and(|kind| kind != rules.kind)
            && verifier::checks(crate::Rules::LOCKS)
        {
            verifier::violation(
                0x1009,
                [self.key(), 0, 0],
                rules.name,
                "The fast mutex was acquired by a function that this one does not undo.",
            );
        }
    }
}

/// Acquires a mutex and raises to `APC_LEVEL`.
///
/// # Safety
///
/// `mutex` must point to an initialised fast mutex.
unsafe fn acquire_raising(mutex: PFAST_MUTEX, name: &'static str) {
    let thread = thread::current();
    check_acquire(thread, mutex, name);
    // SAFETY: This function has the same contract.
    let mutex = unsafe { FastMutex::at(mutex, name) };
    let old = thread.irql();
    irql::raise(thread, APC);
    mutex.acquire(
        thread,
        &Rules {
            name,
            irql: 0x33,
            kind: LockKind::FastMutex,
        },
    );
    mutex.old_irql.store(u32::from(old), Relaxed);
}

/// Acquires a mutex and raises to `APC_LEVEL`, if it is free.
///
/// # Safety
///
/// `mutex` must point to an initialised fast mutex.
unsafe fn try_raising(mutex: PFAST_MUTEX, name: &'static str) -> BOOLEAN {
    let thread = thread::current();
    check_acquire(thread, mutex, name);
    // SAFETY: This function has the same contract.
    let mutex = unsafe { FastMutex::at(mutex, name) };
    let old = thread.irql();
    irql::raise(thread, APC);
    if mutex.try_acquire(thread, LockKind::FastMutex) {
        mutex.old_irql.store(u32::from(old), Relaxed);
        return TRUE;
    }
    irql::lower(thread, old);
    FALSE
}

fn check_acquire(thread: &Thread, mutex: PFAST_MUTEX, name: &'static str) {
    if thread.irql() > APC {
        let irql = u64::from(thread.irql());
        let sentence = "IRQL must be APC_LEVEL or below.";
        verifier::violation(0x33, [irql, mutex as u64, 0], name, sentence);
    }
}

/// Releases a mutex and lowers the IRQL.
///
/// # Safety
///
/// `mutex` must point to an initialised fast mutex.
unsafe fn release_lowering(mutex: PFAST_MUTEX, name: &'static str) {
    let thread = thread::current();
    if thread.irql() != APC {
        let irql = u64::from(thread.irql());
        verifier::violation(
            0x34,
            [irql, mutex as u64, 0],
            name,
            "IRQL must be APC_LEVEL.",
        );
    }
    // SAFETY: This function has the same contract.
    let mutex = unsafe { FastMutex::at(mutex, name) };
    let old = mutex.old_irql.load(Relaxed);
    let rules = Rules {
        name,
        irql: 0x34,
        kind: LockKind::FastMutex,
    };
    mutex.check_owner(thread, &rules);
    if old == 0 {
        check_last(thread, mutex, name);
    }
    mutex.release(thread);
    irql::lower(thread, if old == 0 { irql::PASSIVE } else { APC });
}

/// Checks that no mutex is held that was acquired after this one, with which the thread leaves `APC_LEVEL`.
fn check_last(thread: &Thread, mutex: &FastMutex, name: &'static str) {
    if let Some(other) = thread.held.fast_mutex_after(mutex.key())
        && verifier::checks(crate::Rules::LOCKS)
    {
        verifier::violation(
            0x1003,
            [mutex.key(), other, 0],
            name,
            "The release lowers the IRQL under another fast mutex, which should have been released first.",
        );
    }
}

/// Acquires a mutex where APCs are off already.
///
/// # Safety
///
/// `mutex` must point to an initialised fast mutex.
unsafe fn acquire_unsafe(mutex: PFAST_MUTEX, name: &'static str) {
    let thread = thread::current();
    let rules = Rules {
        name,
        irql: 0x39,
        kind: LockKind::FastMutexUnsafe,
    };
    check_unsafe(thread, mutex, &rules);
    // SAFETY: This function has the same contract.
    unsafe { FastMutex::at(mutex, name) }.acquire(thread, &rules);
}

/// Releases a mutex and leaves APCs off.
///
/// # Safety
///
/// `mutex` must point to an initialised fast mutex.
unsafe fn release_unsafe(mutex: PFAST_MUTEX, name: &'static str) {
    let thread = thread::current();
    let rules = Rules {
        name,
        irql: 0x3A,
        kind: LockKind::FastMutexUnsafe,
    };
    check_unsafe(thread, mutex, &rules);
    // SAFETY: This function has the same contract.
    let mutex = unsafe { FastMutex::at(mutex, name) };
    mutex.check_owner(thread, &rules);
    mutex.release(thread);
}

/// The pages conflict on whether a critical region will do in place of `APC_LEVEL`. The function's own says
/// so.
fn check_unsafe(thread: &Thread, mutex: PFAST_MUTEX, rules: &Rules) {
    let apcs = thread.object.combined_apc_disable();
    if thread.irql() > APC || (thread.irql() < APC && apcs == 0) {
        verifier::violation(
            rules.irql,
            [u64::from(thread.irql()), apcs, mutex as u64],
            rules.name,
            "It must be called at APC_LEVEL, or inside of a critical or guarded region.",
        );
    }
}

/// `ExAcquireFastMutex`: acquires a fast mutex and raises to `APC_LEVEL`. IRQL <= `APC_LEVEL` (bug check
/// 0xC4 (0x33)).
///
/// One that the thread holds is bug check 0xC4 (0x1000), one that is not initialised 0xC4 (0x1002).
///
/// # Safety
///
/// `FastMutex` must point to an initialised fast mutex.
pub unsafe extern "win64" fn ExAcquireFastMutex(FastMutex: PFAST_MUTEX) {
    // SAFETY: This function has the same contract.
    unsafe { acquire_raising(FastMutex, "ExAcquireFastMutex") };
}

/// `ExTryToAcquireFastMutex`: acquires a fast mutex and raises to `APC_LEVEL` if the mutex is free, and
/// returns whether it did. IRQL <= `APC_LEVEL` (bug check 0xC4 (0x33)).
///
/// # Safety
///
/// `FastMutex` must point to an initialised fast mutex.
pub unsafe extern "win64" fn ExTryToAcquireFastMutex(FastMutex: PFAST_MUTEX) -> BOOLEAN {
    // SAFETY: This function has the same contract.
    unsafe { try_raising(FastMutex, "ExTryToAcquireFastMutex") }
}

/// `ExReleaseFastMutex`: releases a fast mutex and goes back to the IRQL of its acquisition. IRQL =
/// `APC_LEVEL` (bug check 0xC4 (0x34)).
///
/// A mutex that is free is bug check 0xC4 (0x1007), that of another thread 0xC4 (0x1004), one acquired by
/// `ExAcquireFastMutexUnsafe` 0xC4 (0x1009).
///
/// # Safety
///
/// `FastMutex` must point to a fast mutex that the caller holds.
pub unsafe extern "win64" fn ExReleaseFastMutex(FastMutex: PFAST_MUTEX) {
    // SAFETY: This function has the same contract.
    unsafe { release_lowering(FastMutex, "ExReleaseFastMutex") };
}

/// `ExAcquireFastMutexUnsafe`: acquires a fast mutex at `APC_LEVEL` or inside of a critical region (bug check
/// 0xC4 (0x39)) and leaves the IRQL as it is.
///
/// # Safety
///
/// `FastMutex` must point to an initialised fast mutex.
pub unsafe extern "win64" fn ExAcquireFastMutexUnsafe(FastMutex: PFAST_MUTEX) {
    // SAFETY: This function has the same contract.
    unsafe { acquire_unsafe(FastMutex, "ExAcquireFastMutexUnsafe") };
}

/// `ExReleaseFastMutexUnsafe`: releases what `ExAcquireFastMutexUnsafe` acquired, at `APC_LEVEL` or inside of
/// a critical region (bug check 0xC4 (0x3A)).
///
/// # Safety
///
/// `FastMutex` must point to a fast mutex that the caller holds.
pub unsafe extern "win64" fn ExReleaseFastMutexUnsafe(FastMutex: PFAST_MUTEX) {
    // SAFETY: This function has the same contract.
    unsafe { release_unsafe(FastMutex, "ExReleaseFastMutexUnsafe") };
}

/// `ExEnterCriticalRegionAndAcquireFastMutexUnsafe`: enters a critical region and acquires a fast mutex. IRQL
/// <= `APC_LEVEL`.
///
/// # Safety
///
/// `FastMutex` must point to an initialised fast mutex.
pub unsafe extern "win64" fn ExEnterCriticalRegionAndAcquireFastMutexUnsafe(
    FastMutex: PFAST_MUTEX,
) {
    const NAME: &str = "ExEnterCriticalRegionAndAcquireFastMutexUnsafe";
    enter_critical_region(thread::current(), NAME);
    // SAFETY: This function has the same contract.
    unsafe { acquire_unsafe(FastMutex, NAME) };
}

/// `ExReleaseFastMutexUnsafeAndLeaveCriticalRegion`: releases a fast mutex and leaves the critical region.
/// IRQL <= `APC_LEVEL`.
///
/// # Safety
///
/// `FastMutex` must point to a fast mutex that the caller holds.
pub unsafe extern "win64" fn ExReleaseFastMutexUnsafeAndLeaveCriticalRegion(
    FastMutex: PFAST_MUTEX,
) {
    const NAME: &str = "ExReleaseFastMutexUnsafeAndLeaveCriticalRegion";
    // SAFETY: This function has the same contract.
    unsafe { release_unsafe(FastMutex, NAME) };
    leave_critical_region(thread::current(), NAME);
}

/// `KeInitializeGuardedMutex`: makes a free guarded mutex. IRQL <= `APC_LEVEL`. One that a thread holds is bug
/// check 0xC4 (0x1005).
///
/// # Safety
///
/// `Mutex` must point to resident memory for a guarded mutex that nobody uses.
pub unsafe extern "win64" fn KeInitializeGuardedMutex(Mutex: PFAST_MUTEX) {
    const NAME: &str = "KeInitializeGuardedMutex";
    verifier::thread_at_most(APC, "KeInitializeGuardedMutex");
    verifier::check_resident(Mutex as u64, NAME);
    // SAFETY: This function has the same contract.
    let mutex = unsafe { FastMutex::at(Mutex, NAME) };
    if !mutex.owner.load(Relaxed).is_null() {
        verifier::check_not_held(mutex.key(), NAME);
    }
    mutex.initialize();
    initialized::note(mutex.key(), LockKind::FastMutex.noun(), NAME);
}

/// `KeAcquireGuardedMutex`: as [`ExAcquireFastMutex`].
///
/// # Safety
///
/// `Mutex` must point to an initialised guarded mutex.
pub unsafe extern "win64" fn KeAcquireGuardedMutex(Mutex: PFAST_MUTEX) {
    // SAFETY: This function has the same contract.
    unsafe { acquire_raising(Mutex, "KeAcquireGuardedMutex") };
}

/// `KeTryToAcquireGuardedMutex`: as [`ExTryToAcquireFastMutex`].
///
/// # Safety
///
/// `Mutex` must point to an initialised guarded mutex.
pub unsafe extern "win64" fn KeTryToAcquireGuardedMutex(Mutex: PFAST_MUTEX) -> BOOLEAN {
    // SAFETY: This function has the same contract.
    unsafe { try_raising(Mutex, "KeTryToAcquireGuardedMutex") }
}

/// `KeReleaseGuardedMutex`: as [`ExReleaseFastMutex`].
///
/// # Safety
///
/// `Mutex` must point to a guarded mutex that the caller holds.
pub unsafe extern "win64" fn KeReleaseGuardedMutex(Mutex: PFAST_MUTEX) {
    // SAFETY: This function has the same contract.
    unsafe { release_lowering(Mutex, "KeReleaseGuardedMutex") };
}

/// `KeAcquireGuardedMutexUnsafe`: as [`ExAcquireFastMutexUnsafe`].
///
/// # Safety
///
/// `Mutex` must point to an initialised guarded mutex.
pub unsafe extern "win64" fn KeAcquireGuardedMutexUnsafe(Mutex: PFAST_MUTEX) {
    // SAFETY: This function has the same contract.
    unsafe { acquire_unsafe(Mutex, "KeAcquireGuardedMutexUnsafe") };
}

/// `KeReleaseGuardedMutexUnsafe`: as [`ExReleaseFastMutexUnsafe`].
///
/// # Safety
///
/// `Mutex` must point to a guarded mutex that the caller holds.
pub unsafe extern "win64" fn KeReleaseGuardedMutexUnsafe(Mutex: PFAST_MUTEX) {
    // SAFETY: This function has the same contract.
    unsafe { release_unsafe(Mutex, "KeReleaseGuardedMutexUnsafe") };
}
