//! The kernel executive's core: IRQL, spin locks, dispatcher objects, DPCs, timers, APCs.

use crate::{
    BOOLEAN, CCHAR, HANDLE, LARGE_INTEGER, LIST_ENTRY, LONG, PVOID, SHORT, UCHAR, ULONG, ULONG_PTR,
    USHORT,
};

pub type KIRQL = UCHAR;
pub type PKIRQL = *mut KIRQL;

pub const PASSIVE_LEVEL: u32 = 0;
pub const APC_LEVEL: u32 = 1;
pub const DISPATCH_LEVEL: u32 = 2;
pub const CLOCK_LEVEL: u32 = 13;
pub const IPI_LEVEL: u32 = 14;
pub const HIGH_LEVEL: u32 = 15;

pub type KSPIN_LOCK = ULONG_PTR;
pub type PKSPIN_LOCK = *mut KSPIN_LOCK;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct KSPIN_LOCK_QUEUE {
    pub Next: *mut KSPIN_LOCK_QUEUE,
    pub Lock: *mut KSPIN_LOCK,
}
layout!(KSPIN_LOCK_QUEUE, 0x10, Next: 0, Lock: 8);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct KLOCK_QUEUE_HANDLE {
    pub LockQueue: KSPIN_LOCK_QUEUE,
    pub OldIrql: KIRQL,
}
pub type PKLOCK_QUEUE_HANDLE = *mut KLOCK_QUEUE_HANDLE;
layout!(KLOCK_QUEUE_HANDLE, 0x18, LockQueue: 0, OldIrql: 0x10);

pub type KPROCESSOR_MODE = CCHAR;
pub type KPRIORITY = LONG;
pub type KAFFINITY = ULONG_PTR;

/// `MODE`: the processor mode of a wait or a request.
pub mod _MODE {
    pub type Type = i32;
    pub const KernelMode: Type = 0;
    pub const UserMode: Type = 1;
}

pub mod _KWAIT_REASON {
    pub type Type = i32;
    pub const Executive: Type = 0;
}
pub type KWAIT_REASON = _KWAIT_REASON::Type;

pub mod _WAIT_TYPE {
    pub type Type = i32;
    pub const WaitAll: Type = 0;
    pub const WaitAny: Type = 1;
}
pub type WAIT_TYPE = _WAIT_TYPE::Type;

pub mod _EVENT_TYPE {
    pub type Type = i32;
    pub const NotificationEvent: Type = 0;
    pub const SynchronizationEvent: Type = 1;
}
pub type EVENT_TYPE = _EVENT_TYPE::Type;

pub mod _TIMER_TYPE {
    pub type Type = i32;
    pub const NotificationTimer: Type = 0;
    pub const SynchronizationTimer: Type = 1;
}
pub type TIMER_TYPE = _TIMER_TYPE::Type;

pub mod _KDPC_IMPORTANCE {
    pub type Type = i32;
    pub const LowImportance: Type = 0;
    pub const MediumImportance: Type = 1;
    pub const HighImportance: Type = 2;
    pub const MediumHighImportance: Type = 3;
}
pub type KDPC_IMPORTANCE = _KDPC_IMPORTANCE::Type;

pub const MAXIMUM_WAIT_OBJECTS: u32 = 64;
pub const THREAD_WAIT_OBJECTS: u32 = 3;

