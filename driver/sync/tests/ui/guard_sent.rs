//! A guard sent to another thread, which would release what it does not own.

use wdk_sync::{Irql, Mutex, Passive};

fn send<T: Send>(_value: T) {}

fn send_guard(mutex: &Mutex<u32>, irql: &mut Irql<'_, Passive>) {
    send(mutex.lock(irql).unwrap());
}

fn main() {}
