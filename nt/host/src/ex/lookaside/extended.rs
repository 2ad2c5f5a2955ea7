//! `LOOKASIDE_LIST_EX`: lists of pool of any kind, whose routines are told of the list.

use core::sync::atomic::Ordering::Relaxed;

use nt_abi::{
    _POOL_TYPE::{NonPagedPool, NonPagedPoolNx, PagedPool},
    EX_LOOKASIDE_LIST_EX_FLAGS_FAIL_NO_RAISE, EX_LOOKASIDE_LIST_EX_FLAGS_RAISE_ON_FAIL, NTSTATUS,
    PALLOCATE_FUNCTION_EX, PFREE_FUNCTION_EX, PLOOKASIDE_LIST_EX, POOL_QUOTA_FAIL_INSTEAD_OF_RAISE,
    POOL_RAISE_IF_ALLOCATION_FAILURE, POOL_TYPE, PVOID, SIZE_T, STATUS_INVALID_PARAMETER_4,
    STATUS_INVALID_PARAMETER_5, STATUS_SUCCESS, ULONG, USHORT,
};

use super::{Kind, active};
use crate::{
    ex::pool::{ExAllocatePoolWithTag, ExFreePool},
    irql::DISPATCH,
    verifier,
};

/// The routine of a `LOOKASIDE_LIST_EX` without one of its own.
unsafe extern "win64" fn allocate_from_pool(
    kind: POOL_TYPE,
    size: SIZE_T,
    tag: ULONG,
    _list: PLOOKASIDE_LIST_EX,
) -> PVOID {
    // SAFETY: Asking for pool has no preconditions.
    unsafe { ExAllocatePoolWithTag(kind, size, tag) }
}

/// As [`allocate_from_pool`].
unsafe extern "win64" fn free_to_pool(block: PVOID, _list: PLOOKASIDE_LIST_EX) {
    // SAFETY: The block was allocated by `allocate_from_pool`, and its user has given it back.
    unsafe { ExFreePool(block) };
}

/// `ExInitializeLookasideListEx`: sets up a list whose routines are told of it. IRQL <= `DISPATCH_LEVEL`.
///
/// Returns `STATUS_INVALID_PARAMETER_4` if `PoolType` is no kind of pool, and `STATUS_INVALID_PARAMETER_5` if
/// `Flags` is neither 0 nor one of the two flags. Bug checks as for `ExInitializeNPagedLookasideList`.
///
/// # Safety
///
/// As for `ExInitializeNPagedLookasideList`.
pub unsafe extern "win64" fn ExInitializeLookasideListEx(
    Lookaside: PLOOKASIDE_LIST_EX,
    Allocate: PALLOCATE_FUNCTION_EX,
    Free: PFREE_FUNCTION_EX,
    PoolType: POOL_TYPE,
    Flags: ULONG,
    Size: SIZE_T,
    Tag: ULONG,
    _Depth: USHORT,
) -> NTSTATUS {
    verifier::thread_at_most(DISPATCH, "ExInitializeLookasideListEx");
    if ![NonPagedPool, PagedPool, NonPagedPoolNx].contains(&PoolType) {
        return STATUS_INVALID_PARAMETER_4;
    }
    let more = match Flags {
        0 => 0,
        EX_LOOKASIDE_LIST_EX_FLAGS_RAISE_ON_FAIL => POOL_RAISE_IF_ALLOCATION_FAILURE,
        EX_LOOKASIDE_LIST_EX_FLAGS_FAIL_NO_RAISE => POOL_QUOTA_FAIL_INSTEAD_OF_RAISE,
        _ => return STATUS_INVALID_PARAMETER_5,
    };
    let kind = Kind {
        pool: PoolType | more,
        size: Size,
        tag: Tag,
        allocate: Allocate.unwrap_or(allocate_from_pool) as PVOID,
        free: Free.unwrap_or(free_to_pool) as PVOID,
    };
    // SAFETY: This function has the same contract.
    let list = unsafe { super::Lookaside::at(Lookaside, "ExInitializeLookasideListEx") };
    list.initialize(&kind, "ExInitializeLookasideListEx");
    STATUS_SUCCESS
}

