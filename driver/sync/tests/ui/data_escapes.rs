//! The data taken out of the closure, past the release of the lock.

use wdk_sync::{Irql, Passive, SpinLock};

fn take<'a>(lock: &'a SpinLock<u32>, irql: &'a mut Irql<'_, Passive>) -> &'a mut u32 {
    lock.with(irql, |data, _irql| data)
}

fn main() {}
