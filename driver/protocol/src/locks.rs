//! What the driver knows of its own locks, if it was built to watch them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Text, wire_enum};

/// Bits of [`LockWatch::features`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockFeatures;

impl LockFeatures {
    /// The order of locks is checked: classes, orders and reports can be listed.
    pub const LOCKDEP: u32 = 1;
    /// Acquisitions, waits and holds are counted: statistics can be listed.
    pub const LOCK_STAT: u32 = 2;
}

/// How far the driver watches its locks.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct LockWatch {
    /// Bits of [`LockFeatures`]; 0 for a driver that was built without.
    pub features: u32,
    /// Zero.
    pub reserved: u32,
    /// Ticks per second of the times in [`LockStatistics`]; 0 where they are not measured.
    pub ticks_per_second: u64,
    /// The table of the classes.
    pub classes: TableUse,
    /// The table of the orders.
    pub orders: TableUse,
    /// The table of those who hold locks.
    pub holders: TableUse,
    /// The table of the reports.
    pub reports: TableUse,
    /// The table of the links of all reports.
    pub report_links: TableUse,
}

/// How full a table is.
#[derive(Clone, Copy, Debug, Default, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct TableUse {
    /// Entries that are there.
    pub used: u32,
    /// Entries that there can be.
    pub capacity: u32,
    /// How often there was no room.
    pub lost: u32,
    /// Zero.
    pub reserved: u32,
}

/// A line of source.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct SourceLine {
    /// The end of its path.
    pub file: Text<88>,
    /// From 1 on.
    pub line: u32,
    /// From 1 on.
    pub column: u32,
}

/// A class of locks: all that one line of source makes.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct LockClass {
    /// The kind of its locks, as NT calls it.
    pub kind: Text<24>,
    /// What its author called it, or the end of the name of its data's type.
    pub name: Text<96>,
    /// The line that makes its locks.
    pub made_at: SourceLine,
    /// How deep in others of its class its locks were taken.
    pub nest: u32,
    /// Zero.
    pub reserved: u32,
}

/// A lock that was asked for while another was held.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct LockOrder {
    /// Index, in the list of classes, of the lock that was held.
    pub held: u32,
    /// Index of the one that was asked for.
    pub asked: u32,
    /// Address of the thread's object; 0 in a DPC.
    pub thread: u64,
    /// Where the one that was held had been asked for.
    pub held_at: SourceLine,
    /// Where the other was asked for.
    pub asked_at: SourceLine,
    /// At which IRQL.
    pub irql: u32,
    /// Zero.
    pub reserved: u32,
}

/// Bits of [`LockHolder::flags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockHolderFlags;

impl LockHolderFlags {
    /// Others may hold it, too.
    pub const SHARED: u32 = 1;
}

/// A lock that was held at the moment of the request.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct LockHolder {
    /// The address of the lock.
    pub object: u64,
    /// Address of the thread's object; 0 in a DPC.
    pub thread: u64,
    /// Index, in the list of classes, of the lock.
    pub class: u32,
    /// Bits of [`LockHolderFlags`].
    pub flags: u32,
    /// Where it was asked for.
    pub asked_at: SourceLine,
}

wire_enum! {
    /// What is wrong.
    pub enum LockProblem {
        /// Orders that contradict each other: a cycle.
        Cycle = 1,
        /// A lock that its holder waited for.
        SameLock = 2,
        /// A lock that was waited for under another of its class.
        SameClass = 3,
        /// A class that DPCs take and that is held below `DISPATCH_LEVEL`. The lines are those two.
        DpcAndThread = 4,
        /// A lock that was held where its thread or DPC ended. The lines are where it was acquired
        /// and where the end was.
        HeldAtEnd = 5,
    }
}

/// One thing that was found. Its links are a list of their own.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct LockReport {
    /// A [`LockProblem`].
    pub problem: u32,
    /// How many [`LockOrder`]s its chain has.
    pub links: u32,
    /// How many more it would have, had there been room.
    pub missing_links: u32,
    /// Zero.
    pub reserved: u32,
}

/// What was counted and measured for a class.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct LockStatistics {
    /// Index in the list of classes.
    pub class: u32,
    /// Zero.
    pub reserved: u32,
    /// How often its locks were acquired.
    pub acquisitions: u64,
    /// How many of those had to wait for somebody.
    pub contentions: u64,
    /// Tries that found a lock taken, and waits that ended otherwise.
    pub not_acquired: u64,
    /// Waits, of contended acquisitions.
    pub wait: LockTimes,
    /// Holds that have ended.
    pub hold: LockTimes,
}

/// Times, in ticks.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct LockTimes {
    /// How many.
    pub count: u64,
    /// The shortest; 0 if there is none.
    pub shortest: u64,
    /// The longest.
    pub longest: u64,
    /// All together.
    pub total: u64,
}
