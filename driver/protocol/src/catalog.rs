//! What a driver can run: behaviour tests and stress scenarios with their parameters.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{Text, wire_enum};

wire_enum! {
    /// What sort of thing an item is.
    pub enum ItemKind {
        /// A documented behaviour of a primitive, checked once; takes no parameters.
        BehaviourTest = 1,
        /// Many threads on one primitive for some seconds, its invariant checked on every pass.
        Scenario = 2,
        /// A lock or timer, held in a known state for the debugger until the run ends; takes the
        /// parameter `seconds`. Since protocol 1.2.
        HoldPattern = 3,
    }
}

wire_enum! {
    /// The primitive that an item is about.
    pub enum Primitive {
        /// `KSPIN_LOCK`.
        SpinLock = 1,
        /// KMUTEX.
        Mutex = 2,
        /// ERESOURCE.
        Resource = 3,
        /// `FAST_MUTEX`.
        FastMutex = 4,
        /// KTIMER with its KDPC.
        Timer = 5,
        /// KEVENT.
        Event = 6,
        /// System threads.
        Thread = 7,
        /// Critical and guarded regions.
        Region = 8,
        /// `KSPIN_LOCK`, acquired by a queue handle.
        QueuedSpinLock = 9,
        /// `EX_SPIN_LOCK`.
        RwSpinLock = 10,
        /// `KGUARDED_MUTEX`.
        GuardedMutex = 11,
        /// `EX_PUSH_LOCK`.
        PushLock = 12,
        /// KSEMAPHORE.
        Semaphore = 13,
        /// `EX_RUNDOWN_REF`.
        Rundown = 14,
        /// Waits for several objects at once.
        MultipleWait = 15,
        /// `EX_TIMER`.
        ExTimer = 16,
        /// `SLIST_HEADER`.
        SList = 17,
        /// `ExInterlockedXxxList`.
        InterlockedList = 18,
        /// `IO_WORKITEM`.
        WorkItem = 19,
        /// KDPC.
        Dpc = 20,
    }
}

wire_enum! {
    /// The unit of a parameter.
    pub enum Unit {
        /// A plain number.
        Count = 1,
        /// Seconds.
        Seconds = 2,
        /// Milliseconds.
        Milliseconds = 3,
        /// Microseconds.
        Microseconds = 4,
        /// Parts of a hundred.
        Percent = 5,
        /// Nanoseconds.
        Nanoseconds = 6,
        /// Events in a second.
        PerSecond = 7,
        /// Parts of a million.
        PartsPerMillion = 8,
    }
}

/// Bits of [`ItemDescriptor::flags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemFlags;

impl ItemFlags {
    /// A negative control: a deliberately broken lock, which must be reported as failed. It is left
    /// out unless it is asked for by name.
    pub const EXPECTED_TO_FAIL: u32 = 1;
}

/// Asks for a list from an index on.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct ListRequest {
    /// The item whose parameters are asked for; 0 where items are listed.
    pub item: u32,
    /// Index of the first entry wanted.
    pub first: u32,
}

/// Precedes the entries of a list.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct ListReply {
    /// How many entries there are in all.
    pub total: u32,
    /// How many follow here.
    pub returned: u32,
}

/// One thing that the driver can run.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct ItemDescriptor {
    /// What [`StartRequest::item`](crate::StartRequest::item) names; stable across driver versions.
    pub id: u32,
    /// An [`ItemKind`].
    pub kind: u32,
    /// A [`Primitive`].
    pub primitive: u32,
    /// Bits of [`ItemFlags`].
    pub flags: u32,
    /// How many parameters it takes.
    pub parameters: u32,
    /// Zero.
    pub reserved: u32,
    /// A name to type, like `resource.shared_joins_shared`.
    pub name: Text<64>,
    /// One sentence.
    pub summary: Text<160>,
}

/// Bits of [`ParameterDescriptor::flags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterFlags;

impl ParameterFlags {
    /// It says how long a run is, in its unit, which is one of time. Where an item has several such
    /// parameters, the one in the smallest unit counts, of those that are not 0.
    pub const LENGTH: u32 = 1;
}

/// One parameter of a scenario.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct ParameterDescriptor {
    /// What [`ParameterValue::id`](crate::ParameterValue::id) names; one meaning over all scenarios.
    pub id: u32,
    /// A [`Unit`].
    pub unit: u32,
    /// Smallest value.
    pub minimum: u64,
    /// Largest value.
    pub maximum: u64,
    /// The value where none is given.
    pub default: u64,
    /// A name to type, like `threads`.
    pub name: Text<24>,
    /// Bits of [`ParameterFlags`]. Since protocol 1.3; drivers before that have zeroes here.
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
    /// One sentence.
    pub summary: Text<96>,
}
