//! `EX_PUSH_LOCK`, in its critical region.

use core::mem;

use wdk_sync::{Irql, Passive, PushExclusiveGuard, PushLock, PushSharedGuard};
use wdk_sys::{
    EX_PUSH_LOCK,
    ntddk::{
        ExAcquirePushLockExclusiveEx, ExAcquirePushLockSharedEx, ExReleasePushLockExclusiveEx,
        ExReleasePushLockSharedEx, KeEnterCriticalRegion, KeLeaveCriticalRegion,
    },
};

use crate::{
    pair::{cycle, pair},
    subjects::RawLock,
};

cycle! { SHARED = "push_lock_shared", same, passive,
    raw(lock: RawLock<EX_PUSH_LOCK> = push_lock) {
        // SAFETY: The IRQL is low.
        unsafe { KeEnterCriticalRegion() };
        // SAFETY: The lock is initialised, in a critical region.
        unsafe { ExAcquirePushLockSharedEx(lock.get(), 0) };
        // SAFETY: The lock is held.
        unsafe { lock.read() };
        // SAFETY: As above.
        unsafe { ExReleasePushLockSharedEx(lock.get(), 0) };
        // SAFETY: The region was entered above.
        unsafe { KeLeaveCriticalRegion() };
    }
    safe(lock: PushLock<u64> = push_lock, irql) {
        core::hint::black_box(*lock.shared(irql));
    }
}

pair! { "push_lock_acquire_shared", same,
    raw(lock: &RawLock<EX_PUSH_LOCK>) {
        // SAFETY: The region stays entered: this is not run.
        unsafe { KeEnterCriticalRegion() };
        // SAFETY: The lock is initialised. It stays held, as above.
        unsafe { ExAcquirePushLockSharedEx(lock.get(), 0) };
    }
    safe(lock: &PushLock<u64>, irql: &mut Irql<'_, Passive>) {
        mem::forget(lock.shared(irql));
    }
}

pair! { "push_lock_release_shared", same,
    raw(lock: &RawLock<EX_PUSH_LOCK>) {
        // SAFETY: The caller would hold the lock: this is not run.
        unsafe { ExReleasePushLockSharedEx(lock.get(), 0) };
        // SAFETY: The caller would be in the region, as above.
        unsafe { KeLeaveCriticalRegion() };
    }
    safe(guard: PushSharedGuard<'_, u64, Passive>) {
        drop(guard);
    }
}

cycle! { EXCLUSIVE = "push_lock_exclusive", same, passive,
    raw(lock: RawLock<EX_PUSH_LOCK> = push_lock) {
        // SAFETY: The IRQL is low.
        unsafe { KeEnterCriticalRegion() };
        // SAFETY: The lock is initialised, in a critical region.
        unsafe { ExAcquirePushLockExclusiveEx(lock.get(), 0) };
        // SAFETY: The lock is held.
        unsafe { lock.add() };
        // SAFETY: As above.
        unsafe { ExReleasePushLockExclusiveEx(lock.get(), 0) };
        // SAFETY: The region was entered above.
        unsafe { KeLeaveCriticalRegion() };
    }
    safe(lock: PushLock<u64> = push_lock, irql) {
        let mut data = lock.exclusive(irql);
        *data = data.wrapping_add(1);
    }
}

pair! { "push_lock_acquire_exclusive", same,
    raw(lock: &RawLock<EX_PUSH_LOCK>) {
        // SAFETY: The region stays entered: this is not run.
        unsafe { KeEnterCriticalRegion() };
        // SAFETY: The lock is initialised. It stays held, as above.
        unsafe { ExAcquirePushLockExclusiveEx(lock.get(), 0) };
    }
    safe(lock: &PushLock<u64>, irql: &mut Irql<'_, Passive>) {
        mem::forget(lock.exclusive(irql));
    }
}

pair! { "push_lock_release_exclusive", same,
    raw(lock: &RawLock<EX_PUSH_LOCK>) {
        // SAFETY: The caller would hold the lock: this is not run.
        unsafe { ExReleasePushLockExclusiveEx(lock.get(), 0) };
        // SAFETY: The caller would be in the region, as above.
        unsafe { KeLeaveCriticalRegion() };
    }
    safe(guard: PushExclusiveGuard<'_, u64, Passive>) {
        drop(guard);
    }
}
