//! The executive: ERESOURCE, fast mutexes, push locks, rundown protection, pool, work items.

use crate::{
    KEVENT, KSEMAPHORE, KSPIN_LOCK, LIST_ENTRY, LONG, PKEVENT, PVOID, SHORT, ULONG, ULONG_PTR,
    ULONG64, USHORT,
};

pub type ERESOURCE_THREAD = ULONG_PTR;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct OWNER_ENTRY {
    pub OwnerThread: ERESOURCE_THREAD,
    /// Bit 0 `IoPriorityBoosted`, bit 1 `OwnerReferenced`, bit 2 `IoQoSPriorityBoosted`, bits 3 to
    /// 31 `OwnerCount`; in the first entry of an owner table, `TableSize`.
    pub OwnerCount: ULONG,
}
pub type POWNER_ENTRY = *mut OWNER_ENTRY;
layout!(OWNER_ENTRY, 0x10, OwnerThread: 0, OwnerCount: 8);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct ERESOURCE {
    pub SystemResourcesList: LIST_ENTRY,
    pub OwnerTable: POWNER_ENTRY,
    pub ActiveCount: SHORT,
    pub Flag: USHORT,
    pub SharedWaiters: *mut KSEMAPHORE,
    pub ExclusiveWaiters: PKEVENT,
    pub OwnerEntry: OWNER_ENTRY,
    pub ActiveEntries: ULONG,
    pub ContentionCount: ULONG,
    pub NumberOfSharedWaiters: ULONG,
    pub NumberOfExclusiveWaiters: ULONG,
    pub Reserved2: PVOID,
    pub Address: PVOID,
    pub SpinLock: KSPIN_LOCK,
}
pub type PERESOURCE = *mut ERESOURCE;
layout!(
    ERESOURCE, 0x68, OwnerTable: 0x10, ActiveCount: 0x18, Flag: 0x1A, SharedWaiters: 0x20,
    ExclusiveWaiters: 0x28, OwnerEntry: 0x30, ActiveEntries: 0x40, ContentionCount: 0x44,
    NumberOfSharedWaiters: 0x48, NumberOfExclusiveWaiters: 0x4C, Reserved2: 0x50, Address: 0x58,
    SpinLock: 0x60,
);

/// `ERESOURCE.Flag` while a thread owns the resource exclusively (`ResourceOwnedExclusive`).
pub const ResourceOwnedExclusive: USHORT = 0x80;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct FAST_MUTEX {
    /// 1 when free.
    pub Count: LONG,
    pub Owner: PVOID,
    pub Contention: ULONG,
    pub Event: KEVENT,
    pub OldIrql: ULONG,
}
pub type PFAST_MUTEX = *mut FAST_MUTEX;
layout!(FAST_MUTEX, 0x38, Count: 0, Owner: 8, Contention: 0x10, Event: 0x18, OldIrql: 0x30);

/// The value of `FAST_MUTEX.Count` of a free fast mutex.
pub const FM_LOCK_BIT: ULONG = 1;

pub type EX_PUSH_LOCK = ULONG_PTR;
pub type EX_SPIN_LOCK = LONG;
pub type PEX_SPIN_LOCK = *mut EX_SPIN_LOCK;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct EX_RUNDOWN_REF {
    pub Count: ULONG_PTR,
}
pub type PEX_RUNDOWN_REF = *mut EX_RUNDOWN_REF;
layout!(EX_RUNDOWN_REF, 8);

pub type POOL_FLAGS = ULONG64;
pub const POOL_FLAG_USE_QUOTA: POOL_FLAGS = 0x1;
pub const POOL_FLAG_UNINITIALIZED: POOL_FLAGS = 0x2;
pub const POOL_FLAG_SESSION: POOL_FLAGS = 0x4;
pub const POOL_FLAG_CACHE_ALIGNED: POOL_FLAGS = 0x8;
pub const POOL_FLAG_RAISE_ON_FAILURE: POOL_FLAGS = 0x20;
pub const POOL_FLAG_NON_PAGED: POOL_FLAGS = 0x40;
pub const POOL_FLAG_NON_PAGED_EXECUTE: POOL_FLAGS = 0x80;
pub const POOL_FLAG_PAGED: POOL_FLAGS = 0x100;

pub mod _POOL_TYPE {
    pub type Type = i32;
    pub const NonPagedPool: Type = 0;
    pub const PagedPool: Type = 1;
    pub const NonPagedPoolNx: Type = 512;
}
pub type POOL_TYPE = _POOL_TYPE::Type;

pub type PWORKER_THREAD_ROUTINE = Option<unsafe extern "win64" fn(Parameter: PVOID)>;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct WORK_QUEUE_ITEM {
    pub List: LIST_ENTRY,
    pub WorkerRoutine: PWORKER_THREAD_ROUTINE,
    pub Parameter: PVOID,
}
pub type PWORK_QUEUE_ITEM = *mut WORK_QUEUE_ITEM;
layout!(WORK_QUEUE_ITEM, 0x20, WorkerRoutine: 0x10, Parameter: 0x18);
