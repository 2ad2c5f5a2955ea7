//! What the program that measures sends.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Runs a lock, as a [`Run`] says, and gives an [`Outcome`]. `STATUS_NOT_FOUND` if there is no such
/// lock, `STATUS_INVALID_PARAMETER` if it is not there in that way, or no such placement or set.
pub const RUN: u32 = 0x22 << 16 | 0x800 << 2;

/// By the functions of the kernel, as `wdk-sys` has them.
pub const RAW: u32 = 0;
/// By wdk-sync.
pub const SAFE: u32 = 1;
/// By wdk-mutex.
pub const PEER: u32 = 2;

/// At so many places in a cache line is the loop of each way, which makes a difference.
pub const PLACEMENTS: u32 = 8;

/// So many sets of the locks there are for the raw calls and for wdk-sync. A lock costs by a hundredth more or less
/// than another of its kind by where it lies and what was initialised before it: the first set has those of the
/// raw calls first, and the second those of wdk-sync.
pub const SETS: u32 = 2;

/// What to run.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Run {
    /// The lock, from 0 on.
    pub subject: u32,
    /// [`RAW`], [`SAFE`] or [`PEER`].
    pub way: u32,
    /// How often it is acquired, the data changed and the lock released.
    pub passes: u32,
    /// Which of the [`PLACEMENTS`].
    pub placement: u32,
    /// Which of the [`SETS`].
    pub set: u32,
}

/// What came of it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Outcome {
    /// How long it took.
    pub nanoseconds: u64,
    /// The name of the lock, filled up with zeros.
    pub name: [u8; 32],
}
