//! What a worker counts, on cache lines of its own.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use syncstress_protocol::{HistogramKind, Role, WorkerDetail, WorkerReport};
use wdk_sync::Status;

use crate::{
    measure::{Histogram, Scale},
    scenario::Crew,
};

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
    /// Violations of the IRQL.
    IrqlViolations,
    /// Violations of the APC state.
    ApcViolations,
    /// Waits that were timed.
    TimedWaits,
}

const COUNTS: usize = Count::TimedWaits as usize + 1;

/// The counters of one worker.
///
/// Others read them while the worker counts, so they are atomic; the worker alone writes, so it
/// needs no atomic read-modify-write.
pub struct Tally {
    role: Role,
    counts: [AtomicU64; COUNTS],
    /// Of a DPC: how late it ran. Of a thread: how long it waited.
    first: Histogram,
    hold: Histogram,
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
    for role in crew.members() {
        tallies.push(Tally::new(role)?);
    }
    Ok(tallies)
}

impl Tally {
    fn new(role: Role) -> Result<Self, Status> {
        Ok(Self {
            role,
            counts: [const { AtomicU64::new(0) }; COUNTS],
            first: Histogram::new()?,
            hold: Histogram::new()?,
            _apart: [0; 16],
        })
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

    /// The waits of a thread, or how late a DPC ran.
    pub const fn waits(&self) -> &Histogram {
        &self.first
    }

    /// How long the lock was held.
    pub const fn holds(&self) -> &Histogram {
        &self.hold
    }

    /// The histogram of this kind, if the worker has one.
    pub fn histogram(&self, kind: HistogramKind) -> Option<&Histogram> {
        let first = if self.role == Role::Dpc {
            HistogramKind::Lateness
        } else {
            HistogramKind::Wait
        };
        match kind {
            HistogramKind::Hold => Some(&self.hold),
            _ if kind == first => Some(&self.first),
            _ => None,
        }
    }

    /// As the wire has it.
    pub fn report(&self, index: u32, scale: Scale) -> WorkerReport {
        let waits = self.histogram(HistogramKind::Wait);
        WorkerReport {
            index,
            role: self.role.to_wire(),
            passes: self.get(Count::Passes),
            acquisitions: self.get(Count::Acquisitions),
            contended: self.get(Count::Contended),
            timeouts: self.get(Count::Timeouts),
            failures: self.get(Count::Failures),
            longest_wait_ns: waits.map_or(0, |waits| scale.nanos(waits.maximum())),
            total_wait_ns: waits.map_or(0, |waits| scale.nanos(waits.total())),
        }
    }

    /// As the wire has it, in full.
    pub fn detail(&self, index: u32) -> WorkerDetail {
        WorkerDetail {
            index,
            role: self.role.to_wire(),
            passes: self.get(Count::Passes),
            acquisitions: self.get(Count::Acquisitions),
            contended: self.get(Count::Contended),
            timeouts: self.get(Count::Timeouts),
            failures: self.get(Count::Failures),
            irql_violations: self.get(Count::IrqlViolations),
            apc_violations: self.get(Count::ApcViolations),
        }
    }

    /// Adds so many. By one thread, or under a lock, at a time.
    pub fn add(&self, count: Count, amount: u64) {
        let sum = self.get(count).saturating_add(amount);
        self.slot(count).store(sum, Ordering::Relaxed);
    }

    const fn slot(&self, count: Count) -> &AtomicU64 {
        &self.counts[count as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_billion_are_counted_and_the_last_count_stays() {
        let tally = Tally::new(Role::Writer).unwrap();
        // As if it had been counted so often, since that takes minutes.
        tally.add(Count::Acquisitions, 10_000_000_000);
        tally.count(Count::Acquisitions);
        tally.waits().record_times(1_000_000, 10_000_000_000);
        let clock = crate::measure::Clock::start();
        clock.settle();
        let report = tally.report(0, clock.scale());
        assert_eq!(report.acquisitions, 10_000_000_001);
        assert_eq!(tally.detail(0).acquisitions, 10_000_000_001);
        assert_eq!(tally.waits().count(), 10_000_000_000);
        assert!(report.longest_wait_ns <= report.total_wait_ns);
        tally.add(Count::Acquisitions, u64::MAX);
        assert_eq!(tally.get(Count::Acquisitions), u64::MAX);
    }
}
