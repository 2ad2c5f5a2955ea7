//! Runs: how they are started, watched, stopped and collected.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::wire_enum;

/// The most parameters that one [`StartRequest`] carries.
pub const MAX_PARAMETERS: usize = 64;

/// Starts a run of one item. `parameters` [`ParameterValue`]s follow it.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct StartRequest {
    /// [`ItemDescriptor::id`](crate::ItemDescriptor::id).
    pub item: u32,
    /// How many [`ParameterValue`]s follow, at most [`MAX_PARAMETERS`]; none twice.
    pub parameters: u32,
}

/// One parameter of a scenario, by its id. Those that are not given have their default.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct ParameterValue {
    /// [`ParameterDescriptor::id`](crate::ParameterDescriptor::id).
    pub id: u32,
    /// Zero.
    pub reserved: u32,
    /// Within the range that the descriptor gives.
    pub value: u64,
}

/// Names a run of this file handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct RunReference {
    /// Never zero, never given twice while the driver is loaded.
    pub run: u64,
}

wire_enum! {
    /// Where a run stands.
    pub enum Phase {
        /// Its threads work.
        Running = 1,
        /// It was asked to stop, or its time is over, and its threads are ending.
        Stopping = 2,
        /// All its threads have ended; it can be collected.
        Finished = 3,
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Progress {
    /// A [`Phase`].
    pub phase: u32,
    /// Worker threads alive.
    pub workers: u32,
    /// Time since the start, in units of 100 ns.
    pub elapsed_100ns: u64,
    /// The time that the run will take if it is not stopped, in units of 100 ns; 0 if unknown.
    pub planned_100ns: u64,
    /// Passes of all workers so far.
    pub passes: u64,
    /// Acquisitions of all workers so far.
    pub acquisitions: u64,
    /// Violations found so far.
    pub failures: u64,
    /// Bytes that [`ioctl::COLLECT`](crate::ioctl::COLLECT) will need; 0 until the run is finished.
    pub collect_bytes: u32,
    /// Zero.
    pub reserved: u32,
}

/// A run that goes on, for handles that did not start it.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct RunInfo {
    /// Its number.
    pub run: u64,
    /// The item that is run.
    pub item: u32,
    /// How many workers and DPCs it has.
    pub workers: u32,
    /// How far it has come.
    pub progress: Progress,
}

wire_enum! {
    /// How a run came out.
    pub enum Verdict {
        /// Every check held.
        Passed = 1,
        /// A check failed: the log says which.
        Failed = 2,
        /// It was stopped before its time, and every check held until then.
        Stopped = 3,
        /// It could not be run: the status says why.
        Error = 4,
    }
}

/// The result of a run; its `workers` [`WorkerReport`]s and then `log_bytes` of UTF-8 follow.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct CollectReply {
    /// The run.
    pub run: u64,
    /// The item that was run.
    pub item: u32,
    /// A [`Verdict`].
    pub verdict: u32,
    /// An NTSTATUS where the verdict is [`Verdict::Error`], else `STATUS_SUCCESS`.
    pub status: i32,
    /// How many [`WorkerReport`]s follow.
    pub workers: u32,
    /// How many bytes of log follow them.
    pub log_bytes: u32,
    /// How many bytes of log were lost because the driver keeps no more.
    pub log_lost: u32,
    /// How long it took, in units of 100 ns.
    pub elapsed_100ns: u64,
    /// Violations found by all workers, or failed checks of a behaviour test.
    pub failures: u64,
    /// Contention as the primitive itself counts it (ERESOURCE); 0 where it does not.
    pub kernel_contention: u64,
}

wire_enum! {
    /// What a worker does.
    pub enum Role {
        /// Takes the lock to change the protected data.
        Writer = 1,
        /// Takes the lock to read the protected data.
        Reader = 2,
        /// Sets timers.
        Setter = 3,
        /// Cancels timers.
        Canceller = 4,
        /// A DPC.
        Dpc = 5,
        /// Makes what consumers take.
        Producer = 6,
        /// Takes what producers make.
        Consumer = 7,
        /// Keeps a processor busy and takes no lock.
        Spinner = 8,
    }
}

/// What one worker did.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct WorkerReport {
    /// Its number within the run.
    pub index: u32,
    /// A [`Role`].
    pub role: u32,
    /// Passes through its loop.
    pub passes: u64,
    /// Acquisitions (timers: sets or cancels).
    pub acquisitions: u64,
    /// Those acquisitions and [`timeouts`](Self::timeouts) that found the lock taken: that a try did not
    /// get at once. Of a lock that cannot be tried: waits of more than a microsecond; one that was timed
    /// stands for those that follow it untimed.
    pub contended: u64,
    /// Tries and timed waits that did not acquire.
    pub timeouts: u64,
    /// Violations that it found.
    pub failures: u64,
    /// The longest wait for the lock of those that were timed, in nanoseconds.
    pub longest_wait_ns: u64,
    /// All waits together, in nanoseconds; those that were not timed are taken to be like those that
    /// were.
    pub total_wait_ns: u64,
}
