//! What a run measures: counts per worker, histograms, and figures of its own.
//!
//! Everything here comes in pages and can be asked for while a run goes on, until it is collected.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Text, wire_enum};

/// Asks for a list about a run, from an index on.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct PageRequest {
    /// [`RunReference::run`](crate::RunReference::run).
    pub run: u64,
    /// Index of the first entry wanted.
    pub first: u32,
    /// Zero.
    pub reserved: u32,
}

/// What one worker did, in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct WorkerDetail {
    /// Its number within the run.
    pub index: u32,
    /// A [`Role`](crate::Role).
    pub role: u32,
    /// Passes through its loop.
    pub passes: u64,
    /// Acquisitions (timers: sets or cancels).
    pub acquisitions: u64,
    /// As [`WorkerReport::contended`](crate::WorkerReport::contended).
    pub contended: u64,
    /// Tries and timed waits that did not acquire.
    pub timeouts: u64,
    /// Violations that it found.
    pub failures: u64,
    /// Those of them that are about the IRQL.
    pub irql_violations: u64,
    /// Those of them that are about the APC state at the right IRQL.
    pub apc_violations: u64,
}

wire_enum! {
    /// What a histogram is of.
    pub enum HistogramKind {
        /// Waits of all acquisitions; one that a try got at once waited 0. Of
        /// those without a try a part is timed, and each of them counts for those that follow it untimed.
        Wait = 1,
        /// How long the lock was held, of those passes that were timed.
        Hold = 2,
        /// How long after its due time a timer's DPC ran. Of a periodic timer: by how much the time since
        /// its last run was off its period.
        Lateness = 3,
    }
}

/// Asks for a histogram of one worker, from a position on.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct HistogramRequest {
    /// [`RunReference::run`](crate::RunReference::run).
    pub run: u64,
    /// [`WorkerDetail::index`].
    pub worker: u32,
    /// A [`HistogramKind`].
    pub kind: u32,
    /// 0, or [`HistogramReply::next`] of the page before.
    pub first: u32,
    /// Zero.
    pub reserved: u32,
}

/// Precedes the [`Bucket`]s of a histogram.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct HistogramReply {
    /// The sum of all values, in nanoseconds.
    pub total_ns: u64,
    /// The largest value, in nanoseconds.
    pub maximum_ns: u64,
    /// How many [`Bucket`]s follow. Empty ones are left out.
    pub returned: u32,
    /// Where the next page begins; 0 if this is the last one.
    pub next: u32,
}

/// How often values in a range were seen. Ranges of one run are the same for all its workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Bucket {
    /// The smallest value that it counts, in nanoseconds.
    pub lowest_ns: u64,
    /// The largest one.
    pub highest_ns: u64,
    /// How often one was seen.
    pub count: u64,
}

/// A figure of a run that is about more than one worker, or of one scenario alone.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Metric {
    /// A name to read and to compare by, like `clock cost`.
    pub name: Text<48>,
    /// A [`Unit`](crate::Unit).
    pub unit: u32,
    /// Zero.
    pub reserved: u32,
    /// The value, in thousandths of the unit.
    pub milli: i64,
}
