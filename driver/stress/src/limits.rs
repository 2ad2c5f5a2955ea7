//! What the engine refuses to go beyond.

use syncstress_protocol::Limits;

/// Worker threads in one run.
pub const THREADS_PER_RUN: u32 = 256;

/// Worker threads in all runs together.
pub const THREADS_TOTAL: u32 = 512;

/// Runs at a time, over all handles, counting those whose result was not collected.
pub const RUNS: u32 = 32;

/// Length of a run: a day.
pub const SECONDS_PER_RUN: u32 = 86_400;

/// Bytes of log that a run keeps.
pub const LOG_BYTES: u32 = 16 * 1024;

/// The limits as they are published.
pub const LIMITS: Limits = Limits {
    threads_per_run: THREADS_PER_RUN,
    threads_total: THREADS_TOTAL,
    runs: RUNS,
    seconds_per_run: SECONDS_PER_RUN,
    log_bytes: LOG_BYTES,
    reserved: 0,
};
