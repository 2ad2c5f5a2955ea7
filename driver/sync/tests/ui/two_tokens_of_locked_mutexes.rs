//! Two tokens of one thread from mutexes that were locked at once: one could raise under the other.

use wdk_sync::{Event, Irql, Mutex, Passive, SpinLock, Timeout, lock_all};

fn wait(
    mutexes: [&Mutex<u32>; 2],
    lock: &SpinLock<u32>,
    event: &Event,
    irql: &mut Irql<'_, Passive>,
) {
    let mut guards = lock_all(irql, mutexes, [], Timeout::Never).acquired().unwrap();
    let raised = lock.lock(guards.irql());
    let _ = event.wait(guards.irql(), Timeout::Never);
    drop(raised);
}

fn main() {}
