//! Virtual processors.
//!
//! A thread at `DISPATCH_LEVEL` or above holds one, and nothing else runs at that level on it. Below
//! `DISPATCH_LEVEL` threads hold none and run as the host schedules them. Each processor has a queue
//! of DPCs that whoever holds it runs before letting go ([`crate::dpc`]).
//!
//! The state of a processor is one word, so that taking a free one and letting go of one that nobody
//! wants and that has no DPCs are one atomic operation each.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::sync::atomic::AtomicUsize;

use crate::{
    explore, kernel,
    thread::{NO_PROCESSOR, Thread},
};

/// A thread holds the processor.
const HELD: u32 = 1;
/// DPCs are queued.
const PENDING: u32 = 2;
/// Threads sleep until the processor is free.
const WANTED: u32 = 4;

const MAXIMUM: usize = crate::Config::MAXIMUM_PROCESSORS as usize;

/// The state of one processor, on cache lines of its own.
#[repr(align(128))]
struct Processor {
    state: AtomicU32,
    /// How often it was taken.
    turns: AtomicU32,
}

static PROCESSORS: [Processor; MAXIMUM] = [const {
    Processor {
        state: AtomicU32::new(0),
        turns: AtomicU32::new(0),
    }
}; MAXIMUM];

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Brings `count` processors up.
pub fn start(count: u32) {
    COUNT.store(count, Ordering::Release);
}

/// How many processors there are.
pub fn count() -> u32 {
    COUNT.load(Ordering::Acquire)
}

/// The set of all processors; bit n is processor n.
pub fn all() -> u64 {
    u64::MAX >> (u64::BITS - count().clamp(1, u64::BITS))
}

/// Gives a new thread the processor that it runs on first.
pub fn assign(thread: &Thread) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "less than the count, which is a u32"
    )]
    thread.prefer((next % count() as usize) as u32);
}

fn state(processor: u32) -> &'static AtomicU32 {
    &PROCESSORS[processor as usize].state
}

/// Takes a processor for `thread`, which goes to `DISPATCH_LEVEL`.
#[inline]
pub fn acquire(thread: &Thread) {
    let preferred = thread.preferred();
    if thread.may_run_on(preferred) && try_take(preferred) {
        thread.set_processor(preferred);
    } else {
        acquire_contended(thread);
    }
}

/// Takes the processor if nobody holds it.
#[inline]
fn try_take(processor: u32) -> bool {
    let Processor { state, turns } = &PROCESSORS[processor as usize];
    let seen = state.load(Ordering::Relaxed) & !HELD;
    let taken = state
        .compare_exchange(seen, seen | HELD, Ordering::Acquire, Ordering::Relaxed)
        .is_ok();
    if taken {
        // Only who has just taken the processor writes this.
        turns.store(
            turns.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
    }
    taken
}

/// Which turn at `processor` somebody has now, if anybody holds it.
pub fn turn(processor: u32) -> Option<u32> {
    let Processor { state, turns } = &PROCESSORS[processor as usize];
    let held = state.load(Ordering::Relaxed) & HELD != 0;
    held.then(|| turns.load(Ordering::Relaxed))
}

/// Takes `processor` alone, if nobody holds it.
pub fn try_acquire(thread: &Thread, processor: u32) -> bool {
    let taken = try_take(processor);
    if taken {
        thread.set_processor(processor);
    }
    taken
}

#[cold]
fn acquire_contended(thread: &Thread) {
    /// Rounds over all processors before the thread sleeps.
    const ROUNDS: u32 = 8;
    let allowed = thread.affinity() & all();
    let favourite = thread.current_processor();
    let mut slept = false;
    loop {
        if explore::is_on() {
            if let Some(taken) = (0..count()).find(|&n| allowed >> n & 1 == 1 && try_take(n)) {
                thread.set_processor(taken);
                return;
            }
            kernel::check_alive(thread);
            explore::spin();
            continue;
        }
        for round in 0..ROUNDS {
            if let Some(taken) = (0..count()).find(|&n| allowed >> n & 1 == 1 && try_take(n)) {
                thread.set_processor(taken);
                if slept {
                    pass_on(favourite);
                }
                return;
            }
            kernel::check_alive(thread);
            if round < ROUNDS / 2 {
                core::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        slept = true;
        sleep_on(favourite);
    }
}

/// Sleeps until somebody lets go of `processor`.
fn sleep_on(processor: u32) {
    let state = state(processor);
    let seen = state.load(Ordering::Relaxed);
    if seen & HELD == 0 {
        return;
    }
    let marked = seen | WANTED;
    let unchanged = state.compare_exchange(seen, marked, Ordering::Relaxed, Ordering::Relaxed);
    if unchanged.is_ok() {
        futex_wait(state, marked);
    }
}

/// Keeps the mark on a processor of which the release has woken one thread, the caller, and taken the mark
/// off, though others may still sleep.
fn pass_on(processor: u32) {
    let state = state(processor);
    let seen = state.load(Ordering::Relaxed);
    if seen & HELD == 0
        || state
            .compare_exchange(seen, seen | WANTED, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
    {
        futex_wake_one(state);
    }
}

/// Lets go of the processor that `thread` holds, after running the DPCs that are queued to it.
#[inline]
pub fn release(thread: &'static Thread) {
    let processor = thread.processor();
    let state = state(processor);
    thread.set_processor(NO_PROCESSOR);
    if state
        .compare_exchange(HELD, 0, Ordering::Release, Ordering::Relaxed)
        .is_err()
    {
        release_contended(thread, processor);
    }
}

#[cold]
fn release_contended(thread: &'static Thread, processor: u32) {
    let state = state(processor);
    loop {
        let seen = state.load(Ordering::Relaxed);
        if seen & PENDING != 0 {
            state.fetch_and(!PENDING, Ordering::Acquire);
            thread.set_processor(processor);
            crate::dpc::drain(thread, processor);
            thread.set_processor(NO_PROCESSOR);
        } else if state
            .compare_exchange(seen, 0, Ordering::Release, Ordering::Relaxed)
            .is_ok()
        {
            if seen & WANTED != 0 {
                futex_wake_one(state);
            }
            return;
        }
    }
}

/// Tells whoever holds `processor`, or takes it next, that a DPC is queued. Returns whether somebody
/// holds it.
pub fn mark_pending(processor: u32) -> bool {
    state(processor).fetch_or(PENDING, Ordering::AcqRel) & HELD != 0
}

/// Whether nobody holds a processor and no DPC is queued to any.
pub fn are_idle() -> bool {
    (0..count()).all(|n| state(n).load(Ordering::Acquire) & (HELD | PENDING) == 0)
}

/// Whether DPCs are queued to `processor`.
pub fn is_pending(processor: u32) -> bool {
    state(processor).load(Ordering::Acquire) & PENDING != 0
}

/// A thread that slept through the release of its processor looks again after this long, which also
/// bounds how late it learns of a bug check.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

fn futex_wait(word: &AtomicU32, expected: u32) {
    let timeout = libc::timespec {
        tv_sec: 0,
        tv_nsec: i64::from(LOOK_AGAIN.subsec_nanos()),
    };
    // SAFETY: The word and the time-out are alive during the call; the result does not matter, as
    // the caller looks at the word again.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            &raw const timeout,
        )
    };
}

fn futex_wake_one(word: &AtomicU32) {
    // SAFETY: Waking touches no memory of this process.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        )
    };
}
