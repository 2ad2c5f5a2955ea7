//! Code that stays at `DISPATCH_LEVEL` too long: bug check 0x133.
//!
//! A processor counts how often it was taken. A thread of the kernel looks from time to time which processors
//! are still held by the one that held them the last time, so that taking a processor costs no look at a
//! clock.

use core::time::Duration;
use std::sync::Once;

use nt_abi::bugcheck::DPC_WATCHDOG_VIOLATION;

use crate::{
    Config, Rules, bugcheck, processor, ps,
    thread::{self, Origin, Thread},
};

/// How often it looks in the time that is allowed.
const LOOKS: u32 = 8;

/// The unit in which the bug check counts: one interrupt of the clock.
const TICK: Duration = Duration::from_micros(15_625);

/// Starts to look, if the kernel is configured to.
pub fn start(config: Config) {
    static STARTED: Once = Once::new();
    let limit = config.dispatch_limit;
    if !(config.verifier && config.rules.contains(Rules::TIME)) || limit.is_zero() {
        return;
    }
    STARTED.call_once(|| {
        let started = ps::thread::start(Origin::Kernel, "watchdog", move || watch(limit));
        // Without it the kernel runs on, and nobody looks.
        drop(started);
    });
}

fn watch(limit: Duration) {
    let mut seen = vec![(None, 0); processor::count() as usize];
    loop {
        std::thread::sleep(limit / LOOKS);
        for (number, (turn, looks)) in (0..).zip(&mut seen) {
            let now = processor::turn(number);
            *looks = if now.is_some() && now == *turn {
                *looks + 1
            } else {
                0
            };
            *turn = now;
            if *looks == LOOKS {
                stop(thread::current(), number, limit);
            }
        }
    }
}

/// Stops the kernel for the thread that holds a processor.
fn stop(watchdog: &Thread, processor: u32, limit: Duration) {
    let mut found = None;
    thread::each(|thread| {
        if thread.processor() == processor && !core::ptr::eq(thread, watchdog) {
            let lock = thread.held.iter().next();
            let held = lock.map(|(lock, kind)| format!(" with the {} at 0x{lock:X}", kind.noun()));
            let dpc = thread.dpc();
            found = Some((
                thread.name().to_owned(),
                held.unwrap_or_default(),
                !dpc.is_null(),
            ));
        }
    });
    // Who is not there any more has let go.
    let Some((name, held, in_dpc)) = found else {
        return;
    };
    let ticks = u64::try_from(limit.as_micros() / TICK.as_micros()).unwrap_or(u64::MAX);
    let (parameters, what) = if in_dpc {
        ([0, ticks, ticks, 0], "A DPC runs")
    } else {
        ([1, ticks, 0, 0], "Code stays at DISPATCH_LEVEL")
    };
    bugcheck::raise(
        DPC_WATCHDOG_VIOLATION,
        parameters,
        "KeAccumulateTicks",
        format!("{what} longer than {limit:?}: the thread \"{name}\"{held}."),
    );
}
