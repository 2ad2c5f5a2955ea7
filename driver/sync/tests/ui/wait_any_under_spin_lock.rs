//! A wait for several objects at DISPATCH_LEVEL.

use wdk_sync::{Event, Irql, Passive, QueuedSpinLock, Timeout, wait_any};

fn wait(lock: &QueuedSpinLock<u32>, event: &Event, irql: &mut Irql<'_, Passive>) {
    lock.with(irql, |_, irql| {
        let _ = wait_any(irql, [event], Timeout::Never);
    });
}

fn main() {}
