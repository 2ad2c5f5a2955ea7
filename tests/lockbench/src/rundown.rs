//! `EX_RUNDOWN_REF`.

use core::mem;

use wdk_sync::{Irql, Passive, Rundown, RundownGuard};
use wdk_sys::{
    EX_RUNDOWN_REF,
    ntddk::{ExAcquireRundownProtection, ExReleaseRundownProtection},
};

use crate::{
    pair::{cycle, pair},
    subjects::RawLock,
};

cycle! { CYCLE = "rundown", same, passive,
    raw(rundown: RawLock<(EX_RUNDOWN_REF, u64)> = rundown) {
        // SAFETY: The structure is initialised.
        if unsafe { ExAcquireRundownProtection(rundown.get().cast()) } != 0 {
            // SAFETY: Nobody changes the data.
            unsafe { rundown.read() };
            // SAFETY: It was acquired above.
            unsafe { ExReleaseRundownProtection(rundown.get().cast()) };
        }
    }
    safe(rundown: Rundown<u64> = rundown, irql) {
        if let Some(data) = rundown.acquire(irql) {
            core::hint::black_box(*data);
        }
    }
}

pair! { "rundown_acquire", same,
    raw(rundown: &RawLock<(EX_RUNDOWN_REF, u64)>) -> bool {
        // SAFETY: The structure is initialised. It stays acquired: this is not run.
        unsafe { ExAcquireRundownProtection(rundown.get().cast()) != 0 }
    }
    safe(rundown: &Rundown<u64>, irql: &mut Irql<'_, Passive>) -> bool {
        rundown.acquire(irql).map(mem::forget).is_some()
    }
}

pair! { "rundown_release", same,
    raw(rundown: &RawLock<(EX_RUNDOWN_REF, u64)>) {
        // SAFETY: The caller would have acquired it: this is not run.
        unsafe { ExReleaseRundownProtection(rundown.get().cast()) };
    }
    safe(guard: RundownGuard<'_, u64>) {
        drop(guard);
    }
}
