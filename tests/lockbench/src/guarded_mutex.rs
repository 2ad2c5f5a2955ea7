//! `KGUARDED_MUTEX`.

use core::mem;

use wdk_sync::{GuardedMutex, GuardedMutexGuard, Irql, Passive, Raising};
use wdk_sys::{
    KGUARDED_MUTEX,
    ntddk::{KeAcquireGuardedMutex, KeReleaseGuardedMutex, KeTryToAcquireGuardedMutex},
};

use crate::{
    pair::{cycle, pair},
    subjects::RawLock,
};

cycle! { CYCLE = "guarded_mutex",
    differs(24, "recursion is refused: it tries first, and looks at the owner where it would wait"), passive,
    raw(lock: RawLock<KGUARDED_MUTEX> = guarded_mutex) {
        // SAFETY: The mutex is initialised, and the IRQL is low.
        unsafe { KeAcquireGuardedMutex(lock.get()) };
        // SAFETY: The mutex is owned.
        unsafe { lock.add() };
        // SAFETY: As above.
        unsafe { KeReleaseGuardedMutex(lock.get()) };
    }
    safe(lock: GuardedMutex<u64> = guarded_mutex, irql) {
        if let Ok(mut data) = lock.lock(irql) {
            *data = data.wrapping_add(1);
        }
    }
}

pair! { "guarded_mutex_acquire",
    differs(31, "recursion is refused: it tries first, and looks at the owner where it would wait"),
    raw(lock: &RawLock<KGUARDED_MUTEX>) -> bool {
        // SAFETY: The mutex is initialised. It stays owned: this is not run.
        unsafe { KeAcquireGuardedMutex(lock.get()) };
        true
    }
    safe(lock: &GuardedMutex<u64>, irql: &mut Irql<'_, Passive>) -> bool {
        lock.lock(irql).map(mem::forget).is_ok()
    }
}

pair! { "guarded_mutex_try", same,
    raw(lock: &RawLock<KGUARDED_MUTEX>) -> bool {
        // SAFETY: The mutex is initialised. It stays owned: this is not run.
        unsafe { KeTryToAcquireGuardedMutex(lock.get()) != 0 }
    }
    safe(lock: &GuardedMutex<u64>, irql: &mut Irql<'_, Passive>) -> bool {
        lock.try_lock(irql).map(mem::forget).is_some()
    }
}

pair! { "guarded_mutex_release", same,
    raw(lock: &RawLock<KGUARDED_MUTEX>) {
        // SAFETY: The caller would own the mutex: this is not run.
        unsafe { KeReleaseGuardedMutex(lock.get()) };
    }
    safe(guard: GuardedMutexGuard<'_, u64, Raising>) {
        drop(guard);
    }
}
