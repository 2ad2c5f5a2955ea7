//! KeAcquireSpinLockAtDpcLevel below DISPATCH_LEVEL.

use wdk_sync::{Irql, Passive, SpinLock};

fn acquire(lock: &SpinLock<u32>, irql: &mut Irql<'_, Passive>) {
    let _guard = lock.lock_at_dpc_level(irql);
}

fn main() {}
