//! A guard dropped on another thread: KeReleaseMutex by a thread that does not own the mutex.

use std::thread;
use wdk_sync::{Irql, Mutex, Passive};

fn send(mutex: &Mutex<u32>, irql: &mut Irql<'_, Passive>) {
    let guard = mutex.lock(irql).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || drop(guard));
    });
}

fn main() {}
