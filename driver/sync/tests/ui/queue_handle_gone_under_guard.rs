//! A guard that outlives its queue handle, to which waiters on other processors write.

use core::pin::pin;
use wdk_sync::{Irql, Passive, QueueHandle, QueuedSpinLock, QueuedSpinLockGuard, Raising};

fn keep<'a>(
    lock: &'a QueuedSpinLock<u32>,
    irql: &'a mut Irql<'_, Passive>,
) -> QueuedSpinLockGuard<'a, u32, Raising> {
    let handle = pin!(QueueHandle::new());
    lock.lock(irql, handle)
}

fn main() {}
