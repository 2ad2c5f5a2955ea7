//! A spin lock and an event at the level of an interrupt: they are for DISPATCH_LEVEL and below.

use wdk_sync::{Event, InterruptLock, Irql, Passive, SpinLock};

fn use_at_dirql(
    interrupt: &InterruptLock<u32>,
    lock: &SpinLock<u32>,
    event: &Event,
    irql: &mut Irql<'_, Passive>,
) {
    let _ = interrupt.with(irql, |data, irql| *lock.lock(irql) += *data);
    let _ = interrupt.with(irql, |_data, irql| event.set(irql));
    let _ = interrupt.with(irql, |_data, irql| interrupt.with(irql, |_data, _irql| ()));
}

fn main() {}
