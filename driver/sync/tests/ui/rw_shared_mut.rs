//! `&mut T` from a reader of an EX_SPIN_LOCK.

use wdk_sync::{Irql, Passive, RwSpinLock};

fn change(lock: &RwSpinLock<u32>, irql: &mut Irql<'_, Passive>) {
    let guard = lock.shared(irql);
    *guard = 1;
}

fn main() {}
