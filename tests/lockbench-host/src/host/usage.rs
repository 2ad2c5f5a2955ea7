//! A thousand threads, and what the verifier keeps of each lock.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::driver::{Bench, Run, Subject};
use crate::spread::Spread;

/// How many threads there are at once.
pub const THREADS: u32 = 1000;
/// How often each of them takes the one `FAST_MUTEX`.
pub const PASSES: u32 = 10;

/// Threads that are created, contend for one `FAST_MUTEX`, and are waited for until they have ended.
#[derive(Serialize, Deserialize)]
pub struct Threads {
    /// How many.
    pub count: u32,
    /// Milliseconds until all are created.
    pub creation: Spread,
    /// Milliseconds until all have done their passes and have ended.
    pub work: Spread,
    /// Memory of the process for each, in bytes.
    pub bytes: u64,
}

/// Memory for each lock, in bytes.
#[derive(Serialize, Deserialize)]
pub struct Memory {
    /// How many locks there were.
    pub locks: u32,
    /// Of one that is never held with another: the lock itself, and what is kept of it.
    pub apart: u64,
    /// What is kept of one that is held with another.
    pub in_order: u64,
}

/// Creates the threads a few times.
pub fn threads(bench: &Bench) -> Result<Threads> {
    const ROUNDS: usize = 5;
    let before = peak()?;
    let run = || bench.run(Run::each(Subject::FastMutex, THREADS, PASSES));
    let outcomes = (0..ROUNDS).map(|_| run()).collect::<Result<Vec<_>>>()?;
    let milliseconds = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    Ok(Threads {
        count: THREADS,
        creation: Spread::of(
            outcomes
                .iter()
                .map(|outcome| milliseconds(outcome.creation())),
        ),
        work: Spread::of(
            outcomes
                .iter()
                .map(|outcome| milliseconds(outcome.pace().time)),
        ),
        bytes: (peak()? - before) / u64::from(THREADS),
    })
}

/// Visits many locks: first each alone, then in pairs. The locks' own memory counts in the first visit.
pub fn memory(bench: &Bench) -> Result<Memory> {
    const LOCKS: u32 = 40_000;
    let start = peak()?;
    bench.run(Run::alone(Subject::LocksApart, LOCKS))?;
    let apart = peak()?;
    bench.run(Run::alone(Subject::LocksInOrder, LOCKS))?;
    let in_order = peak()?;
    Ok(Memory {
        locks: LOCKS,
        apart: (apart - start).div_ceil(LOCKS.into()),
        in_order: (in_order - apart).div_ceil(LOCKS.into()),
    })
}

/// The most memory that this process has had so far, in bytes.
fn peak() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes
        .context("the host does not tell the memory in use")?
        .parse()?;
    Ok(kilobytes * 1024)
}
