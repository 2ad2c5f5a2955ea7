//! The token of the outer level, used while a guard has raised from it.

use core::time::Duration;
use wdk_sync::{Irql, Passive, SpinLock, sleep};

fn sleep_with_the_lock(lock: &SpinLock<u32>, irql: &mut Irql<'_, Passive>) {
    let guard = lock.lock(irql);
    sleep(irql, Duration::from_millis(1));
    drop(guard);
}

fn main() {}
