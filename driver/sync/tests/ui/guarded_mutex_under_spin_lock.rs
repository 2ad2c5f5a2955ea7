//! A guarded mutex at DISPATCH_LEVEL.

use wdk_sync::{GuardedMutex, Irql, Passive, SpinLock};

fn acquire(lock: &SpinLock<u32>, mutex: &GuardedMutex<u32>, irql: &mut Irql<'_, Passive>) {
    lock.with(irql, |_, irql| {
        let _ = mutex.lock(irql);
    });
}

fn main() {}
