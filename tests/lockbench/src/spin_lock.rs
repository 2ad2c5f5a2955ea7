//! `KSPIN_LOCK`.

use core::mem;

use wdk_sync::{AtDpcLevel, Dispatch, Irql, Passive, Raised, SpinLock, SpinLockGuard};
use wdk_sys::{
    KIRQL, KSPIN_LOCK,
    ntddk::{
        KeAcquireSpinLockAtDpcLevel, KeAcquireSpinLockRaiseToDpc, KeReleaseSpinLock,
        KeReleaseSpinLockFromDpcLevel, KeTryToAcquireSpinLockAtDpcLevel,
    },
};

use crate::{
    pair::{cycle, pair},
    subjects::RawLock,
};

cycle! { RAISING = "spin_lock", same, passive,
    raw(lock: RawLock<KSPIN_LOCK> = spin_lock) {
        // SAFETY: The lock is initialised, and the IRQL is low.
        let old = unsafe { KeAcquireSpinLockRaiseToDpc(lock.get()) };
        // SAFETY: The lock is held.
        unsafe { lock.add() };
        // SAFETY: As above.
        unsafe { KeReleaseSpinLock(lock.get(), old) };
    }
    safe(lock: SpinLock<u64> = spin_lock, irql) {
        let mut data = lock.lock(irql);
        *data = data.wrapping_add(1);
    }
}

pair! { "spin_lock_acquire", same,
    raw(lock: &RawLock<KSPIN_LOCK>) {
        // SAFETY: The lock is initialised. It stays held: this is not run.
        unsafe { KeAcquireSpinLockRaiseToDpc(lock.get()) };
    }
    safe(lock: &SpinLock<u64>, irql: &mut Irql<'_, Passive>) {
        mem::forget(lock.lock(irql));
    }
}

pair! { "spin_lock_release", same,
    raw(lock: &RawLock<KSPIN_LOCK>, old: KIRQL) {
        // SAFETY: The caller would hold the lock: this is not run.
        unsafe { KeReleaseSpinLock(lock.get(), old) };
    }
    safe(guard: SpinLockGuard<'_, u64, Raised>) {
        drop(guard);
    }
}

cycle! { AT_DPC_LEVEL = "spin_lock_at_dpc_level", same, dispatch,
    raw(lock: RawLock<KSPIN_LOCK> = spin_lock) {
        // SAFETY: The lock is initialised, and the IRQL is DISPATCH_LEVEL.
        unsafe { KeAcquireSpinLockAtDpcLevel(lock.get()) };
        // SAFETY: The lock is held.
        unsafe { lock.add() };
        // SAFETY: As above.
        unsafe { KeReleaseSpinLockFromDpcLevel(lock.get()) };
    }
    safe(lock: SpinLock<u64> = spin_lock, irql) {
        let mut data = lock.lock_at_dpc_level(irql);
        *data = data.wrapping_add(1);
    }
}

pair! { "spin_lock_acquire_at_dpc_level", same,
    raw(lock: &RawLock<KSPIN_LOCK>) {
        // SAFETY: The lock is initialised. It stays held: this is not run.
        unsafe { KeAcquireSpinLockAtDpcLevel(lock.get()) };
    }
    safe(lock: &SpinLock<u64>, irql: &mut Irql<'_, Dispatch>) {
        mem::forget(lock.lock_at_dpc_level(irql));
    }
}

pair! { "spin_lock_release_from_dpc_level", same,
    raw(lock: &RawLock<KSPIN_LOCK>) {
        // SAFETY: The caller would hold the lock: this is not run.
        unsafe { KeReleaseSpinLockFromDpcLevel(lock.get()) };
    }
    safe(guard: SpinLockGuard<'_, u64, AtDpcLevel>) {
        drop(guard);
    }
}

cycle! { TRY_AT_DPC_LEVEL = "spin_lock_try", same, dispatch,
    raw(lock: RawLock<KSPIN_LOCK> = spin_lock) {
        // SAFETY: The lock is initialised, and the IRQL is DISPATCH_LEVEL.
        if unsafe { KeTryToAcquireSpinLockAtDpcLevel(lock.get()) } != 0 {
            // SAFETY: The lock is held.
            unsafe { lock.add() };
            // SAFETY: As above.
            unsafe { KeReleaseSpinLockFromDpcLevel(lock.get()) };
        }
    }
    safe(lock: SpinLock<u64> = spin_lock, irql) {
        if let Some(mut data) = lock.try_lock_at_dpc_level(irql) {
            *data = data.wrapping_add(1);
        }
    }
}
