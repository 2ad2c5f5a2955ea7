//! One queue handle for two locks at a time.

use core::pin::pin;
use wdk_sync::{Irql, Passive, QueueHandle, QueuedSpinLock};

fn nest(a: &QueuedSpinLock<u32>, b: &QueuedSpinLock<u32>, irql: &mut Irql<'_, Passive>) {
    let mut handle = pin!(QueueHandle::new());
    let mut outer = a.lock(irql, handle.as_mut());
    let inner = b.lock(outer.irql(), handle.as_mut());
    drop(inner);
}

fn main() {}
