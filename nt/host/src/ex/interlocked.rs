//! `ExInterlockedXxxList`: lists under a spin lock of their own, for every IRQL.
//!
//! On Windows these functions disable interrupts. Here nothing interrupts a host thread, so the lock alone
//! will do; it is held for a few instructions and by no other function.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use nt_abi::{LIST_ENTRY, PKSPIN_LOCK};

use crate::{
    export::exports,
    ke::spinlock::spin_until,
    list::{Corrupt, ListEntry},
    thread, verifier,
};

exports!("ntoskrnl.exe";
    ExInterlockedInsertHeadList, ExInterlockedInsertTailList, ExInterlockedRemoveHeadList,
);

/// Set in a lock that is held, by the thread whose address the other bits are, as in any spin lock.
const OWNED: u64 = 1;

/// Runs `work` under the lock.
///
/// A lock that the thread holds by another function is bug check 0xC4 (0x1000).
///
/// # Safety
///
/// `lock` must point to an initialised spin lock that stays where it is.
unsafe fn under<R>(lock: PKSPIN_LOCK, function: &'static str, work: impl FnOnce() -> R) -> R {
    let thread = thread::current();
    let mine = thread.address() | OWNED;
    // SAFETY: The caller vouches for the pointer; a lock is only ever accessed atomically.
    let lock = unsafe { AtomicU64::from_ptr(lock) };
    if lock.load(Relaxed) == mine {
        verifier::violation(
            0x1000,
            [lock.as_ptr() as u64, 0, 0],
            function,
            "The thread holds the spin lock already and would wait for itself.",
        );
    }
    spin_until(thread, lock.as_ptr() as u64, function, || {
        lock.compare_exchange_weak(0, mine, Acquire, Relaxed)
            .is_ok()
    });
    let result = work();
    lock.store(0, Release);
    result
}

/// The list entry at an address that a driver gives.
///
/// # Safety
///
/// `entry` must point to a list entry that stays where it is.
const unsafe fn view<'a>(entry: *mut LIST_ENTRY) -> &'a ListEntry {
    // SAFETY: The caller vouches for the memory, whose fields are accessed atomically.
    unsafe { &*entry.cast::<ListEntry>() }
}

/// The entry after `entry`; null if that is alone.
fn neighbour(entry: &ListEntry, next: *mut ListEntry) -> *mut LIST_ENTRY {
    if entry.is_empty() {
        core::ptr::null_mut()
    } else {
        next.cast()
    }
}

/// `ExInterlockedInsertHeadList`: puts an entry first, and returns the one that was first before, null
/// if there was none. Any IRQL.
///
/// # Safety
///
/// `ListHead` must be an initialised list in resident memory that is used under this lock alone,
/// `ListEntry` an entry that is on no list.
pub unsafe extern "win64" fn ExInterlockedInsertHeadList(
    ListHead: *mut LIST_ENTRY,
    ListEntry: *mut LIST_ENTRY,
    Lock: PKSPIN_LOCK,
) -> *mut LIST_ENTRY {
    let work = || {
        // SAFETY: This function has the same contract.
        let head = unsafe { view(ListHead) };
        let first = neighbour(head, head.next());
        // SAFETY: As above.
        let entry = unsafe { view(ListEntry) };
        // SAFETY: The entries of the list are alive, and its lock is held.
        unsafe { head.insert_head(entry) };
        first
    };
    // SAFETY: This function has the same contract.
    unsafe { under(Lock, "ExInterlockedInsertHeadList", work) }
}

/// `ExInterlockedInsertTailList`: puts an entry last, and returns the one that was last before, null
/// if there was none. Any IRQL.
///
/// # Safety
///
/// As for [`ExInterlockedInsertHeadList`].
pub unsafe extern "win64" fn ExInterlockedInsertTailList(
    ListHead: *mut LIST_ENTRY,
    ListEntry: *mut LIST_ENTRY,
    Lock: PKSPIN_LOCK,
) -> *mut LIST_ENTRY {
    let work = || {
        // SAFETY: This function has the same contract.
        let head = unsafe { view(ListHead) };
        let last = neighbour(head, head.previous());
        // SAFETY: As above.
        let entry = unsafe { view(ListEntry) };
        // SAFETY: The entries of the list are alive, and its lock is held.
        unsafe { head.insert_tail(entry) };
        last
    };
    // SAFETY: This function has the same contract.
    unsafe { under(Lock, "ExInterlockedInsertTailList", work) }
}

/// `ExInterlockedRemoveHeadList`: takes the first entry off the list and returns it, null if there is
/// none. Any IRQL.
///
/// An entry whose neighbours do not point back to it is bug check 0x139 (3).
///
/// # Safety
///
/// As for [`ExInterlockedInsertHeadList`].
pub unsafe extern "win64" fn ExInterlockedRemoveHeadList(
    ListHead: *mut LIST_ENTRY,
    Lock: PKSPIN_LOCK,
) -> *mut LIST_ENTRY {
    let work = || {
        // SAFETY: This function has the same contract.
        let head = unsafe { view(ListHead) };
        let first = neighbour(head, head.next());
        if !first.is_null() {
            // SAFETY: What is on the list is alive.
            let entry = unsafe { view(first) };
            // SAFETY: It is on the list, whose lock is held.
            unsafe { entry.remove() }.unwrap_or_else(Corrupt::stop);
        }
        first
    };
    // SAFETY: This function has the same contract.
    unsafe { under(Lock, "ExInterlockedRemoveHeadList", work) }
}
