//! What a worker counts, on cache lines of its own.

use alloc::vec::Vec;
use core::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use syncstress_protocol::{Role, WorkerReport};
use wdk_sync::Status;

use crate::scenario::Crew;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Count {
    /// Passes through the worker's loop.
    Passes,
    /// Acquisitions; settings and cancellations of timers.
    Acquisitions,
    /// Acquisitions that a try did not get.
    Contended,
    /// Tries and timed waits that came to nothing.
    Timeouts,
    /// Violations.
    Failures,
    /// The longest wait, in nanoseconds.
    LongestWait,
    /// All waits together, in nanoseconds.
    TotalWait,
}

const COUNTS: usize = Count::TotalWait as usize + 1;

/// The counters of one worker.
///
/// Others read them while the worker counts, so they are atomic; the worker alone writes, so it
/// needs no atomic read-modify-write.
pub struct Tally {
    role: Role,
    counts: [AtomicU64; COUNTS],
    /// Keeps the counters of two workers two cache lines apart, since processors fetch pairs of
    /// them. By padding and not by alignment, which pool does not give.
    _apart: [u64; 16],
}

/// One tally for each worker and DPC of a crew.
///
/// # Errors
///
/// [`Status::INSUFFICIENT_RESOURCES`].
pub fn for_crew(crew: &Crew) -> Result<Vec<Tally>, Status> {
    let mut tallies = Vec::new();
    tallies
        .try_reserve_exact(crew.members().count())
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    tallies.extend(crew.members().map(Tally::new));
    Ok(tallies)
}

impl Tally {
    const fn new(role: Role) -> Self {
        Self {
            role,
            counts: [const { AtomicU64::new(0) }; COUNTS],
            _apart: [0; 16],
        }
    }

    /// What the worker does.
    pub const fn role(&self) -> Role {
        self.role
    }

    /// A count as it stands.
    pub fn get(&self, count: Count) -> u64 {
        self.slot(count).load(Ordering::Relaxed)
    }

    /// Adds one. By one thread, or under a lock, at a time.
    pub fn count(&self, count: Count) {
        self.add(count, 1);
    }

    /// Adds a wait. By one thread, or under a lock, at a time.
    pub fn wait(&self, wait: Duration) {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        self.add(Count::TotalWait, nanos);
        if nanos > self.get(Count::LongestWait) {
            self.slot(Count::LongestWait)
                .store(nanos, Ordering::Relaxed);
        }
    }

    /// As the wire has it.
    pub fn report(&self, index: u32) -> WorkerReport {
        WorkerReport {
            index,
            role: self.role.to_wire(),
            passes: self.get(Count::Passes),
            acquisitions: self.get(Count::Acquisitions),
            contended: self.get(Count::Contended),
            timeouts: self.get(Count::Timeouts),
            failures: self.get(Count::Failures),
            longest_wait_ns: self.get(Count::LongestWait),
            total_wait_ns: self.get(Count::TotalWait),
        }
    }

    fn add(&self, count: Count, amount: u64) {
        let sum = self.get(count).saturating_add(amount);
        self.slot(count).store(sum, Ordering::Relaxed);
    }

    const fn slot(&self, count: Count) -> &AtomicU64 {
        &self.counts[count as usize]
    }
}
