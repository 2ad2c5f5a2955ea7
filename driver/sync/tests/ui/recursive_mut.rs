//! `&mut T` from a recursive mutex: the owner could have two.

use wdk_sync::{Irql, Passive, RecursiveMutex};

fn change(mutex: &RecursiveMutex<u32>, irql: &mut Irql<'_, Passive>) {
    let guard = mutex.lock(irql).unwrap();
    *guard = 1;
}

fn main() {}
