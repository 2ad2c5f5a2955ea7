//! Faults on purpose: an allocation that fails, timers and threads that are late.
//!
//! Everything that happens may happen on Windows: memory can be short at any time, and neither a timer nor a
//! thread that was woken is promised to be on time. What comes early, or in an order that is promised, stays
//! as it is.

use core::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};
use std::sync::OnceLock;

/// How often a driver has asked for something that may be short: memory, a thread, an object.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Which of them fails; 0 is none.
static FAILING: AtomicU64 = AtomicU64::new(0);
/// The function that has failed for it.
static FAILED: OnceLock<&str> = OnceLock::new();

/// Whether timers and threads are late.
static LATE: AtomicBool = AtomicBool::new(false);
/// What says how late.
static RANDOM: Random = Random::new(0);

/// Has the allocation with this number fail, counted from 1 and from the boot of the kernel.
pub fn fail_allocation(number: u64) {
    FAILING.store(number, Relaxed);
}

/// How many allocations there were since the kernel booted.
pub fn allocations() -> u64 {
    ALLOCATIONS.load(Relaxed)
}

/// The function that was asked for the allocation which has failed on purpose.
pub fn failed_function() -> Option<&'static str> {
    FAILED.get().copied()
}

/// Counts an allocation that a driver asks `function` for, and says whether it is to fail.
pub fn denies_allocation(function: &'static str) -> bool {
    let number = ALLOCATIONS.fetch_add(1, Relaxed) + 1;
    let denied = number == FAILING.load(Relaxed);
    if denied {
        FAILED.get_or_init(|| function);
    }
    denied
}

/// Has timers and threads be late, by as much as a generator says that begins with `seed`.
pub fn be_late(seed: u64) {
    RANDOM.0.store(seed, Relaxed);
    LATE.store(true, Relaxed);
}

/// A generator of numbers (Steele, Lea and Flood's `SplitMix64`).
pub struct Random(AtomicU64);

impl Random {
    /// The generator that begins with `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// The next number, less than `limit`, which is not zero.
    pub fn below(&self, limit: u64) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let state = self.0.fetch_add(STEP, Relaxed).wrapping_add(STEP);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ mixed >> 31) % limit
    }
}

/// The interrupt time at which something happens that is due at `due`.
pub fn stretch(due: u64) -> u64 {
    /// 4 ms, in units of 100 ns: enough for timers that are set together to expire in any order.
    const MOST: u64 = 40_000;
    if LATE.load(Relaxed) {
        due.saturating_add(RANDOM.below(MOST))
    } else {
        due
    }
}

/// Whether a thread that was woken is to be late, and by how much.
pub fn delay() -> Option<Duration> {
    /// One in so many is late, by less than this.
    const ONE_IN: u64 = 4;
    const MOST_MICROSECONDS: u64 = 1000;
    let late = LATE.load(Relaxed) && RANDOM.below(ONE_IN) == 0;
    late.then(|| Duration::from_micros(RANDOM.below(MOST_MICROSECONDS)))
}
