//! The data of a guard kept past its drop.

use wdk_sync::{FastMutex, Irql, Passive};

fn keep(mutex: &FastMutex<u32>, irql: &mut Irql<'_, Passive>) {
    let mut guard = mutex.lock(irql).unwrap();
    let data = &mut *guard;
    drop(guard);
    *data = 1;
}

fn main() {}
