//! A KMUTEX moved after its initialisation: the kernel's lists point into it.

use wdk_sync::{Mutex, NonPaged};

fn swap(a: NonPaged<Mutex<u32>>, b: NonPaged<Mutex<u32>>) {
    core::mem::swap(&mut *a, &mut *b);
}

fn main() {}
