//! The outer guard dropped first: it would lower the IRQL under the inner one.

use wdk_sync::{Irql, Passive, SpinLock};

fn drop_outer_first(a: &SpinLock<u32>, b: &SpinLock<u32>, irql: &mut Irql<'_, Passive>) {
    let mut outer = a.lock(irql);
    let inner = b.lock(outer.irql());
    drop(outer);
    drop(inner);
}

fn main() {}
