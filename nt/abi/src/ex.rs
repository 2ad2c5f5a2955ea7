//! The executive: ERESOURCE, fast mutexes, push locks, rundown protection, pool, work items.

use crate::{
    KEVENT, KSEMAPHORE, KSPIN_LOCK, LIST_ENTRY, LONG, LONGLONG, PKEVENT, PVOID, SHORT, SIZE_T,
    ULONG, ULONG_PTR, ULONG64, USHORT,
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
/// With a pool type: a quota that is exceeded is a null pointer and not an exception.
pub const POOL_QUOTA_FAIL_INSTEAD_OF_RAISE: POOL_TYPE = 8;
/// With a pool type: no memory is an exception and not a null pointer.
pub const POOL_RAISE_IF_ALLOCATION_FAILURE: POOL_TYPE = 16;

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

/// An entry of a sequenced singly linked list.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub struct SLIST_ENTRY {
    pub Next: *mut SLIST_ENTRY,
}
pub type PSLIST_ENTRY = *mut SLIST_ENTRY;
layout!(SLIST_ENTRY, 0x10, Next: 0);

/// The head of a sequenced singly linked list, opaque: `Alignment` holds the depth in its low 16 bits
/// and a sequence above, `Region` the first entry.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub struct SLIST_HEADER {
    pub Alignment: ULONG64,
    pub Region: ULONG64,
}
pub type PSLIST_HEADER = *mut SLIST_HEADER;
layout!(SLIST_HEADER, 0x10, Alignment: 0, Region: 8);

pub type PALLOCATE_FUNCTION = Option<
    unsafe extern "win64" fn(PoolType: POOL_TYPE, NumberOfBytes: SIZE_T, Tag: ULONG) -> PVOID,
>;
pub type PFREE_FUNCTION = Option<unsafe extern "win64" fn(Buffer: PVOID)>;
pub type PALLOCATE_FUNCTION_EX = Option<
    unsafe extern "win64" fn(
        PoolType: POOL_TYPE,
        NumberOfBytes: SIZE_T,
        Tag: ULONG,
        Lookaside: PLOOKASIDE_LIST_EX,
    ) -> PVOID,
>;
pub type PFREE_FUNCTION_EX =
    Option<unsafe extern "win64" fn(Buffer: PVOID, Lookaside: PLOOKASIDE_LIST_EX)>;

/// What all lookaside lists have in common (`GENERAL_LOOKASIDE_LAYOUT`).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct GENERAL_LOOKASIDE_POOL {
    pub ListHead: SLIST_HEADER,
    pub Depth: USHORT,
    pub MaximumDepth: USHORT,
    pub TotalAllocates: ULONG,
    pub AllocateMisses: ULONG,
    pub TotalFrees: ULONG,
    pub FreeMisses: ULONG,
    pub Type: POOL_TYPE,
    pub Tag: ULONG,
    pub Size: ULONG,
    /// [`PALLOCATE_FUNCTION`], or [`PALLOCATE_FUNCTION_EX`] in a [`LOOKASIDE_LIST_EX`].
    pub Allocate: PVOID,
    /// [`PFREE_FUNCTION`], or [`PFREE_FUNCTION_EX`] in a [`LOOKASIDE_LIST_EX`].
    pub Free: PVOID,
    pub ListEntry: LIST_ENTRY,
    pub LastTotalAllocates: ULONG,
    pub LastAllocateMisses: ULONG,
    pub Future: [ULONG; 2],
}
layout!(
    GENERAL_LOOKASIDE_POOL, 0x60, Depth: 0x10, TotalAllocates: 0x14, TotalFrees: 0x1C, Type: 0x24,
    Tag: 0x28, Size: 0x2C, Allocate: 0x30, Free: 0x38, ListEntry: 0x40, Future: 0x58,
);

/// On a cache line of its own, which the kernel's headers take to be 64 bytes.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct NPAGED_LOOKASIDE_LIST {
    pub L: GENERAL_LOOKASIDE_POOL,
}
pub type PNPAGED_LOOKASIDE_LIST = *mut NPAGED_LOOKASIDE_LIST;
layout!(NPAGED_LOOKASIDE_LIST, 0x80);

#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub struct PAGED_LOOKASIDE_LIST {
    pub L: GENERAL_LOOKASIDE_POOL,
}
pub type PPAGED_LOOKASIDE_LIST = *mut PAGED_LOOKASIDE_LIST;
layout!(PAGED_LOOKASIDE_LIST, 0x80);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct LOOKASIDE_LIST_EX {
    pub L: GENERAL_LOOKASIDE_POOL,
}
pub type PLOOKASIDE_LIST_EX = *mut LOOKASIDE_LIST_EX;
layout!(LOOKASIDE_LIST_EX, 0x60);

/// `ExInitializeLookasideListEx`: a failed allocation raises an exception.
pub const EX_LOOKASIDE_LIST_EX_FLAGS_RAISE_ON_FAIL: ULONG = 1;
/// `ExInitializeLookasideListEx`: an allocation that the list cannot serve fails at once.
pub const EX_LOOKASIDE_LIST_EX_FLAGS_FAIL_NO_RAISE: ULONG = 2;

/// A timer that the kernel allocates, which can be waited for. The WDK does not declare its members.
#[repr(C)]
pub struct EX_TIMER {
    Reserved: [u8; 0],
}
pub type PEX_TIMER = *mut EX_TIMER;

pub type PEXT_CALLBACK = Option<unsafe extern "win64" fn(Timer: PEX_TIMER, Context: PVOID)>;
pub type PEXT_DELETE_CALLBACK = Option<unsafe extern "win64" fn(Context: PVOID)>;
pub type PEXT_CANCEL_PARAMETERS = PVOID;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct EXT_SET_PARAMETERS {
    pub Version: ULONG,
    pub Reserved: ULONG,
    pub NoWakeTolerance: LONGLONG,
}
pub type PEXT_SET_PARAMETERS = *mut EXT_SET_PARAMETERS;
layout!(EXT_SET_PARAMETERS, 0x10, NoWakeTolerance: 8);

#[repr(C)]
#[derive(Clone, Copy)]
pub struct EXT_DELETE_PARAMETERS {
    pub Version: ULONG,
    pub Reserved: ULONG,
    pub DeleteCallback: PEXT_DELETE_CALLBACK,
    pub DeleteContext: PVOID,
}
pub type PEXT_DELETE_PARAMETERS = *mut EXT_DELETE_PARAMETERS;
layout!(EXT_DELETE_PARAMETERS, 0x18, DeleteCallback: 8, DeleteContext: 0x10);

pub const EX_TIMER_HIGH_RESOLUTION: ULONG = 4;
pub const EX_TIMER_NO_WAKE: ULONG = 8;
pub const EX_TIMER_NOTIFICATION: ULONG = 0x8000_0000;
pub const EX_TIMER_UNLIMITED_TOLERANCE: LONGLONG = -1;

/// A callback object, of which the WDK declares no members.
#[repr(C)]
pub struct _CALLBACK_OBJECT {
    Reserved: [u8; 0],
}
pub type PCALLBACK_OBJECT = *mut _CALLBACK_OBJECT;
pub type PCALLBACK_FUNCTION =
    Option<unsafe extern "win64" fn(CallbackContext: PVOID, Argument1: PVOID, Argument2: PVOID)>;
