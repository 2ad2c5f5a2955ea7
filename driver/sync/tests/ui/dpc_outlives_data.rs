//! A DPC whose callback borrows what may be gone when it runs.

use core::sync::atomic::{AtomicU32, Ordering};
use wdk_sync::{Dpc, NonPaged};

fn queue() {
    let runs = AtomicU32::new(0);
    let dpc = NonPaged::pin_init(Dpc::new(|_dpc, _irql| {
        runs.fetch_add(1, Ordering::Relaxed);
    }));
    dpc.unwrap().queue();
}

fn main() {}
