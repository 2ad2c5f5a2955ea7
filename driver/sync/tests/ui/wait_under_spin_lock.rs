//! A wait at DISPATCH_LEVEL: the token under a spin lock does not allow it.

use wdk_sync::{Event, Irql, Passive, SpinLock, Timeout};

fn wait(lock: &SpinLock<u32>, event: &Event, irql: &mut Irql<'_, Passive>) {
    let mut guard = lock.lock(irql);
    let _ = event.wait(guard.irql(), Timeout::Never);
}

fn main() {}
