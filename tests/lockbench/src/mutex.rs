//! `KMUTEX`.

use core::{mem, ptr};

use wdk_mutex::kmutex::KMutex as PeerMutex;
use wdk_sync::{Irql, Mutex, MutexGuard, Passive};
use wdk_sys::{
    _KWAIT_REASON, KMUTEX, NTSTATUS,
    ntddk::{KeReleaseMutex, KeWaitForSingleObject},
};

use crate::{
    pair::{cycle, pair},
    subjects::RawLock,
};

/// Waits for as long as it takes, in kernel mode.
///
/// # Safety
///
/// The mutex is initialised, and the IRQL is low.
#[inline(always)]
unsafe fn wait(lock: &RawLock<KMUTEX>) -> NTSTATUS {
    let object = lock.get().cast();
    // SAFETY: The caller vouches for the mutex.
    unsafe { KeWaitForSingleObject(object, _KWAIT_REASON::Executive, 0, 0, ptr::null_mut()) }
}

cycle! { CYCLE = "mutex",
    differs(16, "the status is looked at, and recursion is refused"), passive,
    raw(lock: RawLock<KMUTEX> = mutex) {
        // SAFETY: The mutex is initialised, and the IRQL is low.
        unsafe { wait(lock) };
        // SAFETY: The mutex is owned.
        unsafe { lock.add() };
        // SAFETY: As above.
        unsafe { KeReleaseMutex(lock.get(), 0) };
    }
    safe(lock: Mutex<u64> = mutex, irql) {
        if let Ok(mut data) = lock.lock(irql) {
            *data = data.wrapping_add(1);
        }
    }
    peer(lock: PeerMutex<u64> = mutex) {
        if let Ok(mut data) = lock.lock() {
            *data = data.wrapping_add(1);
        }
    }
}

pair! { "mutex_acquire",
    differs(28, "recursion is refused"),
    raw(lock: &RawLock<KMUTEX>) -> bool {
        // SAFETY: The mutex is initialised. It stays owned: this is not run.
        unsafe { wait(lock) == 0 }
    }
    safe(lock: &Mutex<u64>, irql: &mut Irql<'_, Passive>) -> bool {
        lock.lock(irql).map(mem::forget).is_ok()
    }
}

pair! { "mutex_release", same,
    raw(lock: &RawLock<KMUTEX>) {
        // SAFETY: The caller would own the mutex: this is not run.
        unsafe { KeReleaseMutex(lock.get(), 0) };
    }
    safe(guard: MutexGuard<'_, u64, Passive>) {
        drop(guard);
    }
}

pair! { "mutex_try",
    differs(30, "recursion is refused"),
    raw(lock: &RawLock<KMUTEX>) -> bool {
        let mut now = wdk_sys::LARGE_INTEGER { QuadPart: 0 };
        let object = lock.get().cast();
        // SAFETY: The mutex is initialised; the time lives across the call.
        let status = unsafe {
            KeWaitForSingleObject(object, _KWAIT_REASON::Executive, 0, 0, &raw mut now)
        };
        status == 0
    }
    safe(lock: &Mutex<u64>, irql: &mut Irql<'_, Passive>) -> bool {
        lock.try_lock(irql).map(mem::forget).is_some()
    }
}
