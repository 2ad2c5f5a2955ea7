//! A timer whose callback borrows what may be gone when it runs.

use core::sync::atomic::{AtomicU32, Ordering};
use wdk_sync::{NonPaged, Signal, Timer};

fn start() {
    let ticks = AtomicU32::new(0);
    let _timer = NonPaged::pin_init(Timer::new(Signal::Notification, |_timer, _irql| {
        ticks.fetch_add(1, Ordering::Relaxed);
    }));
}

fn main() {}
