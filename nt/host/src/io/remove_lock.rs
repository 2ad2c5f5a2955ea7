//! Remove locks: who uses a device counts itself, and removal waits until nobody does.

use core::{
    ptr,
    sync::atomic::{AtomicI32, AtomicU8, Ordering},
};

use nt_abi::{
    _EVENT_TYPE::SynchronizationEvent, _KWAIT_REASON::Executive, _MODE::KernelMode, CHAR, FALSE,
    IO_REMOVE_LOCK, NTSTATUS, PVOID, STATUS_DELETE_PENDING, STATUS_SUCCESS, TRUE, ULONG,
};

use super::{remove_tags, rules::dispatch_level};
use crate::{
    irql::PASSIVE,
    ke::{
        event::ddk::{KeInitializeEvent, KeSetEvent},
        wait::ddk::KeWaitForSingleObject,
    },
    rtl,
};

/// The count of a lock: one, and one for each acquisition.
///
/// # Safety
///
/// The lock must be alive while the result is used.
const unsafe fn count<'a>(lock: *mut IO_REMOVE_LOCK) -> &'a AtomicI32 {
    // SAFETY: The lock is alive, by the contract of this function.
    let count = unsafe { &raw mut (*lock).Common.IoCount };
    // SAFETY: As above; the field is aligned, and drivers leave it alone.
    unsafe { AtomicI32::from_ptr(count) }
}

/// Whether the lock is being removed.
///
/// # Safety
///
/// As for [`count`].
const unsafe fn removed<'a>(lock: *mut IO_REMOVE_LOCK) -> &'a AtomicU8 {
    // SAFETY: The lock is alive, by the contract of this function.
    let removed = unsafe { &raw mut (*lock).Common.Removed };
    // SAFETY: As above.
    unsafe { AtomicU8::from_ptr(removed) }
}

/// Initialises a remove lock. `PASSIVE_LEVEL`. DDI: `IoInitializeRemoveLock`.
///
/// A lock is initialised once: bug check 0xC4 (0xD7) if it is again, also after it was waited for. How long and how
/// often it may be acquired is not looked at.
///
/// # Safety
///
/// `Lock` must be valid for a write of `RemlockSize` bytes.
pub unsafe extern "win64" fn IoInitializeRemoveLockEx(
    Lock: *mut IO_REMOVE_LOCK,
    _AllocateTag: ULONG,
    _MaxLockedMinutes: ULONG,
    _HighWatermark: ULONG,
    _RemlockSize: ULONG,
) {
    rtl::pageable!(PASSIVE, IoInitializeRemoveLockEx);
    // SAFETY: The memory is there, by the contract of this function.
    let is_counted = unsafe { count(Lock) }.load(Ordering::Relaxed) != 0;
    // SAFETY: As above.
    let was_initialized = is_counted || unsafe { removed(Lock) }.load(Ordering::Relaxed) != FALSE;
    remove_tags::initialize(Lock as u64, was_initialized, "IoInitializeRemoveLockEx");
    // SAFETY: Valid for a write by the contract of this function.
    unsafe { Lock.write(IO_REMOVE_LOCK::default()) };
    // SAFETY: The lock was written just now.
    unsafe { count(Lock) }.store(1, Ordering::Relaxed);
    // SAFETY: As above.
    let event = unsafe { &raw mut (*Lock).Common.RemoveEvent };
    // SAFETY: The event is part of the lock, which nobody uses yet.
    unsafe { KeInitializeEvent(event, SynchronizationEvent, FALSE) };
}

