//! Locks and timers that are held in a known state, for whoever looks at them in a debugger.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Text, wire_enum};

/// Room for the threads of a [`HeldObject`].
pub const MAX_HELD_THREADS: u32 = 8;

wire_enum! {
    /// What a [`HeldObject`] is, as NT calls it.
    pub enum HeldKind {
        /// ERESOURCE.
        Resource = 1,
        /// KMUTANT, which drivers know as KMUTEX.
        Mutex = 2,
        /// `FAST_MUTEX`.
        FastMutex = 3,
        /// KTIMER.
        Timer = 4,
    }
}

wire_enum! {
    /// What a thread has to do with a [`HeldObject`].
    pub enum HeldRole {
        /// It owns it, alone or with others.
        Owner = 1,
        /// It waits for shared access.
        WaitsShared = 2,
        /// It waits for exclusive access, or for an object that knows no other.
        WaitsExclusive = 3,
    }
}

/// A thread that has something to do with a [`HeldObject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct HeldThread {
    /// The address of its object; of an owner that is no thread, the owner pointer, both of whose low
    /// bits are set.
    pub thread: u64,
    /// A [`HeldRole`].
    pub role: u32,
    /// How often it owns the object; 1 of one who waits.
    pub count: u32,
}

/// Bits of [`HeldObject::flags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldFlags;

impl HeldFlags {
    /// The owner has it alone.
    pub const EXCLUSIVE: u32 = 1;
    /// The timer is set.
    pub const SET: u32 = 2;
    /// The timer has a DPC.
    pub const DPC: u32 = 4;
}

/// An object that a run of [`ItemKind::HoldPattern`](crate::ItemKind::HoldPattern) holds, in the state
/// that the pattern made: what a debugger must show of it.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct HeldObject {
    /// The address of the object.
    pub address: u64,
    /// A [`HeldKind`].
    pub kind: u32,
    /// Bits of [`HeldFlags`].
    pub flags: u32,
    /// How often somebody had to wait for it, where its kind counts that.
    pub contention: u32,
    /// The period of a timer, in milliseconds; 0 if it has none.
    pub period_ms: u32,
    /// How many of [`threads`](Self::threads) there are.
    pub thread_count: u32,
    /// Zero.
    pub reserved: u32,
    /// Who owns it, in the order in which they acquired it, and then who waits, in that order.
    pub threads: [HeldThread; MAX_HELD_THREADS as usize],
    /// The name of the pattern.
    pub pattern: Text<64>,
}
