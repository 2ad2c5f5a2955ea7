//! A timer of the executive whose callback borrows what may be gone when it runs.

use core::sync::atomic::{AtomicU32, Ordering};
use wdk_sync::{ExTimer, HighResolution, NonPaged, Signal};

fn start() {
    let ticks = AtomicU32::new(0);
    let _timer = NonPaged::pin_init(ExTimer::new(HighResolution, Signal::Notification, |_timer, _irql| {
        ticks.fetch_add(1, Ordering::Relaxed);
    }));
}

fn main() {}
