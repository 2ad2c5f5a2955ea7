//! `EX_RUNDOWN_REF`.

use core::mem;

use wdk_sync::{Irql, Passive, Rundown, RundownGuard};
use wdk_sys::ntddk::{ExAcquireRundownProtection, ExReleaseRundownProtection};

use crate::{
    pair::{cycle, pair},
    subjects::RawRundown,
};

cycle! { CYCLE = "rundown", same, passive,
    raw(rundown: RawRundown = rundown) {
        // SAFETY: The structure is initialised.
        if unsafe { ExAcquireRundownProtection(rundown.get()) } != 0 {
            // SAFETY: Nobody changes the data.
            unsafe { rundown.read() };
            // SAFETY: It was acquired above.
            unsafe { ExReleaseRundownProtection(rundown.get()) };
        }
    }
    safe(rundown: Rundown<u64> = rundown, irql) {
        if let Some(data) = rundown.acquire(irql) {
            core::hint::black_box(*data);
        }
    }
}

pair! { "rundown_acquire", same,
    raw(rundown: &RawRundown) -> bool {
        // SAFETY: The structure is initialised. It stays acquired: this is not run.
        unsafe { ExAcquireRundownProtection(rundown.get()) != 0 }
    }
    safe(rundown: &Rundown<u64>, irql: &mut Irql<'_, Passive>) -> bool {
        rundown.acquire(irql).map(mem::forget).is_some()
    }
}

pair! { "rundown_release", same,
    raw(rundown: &RawRundown) {
        // SAFETY: The caller would have acquired it: this is not run.
        unsafe { ExReleaseRundownProtection(rundown.get()) };
    }
    safe(guard: RundownGuard<'_, u64>) {
        drop(guard);
    }
}
