//! Waiting for a moment before a thread queues up for a fast mutex.
//!
//! A mutex is mostly held for less time than it takes to put a thread to sleep and to wake it. Who looks for a moment
//! whether it becomes free rarely has to; nor does it then go from sleeper to sleeper, each of which the host has to
//! wake before anybody makes use of the mutex. Those who have queued up are not overtaken: it is given to them.

use core::hint;
use std::thread;

use crate::explore;

/// How often it looks before it gives way to other threads of the host, on one of which the owner may be.
const LOOKS: u32 = 64;

/// How often it gives way.
const YIELDS: u32 = 8;

/// Looks for a moment until `done`, and tells whether that came. With threads that run one at a time it looks once:
/// nothing changes before another has its turn.
pub fn for_a_moment(mut done: impl FnMut() -> bool) -> bool {
    if explore::is_on() {
        return done();
    }
    for _ in 0..LOOKS {
        if done() {
            return true;
        }
        hint::spin_loop();
    }
    for _ in 0..YIELDS {
        thread::yield_now();
        if done() {
            return true;
        }
    }
    false
}
