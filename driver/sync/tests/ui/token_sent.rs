//! A token used on another thread, whose level it says nothing about.

use std::thread;
use wdk_sync::{Irql, Passive, yield_now};

fn send(irql: &mut Irql<'_, Passive>) {
    thread::scope(|scope| {
        scope.spawn(move || yield_now(irql));
    });
}

fn main() {}
