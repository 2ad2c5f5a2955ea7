//! `ERESOURCE`, in its critical region.

use core::mem;

use wdk_sync::{ExclusiveGuard, Irql, Passive, Resource, SharedGuard};
use wdk_sys::ntddk::{
    ExAcquireResourceExclusiveLite, ExAcquireResourceSharedLite, ExReleaseResourceLite,
    KeEnterCriticalRegion, KeLeaveCriticalRegion,
};

use crate::{
    pair::{cycle, pair},
    subjects::RawResource,
};

cycle! { SHARED = "resource_shared", differs(12, "shared access of a thread that has exclusive access is refused"), passive,
    raw(lock: RawResource = resource) {
        // SAFETY: The IRQL is low.
        unsafe { KeEnterCriticalRegion() };
        // SAFETY: The lock is initialised, in a critical region.
        unsafe { ExAcquireResourceSharedLite(lock.get(), 1) };
        // SAFETY: The lock is held.
        unsafe { lock.read() };
        // SAFETY: As above.
        unsafe { ExReleaseResourceLite(lock.get()) };
        // SAFETY: The region was entered above.
        unsafe { KeLeaveCriticalRegion() };
    }
    safe(lock: Resource<u64> = resource, irql) {
        if let Ok(data) = lock.shared(irql) {
            core::hint::black_box(*data);
        }
    }
}

pair! { "resource_acquire_shared", differs(18, "shared access of a thread that has exclusive access is refused"),
    raw(lock: &RawResource) -> bool {
        // SAFETY: The region stays entered: this is not run.
        unsafe { KeEnterCriticalRegion() };
        // SAFETY: The lock is initialised. It stays held, as above.
        unsafe { ExAcquireResourceSharedLite(lock.get(), 1) };
        true
    }
    safe(lock: &Resource<u64>, irql: &mut Irql<'_, Passive>) -> bool {
        lock.shared(irql).map(mem::forget).is_ok()
    }
}

pair! { "resource_release_shared", same,
    raw(lock: &RawResource) {
        // SAFETY: The caller would hold the lock: this is not run.
        unsafe { ExReleaseResourceLite(lock.get()) };
        // SAFETY: The caller would be in the region, as above.
        unsafe { KeLeaveCriticalRegion() };
    }
    safe(guard: SharedGuard<'_, u64, Passive>) {
        drop(guard);
    }
}

pair! { "resource_try_shared", differs(20, "shared access of a thread that has exclusive access is refused"),
    raw(lock: &RawResource) -> bool {
        // SAFETY: The region stays entered if the lock is acquired: this is not run.
        unsafe { KeEnterCriticalRegion() };
        // SAFETY: The lock is initialised. It stays held, as above.
        let acquired = unsafe { ExAcquireResourceSharedLite(lock.get(), 0) } != 0;
        if !acquired {
            // SAFETY: The region was entered above.
            unsafe { KeLeaveCriticalRegion() };
        }
        acquired
    }
    safe(lock: &Resource<u64>, irql: &mut Irql<'_, Passive>) -> bool {
        lock.try_shared(irql).map(mem::forget).is_some()
    }
}

cycle! { EXCLUSIVE = "resource_exclusive", differs(28, "recursion is refused: it tries first, and looks at the owner where it would wait"), passive,
    raw(lock: RawResource = resource) {
        // SAFETY: The IRQL is low.
        unsafe { KeEnterCriticalRegion() };
        // SAFETY: The lock is initialised, in a critical region.
        unsafe { ExAcquireResourceExclusiveLite(lock.get(), 1) };
        // SAFETY: The lock is held.
        unsafe { lock.add() };
        // SAFETY: As above.
        unsafe { ExReleaseResourceLite(lock.get()) };
        // SAFETY: The region was entered above.
        unsafe { KeLeaveCriticalRegion() };
    }
    safe(lock: Resource<u64> = resource, irql) {
        if let Ok(mut data) = lock.exclusive(irql) {
            *data = data.wrapping_add(1);
        }
    }
}

pair! { "resource_acquire_exclusive", differs(25, "recursion is refused: it tries first, and looks at the owner where it would wait"),
    raw(lock: &RawResource) -> bool {
        // SAFETY: The region stays entered: this is not run.
        unsafe { KeEnterCriticalRegion() };
        // SAFETY: The lock is initialised. It stays held, as above.
        unsafe { ExAcquireResourceExclusiveLite(lock.get(), 1) };
        true
    }
    safe(lock: &Resource<u64>, irql: &mut Irql<'_, Passive>) -> bool {
        lock.exclusive(irql).map(mem::forget).is_ok()
    }
}

pair! { "resource_release_exclusive", differs(1, "the flag that tells shared acquisitions of an exclusive owner is cleared"),
    raw(lock: &RawResource) {
        // SAFETY: The caller would hold the lock: this is not run.
        unsafe { ExReleaseResourceLite(lock.get()) };
        // SAFETY: The caller would be in the region, as above.
        unsafe { KeLeaveCriticalRegion() };
    }
    safe(guard: ExclusiveGuard<'_, u64, Passive>) {
        drop(guard);
    }
}

pair! { "resource_try_exclusive", differs(21, "recursion is refused"),
    raw(lock: &RawResource) -> bool {
        // SAFETY: The region stays entered if the lock is acquired: this is not run.
        unsafe { KeEnterCriticalRegion() };
        // SAFETY: The lock is initialised. It stays held, as above.
        let acquired = unsafe { ExAcquireResourceExclusiveLite(lock.get(), 0) } != 0;
        if !acquired {
            // SAFETY: The region was entered above.
            unsafe { KeLeaveCriticalRegion() };
        }
        acquired
    }
    safe(lock: &Resource<u64>, irql: &mut Irql<'_, Passive>) -> bool {
        lock.try_exclusive(irql).map(mem::forget).is_some()
    }
}
