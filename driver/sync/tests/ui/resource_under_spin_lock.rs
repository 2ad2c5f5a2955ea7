//! An ERESOURCE at DISPATCH_LEVEL.

use wdk_sync::{Irql, Passive, Resource, SpinLock};

fn acquire(lock: &SpinLock<u32>, resource: &Resource<u32>, irql: &mut Irql<'_, Passive>) {
    lock.with(irql, |_, irql| {
        let _ = resource.shared(irql);
    });
}

fn main() {}