/// The value of `DISPATCHER_HEADER.Type`, from which a wait tells one object from another.
pub mod object_type {
    pub const NotificationEvent: u8 = 0;
    pub const SynchronizationEvent: u8 = 1;
    pub const Mutant: u8 = 2;
    pub const Process: u8 = 3;
    pub const Queue: u8 = 4;
    pub const Semaphore: u8 = 5;
    pub const Thread: u8 = 6;
    pub const NotificationTimer: u8 = 8;
    pub const SynchronizationTimer: u8 = 9;
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct DISPATCHER_HEADER {
    pub Type: UCHAR,
    pub Signalling: UCHAR,
    pub Size: UCHAR,
    pub Reserved1: UCHAR,
    pub SignalState: LONG,
    pub WaitListHead: LIST_ENTRY,
}
layout!(DISPATCHER_HEADER, 0x18, Type: 0, SignalState: 4, WaitListHead: 8);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct KWAIT_BLOCK {
    pub WaitListEntry: LIST_ENTRY,
    pub Thread: PKTHREAD,
    pub Object: PVOID,
    pub NextWaitBlock: *mut KWAIT_BLOCK,
    pub WaitKey: USHORT,
    pub WaitType: UCHAR,
    pub BlockState: UCHAR,
    pub SpareLong: LONG,
}
pub type PKWAIT_BLOCK = *mut KWAIT_BLOCK;
layout!(KWAIT_BLOCK, 0x30, Thread: 0x10, Object: 0x18, NextWaitBlock: 0x20, WaitKey: 0x28);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct KEVENT {
    pub Header: DISPATCHER_HEADER,
}
pub type PKEVENT = *mut KEVENT;
pub type PRKEVENT = *mut KEVENT;
layout!(KEVENT, 0x18);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct KSEMAPHORE {
    pub Header: DISPATCHER_HEADER,
    pub Limit: LONG,
}
pub type PKSEMAPHORE = *mut KSEMAPHORE;
pub type PRKSEMAPHORE = *mut KSEMAPHORE;
layout!(KSEMAPHORE, 0x20, Limit: 0x18);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct KMUTANT {
    pub Header: DISPATCHER_HEADER,
    pub MutantListEntry: LIST_ENTRY,
    pub OwnerThread: PKTHREAD,
    pub Abandoned: BOOLEAN,
    pub ApcDisable: UCHAR,
}
pub type KMUTEX = KMUTANT;
pub type PKMUTEX = *mut KMUTANT;
pub type PRKMUTEX = *mut KMUTANT;
layout!(KMUTANT, 0x38, MutantListEntry: 0x18, OwnerThread: 0x28, Abandoned: 0x30, ApcDisable: 0x31);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct KTIMER {
    pub Header: DISPATCHER_HEADER,
    pub DueTime: LARGE_INTEGER,
    pub TimerListEntry: LIST_ENTRY,
    pub Dpc: PKDPC,
    pub Processor: USHORT,
    pub TimerType: USHORT,
    pub Period: ULONG,
}
pub type PKTIMER = *mut KTIMER;
layout!(
    KTIMER, 0x40, DueTime: 0x18, TimerListEntry: 0x20, Dpc: 0x30, Processor: 0x38,
    TimerType: 0x3A, Period: 0x3C,
);

pub type PKDEFERRED_ROUTINE = Option<
    unsafe extern "win64" fn(
        Dpc: *mut KDPC,
        DeferredContext: PVOID,
        SystemArgument1: PVOID,
        SystemArgument2: PVOID,
    ),
>;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct KDPC {
    pub Type: UCHAR,
    pub Importance: UCHAR,
    pub Number: USHORT,
    pub DpcListEntry: LIST_ENTRY,
    pub DeferredRoutine: PKDEFERRED_ROUTINE,
    pub DeferredContext: PVOID,
    pub SystemArgument1: PVOID,
    pub SystemArgument2: PVOID,
    pub DpcData: PVOID,
}
pub type PKDPC = *mut KDPC;
pub type PRKDPC = *mut KDPC;
layout!(
    KDPC, 0x40, Importance: 1, Number: 2, DpcListEntry: 8, DeferredRoutine: 0x18,
    DeferredContext: 0x20, SystemArgument1: 0x28, SystemArgument2: 0x30, DpcData: 0x38,
);

/// The value of `KAPC.Type`.
pub const ApcObject: UCHAR = 18;

/// `KAPC_ENVIRONMENT`: the address space that an APC runs in; no header of the WDK declares it.
pub mod _KAPC_ENVIRONMENT {
    pub type Type = i32;
    pub const OriginalApcEnvironment: Type = 0;
    pub const AttachedApcEnvironment: Type = 1;
    pub const CurrentApcEnvironment: Type = 2;
    pub const InsertApcEnvironment: Type = 3;
}
pub type KAPC_ENVIRONMENT = _KAPC_ENVIRONMENT::Type;

/// The value of `KDPC.Type`.
pub const DpcObject: UCHAR = 19;
/// The value of `KDPC.Type` of a threaded DPC.
pub const ThreadedDpcObject: UCHAR = 26;

pub type PKKERNEL_ROUTINE = Option<
    unsafe extern "win64" fn(*mut KAPC, *mut PKNORMAL_ROUTINE, *mut PVOID, *mut PVOID, *mut PVOID),
>;
pub type PKRUNDOWN_ROUTINE = Option<unsafe extern "win64" fn(*mut KAPC)>;
pub type PKNORMAL_ROUTINE = Option<unsafe extern "win64" fn(PVOID, PVOID, PVOID)>;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct KAPC {
    pub Type: UCHAR,
    pub SpareByte0: UCHAR,
    pub Size: UCHAR,
    pub SpareByte1: UCHAR,
    pub SpareLong0: ULONG,
    pub Thread: PKTHREAD,
    pub ApcListEntry: LIST_ENTRY,
    pub KernelRoutine: PKKERNEL_ROUTINE,
    pub RundownRoutine: PKRUNDOWN_ROUTINE,
    pub NormalRoutine: PKNORMAL_ROUTINE,
    pub NormalContext: PVOID,
    pub SystemArgument1: PVOID,
    pub SystemArgument2: PVOID,
    pub ApcStateIndex: CCHAR,
    pub ApcMode: KPROCESSOR_MODE,
    pub Inserted: BOOLEAN,
}
pub type PKAPC = *mut KAPC;
pub type PRKAPC = *mut KAPC;
layout!(KAPC, 0x58, Thread: 8, ApcListEntry: 0x10, KernelRoutine: 0x20, ApcStateIndex: 0x50);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct PROCESSOR_NUMBER {
    pub Group: USHORT,
    pub Number: UCHAR,
    pub Reserved: UCHAR,
}
pub type PPROCESSOR_NUMBER = *mut PROCESSOR_NUMBER;
layout!(PROCESSOR_NUMBER, 4, Group: 0, Number: 2);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GROUP_AFFINITY {
    pub Mask: KAFFINITY,
    pub Group: USHORT,
    pub Reserved: [USHORT; 3],
}
pub type PGROUP_AFFINITY = *mut GROUP_AFFINITY;
layout!(GROUP_AFFINITY, 16, Group: 8, Reserved: 10);

pub const ALL_PROCESSOR_GROUPS: USHORT = 0xFFFF;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct KDEVICE_QUEUE {
    pub Type: SHORT,
    pub Size: SHORT,
    pub DeviceListHead: LIST_ENTRY,
    pub Lock: KSPIN_LOCK,
    pub Busy: ULONG_PTR,
}
layout!(KDEVICE_QUEUE, 0x28, DeviceListHead: 8, Lock: 0x18);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct KDEVICE_QUEUE_ENTRY {
    pub DeviceListEntry: LIST_ENTRY,
    pub SortKey: ULONG,
    pub Inserted: BOOLEAN,
}
layout!(KDEVICE_QUEUE_ENTRY, 0x18);

/// A thread object. The WDK does not declare its members; those here lie where public symbols of
/// Windows 10 and 11 x64 show them, and the rest is room.
#[repr(C)]
pub struct KTHREAD {
    pub Header: DISPATCHER_HEADER,
    Reserved1: [u8; 0x1CC],
    /// Kernel APC disable count: zero or negative (offset 0x1E4).
    pub KernelApcDisable: SHORT,
    /// Special kernel APC disable count: zero or negative (offset 0x1E6).
    pub SpecialApcDisable: SHORT,
    Reserved2: [u8; 0x110],
    /// The mutexes that the thread owns, linked by `KMUTANT.MutantListEntry` (offset 0x2F8).
    pub MutantListHead: LIST_ENTRY,
    Reserved3: [u8; 0x1F8],
    /// The process and thread identifiers (`CLIENT_ID`).
    pub UniqueProcess: HANDLE,
    pub UniqueThread: HANDLE,
}
pub type PKTHREAD = *mut KTHREAD;
pub type PRKTHREAD = *mut KTHREAD;
pub type PETHREAD = *mut KTHREAD;
layout!(
    KTHREAD, 0x510, KernelApcDisable: 0x1E4, SpecialApcDisable: 0x1E6, MutantListHead: 0x2F8,
);