/// Acquires a remove lock. `<= DISPATCH_LEVEL`. `STATUS_DELETE_PENDING` once the device is being
/// removed. DDI: `IoAcquireRemoveLock`.
///
/// # Safety
///
/// The lock must be initialised.
pub unsafe extern "win64" fn IoAcquireRemoveLockEx(
    RemoveLock: *mut IO_REMOVE_LOCK,
    Tag: PVOID,
    _File: *const CHAR,
    _Line: ULONG,
    _RemlockSize: ULONG,
) -> NTSTATUS {
    dispatch_level("IoAcquireRemoveLockEx");
    // SAFETY: The lock is alive, by the contract of this function.
    unsafe { count(RemoveLock) }.fetch_add(1, Ordering::AcqRel);
    // SAFETY: As above.
    if unsafe { removed(RemoveLock) }.load(Ordering::Acquire) == FALSE {
        remove_tags::acquire(RemoveLock as u64, Tag as u64);
        return STATUS_SUCCESS;
    }
    // SAFETY: It was counted just now.
    unsafe { uncount(RemoveLock) };
    STATUS_DELETE_PENDING
}

/// Takes one acquisition off the count of a lock; who takes the last wakes the one who waits to remove it.
///
/// # Safety
///
/// The lock must be alive and counted.
unsafe fn uncount(lock: *mut IO_REMOVE_LOCK) {
    // SAFETY: The lock is alive, by the contract of this function.
    if unsafe { count(lock) }.fetch_sub(1, Ordering::AcqRel) != 1 {
        return;
    }
    // SAFETY: As above; the count is zero only when removal waits for it.
    let event = unsafe { &raw mut (*lock).Common.RemoveEvent };
    // SAFETY: The event was initialised with the lock.
    unsafe { KeSetEvent(event, 0, FALSE) };
}

/// Releases a remove lock. `<= DISPATCH_LEVEL`. DDI: `IoReleaseRemoveLock`.
///
/// A tag that it is not acquired with is bug check 0xC4 (0xD5).
///
/// # Safety
///
/// The lock must be acquired.
pub unsafe extern "win64" fn IoReleaseRemoveLockEx(
    RemoveLock: *mut IO_REMOVE_LOCK,
    Tag: PVOID,
    _RemlockSize: ULONG,
) {
    const NAME: &str = "IoReleaseRemoveLockEx";
    dispatch_level(NAME);
    remove_tags::release(RemoveLock as u64, Tag as u64, NAME);
    // SAFETY: The lock is alive and acquired, by the contract of this function.
    unsafe { uncount(RemoveLock) };
}

/// Releases a remove lock for the last time and waits until everybody has. `PASSIVE_LEVEL`. DDI:
/// `IoReleaseRemoveLockAndWait`.
///
/// A tag that it is not acquired with is bug check 0xC4 (0xD6).
///
/// # Safety
///
/// The lock must be acquired.
pub unsafe extern "win64" fn IoReleaseRemoveLockAndWaitEx(
    RemoveLock: *mut IO_REMOVE_LOCK,
    Tag: PVOID,
    _RemlockSize: ULONG,
) {
    const NAME: &str = "IoReleaseRemoveLockAndWaitEx";
    rtl::pageable!(PASSIVE, IoReleaseRemoveLockAndWaitEx);
    remove_tags::release_last(RemoveLock as u64, Tag as u64, NAME);
    // SAFETY: The lock is alive, by the contract of this function.
    unsafe { removed(RemoveLock) }.store(TRUE, Ordering::Release);
    // The caller's acquisition and the lock's own.
    // SAFETY: As above.
    if unsafe { count(RemoveLock) }.fetch_sub(2, Ordering::AcqRel) > 2 {
        // SAFETY: As above.
        let event = unsafe { &raw mut (*RemoveLock).Common.RemoveEvent };
        let forever = ptr::null_mut();
        // SAFETY: The event was initialised with the lock, and the IRQL was checked.
        unsafe { KeWaitForSingleObject(event.cast(), Executive, KernelMode as i8, FALSE, forever) };
    }
}

crate::export::exports! {
    "ntoskrnl.exe";
    IoInitializeRemoveLockEx, IoAcquireRemoveLockEx, IoReleaseRemoveLockEx,
    IoReleaseRemoveLockAndWaitEx,
}
