//! A high-resolution timer that is to expire at a system time, for which the kernel stops the system.

use wdk_sync::{DueTime, HighResolution, Irql, Passive, WaitableExTimer};

fn set(timer: &WaitableExTimer<HighResolution>, irql: &Irql<'_, Passive>) {
    timer.set(irql, DueTime::At(1), None);
}

fn main() {}
