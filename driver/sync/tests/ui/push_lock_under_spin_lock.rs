//! A push lock at DISPATCH_LEVEL.

use wdk_sync::{Irql, Passive, PushLock, SpinLock};

fn acquire(lock: &SpinLock<u32>, push_lock: &PushLock<u32>, irql: &mut Irql<'_, Passive>) {
    lock.with(irql, |_, irql| {
        let _ = push_lock.shared(irql);
    });
}

fn main() {}
