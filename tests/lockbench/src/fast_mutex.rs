//! `FAST_MUTEX`.

use core::mem;

use wdk_mutex::fast_mutex::FastMutex as PeerFastMutex;
use wdk_sync::{FastMutex, FastMutexGuard, Irql, Passive, Raising};
use wdk_sys::{
    FAST_MUTEX,
    ntddk::{ExAcquireFastMutex, ExReleaseFastMutex, ExTryToAcquireFastMutex},
};

use crate::{
    pair::{cycle, pair},
    subjects::RawLock,
};

cycle! { CYCLE = "fast_mutex",
    differs(24, "recursion is refused: it tries first, and looks at the owner where it would wait"), passive,
    raw(lock: RawLock<FAST_MUTEX> = fast_mutex) {
        // SAFETY: The mutex is initialised, and the IRQL is low.
        unsafe { ExAcquireFastMutex(lock.get()) };
        // SAFETY: The mutex is owned.
        unsafe { lock.add() };
        // SAFETY: As above.
        unsafe { ExReleaseFastMutex(lock.get()) };
    }
    safe(lock: FastMutex<u64> = fast_mutex, irql) {
        if let Ok(mut data) = lock.lock(irql) {
            *data = data.wrapping_add(1);
        }
    }
    peer(lock: PeerFastMutex<u64> = fast_mutex) {
        if let Ok(mut data) = lock.lock() {
            *data = data.wrapping_add(1);
        }
    }
}

pair! { "fast_mutex_acquire",
    differs(31, "recursion is refused: it tries first, and looks at the owner where it would wait"),
    raw(lock: &RawLock<FAST_MUTEX>) -> bool {
        // SAFETY: The mutex is initialised. It stays owned: this is not run.
        unsafe { ExAcquireFastMutex(lock.get()) };
        true
    }
    safe(lock: &FastMutex<u64>, irql: &mut Irql<'_, Passive>) -> bool {
        lock.lock(irql).map(mem::forget).is_ok()
    }
}

pair! { "fast_mutex_try", same,
    raw(lock: &RawLock<FAST_MUTEX>) -> bool {
        // SAFETY: The mutex is initialised. It stays owned: this is not run.
        unsafe { ExTryToAcquireFastMutex(lock.get()) != 0 }
    }
    safe(lock: &FastMutex<u64>, irql: &mut Irql<'_, Passive>) -> bool {
        lock.try_lock(irql).map(mem::forget).is_some()
    }
}

pair! { "fast_mutex_release", same,
    raw(lock: &RawLock<FAST_MUTEX>) {
        // SAFETY: The caller would own the mutex: this is not run.
        unsafe { ExReleaseFastMutex(lock.get()) };
    }
    safe(guard: FastMutexGuard<'_, u64, Raising>) {
        drop(guard);
    }
}
