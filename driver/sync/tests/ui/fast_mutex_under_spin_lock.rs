//! A fast mutex at DISPATCH_LEVEL.

use wdk_sync::{FastMutex, Irql, Passive, SpinLock};

fn acquire(lock: &SpinLock<u32>, mutex: &FastMutex<u32>, irql: &mut Irql<'_, Passive>) {
    lock.with(irql, |_, irql| {
        let _ = mutex.lock(irql);
    });
}

fn main() {}
