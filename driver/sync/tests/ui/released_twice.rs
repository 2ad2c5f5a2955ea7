//! A lock released twice: there is nothing that releases but the drop of its guard, once.

use wdk_sync::{Irql, Passive, SpinLock};

fn twice(lock: &SpinLock<u32>, irql: &mut Irql<'_, Passive>) {
    let guard = lock.lock(irql);
    drop(guard);
    drop(guard);
}

fn main() {}