/// `ExAllocateFromLookasideListEx`: takes the entry that was freed last, or allocates one; null if there is no
/// memory. IRQL as for the kind of pool.
///
/// # Safety
///
/// `Lookaside` must point to an initialised list.
pub unsafe extern "win64" fn ExAllocateFromLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX) -> PVOID {
    verifier::thread_at_most(DISPATCH, "ExAllocateFromLookasideListEx");
    // SAFETY: This function has the same contract.
    let list = unsafe { super::Lookaside::at(Lookaside, "ExAllocateFromLookasideListEx") };
    if let Some(entry) = list.take() {
        return entry;
    }
    let routine = list.allocate.load(Relaxed);
    // SAFETY: `ExInitializeLookasideListEx` stored a routine of this type.
    let allocate = unsafe { core::mem::transmute::<PVOID, PALLOCATE_FUNCTION_EX>(routine) };
    let Some(allocate) = allocate else {
        return core::ptr::null_mut();
    };
    let (pool, size, tag) = list.request();
    // SAFETY: The driver vouches for the routine.
    unsafe { allocate(pool, size, tag, Lookaside) }
}

/// `ExFreeToLookasideListEx`: puts an entry on the list, or frees it if the list is full. IRQL as for the kind
/// of pool.
///
/// # Safety
///
/// `Lookaside` must point to an initialised list, `Entry` to an entry of it that nobody uses any more.
pub unsafe extern "win64" fn ExFreeToLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX, Entry: PVOID) {
    verifier::thread_at_most(DISPATCH, "ExFreeToLookasideListEx");
    // SAFETY: This function has the same contract.
    let list = unsafe { super::Lookaside::at(Lookaside, "ExFreeToLookasideListEx") };
    if !list.keep(Entry) {
        // SAFETY: This function has the same contract.
        unsafe { free_entry(list, Lookaside, Entry) };
    }
}

/// Frees an entry by the routine of its list.
///
/// # Safety
///
/// `list` is the view of the list at `address`; for the entry as for [`ExFreeToLookasideListEx`].
unsafe fn free_entry(list: &super::Lookaside, address: PLOOKASIDE_LIST_EX, entry: PVOID) {
    let routine = list.free.load(Relaxed);
    // SAFETY: `ExInitializeLookasideListEx` stored a routine of this type.
    if let Some(free) = unsafe { core::mem::transmute::<PVOID, PFREE_FUNCTION_EX>(routine) } {
        // SAFETY: The driver vouches for the routine.
        unsafe { free(entry, address) };
    }
}

/// `ExFlushLookasideListEx`: frees the entries that the list keeps. IRQL as for the kind of pool.
///
/// # Safety
///
/// `Lookaside` must point to an initialised list.
pub unsafe extern "win64" fn ExFlushLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX) {
    verifier::thread_at_most(DISPATCH, "ExFlushLookasideListEx");
    // SAFETY: This function has the same contract.
    let list = unsafe { super::Lookaside::at(Lookaside, "ExFlushLookasideListEx") };
    while let Some(entry) = list.pop() {
        // SAFETY: The entry was on the list.
        unsafe { free_entry(list, Lookaside, entry) };
    }
}

/// `ExDeleteLookasideListEx`: frees the entries that the list keeps. IRQL as for the kind of pool.
///
/// # Safety
///
/// `Lookaside` must point to an initialised list that nobody uses any more.
pub unsafe extern "win64" fn ExDeleteLookasideListEx(Lookaside: PLOOKASIDE_LIST_EX) {
    verifier::thread_at_most(DISPATCH, "ExDeleteLookasideListEx");
    active::remove(Lookaside as u64, "ExDeleteLookasideListEx");
    // SAFETY: This function has the same contract.
    unsafe { ExFlushLookasideListEx(Lookaside) };
}
