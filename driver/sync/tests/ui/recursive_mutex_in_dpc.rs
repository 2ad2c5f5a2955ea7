//! A DPC that comes to data which the thread that it interrupts, an owner of the mutex, is in the middle
//! of using.

use core::cell::RefCell;
use wdk_sync::{Dispatch, Irql, RecursiveMutex};

fn in_a_dpc(mutex: &RecursiveMutex<RefCell<Vec<u32>>>, irql: &mut Irql<'_, Dispatch>) {
    let _guard = mutex.try_lock_at_dispatch_level(irql);
}

fn main() {}
