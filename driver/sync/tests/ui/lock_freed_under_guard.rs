//! A lock freed while a guard is out.

use wdk_sync::{Irql, Mutex, NonPaged, Passive};

fn free(mutex: NonPaged<Mutex<u32>>, irql: &mut Irql<'_, Passive>) {
    let guard = mutex.lock(irql).unwrap();
    drop(mutex);
    drop(guard);
}

fn main() {}
