//! `EX_SPIN_LOCK`.

use core::mem;

use wdk_sync::{Irql, Passive, Raised, RwExclusiveGuard, RwSharedGuard, RwSpinLock};
use wdk_sys::{
    EX_SPIN_LOCK, KIRQL,
    ntddk::{
        ExAcquireSpinLockExclusive, ExAcquireSpinLockShared, ExReleaseSpinLockExclusive,
        ExReleaseSpinLockShared,
    },
};

use crate::{
    pair::{cycle, pair},
    subjects::RawLock,
};

cycle! { SHARED = "rw_spin_lock_shared", same, passive,
    raw(lock: RawLock<EX_SPIN_LOCK> = rw_spin_lock) {
        // SAFETY: The lock is initialised, and the IRQL is low.
        let old = unsafe { ExAcquireSpinLockShared(lock.get()) };
        // SAFETY: The lock is held.
        unsafe { lock.read() };
        // SAFETY: As above.
        unsafe { ExReleaseSpinLockShared(lock.get(), old) };
    }
    safe(lock: RwSpinLock<u64> = rw_spin_lock, irql) {
        core::hint::black_box(*lock.shared(irql));
    }
}

pair! { "rw_spin_lock_acquire_shared", same,
    raw(lock: &RawLock<EX_SPIN_LOCK>) {
        // SAFETY: The lock is initialised. It stays held: this is not run.
        unsafe { ExAcquireSpinLockShared(lock.get()) };
    }
    safe(lock: &RwSpinLock<u64>, irql: &mut Irql<'_, Passive>) {
        mem::forget(lock.shared(irql));
    }
}

pair! { "rw_spin_lock_release_shared", same,
    raw(lock: &RawLock<EX_SPIN_LOCK>, old: KIRQL) {
        // SAFETY: The caller would hold the lock: this is not run.
        unsafe { ExReleaseSpinLockShared(lock.get(), old) };
    }
    safe(guard: RwSharedGuard<'_, u64, Raised>) {
        drop(guard);
    }
}

cycle! { EXCLUSIVE = "rw_spin_lock_exclusive", same, passive,
    raw(lock: RawLock<EX_SPIN_LOCK> = rw_spin_lock) {
        // SAFETY: The lock is initialised, and the IRQL is low.
        let old = unsafe { ExAcquireSpinLockExclusive(lock.get()) };
        // SAFETY: The lock is held.
        unsafe { lock.add() };
        // SAFETY: As above.
        unsafe { ExReleaseSpinLockExclusive(lock.get(), old) };
    }
    safe(lock: RwSpinLock<u64> = rw_spin_lock, irql) {
        let mut data = lock.exclusive(irql);
        *data = data.wrapping_add(1);
    }
}

pair! { "rw_spin_lock_acquire_exclusive", same,
    raw(lock: &RawLock<EX_SPIN_LOCK>) {
        // SAFETY: The lock is initialised. It stays held: this is not run.
        unsafe { ExAcquireSpinLockExclusive(lock.get()) };
    }
    safe(lock: &RwSpinLock<u64>, irql: &mut Irql<'_, Passive>) {
        mem::forget(lock.exclusive(irql));
    }
}

pair! { "rw_spin_lock_release_exclusive", same,
    raw(lock: &RawLock<EX_SPIN_LOCK>, old: KIRQL) {
        // SAFETY: The caller would hold the lock: this is not run.
        unsafe { ExReleaseSpinLockExclusive(lock.get(), old) };
    }
    safe(guard: RwExclusiveGuard<'_, u64, Raised>) {
        drop(guard);
    }
}
