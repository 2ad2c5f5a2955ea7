//! `KSPIN_LOCK` as an in-stack queued spin lock.

use core::{
    mem::{self, MaybeUninit},
    pin::Pin,
};

use wdk_sync::{Irql, Passive, QueueHandle, QueuedSpinLock};
use wdk_sys::{
    KLOCK_QUEUE_HANDLE, KSPIN_LOCK,
    ntddk::{
        KeAcquireInStackQueuedSpinLock, KeAcquireInStackQueuedSpinLockAtDpcLevel,
        KeReleaseInStackQueuedSpinLock, KeReleaseInStackQueuedSpinLockFromDpcLevel,
    },
};

use crate::{
    pair::{cycle, pair},
    subjects::RawLock,
};

cycle! { RAISING = "queued_spin_lock", same, passive,
    raw(lock: RawLock<KSPIN_LOCK> = queued_spin_lock) {
        let mut handle = MaybeUninit::uninit();
        // SAFETY: The lock is initialised, the IRQL is low, and the handle stays to the end.
        unsafe { KeAcquireInStackQueuedSpinLock(lock.get(), handle.as_mut_ptr()) };
        // SAFETY: The lock is held.
        unsafe { lock.add() };
        // SAFETY: As above.
        unsafe { KeReleaseInStackQueuedSpinLock(handle.as_mut_ptr()) };
    }
    safe(lock: QueuedSpinLock<u64> = queued_spin_lock, irql) {
        lock.with(irql, |data, _irql| *data = data.wrapping_add(1));
    }
}

cycle! { AT_DPC_LEVEL = "queued_spin_lock_at_dpc_level", same, dispatch,
    raw(lock: RawLock<KSPIN_LOCK> = queued_spin_lock) {
        let mut handle = MaybeUninit::uninit();
        // SAFETY: The lock is initialised, the IRQL is DISPATCH_LEVEL, and the handle stays to the
        // end.
        unsafe { KeAcquireInStackQueuedSpinLockAtDpcLevel(lock.get(), handle.as_mut_ptr()) };
        // SAFETY: The lock is held.
        unsafe { lock.add() };
        // SAFETY: As above.
        unsafe { KeReleaseInStackQueuedSpinLockFromDpcLevel(handle.as_mut_ptr()) };
    }
    safe(lock: QueuedSpinLock<u64> = queued_spin_lock, irql) {
        lock.with_at_dpc_level(irql, |data, _irql| *data = data.wrapping_add(1));
    }
}

pair! { "queued_spin_lock_acquire",
    differs(15, "the handle is marked as in use: one that is used twice, or dropped under a guard that was forgotten, stops the system"),
    raw(lock: &RawLock<KSPIN_LOCK>, handle: &mut KLOCK_QUEUE_HANDLE) {
        // SAFETY: The lock is initialised. It stays held: this is not run.
        unsafe { KeAcquireInStackQueuedSpinLock(lock.get(), handle) };
    }
    safe(
        lock: &QueuedSpinLock<u64>,
        handle: Pin<&mut QueueHandle>,
        irql: &mut Irql<'_, Passive>
    ) {
        mem::forget(lock.lock(irql, handle));
    }
}
