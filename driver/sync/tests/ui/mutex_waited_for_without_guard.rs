//! A mutex among objects that make nobody their owner: it would be owned without a guard.

use wdk_sync::{Irql, Mutex, Passive, Timeout, wait_any};

fn wait(mutex: &Mutex<u32>, irql: &mut Irql<'_, Passive>) {
    let _ = wait_any(irql, [mutex], Timeout::Never);
}

fn main() {}
